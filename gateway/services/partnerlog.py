"""Reads the tiles of a partner's log, a few at a time; what they say counts only once it leads to a signed root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import MalformedProof, TransportError
from gateway.ledger import proof
from gateway.ledger.note import read_tree_head
from gateway.ledger.tiles import TILE_BITS, TILE_WIDTH, split_hashes, tile_path
from gateway.primitives import merkle

if TYPE_CHECKING:
    from collections import OrderedDict
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.ledger.tiles import ReadHashes
    from gateway.ports.partner import PartnerLink
    from gateway.protocol.receipt import Outcome


ASTRAY = "the partner's tiles do not lead to the root it signed"


def leads_to_checkpoint(outcome: Outcome, checkpoint: str) -> bool:
    """Tell whether the entry shown in an answer about one message is in its log; where none is shown, none is wrong."""
    if outcome.proof is None or outcome.entry is None or outcome.leaf is None:
        return True
    head = read_tree_head(checkpoint)
    return merkle.verify_inclusion(
        merkle.leaf_hash(outcome.entry), outcome.leaf, head.size, outcome.proof, head.root
    )  # fmt: skip


class Tiles:
    """Hashes of a log at one size and root, none that does not lead to it.

    `whole` are full tiles that led to a root of this log before; about `most` of them are kept.
    """

    def __init__(
        self,
        link: PartnerLink,
        size: int,
        root: bytes,
        whole: OrderedDict[tuple[int, int], Sequence[bytes]],
        most: int,
    ) -> None:
        self._link = link
        self._size = size
        self._root = root
        self._whole = whole
        self._most = most
        self._edge: dict[tuple[int, int], Sequence[bytes]] = {}

    @property
    def reaches(self) -> bool:
        """Whether the right edge led to the root: without it no tile does."""
        return bool(self._edge)

    async def ground(self, needed: Iterable[tuple[int, int]]) -> None:
        """Have these (level, number) tiles here, each led to the root; they stay until the next call.

        Raises TransportError, or MalformedProof where they do not lead there.
        """
        while len(self._whole) > self._most:
            self._whole.popitem(last=False)
        if not self._edge:
            edge = {tile: await self._get(*tile) for tile in proof.needs_frontier(self._size)}
            if proof.root(lambda level, number: edge[level, number], self._size) != self._root:
                raise MalformedProof(ASTRAY)
            self._edge = edge
        for level, number in needed:
            chain = proof.needs_tile(level, number, self._size, self._whole)
            fresh = {tile: await self._get(*tile) for tile in chain}
            if not proof.tile_leads(self._reader(fresh), level, number, self._size, self._whole):
                raise MalformedProof(ASTRAY)
            # Each of its hashes was compared: a full tile that led to a root once does so for ever.
            self._whole.update(fresh)

    def read(self, level: int, number: int) -> Sequence[bytes]:
        """Return the hashes of a tile that was asked for."""
        found = self._edge.get((level, number))
        return found if found is not None else self._whole[level, number]

    def _reader(self, fresh: Mapping[tuple[int, int], Sequence[bytes]]) -> ReadHashes:
        return lambda level, number: fresh.get((level, number)) or self.read(level, number)

    async def _get(self, level: int, number: int) -> Sequence[bytes]:
        width = min(TILE_WIDTH, (self._size >> (TILE_BITS * level)) - (number << TILE_BITS))
        if width <= 0:
            raise MalformedProof("the log is shorter than that")
        reply = await self._link.get_log(tile_path(level, number, width))
        if reply.status == 404 and width < TILE_WIDTH:
            # A log may drop a partial tile once the whole one is there.
            reply = await self._link.get_log(tile_path(level, number))
        if reply.status != 200:
            raise TransportError(f"answered {reply.status} to the question for a tile of its log")
        hashes = split_hashes(reply.body)
        if len(hashes) < width:
            raise MalformedProof("a tile is shorter than its log")
        # What lies beyond this size leads to no root yet: it must not pass for what does.
        return hashes[:width]
