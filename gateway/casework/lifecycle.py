"""Case status (§6.1): one table, one way to move, and the rule by which two gateways always agree.

Laws:
1. Both sides hold the same table. A move is (from, to) and who may make it: the opener O or the recipient R.
2. A move takes effect where it is accepted, and with its sender when the signed receipt says so.
3. A side may send several moves in a row before the first is answered (`pending`, in order): a partner that is
   down stops nobody's work. It waits where the partner could take the next move for something else (law 5): where
   the row would lead back to a status it passed, or on from one that the other side reaches, or still holds, alone.
4. Crossing: two moves from the same status, each sent before the other arrived. **The opener's wins.** The
   opener, with a move of its own unanswered, refuses the recipient's (E-STATE); the recipient takes the opener's
   although its own is unanswered. So every history is one sequence, and its order is the opener's.
5. Who moves on from the target of my unanswered move has accepted it and those before it: a lost receipt
   stops nobody.
6. RECEIVED is automatic on the accepted receipt: SUBMITTED and RECEIVED are one step seen before and after it,
   and a `fromStatus` of either names both.

Why refuse and not take-and-ignore: a move that was answered "accepted" has taken effect for its sender, who
may build on it before the winning move arrives; the two histories then part for good (a test shows the way).
Times are the events' own `time`, the same on both sides, never the local clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

from gateway.errors import Finding

Actor = Literal["O", "R"]

DAY_MS: Final = 86_400_000
SILENCE_MS: Final = 30 * DAY_MS  # §6.1: NEEDS_INFO may be declined after 30 days without a supplement
REOPEN_MS: Final = 366 * DAY_MS  # §6.1: reopen within 12 months; 366 so that a leap year is not short
REVIEW_SUSPENDED_MS: Final = 60 * DAY_MS  # §6.1: a suspended case is looked at every 60 days


class CaseStatus(StrEnum):
    """Where an exchange case stands (list `caseStatus`)."""

    SUBMITTED = "SUBMITTED"
    RECEIVED = "RECEIVED"
    ACCEPTED = "ACCEPTED"
    NEEDS_INFO = "NEEDS_INFO"
    UNDER_ASSESSMENT = "UNDER_ASSESSMENT"
    ACTION = "ACTION"
    SUSPENDED = "SUSPENDED"
    MONITORING = "MONITORING"
    DECLINED = "DECLINED"
    CLOSED = "CLOSED"
    CLOSED_REFERRED = "CLOSED_REFERRED"
    WITHDRAWN = "WITHDRAWN"
    ERASED = "ERASED"


_S = CaseStatus
_BOTH: Final[frozenset[Actor]] = frozenset(("O", "R"))
_O: Final[frozenset[Actor]] = frozenset(("O",))
_R: Final[frozenset[Actor]] = frozenset(("R",))

MOVES: Final[dict[tuple[CaseStatus, CaseStatus], frozenset[Actor]]] = {
    (_S.SUBMITTED, _S.WITHDRAWN): _O,
    (_S.RECEIVED, _S.ACCEPTED): _R,
    (_S.RECEIVED, _S.NEEDS_INFO): _R,
    (_S.RECEIVED, _S.DECLINED): _R,
    (_S.RECEIVED, _S.WITHDRAWN): _O,
    (_S.NEEDS_INFO, _S.RECEIVED): _O,
    (_S.NEEDS_INFO, _S.DECLINED): _R,
    (_S.NEEDS_INFO, _S.WITHDRAWN): _O,
    (_S.ACCEPTED, _S.UNDER_ASSESSMENT): _R,
    (_S.ACCEPTED, _S.ACTION): _R,
    (_S.ACCEPTED, _S.CLOSED_REFERRED): _R,
    (_S.UNDER_ASSESSMENT, _S.ACTION): _R,
    (_S.UNDER_ASSESSMENT, _S.NEEDS_INFO): _R,
    (_S.UNDER_ASSESSMENT, _S.SUSPENDED): _R,
    (_S.UNDER_ASSESSMENT, _S.CLOSED): _R,
    (_S.UNDER_ASSESSMENT, _S.CLOSED_REFERRED): _R,
    (_S.ACTION, _S.MONITORING): _R,
    (_S.ACTION, _S.SUSPENDED): _R,
    (_S.ACTION, _S.CLOSED): _R,
    (_S.ACTION, _S.CLOSED_REFERRED): _R,
    (_S.SUSPENDED, _S.UNDER_ASSESSMENT): _R,
    (_S.SUSPENDED, _S.ACTION): _R,
    (_S.SUSPENDED, _S.CLOSED): _R,
    (_S.MONITORING, _S.CLOSED): _R,
    (_S.MONITORING, _S.ACTION): _BOTH,
    (_S.DECLINED, _S.SUBMITTED): _O,
    (_S.CLOSED, _S.UNDER_ASSESSMENT): _BOTH,
    (_S.CLOSED, _S.ERASED): _BOTH,
    (_S.CLOSED_REFERRED, _S.UNDER_ASSESSMENT): _BOTH,
    (_S.CLOSED_REFERRED, _S.ERASED): _BOTH,
    (_S.WITHDRAWN, _S.ERASED): _BOTH,
}

CLOSING: Final = frozenset((_S.CLOSED, _S.CLOSED_REFERRED))
FINISHED: Final = CLOSING | {_S.DECLINED, _S.WITHDRAWN, _S.ERASED}
_RECEIPT: Final = frozenset((_S.SUBMITTED, _S.RECEIVED))


def _reach(actor: Actor, status: CaseStatus) -> frozenset[CaseStatus]:
    found: set[CaseStatus] = set()
    fresh = {status}
    while fresh:
        now = fresh.pop()
        steps = {to for (origin, to), actors in MOVES.items() if origin is now and actor in actors}
        steps |= _RECEIPT if steps & _RECEIPT else frozenset()
        fresh |= steps - found
        found |= steps
    return frozenset(found)


# Where a side alone can take a case from a status.
_REACHES: Final = {(actor, status): _reach(actor, status) for actor in _BOTH for status in CaseStatus}


@dataclass(frozen=True, slots=True)
class Move:
    """One side's sent and not yet answered status change; `jti` is its message id."""

    jti: str
    actor: Actor
    from_status: CaseStatus
    to_status: CaseStatus
    at_ms: int


@dataclass(frozen=True, slots=True)
class CaseState:
    """What one side holds of a case. `changed_at_ms` is the `time` of the event that made the last move."""

    status: CaseStatus
    previous: CaseStatus | None = None
    changed_by: Actor | None = None
    changed_at_ms: int = 0
    resubmitted: bool = False
    pending: tuple[Move, ...] = ()


class IllegalMove(Exception):
    """A status change that the table does not hold now; `finding` has code E-STATE and points at the field."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(reason)
        self.finding = Finding(pointer, reason, "E-STATE")


def opened(at_ms: int = 0) -> CaseState:
    """Return the state of a case whose first message has just been sent (`at_ms`: its `time`)."""
    return CaseState(CaseStatus.SUBMITTED, changed_by="O", changed_at_ms=at_ms)


def unheard(state: CaseState, at_ms: int) -> CaseState:
    """Take into account that the opening was given up: SUBMITTED becomes WITHDRAWN on our side, all else stays."""
    if state.status is not CaseStatus.SUBMITTED:
        return state
    return replace(
        state, status=CaseStatus.WITHDRAWN, previous=CaseStatus.SUBMITTED, changed_by="O", changed_at_ms=at_ms
    )


def tried_again(state: CaseState) -> CaseState:
    """Take into account that an opening that was given up goes on after all."""
    return replace(state, status=CaseStatus.SUBMITTED, previous=None) if _unheard(state) else state


def _unheard(state: CaseState) -> bool:
    # A withdrawal that was sent starts from RECEIVED: with its receipt the opening had one too.
    return state.status is CaseStatus.WITHDRAWN and state.previous is CaseStatus.SUBMITTED


def received(state: CaseState) -> CaseState:
    """Take the accepted receipt into account: SUBMITTED becomes RECEIVED, all else stays.

    So does WITHDRAWN where the opening was given up and the other side took it all the same: its answer is a fact.
    """
    if state.status is not CaseStatus.SUBMITTED and not _unheard(state):
        return state
    return replace(state, status=CaseStatus.RECEIVED, previous=CaseStatus.SUBMITTED, changed_by="R")


def projected(state: CaseState) -> CaseState:
    """Return the state once our unanswered moves are accepted: what our own next move starts from."""
    for move in state.pending:
        if _fault(state, move.actor, move.from_status, move.to_status, move.at_ms) is None:
            state = _moved(state, move.actor, move.from_status, move.to_status, move.at_ms)
    return state


def propose(
    state: CaseState, *, jti: str, actor: Actor, from_status: CaseStatus, to_status: CaseStatus, at_ms: int
) -> CaseState:
    """Judge our own move before it is sent; the returned state holds it as `pending`, status unchanged.

    `from_status` equal to `to_status` is a report without a move and always passes. Raise IllegalMove.
    """
    if from_status is to_status:
        return state
    waits = _must_wait(state, actor, from_status, to_status)
    if waits is not None:
        raise waits
    _moved(projected(state), actor, from_status, to_status, at_ms)
    return replace(state, pending=(*state.pending, Move(jti, actor, from_status, to_status, at_ms)))


def settle(state: CaseState, *, jti: str, accepted: bool) -> CaseState:
    """Record the final answer to our own move `jti`.

    Not accepted means rejected, or given up after the partner confirmed that it never took it. An answer to a
    move that is no longer pending changes nothing: law 5 has applied it already.
    """
    move = next((held for held in state.pending if held.jti == jti), None)
    if move is None:
        return state
    if accepted and not _same(move.from_status, state.status):
        state = _taken_up_to(state, move.from_status)  # answers may come home in another order than sent
    state = replace(state, pending=tuple(held for held in state.pending if held is not move))
    if not accepted or _fault(state, move.actor, move.from_status, move.to_status, move.at_ms) is not None:
        return state  # a partner's answer is a fact, and no fact may stop the recording of it
    return _moved(state, move.actor, move.from_status, move.to_status, move.at_ms)


def apply_update(
    state: CaseState, *, actor: Actor, from_status: CaseStatus, to_status: CaseStatus, at_ms: int
) -> CaseState:
    """Judge and apply the move of the other side (`actor`), as its receiver. Raise IllegalMove.

    `at_ms` is the event's `time`. A report without a move (`from_status` equal to `to_status`) changes nothing.
    """
    if from_status is to_status:
        return state
    if not _same(from_status, state.status):
        # Law 5: they stand where only our unanswered moves lead, so they have taken these.
        state = _taken_up_to(state, from_status)
    if any(move.actor == "O" for move in state.pending):
        raise IllegalMove("/fromStatus", "crosses a status change of the case's opener, which goes first")
    return _moved(state, actor, from_status, to_status, at_ms)


def allowed(state: CaseState, actor: Actor, now_ms: int) -> tuple[CaseStatus, ...]:
    """Return the statuses `actor` may move the case to now, for a form, its unanswered moves counted in."""
    after = projected(state)
    return tuple(
        to
        for to in CaseStatus
        if _fault(after, actor, after.status, to, now_ms) is None and _must_wait(state, actor, after.status, to) is None
    )


def _must_wait(state: CaseState, actor: Actor, from_status: CaseStatus, to_status: CaseStatus) -> IllegalMove | None:
    """Tell why a move cannot follow our unanswered ones (law 3): the partner could take it for something else."""
    row = [state.status, *(move.to_status for move in state.pending)]
    if not state.pending:
        return None
    if any(_same(to_status, status) for status in row):
        return IllegalMove("/toStatus", "leads back past a status change of ours that is unanswered")
    # Should the opener be moving there as well, it would read this as an answer to its own move.
    met = actor == "R" and any(from_status in _REACHES["O", status] for status in row)
    # Should the recipient not have got its receipts, and refuse the move before, this would fit where it still is.
    behind = actor == "O" and not _REACHES["R", from_status].isdisjoint(row)
    if met or behind:
        return IllegalMove("/fromStatus", "the other side may stand here on its own: wait for the answer to ours")
    return None


def _taken_up_to(state: CaseState, status: CaseStatus) -> CaseState:
    """Settle our unanswered moves up to the one that leads to `status`; none where none does."""
    found = state
    for move in state.pending:
        if _fault(found, move.actor, move.from_status, move.to_status, move.at_ms) is None:
            found = settle(found, jti=move.jti, accepted=True)
            if _same(status, found.status):
                return found
    return state


def _same(one: CaseStatus, other: CaseStatus) -> bool:
    return one is other or (one in _RECEIPT and other in _RECEIPT)


def _moved(state: CaseState, actor: Actor, from_status: CaseStatus, to_status: CaseStatus, at_ms: int) -> CaseState:
    fault = _fault(state, actor, from_status, to_status, at_ms)
    if fault is not None:
        raise fault
    again = to_status is CaseStatus.SUBMITTED
    return replace(
        state,
        # Law 6: a move is applied once it is accepted, and with that receipt the case is RECEIVED.
        status=CaseStatus.RECEIVED if again else to_status,
        previous=_after_receipt(state.status),
        changed_by=actor,
        changed_at_ms=at_ms,
        resubmitted=state.resubmitted or again,
    )


def _fault(
    state: CaseState, actor: Actor, from_status: CaseStatus, to_status: CaseStatus, at_ms: int
) -> IllegalMove | None:
    if not _same(from_status, state.status):
        return IllegalMove("/fromStatus", "the case does not stand at this status")
    actors = MOVES.get((from_status, to_status)) or MOVES.get((_after_receipt(from_status), to_status))
    if actors is None:
        return IllegalMove("/toStatus", "no such move from the case's status")
    if actor not in actors:
        return IllegalMove("/toStatus", "this move belongs to the other side of the case")
    return _too_early_or_late(state, from_status, to_status, at_ms - state.changed_at_ms)


def _too_early_or_late(
    state: CaseState, from_status: CaseStatus, to_status: CaseStatus, since_ms: int
) -> IllegalMove | None:
    if (from_status, to_status) == (CaseStatus.NEEDS_INFO, CaseStatus.DECLINED) and since_ms < SILENCE_MS:
        return IllegalMove("/toStatus", "the opener has 30 days to supplement")
    if from_status in CLOSING and to_status is CaseStatus.UNDER_ASSESSMENT and since_ms > REOPEN_MS:
        return IllegalMove("/toStatus", "closed for more than 12 months: open a new case")
    if to_status is CaseStatus.SUBMITTED and state.resubmitted:
        return IllegalMove("/toStatus", "a declined case may be submitted again once only")
    return None


def _after_receipt(status: CaseStatus) -> CaseStatus:
    return CaseStatus.RECEIVED if status is CaseStatus.SUBMITTED else status
