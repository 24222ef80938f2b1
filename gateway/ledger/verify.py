"""Check a whole log against its signed checkpoint, without network or database, and list every fault.

1. The checkpoint opens under keys given beforehand.
2. Every entry is there, readable, and carries its own index: an edit of order or count shows here.
3. Every entry has the hash its tile holds; every tile the hash the tile above holds.
4. What remains adds up to the signed root, and to each earlier root that was signed or stamped.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from gateway.errors import MalformedProof
from gateway.ledger import entry, note, tiles
from gateway.ledger.compare import (
    CHECKPOINT,
    ENTRY_CHANGED,
    GONE,
    TILE_CHANGED,
    Fault,
    Hashes,
    Walk,
    read_entries,
)
from gateway.ledger.stamps import Stamp, read_stamps
from gateway.ledger.tiles import TILE_BITS, TILE_WIDTH, TileRef
from gateway.primitives import merkle

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from gateway.ledger.tiles import ReadHashes

ReadFile: TypeAlias = Callable[[str], bytes | None]

CUT_BACK = "the log was cut back after it was signed"
NOT_SHOWN = "the log may have shown others another history"
MADE_UP = "its time is no witness's word: a clock was wrong, or the time was made up"
NOT_VOUCHED = "give the key that signed it too, or wait for the first checkpoint under the new one"
ANOTHERS = "the checkpoint is not this log's, or was changed"
HIDDEN = "what is looked up by was changed; what was signed is as signed"
MAX_MISSING_RUN = 1000  # bundles; an unsigned checkpoint may claim 2^62 leaves to keep a verifier busy


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `unsigned` counts entries after the checkpoint, which nothing vouches for yet.

    `unknown` names signature lines by keys not given: they prove nothing either way. `cosigned_size` is what the
    newest checkpoint covers that the given witnesses `cosigned_by` cosigned; `unjudged` counts the earlier checkpoints
    of a live log by keys that were not given.
    """

    origin: str | None
    size: int
    root: bytes | None
    faults: tuple[Fault, ...]
    cosigned_by: tuple[note.Cosignature, ...] = ()
    unknown: tuple[str, ...] = ()
    unsigned: int = 0
    stamps: tuple[Stamp, ...] = ()
    cosigned_size: int = 0
    unjudged: int = 0

    @property
    def changed(self) -> bool:
        """Tell whether a fault says that something was changed, and not only that nobody vouches for it."""
        return any(fault.meaning not in {NOT_SHOWN, NOT_VOUCHED} for fault in self.faults)

    @property
    def ok(self) -> bool:
        """Tell whether no fault was found."""
        return not self.faults

    @property
    def first_bad_index(self) -> int | None:
        """Return the lowest leaf index a fault names."""
        return min((fault.index for fault in self.faults if fault.index is not None), default=None)


class _Head(NamedTuple):
    head: note.TreeHead | None
    faults: list[Fault]
    cosigned_by: tuple[note.Cosignature, ...] = ()
    unknown: tuple[str, ...] = ()


def _open_head(
    text: bytes | str | None,
    log_keys: Sequence[note.NoteKey],
    witness_keys: Sequence[note.NoteKey],
    earlier: Sequence[note.NoteKey] = (),
) -> _Head:
    if text is None:
        return _Head(None, [Fault(None, CHECKPOINT, "missing", "nothing here is signed: trust none of it")])
    try:
        opened = note.open_checkpoint(text, log_keys, witness_keys)
    except note.UnknownSigner as exc:
        if earlier:
            by_earlier = _open_head(text, earlier, witness_keys)
            if not by_earlier.faults:
                # The given key is newer than the newest checkpoint: it vouches for nothing yet.
                faults = [Fault(None, CHECKPOINT, "a key of our cards signed it, and no given one", NOT_VOUCHED)]
                return by_earlier._replace(faults=faults)
        return _Head(note.read_tree_head(text), [Fault(None, CHECKPOINT, exc.detail, ANOTHERS)])
    except MalformedProof as exc:
        faults = [Fault(None, CHECKPOINT, exc.detail, ANOTHERS)]
        try:
            return _Head(note.read_tree_head(text), faults)
        except MalformedProof:
            return _Head(None, faults)
    faults = []
    if witness_keys and not opened.cosignatures:
        faults = [Fault(None, CHECKPOINT, "no given witness has cosigned it", NOT_SHOWN)]
    head = note.TreeHead(opened.origin, opened.size, opened.root)
    return _Head(head, faults, opened.cosignatures, opened.unknown)


def _report(opened: _Head, faults: Iterable[Fault], unsigned: int = 0) -> Report:
    ordered = sorted(faults, key=lambda fault: (fault.index is None, fault.index or 0))
    origin, size, root = opened.head or (None, 0, None)
    covered = size if opened.cosigned_by else 0
    return Report(origin, size, root, tuple(ordered), opened.cosigned_by, opened.unknown, unsigned, (), covered)


@dataclass(slots=True)
class _Files:
    """Hash tiles and bundles out of an export; each fault of a file is reported once."""

    read: ReadFile
    size: int
    faults: list[Fault] = field(default_factory=list)
    held: dict[TileRef, Hashes] = field(default_factory=dict)
    used: set[str] = field(default_factory=lambda: {CHECKPOINT})

    def content(self, ref: TileRef) -> bytes | None:
        self.used.add(ref.path)
        raw = self.read(ref.path)
        if raw is None:
            self.faults.append(Fault(ref.start, ref.path, "missing", GONE))
        return raw

    def hashes(self, ref: TileRef) -> Hashes:
        """Return the tile's hashes, None for each that is not there whole."""
        if ref in self.held:
            return self.held[ref]
        raw, want = self.content(ref), ref.width * merkle.HASH_BYTES
        if raw is not None and len(raw) != want:
            at = ((ref.number << TILE_BITS) + min(len(raw), want - 1) // 32) << (TILE_BITS * (ref.level or 0))
            self.faults.append(Fault(at, ref.path, f"{len(raw)} bytes instead of {want}", TILE_CHANGED))
        whole = (raw or b"")[: len(raw or b"") // 32 * 32]
        found: list[bytes | None] = [whole[at : at + 32] for at in range(0, min(len(whole), want), 32)]
        found += [None] * (ref.width - len(found))
        if ref.level:  # 256 times fewer than leaves: kept, each serves 256 tiles below
            self.held[ref] = found
        return found

    def parent(self, level: int, index: int) -> bytes | None:
        """Return what the tile above stores for one full tile."""
        width = min(TILE_WIDTH, (self.size >> (TILE_BITS * (level + 1))) - (index & ~0xFF))
        return self.hashes(TileRef(level + 1, index >> TILE_BITS, width))[index & 0xFF]

    def entries(self, ref: TileRef) -> list[bytes | None] | None:
        """Return the bundle's entries, None in each place without one; None for no bundle at all."""
        raw = self.content(ref)
        if raw is None:
            return None
        try:
            found: list[bytes | None] = list(tiles.decode_bundle(raw))
        except MalformedProof as exc:
            self.faults.append(Fault(ref.start, ref.path, exc.detail, ENTRY_CHANGED))
            return [None] * ref.width
        if len(found) > ref.width:
            what = f"{len(found)} entries instead of {ref.width}"
            self.faults.append(Fault(ref.start + ref.width, ref.path, what, ENTRY_CHANGED))
        return found[: ref.width] + [None] * (ref.width - len(found))


def verify_export(
    read: ReadFile,
    *,
    log_keys: Sequence[note.NoteKey],
    witness_keys: Sequence[note.NoteKey] = (),
    paths: Iterable[str] = (),
    certificates: Sequence[Certificate] = (),
    now_ms: int | None = None,
) -> Report:
    """Check an exported log: `checkpoint`, `tile/…`, `tile/entries/…`; `read` gives None for no such file.

    `paths` (all files found) lets the report name those no checkpoint vouches for, and find the timestamps;
    `certificates` are those of a timestamp authority; `now_ms` is the time beyond which nobody can have
    cosigned. One core checks a million leaves in seconds; memory is 1/256 of the leaves. Never raises for what it
    reads.
    """
    opened = _open_head(read(CHECKPOINT), log_keys, witness_keys)
    if opened.head is None:
        return _report(opened, opened.faults)
    size = opened.head.size
    files = _Files(read, size)
    paths = set(paths)
    stamped = read_stamps(read, paths, size, certificates)
    files.used |= stamped.used
    walk = Walk(size, files.parent, iter(stamped.heads))
    missing = 0
    first: bytes | None = None
    for ref in tiles.bundle_refs(size):
        found = files.entries(ref)
        if found and ref.start == 0:
            first = found[0]
        stored = files.hashes(TileRef(0, ref.number, ref.width))
        leaves, faults = ([None] * ref.width, []) if found is None else read_entries(ref, found)
        walk.faults += faults
        walk.tile(TileRef(0, ref.number, ref.width), leaves, stored)
        missing = missing + 1 if found is None and stored.count(None) == len(stored) else 0
        if missing == MAX_MISSING_RUN:
            walk.faults.append(Fault(ref.start, ref.path, "and so on: the rest was not looked for", GONE))
            break
    else:
        walk.climb(files.hashes)
        walk.finish(opened.head.root)
    extra = [
        Fault(None, path, "not part of the log at this size", "no checkpoint vouches for this file")
        for path in sorted(paths - files.used)
        if missing < MAX_MISSING_RUN
    ]
    cosigned_by, untimely = _timely(opened.cosigned_by, _time_of(first), now_ms)
    opened = opened._replace(cosigned_by=cosigned_by)
    report = _report(opened, [*opened.faults, *files.faults, *walk.faults, *stamped.faults, *extra, *untimely])
    return replace(report, stamps=tuple(stamped.stamps))


def _timely(
    cosignatures: Sequence[note.Cosignature], first_ms: int | None, now_ms: int | None
) -> tuple[tuple[note.Cosignature, ...], list[Fault]]:
    """Return the cosignatures that can have been made when they say, and a fault for each other one."""
    good = tuple(one for one in cosignatures if one.timely(first_ms, now_ms))
    what = "dated in the future, or before the log's first entry"
    return good, [
        Fault(None, CHECKPOINT, f"the cosignature of {one.witness.name} is {what}", MADE_UP)
        for one in cosignatures
        if one not in good
    ]


def _time_of(data: bytes | None) -> int | None:
    try:
        return None if data is None else entry.parse(data).at_ms
    except MalformedProof:
        return None  # a fault of its own


def verify_rows(
    checkpoint: str | None,
    rows: Iterable[tuple[int, bytes]],
    read_hashes: ReadHashes,
    *,
    log_keys: Sequence[note.NoteKey],
    witness_keys: Sequence[note.NoteKey] = (),
    earlier_keys: Sequence[note.NoteKey] = (),
    cosigned: Iterable[str] = (),
    history: Iterable[str] = (),
    misfiled: Iterable[int] = (),
    misfiled_checkpoints: Iterable[int] = (),
    cosigned_size: int = 0,
    now_ms: int | None = None,
) -> Report:
    """Check a live log: `rows` of (seq, leaf data) by rising seq, tiles as stored, the newest checkpoint.

    The tile being filled at level 0 may be absent. `history` are earlier checkpoints by rising size: they
    narrow a change nobody stored a hash against to the leaves between two of them. They may be signed by
    `earlier_keys`, which count for no newer one. `cosigned` are checkpoints with their cosignatures, newest first: a
    live log is always a little ahead of its witnesses, so the newest that a given one cosigned is taken. `misfiled` are
    entries kept under other search terms than their own, `misfiled_checkpoints` sizes of those kept under another size
    or root; `cosigned_size` is the largest a partner is on record to have cosigned. Never raises for what it reads.
    """
    known = [*log_keys, *(key for key in earlier_keys if key not in log_keys)]
    opened = _open_head(checkpoint, log_keys, (), earlier=known)
    if opened.head is None:
        return _report(opened, opened.faults)
    size = opened.head.size
    past, unjudged, faults = _heads(history, known, size)
    if cosigned_size > size:
        what = f"older than one a partner cosigned at size {cosigned_size}"
        faults.append(Fault(size, CHECKPOINT, what, CUT_BACK))

    # 256 times fewer than leaves, and each serves 256 tiles below.
    read_above = lru_cache(maxsize=None)(read_hashes)

    def hashes(ref: TileRef) -> Hashes:
        found: list[bytes | None] = list(read_hashes(ref.level or 0, ref.number)[: ref.width])
        if len(found) < ref.width and (ref.level or ref.width == TILE_WIDTH):
            at = ((ref.number << TILE_BITS) + len(found)) << (TILE_BITS * (ref.level or 0))
            faults.append(Fault(at, ref.path, "missing or too short", GONE))
        return found + [None] * (ref.width - len(found))

    def parent(level: int, index: int) -> bytes | None:
        found = read_above(level + 1, index >> TILE_BITS)
        return found[index & 0xFF] if len(found) > index & 0xFF else None

    walk = Walk(size, parent, iter(past))
    bundles = _Grouped(rows, size)
    first: bytes | None = None
    for ref in tiles.bundle_refs(size):
        taken = bundles.take(ref)
        first = taken[0] if ref.start == 0 else first
        leaves, wrong = read_entries(ref, taken)
        walk.faults += wrong
        walk.tile(TileRef(0, ref.number, ref.width), leaves, hashes(TileRef(0, ref.number, ref.width)))
    walk.climb(hashes)
    walk.finish(opened.head.root)
    unsigned, tail = bundles.tail()
    found = [*opened.faults, *faults, *walk.faults, *tail]
    hidden = _hidden(misfiled, misfiled_checkpoints, {fault.index for fault in found})
    covered, witnesses, unproved = _witnessed(cosigned, known, witness_keys, _time_of(first), now_ms)
    report = _report(opened, [*found, *hidden, *unproved], unsigned)
    return replace(report, cosigned_by=witnesses, cosigned_size=covered, unjudged=unjudged)


def _witnessed(
    cosigned: Iterable[str],
    log_keys: Sequence[note.NoteKey],
    witness_keys: Sequence[note.NoteKey],
    first_ms: int | None,
    now_ms: int | None,
) -> tuple[int, tuple[note.Cosignature, ...], list[Fault]]:
    """Return the size of the newest checkpoint a given witness cosigned, who did, and what is wrong with newer ones."""
    if not witness_keys:
        return 0, (), []
    faults: list[Fault] = []
    for text in cosigned:
        if not any(note.names_signer(text, key) for key in witness_keys):
            continue
        try:
            opened = note.open_checkpoint(text, log_keys, witness_keys)
        except MalformedProof as exc:
            faults.append(Fault(None, CHECKPOINT, f"a cosigned one: {exc.detail}", "it was changed"))
            continue
        good, untimely = _timely(opened.cosignatures, first_ms, now_ms)
        faults += untimely
        if good:
            return opened.size, good, faults
    return 0, (), [*faults, Fault(None, CHECKPOINT, "no given witness has cosigned it", NOT_SHOWN)]


def _hidden(entries: Iterable[int], checkpoints: Iterable[int], named: Container[int | None]) -> Iterator[Fault]:
    """Yield what is kept under other columns than it says; an entry that is `named` already has a fault of its own."""
    for seq in entries:
        if seq not in named:
            what = f"entry {seq}: filed under what it does not say"
            yield Fault(seq, tiles.bundle_path(seq >> TILE_BITS), what, HIDDEN)
    for at in checkpoints:
        yield Fault(None, CHECKPOINT, f"the one of size {at}: kept under a size or root it does not say", HIDDEN)


def _heads(
    history: Iterable[str], log_keys: Sequence[note.NoteKey], size: int
) -> tuple[list[note.TreeHead], int, list[Fault]]:
    """Open earlier checkpoints; count those by keys not given; one that does not verify is a fault of its own."""
    heads: list[note.TreeHead] = []
    unjudged = 0
    faults: list[Fault] = []
    for text in history:
        try:
            opened = note.open_checkpoint(text, log_keys)
        except note.UnknownSigner:
            unjudged += 1
            continue
        except MalformedProof as exc:
            faults.append(Fault(None, CHECKPOINT, f"an earlier one: {exc.detail}", "it was changed"))
            continue
        if opened.size > size:
            what = f"older than one signed at size {opened.size}"
            faults.append(Fault(size, CHECKPOINT, what, CUT_BACK))
        elif opened.size > 0 and (not heads or heads[-1].size < opened.size):
            heads.append(note.TreeHead(opened.origin, opened.size, opened.root))
    return heads, unjudged, faults


class _Grouped:
    """Rows by rising seq, cut into bundles; a seq that is not there leaves its place empty."""

    def __init__(self, rows: Iterable[tuple[int, bytes]], size: int) -> None:
        self._rows = iter(rows)
        self._size = size
        self._next = next(self._rows, None)

    def take(self, ref: TileRef) -> list[bytes | None]:
        found: list[bytes | None] = [None] * ref.width
        while self._next is not None and self._next[0] < ref.start + ref.width:
            if self._next[0] >= ref.start:
                found[self._next[0] - ref.start] = self._next[1]
            self._next = next(self._rows, None)
        return found

    def tail(self) -> tuple[int, list[Fault]]:
        """Return how many rows follow the checkpoint, and the first of them out of its place."""
        count = 0
        while self._next is not None:
            seq, data = self._next
            try:
                right = seq == self._size + count and entry.read_seq(data) == seq
            except MalformedProof:
                right = False
            if not right:
                what = f"entry {self._size + count}: missing, unreadable or numbered otherwise"
                return count, [Fault(self._size + count, tiles.bundle_path(seq >> 8), what, ENTRY_CHANGED)]
            count += 1
            self._next = next(self._rows, None)
        return count, []
