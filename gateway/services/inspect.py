"""Step (12) of protocol.md §4.4: the attachments that an event names are here, and are what it says.

Done before the transaction that answers: files are read and opened piece by piece, in threads. What was found is
a value; the transaction looks once more that the uploads are still there, and holds them for good.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.casework import media
from gateway.errors import (
    AttachmentInvalid,
    AttachmentMissing,
    Finding,
    LocalFault,
    Refusal,
    StorageUnavailable,
    TooManyRequests,
)
from gateway.ports.common import Actor
from gateway.ports.files import Attachment, Transfer
from gateway.protocol.attachment import (
    BrokenSealError,
    Enclosure,
    Measure,
    Opening,
    context,
    judge_content,
    read_enclosures,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.common import Clock
    from gateway.ports.files import Remaker, Scanner
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.event import Event
    from gateway.protocol.ids import PartyId
    from gateway.services.vault import Vault

RETRY_AFTER_S = 5
PARTNER_ROLE = "partner"


@dataclass(frozen=True, slots=True)
class Inspected:
    """What step (12) found of one event: the fault, or the files to hold."""

    fault: Refusal | None
    fresh: tuple[tuple[Enclosure, Transfer], ...] = ()
    known: tuple[Enclosure, ...] = ()


NOTHING = Inspected(None)


class Inspector:
    """`inspect` judges an event's attachments, `hold` stores them with its acceptance."""

    def __init__(
        self, store: Store, vault: Vault, remaker: Remaker, scanner: Scanner | None, clock: Clock, *, me: PartyId
    ) -> None:
        self._store = store
        self._vault = vault
        self._remaker = remaker
        self._scanner = scanner
        self._clock = clock
        self._me = me

    async def inspect(self, event: Event) -> Inspected:
        """Return what became of step (12). What we cannot read or look into just now is deferred: a fault of ours."""
        if not event.data.get("attachments"):
            return NOTHING
        entries, faults = read_enclosures(event.data)
        if len({entry.id for entry in entries}) < len(entries):
            faults.append(Finding("/data/attachments", "an id stands twice", "E-REF"))
        if faults:
            return Inspected(Refusal(AttachmentInvalid, "attachments that cannot be read", tuple(faults)))
        try:
            return await self._inspect(event.source, entries)
        except (StorageUnavailable, TooManyRequests) as error:
            return Inspected(Refusal(LocalFault, error.detail, retry_after_s=error.retry_after_s))

    async def _inspect(self, sender: PartyId, entries: Sequence[Enclosure]) -> Inspected:
        fresh: list[tuple[Enclosure, Transfer]] = []
        known: list[Enclosure] = []
        missing: list[Finding] = []
        for place, entry in enumerate(entries):
            held = await self._store.write(lambda tx, name=entry.id: tx.attachments.transfer("in", sender, name))  # type: ignore[misc]
            if held is not None and held.state == "kept":
                if not await self._same(sender, held, entry):
                    detail = "this id is held by another file, which an earlier message names"
                    found = Finding(f"/data/attachments/{place}/attachmentId", detail, "E-REF")
                    return Inspected(Refusal(AttachmentInvalid, detail, (found,)))
                known.append(entry)
            elif held is None or held.state != "whole" or not await self._intact(held, entry):
                missing.append(Finding(f"/data/attachments/{place}", "is not here yet"))
            else:
                fault = await self._opened(place, sender, held, entry)
                if fault:
                    return Inspected(Refusal(AttachmentInvalid, "an attachment is not what the message says", fault))
                fresh.append((entry, held))
        if missing:
            detail = "the message waits for its attachments"
            return Inspected(Refusal(AttachmentMissing, detail, tuple(missing), RETRY_AFTER_S))
        return Inspected(None, tuple(fresh), tuple(known))

    async def _same(self, sender: PartyId, held: Transfer, entry: Enclosure) -> bool:
        row = await self._store.write(lambda tx: tx.attachments.find(sender, entry.id))
        said = (entry.encrypted_sha256, entry.sha256, entry.byte_length, entry.media_type)
        return row is not None and said == (held.sha256, row.sha256, row.byte_length, row.media_type)

    async def _intact(self, held: Transfer, entry: Enclosure) -> bool:
        """Say whether the ciphertext is the one the event means; another is dropped and counts as not here."""
        measure = Measure()
        size = await asyncio.to_thread(self._vault.files.size, held.file)
        if size == held.length == entry.encrypted_length:
            async for piece in self._vault.raw(held.file):
                await asyncio.to_thread(measure.add, piece)
        if measure.sha256 == entry.encrypted_sha256:
            return True

        def drop(tx: Transaction) -> None:
            tx.attachments.drop_transfer("in", held.partner, held.id)
            tx.log.append(
                "attachment.erased", actor=Actor(held.partner, PARTNER_ROLE), obj=("upload", held.id),
                at=self._clock(), outcome="wrong digest",
            )  # fmt: skip

        await self._store.write(drop)
        await asyncio.to_thread(self._vault.remove, held.file)
        return False

    async def _opened(self, place: int, sender: PartyId, held: Transfer, entry: Enclosure) -> tuple[Finding, ...]:
        about = context(sender, self._me, entry.id)
        opening, head = Opening(entry.key, about), media.Head()
        where = f"/data/attachments/{place}"
        try:
            async for piece in self._vault.opened(held.file, opening):
                head.feed(piece)
        except BrokenSealError:
            return (Finding(where, "the ciphertext does not open under its key", "E-HASH"),)
        found = judge_content(place, entry, opening)
        if found:
            return found
        fault = head.fault(entry.media_type)
        if fault is not None:
            return (Finding(f"{where}/mediaType", fault, "E-MEDIA"),)
        if self._scanner is not None and not await self._scanner.scan(
            self._vault.opened(held.file, Opening(entry.key, about))
        ):
            return (Finding(where, "the receiver's virus scanner refuses it", "E-MEDIA"),)
        if entry.media_type == media.PDF:
            fault = await self._document_fault(sender, held, entry)
        return () if fault is None else (Finding(f"{where}/mediaType", fault, "E-MEDIA"),)

    async def _document_fault(self, sender: PartyId, held: Transfer, entry: Enclosure) -> str | None:
        """Return why a PDF may not reach an officer, or None: it is made anew once on trial."""
        plain = self._vault.opened(held.file, Opening(entry.key, context(sender, self._me, entry.id)))
        try:
            async with aclosing(self._remaker.remake(media.PDF, plain, sender)) as made:
                async for _ in made:
                    pass
        except ValueError as error:
            return str(error)
        return None

    # --- in the transaction that accepts ------------------------------------------------------------

    def gone(self, tx: Transaction, found: Inspected) -> Refusal | None:
        """Return the fault of what is not held any more as it was inspected, or None."""
        if all(tx.attachments.transfer("in", held.partner, held.id) == held for _, held in found.fresh):
            return None
        return Refusal(AttachmentMissing, "an attachment was replaced meanwhile", retry_after_s=RETRY_AFTER_S)

    def hold(self, tx: Transaction, event: Event, found: Inspected) -> None:
        """Keep the attachments of an accepted event for good, and log each."""
        sender, now = event.source, self._clock()
        for entry, held in found.fresh:
            leaf = tx.log.append(
                "attachment.stored", actor=Actor(sender, PARTNER_ROLE), obj=("attachment", entry.id), at=now,
                jti=event.id, case=event.case, event=entry.encrypted_sha256, outcome=entry.attachment_type,
            )  # fmt: skip
            about = context(sender, self._me, entry.id)
            tx.attachments.add(
                Attachment(
                    party=sender, id=entry.id, account=None, attachment_type=entry.attachment_type,
                    media_type=entry.media_type, byte_length=entry.byte_length, sha256=entry.sha256,
                    derived_from=entry.derived_from, file=held.file,
                    details=self._vault.lock(entry.key, dict(entry.details or {}), about), at=now, leaf=leaf,
                )
            )  # fmt: skip
            tx.attachments.keep(sender, entry.id, entry.encrypted_sha256, now)
        names = [entry.id for entry in (*(entry for entry, _ in found.fresh), *found.known)]
        tx.attachments.enclose(event.id, sender, names)
