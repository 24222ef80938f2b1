"""No file is in memory as a whole, on its way in, across, and out; the long run measures real processes."""

from __future__ import annotations

import tracemalloc
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from gateway.protocol.attachment import Opening, Sealing, context, encrypted_length
from gateway.services.accounts import LOCAL_OPERATOR
from tests.attachments.parties import ID, KEY, KH, NAME, pieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.pair import Pair

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
SIZE = 48 * MIB
MOST = 12 * MIB
BLOCK = bytes(range(256)) * 1024


@contextmanager
def little_memory() -> Iterator[None]:
    """Fail where Python's own memory grows by more than a few pieces; both sides are in this process."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST, f"{peak / MIB:.1f} MiB for a file of {SIZE / MIB:.0f} MiB"


async def file() -> AsyncIterator[bytes]:
    """Yield a large file."""
    for _ in range(SIZE // len(BLOCK)):
        yield BLOCK


async def sealed_file() -> AsyncIterator[bytes]:
    """Yield its ciphertext."""
    sealing = Sealing(KEY, context(ID, KH, NAME))
    async for piece in file():
        yield sealing.add(piece)
    yield sealing.end()


async def test_a_large_file_needs_little_memory(pair: Pair) -> None:
    """Taken and read here; sent over TLS, kept and opened there."""
    attachments, there = pair.a.gateway.attachments, pair.b.gateway.attachments
    digest = sha256()
    for _ in range(SIZE // len(BLOCK)):
        digest.update(BLOCK)

    with little_memory():
        async with attachments.attacher.receiving(LOCAL_OPERATOR) as draft:
            await attachments.attacher.fill(draft, file())
            assert draft.kept is not None
            assert (draft.kept.length, draft.kept.sha256) == (SIZE, digest.digest())
            opening = Opening(draft.kept.key, attachments.attacher._about)
            async for _ in attachments.vault.opened(draft.kept.file, opening):
                pass
            assert opening.plain.sha256 == digest.digest()

    with little_memory():
        async with pair.a.gateway.link(KH) as link:
            length = encrypted_length(SIZE)
            reply = await link.send_upload(NAME, length=length, offset=None, pieces=sealed_file())
        assert reply.offset == length
        held = await pair.b.gateway.store.write(lambda tx: tx.attachments.transfer("in", ID, NAME))
        assert held is not None
        opening = Opening(KEY, context(ID, KH, NAME))
        async for _ in there.vault.opened(held.file, opening):
            pass
        assert opening.plain.sha256 == digest.digest()


async def test_a_reader_that_holds_everything_is_seen() -> None:
    """The measure itself can fail."""
    with pytest.raises(AssertionError, match="MiB for a file"), little_memory():
        await _hold_all()


async def _hold_all() -> None:
    held = [bytearray(piece) async for piece in pieces(bytes(SIZE), MIB)]
    assert held
