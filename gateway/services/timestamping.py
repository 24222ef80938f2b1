"""Has our log stamped by an outside authority once a day, and knows how old the log is that nobody stamped.

What is stamped is the newest checkpoint, cosigned where a partner answers in time. Like X-Road: where no stamp is to
be had, exchange goes on for a while, then an alarm, then nothing is exchanged until there is one (ADR 20).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError, PartnerError, TransportError
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM
from gateway.ports.log import Timestamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.ports.common import Clock
    from gateway.ports.log import SignedCheckpoint, TimestampAuthority
    from gateway.ports.store import Store, Transaction
    from gateway.services.checkpoints import Checkpointer
    from gateway.services.gate import Gate

log = get_logger()

SINCE: Final = "timestamping"
"""The name under which `state` keeps since when stamps are wanted: an old log is not late on its first day."""
ALARMED: Final = "untimestamped"
"""The name under which `state` keeps the size from which on the log was alarmed as not stamped."""
COSIGNED_WITHIN_S: Final = 10.0
# An authority that is down is asked again after this long, then after twice as long, up to the second.
RETRY_MS: Final = (60_000, 900_000)
# A clock that is put right shows at the latest then.
LOOK_EVERY_S: Final = 60.0
# A gateway that was off for days has an old log at its start; it is no alarm until the authority had time to answer.
GRACE_MS: Final = 30_000


class Timestamping:
    """Asks, keeps what comes back, and watches the age of what is not stamped."""

    def __init__(
        self,
        store: Store,
        checkpoints: Checkpointer,
        covering: Callable[[int, float], Awaitable[SignedCheckpoint | None]],
        authority: TimestampAuthority,
        gate: Gate,
        clock: Clock,
        *,
        every_s: int,
        alarm_s: int,
        stop_s: int,
    ) -> None:
        """Take `covering(leaf, within_s)`: it waits for a cosigned checkpoint over a leaf, and gives what there is."""
        self._store = store
        self._checkpoints = checkpoints
        self._covering = covering
        self._authority = authority
        self._gate = gate
        self._clock = clock
        self._every_ms = every_s * 1000
        self._alarm_ms = alarm_s * 1000
        self._stop_ms = stop_s * 1000
        self._newest: int | None = None
        self._since: int | None = None
        self._started = self._wanted = clock()
        self._retry_at = 0
        self._pause_ms = RETRY_MS[0]
        self._alarmed = False
        self._changed = asyncio.Event()
        checkpoints.on_signed(self._signed)

    async def load(self) -> None:
        """Read what was stamped before this process."""

        def read(tx: Transaction) -> tuple[int | None, int | None, str, str | None]:
            newest = tx.timestamps.newest()
            wanted = tx.state.get(SINCE) or str(self._clock())
            tx.state.put(SINCE, wanted)
            size = newest.size if newest is not None else None
            return size, tx.witness.entry_at(size or 0), wanted, tx.state.get(ALARMED)

        self._newest, self._since, wanted, alarmed = await self._store.write(read)
        self._wanted = int(wanted)
        self._alarmed = alarmed is not None and alarmed == str(self._stamped)

    def grew(self, _leaves: int) -> None:
        """Note that leaves were committed."""
        if self._since is None:
            self._since = self._clock()
            self._changed.set()

    def _signed(self) -> None:
        if self._due():
            self._changed.set()

    def _due(self) -> bool:
        # The first one at once: whoever turned it on sees whether it works.
        wanted = self._since is not None and (self._newest is None or self.age_ms() >= self._every_ms)
        return wanted and self._clock() >= self._retry_at

    def age_ms(self) -> int:
        """Return the age of the oldest entry under no timestamp; 0 where all are."""
        return 0 if self._since is None else max(0, self._clock() - max(self._since, self._wanted))

    async def run(self) -> None:
        """Have stamps made, raise the alarm, stop and go on as the age says, until cancelled."""
        while True:
            self._changed.clear()
            try:
                wait = await self._look()
            except GatewayError as error:
                log.warning("timestamp not recorded", code=error.slug)
                wait = 1.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    async def _look(self) -> float | None:
        """Do what is due; return in how many seconds to look again, None where nothing is unstamped."""
        if self._due():
            await self._stamp()
        age = self.age_ms()
        if age >= self._stop_ms:
            self._gate.close(
                "untimestamped", f"no timestamp over our log could be had for {age // 1000} s; it goes on once one is"
            )
        else:
            self._gate.open("untimestamped")
        started = self._clock() - self._started
        if age >= self._alarm_ms and not self._alarmed and not 0 <= started < min(GRACE_MS, self._alarm_ms):
            self._alarmed = True
            await self._store.write(self._alarm)
            log.error("no timestamp over our log", age_s=age // 1000, size=self._stamped)
        if self._since is None:
            return None
        ahead = [limit - age for limit in (self._every_ms, self._alarm_ms, self._stop_ms) if limit > age]
        return max(0.05, min([LOOK_EVERY_S, *(ms / 1000 for ms in ahead)]))

    async def _stamp(self) -> None:
        """Have the newest checkpoint stamped; where it cannot be, say when to try again."""
        try:
            made = await self._ask()
        except (TransportError, PartnerError) as error:
            self._retry_at = self._clock() + self._pause_ms
            log.warning("no timestamp", detail=error.detail, again_in_s=self._pause_ms // 1000)
            self._pause_ms = min(2 * self._pause_ms, RETRY_MS[1])
            return
        if made is None:
            return

        def keep(tx: Transaction) -> int | None:
            tx.timestamps.add(made)
            return tx.witness.entry_at(made.size)

        self._since = await self._store.write(keep)
        self._newest = made.size
        self._retry_at, self._pause_ms, self._alarmed = 0, RETRY_MS[0], False
        log.info("log timestamped", size=made.size)

    async def _ask(self) -> Timestamp | None:
        head = await self._checkpoints.sign()
        if head is None or head.size <= self._stamped:
            # Nothing more may be signed now (protocol.md §6).
            return None
        seen = await self._covering(head.size - 1, COSIGNED_WITHIN_S)
        if seen is not None and seen.size >= head.size:
            head = seen
        token, at = await self._authority.stamp(head.note.encode())
        return Timestamp(head.size, head.note, token, at)

    def _alarm(self, tx: Transaction) -> None:
        tx.state.put(ALARMED, str(self._stamped))
        tx.log.append(
            "audit.alarm", actor=SYSTEM, obj=("log", str(self._stamped)), at=self._clock(), outcome="untimestamped"
        )

    @property
    def _stamped(self) -> int:
        return self._newest or 0


def forget(tx: Transaction) -> None:
    """Note that no stamps are wanted: when they are again, what came meanwhile is not late."""
    if tx.state.get(SINCE):
        tx.state.put(SINCE, "")
