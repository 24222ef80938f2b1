"""The clock of the gateway: every service reads it, and it says whether the time may end anything now.

`protocol.trustedtime` decides; here the clocks are read, partners' times come in, and a doubt is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from gateway.errors import ClockInDoubt, GatewayError
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM
from gateway.primitives import strictjson
from gateway.protocol import trustedtime
from gateway.protocol.trustedtime import TOLERANCE_MS, Doubt, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports.common import Actor, Clock
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId

log = get_logger()

STATE: Final = "clock"
"""Where the last time that was sure is kept between two processes, with the doubt of the last one."""
LOOK_EVERY_S: Final = 60.0
"""Half the tolerance: time that is looked at so often is watched."""
FAR_MS: Final = 3_600_000
CONFIRM: Final = "`gateway clock confirm` once you have compared it with another clock"


class Timekeeper:
    """Called, it gives the time to go by; `sure` says whether it may end anything."""

    def __init__(self, store: Store, wall: Clock, elapsed: Clock | None) -> None:
        """Take the wall clock, and the time since anything, asleep or not; without it the wall clock is the truth."""
        self._store = store
        self._wall = wall
        self._elapsed = elapsed
        self._state = trustedtime.begin(self._read(), None)
        self._told: Doubt | None = None
        self._last_sure: int | None = None
        self._alarmed: set[str] = set()
        self._partners: dict[PartyId, int] = {}
        self._listeners: list[Callable[[], None]] = []
        self.doubted = asyncio.Event()
        self._over = asyncio.Event()

    def on_sure(self, listener: Callable[[], None]) -> None:
        """Call `listener` each time a doubt is over."""
        self._listeners.append(listener)

    def __call__(self) -> int:
        """Return the time, ms since 1970-01-01 UTC."""
        if self._elapsed is None:
            return self._wall()
        self._state = trustedtime.look(self._state, self._read())
        if self._state.doubt != self._told:
            self._turned()
        return self._state.now_ms

    @property
    def doubt(self) -> Doubt | None:
        """Why the time may not end anything now, or None."""
        self()
        return self._state.doubt

    @property
    def ahead_ms(self) -> int:
        """How far the wall clock is from where it is expected."""
        self()
        return self._state.ahead_ms or (self._state.unwatched_ms if self._state.doubt == "gap" else 0)

    @property
    def wrong(self) -> bool:
        """Whether the wall clock is known to be wrong, or to have been set: an alarm, and no time to start by."""
        doubt = self.doubt
        return doubt == "jump" or (doubt == "start" and self._state.ahead_ms < 0)

    def sure(self, party: PartyId | None = None) -> bool:
        """Say whether the time may end anything now; of `party`, whether it agrees with its last signed time too."""
        now = self()
        if self._state.doubt is not None:
            return False
        heard = self._partners.get(party) if party is not None else None
        return heard is None or abs(heard + self._state.read.elapsed_ms - now) <= TOLERANCE_MS

    def heard(self, party: PartyId, iat_ms: int) -> None:
        """Take the time that a partner signed just now: the second source."""
        if self._elapsed is None:
            return
        self()
        self._partners[party] = iat_ms - self._state.read.elapsed_ms
        self._state = trustedtime.confirm(self._state, iat_ms)
        if self._state.doubt != self._told:
            self._turned()
        if self.sure(party):
            self._alarmed.discard(party)

    def contradicts(self, iat_ms: int) -> bool:
        """Say whether our time is in doubt and another's is not ours: then nothing is refused by it."""
        return self._elapsed is not None and self.doubt is not None and abs(iat_ms - self()) > TOLERANCE_MS

    def check_stamp(self) -> None:
        """Raise ClockInDoubt while a message would be given a time that is known, or very likely, to be wrong."""
        if self.reason is not None and self._misleads():
            raise ClockInDoubt(f"{self.reason}; nothing was accepted")

    def _misleads(self) -> bool:
        doubt, ahead = self._state.doubt, self._state.ahead_ms
        if doubt == "gap":
            return self._state.unwatched_ms > FAR_MS
        if doubt != "start":
            return False  # in a jump the time goes on by the elapsed time, and is right
        now, elapsed = self._state.now_ms, self._state.read.elapsed_ms
        return ahead < 0 or any(abs(heard + elapsed - now) > TOLERANCE_MS for heard in self._partners.values())

    @property
    def reason(self) -> str | None:
        """What is doubted, in words with what to do; None where nothing is."""
        doubt, ahead_s = self.doubt, round(self._state.ahead_ms / 1000)
        if doubt == "jump":
            return f"the clock jumped by {ahead_s:+d} s: set it right, or confirm it: {CONFIRM}"
        if doubt == "start":
            seen = "stands before the last time this home has seen" if ahead_s < 0 else "is not confirmed yet"
            return f"the clock {seen} ({ahead_s:+d} s since then): a partner's answer confirms it, or {CONFIRM}"
        if doubt == "gap":
            gap_s = round(self._state.unwatched_ms / 1000)
            return f"nobody watched the clock for {gap_s} s: a partner's answer confirms it, or {CONFIRM}"
        return None

    async def load(self) -> None:
        """Hold the clock against the last time an earlier process was sure of."""
        if self._elapsed is not None:
            self._last_sure = await self._store.write(_last_sure)
            self._state = trustedtime.begin(self._read(), self._last_sure)
            self()

    async def run(self) -> None:
        """Watch the clocks, and keep what is sure, until cancelled."""
        # A start that is sure has nothing to write down: the last process did so a moment ago.
        wait = self.doubt is None
        while True:
            if wait:
                # A doubt that is over is written down at once: `doctor` reads what is kept.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._over.wait()
            wait = True
            self._over.clear()
            try:
                await self.keep()
            except GatewayError as error:
                log.warning("the time is not kept", code=error.slug, detail=error.detail)

    async def keep(self) -> None:
        """Write down the last time that is sure, and alarm a clock that is known to be wrong."""
        if self._elapsed is None:
            return
        doubt = self.doubt
        if doubt is None:
            self._last_sure = self()
        # Else it stays: what a doubtful clock says must not be what the next start goes by.
        found = strictjson.dumps({"sure": self._last_sure, "doubt": self.reason, "wrong": self.wrong}).decode()
        await self._store.write(lambda tx: tx.state.put(STATE, found))
        if self.wrong:
            await self.alarm()

    async def alarm(self, party: PartyId | None = None) -> None:
        """Tell that something is not ended for a doubt: one alarm a doubt; `party` where its clock is the other one."""
        doubt = self.doubt
        name = doubt or party or ""
        if name in self._alarmed:
            return
        outcome = f"clock {doubt} {round(self.ahead_ms / 1000):+d} s" if doubt else "clock differs"
        obj = ("clock", "ours") if doubt else ("party", name)
        await self._store.write(
            lambda tx: tx.log.append("audit.alarm", actor=SYSTEM, obj=obj, at=self(), outcome=outcome)
        )
        self._alarmed.add(name)
        log.error("nothing is given up by this clock", reason=self.reason or outcome, partner=party)

    async def confirm(self, actor: Actor) -> None:
        """Take an operator's word that the wall clock is right now. It is logged."""
        doubt = self.doubt
        outcome = f"{doubt} {round(self.ahead_ms / 1000):+d} s" if doubt else "no doubt"
        self._partners.clear()
        self._state = trustedtime.confirm(self._state, self._state.read.wall_ms)
        await self._store.write(
            lambda tx: tx.log.append(
                "config.changed", actor=actor, obj=("clock", "confirmed"), at=self(), outcome=outcome
            )
        )
        await self.keep()

    def _read(self) -> Reading:
        wall = self._wall()
        return Reading(wall, wall if self._elapsed is None else self._elapsed())

    def _turned(self) -> None:
        self._told = doubt = self._state.doubt
        if doubt is None:
            self._over.set()
            self.doubted.clear()
            self._alarmed.clear()
            log.info("the clock is sure again")
            for listener in self._listeners:
                listener()
        else:
            self.doubted.set()
            log.warning("the clock is in doubt: nothing is given up by it", reason=self.reason)


def _last_sure(tx: Transaction) -> int | None:
    """Return the last time that was sure; before any was kept, that of the newest log entry."""
    kept = tx.state.get(STATE)
    if not kept:
        size, _ = tx.log.head()
        return tx.witness.entry_at(size - 1) if size else None
    found: int | None = strictjson.loads(kept.encode())["sure"]
    return found
