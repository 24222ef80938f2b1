"""Negative evidence: what a partner has not answered within the time of its urgency is noted in the log, once.

The message goes on being tried. The entry is an alarm to people and, under the next checkpoint, a proof that the sender
knew by then of no answer (as e-CODEX has it, which knows one time for all).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.casework.clocks import MINUTE_MS, SLA
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM
from gateway.protocol.event import VOID

if TYPE_CHECKING:
    from gateway.ports.common import Clock
    from gateway.ports.store import Store, Transaction

log = get_logger()

OUTCOME: Final = "undelivered"
AT_ONCE: Final = 200
"""Messages looked at in one unit of work: others must not wait for it."""


class Lateness:
    """Told to look once a minute; each message is looked at once, when the time of its urgency is over."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def look(self) -> None:
        """Note what is late now."""
        for urgency, (minutes, _) in SLA.items():
            count, more = 0, True
            while more:
                found, more = await self._store.write(partial(self._note, urgency=urgency, minutes=minutes))
                count += found
            if count:
                log.error("messages not delivered in time", urgency=urgency, count=count)

    def _note(self, tx: Transaction, *, urgency: str, minutes: int) -> tuple[int, bool]:
        """Note what became late behind the last one looked at; say how many, and whether to go on."""
        name, now = f"late {urgency}", self._clock()
        before = int(tx.state.get(name) or 0)
        passed, rows = tx.outbox.unanswered(urgency, before, now - minutes * MINUTE_MS, AT_ONCE)
        if passed == before:
            return 0, False
        tx.state.put(name, str(passed))
        late = [row for row in rows if row.subject != VOID]
        for row in late:
            tx.log.append(
                "audit.alarm", actor=SYSTEM, obj=("message", row.jti), at=now, jti=row.jti, event=row.digest,
                case=row.case_ref, outcome=OUTCOME,
            )  # fmt: skip
        return len(late), True
