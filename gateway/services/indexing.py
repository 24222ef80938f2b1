"""Reads what statistics and search need out of messages, once each, behind the path of a message.

A message is read when somebody asks, and hourly: nothing is added to what accepting it costs. How far it got
stands in the database beside what it stored, so a crash repeats nothing and leaves nothing out.
"""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from gateway.casework import clocks
from gateway.casework.counting import amendment_of, counts_of
from gateway.casework.dates import day_of
from gateway.casework.names import keys_of
from gateway.casework.shapes import walk
from gateway.casework.statistics import Count
from gateway.ports import Indexed
from gateway.primitives import strictjson

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from gateway.ports import Store, Transaction

    Row = Mapping[str, Any]

BATCH = 100
"""Messages stored in one unit: what a partner's envelope may have to wait for."""
MOST_BYTES = 4 * 1024 * 1024
"""Of bodies read at once, unless one alone is larger."""


class _Reads(Protocol):
    """The questions asked here."""

    async def unindexed_out(self, after: int, limit: int) -> Sequence[Row]: ...
    async def unindexed_in(self, after: int, limit: int) -> Sequence[Row]: ...
    async def bodies(self, places: Sequence[int]) -> Mapping[int, bytes]: ...


class Indexer:
    """`catch_up` is the one writer of tallies and search keys."""

    def __init__(self, store: Store, reads: _Reads) -> None:
        self._store = store
        self._reads = reads
        self._turn = asyncio.Lock()

    async def catch_up(self) -> int:
        """Read every message that was not read yet; return how many."""
        async with self._turn:
            return await self._follow("indexed-out", self._reads.unindexed_out) + await self._follow(
                "indexed-in", self._reads.unindexed_in
            )

    async def _follow(self, cursor: str, unread: Callable[[int, int], Awaitable[Sequence[Row]]]) -> int:
        after = int(await self._store.write(lambda tx: tx.state.get(cursor)) or 0)
        count = 0
        while batch := await unread(after, BATCH):
            for part in _parts(batch):
                events = await self._reads.bodies([row["place"] for row in part if row["place"] is not None])
                found: list[Indexed] = []
                for row in part:
                    if row["place"] in events:
                        found.append(indexed(row, events[row["place"]]))
                        await asyncio.sleep(0)
                after = part[-1]["id"]
                await self._store.write(_stored(cursor, after, found))
            count += len(batch)
        return count


def _parts(batch: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield the rows in order, so many at a time that their bodies fit: a page of manifests must not fill memory."""
    part: list[Row] = []
    size = 0
    for row in batch:
        if part and size + (row["size"] or 0) > MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(row)
        size += row["size"] or 0
    if part:
        yield part


def _stored(cursor: str, after: int, found: Sequence[Indexed]) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        tx.index.add(found)
        tx.state.put(cursor, str(after))

    return work


def indexed(row: Row, event: bytes) -> Indexed:
    """Return what is kept of one message."""
    data = strictjson.loads(event)["data"]
    counts = list(counts_of(row["jti"], row["subject"], data, day_of(row["at"])))
    days = [count.day for count in counts]
    names = dict.fromkeys(value for _, key, value in walk(data) if key == "fullName" and isinstance(value, str))
    return Indexed(
        jti=row["jti"], direction=row["direction"], case_ref=row["case_ref"], at=row["at"],
        counts=counts_text(counts), first=min(days).isoformat() if days else None,
        last=max(days).isoformat() if days else None,
        final=row["direction"] == "in" and clocks.final(row["subject"], data),
        supersedes=row["supersedes"], amendment=amendment_of(row["subject"], data),
        names=tuple(key for name in names for key in keys_of(name)) if row["case_ref"] else (),
    )  # fmt: skip


def counts_text(counts: Iterable[Count]) -> str:
    """Write counts; `read_counts` reads them."""
    rows = [[c.indicator, c.day.isoformat(), c.value, c.source, dict(c.breakdown), c.part] for c in counts]
    return orjson.dumps(rows).decode()


def read_counts(text: str) -> list[Count]:
    """Read what `counts_text` wrote."""
    return [
        Count(indicator, date.fromisoformat(day), value, source, breakdown, part=part)
        for indicator, day, value, source, breakdown, part in orjson.loads(text)
    ]
