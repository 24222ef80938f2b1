"""Compare three accounts of one tree, the entries, the stored tiles and the signed root, tile by tile.

Where two of the three agree, the third is named as the one that was changed and the agreed one is carried
up: so one edit is one fault, at its index, and not one at each level above it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from gateway.errors import MalformedProof
from gateway.ledger import entry, note, tiles
from gateway.ledger.tiles import TILE_BITS, TILE_WIDTH, TileRef
from gateway.primitives import merkle

CHECKPOINT: Final = "checkpoint"
Hashes: TypeAlias = Sequence[bytes | None]
"""Hashes by position; None where there is none."""

ENTRY_CHANGED: Final = "the entry was changed, removed or moved after it was logged"
TILE_CHANGED: Final = "the tile was changed; what lies below it is as signed"
EITHER_CHANGED: Final = "the two were made to differ after logging; which one was changed cannot be told"
GONE: Final = "a part of the log was removed"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: the first leaf index it touches (None: unknown), where, what, its meaning."""

    index: int | None
    path: str
    what: str
    meaning: str


class _Settled(NamedTuple):
    faults: list[Fault]
    hashes: Hashes
    upward: bytes | None


class _Open(NamedTuple):
    """A partial tile: only the signed root can tell which account of it holds."""

    ref: TileRef
    below: Hashes
    stored: Hashes


@dataclass(slots=True)
class Walk:
    """The state of one verification; fed bundle by bundle, then level by level."""

    size: int
    parent: Callable[[int, int], bytes | None]
    history: Iterator[note.TreeHead]
    faults: list[Fault] = field(default_factory=list)
    above: list[bytes | None] = field(default_factory=list)
    edges: list[_Open] = field(default_factory=list)
    frontier: merkle.Frontier | None = field(default_factory=merkle.Frontier)
    agreed: int = 0  # the largest earlier checkpoint that holds
    strayed: note.TreeHead | None = None  # the first that does not
    awaited: note.TreeHead | None = None

    def tile(self, ref: TileRef, below: Hashes, stored: Hashes) -> None:
        """Compare one tile with what lies below it."""
        level = ref.level or 0
        if ref.width < TILE_WIDTH:
            self.edges.append(_Open(ref, below, stored))
            hashes = below
        else:
            settled = _settle(ref, below, stored, self.parent(level, ref.number))
            self.faults += settled.faults
            self.above.append(settled.upward)
            hashes = settled.hashes
        if level == 0:
            self._recall(hashes)

    def climb(self, stored: Callable[[TileRef], Hashes]) -> None:
        """Compare the levels above, after every tile of level 0."""
        for ref in tiles.hash_refs(self.size):
            if not ref.level:
                continue
            if ref.number == 0:
                below, self.above = self.above, []
            first = ref.number << TILE_BITS
            self.tile(ref, below[first : first + ref.width], stored(ref))

    def _recall(self, leaves: Hashes) -> None:
        """Move the compact range along, stopping at each earlier checkpoint to compare its root."""
        while leaves and self.frontier is not None and self.strayed is None:
            self.awaited = self.awaited or next(self.history, None)
            room = self.awaited.size - self.frontier.size if self.awaited else len(leaves)
            taken, leaves = leaves[:room], leaves[room:]
            known = [leaf for leaf in taken if leaf is not None]
            self.frontier = self.frontier.extend(known) if len(known) == len(taken) else None
            if self.frontier and self.awaited and self.frontier.size == self.awaited.size:
                if self.frontier.root() == self.awaited.root:
                    self.agreed = self.awaited.size
                else:
                    self.strayed = self.awaited
                self.awaited = None

    def finish(self, root: bytes) -> None:
        """Judge the right edge by the signed root, then the earlier checkpoints."""
        by_below = _edge_root(self.size, [_filled(edge.below, edge.stored) for edge in self.edges])
        by_stored = _edge_root(self.size, [_filled(edge.stored, edge.below) for edge in self.edges])
        meaning = TILE_CHANGED if root == by_below else ENTRY_CHANGED if root == by_stored else EITHER_CHANGED
        for edge in self.edges:
            self.faults += _differences(edge.ref, edge.below, edge.stored, meaning)
        if root not in {by_below, by_stored}:
            what = "the hashes do not add up to the signed root"
            self._lay_at(self.strayed.size if self.strayed else self.size, CHECKPOINT, what)
        elif self.strayed:
            what = f"the tree does not match the checkpoint signed at size {self.strayed.size}"
            self._lay_at(self.strayed.size, CHECKPOINT, what)

    def _lay_at(self, end: int, path: str, what: str) -> None:
        """Name a root that does not hold by the range of leaves it can be in, unless that is known closer."""
        known = any(f.index is not None and self.agreed <= f.index < end for f in self.faults)
        if self.agreed and not known:
            what = f"{what}; entries {self.agreed} to {end - 1} hold the change"
        index = self.agreed if self.agreed and not known else None
        self.faults.append(Fault(index, path, what, "the log was rewritten after it was signed"))


def _filled(first: Hashes, second: Hashes) -> Hashes:
    """Return `first` with its gaps filled from `second`."""
    return [one if one is not None else other for one, other in zip(first, second, strict=True)]


def _tile_root(hashes: Hashes) -> bytes | None:
    known = [one for one in hashes if one is not None]
    return merkle.root(known) if known and len(known) == len(hashes) else None


def _edge_root(size: int, edges: Sequence[Hashes]) -> bytes | None:
    """Return the root over the partial tiles, level 0 first; None when a hash is unknown."""
    peaks: list[bytes] = []
    for hashes in reversed(edges):
        known = [one for one in hashes if one is not None]
        if len(known) != len(hashes):
            return None
        peaks += merkle.Frontier().extend(known).peaks
    return merkle.Frontier(size, tuple(peaks)).root() if len(peaks) == size.bit_count() else None


def _settle(ref: TileRef, below: Hashes, stored: Hashes, parent: bytes | None) -> _Settled:
    """Decide for a full tile which account the tile above confirms, and carry that one up."""
    if below == stored:
        return _Settled([], below, _tile_root(below))
    from_below, from_stored = _filled(below, stored), _filled(stored, below)
    root_below, root_stored = _tile_root(from_below), _tile_root(from_stored)
    if parent is not None and parent == root_stored:
        return _Settled(_differences(ref, below, stored, ENTRY_CHANGED), from_stored, parent)
    meaning = TILE_CHANGED if parent is not None and parent == root_below else EITHER_CHANGED
    return _Settled(_differences(ref, below, stored, meaning), from_below, root_below)


def _differences(ref: TileRef, below: Hashes, stored: Hashes, meaning: str) -> list[Fault]:
    """Return a fault for each run of positions where two known hashes differ; gaps are told elsewhere."""
    bad = [
        at
        for at, (one, other) in enumerate(zip(below, stored, strict=True))
        if one != other and one is not None and other is not None
    ]
    level, base = ref.level or 0, ref.number << TILE_BITS
    things = "entries do" if level == 0 else f"tiles of level {level - 1} do"
    return [
        Fault(
            (base + first) << (TILE_BITS * level),
            ref.path,
            f"{things} not have the hash stored for them: {_span(base + first, base + last)}",
            meaning if level == 0 or meaning != ENTRY_CHANGED else "what lies below the tile was changed",
        )
        for first, last in _runs(bad)
    ]


def _runs(positions: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of each run of consecutive numbers in a rising sequence."""
    first = last = None
    for at in positions:
        if last is not None and first is not None and at != last + 1:
            yield first, last
            first = at
        first, last = (at if first is None else first), at
    if first is not None and last is not None:
        yield first, last


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def read_entries(ref: TileRef, entries: Sequence[bytes | None]) -> tuple[list[bytes | None], list[Fault]]:
    """Return the leaf hashes of a bundle, and what is wrong with the entries as such."""
    wrong: dict[str, list[int]] = {}
    leaves: list[bytes | None] = []
    for at, data in enumerate(entries, ref.start):
        if data is None:
            wrong.setdefault("missing", []).append(at)
            leaves.append(None)
            continue
        leaves.append(merkle.leaf_hash(data))
        try:
            if entry.read_seq(data) != at:
                wrong.setdefault("numbered otherwise", []).append(at)
        except MalformedProof:
            wrong.setdefault("unreadable", []).append(at)
    meanings = {"missing": GONE}
    faults = [
        Fault(first, ref.path, f"entry {_span(first, last)}: {what}", meanings.get(what, ENTRY_CHANGED))
        for what, positions in wrong.items()
        for first, last in _runs(positions)
    ]
    return leaves, faults
