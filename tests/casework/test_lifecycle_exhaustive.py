"""Every interleaving of up to three moves, from every status: the two sides end alike (lifecycle laws 1-6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from gateway.casework.lifecycle import (
    DAY_MS,
    Actor,
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

if TYPE_CHECKING:
    from collections.abc import Iterator

MOVES = 3
STEP_MS = 31 * DAY_MS  # so that the 30 days of silence are not what decides

Sent = tuple[str, CaseStatus, CaseStatus, int]
Answer = tuple[str, bool]


@dataclass(frozen=True)
class World:
    """Both sides, what each sent, the answers on their way to each, and whether the referral's receipt is due."""

    opener: CaseState
    recipient: CaseState
    from_opener: tuple[Sent, ...] = ()
    from_recipient: tuple[Sent, ...] = ()
    to_opener: tuple[Answer, ...] = ()
    to_recipient: tuple[Answer, ...] = ()
    receipt_due: bool = False
    sent: int = 0

    @property
    def quiet(self) -> bool:
        """Tell whether nothing is on its way."""
        on_its_way = self.from_opener or self.from_recipient or self.to_opener or self.to_recipient
        return not (on_its_way or self.receipt_due)


def sends(world: World, actor: Actor) -> Iterator[World]:
    """Yield the worlds after each move a side believes it may make."""
    state = world.opener if actor == "O" else world.recipient
    at_ms, jti = (world.sent + 1) * STEP_MS, f"{actor}{world.sent}"
    origin = projected(state).status
    for target in allowed(state, actor, at_ms):
        after = propose(state, jti=jti, actor=actor, from_status=origin, to_status=target, at_ms=at_ms)
        message = (jti, origin, target, at_ms)
        if actor == "O":
            yield replace(world, opener=after, from_opener=(*world.from_opener, message), sent=world.sent + 1)
        else:
            yield replace(world, recipient=after, from_recipient=(*world.from_recipient, message), sent=world.sent + 1)


def judged(state: CaseState, actor: Actor, message: Sent) -> tuple[CaseState, bool]:
    """Return the receiver's state and whether it accepted."""
    _, origin, target, at_ms = message
    try:
        return apply_update(state, actor=actor, from_status=origin, to_status=target, at_ms=at_ms), True
    except IllegalMove:
        return state, False


def deliveries(world: World) -> Iterator[World]:
    """Yield the worlds after each delivery, judged by the lifecycle or refused for another reason, and each answer."""
    if world.from_opener:
        message, rest = world.from_opener[0], world.from_opener[1:]
        after, fine = judged(world.recipient, "O", message)
        for state, accepted in ((after, fine), (world.recipient, False)):
            answers = (*world.to_opener, (message[0], accepted))
            yield replace(world, recipient=state, from_opener=rest, to_opener=answers)
    if world.from_recipient:
        message, rest = world.from_recipient[0], world.from_recipient[1:]
        after, fine = judged(world.opener, "R", message)
        for state, accepted in ((after, fine), (world.opener, False)):
            answers = (*world.to_recipient, (message[0], accepted))
            yield replace(world, opener=state, from_recipient=rest, to_recipient=answers)
    if world.receipt_due:
        yield replace(world, opener=received(world.opener), receipt_due=False)
    elif world.to_opener:
        jti, accepted = world.to_opener[0]
        yield replace(world, opener=settle(world.opener, jti=jti, accepted=accepted), to_opener=world.to_opener[1:])
    if world.to_recipient:
        jti, accepted = world.to_recipient[0]
        after = settle(world.recipient, jti=jti, accepted=accepted)
        yield replace(world, recipient=after, to_recipient=world.to_recipient[1:])


@pytest.mark.parametrize("start", list(CaseStatus))
def test_every_interleaving_ends_alike(start: CaseStatus) -> None:
    """Whenever nothing is on its way, both hold the same state, pending moves included (there are none)."""
    if start is CaseStatus.SUBMITTED:
        first = World(opened(), received(opened()), receipt_due=True)
    else:
        first = World(CaseState(start), CaseState(start))
    seen, waiting, ends = {first}, [first], 0
    while waiting:
        world = waiting.pop()
        if world.quiet:
            ends += 1
            assert world.opener == world.recipient
            assert world.opener.pending == ()
        following = list(deliveries(world))
        if world.sent < MOVES:
            following += [*sends(world, "O"), *sends(world, "R")]
        fresh = {after for after in following if after not in seen}
        seen |= fresh
        waiting.extend(fresh)
    assert ends >= (1 if start is CaseStatus.ERASED else 3)
