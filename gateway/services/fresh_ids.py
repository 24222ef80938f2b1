"""Ids that we give out: none that anybody used already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.protocol.ids import EnvelopeId, MessageId, uuid7

if TYPE_CHECKING:
    from gateway.ports.common import Entropy
    from gateway.ports.store import Transaction


def fresh_id(tx: Transaction, now_ms: int, entropy: Entropy) -> MessageId:
    """Return an id for a message of ours that none of ours has, nor one that a partner sent or gave up.

    Chance alone would do; but a partner may have used an id that we are about to draw, and then one id would be two
    messages for ever.
    """
    while True:
        found = MessageId(uuid7(now_ms, entropy))
        if not tx.outbox.find([found]) and not tx.inbox.used(found):
            return found


def fresh_envelope_id(tx: Transaction, now_ms: int, entropy: Entropy) -> EnvelopeId:
    """Return an id for an envelope of ours under which nothing is kept: a partner chooses the ids of its own."""
    while True:
        found = EnvelopeId(uuid7(now_ms, entropy))
        if not tx.envelopes.used(found):
            return found
