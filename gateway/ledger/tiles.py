"""Tiles of the log: names, bundles, and which rows a growing log writes (C2SP tlog-tiles v0.1.0).

A tile at level `l` holds up to 256 hashes of complete subtrees of 256^l leaves. A partial tile is never
hashed into the level above, so a hash once written never changes: rows only grow to the right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from gateway.errors import LedgerError, MalformedProof
from gateway.primitives import merkle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TILE_WIDTH = 256
TILE_BITS = 8
MAX_LEVEL = 63
MAX_BUNDLED_BYTES = 0xFFFF  # the length prefix of a bundle is a uint16

ReadHashes: TypeAlias = Callable[[int, int], Sequence[bytes]]
"""`read(level, number)` → the hashes stored so far in that tile, 0 to 256 of 32 bytes."""

ReadEntries: TypeAlias = Callable[[int, int], Sequence[bytes]]
"""`read(start, end)` → the leaf data of entries [start, end), in order."""

_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<number>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class TileRef(NamedTuple):
    """One tile of a log; `level` None is an entry bundle. `width` is 1…256, 256 being a full one."""

    level: int | None
    number: int
    width: int = TILE_WIDTH

    @property
    def start(self) -> int:
        """Return the index of the first leaf under this tile."""
        return self.number << (TILE_BITS * ((self.level or 0) + 1))

    @property
    def path(self) -> str:
        """Return the path under the log's prefix, such as `tile/0/x001/x234/067.p/8`."""
        name = "entries" if self.level is None else str(self.level)
        digits = f"{self.number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        spelled = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{name}/{spelled}{partial}"


def tile_path(level: int, number: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a hash tile."""
    return TileRef(level, number, width).path


def bundle_path(number: int, width: int = TILE_WIDTH) -> str:
    """Return the path of an entry bundle."""
    return TileRef(None, number, width).path


def parse_path(path: str) -> TileRef | None:
    """Return what `tile/…` names, or None for anything but the one spelling tlog-tiles allows."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    level = None if found["level"] == "entries" else int(found["level"])
    number = int(found["number"].replace("x", "").replace("/", ""))
    ref = TileRef(level, number, int(found["width"] or TILE_WIDTH))
    # `x000/001`, `.p/256` and levels above 63 would be second names for one tile, or names for none.
    if ref.path != path or (level or 0) > MAX_LEVEL:
        return None
    return ref


def hash_refs(size: int) -> Iterator[TileRef]:
    """Yield every hash tile of a log of `size` leaves, partial ones at their exact width."""
    level, width = 0, size
    while width:
        for number in range(width >> TILE_BITS):
            yield TileRef(level, number)
        if width % TILE_WIDTH:
            yield TileRef(level, width >> TILE_BITS, width % TILE_WIDTH)
        level, width = level + 1, width >> TILE_BITS


def bundle_refs(size: int) -> Iterator[TileRef]:
    """Yield every entry bundle of a log of `size` leaves."""
    for number in range(size >> TILE_BITS):
        yield TileRef(None, number)
    if size % TILE_WIDTH:
        yield TileRef(None, size >> TILE_BITS, size % TILE_WIDTH)


def exists(ref: TileRef, size: int) -> bool:
    """Tell whether a log that has reached `size` leaves has had this tile, whole or this wide."""
    return (ref.number << TILE_BITS) + ref.width <= size >> (TILE_BITS * (ref.level or 0))


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Return an entry bundle: each leaf's data behind its big-endian uint16 length."""
    return b"".join(len(data).to_bytes(2, "big") + data for data in entries)


def decode_bundle(raw: bytes) -> list[bytes]:
    """Return the leaf data in a bundle. Raises MalformedProof when a length runs past the end."""
    entries: list[bytes] = []
    at, end = 0, len(raw)
    while at < end:
        stop = at + 2 + int.from_bytes(raw[at : at + 2], "big")
        if at + 2 > end or stop > end:
            raise MalformedProof(f"the bundle breaks off inside its entry {len(entries)}")
        entries.append(raw[at + 2 : stop])
        at = stop
    return entries


def split_hashes(raw: bytes) -> list[bytes]:
    """Return the hashes of a stored tile. Raises MalformedProof unless it is 1 to 256 whole hashes."""
    count, rest = divmod(len(raw), merkle.HASH_BYTES)
    if rest or not 1 <= count <= TILE_WIDTH:
        raise MalformedProof("a tile is 1 to 256 hashes of 32 bytes")
    return [raw[at : at + merkle.HASH_BYTES] for at in range(0, len(raw), merkle.HASH_BYTES)]


class TileRow(NamedTuple):
    """One row to store: `hashes` is the whole tile as it now stands, 32 bytes a hash."""

    level: int
    number: int
    hashes: bytes


@dataclass(frozen=True, slots=True)
class Edge:
    """The unfilled tiles on the right edge of a log, one per level; immutable like `merkle.Frontier`.

    `partial[l]` holds the 0…255 hashes of the tile being filled at level `l`.
    """

    size: int = 0
    partial: tuple[tuple[bytes, ...], ...] = ()

    def grow(self, leaves: Iterable[bytes]) -> tuple[Edge, list[TileRow]]:
        """Add leaf hashes; return the new edge and the rows to write with them, each tile once.

        Level 0 is written when it is full (until then its hashes come from the entries themselves);
        levels above are written as they stand, to replace the shorter row of the same tile.
        """
        grown = list(leaves)
        levels = [list(hashes) for hashes in self.partial]
        rows: list[TileRow] = []
        level, below = 0, self.size
        size = self.size + len(grown)
        while grown:
            if level == len(levels):
                levels.append([])
            held = levels[level] + grown
            first, full = below >> TILE_BITS, len(held) >> TILE_BITS
            tiles = [held[at << TILE_BITS : (at + 1) << TILE_BITS] for at in range(full)]
            rows.extend(TileRow(level, first + at, b"".join(tile)) for at, tile in enumerate(tiles))
            levels[level] = held[full << TILE_BITS :]
            if level and levels[level]:
                rows.append(TileRow(level, first + full, b"".join(levels[level])))
            grown = [merkle.root(tile) for tile in tiles]
            level, below = level + 1, below >> TILE_BITS
        return Edge(size, tuple(tuple(hashes) for hashes in levels)), rows

    @classmethod
    def load(cls, size: int, read: ReadHashes) -> Edge:
        """Return the edge of a stored log of `size` leaves, reading one tile a level.

        Raises LedgerError when a tile is shorter than the log.
        """
        partial: list[tuple[bytes, ...]] = []
        width = size
        while width:
            need = width % TILE_WIDTH
            held = tuple(read(len(partial), width >> TILE_BITS))[:need] if need else ()
            if len(held) < need:
                raise LedgerError(f"tile {len(partial)}/{width >> TILE_BITS} is shorter than the log")
            partial.append(held)
            width >>= TILE_BITS
        return cls(size, tuple(partial))


def export_files(size: int, entries: ReadEntries, hashes: ReadHashes) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of every tile and bundle of the first `size` leaves, in order.

    The hashes are those stored, never made again from the entries: an export must show an edit.
    Raises LedgerError when a tile or a run of entries is shorter than the log.
    """
    for ref in hash_refs(size):
        held = hashes(ref.level or 0, ref.number)[: ref.width]
        if len(held) < ref.width:
            raise LedgerError(f"{ref.path} is shorter than the log")
        yield ref.path, b"".join(held)
    for ref in bundle_refs(size):
        data = entries(ref.start, ref.start + ref.width)
        if len(data) != ref.width:
            raise LedgerError(f"{ref.path} is shorter than the log")
        yield ref.path, encode_bundle(data)
