"""Everything about files beside messages, put together once: taking, sending, receiving, reading, tidying."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from gateway.errors import GatewayError
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM
from gateway.services.attach import Attacher
from gateway.services.carry import Carrier
from gateway.services.deposit import Deposits
from gateway.services.enclose import Encloser
from gateway.services.fetch import AttachmentReader
from gateway.services.inspect import Inspector
from gateway.services.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.casework.codelists import CodeLists
    from gateway.ports.common import Clock, Entropy
    from gateway.ports.files import Files, Remaker, Scanner
    from gateway.ports.keys import KeyRing
    from gateway.ports.partner import Links
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.contact import Contacts
    from gateway.services.gate import Gate
    from gateway.services.refusals import Refusals

log = get_logger()

UNUSED_MS = 86_400_000
"""What no message names goes after a day (protocol.md §5)."""
TIDY_AT_ONCE = 200
DISCARD_AGAIN_S = 30


class Attachments:
    """The services of attachments over one vault."""

    def __init__(
        self, store: Store, files: Files, keys: KeyRing, codelists: CodeLists, remaker: Remaker,
        scanner: Scanner | None, contacts: Contacts, gate: Gate, clock: Clock, entropy: Entropy,
        links: Links, refusals: Refusals, *, me: PartyId, most_bytes: int, partner_bytes: int,
    ) -> None:  # fmt: skip
        self._store = store
        self._clock = clock
        self._me = me
        self._erased = asyncio.Event()
        self.vault = vault = Vault(files, keys, entropy, me)
        self.attacher = Attacher(
            store,
            vault,
            codelists,
            remaker,
            scanner,
            clock,
            entropy,
            refusals,
            gate.check_room,
            me=me,
            most_bytes=most_bytes,
        )
        self.encloser = Encloser(store, vault, clock, me=me)
        self.carrier = Carrier(store, vault, contacts, gate, clock, links, me=me)
        self.deposits = Deposits(store, vault, gate, clock, most_bytes=most_bytes, partner_bytes=partner_bytes)
        self.inspector = Inspector(store, vault, remaker, scanner, clock, me=me)
        self.reader = AttachmentReader(store, vault, remaker, codelists, clock, me=me, most_bytes=most_bytes)

    async def sweep(self) -> None:
        """Remove files that no row names: what a killed process was writing. Only while nothing is written."""
        known = await self._store.write(lambda tx: tx.attachments.files())
        stray = [name for name in await asyncio.to_thread(self.vault.files.names) if name not in known]
        for name in stray:
            await asyncio.to_thread(self.vault.remove, name)
        if stray:
            log.info("files of a stopped process removed", count=len(stray))

    def look(self) -> None:
        """Tell that files wait to be taken off the disk."""
        self._erased.set()

    async def discarding(self) -> None:
        """Take erased files off the disk, at the start and whenever told, until cancelled."""
        while True:
            self._erased.clear()
            try:
                while files := await self._store.write(lambda tx: tx.attachments.discarded(TIDY_AT_ONCE)):
                    for name in files:
                        await asyncio.to_thread(self.vault.remove, name)
                    await self._store.write(partial(_gone, files=files))
            except GatewayError as error:
                log.warning("erased files not removed yet", code=error.slug, detail=error.detail)
                await asyncio.sleep(DISCARD_AGAIN_S)
                continue
            await self._erased.wait()

    async def tidy(self) -> None:
        """Remove what no message named within a day."""
        before = self._clock() - UNUSED_MS
        removed = await self._store.write(partial(self._tidy, before=before))
        for name in removed:
            await asyncio.to_thread(self.vault.remove, name)

    def _tidy(self, tx: Transaction, *, before: int) -> list[str]:
        transfers = [
            transfer
            for transfer in tx.attachments.stale_transfers(self._me, before, TIDY_AT_ONCE)
            if not self.deposits.busy(transfer.partner, transfer.id)
        ]
        for transfer in transfers:
            tx.attachments.drop_transfer(transfer.direction, transfer.partner, transfer.id)
            if transfer.direction == "in":
                self._note(tx, "upload", transfer.id)
        stale = tx.attachments.stale_attachments(self._me, before, TIDY_AT_ONCE)
        for attachment in stale:
            tx.attachments.remove(attachment.party, attachment.id)
            self._note(tx, "attachment", attachment.id)
        return [*(transfer.file for transfer in transfers), *(attachment.file for attachment in stale)]

    def _note(self, tx: Transaction, kind: str, name: str) -> None:
        tx.log.append("attachment.erased", actor=SYSTEM, obj=(kind, name), at=self._clock(), outcome="unused")


def _gone(tx: Transaction, *, files: Sequence[str]) -> None:
    tx.attachments.gone(files)
