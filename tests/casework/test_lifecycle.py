"""Case status (§6.1), victim status (§6.2), movement (§6.3) and alert (§6.4): the tables, move by move."""

from __future__ import annotations

import pytest

from gateway.casework.lifecycle import (
    DAY_MS,
    MOVES,
    CaseState,
    CaseStatus,
    IllegalMove,
    allowed,
    apply_update,
    opened,
    projected,
    propose,
    received,
    settle,
)
from gateway.casework.progress import (
    ALERT,
    MOVEMENT,
    VICTIM,
    AlertStatus,
    Milestone,
    VictimStatus,
    advance_alert,
    advance_movement,
    advance_victim,
    alert_now,
    shown_status,
)

# §6.1 as written there: from, and each target with who may go there.
WRITTEN = """
SUBMITTED: WITHDRAWN O
RECEIVED: ACCEPTED R, NEEDS_INFO R, DECLINED R, WITHDRAWN O
NEEDS_INFO: RECEIVED O, DECLINED R, WITHDRAWN O
ACCEPTED: UNDER_ASSESSMENT R, ACTION R, CLOSED_REFERRED R
UNDER_ASSESSMENT: ACTION R, NEEDS_INFO R, SUSPENDED R, CLOSED R, CLOSED_REFERRED R
ACTION: MONITORING R, SUSPENDED R, CLOSED R, CLOSED_REFERRED R
SUSPENDED: UNDER_ASSESSMENT R, ACTION R, CLOSED R
MONITORING: CLOSED R, ACTION OR
DECLINED: SUBMITTED O
CLOSED: UNDER_ASSESSMENT OR, ERASED OR
CLOSED_REFERRED: UNDER_ASSESSMENT OR, ERASED OR
WITHDRAWN: ERASED OR
"""
TABLE = {
    (line.partition(":")[0], move.split()[0]): frozenset(move.split()[1])
    for line in WRITTEN.strip().splitlines()
    for move in line.partition(":")[2].split(",")
}
LATE_MS = 31 * DAY_MS  # after the thirty days of silence, before the year ends


def test_the_table_is_the_written_one() -> None:
    """Every move of §6.1 and no other, with its actors."""
    assert {(a.value, b.value): actors for (a, b), actors in MOVES.items()} == TABLE


@pytest.mark.parametrize("origin", list(CaseStatus))
@pytest.mark.parametrize("target", list(CaseStatus))
@pytest.mark.parametrize("actor", ["O", "R"])
def test_every_pair_of_statuses(origin: CaseStatus, target: CaseStatus, actor: str) -> None:
    """Listed for the actor: applied. Not listed: E-STATE, at the status, without values."""
    state = CaseState(origin, changed_at_ms=0)
    listed = TABLE.get((origin.value, target.value), frozenset())
    if origin is CaseStatus.SUBMITTED:  # seen before its receipt: what RECEIVED may, it may
        listed = TABLE.get(("RECEIVED", target.value), frozenset()) | listed
    side = "O" if actor == "O" else "R"
    if origin is target:
        assert apply_update(state, actor=side, from_status=origin, to_status=target, at_ms=LATE_MS) == state
    elif actor in listed:
        moved = apply_update(state, actor=side, from_status=origin, to_status=target, at_ms=LATE_MS)
        assert moved.status is (CaseStatus.RECEIVED if target is CaseStatus.SUBMITTED else target)
        assert (moved.changed_by, moved.changed_at_ms) == (side, LATE_MS)
    else:
        with pytest.raises(IllegalMove) as caught:
            apply_update(state, actor=side, from_status=origin, to_status=target, at_ms=LATE_MS)
        assert (caught.value.finding.code, caught.value.finding.pointer) == ("E-STATE", "/toStatus")


def test_a_move_from_another_status_than_the_case_has() -> None:
    """E-STATE at /fromStatus."""
    with pytest.raises(IllegalMove) as caught:
        apply_update(
            CaseState(CaseStatus.ACTION),
            actor="R",
            from_status=CaseStatus.MONITORING,
            to_status=CaseStatus.CLOSED,
            at_ms=1,
        )
    assert caught.value.finding.pointer == "/fromStatus"


def test_received_is_automatic_and_named_either_way() -> None:
    """The receipt makes RECEIVED; a first answer may name SUBMITTED or RECEIVED on either side of it."""
    for state in (opened(5), received(opened(5))):
        for origin in (CaseStatus.SUBMITTED, CaseStatus.RECEIVED):
            moved = apply_update(state, actor="R", from_status=origin, to_status=CaseStatus.ACCEPTED, at_ms=9)
            assert (moved.status, moved.previous) == (CaseStatus.ACCEPTED, CaseStatus.RECEIVED)
    assert received(CaseState(CaseStatus.ACTION)) == CaseState(CaseStatus.ACTION)


@pytest.mark.parametrize(
    ("origin", "target", "after_days", "refused"),
    [
        (CaseStatus.NEEDS_INFO, CaseStatus.DECLINED, 29, True),
        (CaseStatus.NEEDS_INFO, CaseStatus.DECLINED, 30, False),
        (CaseStatus.CLOSED, CaseStatus.UNDER_ASSESSMENT, 366, False),
        (CaseStatus.CLOSED, CaseStatus.UNDER_ASSESSMENT, 367, True),
        (CaseStatus.CLOSED_REFERRED, CaseStatus.UNDER_ASSESSMENT, 367, True),
    ],
)
def test_time_decides_two_moves(origin: CaseStatus, target: CaseStatus, after_days: int, refused: bool) -> None:
    """Thirty days of silence before declining; twelve months to reopen. By the events' own times."""
    state = CaseState(origin, changed_at_ms=7)
    at_ms = 7 + after_days * DAY_MS
    if refused:
        with pytest.raises(IllegalMove):
            apply_update(state, actor="R", from_status=origin, to_status=target, at_ms=at_ms)
    else:
        assert apply_update(state, actor="R", from_status=origin, to_status=target, at_ms=at_ms).status is target


def test_a_declined_case_is_submitted_again_once() -> None:
    """And is RECEIVED at once, its receipt being the acceptance of that update."""
    again = apply_update(
        CaseState(CaseStatus.DECLINED),
        actor="O",
        from_status=CaseStatus.DECLINED,
        to_status=CaseStatus.SUBMITTED,
        at_ms=1,
    )
    assert (again.status, again.resubmitted) == (CaseStatus.RECEIVED, True)
    declined = apply_update(again, actor="R", from_status=CaseStatus.RECEIVED, to_status=CaseStatus.DECLINED, at_ms=2)
    with pytest.raises(IllegalMove, match="once"):
        apply_update(declined, actor="O", from_status=CaseStatus.DECLINED, to_status=CaseStatus.SUBMITTED, at_ms=3)


def chain(state: CaseState, actor: str, *targets: CaseStatus) -> CaseState:
    """Propose one move after another, none of them answered."""
    side = "O" if actor == "O" else "R"
    for i, target in enumerate(targets):
        origin = projected(state).status
        state = propose(state, jti=f"m{i}", actor=side, from_status=origin, to_status=target, at_ms=i)
    return state


def test_work_goes_on_while_the_partner_is_down() -> None:
    """Moves follow one another unanswered; each takes effect with its own answer, none with a refusal."""
    start = received(opened())
    state = chain(start, "R", CaseStatus.ACCEPTED, CaseStatus.ACTION)
    assert (state.status, projected(state).status) == (CaseStatus.RECEIVED, CaseStatus.ACTION)
    report = propose(state, jti="r", actor="R", from_status=CaseStatus.ACTION, to_status=CaseStatus.ACTION, at_ms=2)
    assert report == state
    first = settle(state, jti="m0", accepted=True)
    assert first.status is CaseStatus.ACCEPTED
    assert settle(first, jti="m1", accepted=True).status is CaseStatus.ACTION
    refused = settle(state, jti="m0", accepted=False)
    assert settle(refused, jti="m1", accepted=False) == start


@pytest.mark.parametrize(
    ("origin", "actor", "first", "then"),
    [
        # back to a status the row has passed
        (CaseStatus.ACTION, "R", CaseStatus.SUSPENDED, CaseStatus.ACTION),
        # on from where the opener may be moving on its own
        (CaseStatus.MONITORING, "R", CaseStatus.ACTION, CaseStatus.CLOSED),
        (CaseStatus.CLOSED, "R", CaseStatus.UNDER_ASSESSMENT, CaseStatus.ACTION),
        # on from where the recipient may still be standing
        (CaseStatus.NEEDS_INFO, "O", CaseStatus.RECEIVED, CaseStatus.WITHDRAWN),
        (CaseStatus.DECLINED, "O", CaseStatus.SUBMITTED, CaseStatus.WITHDRAWN),
    ],
)
def test_a_row_of_moves_waits_where_it_could_be_misread(
    origin: CaseStatus, actor: str, first: CaseStatus, then: CaseStatus
) -> None:
    """E-STATE until the first is answered; then it may go. A form does not offer it before."""
    state = chain(CaseState(origin), actor, first)
    side = "O" if actor == "O" else "R"
    assert then not in allowed(state, side, 1)
    with pytest.raises(IllegalMove) as caught:
        chain(state, actor, then)
    assert caught.value.finding.code == "E-STATE"
    answered = settle(state, jti="m0", accepted=True)
    assert then in allowed(answered, side, 1)


def test_answers_may_come_home_in_another_order() -> None:
    """The second's acceptance proves the first's, which then changes nothing."""
    state = chain(received(opened()), "R", CaseStatus.ACCEPTED, CaseStatus.ACTION)
    second = settle(state, jti="m1", accepted=True)
    assert (second.status, second.pending) == (CaseStatus.ACTION, ())
    assert settle(second, jti="m0", accepted=True) == second


def test_an_answer_that_no_longer_fits_is_recorded_without_a_move() -> None:
    """A verified answer is a fact: it never raises."""
    state = chain(CaseState(CaseStatus.ACTION), "R", CaseStatus.SUSPENDED)
    elsewhere = CaseState(CaseStatus.CLOSED, pending=state.pending)
    assert settle(elsewhere, jti="m0", accepted=True) == CaseState(CaseStatus.CLOSED)


def test_a_late_receipt_does_not_settle_another_move() -> None:
    """The first move was proved by the partner's next; its receipt comes when a second one is on its way."""
    state = propose(
        CaseState(CaseStatus.NEEDS_INFO),
        jti="first",
        actor="O",
        from_status=CaseStatus.NEEDS_INFO,
        to_status=CaseStatus.RECEIVED,
        at_ms=1,
    )
    state = apply_update(state, actor="R", from_status=CaseStatus.RECEIVED, to_status=CaseStatus.NEEDS_INFO, at_ms=2)
    state = propose(
        state,
        jti="second",
        actor="O",
        from_status=CaseStatus.NEEDS_INFO,
        to_status=CaseStatus.WITHDRAWN,
        at_ms=3,
    )
    assert settle(state, jti="first", accepted=True) == state
    assert settle(state, jti="second", accepted=True).status is CaseStatus.WITHDRAWN


def test_what_a_form_offers() -> None:
    """Only the actor's own moves, at their time."""
    waiting = CaseState(CaseStatus.NEEDS_INFO, changed_at_ms=0)
    assert allowed(waiting, "R", 29 * DAY_MS) == ()
    assert allowed(waiting, "R", 30 * DAY_MS) == (CaseStatus.DECLINED,)
    assert set(allowed(waiting, "O", 1)) == {CaseStatus.RECEIVED, CaseStatus.WITHDRAWN}


@pytest.mark.parametrize("before", list(VictimStatus))
@pytest.mark.parametrize("to", list(VictimStatus))
def test_victim_status_moves(before: VictimStatus, to: VictimStatus) -> None:
    """§6.2 for one body: the listed moves, and confirmation; from ActualVictim with rationale and second officer."""
    listed = {
        "NotAssessed": {"AssessmentInProgress", "PossibleVictimOfTrafficking"},
        "AssessmentInProgress": {"PossibleVictimOfTrafficking", "NotAVictimOfTrafficking"},
        "PossibleVictimOfTrafficking": {"ActualVictimOfTrafficking", "NotAVictimOfTrafficking"},
        "NotAVictimOfTrafficking": {"PossibleVictimOfTrafficking"},
        "ActualVictimOfTrafficking": set(),
    }[before]
    assert (advance_victim(before, to) is None) is (to.value in listed or to is before)
    if before is VictimStatus.ACTUAL and to in VICTIM[before]:
        assert advance_victim(before, to, rationale=True) is not None
        assert advance_victim(before, to, second_officer=True) is not None
        assert advance_victim(before, to, rationale=True, second_officer=True) is None
    assert advance_victim(None, to) is None


@pytest.mark.parametrize(
    ("statuses", "shown"),
    [
        ((), "NotAssessed"),
        (("NotAssessed", "AssessmentInProgress"), "AssessmentInProgress"),
        (("PossibleVictimOfTrafficking", "NotAssessed"), "PossibleVictimOfTrafficking"),
        (("PossibleVictimOfTrafficking", "NotAVictimOfTrafficking"), "Contested"),
    ],
)
def test_two_bodies_may_differ(statuses: tuple[str, ...], shown: str) -> None:
    """The view says Contested; nobody's opinion is overruled by a computation."""
    assert shown_status(statuses) == shown


def test_the_way_home() -> None:
    """§6.3 in its order, with transit repeated; ABORTED from any before ARRIVED; nobody arrives undeparted."""
    steps = [
        "LOCATED",
        "SAFE",
        "SCREENED",
        "IDENTITY_CONFIRMED",
        "TRAVEL_DOC_ISSUED",
        "FINE_WAIVED",
        "EXIT_PERMIT",
        "BOOKED",
        "DEPARTED",
        "TRANSIT",
        "TRANSIT",
        "ARRIVED",
        "HANDED_OVER",
    ]
    for before, to in zip([None, *steps], steps, strict=False):
        assert advance_movement(Milestone(before) if before else None, Milestone(to)) is None
    for status in Milestone:
        late = status in (Milestone.ARRIVED, Milestone.HANDED_OVER, Milestone.ABORTED)
        assert (advance_movement(status, Milestone.ABORTED) is not None) is late
        if status not in (Milestone.DEPARTED, Milestone.TRANSIT):
            assert Milestone.ARRIVED not in MOVEMENT[status]
    assert advance_movement(None, Milestone.ARRIVED) is not None
    assert advance_movement(Milestone.SAFE, Milestone.IDENTITY_CONFIRMED) is not None, "screened first (P11)"


@pytest.mark.parametrize("before", list(AlertStatus))
@pytest.mark.parametrize("to", list(AlertStatus))
def test_alert_moves(before: AlertStatus, to: AlertStatus) -> None:
    """§6.4; a hit may still be withdrawn, because its subject may turn out a victim."""
    listed = {
        ("ACTIVE", "HIT"),
        ("HIT", "RESOLVED"),
        ("ACTIVE", "EXPIRED"),
        ("ACTIVE", "WITHDRAWN"),
        ("HIT", "WITHDRAWN"),
    }
    assert (advance_alert(before, to) is None) is ((before.value, to.value) in listed)
    assert set(ALERT) == set(AlertStatus)


def test_a_subject_who_is_a_victim_withdraws_the_alert() -> None:
    """At once, a hit included; time expires only what is active."""
    victim = ("NotAVictimOfTrafficking", "PossibleVictimOfTrafficking")
    for status in (AlertStatus.ACTIVE, AlertStatus.HIT):
        now = alert_now(status, valid_until_ms=10, now_ms=1, victim_statuses=victim)
        assert now is AlertStatus.WITHDRAWN
    assert alert_now(AlertStatus.ACTIVE, valid_until_ms=10, now_ms=10) is AlertStatus.EXPIRED
    assert alert_now(AlertStatus.ACTIVE, valid_until_ms=10, now_ms=9) is AlertStatus.ACTIVE
    assert alert_now(AlertStatus.HIT, valid_until_ms=10, now_ms=99) is AlertStatus.HIT
