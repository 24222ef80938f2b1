"""What a gateway holds the time to be, where its clock may be wrong: no wrong clock may end a message.

Two clocks are read at once: the wall clock, which anybody may set, and the elapsed time, which only runs. Together
they say whether the wall clock was set; a second source, a partner's signed `iat` or an operator, says which is right.

Laws:
1. A wall clock that goes with the elapsed time, within `TOLERANCE_MS`, is believed. Small steps do not add up: they are
   counted from what was last confirmed.
2. One that jumps is not believed: time goes on by the elapsed time, until it comes back or is confirmed.
3. Time that nobody watched (a stopped process, a sleeping machine, both clocks moved) does not count by itself.
4. What a start finds is held against the last time that was sure. Nothing says how long it was down, so that the wall
   clock is read, but not believed.
5. Only what agrees with one of our two clocks confirms anything: no partner can set our time.
6. While there is a doubt nothing that cannot be undone is done by the time.

Synchronous and without effects; the shell is `services.timekeeper`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from gateway.protocol.event import CLOCK_TOLERANCE_MS

TOLERANCE_MS: Final = CLOCK_TOLERANCE_MS
"""How far two clocks may differ and still agree: what a receiver allows an event (protocol.md §4.4 (8))."""

Doubt = Literal["jump", "start", "gap"]
"""jump: the wall clock was set. start: it is not where the last process left it, and nothing says how long that is ago.
gap: nobody read the clocks for a while, so that both may have been moved."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks, read at once, in ms; `elapsed_ms` counts from anywhere."""

    wall_ms: int
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class TrustedTime:
    """What is known of the time after the last reading.

    `offset_ms` is the wall clock minus the elapsed time as last believed; while it is not `held` it only says where
    the last process left the wall clock.
    """

    offset_ms: int
    held: bool
    read: Reading
    unwatched_ms: int = 0

    @property
    def ahead_ms(self) -> int:
        """How far the wall clock is ahead of where it is expected; negative behind it."""
        return self.read.wall_ms - self.read.elapsed_ms - self.offset_ms

    @property
    def doubt(self) -> Doubt | None:
        """Why the time may not end anything now; None while it may."""
        if abs(self.ahead_ms) > TOLERANCE_MS:
            return "jump" if self.held else "start"
        return "gap" if self.unwatched_ms else None

    @property
    def now_ms(self) -> int:
        """The time to go by."""
        if self.doubt == "jump":
            return self.read.elapsed_ms + self.offset_ms
        return self.read.wall_ms


def begin(reading: Reading, last_sure_ms: int | None) -> TrustedTime:
    """Return what a start knows; `last_sure_ms` is the last time an earlier process was sure of, None for none."""
    if last_sure_ms is None:
        return TrustedTime(reading.wall_ms - reading.elapsed_ms, held=True, read=reading)
    return look(TrustedTime(last_sure_ms - reading.elapsed_ms, held=False, read=reading), reading)


def look(state: TrustedTime, reading: Reading) -> TrustedTime:
    """Return what is known after another reading."""
    step = reading.elapsed_ms - state.read.elapsed_ms
    unwatched = state.unwatched_ms
    if step > TOLERANCE_MS or step < 0:
        unwatched = max(unwatched, abs(step))
    after = replace(state, read=reading, unwatched_ms=unwatched)
    if after.held or after.doubt is not None:
        return after
    # Started within the tolerance of where the last process stopped: it goes on from there.
    return replace(after, offset_ms=reading.wall_ms - reading.elapsed_ms, held=True)


def confirm(state: TrustedTime, other_ms: int) -> TrustedTime:
    """Return what is known once a second source says what the time was at the last reading.

    It stays as it is where that agrees with neither of our clocks.
    """
    if abs(other_ms - state.read.wall_ms) <= TOLERANCE_MS:
        return TrustedTime(state.read.wall_ms - state.read.elapsed_ms, held=True, read=state.read)
    if state.held and abs(other_ms - state.read.elapsed_ms - state.offset_ms) <= TOLERANCE_MS:
        return replace(state, unwatched_ms=0)
    return state
