"""Files as they rest: sealed piece by piece while they come in, opened piece by piece while they go out.

No plaintext touches the disk, and no file is in memory as a whole. Reading, sealing and writing of a piece is one
step in a thread; a piece is what a transfer holds at a time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import LedgerError
from gateway.primitives import b64u, strictjson
from gateway.protocol.attachment import KEY_BYTES, AttachmentId, BrokenSealError, Opening, Sealing, context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from gateway.ports.common import Entropy
    from gateway.ports.files import Attachment, Files
    from gateway.ports.keys import KeyRing
    from gateway.protocol.ids import PartyId

PIECE_BYTES = 256 * 1024
NAME_BYTES = 16
AT_REST = AttachmentId("at-rest")
"""In the context of files of our own callers: their ids come later than their bytes."""


async def bounded(pieces: AsyncIterator[bytes], most: int, over: Exception) -> AsyncIterator[bytes]:
    """Yield what comes, up to `most` bytes; what comes beyond raises `over`."""
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > most:
            raise over
        yield piece


@dataclass(frozen=True, slots=True)
class Kept:
    """A file as it was sealed: its name, its key, and both sides of it measured."""

    file: str
    key: bytes
    length: int
    sha256: bytes
    sealed_length: int
    sealed_sha256: bytes


class Vault:
    """Keeps and gives back sealed files."""

    def __init__(self, files: Files, keys: KeyRing, entropy: Entropy, me: PartyId) -> None:
        self._me = me
        self.files = files
        self._keys = keys
        self._entropy = entropy

    def new_name(self) -> str:
        """Return a name that says nothing."""
        return self._entropy(NAME_BYTES).hex()

    async def keep(
        self, pieces: AsyncIterator[bytes], about: bytes, watch: Callable[[bytes], None] = lambda _piece: None
    ) -> Kept:
        """Seal what comes into a new file, durably, under a new key that nobody but the caller has.

        `watch` sees each piece of plaintext. Whatever is raised, no file is left behind.
        """
        name, key = self.new_name(), self._entropy(KEY_BYTES)
        sealing = Sealing(key, about)
        sink = await asyncio.to_thread(self.files.create, name)
        try:

            def take(piece: bytes) -> None:
                watch(piece)
                sink.write(sealing.add(piece))

            def end() -> None:
                sink.write(sealing.end())
                sink.sync()

            async for piece in pieces:
                await asyncio.to_thread(take, piece)
            await asyncio.to_thread(end)
        except BaseException:
            sink.close()
            self.files.remove(name)
            raise
        sink.close()
        return Kept(name, key, sealing.plain.length, sealing.plain.sha256, sealing.sealed.length, sealing.sealed.sha256)

    async def raw(self, name: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield a file as it rests, from `offset` on."""
        source = await asyncio.to_thread(self.files.open, name, offset)
        try:
            while piece := await asyncio.to_thread(source.read, PIECE_BYTES):
                yield piece
        finally:
            source.close()

    async def opened(self, name: str, opening: Opening) -> AsyncIterator[bytes]:
        """Yield the plaintext of a file. Raises BrokenSealError, at the end where something is missing."""
        source = await asyncio.to_thread(self.files.open, name)

        def step() -> tuple[bytes, bool]:
            sealed = source.read(PIECE_BYTES)
            return (opening.add(sealed), True) if sealed else (opening.end(), False)

        try:
            more = True
            while more:
                plain, more = await asyncio.to_thread(step)
                if plain:
                    yield plain
        finally:
            source.close()

    def about(self, attachment: Attachment) -> bytes:
        """Return the context a file is sealed in: a partner's stays as it came, ours has none of its own."""
        own = attachment.party == self._me
        return context(attachment.party, self._me, AT_REST if own else attachment.id)

    def reading(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Yield the plaintext of an attachment. Raises LedgerError where it was changed."""
        key, _ = self.unlock(attachment.details, context(attachment.party, self._me, attachment.id))
        return self.plain(attachment.file, key, self.about(attachment))

    async def plain(self, name: str, key: bytes, about: bytes) -> AsyncIterator[bytes]:
        """Yield the plaintext of a file of ours. Raises LedgerError where it was changed."""
        try:
            async for piece in self.opened(name, Opening(key, about)):
                yield piece
        except BrokenSealError:
            detail = "a stored attachment does not open: its file was changed or cut short; restore it from a backup"
            raise LedgerError(detail) from None

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.files.remove(name)

    # --- small secrets ------------------------------------------------------------------------------

    def lock(self, key: bytes, details: dict[str, str], about: bytes) -> bytes:
        """Return a file's key and what the catalogue says of it, under the key-encryption key."""
        return self._keys.wrap(strictjson.dumps({"key": b64u.encode(key), **details}), about)

    def unlock(self, wrapped: bytes, about: bytes) -> tuple[bytes, dict[str, str]]:
        """Return key and details."""
        found = strictjson.loads(self._keys.unwrap(wrapped, about))
        return b64u.decode(found.pop("key")), found
