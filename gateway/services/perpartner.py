"""Tasks that run once for each active partner, each over a link of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.errors import GatewayError
from gateway.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gateway.ports.partner import Links, PartnerLink
    from gateway.protocol.ids import PartyId

log = get_logger()

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 30.0
# However often a partner is heard of, what just failed is not tried again at once.
LEAST_WAIT_S = 0.2


class Worker:
    """What one task waits for: something to do, or, while it fails, a word from the partner."""

    def __init__(self) -> None:
        self.work = asyncio.Event()
        self.heard = asyncio.Event()

    async def rest(self, failures: int, idle_s: float | None) -> None:
        """Wait for work; after a failure, for the end of the back-off or a word from the partner."""
        if not failures:
            await _wait(self.work, idle_s)
            return
        await asyncio.sleep(LEAST_WAIT_S)
        await _wait(self.heard, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(failures, 10)))


async def _wait(event: asyncio.Event, limit_s: float | None) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await event.wait()
    except TimeoutError:
        return


class PerPartner:
    """One task a partner that does `round_of(party, link)` whenever woken; False or an error starts a back-off."""

    def __init__(
        self,
        name: str,
        round_of: Callable[[PartyId, PartnerLink], Awaitable[bool]],
        links: Links,
        *,
        idle_s: float | None = None,
    ) -> None:
        """Take `idle_s`: how long to wait at most when nothing wakes it, for ever where None."""
        self._name = name
        self._round_of = round_of
        self._links = links
        self._idle_s = idle_s
        self._workers: dict[PartyId, Worker] = {}
        self._tasks: dict[PartyId, asyncio.Task[None]] = {}

    def follow(self, partners: Iterable[PartyId]) -> None:
        """Have exactly these tasks; wake each, since cards may have changed."""
        wanted = set(partners)
        for party in self._tasks.keys() - wanted:
            self._tasks.pop(party).cancel()
            del self._workers[party]
        for party in wanted - self._tasks.keys():
            self._workers[party] = worker = Worker()
            task = self._run(party, worker)
            self._tasks[party] = asyncio.create_task(task, name=f"{self._name} {party}")
        for party in wanted:
            self.wake(party)

    def wake(self, party: PartyId) -> None:
        """Tell one task that there is something to do."""
        if party in self._workers:
            self._workers[party].work.set()

    def wake_all(self) -> None:
        """Tell every task that there is something to do."""
        for worker in self._workers.values():
            worker.work.set()

    def heard(self, party: PartyId) -> None:
        """Tell the task that its partner was heard of: its back-off is over."""
        if party in self._workers:
            self._workers[party].heard.set()

    async def stop(self) -> None:
        """Stop every task."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        self._workers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, party: PartyId, worker: Worker) -> None:
        failures = 0
        async with self._links(party) as link:
            while True:
                worker.work.clear()
                worker.heard.clear()
                try:
                    done = await self._round_of(party, link)
                except GatewayError as error:
                    log.info("put off", message=self._name, partner=party, code=error.slug, detail=error.detail)
                    done = False
                except Exception:
                    # A bug must not stop the task.
                    log.exception("failed", message=self._name, partner=party)
                    done = False
                failures = 0 if done else failures + 1
                await worker.rest(failures, self._idle_s)
