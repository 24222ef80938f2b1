"""The link to a partner."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.protocol.ids import PartyId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.protocol.attachment import AttachmentId
    from gateway.protocol.ids import MessageId


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer from a partner, unjudged."""

    status: int
    media_type: str
    body: bytes
    retry_after_s: int | None


@dataclass(frozen=True, slots=True)
class UploadReply:
    """An answer about an upload: how far it has come, where the answer says."""

    status: int
    offset: int | None
    length: int | None
    retry_after_s: int | None


class PartnerLink(Protocol):
    """The mutual-TLS link to one partner. Each call raises TransportError when no whole answer came."""

    async def post_envelope(self, jwe: bytes) -> Reply: ...
    async def get_message(self, jti: MessageId) -> Reply: ...
    async def post_entries(self, question: bytes) -> Reply: ...
    async def get_stream(self, start: int, limit: int) -> Reply: ...
    async def get_card(self) -> Reply: ...
    async def ping(self, body: bytes) -> Reply: ...
    async def add_checkpoint(self, body: bytes) -> Reply: ...
    async def get_witnessed(self, log_id: str) -> Reply: ...
    async def get_log(self, path: str) -> Reply: ...
    async def get_upload(self, name: AttachmentId) -> UploadReply: ...
    async def send_upload(
        self, name: AttachmentId, *, length: int, offset: int | None, pieces: AsyncIterator[bytes]
    ) -> UploadReply:
        """PUT a ciphertext, or PATCH the rest of it from `offset`."""
        ...


Links = Callable[[PartyId], AbstractAsyncContextManager[PartnerLink]]
"""Opens the link to a partner, for as long as the block runs."""
