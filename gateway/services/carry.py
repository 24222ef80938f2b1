"""Carries attachments to a partner, ahead of the messages that name them.

One file at a time towards a partner, that of the most urgent message first; a cut is taken up where it happened.
A message waits for its files. Where its partner says all the same that one is missing, they are looked after again.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from gateway.errors import TransportError
from gateway.logs import get_logger
from gateway.ports.messages import Attempt
from gateway.ports.partner import Links, UploadReply
from gateway.protocol.ids import EnvelopeId
from gateway.services.perpartner import PerPartner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.ports.common import Clock
    from gateway.ports.files import Transfer
    from gateway.ports.partner import PartnerLink
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.attachment import AttachmentId
    from gateway.protocol.ids import PartyId
    from gateway.services.contact import Contacts
    from gateway.services.gate import Gate
    from gateway.services.vault import Vault

log = get_logger()

PAGE = 20
HELD = 200
UNKNOWN = 404
NOTE_EVERY_MS = 900_000
"""The same failure of the same file is told again after so long: it is tried far more often."""


class Carrier:
    """One task a partner; `on_arrived` listeners learn which messages may go now."""

    def __init__(
        self, store: Store, vault: Vault, contacts: Contacts, gate: Gate, clock: Clock,
        links: Links, *, me: PartyId,
    ) -> None:  # fmt: skip
        self._me = me
        self._store = store
        self._vault = vault
        self._contacts = contacts
        self._gate = gate
        self._clock = clock
        self._tasks = PerPartner("attachments", self._round, links)
        self._listeners: list[Callable[[PartyId], None]] = []
        self._noted: dict[tuple[PartyId, AttachmentId], tuple[str, int]] = {}

    def on_arrived(self, listener: Callable[[PartyId], None]) -> None:
        """Call `listener(partner)` when messages that waited for a file may go."""
        self._listeners.append(listener)

    def follow(self, partners: Iterable[PartyId]) -> None:
        """Have tasks for exactly these partners."""
        self._tasks.follow(partners)

    def wake(self, party: PartyId) -> None:
        """Look again now: something has to be carried."""
        self._tasks.wake(party)

    def wake_all(self) -> None:
        """Look again at every partner."""
        self._tasks.wake_all()

    def heard(self, party: PartyId) -> None:
        """Take a verified contact: its back-off is over."""
        self._tasks.heard(party)

    async def stop(self) -> None:
        """Stop; what was under way is taken up from where the partner has it."""
        await self._tasks.stop()

    async def _round(self, party: PartyId, link: PartnerLink) -> bool:
        if self._gate.closed is not None:
            return True  # opening it wakes every task
        refused = False
        while not refused:
            due = await self._store.write(lambda tx: tx.attachments.due(self._me, party, PAGE))
            if not due:
                return True
            for transfer in due:
                try:
                    reply = await self._carry(link, transfer)
                except TransportError as error:
                    await self._note_failed(transfer, error.detail)
                    await self._contacts.lost(party, error.detail)
                    raise
                if reply.offset == transfer.length:
                    await self._arrived(transfer)
                else:
                    # One that the partner does not take must not keep the others back.
                    refused = True
                    await self._note_failed(transfer, f"http-{reply.status}")
        return False

    async def _carry(self, link: PartnerLink, transfer: Transfer) -> UploadReply:
        """Ask how far it has come, and send the rest. Returns the partner's last word; raises TransportError."""
        found = await link.get_upload(transfer.id)
        if found.status not in {HELD, UNKNOWN}:
            return UploadReply(found.status, None, None, found.retry_after_s)
        begun = found.status == HELD and found.length == transfer.length and found.offset is not None
        if begun and found.offset == transfer.length:
            return found
        # One of another length cannot be ours: begun anew, if the partner lets us.
        offset = found.offset if begun else None
        async with aclosing(self._vault.raw(transfer.file, offset or 0)) as pieces:
            return await link.send_upload(transfer.id, length=transfer.length, offset=offset, pieces=pieces)

    async def _arrived(self, transfer: Transfer) -> None:
        now = self._clock()

        def work(tx: Transaction) -> None:
            tx.attachments.set_transfer("out", transfer.partner, transfer.id, "delivered", now)
            tx.outbox.set_due(tx.attachments.complete(self._me, transfer.partner, transfer.id), now)

        await self._store.write(work)
        self._noted.pop((transfer.partner, transfer.id), None)
        for listener in self._listeners:
            listener(transfer.partner)

    async def _note_failed(self, transfer: Transfer, reason: str) -> None:
        now, words = self._clock(), f"attachment: {reason}"[:200]
        before = self._noted.get((transfer.partner, transfer.id))
        if before is not None and before[0] == words and 0 <= now - before[1] < NOTE_EVERY_MS:
            return

        def work(tx: Transaction) -> None:
            waiting = tx.attachments.waiting_for(self._me, transfer.partner, transfer.id)
            tx.outbox.add_attempts([Attempt(jti, now, EnvelopeId(""), "unreachable", words, None) for jti in waiting])

        await self._store.write(work)
        self._noted[transfer.partner, transfer.id] = (words, now)
        log.warning("attachment not carried", partner=transfer.partner, reason=reason)
