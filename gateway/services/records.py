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
        self, tx: Transaction, subject: str, data: Mapping[str, Any], *, sender: PartyId, jti: str, at: int
    ) -> None:
        """Erase, block, restrict or free what an accepted record.action of `sender` names, and log it."""
        wanted = asked(subject, data)
        if wanted is None:
            return
        self._mark(tx, wanted, sender, jti, at)
        if wanted.mark == "erased" and not wanted.part.startswith(FILE):
            tx.records.erase_body(sender, wanted.target, ours=sender == self._me)
            tx.memory.drop(sender, wanted.target)
            tx.index.forget_names([wanted.target])
            if wanted.reason != EXPIRED:
                tx.index.forget_counts([wanted.target])
            tx.attachments.erase_enclosed(sender, wanted.target)
        if wanted.mark == "blocked":
            # Its bytes cannot go in part yet; whom it names is found by it no more.
            tx.memory.forget_names(sender, wanted.target)
            tx.index.forget_names([wanted.target])
        file = wanted.part.startswith(FILE)
        name, done = wanted.part.removeprefix(FILE), str(wanted.mark)
        if file and wanted.mark == "erased":
            if tx.attachments.encloses(sender, wanted.target, name):
                tx.attachments.erase(sender, name)
            else:
                done = "not held"  # the log must not claim what was not done
        tx.log.append(
            "attachment.erased" if file and wanted.mark == "erased" else _ENTRIES[wanted.mark],
            actor=Actor(sender, "partner" if sender != self._me else "system"),
            obj=("attachment", name) if file else ("message", wanted.target), at=at,
            jti=wanted.target, outcome=f"{done} {wanted.reason}", basis=jti,
        )  # fmt: skip

    def _mark(self, tx: Transaction, wanted: Asked, sender: PartyId, jti: str, at: int) -> None:
        if wanted.mark == "lifted":
            tx.records.lift(sender, wanted.target, wanted.part)
        else:
            tx.records.mark(
                sender, wanted.target, wanted.part, wanted.mark, reason=wanted.reason, by_jti=jti, at=at
            )  # fmt: skip
