"""What goes into the next envelope, and when a failed one is tried again: the pure decisions of the sender."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import IllegalTransition
from gateway.protocol import delivery
from gateway.protocol.delivery import (
    FailedAttempt,
    ReceiptClaimed,
    Waiting,
    delay_ms,
    fill,
    in_turn,
    judge_reply,
    probe_at,
    retry_at,
)
from gateway.protocol.states import ANSWERED, OPEN, TRANSITIONS, State, Step, advance, allowed
from gateway.transport.partner import retry_after_s

NOW = 1_000_000
MIB = 1024 * 1024
ids = itertools.count(1)


def waiting(case: str | None = None, seq: int | None = None, **changes: object) -> Waiting:
    """Return a message that is due, unless changed."""
    said = {"state": "queued", "next_at": NOW, "expires_at": NOW + 1, "size": 1000, **changes}
    return Waiting(next(ids), case, seq, **said)  # type: ignore[arg-type]


def chosen(lanes: list[list[Waiting]], limit: int = 100) -> list[int]:
    """Fill an envelope from lanes whose messages are all that is open of their cases."""
    cases: dict[str, list[Waiting]] = {}
    for message in sorted((m for lane in lanes for m in lane), key=lambda m: m.case_seq or 0):
        if message.case_ref is not None:
            cases.setdefault(message.case_ref, []).append(message)
    due = [[m for m in lane if m.state == "queued" and m.next_at <= NOW < m.expires_at] for lane in lanes]
    return fill(due, cases, now_ms=NOW, limit=limit)


# --- the envelope -------------------------------------------------------------------------------------------


def test_flash_goes_first_and_starves_nobody() -> None:
    """A flood of FLASH fills the envelope but for the places kept for those who would wait for ever."""
    flash, urgent, rest = ([waiting() for _ in range(300)] for _ in range(3))
    found = chosen([flash, urgent, rest])
    assert len(found) == 100
    assert found[:80] == [m.id for m in flash[:80]]
    assert found[80:90] == [m.id for m in urgent[:10]]
    assert found[90:] == [m.id for m in rest[:10]]


@pytest.mark.parametrize(("size", "limit"), [(1000, 1), (1000, 2), (8 * MIB, 100)], ids=["one", "two", "large"])
def test_a_flood_that_leaves_no_place_starves_nobody(size: int, limit: int) -> None:
    """Envelopes of one message, or full by their bytes: FLASH begins nine of ten, each lower rank one of twenty."""
    flash, urgent, rest = ([waiting(size=size) for _ in range(100)] for _ in range(3))
    firsts = [fill(in_turn([flash, urgent, rest], n), {}, now_ms=NOW, limit=limit)[0] for n in range(1, 41)]
    assert [firsts.count(lane[0].id) for lane in (flash, urgent, rest)] == [36, 2, 2]
    assert in_turn([flash, [], []], 10) == [flash, [], []]


def test_kept_places_that_nobody_wants_are_used() -> None:
    """One lane alone fills the whole envelope, whichever it is."""
    for place in range(3):
        lanes: list[list[Waiting]] = [[], [], []]
        lanes[place] = [waiting() for _ in range(120)]
        assert chosen(lanes) == [m.id for m in lanes[place][:100]]


def test_a_probe_of_one_takes_the_most_urgent() -> None:
    """While the partner is down one message goes for all."""
    flash, rest = waiting(), waiting()
    assert chosen([[flash], [], [rest]], limit=1) == [flash.id]


def test_a_case_goes_in_its_order_across_urgencies() -> None:
    """A FLASH message takes with it what comes before it in its case, first things first."""
    first, second, third = waiting("C", 1), waiting("C", 2), waiting("C", 3)
    assert chosen([[third], [second], [first]]) == [first.id, second.id, third.id]


@pytest.mark.parametrize(
    "blocking",
    [{"state": "held"}, {"state": "sending"}, {"next_at": NOW + 1}, {"expires_at": NOW}],
    ids=["held", "on its way", "later", "expired"],
)
def test_what_waits_behind_a_message_that_cannot_go_does_not_go(blocking: dict[str, object]) -> None:
    """Its neighbours of other cases do."""
    first, second, other = waiting("C", 1, **blocking), waiting("C", 2), waiting("D", 1)
    assert chosen([[], [], [first, second, other]]) == [other.id]


def test_a_long_case_is_sent_from_its_start() -> None:
    """More of one case than an envelope holds: the first part goes, the rest follows after the answer."""
    case = [waiting("C", seq) for seq in range(1, 151)]
    assert chosen([[case[-1]], [], case[:-1]]) == [m.id for m in case[:100]]


def test_a_case_of_large_messages_is_cut_by_size() -> None:
    """Sixteen of 2 MiB would be over what an envelope may hold; none at all would be worse."""
    case = [waiting("C", seq, size=2 * MIB) for seq in range(1, 17)]
    assert chosen([[case[-1]], [], case[:-1]]) == [m.id for m in case[:7]]


def test_a_message_larger_than_all_others_goes_alone() -> None:
    """10 MiB and 10 MiB are two envelopes."""
    large = [waiting(size=10 * MIB) for _ in range(2)]
    assert chosen([[], [], large]) == [large[0].id]


@given(st.integers(0, 2**32))
def test_whatever_waits_the_envelope_keeps_every_rule(seed: int) -> None:
    """Bounds, no repetition, per-case order without gaps; and something goes whenever something can."""
    rng = random.Random(seed)
    lanes: list[list[Waiting]] = [[], [], []]
    for name in (None, "C", "D", "E"):
        for seq in range(1, rng.randint(1, 60)):
            state = rng.choices(["queued", "held", "sending"], [20, 1, 1])[0]
            message = waiting(
                name, seq if name else None, state=state, next_at=NOW + rng.choice([0, 0, 0, 0, 5]),
                size=rng.randint(1, MIB)
            )  # fmt: skip
            rng.choice(lanes).append(message)
    limit = rng.randint(1, 100)
    by_id = {m.id: m for lane in lanes for m in lane}
    found = [by_id[key] for key in chosen(lanes, limit)]
    assert len({m.id for m in found}) == len(found) <= limit
    assert sum(m.size for m in found) <= delivery.MAX_EVENT_BYTES_AN_ENVELOPE or len(found) == 1
    for name in ("C", "D", "E"):
        seqs = [m.case_seq for m in found if m.case_ref == name]
        assert seqs == list(range(1, len(seqs) + 1))
    assert all(m.state == "queued" and m.next_at <= NOW for m in found)
    free = any(m.case_ref is None and m.state == "queued" and m.next_at <= NOW for m in by_id.values())
    assert found or not free


# --- the wait -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("urgency", "ceiling"), [("FLASH", 30), ("URGENT", 120), ("PRIORITY", 600), ("ROUTINE", 900), ("INFO", 900)]
)
def test_the_wait_doubles_to_a_ceiling_by_urgency_with_full_jitter(urgency: str, ceiling: int) -> None:
    """From 1 s; any moment from none to all of it; a count beyond reason overflows nothing."""
    for attempts in (*range(15), 10**6):
        span = min(ceiling, 2**attempts if attempts < 20 else ceiling)
        assert delay_ms(urgency, attempts, lambda: 0.0) == 0
        assert delay_ms(urgency, attempts, lambda: 0.5) == span * 500
        assert delay_ms(urgency, attempts, lambda: 0.999999) < span * 1000


@pytest.mark.parametrize(("asked", "wait_s"), [(None, 1), (0, 1), (-5, 1), (7, 7), (3600, 3600), (10**9, 3600)])
def test_a_partner_may_ask_for_an_hour_at_most(asked: int | None, wait_s: int) -> None:
    """Else one answer could end a message without a signature."""
    assert retry_at(NOW, "FLASH", 0, asked, lambda: 1.0) == NOW + wait_s * 1000


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [("120", 120), ("Tue, 24 Nov 2026 14:02:00 GMT", 120), ("Tue, 24 Nov 2026 13:00:00 GMT", 0), ("soon", None),
     ("-5", None), ("Tue, 99 Nov 2026 13:00:00 GMT", None)],
)  # fmt: skip
def test_a_pause_is_asked_for_in_seconds_or_until_a_date(said: str, wait_s: int | None) -> None:
    """A proxy before the partner may write a date: it counts by the clock of who wrote it."""
    assert retry_after_s({"Retry-After": said, "Date": "Tue, 24 Nov 2026 14:00:00 GMT"}) == wait_s
    assert retry_after_s({"Retry-After": said}) == (120 if said == "120" else None)


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_a_partner_that_is_down_is_tried_every_minute(failures: int, draw: float) -> None:
    """Or sooner, as its most urgent message asks."""
    assert NOW <= probe_at(NOW, failures, [], lambda: draw) < NOW + 60_000
    assert NOW <= probe_at(NOW, failures, ["FLASH", "INFO"], lambda: draw) < NOW + 30_000


# --- the answer -------------------------------------------------------------------------------------------------


def test_only_200_with_a_receipt_may_be_a_receipt() -> None:
    """Everything else is a failed attempt, whatever it says (law 1)."""
    assert judge_reply(200, "application/jose+json", None, None) == ReceiptClaimed()
    for status in (200, 201, 204, 301, 302, 307, 400, 401, 403, 404, 413, 415, 429, 500, 502, 503):
        for kind in ("text/html", "application/problem+json", "application/jose", ""):
            assert isinstance(judge_reply(status, kind, "accepted", None), FailedAttempt)


def test_an_unknown_problem_code_is_not_repeated_into_our_records() -> None:
    """A partner could put a name there."""
    found = judge_reply(400, "application/problem+json", "Sumarni", None)
    assert isinstance(found, FailedAttempt)
    assert found.reason == "http-400"


@pytest.mark.parametrize(
    ("status", "code", "smaller", "card", "pause"),
    [
        (400, "malformed-envelope", True, False, None),
        (400, "unknown-key", False, True, None),
        (413, "too-large", True, False, None),
        (500, None, True, False, None),
        (503, "draining", False, False, 9),
        (429, "too-many-requests", False, False, 9),
        (403, "unknown-party", False, False, None),
    ],
)
def test_what_a_refusal_makes_us_do(
    status: int, code: str | None, smaller: bool, card: bool, pause: int | None
) -> None:
    """Send less at once where one message may be the poison, fetch the card where a key is the matter."""
    found = judge_reply(status, "application/problem+json", code, 9)
    assert isinstance(found, FailedAttempt)
    assert (found.smaller, found.refresh_card, found.retry_after_s) == (smaller, card, pause)


# --- the states -------------------------------------------------------------------------------------------------


def test_every_move_is_in_the_table_or_refused() -> None:
    """All pairs; and the table never leaves an answered message, nor loses one that is open."""
    for state, step in itertools.product(State, Step):
        if allowed(state, step):
            assert advance(state, step) is TRANSITIONS[state, step]
        else:
            with pytest.raises(IllegalTransition):
                advance(state, step)
    assert not [move for move in TRANSITIONS if move[0] in ANSWERED]


def test_a_verified_answer_is_taken_in_every_state_but_the_answered() -> None:
    """A fact is recorded whatever we had made of the message (law 3)."""
    for state in State:
        assert allowed(state, Step.ACCEPT) is allowed(state, Step.REJECT) is (state not in ANSWERED)


def test_what_is_on_its_way_cannot_be_cancelled_or_held() -> None:
    """It may be accepted already: an officer must not be told otherwise."""
    assert not allowed(State.SENDING, Step.CANCEL)
    assert not allowed(State.SENDING, Step.HOLD)
    assert {State.QUEUED, State.SENDING, State.HELD} == OPEN
