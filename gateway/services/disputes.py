"""Keeps two signed checkpoints that contradict each other, raises the alarm, and ends the exchange with their log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gateway.ledger.note import read_tree_head
from gateway.ledger.witness import Witnessed
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM, Actor
from gateway.ports.log import Dispute

if TYPE_CHECKING:
    from gateway.ports.common import Clock
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.directory import Directory

log = get_logger()

Reason = Literal["fork", "bad-proof"]


class Disputes:
    """`keep` inside a transaction, `told` after it."""

    def __init__(self, store: Store, directory: Directory, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self.forked: set[str] = set()
        """Origins of logs caught with two histories: no checkpoint of theirs is believed again."""

    async def load(self) -> None:
        """Read which logs were caught before this process."""
        self.forked.update(await self._store.write(lambda tx: tx.witness.forked()))

    def keep(self, tx: Transaction, party: PartyId, reason: Reason, held: str, shown: str, proof: bytes = b"") -> bool:
        """Keep both notes, whose signatures the caller verified; False where they are held already.

        A bad proof under valid signatures is kept and alarmed: proofs are not signed, so that alone it convicts
        nobody. A fork does: its log is never believed again, and the partner is suspended until an operator
        takes it back, with a card that names another log.
        """
        now, origin = self._clock(), read_tree_head(held).origin
        if not tx.witness.add_dispute(Dispute(party, origin, reason, held, shown, proof, now)):
            return False
        sizes = f"{read_tree_head(held).size} {read_tree_head(shown).size}"
        tx.log.append("audit.alarm", actor=Actor(party, "partner"), obj=("party", party), at=now,
                      outcome=f"{reason} {sizes}")  # fmt: skip
        if reason == "fork":
            head = read_tree_head(held)
            tx.witness.mark_forked(origin, party, Witnessed(head.size, head.root, held), now)
            tx.parties.set_state(party, "suspended")
            tx.log.append("partner.suspended", actor=SYSTEM, obj=("party", party), at=now, outcome=f"fork {sizes}")
        return True

    async def told(self, party: PartyId, reason: Reason) -> None:
        """Act on what was kept: a partner whose log forked is refused from here on."""
        if reason == "fork":
            await self.load()
            log.error("a partner's log forked: it is suspended", partner=party, fix="gateway partner show " + party)
            await self._directory.load()
        else:
            log.error("a partner's checkpoint came with a proof that does not hold", partner=party)

    async def report(self, party: PartyId, reason: Reason, held: str, shown: str, proof: bytes = b"") -> None:
        """Keep it in a transaction of its own, and act on it."""
        if await self._store.write(lambda tx: self.keep(tx, party, reason, held, shown, proof)):
            await self.told(party, reason)
