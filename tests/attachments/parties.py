"""Uploads without HTTP: a file given to a gateway, and a ciphertext as a partner makes it."""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from gateway.protocol.attachment import AttachmentId, Enclosure, Sealing, context, encrypted_length
from gateway.protocol.ids import PartyId
from gateway.services.accounts import LOCAL_OPERATOR
from gateway.services.attach import described, request_digest
from gateway.services.attach_request import read_meta
from gateway.services.submit import Idempotency

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.running import Gateway

ID, KH = PartyId("id.imigrasi"), PartyId("kh.gdi")
NAME = AttachmentId("0192f5c4-8a4e-7c3b-9f21-6d0e5b7a1c42")
KEY = bytes(range(32))


async def pieces(raw: bytes, step: int = 65_536) -> AsyncIterator[bytes]:
    """Yield bytes as they arrive."""
    for at in range(0, len(raw), step):
        yield raw[at : at + step]


async def broken(raw: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    """Yield bytes, and then break off."""
    yield raw
    raise error or ConnectionResetError


async def attached(gateway: Gateway, raw: bytes, kind: str = "TICKET", media_type: str = "application/pdf") -> str:
    """Give a file to a gateway; return the id that a message names."""
    meta = {"attachmentType": kind, "mediaType": media_type}
    attacher = gateway.attachments.attacher
    async with attacher.receiving(LOCAL_OPERATOR) as draft:
        await attacher.fill(draft, pieces(raw))
        assert draft.kept is not None
        once = Idempotency("test", secrets.token_hex(8), request_digest(draft.kept, meta))
        answer, _ = await attacher.accept(
            draft, read_meta(meta, None), LOCAL_OPERATOR, once, lambda stored: orjson.dumps(described(stored))
        )
    found: dict[str, Any] = orjson.loads(answer.answer)
    name: str = found["attachmentId"]
    return name


async def held(gateway: Gateway, name: str) -> bytes | None:
    """Return the bytes of an attachment that a gateway would show, None where it has none."""
    rows = await gateway.store.write(lambda tx: tx.attachments.named(name))
    if not rows:
        return None
    return b"".join([piece async for piece in gateway.attachments.vault.reading(rows[0])])


def ciphertext(raw: bytes, name: AttachmentId = NAME, iss: PartyId = ID, aud: PartyId = KH) -> bytes:
    """Return a file as it goes from Indonesia to Cambodia."""
    sealing = Sealing(KEY, context(iss, aud, name))
    return sealing.add(raw) + sealing.end()


def entry(raw: bytes, sealed: bytes, name: AttachmentId = NAME, **changes: Any) -> dict[str, Any]:
    """Return the entry of `data.attachments` for a ciphertext."""
    found = Enclosure(
        id=name, attachment_type="TICKET", media_type="application/pdf", byte_length=len(raw),
        sha256=sha256(raw).digest(), encrypted_length=encrypted_length(len(raw)),
        encrypted_sha256=sha256(sealed).digest(), key=KEY,
    )  # fmt: skip
    return found.as_dict() | changes
