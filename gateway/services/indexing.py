"""Reads what statistics and search need out of messages, once each, behind the path of a message.

A message is read when somebody asks, and hourly: nothing is added to what accepting it costs. How far it got
stands in the database beside what it stored, so a crash repeats nothing and leaves nothing out.
"""

from __future__ import annotations

import asyncio
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Literal

import orjson

from gateway.casework import clocks
from gateway.casework.counting import amendment_of, counts_of
from gateway.casework.dates import day_of
from gateway.casework.names import keys_of
from gateway.casework.shapes import walk
from gateway.casework.statistics import Count
from gateway.ports.figures import Indexed
from gateway.primitives import strictjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.ports.figures import Unread
    from gateway.ports.store import Store, Transaction
    from gateway.services.integrity import ChangedAlarms

BATCH = 100
"""Messages read and stored in one unit: what a partner's envelope may have to wait for."""
MOST_BYTES = 2 * 1024 * 1024
"""Of bodies in one unit, unless one alone is larger: a page of manifests must fill neither memory nor time."""


class Indexer:
    """`catch_up` is the one writer of tallies and search keys."""

    def __init__(self, store: Store, me: str, alarms: ChangedAlarms) -> None:
        self._store = store
        self._alarms = alarms
        self._me = me
        self._turn = asyncio.Lock()

    async def catch_up(self) -> int:
        """Read every message that was not read yet; return how many."""
        async with self._turn:
            return await self._follow("out") + await self._follow("in")

    async def _follow(self, direction: Literal["out", "in"]) -> int:
        cursor, count = f"indexed-{direction}", 0

        def unread(tx: Transaction) -> Sequence[Unread]:
            return tx.index.unread(direction, int(tx.state.get(cursor) or 0), BATCH, MOST_BYTES)

        while batch := await self._store.write(unread):
            found: list[Indexed] = []
            for message in batch:
                if message.changed is not None:
                    await self._alarms.changed(message.jti, message.digest, message.changed)
                elif message.event:  # erased bodies are absent or empty
                    found.append(indexed(message, message.event))
                    await asyncio.sleep(0)
            await self._store.write(partial(_keep, me=self._me, cursor=cursor, last=batch[-1].id, found=found))
            count += len(batch)
        return count


def _keep(tx: Transaction, *, me: str, cursor: str, last: int, found: Sequence[Indexed]) -> None:
    tx.index.add(found, me)
    tx.state.put(cursor, str(last))


def indexed(message: Unread, event: bytes) -> Indexed:
    """Return what is kept of one message."""
    data = strictjson.loads(event)["data"]
    counts = list(counts_of(message.jti, message.subject, data, day_of(message.at)))
    days = [count.day for count in counts]
    names = dict.fromkeys(value for _, key, value in walk(data) if key == "fullName" and isinstance(value, str))
    return Indexed(
        direction=message.direction, partner=message.partner, jti=message.jti, case_ref=message.case_ref,
        at=message.at,
        counts=counts_text(counts), first=min(days).isoformat() if days else None,
        last=max(days).isoformat() if days else None,
        final=message.direction == "in" and clocks.final(message.subject, data),
        supersedes=message.supersedes, amendment=amendment_of(message.subject, data),
        names=tuple(key for name in names for key in keys_of(name)) if message.case_ref else (),
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
