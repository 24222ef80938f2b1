"""Takes back what a holder that went was sending: one whose lease ended because nobody renewed it.

A start does this at once for its own earlier life, which is known to be over (`Outbox.reclaim`). Here nobody has to
start: whoever looks finds it. The holder may still live and be late: its answer is recorded all the same (law 3), and
by its fence it can put nothing back.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports.common import Clock
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.directory import Directory

log = get_logger()

LEASE_S: Final = 30
"""Renewed every 10 s while an envelope is on its way: what a dead holder costs."""
RENEW_EVERY_S: Final = 10
LOOK_EVERY_S: Final = 10


class Leases:
    """Told to look every LOOK_EVERY_S."""

    def __init__(self, store: Store, directory: Directory, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._listeners: list[Callable[[PartyId], None]] = []

    def on_taken_back(self, listener: Callable[[PartyId], None]) -> None:
        """Call `listener(recipient)` after each commit that set messages free."""
        self._listeners.append(listener)

    async def look(self) -> None:
        """Queue again what is under a lease that ended."""
        for party in list(self._directory.partners):
            count = await self._store.write(partial(self._take_back, party))
            if count:
                log.warning("messages of a holder that went taken back", partner=party, count=count)
                for listener in self._listeners:
                    listener(party)

    def _take_back(self, party: PartyId, tx: Transaction) -> int:
        return tx.outbox.take_back(party, self._clock(), longest_ms=LEASE_S * 1000)
