"""Reads the tiles of a partner's log, a few at a time; what they say counts only once it leads to a signed root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import MalformedProof, TransportError
from gateway.ledger.note import read_tree_head
from gateway.ledger.tiles import TILE_BITS, TILE_WIDTH, split_hashes, tile_path
from gateway.primitives import merkle

if TYPE_CHECKING:
    from collections import OrderedDict
    from collections.abc import Iterable, Sequence

    from gateway.ports.partner import PartnerLink
    from gateway.protocol.receipt import Outcome


def leads_to_checkpoint(outcome: Outcome, checkpoint: str) -> bool:
    """Tell whether the entry shown in an answer about one message is in its log; where none is shown, none is wrong."""
    if outcome.proof is None or outcome.entry is None or outcome.leaf is None:
        return True
    head = read_tree_head(checkpoint)
    return merkle.verify_inclusion(
        merkle.leaf_hash(outcome.entry), outcome.leaf, head.size, outcome.proof, head.root
    )  # fmt: skip


class Tiles:
    """Hashes of a log at one size. `whole` holds full tiles that were verified before, at most `most` of them."""

    def __init__(
        self, link: PartnerLink, size: int, whole: OrderedDict[tuple[int, int], Sequence[bytes]], most: int
    ) -> None:
        self._link = link
        self._size = size
        self._whole = whole
        self._most = most
        self._held: dict[tuple[int, int], Sequence[bytes]] = {}

    async def fetch(self, needed: Iterable[tuple[int, int]]) -> None:
        """Have these (level, number) tiles here. Raises TransportError or MalformedProof."""
        for level, number in sorted(needed):
            if (level, number) not in self._held and (level, number) not in self._whole:
                self._held[level, number] = await self._get(level, number)

    def read(self, level: int, number: int) -> Sequence[bytes]:
        """Return the hashes of a tile that was fetched."""
        found = self._held.get((level, number))
        return found if found is not None else self._whole[level, number]

    def remember(self) -> None:
        """Keep the full tiles: what was fetched has led to a signed root, and a full tile never changes."""
        full = {key: hashes for key, hashes in self._held.items() if len(hashes) == TILE_WIDTH}
        self._whole.update(full)
        self._held = {key: hashes for key, hashes in self._held.items() if key not in full}
        while len(self._whole) > self._most:
            self._whole.popitem(last=False)

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
        return hashes
