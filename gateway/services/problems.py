"""Keeps every error a caller got, so that the id in it finds it again: who asked what, and what was answered.

Beside the log and no part of its tree: whoever is refused ten thousand times must not grow the log at will.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError
from gateway.logs import get_logger
from gateway.ports.people import Problem

if TYPE_CHECKING:
    from gateway.ports.common import Actor, Clock
    from gateway.ports.store import Store

log = get_logger()

EVERY_S: Final = 1.0
MINUTE_MS: Final = 60_000
MOST_ALIKE: Final = 6_000
"""Kept a minute of one account or partner, route and code: more than any can make by asking in turn."""
MOST_OF_STRANGERS: Final = 60
"""The same of all who are nobody we know, together: whoever reaches the port must not fill the disk."""
MOST_WAITING: Final = 10_000
STRANGER: Final = "stranger"
"""The actor of a request whose caller is not known."""


class Problems:
    """`note` takes what was told, `flush` stores it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: list[Problem] = []
        self._alike: Counter[tuple[str, str, str]] = Counter()
        self._since = 0
        self._left_out = 0

    def note(
        self, *, trace_id: str, listener: str, actor: Actor, method: str, route: str, status: int, code: str
    ) -> None:
        """Keep one answer; it is stored within a second."""
        now = self._clock()
        if not 0 <= now - self._since < MINUTE_MS:
            self._since = now
            self._alike.clear()
        alike = (actor.sub, route, code)
        self._alike[alike] += 1
        most = MOST_OF_STRANGERS if actor.sub == STRANGER else MOST_ALIKE
        if self._alike[alike] > most or len(self._waiting) >= MOST_WAITING:
            self._left_out += 1
            return
        self._waiting.append(Problem(trace_id, now, listener, actor, method, route, status, code))

    async def flush(self) -> None:
        """Store what waits; what cannot be stored now waits on."""
        problems, self._waiting = self._waiting, []
        if self._left_out:
            log.warning("errors told and not kept", count=self._left_out)
            self._left_out = 0
        if not problems:
            return
        try:
            await self._store.write(lambda tx: tx.problems.add(problems))
        except GatewayError as error:
            self._waiting = [*problems, *self._waiting][:MOST_WAITING]
            log.warning("errors told are not stored yet", code=error.slug, count=len(problems))

    async def run(self) -> None:
        """Store once a second until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.flush()
