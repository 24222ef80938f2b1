"""The audit log as auditors and their tools read it: entries, checkpoints, proofs, tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.errors import LedgerError, NotFound
from gateway.ledger import proof, tiles
from gateway.ledger.tiles import TILE_WIDTH, TileRef

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from gateway.ports.log import SignedCheckpoint
    from gateway.services.checkpoints import Checkpointer


class _Reads(Protocol):
    """The questions asked here."""

    async def tile(self, level: int, number: int) -> bytes | None: ...
    async def tiles(self, keys: Collection[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]: ...
    async def leaves(self, start: int, end: int) -> Sequence[bytes]: ...
    async def leaf_data(self, start: int, end: int) -> Sequence[bytes]: ...


@dataclass(frozen=True, slots=True)
class Inclusion:
    """One entry and its path in the log of `checkpoint`'s origin at `size`."""

    index: int
    size: int
    data: bytes
    path: Sequence[bytes]
    root: bytes


class AuditLog:
    """Reads what is signed: nothing behind the newest checkpoint is shown as part of the tree."""

    def __init__(
        self, reads: _Reads, checkpoints: Checkpointer, published: Callable[[], SignedCheckpoint | None] = lambda: None
    ) -> None:
        """Take `published`: it gives the newest cosigned checkpoint, or None where there is none."""
        self._reads = reads
        self._published = published
        self._checkpoints = checkpoints

    @property
    def checkpoint(self) -> SignedCheckpoint:
        """The newest signed checkpoint. Raises NotFound before the first."""
        latest = self._checkpoints.latest
        if latest is None:
            detail = "no checkpoint is signed yet; ask again in a second"
            raise NotFound(detail)
        return latest

    @property
    def published(self) -> SignedCheckpoint:
        """The newest checkpoint for whoever trusts neither side: with its cosignatures. Raises NotFound."""
        return self._published() or self.checkpoint

    async def inclusion(self, index: int, size: int | None) -> Inclusion:
        """Return an entry with its proof at `size`, the newest checkpoint's where None. Raises NotFound."""
        newest = self.checkpoint.size
        size = newest if size is None else size
        if not 0 <= index < size <= newest:
            detail = f"index is below size, and size at most {newest}, that of the newest checkpoint"
            raise NotFound(detail)
        # In one question: each costs more to ask than to answer.
        needed = {*proof.needs_inclusion(index, size), *proof.needs_frontier(size)}
        held = {key: tiles.split_hashes(stored) for key, stored in (await self._reads.tiles(needed)).items()}
        for level, number in needed - held.keys():
            held[level, number] = list(await self._hashes(level, number))

        def read(level: int, number: int) -> Sequence[bytes]:
            return held[level, number]

        [data] = await self._data(index, index + 1)
        return Inclusion(index, size, data, proof.inclusion(read, index, size), proof.root(read, size))

    async def tile(self, ref: TileRef) -> bytes:
        """Return a tile or an entry bundle as tlog-tiles has it. Raises NotFound where the log is shorter."""
        if not tiles.exists(ref, self.checkpoint.size):
            detail = "the log has no such tile"
            raise NotFound(detail)
        if ref.level is None:
            return tiles.encode_bundle(await self._data(ref.start, ref.start + ref.width))
        hashes = (await self._hashes(ref.level, ref.number))[: ref.width]
        if len(hashes) != ref.width:
            raise LedgerError(f"{ref.path} is shorter than the log")
        return b"".join(hashes)

    async def _data(self, start: int, end: int) -> Sequence[bytes]:
        found = await self._reads.leaf_data(start, end)
        if len(found) != end - start:
            raise LedgerError(f"entries {start} to {end - 1} are not whole")
        return found

    async def _hashes(self, level: int, number: int) -> Sequence[bytes]:
        stored = await self._reads.tile(level, number)
        if stored is not None:
            return tiles.split_hashes(stored)
        if level:
            return ()
        start = number * TILE_WIDTH
        # As stored, never made again from the data: an edited entry must show.
        return await self._reads.leaves(start, start + TILE_WIDTH)
