"""Refusals in the log: the first of its sort at once, then one counted entry a minute.

A partner or a stranger who is refused ten thousand times must not grow the log at will (protocol.md §6).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.errors import GatewayError
from gateway.logs import get_logger
from gateway.ports.common import Actor, Clock

if TYPE_CHECKING:
    from gateway.ports.store import Store

log = get_logger()

EVERY_S = 60.0
MOST_SORTS = 1000


class Refusals:
    """Counts refusals by type of entry, who and code."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._counts: dict[tuple[str, str, str, str], int] = {}

    async def note(self, typ: str, actor: Actor, code: str) -> None:
        """Log a refusal, or count it with those of the last minute."""
        key = (typ, actor.sub, actor.role, code)
        if key in self._counts:
            self._counts[key] += 1
        elif len(self._counts) < MOST_SORTS:
            self._counts[key] = 0
            await self._append(key, 1)

    async def run(self) -> None:
        """Write the counts once a minute until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what was counted since the last time."""
        counted, self._counts = self._counts, {}
        for key, count in counted.items():
            if count:
                try:
                    await self._append(key, count)
                except GatewayError as error:
                    log.warning("refusals not logged", code=error.slug, count=count)

    async def _append(self, key: tuple[str, str, str, str], count: int) -> None:
        typ, sub, role, code = key
        await self._store.write(
            lambda tx: tx.log.append(
                typ, actor=Actor(sub, role), obj=("refusals", str(count)), at=self._clock(), outcome=code
            )
        )
