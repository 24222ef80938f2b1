"""Takes the bodies of requests: how fast they must come, and how much of them may be here at once.

1. A body comes at `LEAST_RATE` at least, once `STILL_S` are over, never stands still for so long, and is whole within
   the time of its listener; only the time in which we wait for its sender counts.
2. Bytes count from when they come until their request is answered, for their caller and in all.
3. Of the large bodies of one caller one is here at a time; the next waits unread, a few behind it, more are refused.
4. Where all there is room for is taken, the caller that holds most gives back what has not moved for longest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import web

from gateway.errors import Finding, MalformedRequest, SlowBody, TooLarge, TooManyRequests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")

KIB: Final = 1024
MIB: Final = 1024 * 1024
LEAST_RATE: Final = 16 * KIB
"""Bytes a second, after `STILL_S`: a modem's."""
STILL_S: Final = 10.0
LARGE_BYTES: Final = MIB
"""A full envelope of records of 4 KB is half of it."""
SMALL_SHARE: Final = 16 * MIB
"""What small bodies of one caller may take together."""
TURN_S: Final = 20.0
"""How long a large body waits for its turn: less than its sender waits for an answer."""
TURNS_MOST: Final = 4
RETRY_S: Final = 5

_HOLDS = web.RequestKey("holds", contextlib.ExitStack)


class Pace:
    """Waits for a sender, and no longer than it deserves."""

    def __init__(self, content: Any, total_s: float | None, still_s: float) -> None:
        """Take the stream a body comes by; `total_s` None: a body may take as long as it is long."""
        self._content = content
        self._total_s = total_s
        self._still_s = still_s
        self._waited = 0.0
        self._timeout: asyncio.Timeout | None = None
        self._given_up = False

    async def wait(self, read: Awaitable[T]) -> T:
        """Return what `read` reads of the body. Raises SlowBody; TooManyRequests where it was given up."""
        if self._content.is_eof():
            return await read
        loop = asyncio.get_running_loop()
        started = loop.time()
        earned = self._still_s + self._content.total_bytes / LEAST_RATE
        left = min(earned, self._total_s or earned) - self._waited
        try:
            async with asyncio.timeout(max(0.0, min(self._still_s, left))) as self._timeout:
                return await read
        except TimeoutError:
            if self._given_up:
                raise TooManyRequests(_FULL, retry_after_s=RETRY_S) from None
            detail = f"the body comes too slowly: at least {LEAST_RATE // KIB} KiB a second, without a stop"
            raise SlowBody(detail) from None
        finally:
            self._timeout = None
            self._waited += loop.time() - started

    def give_up(self) -> None:
        """End the wait: others need the room."""
        self._given_up = True
        if self._timeout is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time())

    @property
    def waiting(self) -> bool:
        """Whether its sender is waited for just now."""
        return self._timeout is not None and not self._given_up


_FULL = "more bodies are on their way than there is room for; send this one again"


class _Reading:
    """One body, from its first byte until its request is answered."""

    __slots__ = ("caller", "pace", "size")

    def __init__(self, caller: str, pace: Pace) -> None:
        self.caller = caller
        self.pace = pace
        self.size = 0


class Intake:
    """`read` returns a body; under `working` one large body at a time is worked on."""

    def __init__(
        self, *, most_bytes: int, total_s: float, still_s: float = STILL_S,
        refused: Callable[[str], None] = lambda _cap: None, tidy: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Take the largest body there may be and how long one may take.

        `refused` hears by which cap one was, `tidy` is called in a thread after each large one.
        """
        self._tidy = tidy
        self._still_s = still_s
        self._most = most_bytes
        self._pool = 2 * most_bytes + SMALL_SHARE
        self._total_s = total_s
        self._refused = refused
        # In order of their last byte.
        self._readings: dict[_Reading, None] = {}
        self._share: Counter[str] = Counter()
        self._turns: dict[str, asyncio.Lock] = {}
        self._in_turn: Counter[str] = Counter()
        self._work = asyncio.Lock()

    @property
    def held(self) -> int:
        """How many bytes are here."""
        return self._share.total()

    async def read(self, request: web.Request, caller: str, most: int) -> bytes:
        """Return the body of a request. Raises TooLarge, SlowBody, TooManyRequests, MalformedRequest."""
        declared = request.content_length
        over = TooLarge(f"a body is at most {most} bytes", errors=(Finding("", "over the size limit", "E-SIZE"),))
        if declared is not None and declared > most:
            raise over
        pace = Pace(request.content, self._total_s, self._still_s)
        reading = _Reading(caller, pace)
        held = _holds(request)
        held.callback(self._release, reading)
        large = (declared or 0) > LARGE_BYTES
        if large:
            await self._turn(held, caller)
        self._readings[reading] = None
        pieces: list[bytes] = []
        try:
            while piece := await pace.wait(request.content.readany()):
                if reading.size + len(piece) > most:
                    raise over
                if not large and reading.size + len(piece) > LARGE_BYTES:
                    large = True
                    await self._turn(held, caller)
                self._make_room(reading, len(piece))
                reading.size += len(piece)
                self._share[caller] += len(piece)
                self._readings[reading] = self._readings.pop(reading)
                pieces.append(piece)
            return b"".join(pieces)
        except (ConnectionError, web.RequestPayloadError):
            # A sender that hangs up is no fault of ours, and must not fill our log with tracebacks.
            raise MalformedRequest("the body broke off") from None
        except SlowBody:
            self._refused("body")
            raise
        finally:
            # A stream that broke keeps its error, and that this frame.
            pieces.clear()

    def pace(self, request: web.Request) -> Pace:
        """Return the pace of a body that is taken piece by piece: as long as it comes, and comes fast enough."""
        return Pace(request.content, None, self._still_s)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Hold the turn to work on a large body: one at a time, each takes memory by the hundred MiB."""
        async with self._work:
            try:
                yield
            finally:
                await asyncio.to_thread(self._tidy)

    async def _turn(self, held: contextlib.ExitStack, caller: str) -> None:
        """Wait until no other large body of the caller is here. Raises TooManyRequests."""
        detail = "large bodies are taken one after the other: wait for the answer to the last one"
        if self._in_turn[caller] > TURNS_MOST:
            self._refused("bodies")
            raise TooManyRequests(detail, retry_after_s=RETRY_S)
        self._in_turn[caller] += 1
        held.callback(self._end_turn, caller)
        try:
            async with asyncio.timeout(TURN_S):
                await (lock := self._turns.setdefault(caller, asyncio.Lock())).acquire()
        except TimeoutError:
            self._refused("bodies")
            raise TooManyRequests(detail, retry_after_s=RETRY_S) from None
        held.callback(lock.release)

    def _end_turn(self, caller: str) -> None:
        self._in_turn[caller] -= 1
        if not self._in_turn[caller]:
            del self._in_turn[caller]
            self._turns.pop(caller, None)

    def _release(self, reading: _Reading) -> None:
        self._readings.pop(reading, None)
        self._share[reading.caller] -= reading.size
        if not self._share[reading.caller]:
            del self._share[reading.caller]

    def _make_room(self, reading: _Reading, size: int) -> None:
        share = self._share
        if share[reading.caller] + size > self._most + SMALL_SHARE:
            self._refused("bodies")
            raise TooManyRequests(_FULL, retry_after_s=RETRY_S)
        short = share.total() + size - self._pool
        if short <= 0:
            return
        self._refused("bodies")
        greediest, _ = share.most_common(1)[0]
        stalled = [r for r in self._readings if r.caller == greediest and r.pace.waiting and r is not reading]
        if greediest == reading.caller or not stalled:
            raise TooManyRequests(_FULL, retry_after_s=RETRY_S)
        for other in stalled:
            other.pace.give_up()
            short -= other.size
            # Its bytes go with its answer, a moment later.
            if short <= 0:
                return


INTAKE: Final[web.AppKey[Intake]] = web.AppKey("intake", Intake)
"""In an application: what its bodies are taken by."""


def _holds(request: web.Request) -> contextlib.ExitStack:
    found = request.get(_HOLDS)
    if found is None:
        found = request[_HOLDS] = contextlib.ExitStack()
    return found


def let_go(request: web.Request) -> None:
    """Give back what the request held: it is answered."""
    found = request.get(_HOLDS)
    if found is not None:
        found.close()
