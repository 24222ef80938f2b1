"""Inclusion and consistency proofs out of stored tiles, for the log as it is or as it was.

A proof touches one tile a level for the leaf and one a level for the right edge: in a log of 3 million
leaves at most six, whatever the leaf. `needs_*` name those tiles without reading any, so that a caller
with an asynchronous store fetches them in one go and then asks for the proof.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import LedgerError
from gateway.ledger.tiles import TILE_BITS
from gateway.primitives import merkle

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from gateway.ledger.tiles import ReadHashes

_NO_HASH = bytes(merkle.HASH_BYTES)


def _tile_of(level: int, index: int) -> tuple[int, int, int, int]:
    """Return (tile level, tile number, first, count) of the hashes below one node of the binary tree."""
    tile_level, height = divmod(level, TILE_BITS)
    first = index << height
    return tile_level, first >> TILE_BITS, first & 0xFF, 1 << height


def _node_reader(read: ReadHashes) -> Callable[[int, int], bytes]:
    """Return a reader of tree nodes that asks for each tile once."""
    held: dict[tuple[int, int], Sequence[bytes]] = {}

    def node(level: int, index: int) -> bytes:
        tile_level, tile_number, first, count = _tile_of(level, index)
        key = tile_level, tile_number
        if key not in held:
            held[key] = read(tile_level, tile_number)
        hashes = held[key][first : first + count]
        if len(hashes) != count:
            raise LedgerError(f"tile {tile_level}/{tile_number} is shorter than the log")
        return hashes[0] if count == 1 else merkle.root(hashes)

    return node


def inclusion(read: ReadHashes, index: int, size: int) -> list[bytes]:
    """Return the audit path of leaf `index` in the log at `size` (RFC 6962 §2.1.1).

    `read` may hold more than `size` leaves. Raises ValueError unless 0 ≤ index < size, LedgerError when
    a tile is shorter than the log.
    """
    return merkle.inclusion_nodes(_node_reader(read), index, size)


def consistency(read: ReadHashes, size1: int, size2: int) -> list[bytes]:
    """Return the proof that the log at `size2` extends the log at `size1` (RFC 6962 §2.1.2).

    Raises ValueError unless 0 < size1 ≤ size2, LedgerError when a tile is shorter than the log.
    """
    return merkle.consistency_nodes(_node_reader(read), size1, size2)


def frontier(read: ReadHashes, size: int) -> merkle.Frontier:
    """Return the compact range of the log at `size`; its `.root()` is the root. Raises LedgerError."""
    node = _node_reader(read)
    return merkle.Frontier(size, tuple(node(level, index) for level, index in _peaks(size)))


def root(read: ReadHashes, size: int) -> bytes:
    """Return the root of the log at `size`. Raises LedgerError."""
    return frontier(read, size).root()


def needs_tile(level: int, number: int, size: int, known: Container[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """Return the full tiles (level, number) from this one upward that `tile_leads` will read.

    It ends below a partial tile, which is on the right edge (`needs_frontier`), or at one of the `known`, which
    lead to the root already.
    """
    found: list[tuple[int, int]] = []
    while (number + 1) << TILE_BITS <= size >> (TILE_BITS * level) and (level, number) not in known:
        found.append((level, number))
        level, number = level + 1, number >> TILE_BITS
    return found


def tile_leads(read: ReadHashes, level: int, number: int, size: int, known: Container[tuple[int, int]] = ()) -> bool:
    """Tell whether every hash of a tile leads to the root of the log at `size`.

    The right edge must have been compared with that root (`root`), which holds each hash of its partial tiles.
    `read` gives no more hashes of a tile than the log at `size` has.
    """
    return all(
        merkle.root(read(here, at)) == read(here + 1, at >> TILE_BITS)[at & 0xFF]
        for here, at in needs_tile(level, number, size, known)
    )


def _peaks(size: int) -> list[tuple[int, int]]:
    start, found = 0, []
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            found.append((level, start >> level))
            start += 1 << level
    return found


def _recorded(prove: Callable[[Callable[[int, int], bytes]], object]) -> tuple[tuple[int, int], ...]:
    seen: dict[tuple[int, int], None] = {}

    def note(level: int, index: int) -> bytes:
        tile_level, tile_number, _, _ = _tile_of(level, index)
        seen[tile_level, tile_number] = None
        return _NO_HASH

    prove(note)
    return tuple(seen)


def needs_inclusion(index: int, size: int) -> tuple[tuple[int, int], ...]:
    """Return the (level, tile number) pairs `inclusion` will read. Raises ValueError like it."""
    return _recorded(lambda node: merkle.inclusion_nodes(node, index, size))


def needs_consistency(size1: int, size2: int) -> tuple[tuple[int, int], ...]:
    """Return the (level, tile number) pairs `consistency` will read. Raises ValueError like it."""
    return _recorded(lambda node: merkle.consistency_nodes(node, size1, size2))


def needs_frontier(size: int) -> tuple[tuple[int, int], ...]:
    """Return the (level, tile number) pairs `frontier`, `root` and `Edge.load` will read, one a level."""
    return _recorded(lambda node: [node(level, index) for level, index in _peaks(size)])
