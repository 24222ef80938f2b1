"""What callers may hold of a listener: connections, headers, bodies, uploads, streams, answers, calls.

Each attack is tried small here, over a real listener; `tests/faults/test_siege.py` has them whole, on real processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import secrets
import ssl
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import pytest_asyncio

from gateway.errors import ConfigurationError, TooManyRequests
from gateway.logs import Seldom
from gateway.services.refusals import APART
from gateway.services.slots import Slots
from gateway.settings import Address
from gateway.transport.descriptors import LEAST, OWN, raise_limit, shared
from gateway.transport.tls import api_server_context
from gateway.web.api import api_app, bearer
from gateway.web.connections import CONNECTIONS, Caps, Connections, Times
from gateway.web.intake import INTAKE, LARGE_BYTES, SMALL_SHARE, TURNS_MOST, Intake
from gateway.web.problems import middleware
from gateway.web.rates import BURST_S, MOST_CALLERS, Rates
from gateway.web.server import listening
from tests.support.hostile import Author, filled
from tests.support.pair import TEST_OPERATOR, Pair, example
from tests.support.siege import Answer, read_answer, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT_S = 0.3
CAPS = Caps(total=12, address=8, caller=8)
MOST = 4 * 1024 * 1024
PARTNER = "kh.gdi"


@dataclass
class Tight:
    """An API with few places and little patience."""

    app: web.Application
    address: Address
    tls: ssl.SSLContext
    tokens: dict[str, str]
    ids: dict[str, str]
    refused: list[tuple[str, str]]
    pair: Pair
    author: Author
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def connections(self) -> Connections:
        """Those it has."""
        return self.app[CONNECTIONS]

    @property
    def intake(self) -> Intake:
        """What takes its bodies."""
        return self.app[INTAKE]

    async def plain(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection and say nothing."""
        return await self.open(tls=None)

    async def open(self, **given: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection to the end of its handshake."""
        reader, writer = await asyncio.open_connection(
            self.address.host, self.address.port, ssl=given.get("tls", self.tls)
        )
        self.writers.append(writer)
        return reader, writer

    async def hang_up(self) -> None:
        """End every connection."""
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self.writers), return_exceptions=True)
        self.writers.clear()

    def said(self, method: str, path: str, who: str, body: bytes = b"", **headers: str) -> bytes:
        """Return the bytes of a request of a client."""
        given = {"Authorization": f"Bearer {self.tokens[who]}", "Content-Type": "application/json"}
        return request(method, f"/api/v1{path}", given | {"Idempotency-Key": secrets.token_hex(8)} | headers, body)

    async def ask(self, raw: bytes) -> Answer:
        """Send one request on a connection of its own."""
        reader, writer = await self.open()
        writer.write(raw)
        answer = await read_answer(reader)
        writer.transport.abort()
        self.writers.remove(writer)
        return answer


@contextlib.asynccontextmanager
async def tight(pair: Pair, *, calls_per_s: int = 20_000, caps: Caps = CAPS) -> AsyncIterator[Tight]:
    """Serve one."""
    side = pair.a
    limits = side.settings.limits.model_copy(update={"calls_per_s": calls_per_s, "client_streams": 2})
    gateway = replace(side.gateway, settings=side.settings.model_copy(update={"limits": limits}))
    app = api_app(gateway, middleware("api", lambda *_: None, time.monotonic), bearer(gateway))
    refused: list[tuple[str, str]] = []
    app[INTAKE] = Intake(
        most_bytes=MOST, total_s=2 * SHORT_S, still_s=SHORT_S, refused=lambda cap: refused.append(("api", cap))
    )
    tokens, ids = {}, {}
    for who in ("one", "two"):
        account, tokens[who] = await gateway.accounts.add(
            f"{who}-{secrets.token_hex(4)}", "client", person=False, actor=TEST_OPERATOR
        )
        ids[who] = account.id
    async with listening(
        app, "api", Address("127.0.0.1", 0), api_server_context(gateway.keys.tls), drain_s=1, caps=caps,
        times=Times(SHORT_S, SHORT_S, SHORT_S), refused=lambda *found: refused.append(found),
    ) as address:  # fmt: skip
        trust = ssl.create_default_context(cafile=str(side.home / "keys" / "ca.pem"))
        author = Author(pair.b.home, side.settings.me, pair.b.gateway.clock)
        found = Tight(app, address, trust, tokens, ids, refused, pair, author)
        try:
            yield found
        finally:
            await found.hang_up()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(pair: Pair) -> AsyncIterator[Tight]:
    """Serve one for the module."""
    async with tight(pair) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def door(one: Tight) -> AsyncIterator[Tight]:
    """Return it, and end what a test opened."""
    one.refused.clear()
    yield one
    await one.hang_up()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Say whether the other side ended a connection, without an answer."""
    try:
        return not await asyncio.wait_for(reader.read(1), 10)
    except ConnectionError:
        return True


# --- connections ------------------------------------------------------------------------------------


async def test_who_says_nothing_makes_room_for_who_does(door: Tight) -> None:
    """Five times as many idle connections as there are places: the next caller is answered, and all of them end."""
    idle = [await door.plain() for _ in range(5 * CAPS.address)]

    assert (await door.ask(door.said("GET", "/messages", "one"))).status == 200

    assert len(door.connections) <= CAPS.address
    assert ("api", "address") in door.refused
    assert all([await ended(reader) for reader, _ in idle])
    assert ("api", "handshake") in door.refused


async def test_handshakes_without_a_request_make_room_too(door: Tight) -> None:
    """Whoever did its handshake and says no more is ended in time, and before that for somebody who speaks."""
    silent = [await door.open() for _ in range(2 * CAPS.address)]

    assert (await door.ask(door.said("GET", "/messages", "one"))).status == 200
    assert all([await ended(reader) for reader, _ in silent])
    assert ("api", "header") in door.refused


async def test_a_caller_who_is_answered_keeps_its_place(pair: Pair) -> None:
    """Event streams under way are not ended for newcomers; where nobody makes room, the newcomer goes."""
    async with tight(pair, caps=Caps(total=2, address=2, caller=2)) as found:
        streams = [await found.open() for _ in range(2)]
        for reader, writer in streams:
            writer.write(found.said("GET", "/events", "one"))
            assert b" 200 " in await reader.readline()
        reader, _ = await found.plain()
        assert await ended(reader)
        assert len(found.connections) == 2
        for _, writer in streams:
            writer.transport.abort()


async def test_a_slow_head_is_cut(door: Tight) -> None:
    """A request of which the headers come byte by byte ends within its time."""
    reader, writer = await door.open()
    writer.write(b"GET /docs HTTP/1.1\r\nHost: g\r\nX: ")
    assert await ended(reader)


async def test_all_headers_together_are_bounded(door: Tight) -> None:
    """Each below its own bound: 431 where they came whole, the end where they do not."""
    some = {f"X-{n}": "x" * 8000 for n in range(9)}
    answer = await door.ask(request("GET", "/docs", some))
    assert answer.status in {431, 400}
    reader, writer = await door.open()
    with contextlib.suppress(ConnectionError):
        for n in range(40):
            writer.write(b"GET /docs HTTP/1.1\r\nHost: g\r\n" if n == 0 else b"X-%d: %b\r\n" % (n, b"x" * 8000))
            await writer.drain()
    assert await ended(reader)


async def test_an_answer_that_nobody_reads_ends_its_connection(door: Tight) -> None:
    """The rest of it does not wait for ever."""
    raw = orjson.dumps({"messages": [{}] * 100})
    _, writer = await door.open()
    with contextlib.suppress(ConnectionError):
        while ("api", "unread") not in door.refused:
            writer.write(door.said("POST", "/messages/batch", "one", raw))
            await writer.drain()
    assert ("api", "unread") in door.refused


async def test_a_refused_body_is_not_read_to_its_end(door: Tight) -> None:
    """The answer comes, a little of the body is drained, and the connection ends."""
    reader, writer = await door.open()
    writer.write(request("POST", "/api/v1/messages", {"Content-Length": str(MOST)}))
    answer = await read_answer(reader)
    assert answer.status == 401
    with contextlib.suppress(ConnectionError):
        for _ in range(MOST // 65536):
            writer.write(bytes(65536))
            await writer.drain()
    assert await ended(reader)


# --- bodies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"{", b"{" + b" " * 2 * LARGE_BYTES], ids=("nothing", "a byte", "all but one"))
async def test_a_body_that_does_not_come_is_408(door: Tight, sent: bytes) -> None:
    """Whoever withholds a byte, or all, has a third of a second here."""
    reader, writer = await door.open()
    length = {"Content-Length": str(len(sent) + 1)}
    writer.write(door.said("POST", "/messages", "one", **length) + sent)
    assert (await read_answer(reader)).status == 408
    assert ("api", "body") in door.refused
    assert door.intake.held == 0


async def test_a_body_by_the_byte_is_408_too(door: Tight) -> None:
    """One that never stands still has its own end."""
    reader, writer = await door.open()
    writer.write(door.said("POST", "/messages", "one", **{"Content-Length": "1000"}))
    answer = asyncio.create_task(read_answer(reader))
    while not answer.done():
        writer.write(b" ")
        await asyncio.wait({answer}, timeout=SHORT_S / 10)
    assert answer.result().status == 408


async def test_large_bodies_of_one_caller_wait_for_one_another(door: Tight) -> None:
    """One is here, a few wait unread, more are refused; another caller's goes at once."""
    size = LARGE_BYTES + 10
    held = []
    for _ in range(TURNS_MOST + 3):
        reader, writer = await door.open()
        writer.write(door.said("POST", "/messages", "one", **{"Content-Length": str(size)}) + b" " * (size - 1))
        held.append((reader, writer))
        if len(held) >= TURNS_MOST + 2:
            break
    first = await asyncio.wait_for(read_answer(held[-1][0]), 10)
    assert first.status == 429
    assert "retry-after" in first.headers
    assert door.intake.held <= size + SMALL_SHARE
    other = await door.ask(door.said("POST", "/messages", "two", b"[" + b" " * size + b"]"))
    assert other.status == 400


async def test_what_a_body_held_is_given_back(door: Tight) -> None:
    """After the answer, whatever it was, nothing is counted any more."""
    for body in (b"{}", b"[" + b" " * 2 * LARGE_BYTES + b"]", b"x"):
        await door.ask(door.said("POST", "/messages", "one", body))
    assert door.intake.held == 0


# --- slots, streams, calls --------------------------------------------------------------------------


async def test_uploads_without_a_body_keep_nobody_out(door: Tight) -> None:
    """Of one client four wait for theirs; another client is taken, and the places come back by time."""
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    held = [await door.open() for _ in range(5)]
    for _, writer in held:
        writer.write(door.said("POST", "/attachments", "one", **kind, **{"Content-Length": "100000"}))
    statuses = [(await read_answer(reader)).status for reader, _ in held]
    assert sorted(statuses) == [408] * 4 + [429]
    answer = await door.ask(door.said("POST", "/attachments", "two", b"--x--\r\n", **kind))
    assert (answer.status, b"missing" in answer.body) == (400, True)


async def test_streams_of_one_client_keep_nobody_out(door: Tight) -> None:
    """Its own are bounded."""
    streams = [await door.open() for _ in range(3)]
    lines = []
    for reader, writer in streams:
        writer.write(door.said("GET", "/events", "one"))
        lines.append(await reader.readline())
    assert [line.split()[1] for line in lines] == [b"200", b"200", b"429"]
    reader, writer = await door.open()
    writer.write(door.said("GET", "/events", "two"))
    assert b" 200 " in await reader.readline()


async def test_refusals_of_a_known_caller_are_counted(door: Tight) -> None:
    """The first of a minute stand apart, under the id the caller got; the others are one number."""
    gateway = door.pair.a.gateway
    await gateway.refusals.flush()
    reader, writer = await door.open()
    for _ in range(APART + 20):
        writer.write(door.said("POST", "/messages?dry_run=true", "two", b'{"x":1}'))
        assert (await read_answer(reader)).status == 422
    await gateway.refusals.flush()
    rows = await gateway.queries.entries(typ="message.refused", actor=door.ids["two"], limit=200)
    found = [row for row in rows if row["outcome"] == "schema-invalid"]
    assert len(found) == APART + 1
    assert found[0]["obj"] == "20"


async def test_a_caller_over_its_rate_gets_429_and_another_is_answered(pair: Pair) -> None:
    """With Retry-After; refused calls cost more than others."""
    async with tight(pair, calls_per_s=100) as found:
        reader, writer = await found.open()
        for _ in range(1000):
            writer.write(found.said("POST", "/messages?dry_run=true", "one", b"{}"))
            answer = await read_answer(reader)
            if answer.status == 429:
                break
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert (await found.ask(found.said("GET", "/messages", "two"))).status == 200
        writer.transport.abort()


async def test_a_bucket_fills_again() -> None:
    """By the second, up to what two seconds give; a debt is paid first; who is forgotten begins anew."""
    now = [0.0]
    rates = Rates(10, lambda: now[0])
    assert [rates.spend("a", 5) for _ in range(5)] == [None] * 4 + [1]
    now[0] += 1
    assert rates.spend("a", 1) is None
    rates.charge("a", 1000)
    assert rates.spend("a", 1) == BURST_S
    assert rates.spend("b", 1) is None
    for n in range(MOST_CALLERS):
        rates.spend(f"c{n}", 1)
    assert rates.spend("a", 1) is None


async def test_slots_are_for_each_and_for_all() -> None:
    """Neither bound is passed, and what ends gives its place back."""
    slots = Slots("uploads", total=3, each=2)
    with slots.hold("a"), slots.hold("a"):
        with pytest.raises(TooManyRequests, match="of yours"), slots.hold("a"):
            pass
        with slots.hold("b"), pytest.raises(TooManyRequests, match="3 uploads"), slots.hold("c"):
            pass
        with slots.hold("c"):
            pass


async def test_a_flood_of_lines_is_cut() -> None:
    """The first of each sort in a minute, and then how many were left out."""
    now = [0.0]
    seldom = Seldom(2, lambda: now[0])
    assert [seldom.admit("x") for _ in range(4)] == [0, 0, None, None]
    assert seldom.admit("y") == 2
    now[0] = 61
    assert seldom.admit("x") == 0


# --- descriptors ------------------------------------------------------------------------------------


async def test_descriptors_are_shared_so_that_our_own_stay() -> None:
    """However few there are; health and partners come first."""
    for limit in (LEAST, 256, 512, 1024, 65_536):
        have = shared(limit, ops=128, exchange=256, api=512)
        assert sum(have.values()) <= limit - OWN
        assert min(have.values()) > 0
    assert shared(65_536, ops=128, exchange=256, api=512) == {"ops": 128, "exchange": 256, "api": 512}


async def test_the_soft_limit_is_raised_and_too_few_are_told() -> None:
    """To the hard one; below the least a start says what to do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 4096), hard))
        assert raise_limit() == min(hard, 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with pytest.raises(ConfigurationError, match="LimitNOFILE"):
        raise_limit(64)


# --- refused events ---------------------------------------------------------------------------------


def marked(count: int) -> dict[str, Any]:
    """Return the data of a referral with so many persons that are none, each known by its member."""
    return {**filled("case.referral/s1-sumarni"), "persons": [{"refusedMarker": ["x"]}] * count}


def left() -> int:
    """Return how many of them are in memory, without a collection: what holds a list is known to the collector."""
    return sum(1 for found in gc.get_objects() if type(found) is dict and "refusedMarker" in found)


@pytest.mark.parametrize("way", ["post", "batch", "dry run", "envelope", "large envelope"])
async def test_what_is_refused_leaves_nothing_in_memory(door: Tight, way: str) -> None:
    """No collection is needed: no error that is kept holds the frames of who made it."""
    body = example("case.referral/s1-sumarni") | {"data": marked(10_000 if way == "large envelope" else 50)}
    author = door.author
    receiver = door.pair.a.gateway.receiver
    gc.collect()
    gc.disable()
    try:
        if way == "post":
            assert (await door.ask(door.said("POST", "/messages", "one", orjson.dumps(body)))).status == 422
        elif way == "batch":
            raw = orjson.dumps({"messages": [body] * 3})
            assert (await door.ask(door.said("POST", "/messages/batch", "one", raw))).status == 202
        elif way == "dry run":
            raw = orjson.dumps(body)
            assert (await door.ask(door.said("POST", "/messages?dry_run=true", "one", raw))).status == 422
        else:
            letter = author.letter(*(author.event(data=body["data"]) for _ in range(2)))
            _, outcomes = await receiver.receive(receiver.open(letter.sealed.jwe, PARTNER))
            assert {outcome.problem for outcome in outcomes} == {"schema-invalid"}
        del body
        await door.ask(request("GET", "/docs"))
        assert left() == 0
    finally:
        gc.enable()


async def test_a_large_envelope_leaves_the_loop_to_others(door: Tight) -> None:
    """What the loop's own thread computes between two beats stays short while an envelope of faults is judged."""
    author = door.author
    letter = author.letter(*(author.event(data=marked(40_000)) for _ in range(3)))
    receiver = door.pair.a.gateway.receiver
    opened = receiver.open(letter.sealed.jwe, PARTNER)
    longest, over = 0.0, asyncio.Event()

    async def beat() -> None:
        nonlocal longest
        while not over.is_set():
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    beating = asyncio.create_task(beat())
    await receiver.receive(opened)
    over.set()
    await beating
    assert longest < 0.05, longest


def protocols() -> list[object]:
    """Return the TLS connections in memory, without a collection."""
    return [found for found in gc.get_objects() if type(found).__name__ == "SSLProtocol"]


async def test_connections_that_fail_leave_no_buffers(door: Tight) -> None:
    """A thousand handshakes that do not end must not hold a hundred MiB until somebody collects it."""
    await door.ask(request("GET", "/docs"))
    gc.collect()
    gc.disable()
    try:
        before = protocols()
        readers = []
        for _ in range(4):
            reader, writer = await door.plain()
            writer.write(b"\x16\x03\x01\x02\x00")
            writer.write_eof()
            readers.append(reader)
        for reader in readers:
            assert await ended(reader)
        assert [found for found in protocols() if found not in before] == []
    finally:
        gc.enable()
