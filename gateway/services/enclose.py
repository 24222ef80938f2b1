"""Makes `data.attachments` of the ids a message names: each file encrypted for its recipient, once for each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.errors import Finding, NotFound, SchemaViolation
from gateway.ports.files import Transfer
from gateway.protocol.attachment import (
    DIGEST_BYTES,
    KEY_BYTES,
    MAX_ATTACHMENTS,
    Enclosure,
    context,
    encrypted_length,
)

if TYPE_CHECKING:
    from gateway.ports.common import Clock
    from gateway.ports.files import Attachment
    from gateway.ports.people import Account
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.request import SubmitRequest
    from gateway.services.vault import Vault

OUT = b"out\n"


class Encloser:
    """`enclose` completes a request that names attachments; `preview` does it for a dry run, and makes nothing."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, *, me: PartyId) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._me = me

    async def enclose(self, request: SubmitRequest, account: Account) -> SubmitRequest:
        """Return the request with `data.attachments`. Raises SchemaViolation, NotFound naming each id."""
        rows = await self._rows(request, account)
        return _with(request, [await self._for(row, request.recipient) for row in rows])

    async def preview(self, request: SubmitRequest, account: Account) -> SubmitRequest:
        """Return the request as its rules will meet it; keys and digests of the ciphertext are blank."""
        rows = await self._rows(request, account)
        return _with(request, [self._entry(row, bytes(KEY_BYTES), bytes(DIGEST_BYTES)) for row in rows])

    async def _rows(self, request: SubmitRequest, account: Account) -> list[Attachment]:
        if request.data.get("attachments"):
            detail = "the gateway writes this: upload the files, and name their ids in `attachments`"
            raise SchemaViolation(detail, errors=(Finding("/data/attachments", detail),))
        if len(request.attachments) > MAX_ATTACHMENTS:
            detail = f"at most {MAX_ATTACHMENTS} attachments are looked at"
            raise SchemaViolation(detail, errors=(Finding("/attachments", detail, "E-SIZE"),))
        if not request.attachments:
            return []
        found = await self._store.write(
            lambda tx: [tx.attachments.find(self._me, name) for name in request.attachments]
        )
        # What another client uploaded looks like what is not there.
        faults = [
            Finding(f"/attachments/{place}", "no such upload of yours", "E-REF")
            for place, row in enumerate(found)
            if row is None or not _may_send(row, account)
        ]
        if faults:
            detail = "upload the file first: POST /attachments; unused uploads are removed after a day"
            raise NotFound(detail, errors=tuple(faults))
        return [row for row in found if row is not None]

    async def _for(self, row: Attachment, recipient: PartyId) -> Enclosure:
        held = await self._store.write(lambda tx: tx.attachments.transfer("out", recipient, row.id))
        if held is None or held.key is None or held.sha256 is None:
            held = await self._encrypt(row, recipient)
        assert held.key is not None
        assert held.sha256 is not None
        key, _ = self._vault.unlock(held.key, OUT + context(self._me, recipient, row.id))
        return self._entry(row, key, held.sha256)

    async def _encrypt(self, row: Attachment, recipient: PartyId) -> Transfer:
        about = context(self._me, recipient, row.id)
        kept = await self._vault.keep(self._vault.reading(row), about)
        fresh = Transfer(
            "out", recipient, row.id, kept.file, kept.sealed_length, kept.sealed_sha256,
            self._vault.lock(kept.key, {}, OUT + about), "due", self._clock(),
        )  # fmt: skip

        def work(tx: Transaction) -> Transfer:
            # Two messages may ask at once: the first one's is every message's.
            held = tx.attachments.transfer("out", recipient, row.id)
            if held is None:
                tx.attachments.put_transfer(fresh)
            return held or fresh

        try:
            held = await self._store.write(work)
        except BaseException:
            self._vault.remove(fresh.file)
            raise
        if held is not fresh:
            self._vault.remove(fresh.file)
        return held

    def _entry(self, row: Attachment, key: bytes, sealed_sha256: bytes) -> Enclosure:
        _, details = self._vault.unlock(row.details, context(self._me, self._me, row.id))
        return Enclosure(
            id=row.id, attachment_type=row.attachment_type, media_type=row.media_type, byte_length=row.byte_length,
            sha256=row.sha256, encrypted_length=encrypted_length(row.byte_length), encrypted_sha256=sealed_sha256,
            key=key, derived_from=row.derived_from, details=details,
        )  # fmt: skip


def _with(request: SubmitRequest, entries: list[Enclosure]) -> SubmitRequest:
    if not entries:
        return request
    return replace(request, data={**request.data, "attachments": [entry.as_dict() for entry in entries]})


def _may_send(row: Attachment, account: Account) -> bool:
    return row.account == account.id
