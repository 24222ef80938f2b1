"""Connections of one listener: counted from the moment they are accepted, and each held to its time.

1. A listener, an address and a known caller have a bounded number each. Where one more comes, the one that has shown
   least makes room: first who is nobody we know, then who is known and asks for nothing; within these the one that was
   quiet longest. So whoever means it has the time in which a whole listener's worth of others arrive. Who is known and
   being answered stays.
2. A handshake, the headers of a request, and the reading of an answer have an end.
3. A listener that finds no file descriptor frees one and says so once a minute; it never spins.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway.errors import HeadersTooLarge, TooManyRequests
from gateway.logs import Seldom, get_logger

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

log = get_logger()

GOODBYE_S: Final = 5.0
"""How long a peer may take to end TLS in order."""
HEAD_BYTES: Final = 64 * 1024
FEW_HEADERS: Final = 7
"""So many are below it, each being 8 KiB at most."""
WRITE_BUFFER_BYTES: Final = 64 * 1024
"""Of an answer, what waits here for who reads it."""
FEW_BYTES: Final = 256 * 1024
"""Of an answer, what needs no looking after."""
UNREAD_SHARE: Final = 32 * 1024 * 1024
UNREAD_BYTES: Final = 96 * 1024 * 1024
"""Of answers that wait to be read, what those of one caller and all may hold."""
LINGER_S: Final = 2.0
LINGER_BYTES: Final = 1024 * 1024
"""How much of a body that nobody wants is read so that its sender sees why; then the connection ends."""
BACKLOG: Final = 4096
"""Beyond it the system drops who comes, and they knock again a second later."""
AT_ONCE: Final = 16
AGAIN_S: Final = 0.1
NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Caps:
    """How many connections a listener has in all, from one address, and of one known caller."""

    total: int = 512
    address: int = 256
    caller: int = 256


@dataclass(frozen=True, slots=True)
class Times:
    """How long a peer may take."""

    handshake_s: float = 10.0
    head_s: float = 10.0
    """From the first byte of a request to the end of its headers; for the first request, from the handshake on."""
    unread_s: float = 15.0
    """To read what waits of an answer, until there is room for more."""


CallerOf = Callable[[asyncio.BaseTransport], str | None]


def _unknown(_transport: asyncio.BaseTransport) -> None:
    return None


class _Shown(IntEnum):
    """What a connection has shown, the least first."""

    NOTHING = 0
    CALLER = 1
    WORK = 2


class _Place:
    """One connection, from its acceptance to its end."""

    __slots__ = ("address", "caller", "conversation", "quiet_since", "task", "unread")

    def __init__(self, address: str) -> None:
        self.address = address
        self.quiet_since = time.monotonic()
        self.caller: str | None = None
        self.unread = 0
        self.conversation: Conversation | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def shown(self) -> _Shown:
        """What it has shown so far."""
        if self.conversation is None or self.caller is None:
            return _Shown.NOTHING
        return _Shown.WORK if self.conversation.busy else _Shown.CALLER

    def end(self) -> None:
        """End it at once."""
        if self.conversation is not None:
            self.conversation.abort()
        elif self.task is not None:
            self.task.cancel()


class Connections:
    """The connections of one listener."""

    def __init__(
        self, name: str, caps: Caps, times: Times, refused: Callable[[str, str], None], caller_of: CallerOf = _unknown
    ) -> None:
        """Take the listener's name, and who hears by which cap a connection of it ended or was refused."""
        self._name = name
        self._caps = caps
        self.times = times
        self.caller_of = caller_of
        self._refused = refused
        self._places: dict[_Place, None] = {}
        self._by_address: Counter[str] = Counter()
        self._by_caller: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    def admit(self, address: str) -> _Place | None:
        """Return a place for who comes from `address`, or None where nobody makes room."""
        if self._by_address[address] >= self._caps.address:
            if not self._give_way("address", [p for p in self._places if p.address == address]):
                return None
        elif len(self._places) >= self._caps.total and not self._give_way("connections", list(self._places)):
            return None
        place = _Place(address)
        self._places[place] = None
        self._by_address[address] += 1
        return place

    def free_one(self) -> None:
        """End the connection that has shown least."""
        self._give_way("descriptors", list(self._places))

    def leave(self, place: _Place) -> None:
        """Forget a connection that ended."""
        if place in self._places:
            del self._places[place]
            self._drop(self._by_address, place.address)
            if place.caller is not None:
                self._drop(self._by_caller, place.caller)

    def identify(self, request: web.Request, caller: str) -> None:
        """Take down whose connection it is. Raises TooManyRequests where the caller has too many at work."""
        conversation = request.protocol
        if isinstance(conversation, Conversation) and conversation.place.caller != caller:
            self.take_down(conversation.place, caller)

    def take_down(self, place: _Place, caller: str) -> None:
        """Take down whose connection one is. Raises TooManyRequests where the caller has too many at work."""
        if self._by_caller[caller] >= self._caps.caller:
            own = [p for p in self._places if p.caller == caller]
            if not self._give_way("caller", own):
                detail = f"{self._caps.caller} connections of yours are at work; use one of them"
                raise TooManyRequests(detail, retry_after_s=1)
        if place not in self._places:
            return
        if place.caller is not None:
            self._drop(self._by_caller, place.caller)
        place.caller = caller
        self._by_caller[caller] += 1

    def answer(self, request: web.Request, size: int) -> None:
        """Take down that so many bytes of an answer wait to be read. Raises TooManyRequests where too many do."""
        conversation = request.protocol
        if not isinstance(conversation, Conversation) or size < FEW_BYTES:
            return
        place = conversation.place
        # What it got by other connections and left there.
        own = sum(p.unread for p in self._places if p.caller == place.caller)
        if (own and own + size > UNREAD_SHARE) or sum(p.unread for p in self._places) + size > UNREAD_BYTES:
            self.ended("unread")
            raise TooManyRequests("earlier answers to you are not read yet", retry_after_s=1)
        place.unread = size

    def ended(self, cap: str) -> None:
        """Count a connection that was ended by one of its own times."""
        self._refused(self._name, cap)

    def _give_way(self, cap: str, places: Sequence[_Place]) -> bool:
        self._refused(self._name, cap)
        weakest = min(places, key=lambda p: (p.shown, p.quiet_since), default=None)
        if weakest is None or weakest.shown is _Shown.WORK:
            return False
        self.leave(weakest)
        weakest.end()
        return True

    def _drop(self, counted: Counter[str], key: str) -> None:
        counted[key] -= 1
        if not counted[key]:
            del counted[key]


def judge_head(request: web.Request) -> None:
    """Raise HeadersTooLarge where all headers together are over `HEAD_BYTES`."""
    if len(request.raw_headers) <= FEW_HEADERS:
        return
    if sum(len(name) + len(value) + 4 for name, value in request.raw_headers) > HEAD_BYTES:
        detail = f"all headers of a request together have {HEAD_BYTES // 1024} KiB at most"
        raise HeadersTooLarge(detail)


CALLER_OF: Final[web.AppKey[CallerOf]] = web.AppKey("caller-of")
"""In an application: tells whose a connection is before its first request, where TLS shows that."""
CONNECTIONS: Final[web.AppKey[Connections]] = web.AppKey("connections", Connections)
"""In an application that listens on the network: its connections."""


class Conversation(web.RequestHandler):
    """aiohttp's side of one connection, with an end to headers, bodies nobody wants and answers nobody reads."""

    __slots__ = ("_answered", "_connections", "_head_bytes", "_head_timer", "_write_timer", "place")

    def __init__(self, place: _Place, connections: Connections, manager: Any, **options: Any) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), **options)
        self.place = place
        self._connections = connections
        self._answered = 0
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is being read or answered."""
        return self._request_count > self._answered

    def abort(self) -> None:
        """End the connection without a word."""
        if self.transport is not None:
            self.transport.abort()

    def unmade(self) -> None:
        """Let go of the parser, which holds this again: the connection did not come to be."""
        if self.place.conversation is None:
            self._parser = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the first request has its time from here."""
        super().connection_made(transport)
        assert isinstance(transport, asyncio.WriteTransport)
        transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        self.place.conversation = self
        self._await_head()
        caller = self._connections.caller_of(transport)
        if caller is not None:
            try:
                self._connections.take_down(self.place, caller)
            except TooManyRequests:
                self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._stop_timers()
        self._connections.leave(self.place)
        super().connection_lost(exc)
        self.place.conversation = None

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what is no whole head yet has its bounds."""
        super().data_received(data)
        if self.busy:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._connections.ended("header")
            self.abort()
        elif self._head_timer is None and data:
            self._await_head()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; then read a little of a body that nobody wanted, so that its sender sees the answer."""
        try:
            found = await super().finish_response(request, resp, start_time)
            if not request.content.is_eof():
                await self._linger(request.content)
            return found
        finally:
            self._answered += 1
            self.place.unread = 0
            self.place.quiet_since = time.monotonic()

    def pause_writing(self) -> None:
        """Begin to wait for a peer that does not read."""
        super().pause_writing()
        self._write_timer = self._loop.call_later(self._connections.times.unread_s, self._unread)

    def resume_writing(self) -> None:
        """Wait no longer: it reads again."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    async def _linger(self, content: Any) -> None:
        left = LINGER_BYTES
        with contextlib.suppress(TimeoutError, ConnectionError, web.RequestPayloadError):
            async with asyncio.timeout(LINGER_S):
                while left > 0 and not content.is_eof():
                    left -= len(await content.readany())

    def _await_head(self) -> None:
        self._head_timer = self._loop.call_later(self._connections.times.head_s, self._no_head)

    def _no_head(self) -> None:
        self._head_timer = None
        if not self.busy:
            self._connections.ended("header")
            self.abort()

    def _unread(self) -> None:
        self._write_timer = None
        self._connections.ended("unread")
        self.abort()

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._write_timer = None


class Door:
    """Accepts the connections of one listener, one at a time, and starts each within its bounds."""

    def __init__(self, connections: Connections, runner: web.AppRunner, tls: ssl.SSLContext | None,
                 options: dict[str, Any]) -> None:  # fmt: skip
        self._connections = connections
        self._runner = runner
        self._tls = tls
        self._options = options
        self._seldom = Seldom(1)
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: list[asyncio.Task[None]] = []

    def open(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return where. Raises OSError."""
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, kind, protocol, _, where in dict.fromkeys(found):
                one = socket.socket(family, kind, protocol)
                self._sockets.append(one)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                one.setblocking(False)  # noqa: FBT003 - a name of the standard library
                # A name with two addresses and a port of the system's choice: the first one's for both.
                taken = port or (self._sockets[0].getsockname()[1] if len(self._sockets) > 1 else 0)
                one.bind((where[0], taken, *where[2:]))
                one.listen(BACKLOG)
        except OSError:
            self._close_sockets()
            raise
        self._accepting = [asyncio.create_task(self._accept(one), name="accept") for one in self._sockets]
        bound = self._sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    async def close(self) -> None:
        """Accept nothing more; what has not finished its handshake ends."""
        for task in (*self._accepting, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._accepting, *self._tasks, return_exceptions=True)
        self._close_sockets()

    def _close_sockets(self) -> None:
        for one in self._sockets:
            one.close()
        self._sockets = []

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        accepted = 0
        while True:
            try:
                peer, address = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in NO_ROOM:
                    self._tell(error)
                    self._connections.free_one()
                    await asyncio.sleep(AGAIN_S)
                continue
            place = self._connections.admit(str(address[0]))
            if place is None:
                peer.close()
            else:
                place.task = asyncio.create_task(self._start(peer, place), name="connection")
                self._tasks.add(place.task)
                place.task.add_done_callback(partial(self._started, peer, place))
            accepted += 1
            if accepted % AT_ONCE == 0:
                # A storm of connections is served in turn with those that are here.
                await asyncio.sleep(0)

    def _tell(self, error: OSError) -> None:
        left_out = self._seldom.admit("accept")
        if left_out is not None:
            name, fix = errno.errorcode[error.errno or 0], "raise the limit of open files (LimitNOFILE)"
            log.error("no connection could be accepted", error=name, left_out=left_out or None, fix=fix)

    async def _start(self, peer: socket.socket, place: _Place) -> None:
        loop, times = asyncio.get_running_loop(), self._connections.times
        made: list[Conversation] = []

        def conversation() -> Conversation:
            made.append(Conversation(place, self._connections, self._runner.server, **self._options))
            return made[0]

        tls: dict[str, Any] = {}
        if self._tls is not None:
            tls = {
                "ssl": self._tls, "ssl_handshake_timeout": times.handshake_s, "ssl_shutdown_timeout": GOODBYE_S,
            }  # fmt: skip
        try:
            # Who never says a word costs no buffers and no key exchange.
            async with asyncio.timeout(times.handshake_s):
                await _heard(peer)
            await loop.connect_accepted_socket(conversation, peer, **tls)
        except (OSError, asyncio.CancelledError) as error:
            # Whoever cannot end a handshake is told nothing; an alert of TLS has been sent where it may be. A handshake
            # that takes too long is a ConnectionAbortedError of asyncio.
            if isinstance(error, TimeoutError | ConnectionAbortedError):
                self._connections.ended("handshake")
            # Its frames hold the buffers of the connection, and the error again: a thousand are a hundred MiB.
            traceback.clear_frames(error.__traceback__)
            for one in made:
                one.unmade()

    def _started(self, peer: socket.socket, place: _Place, task: asyncio.Task[None]) -> None:
        # A task that was cancelled before it ran has done nothing at all: this is where each ends.
        self._tasks.discard(task)
        place.task = None
        if place.conversation is None:
            self._connections.leave(place)
            peer.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a connection could not be begun", exc_info=error)


async def _heard(peer: socket.socket) -> None:
    """Wait until there is something to read."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not heard.done():
            heard.set_result(None)

    loop.add_reader(peer, note)
    try:
        await heard
    finally:
        loop.remove_reader(peer)
