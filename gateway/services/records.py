"""Does what a record.action asks, on both sides: where it is accepted, and with its sender once the receipt says so.

Until bodies are encrypted one by one, a body is erased by being overwritten and emptied; see docs/operations.md
for where its bytes may still lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.casework.recordaction import EXPIRED, FILE, Asked, asked
from gateway.errors import Finding, PolicyViolation
from gateway.ports.common import Actor
from gateway.protocol.states import OPEN, State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from gateway.ports.cases import Held
    from gateway.ports.figures import Direction
    from gateway.ports.store import Transaction
    from gateway.protocol.ids import PartyId

# What the log calls it; a part that is blocked is still there, so it is not called erased.
_ENTRIES = {
    "erased": "message.erased", "blocked": "message.restricted", "restricted": "message.restricted",
    "lifted": "message.restricted",
}  # fmt: skip


class Records:
    """`judge` before our own record.action leaves, `perform` once one is accepted."""

    def __init__(self, me: PartyId) -> None:
        self._me = me

    def judge(self, tx: Transaction, subject: str, data: Mapping[str, Any]) -> None:
        """Refuse to have a partner erase what it may not have yet. Raises PolicyViolation with E-STATE."""
        wanted = asked(subject, data)
        row = tx.outbox.find([wanted.target]).get(wanted.target) if wanted is not None else None
        if row is not None and State(row.state) in OPEN:
            detail = "this message has not been answered yet: cancel it, or wait for its receipt"
            raise PolicyViolation(detail, errors=(Finding("/data/target/messageId", detail, "E-STATE"),))

    def perform(
        self, tx: Transaction, subject: str, data: Mapping[str, Any], *, partner: PartyId, ours: bool, jti: str, at: int
    ) -> None:
        """Erase, block, restrict or free what an accepted record.action names, and log it.

        It is about a message between us and `partner`, sent by who sends the action: `ours` says by us. Whatever else
        it names is not touched, and the log says so: it never calls erased what was not held.
        """
        wanted = asked(subject, data)
        if wanted is None:
            return
        sender: PartyId = self._me if ours else partner
        held = tx.records.held(sender, partner, wanted.target)
        file = wanted.part.removeprefix(FILE) if wanted.part.startswith(FILE) else None
        actor = Actor(sender, "system" if ours else "partner")
        obj = ("message", wanted.target) if file is None else ("attachment", file)
        there = file is None or (
            tx.attachments.encloses(sender, wanted.target, file) and tx.attachments.find(sender, file) is not None
        )
        if held is None or not there:
            # Under the id of the action alone: the named message may be somebody else's, and its story its own.
            tx.log.append(
                "record.not-held", actor=actor, obj=obj, at=at, jti=jti, outcome=f"{wanted.mark} {wanted.reason}"
            )  # fmt: skip
            return
        self._mark(tx, wanted, sender, jti, at)
        if wanted.mark == "erased" and file is not None:
            tx.attachments.erase(sender, file)
        elif wanted.mark == "erased":
            self._erase(tx, wanted, held, partner, ours=ours)
        elif wanted.mark == "blocked":
            # Its bytes cannot go in part yet; whom it names is found by it no more.
            tx.memory.forget_names(sender, wanted.target)
            tx.index.forget_names(_direction(ours=ours), partner, wanted.target)
        tx.log.append(
            "attachment.erased" if file is not None and wanted.mark == "erased" else _ENTRIES[wanted.mark],
            actor=actor, obj=obj, at=at, jti=wanted.target, event=held.digest,
            outcome=f"{wanted.mark} {wanted.reason}", basis=jti,
        )  # fmt: skip

    def _erase(self, tx: Transaction, wanted: Asked, held: Held, partner: PartyId, *, ours: bool) -> None:
        sender, direction = self._me if ours else partner, _direction(ours=ours)
        tx.records.erase_body(held)
        tx.memory.drop(sender, wanted.target)
        tx.index.forget_names(direction, partner, wanted.target)
        if wanted.reason != EXPIRED:
            tx.index.forget_counts(direction, partner, wanted.target)
        tx.attachments.erase_enclosed(sender, wanted.target)

    def _mark(self, tx: Transaction, wanted: Asked, sender: PartyId, jti: str, at: int) -> None:
        if wanted.mark == "lifted":
            tx.records.lift(sender, wanted.target, wanted.part)
        else:
            tx.records.mark(
                sender, wanted.target, wanted.part, wanted.mark, reason=wanted.reason, by_jti=jti, at=at
            )  # fmt: skip


def _direction(*, ours: bool) -> Direction:
    return "out" if ours else "in"
