"""Quiet loss: a number that a partner's later messages passed by, and that is still missing after an hour, is an alarm.

A number may be missing for good reason: its message is held over there, or its files are still on their way. But one
that somebody took away looks the same, and only people can ask.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.logs import get_logger
from gateway.ports.common import SYSTEM

if TYPE_CHECKING:
    from gateway.ports.common import Clock
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.directory import Directory

log = get_logger()

OLD_MS: Final = 3_600_000


class Gaps:
    """Told to look once a minute; the first number missing of each partner's stream is an alarm once."""

    def __init__(self, store: Store, directory: Directory, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock

    async def look(self) -> None:
        """Note what is missing now, of suspended partners too: what they sent before still counts."""
        for party in list(self._directory.partners):
            missing = await self._store.write(partial(self._note, party=party))
            if missing is not None:
                log.error("a number of a partner is missing", partner=party, seq=missing)

    def _note(self, tx: Transaction, *, party: PartyId) -> int | None:
        name, now = f"gap {party}", self._clock()
        missing = tx.inbox.raise_stream_high(party) + 1
        if int(tx.state.get(name) or 0) == missing:
            return None
        passed_at = tx.inbox.passed_at(party, missing)
        if passed_at is None or now - passed_at < OLD_MS:
            return None
        tx.state.put(name, str(missing))
        tx.log.append("audit.alarm", actor=SYSTEM, obj=("party", party), at=now, outcome=f"gap {missing}")
        return missing
