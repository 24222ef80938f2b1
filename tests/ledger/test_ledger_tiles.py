"""Tile names, bundles, the rows a growing log writes, and proofs out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import LedgerError, MalformedProof
from gateway.ledger import proof, tiles
from gateway.ledger.tiles import TileRef
from gateway.primitives import merkle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.ledger.conftest import MemoryLog

LEAVES = [merkle.leaf_hash(at.to_bytes(4, "big")) for at in range(70_000)]

PATHS = [
    (TileRef(0, 0), "tile/0/000"),
    (TileRef(1, 5, 17), "tile/1/005.p/17"),
    (TileRef(0, 1_234_067, 8), "tile/0/x001/x234/067.p/8"),
    (TileRef(0, 1000), "tile/0/x001/000"),
    (TileRef(63, 999, 255), "tile/63/999.p/255"),
    (TileRef(None, 273, 112), "tile/entries/273.p/112"),
    (TileRef(None, 1_234_067), "tile/entries/x001/x234/067"),
]


@pytest.mark.parametrize(("ref", "path"), PATHS)
def test_path_is_the_specifications_and_is_read_back(ref: TileRef, path: str) -> None:
    """tlog-tiles: three digits a group, all but the last behind an x, `.p/` for partial ones."""
    assert ref.path == path
    assert tiles.parse_path(path) == ref


@settings(max_examples=200, deadline=None)
@given(st.none() | st.integers(0, 63), st.integers(0, 10**15), st.integers(1, 256))
def test_every_path_is_read_back(level: int | None, number: int, width: int) -> None:
    """Any level, number and width."""
    ref = TileRef(level, number, width)
    assert tiles.parse_path(ref.path) == ref


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/1",
        "tile/0/0001",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/8/0/000",
        "tile/data/000",
        "tile/0/../../x",
        "checkpoint",
        "tile/entries/1",
    ],
)
def test_any_other_spelling_names_no_tile(path: str) -> None:
    """One tile, one name; nothing that climbs out of the tree."""
    assert tiles.parse_path(path) is None


def test_a_log_of_70000_has_the_tiles_of_the_specifications_example() -> None:
    """273 full and one of 112 at level 0, one full and one of 17 at level 1, one of width 1 at level 2."""
    refs = list(tiles.hash_refs(70_000))
    assert len(refs) == 277
    assert refs[:273] == [TileRef(0, number) for number in range(273)]
    assert refs[273:] == [TileRef(0, 273, 112), TileRef(1, 0), TileRef(1, 1, 17), TileRef(2, 0, 1)]
    assert list(tiles.bundle_refs(70_000)) == [ref._replace(level=None) for ref in refs[:274]]


@pytest.mark.parametrize(
    ("size", "paths"),
    [(0, []), (1, ["tile/0/000.p/1"]), (256, ["tile/0/000", "tile/1/000.p/1"]),
     (257, ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"])],
)  # fmt: skip
def test_small_logs_have_these_tiles(size: int, paths: list[str]) -> None:
    """Empty tiles do not exist."""
    assert [ref.path for ref in tiles.hash_refs(size)] == paths


def test_a_tile_exists_once_the_log_has_been_that_large() -> None:
    """Whole, and each partial width on the way."""
    for ref in tiles.hash_refs(70_000):
        assert tiles.exists(ref, 70_000)
    assert tiles.exists(TileRef(1, 1, 16), 70_000)
    assert not tiles.exists(TileRef(1, 1, 18), 70_000)
    assert not tiles.exists(TileRef(0, 273), 70_000)
    assert not tiles.exists(TileRef(None, 273, 113), 70_000)
    assert not tiles.exists(TileRef(2, 0, 2), 70_000)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundle_survives_a_round_trip(entries: list[bytes]) -> None:
    """Empty and long entries."""
    assert tiles.decode_bundle(tiles.encode_bundle(entries)) == entries


@pytest.mark.parametrize("raw", [b"\0", b"\0\1", b"\0\2a", b"\0\0\0", b"\xff\xffabc"])
def test_bundle_that_breaks_off_is_refused(raw: bytes) -> None:
    """A length that runs past the end, or half a length."""
    with pytest.raises(MalformedProof):
        tiles.decode_bundle(raw)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 257 * 32])
def test_tile_of_another_size_is_refused(size: int) -> None:
    """1 to 256 hashes of 32 bytes."""
    with pytest.raises(MalformedProof):
        tiles.split_hashes(bytes(size))


def _plain_tiles(size: int) -> dict[tuple[int, int], bytes]:
    """Every tile from the definition: MTH over 256^l leaves each."""
    found: dict[tuple[int, int], bytes] = {}
    for ref in tiles.hash_refs(size):
        level, span = ref.level or 0, 256 ** (ref.level or 0)
        first = ref.number * 256
        hashes = [merkle.root(LEAVES[at * span : (at + 1) * span]) for at in range(first, first + ref.width)]
        if level or ref.width == 256:
            found[level, ref.number] = b"".join(hashes)
    return found


@pytest.mark.parametrize("batch", [1, 7, 255, 256, 257, 1000, 66_000])
def test_growing_in_any_batches_writes_the_tiles_of_the_definition(batch: int) -> None:
    """66,000 leaves (three levels); each tile at most once a batch, and a row never shrinks."""
    edge = tiles.Edge()
    rows: dict[tuple[int, int], bytes] = {}
    for at in range(0, 66_000, batch):
        edge, written = edge.grow(LEAVES[at : min(at + batch, 66_000)])
        keys = [(row.level, row.number) for row in written]
        assert len(set(keys)) == len(keys)
        for row in written:
            assert row.hashes.startswith(rows.get((row.level, row.number), b""))
            rows[row.level, row.number] = row.hashes
    assert rows == _plain_tiles(66_000)
    assert edge.size == 66_000


def test_growing_by_nothing_writes_nothing() -> None:
    """An empty transaction."""
    edge, _ = tiles.Edge().grow(LEAVES[:300])
    assert edge.grow([]) == (edge, [])


class Store:
    """Tiles by (level, number) that counts what is read."""

    def __init__(self, size: int) -> None:
        self.edge, rows = tiles.Edge().grow(LEAVES[:size])
        self.held = {(row.level, row.number): tiles.split_hashes(row.hashes) for row in rows}
        if size % 256:
            self.held[0, size >> 8] = LEAVES[size & ~0xFF : size]
        self.asked: list[tuple[int, int]] = []

    def read(self, level: int, number: int) -> Sequence[bytes]:
        """Return what is held, and remember that it was asked for."""
        self.asked.append((level, number))
        return self.held.get((level, number), [])


STORE = Store(70_000)
SIZES = [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_792, 69_999, 70_000]


@pytest.mark.parametrize("size", SIZES)
def test_inclusion_out_of_tiles_is_the_plain_one_and_reads_few(size: int) -> None:
    """Old sizes too, though the tiles have grown since; exactly the tiles foretold, each once."""
    root = merkle.root(LEAVES[:size])
    assert proof.root(STORE.read, size) == root
    for index in sorted({0, 1, size // 2, size - 1, (size - 1) & ~0xFF}):
        if index < size:
            STORE.asked.clear()
            path = proof.inclusion(STORE.read, index, size)
            assert merkle.verify_inclusion(LEAVES[index], index, size, path, root)
            assert sorted(STORE.asked) == sorted(proof.needs_inclusion(index, size))
            assert len(STORE.asked) <= 6


@pytest.mark.parametrize("size1", SIZES)
def test_consistency_out_of_tiles_verifies_and_reads_few(size1: int) -> None:
    """Between every two of the sizes."""
    for size2 in (size for size in SIZES if size >= size1):
        STORE.asked.clear()
        path = proof.consistency(STORE.read, size1, size2)
        assert sorted(STORE.asked) == sorted(proof.needs_consistency(size1, size2))
        assert len(STORE.asked) <= 9
        root1, root2 = merkle.root(LEAVES[:size1]), merkle.root(LEAVES[:size2])
        assert merkle.verify_consistency(size1, size2, root1, root2, path)


def test_proofs_of_three_million_leaves_touch_at_most_six_tiles() -> None:
    """Named without reading any."""
    size = 3_000_000
    for index in (0, 1_234_567, size // 2, size - 1):
        assert len(proof.needs_inclusion(index, size)) <= 6
    assert len(proof.needs_frontier(size)) == 3
    assert len(proof.needs_consistency(2_999_744, size)) <= 9


@pytest.mark.parametrize("size", SIZES)
def test_frontier_and_edge_are_loaded_from_one_tile_a_level(size: int) -> None:
    """What a start reads; then both go on as if they had never stopped."""
    store = Store(size)
    frontier = proof.frontier(store.read, size)
    assert sorted(store.asked) == sorted(proof.needs_frontier(size))
    store.asked.clear()
    edge = tiles.Edge.load(size, store.read)
    assert sorted(store.asked) == sorted(proof.needs_frontier(size))
    assert frontier == merkle.Frontier().extend(LEAVES[:size])
    assert edge.grow(LEAVES[size : size + 300]) == store.edge.grow(LEAVES[size : size + 300])


def test_tile_shorter_than_the_log_is_damage_not_a_wrong_proof() -> None:
    """LedgerError names the tile; a caller who asks for more than there is gets it as well."""
    store = Store(70_000)
    store.held[1, 1] = store.held[1, 1][:16]
    for attempt in (
        lambda: proof.inclusion(store.read, 0, 70_000),
        lambda: proof.root(store.read, 70_000),
        lambda: tiles.Edge.load(70_000, store.read),
        lambda: proof.consistency(store.read, 60_000, 70_000),
    ):
        with pytest.raises(LedgerError, match="tile 1/1"):
            attempt()


def test_export_of_a_damaged_store_fails_loudly(new_log: Callable[[], MemoryLog]) -> None:
    """A tile or an entry that is missing."""
    log = new_log().append(300)

    def entries(start: int, end: int) -> list[bytes]:
        return log.entries[start:end]

    assert len(dict(tiles.export_files(300, entries, log.read_hashes))) == 5
    with pytest.raises(LedgerError):
        list(tiles.export_files(300, lambda start, end: entries(start, end)[:-1], log.read_hashes))
    log.entries.pop()
    with pytest.raises(LedgerError):
        list(tiles.export_files(300, entries, log.read_hashes))
    del log.tiles[1, 0]
    with pytest.raises(LedgerError):
        list(tiles.export_files(256, entries, log.read_hashes))
