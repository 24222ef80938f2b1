"""Two sides, two queues, any interleaving: both end at the same status (lifecycle laws 1-6)."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@dataclass
class Side:
    """One gateway: its state, what it sent (in order) and the receipts on their way to it."""

    actor: Actor
    state: CaseState
    outgoing: deque[tuple[str, CaseStatus, CaseStatus, int]] = field(default_factory=deque)
    receipts: deque[tuple[str, bool]] = field(default_factory=deque)


class Corridor:
    """The two sides of one case and the traffic between them."""

    def __init__(self) -> None:
        self.opener = Side("O", opened())
        self.recipient = Side("R", received(opened()))
        self.referral_receipt_due = True
        self.clock_ms = 0
        self.sent = 0
        self.moved = 0

    def sides(self, opener_acts: bool) -> tuple[Side, Side]:
        """Return (who acts, the other)."""
        return (self.opener, self.recipient) if opener_acts else (self.recipient, self.opener)

    def send(self, opener_acts: bool, choice: int) -> None:
        """Let a side make one of the moves it believes it may make now."""
        me, _ = self.sides(opener_acts)
        self.clock_ms += 31 * DAY_MS  # so that the 30 days of silence are not what decides
        targets = allowed(me.state, me.actor, self.clock_ms)
        if not targets:
            return
        target, origin, jti = targets[choice % len(targets)], projected(me.state).status, f"m{self.sent}"
        self.sent += 1
        me.state = propose(me.state, jti=jti, actor=me.actor, from_status=origin, to_status=target, at_ms=self.clock_ms)
        me.outgoing.append((jti, origin, target, self.clock_ms))

    def deliver(self, opener_acts: bool, refuse: bool = False) -> None:
        """Carry the oldest message of a side over; `refuse`: turned away for a reason outside the lifecycle."""
        me, other = self.sides(opener_acts)
        if not me.outgoing:
            return
        jti, origin, target, at_ms = me.outgoing.popleft()
        accepted = not refuse
        if accepted:
            try:
                other.state = apply_update(
                    other.state, actor=me.actor, from_status=origin, to_status=target, at_ms=at_ms
                )
                self.moved += 1
            except IllegalMove:
                accepted = False
        me.receipts.append((jti, accepted))

    def answer(self, opener_acts: bool) -> None:
        """Bring the oldest receipt of a side home."""
        me, _ = self.sides(opener_acts)
        if opener_acts and self.referral_receipt_due:
            self.referral_receipt_due = False
            me.state = received(me.state)
        elif me.receipts:
            jti, accepted = me.receipts.popleft()
            me.state = settle(me.state, jti=jti, accepted=accepted)

    def quiet(self) -> None:
        """Deliver and answer everything that is still on its way."""
        while any((s.outgoing or s.receipts) for s in (self.opener, self.recipient)) or self.referral_receipt_due:
            for opener_acts in (True, False):
                self.deliver(opener_acts)
                self.answer(opener_acts)


STEPS = st.lists(
    st.tuples(st.sampled_from(("send", "send", "deliver", "answer", "refuse")), st.booleans(), st.integers(0, 5)),
    max_size=60,
)


@settings(max_examples=600, deadline=None)
@given(STEPS)
def test_both_sides_agree_whatever_the_order_of_deliveries(steps: list[tuple[str, bool, int]]) -> None:
    """After any interleaving, refusals included, status, author and time of the last move are equal."""
    corridor = Corridor()
    for verb, opener_acts, choice in steps:
        if verb == "send":
            corridor.send(opener_acts, choice)
        elif verb == "answer":
            corridor.answer(opener_acts)
        else:
            corridor.deliver(opener_acts, refuse=verb == "refuse")
    corridor.quiet()
    assert corridor.opener.state == corridor.recipient.state
    assert corridor.opener.state.pending == ()


def test_the_way_two_histories_would_part_ends_in_one_status() -> None:
    """The recipient's ACCEPTED crosses a withdrawal that is still on its way: WITHDRAWN on both sides.

    Were ACCEPTED taken and ignored, the recipient would go on to ACTION from it before the withdrawal came.
    """
    corridor = Corridor()
    corridor.answer(opener_acts=True)
    corridor.opener.state = propose(
        corridor.opener.state,
        jti="w",
        actor="O",
        from_status=CaseStatus.RECEIVED,
        to_status=CaseStatus.WITHDRAWN,
        at_ms=1,
    )
    corridor.opener.outgoing.append(("w", CaseStatus.RECEIVED, CaseStatus.WITHDRAWN, 1))
    corridor.send(opener_acts=False, choice=0)
    corridor.deliver(opener_acts=False)
    corridor.answer(opener_acts=False)
    corridor.send(opener_acts=False, choice=1)
    corridor.quiet()
    assert corridor.opener.state.status is CaseStatus.WITHDRAWN
    assert corridor.recipient.state.status is CaseStatus.WITHDRAWN


def test_a_lost_receipt_does_not_stop_the_other_side() -> None:
    """Moving on from my unanswered move's target proves its acceptance; the late receipt changes nothing."""
    corridor = Corridor()
    corridor.send(opener_acts=False, choice=1)  # NEEDS_INFO
    corridor.deliver(opener_acts=False)
    corridor.answer(opener_acts=True)
    corridor.send(opener_acts=True, choice=0)  # the supplement: RECEIVED
    corridor.deliver(opener_acts=True)
    assert corridor.recipient.state.status is CaseStatus.RECEIVED
    corridor.quiet()
    assert corridor.opener.state == corridor.recipient.state
    assert corridor.moved == 2


def test_a_row_of_moves_may_be_sent_while_the_partner_is_down() -> None:
    """ACCEPTED, then UNDER_ASSESSMENT, then ACTION, all before the first receipt: all three take effect."""
    corridor = Corridor()
    corridor.answer(opener_acts=True)
    state = corridor.recipient.state
    row = [CaseStatus.RECEIVED, CaseStatus.ACCEPTED, CaseStatus.UNDER_ASSESSMENT, CaseStatus.ACTION]
    for at, (origin, target) in enumerate(itertools.pairwise(row)):
        state = propose(state, jti=f"r{at}", actor="R", from_status=origin, to_status=target, at_ms=at)
        corridor.recipient.outgoing.append((f"r{at}", origin, target, at))
    corridor.recipient.state = state
    corridor.quiet()
    assert corridor.opener.state.status is CaseStatus.ACTION
    assert corridor.opener.state == corridor.recipient.state


def test_a_row_may_not_lead_back_past_itself() -> None:
    """Back to ACTION while SUSPENDED is unanswered: the partner could not tell the two ACTIONs apart."""
    state = CaseState(CaseStatus.ACTION, changed_by="R")
    state = propose(state, jti="a", actor="R", from_status=CaseStatus.ACTION, to_status=CaseStatus.SUSPENDED, at_ms=1)
    with pytest.raises(IllegalMove):
        propose(state, jti="b", actor="R", from_status=CaseStatus.SUSPENDED, to_status=CaseStatus.ACTION, at_ms=2)
