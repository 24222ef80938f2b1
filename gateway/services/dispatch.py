"""Sends what waits: a lane for each partner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.ports.partner import Links
    from gateway.protocol.ids import PartyId
    from gateway.services.lane import Lane


class Dispatcher:
    """One lane for each enrolled partner, started and stopped as partners come and go."""

    def __init__(self, lane_for: Callable[[PartyId], Lane], links: Links) -> None:
        self._lane_for = lane_for
        self._links = links
        self._lanes: dict[PartyId, Lane] = {}
        self._tasks: dict[PartyId, asyncio.Task[None]] = {}

    def follow(self, partners: Iterable[PartyId]) -> None:
        """Have exactly these lanes; wake each, since cards or states may have changed."""
        wanted = set(partners)
        for party in wanted - self._lanes.keys():
            lane = self._lane_for(party)
            self._lanes[party] = lane
            self._tasks[party] = asyncio.create_task(self._run(party, lane), name=f"lane {party}")
        for party in self._lanes.keys() & wanted:
            self._lanes[party].wake()

    def wake(self, party: PartyId) -> None:
        """Tell the lane that something waits."""
        if party in self._lanes:
            self._lanes[party].wake()

    def knock(self, party: PartyId) -> None:
        """Have the lane try its partner now, whatever its back-off."""
        if party in self._lanes:
            self._lanes[party].knock()

    def wake_all(self) -> None:
        """Tell every lane that something may go."""
        for lane in self._lanes.values():
            lane.wake()

    def heard(self, party: PartyId) -> None:
        """Tell the lane that its partner was heard of."""
        if party in self._lanes:
            self._lanes[party].heard()

    async def stop(self) -> None:
        """Stop every lane; envelopes whose answer came are recorded, the others taken back by their lease."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        self._lanes.clear()

    async def _run(self, party: PartyId, lane: Lane) -> None:
        async with self._links(party) as link:
            await lane.run(link)
