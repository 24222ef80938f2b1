"""The clocks of a case: several at once, the same on both sides whatever order messages are heard in."""

from __future__ import annotations

from itertools import permutations

import pytest

from gateway.casework.clocks import HOUR_MS, SKEW_MS, CaseClocks, Heard, Timed, start

KH, ID = "kh.gdi", "id.imigrasi"
MINUTE = 60_000


def timed(message: str, at: int, turn: str = KH, *, request: bool = True, urgency: str = "URGENT") -> Timed:
    """Return the clocks of one message, started by its receipt."""
    return Timed(message, turn, request, at, start(urgency, at))


def heard(at: int, party: str = KH, *, final: bool = False, ends: bool = False, answers: str | None = None) -> Heard:
    """Return what an acknowledging message does."""
    return Heard(at, party, acknowledges=True, final=final, ends=ends, answers=answers)


def stops(clocks: CaseClocks) -> dict[str, tuple[int | None, int | None]]:
    """Return when each clock was acknowledged and answered."""
    return {t.message: (t.clock.acknowledged_at_ms, t.clock.replied_at_ms) for t in clocks.timed}


def test_of_two_requests_each_is_answered_by_its_own_response() -> None:
    """A response acknowledges both, and answers the one it names; the other one still runs and is shown."""
    clocks = CaseClocks().started(timed("one", 0)).started(timed("two", MINUTE))
    clocks = clocks.hear(heard(2 * MINUTE, final=True, answers="two"))

    assert stops(clocks) == {"one": (2 * MINUTE, None), "two": (2 * MINUTE, 2 * MINUTE)}
    assert clocks.shown is not None
    assert clocks.shown.message == "one"


def test_a_referral_is_answered_by_the_first_final_response_or_the_end_of_the_case() -> None:
    """It is no request, so nothing answers it by name; DECLINED and CLOSED end every clock."""
    opened = CaseClocks().started(timed("referral", 0, request=False))
    assert stops(opened.hear(heard(5, final=True, answers="rfi"))) == {"referral": (5, 5)}
    both = opened.started(timed("rfi", 10, ID))
    assert stops(both.hear(heard(20, ends=True))) == {"referral": (20, 20), "rfi": (20, 20)}


@pytest.mark.parametrize(
    ("said", "stopped"),
    [
        (heard(99), False),  # before the receipt
        (heard(100), True),
        (heard(200, ID), False),  # the other side's
        (heard(100 - SKEW_MS, ID, ends=True), True),  # its clock may be behind
        (heard(100 - SKEW_MS - 1, ID, ends=True), False),
    ],
)
def test_only_what_came_after_the_receipt_stops_a_clock(said: Heard, stopped: bool) -> None:
    """From the party that owes it; the end of a case from either, within what clocks may differ."""
    [(acknowledged, _)] = stops(CaseClocks().started(timed("m", 100)).hear(said)).values()
    assert (acknowledged is not None) is stopped


def test_messages_that_cross_leave_both_sides_with_the_same_clocks() -> None:
    """Every order of two receipts and three answers ends alike."""
    steps = [
        timed("referral", 100, request=False), timed("rfi", 200), heard(150), heard(250, final=True, answers="rfi"),
        heard(300, ID),
    ]  # fmt: skip
    ends = set()
    for order in permutations(steps):
        clocks = CaseClocks()
        for step in order:
            clocks = clocks.started(step) if isinstance(step, Timed) else clocks.hear(step)
        ends.add(clocks)
    assert len(ends) == 1
    assert stops(ends.pop()) == {"referral": (150, 250), "rfi": (250, 250)}


def test_what_runs_out_first_is_shown_and_what_is_over_is_forgotten_in_time() -> None:
    """The earliest due of those that run; of those that stopped a few are kept, all that run."""
    clocks = CaseClocks()
    for at in range(10):
        clocks = clocks.started(timed(f"m{at}", at)).hear(heard(at, final=True, answers=f"m{at}"))
    assert len(clocks.timed) == 4
    assert clocks.shown is not None
    assert (clocks.shown.message, clocks.shown.running) == ("m9", False)
    clocks = clocks.started(timed("slow", 20, urgency="ROUTINE")).started(timed("fast", 30, urgency="FLASH"))
    assert clocks.shown is not None
    assert (clocks.shown.message, clocks.shown.clock.next_due_ms()) == ("fast", 30 + HOUR_MS // 2)


def test_a_repeated_receipt_starts_nothing_anew() -> None:
    """The clocks of a message start once."""
    clocks = CaseClocks().started(timed("m", 100))
    assert clocks.started(timed("m", 900)) is clocks
