"""Tiles of a partner's log: kept only where each of their hashes has led to a signed root."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import pytest

from gateway.errors import MalformedProof
from gateway.ledger import proof
from gateway.ledger.tiles import Edge, parse_path
from gateway.ports.partner import Reply
from gateway.primitives import merkle
from gateway.services.partnerlog import Tiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.partner import PartnerLink

# The tile of level 1 is full, and its hash of tile 7 is one that no proof about another tile has to look at.
SIZE = 65_536 + 700
LEAVES = [merkle.leaf_hash(seq.to_bytes(4, "big")) for seq in range(SIZE)]
EDGE, ROWS = Edge().grow(LEAVES)
ROOT = merkle.root(LEAVES)


class Shelf:
    """The tiles a partner serves; some may be made up."""

    def __init__(self) -> None:
        self.tiles: dict[tuple[int, int], Sequence[bytes]] = {}
        for row in ROWS:
            self.tiles[row.level, row.number] = [row.hashes[at : at + 32] for at in range(0, len(row.hashes), 32)]
        self.tiles[0, SIZE >> 8] = EDGE.partial[0]
        self.asked: list[str] = []

    async def get_log(self, path: str) -> Reply:
        """Answer as `log/tile/…` does."""
        self.asked.append(path)
        ref = parse_path(path)
        assert ref is not None
        hashes = self.tiles[ref.level or 0, ref.number]
        return Reply(200, "application/octet-stream", b"".join(hashes[: ref.width]), None)

    def read(self, whole: OrderedDict[tuple[int, int], Sequence[bytes]], most: int = 64) -> Tiles:
        """Return a reader of this shelf."""
        link: PartnerLink = self  # type: ignore[assignment]
        return Tiles(link, SIZE, ROOT, whole, most)


async def test_each_leaf_is_read_once_under_one_checkpoint() -> None:
    """The right edge, the tile, what is above it: and nothing again."""
    shelf = Shelf()
    tiles = shelf.read(OrderedDict())
    for number in (0, 7, 255, 256, 258):
        await tiles.ground([(0, number)])
        assert list(tiles.read(0, number)) == list(shelf.tiles[0, number])
    asked = list(shelf.asked)
    assert len(asked) == len(set(asked)) == 3 + 1 + 4
    await tiles.ground([(0, 7)])
    assert shelf.asked == asked


async def test_what_is_kept_is_bounded() -> None:
    """However many tiles are read, a handful stays."""
    whole: OrderedDict[tuple[int, int], Sequence[bytes]] = OrderedDict()
    tiles = Shelf().read(whole, most=4)
    for number in range(40):
        await tiles.ground([(0, number)])
    assert len(whole) <= 4 + 2


@pytest.mark.parametrize("at", [(0, 7), (1, 0), (0, SIZE >> 8), (1, 1), (2, 0)])
async def test_a_hash_that_leads_nowhere_is_not_kept(at: tuple[int, int]) -> None:
    """A tile forged at any level, on the edge or below it, proves nothing now and is not believed later."""
    shelf = Shelf()
    true = shelf.tiles[at]
    shelf.tiles[at] = [bytes(32), *true[1:]]
    whole: OrderedDict[tuple[int, int], Sequence[bytes]] = OrderedDict()
    with pytest.raises(MalformedProof):
        await shelf.read(whole).ground([(0, 7)])
    assert at not in whole


async def test_a_hash_that_one_proof_passes_over_is_not_believed_by_the_next() -> None:
    """A forged hash in the tile above, where only its neighbours count, would vouch for a forged tile below it."""
    shelf = Shelf()
    forged = [bytes(32)] * 256
    shelf.tiles[0, 7] = forged
    above = list(shelf.tiles[1, 0])
    above[7] = merkle.root(forged)
    shelf.tiles[1, 0] = above
    whole: OrderedDict[tuple[int, int], Sequence[bytes]] = OrderedDict()
    inside = 7 * 256 + 5  # its consistency proof goes down into tile 7, and reads no hash of it in the tile above
    with pytest.raises(MalformedProof):
        await shelf.read(whole).ground({*proof.needs_frontier(inside), *proof.needs_consistency(inside, SIZE)})
    with pytest.raises(MalformedProof):
        await shelf.read(whole).ground([(0, 7)])
    assert whole == {}


async def test_a_wider_tile_than_the_checkpoint_needs_is_cut() -> None:
    """A log that has grown on may serve the whole tile: the rest of it leads to no root yet."""
    shelf = Shelf()

    async def grown(path: str) -> Reply:
        if path.endswith(f".p/{SIZE % 256}"):
            return Reply(404, "", b"", None)
        if path == "tile/0/258":
            return Reply(200, "", b"".join([*EDGE.partial[0], *[bytes(32)] * (256 - SIZE % 256)]), None)
        return await Shelf.get_log(shelf, path)

    shelf.get_log = grown  # type: ignore[method-assign]
    whole: OrderedDict[tuple[int, int], Sequence[bytes]] = OrderedDict()
    tiles = shelf.read(whole)
    await tiles.ground([(0, SIZE >> 8)])
    assert len(tiles.read(0, SIZE >> 8)) == SIZE % 256
    assert whole == {}
