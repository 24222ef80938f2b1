"""The states of an outbound message, and the only way from one to another.

| state     | means                                                                  | final |
|-----------|------------------------------------------------------------------------|-------|
| queued    | waits for its turn, a retry or an outcome that is not known yet        |       |
| sending   | under a lease, in an envelope that is on its way                       |       |
| held      | waits for a person: `release` (four eyes) or `operator`                |       |
| accepted  | the partner's signed receipt says it is committed there                | yes   |
| rejected  | the partner's signed receipt refuses it; a correction is a new message | yes   |
| dead      | given up at its `expirytime`, or it cannot be sent; alarmed            | but * |
| cancelled | given up by a person                                                   | but * |

* A verified answer is a fact (protocol.md, law 3): one that arrives for a message we gave up is recorded.
"""

from __future__ import annotations

from enum import StrEnum

from gateway.errors import IllegalTransition


class State(StrEnum):
    """Where an outbound message stands."""

    QUEUED = "queued"
    SENDING = "sending"
    HELD = "held"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DEAD = "dead"
    CANCELLED = "cancelled"


class Step(StrEnum):
    """What can happen to it."""

    CLAIM = "claim"
    PUT_BACK = "put back"
    ACCEPT = "accept"
    REJECT = "reject"
    GIVE_UP = "give up"
    CANCEL = "cancel"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"


S, E = State, Step

TRANSITIONS: dict[tuple[State, Step], State] = {
    (S.QUEUED, E.CLAIM): S.SENDING,
    (S.SENDING, E.PUT_BACK): S.QUEUED,
    # The answer to an earlier, unanswered attempt may come while the message waits again.
    (S.SENDING, E.ACCEPT): S.ACCEPTED,
    (S.SENDING, E.REJECT): S.REJECTED,
    (S.QUEUED, E.ACCEPT): S.ACCEPTED,
    (S.QUEUED, E.REJECT): S.REJECTED,
    (S.HELD, E.ACCEPT): S.ACCEPTED,
    (S.HELD, E.REJECT): S.REJECTED,
    (S.DEAD, E.ACCEPT): S.ACCEPTED,
    (S.DEAD, E.REJECT): S.REJECTED,
    (S.CANCELLED, E.ACCEPT): S.ACCEPTED,
    (S.CANCELLED, E.REJECT): S.REJECTED,
    (S.QUEUED, E.GIVE_UP): S.DEAD,
    (S.HELD, E.GIVE_UP): S.DEAD,
    (S.SENDING, E.GIVE_UP): S.DEAD,
    (S.QUEUED, E.CANCEL): S.CANCELLED,
    (S.HELD, E.CANCEL): S.CANCELLED,
    (S.DEAD, E.CANCEL): S.CANCELLED,
    (S.QUEUED, E.HOLD): S.HELD,
    (S.HELD, E.RELEASE): S.QUEUED,
    (S.QUEUED, E.RETRY): S.QUEUED,
    (S.DEAD, E.RETRY): S.QUEUED,
}

OPEN = frozenset({S.QUEUED, S.SENDING, S.HELD})
ANSWERED = frozenset({S.ACCEPTED, S.REJECTED})


def advance(state: State, step: Step) -> State:
    """Return the state after `step`.

    Raises IllegalTransition where the table holds no such move.
    """
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        detail = f"a message that is {state} cannot {step}"
        raise IllegalTransition(detail) from None


def allowed(state: State, step: Step) -> bool:
    """Return whether the table holds this move: what a person is offered, and refused politely."""
    return (state, step) in TRANSITIONS
