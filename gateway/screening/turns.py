"""Who is served next: callers in rotation, so that one who asks much waits behind those who ask little."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.errors import TooManyRequests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RETRY_S = 5


class Turns:
    """Grants at most `most` turns at once, to one caller at most half of them, rounded up."""

    def __init__(self, most: int, waiting: int) -> None:
        """Take how many turns there are, and how many requests of one caller may wait for theirs."""
        self._free = most
        self._of_one = (most + 1) // 2
        self._waiting_most = waiting
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """In the order in which callers are served; each goes to the end when it was."""

    @asynccontextmanager
    async def of(self, caller: str) -> AsyncIterator[None]:
        """Hold a turn while the block runs. Raises TooManyRequests."""
        await self._take(caller)
        try:
            yield
        finally:
            self._give_back(caller)

    async def _take(self, caller: str) -> None:
        queue = self._waiting.setdefault(caller, deque())
        if len(queue) >= self._waiting_most:
            detail = f"{len(queue)} files of yours wait to be looked at already; try again"
            raise TooManyRequests(detail, retry_after_s=RETRY_S)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(caller)
            else:
                queue.remove(turn)
                self._forget(caller)
            raise

    def _give_back(self, caller: str) -> None:
        self._free += 1
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]
        self._grant()

    def _grant(self) -> None:
        for caller in list(self._waiting):
            if not self._free:
                return
            if self._held[caller] >= self._of_one:
                continue
            queue = self._waiting.pop(caller)
            turn = queue.popleft()
            if queue:
                self._waiting[caller] = queue
            self._free -= 1
            self._held[caller] += 1
            turn.set_result(None)

    def _forget(self, caller: str) -> None:
        if not self._waiting.get(caller):
            self._waiting.pop(caller, None)
