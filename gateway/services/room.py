"""Keeps room on the data volume: for what was taken to be finished, before anything new is taken.

`judge` decides; here the numbers are read once a second, the reserve is given up and made again, alarms are raised.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from gateway.errors import GatewayError
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM

if TYPE_CHECKING:
    from gateway.ports.common import Clock
    from gateway.ports.room import Level, Watched
    from gateway.ports.store import Store
    from gateway.services.gate import Gate

log = get_logger()

EVERY_S: Final = 30.0
"""At rest; while the WAL grows, and where a write finds no room, at once."""
MIB: Final = 1024 * 1024
# How long one reading of ours may keep an old snapshot while the WAL cannot be emptied for it.
READING_MOST_S: Final = 30.0
READING_LEAST_S: Final = 2.0
ALARM_PARTS: Final = 2
"""The WAL is an alarm at one part in so many of its bound: there is time to look before anything is refused."""

Cause = Literal["disk", "wal"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What to do: refuse new messages for a cause, alarm it, give up the reserve."""

    refuse: Cause | None = None
    alarm: Cause | None = None
    give_up: bool = False


def judge(level: Level) -> Judged:
    """Say what a level asks for. The last of the room is for messages taken before, never for new ones."""
    if level.free < level.kept:
        return Judged("disk", "disk", give_up=level.free < level.kept // 2)
    if level.wal > level.wal_most:
        return Judged("wal", "wal")
    if level.wal > level.wal_most // ALARM_PARTS:
        return Judged(alarm="wal")
    return Judged()


class Room:
    """`look` once a second; `fault` says why nothing is taken."""

    def __init__(self, store: Store, watched: Watched, gate: Gate, clock: Clock, *, wal_most: int) -> None:
        self._store = store
        self._watched = watched
        self._gate = gate
        self._clock = clock
        self._wal_most = wal_most
        self._alarmed: Cause | None = None
        self._woken = asyncio.Event()
        gate.measure_by(self.measure)
        self.level: Level | None = None

    @property
    def fault(self) -> str | None:
        """Why nothing new is taken for want of room, in words with what to do; None while it is."""
        self.measure()
        return self._gate.full

    def wake(self) -> None:
        """Look again now."""
        self._woken.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except (GatewayError, OSError) as error:
                log.warning("the room on the volume is not known", error=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._woken.wait()
            self._woken.clear()

    async def look(self) -> None:
        """Measure, and do what that asks for."""
        level, found = self._measure()
        self._watched.tend()
        self._watched.keep_reserve(give_up=found.give_up)
        if level.wal_fault is not None:
            most_s = READING_LEAST_S if found.alarm == "wal" else READING_MOST_S
            cut = await self._watched.cut_readings(most_s, copies=found.refuse == "wal")
            if cut:
                log.warning("readings of our own that lasted too long were ended", count=cut)
        if found.alarm is None:
            self._alarmed = None
        elif found.alarm != self._alarmed:
            await self._alarm(found.alarm, level)

    def measure(self) -> None:
        """Refuse new messages, or take them again, by the room of this moment."""
        with contextlib.suppress(OSError):
            self._measure()

    def _measure(self) -> tuple[Level, Judged]:
        level = self.level = self._watched.level(self._wal_most)
        found = judge(level)
        if found.refuse is None:
            self._gate.take_new()
        elif self._gate.full is None:
            self._gate.refuse_new(self._reason(found.refuse, level))
            self.wake()
        return level, found

    async def _alarm(self, cause: Cause, level: Level) -> None:
        held = level.wal // MIB if cause == "wal" else level.free // MIB
        outcome = f"{cause} {held} MiB{'' if cause == 'wal' else ' free'}"
        log.error("room runs out", reason=self._reason(cause, level))
        await self._store.write(
            lambda tx: tx.log.append(
                "audit.alarm", actor=SYSTEM, obj=("storage", cause), at=self._clock(), outcome=outcome
            )
        )
        self._alarmed = cause

    def _reason(self, cause: Cause, level: Level) -> str:
        if cause == "disk":
            free, kept = level.free // MIB, -(-level.kept // MIB)
            return f"the data volume has {free} MiB free, and the last {kept} are kept: free space on it"
        by = ", ".join(self._watched.holders()) or level.wal_fault or "nobody we know"
        return f"the journal of the database is at {level.wal // MIB} MiB and cannot be emptied: held by {by}; end that"
