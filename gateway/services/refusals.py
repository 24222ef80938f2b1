"""Refusals in the log: the first of a sort at once, then one counted entry a minute.

A partner, a client or a stranger who is refused ten thousand times must not grow the log at will (protocol.md §6).
Where a refusal has an object of its own, the id its caller got, the first `APART` of a minute stand apart.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import GatewayError
from gateway.logs import get_logger
from gateway.ports.common import Actor, Clock

if TYPE_CHECKING:
    from gateway.ports.store import Store

log = get_logger()

EVERY_S = 60.0
MOST_SORTS = 1000
APART = 60


class _Sort(NamedTuple):
    """What is counted together, and how many of it stand apart."""

    typ: str
    sub: str
    role: str
    code: str
    apart: int


class Refusals:
    """Counts refusals by type of entry, who and code."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seen: Counter[_Sort] = Counter()

    async def note(self, typ: str, actor: Actor, code: str, *, obj: tuple[str, str] | None = None) -> None:
        """Log a refusal, or count it with those of the last minute."""
        sort = _Sort(typ, actor.sub, actor.role, code, APART if obj is not None else 1)
        if sort not in self._seen and len(self._seen) >= MOST_SORTS:
            return
        self._seen[sort] += 1
        if self._seen[sort] <= sort.apart:
            await self._append(sort, obj or ("refusals", "1"))

    async def run(self) -> None:
        """Write the counts once a minute until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what was counted since the last time."""
        seen, self._seen = self._seen, Counter()
        for sort, noted in seen.items():
            count = noted - sort.apart
            if count > 0:
                try:
                    await self._append(sort, ("refusals", str(count)))
                except GatewayError as error:
                    log.warning("refusals not logged", code=error.slug, count=count)

    async def _append(self, sort: _Sort, obj: tuple[str, str]) -> None:
        actor, now = Actor(sort.sub, sort.role), self._clock()
        await self._store.write(lambda tx: tx.log.append(sort.typ, actor=actor, obj=obj, at=now, outcome=sort.code))
