"""Two gateways in one process over an in-memory network, under a virtual clock and one seed.

Nothing here opens a socket or waits for real time: `run_virtual` jumps to the next thing that is due, and a
COMMIT runs where it is asked for, so that one seed gives one story. A `Process` can be killed as `kill -9`
does it: what was committed stays, everything else is gone, and the next `start` finds the home as it was.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import random
import selectors
import shutil
import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import orjson

from gateway.errors import GatewayError, MalformedRequest, PartnerError, StorageUnavailable, TransportError
from gateway.home import InitOptions, init, open_home
from gateway.ports.common import Actor
from gateway.ports.partner import Links, Reply, UploadReply
from gateway.ports.people import StoredAnswer
from gateway.protocol import members
from gateway.protocol.entries import read_question
from gateway.protocol.ids import MessageId, PartyId, parse_message_id
from gateway.protocol.stream import StreamItem, sign_ping, sign_stream
from gateway.running import Gateway, World, wall_clock
from gateway.runtime import open_gateway
from gateway.services.accounts import LOCAL_OPERATOR
from gateway.services.request import read_request
from gateway.services.submit import Accepted, Idempotency
from tests.support.remaking import HereAndNow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
    from types import TracebackType

    from gateway.errors import Refusal
    from gateway.ports.log import TimestampAuthority
    from gateway.protocol.attachment import AttachmentId, Upload

T = TypeVar("T")

EXAMPLES = Path(__file__).resolve().parents[2] / "schemas" / "examples"
ID, KH = PartyId("id.imigrasi"), PartyId("kh.gdi")
HOUR_MS = 3_600_000
TIMEOUT_S = 30.0
LONGEST_QUIET_S = 86_400.0
THREAD_S = 10.0
DRAINED_WITHIN_S = 600.0
# Steps that say something is durable already: a process can die there, but nothing can fail.
DONE = frozenset({"committed", "recorded"})


def example(name: str) -> dict[str, Any]:
    """Return a shipped POST body, such as `case.referral/s1-sumarni`; yours to change."""
    body: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text("utf-8"))
    return body


# --- virtual time -----------------------------------------------------------------------------------


class _Leaping(selectors.SelectSelector):
    """A selector that waits by moving the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > LONGEST_QUIET_S:
            # Readers of the database answer from threads, in real time.
            if found := super().select(THREAD_S):
                return found
            raise RuntimeError("nothing is due any more: the story waits for something that never comes")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time moves only when nothing is left to do."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)
        self.set_exception_handler(lambda _loop, _context: None)  # killed tasks die of what killed them

    def time(self) -> float:
        """Return virtual seconds."""
        return self._leaping.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Run it here and now: a thread would bring real time back."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - an executor hands every error to the future
            future.set_exception(error)
        return future


def run_virtual(story: Coroutine[Any, Any, T]) -> T:
    """Run a story in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(story)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


# --- homes --------------------------------------------------------------------------------------------


MEMORY = Path("/dev/shm")  # noqa: S108 - folders of our own are made in it


@lru_cache(maxsize=1)
def _own_folder() -> Path:
    made = tempfile.mkdtemp(prefix="bcx-", dir=MEMORY if MEMORY.is_dir() else None)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def scratch() -> Path:
    """Return a new folder in memory, where there is one: thousands of short lives need no disk."""
    return Path(tempfile.mkdtemp(dir=_own_folder()))


@lru_cache(maxsize=1)
def template() -> tuple[Path, int]:
    """Return a folder with two homes that know each other, and the time they were made."""
    now = wall_clock()
    folder = scratch()

    async def make() -> None:
        cards: dict[str, Any] = {}
        for turn in range(2):
            for party, country in ((ID, "ID"), (KH, "KH")):
                home = folder / party
                if turn == 0:
                    init(home, InitOptions(party, party, country, "test"), now_ms=now)
                settings, keys = open_home(home, environ={})
                async with open_gateway(settings, keys, World(clock=lambda: now)) as gateway:
                    if turn == 0:
                        cards[party] = gateway.directory.mine
                    else:
                        other = cards[KH if party == ID else ID]
                        await gateway.enroller.enrol(other.raw, other.fingerprint, Actor("local", "operator"))

    # In a thread: the first to ask may be a test that runs in a loop already.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, make()).result()
    return folder, now


def two_homes() -> tuple[Path, Path, int]:
    """Return fresh copies of two homes that know each other, and the time they were made."""
    folder, now = template()
    copy = scratch() / "homes"
    shutil.copytree(folder, copy)
    return copy / ID, copy / KH, now


# --- processes ----------------------------------------------------------------------------------------


class Killed(BaseException):
    """What a fault point raises to stop a process: nothing of ours may catch it."""


class Process:
    """One gateway as a process: started, stopped, or killed at a step; its home outlives it."""

    def __init__(self, home: Path, party: PartyId, network: Network, chance: random.Random) -> None:
        self.home = home
        self.party = party
        self.network = network
        self.chance = chance
        self.promised: set[str] = set()
        """Every message a caller got its 202 for."""
        self.steps: list[str] = []
        self.kill_at: int | None = None
        self.fail_at: int | None = None
        self.alive = False
        self.links: Links | None = None
        self.authority: TimestampAuthority | None = None
        self.skew_ms = 0
        """How far its wall clock is wrong."""
        self.slept_ms = 0
        """How long it slept: time that passed, and that nobody watched."""
        self.believes = False
        """Believes its wall clock, as gateways did that held it against nothing."""
        self.gateway: Gateway = None  # type: ignore[assignment]
        self._died = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._serving: set[asyncio.Task[Any]] = set()
        network.processes[party] = self

    def clock(self) -> int:
        """Return the time as this process reads it."""
        return self.network.clock() + self.skew_ms + self.slept_ms

    def elapsed(self) -> int:
        """Return the time since anything: nobody can set it, and it passes while the machine sleeps."""
        return self.network.clock() + self.slept_ms

    # --- life ---

    async def start(self) -> None:
        """Open the home and work."""
        self._died = asyncio.Event()
        self.gateway = None  # type: ignore[assignment]
        up = asyncio.Event()
        self.alive = True
        self._life = asyncio.create_task(self._live(up), name=self.party)
        waiting = asyncio.create_task(up.wait())
        dying = asyncio.create_task(self._died.wait())
        await asyncio.wait({waiting, dying, self._life}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        dying.cancel()
        if self._life.done():
            self._life.result()

    async def _live(self, up: asyncio.Event) -> None:
        settings, keys = open_home(self.home, environ={})
        world = World(
            clock=self.clock, elapsed=None if self.believes else self.elapsed,
            entropy=self.chance.randbytes, draw=self.chance.random,
            link=self.links or (lambda party: MemoryLink(self, party)), fault=self._step, authority=self.authority,
            remaker=HereAndNow(),
        )  # fmt: skip
        async with open_gateway(settings, keys, world) as gateway:
            self.gateway = gateway
            async with gateway.working():
                up.set()
                await asyncio.Event().wait()

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.fail_at is not None and len(self.steps) >= self.fail_at and name not in DONE:
            self.fail_at = None
            raise StorageUnavailable(f"failing at {name}")
        if self.kill_at == len(self.steps):
            self.die()
            raise Killed(name)

    def arm(self, *, kill_at: int | None = None, fail_at: int | None = None) -> None:
        """Count steps from now on; die, or fail, at the one named."""
        self.steps.clear()
        self.kill_at, self.fail_at = kill_at, fail_at

    def disarm(self) -> None:
        """Let every step pass."""
        self.kill_at = self.fail_at = None

    def die(self) -> None:
        """Do nothing more from this moment on."""
        self.alive = False
        self._died.set()
        if self.gateway is not None:
            self.gateway.store.writer._broken = StorageUnavailable("killed")

    async def bury(self) -> None:
        """Free what the kernel frees when a process is gone."""
        self.die()
        self.disarm()
        assert self._life is not None
        tasks = [self._life, *self._serving]
        if self.gateway is not None:
            writer = self.gateway.store.writer._task
            assert writer is not None
            writer.cancel()
            tasks.append(writer)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def until_dead(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` inside the process; Killed where it dies meanwhile: the caller never learns what came of it."""
        task = asyncio.ensure_future(work)
        dying = asyncio.create_task(self._died.wait())
        try:
            await asyncio.wait({task, dying}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            dying.cancel()
        if not task.done():
            task.cancel()
            raise Killed
        return task.result()

    async def stop(self) -> None:
        """Stop as SIGTERM does."""
        assert self._life is not None
        self._life.cancel()
        try:
            await self.until_dead(asyncio.wait({self._life}))
        except Killed:
            await self.bury()
        self.alive = False
        self._died.set()

    # --- what callers and partners do ---

    async def submit(self, *bodies: dict[str, Any]) -> list[Accepted]:
        """Have messages accepted; a refused one raises its RequestError."""
        found: list[Accepted | Refusal] = []

        def keep(results: Sequence[Accepted | Refusal]) -> StoredAnswer:
            found.extend(results)
            return StoredAnswer(bytes(32), 202, b"{}", None)

        await self.gateway.submitter.submit(
            [read_request(orjson.loads(orjson.dumps(body))) for body in bodies],
            LOCAL_OPERATOR,
            Idempotency("test", self.chance.randbytes(8).hex(), bytes(32)),
            keep,
        )
        accepted = []
        for result in found:
            if not isinstance(result, Accepted):
                raise result.error()
            accepted.append(result)
            self.promised.add(result.jti)
        return accepted

    def look(self, statement: str) -> list[Any]:
        """Ask the database beside the process: its own steps are counted, this is none of them."""
        with closing(sqlite3.connect(f"file:{self.home}/data/gateway.db?mode=ro", uri=True)) as db:
            return db.execute(statement).fetchall()

    def open_count(self) -> int:
        """Return how many messages still have to move, or have their number to be told."""
        statement = "SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending', 'held') OR void = 'due'"
        count: int = self.look(statement)[0][0]
        return count

    async def served(self, what: Callable[[Gateway], Awaitable[Reply]]) -> Reply:
        """Answer a partner's call in this process; TransportError where it dies meanwhile."""
        if not self.alive:
            raise TransportError("no connection")
        task = asyncio.ensure_future(self._answer(what))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        dying = asyncio.create_task(self._died.wait())
        try:
            await asyncio.wait({task, dying}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            dying.cancel()
        if not self.alive or not task.done() or task.cancelled():
            raise TransportError("the connection broke before the answer was whole")
        return task.result()

    async def _answer(self, what: Callable[[Gateway], Awaitable[Reply]]) -> Reply:
        try:
            return await what(self.gateway)
        except GatewayError as error:
            body = orjson.dumps({"type": f"urn:bcx:problem:{error.slug}", "status": error.status})
            return Reply(error.status, "application/problem+json", body, error.retry_after_s)


async def post_envelope(gateway: Gateway, party: PartyId, raw: bytes) -> Reply:
    """Do what the exchange listener does with an envelope, less the HTTP around it."""
    try:
        envelope = await gateway.contacts.reading(party, lambda: gateway.receiver.open(raw, party))
    except PartnerError as error:
        await gateway.refusals.note("envelope.refused", Actor(party, "partner"), error.slug)
        raise
    gateway.contacts.told_time(party, envelope.iat_ms)
    await gateway.contacts.heard(party)
    receipt, _ = await gateway.receiver.receive(envelope)
    return Reply(200, "application/jose+json", receipt, None)


async def _get_message(gateway: Gateway, party: PartyId, jti: str) -> Reply:
    await gateway.contacts.heard(party)
    body = await gateway.receiver.answer_again(party, parse_message_id(jti))
    return Reply(200, "application/jose+json", body, None)


async def _ping(gateway: Gateway, party: PartyId, raw: bytes) -> Reply:
    directory, now = gateway.directory, gateway.clock()
    ping = await gateway.contacts.reading(party, lambda: gateway.contacts.read_ping(party, raw))
    gateway.contacts.told_time(party, ping.iat_ms)
    await gateway.contacts.heard(party)
    body = sign_ping(iss=directory.me, aud=party, iat_ms=now, signer=gateway.keys.signer(now))
    return Reply(200, "application/jose+json", body, None)


# --- the network ----------------------------------------------------------------------------------------


class Network:
    """Loses, delays, repeats, reorders and corrupts, as `chance` says; `calm` does none of it."""

    def __init__(self, start_ms: int, chance: random.Random | None = None) -> None:
        self.chance = chance or random.Random(0)
        self.calm = chance is None
        self.cut = False
        self.answers_lost = False
        self.uploads: list[tuple[int | None, int]] = []
        """Where each upload began, and how many bytes of it were sent."""
        self.cut_uploads_at: list[int] = []
        """Where the next uploads are cut, one each."""
        self.processes: dict[PartyId, Process] = {}
        self.calls: list[tuple[PartyId, str]] = []
        self.seen: list[bytes] = []
        """Every body that went over the wire."""
        self.contact: float | None = None
        """When a partner first answered, since somebody last asked."""
        self.under_way = 0
        """Requests without an answer yet."""
        self._start_ms = start_ms
        self._repeats: set[asyncio.Task[Any]] = set()

    def clock(self) -> int:
        """Return the time every process reads."""
        return self._start_ms + int(asyncio.get_running_loop().time() * 1000)

    async def carry(
        self, source: Process, target: PartyId, name: str, body: bytes,
        what: Callable[[Gateway, bytes], Awaitable[Reply]],
    ) -> Reply:  # fmt: skip
        """Carry one request and its answer."""
        self.under_way += 1
        try:
            return await self._carry(source, target, name, body, what)
        finally:
            self.under_way -= 1

    async def _carry(
        self, source: Process, target: PartyId, name: str, body: bytes,
        what: Callable[[Gateway, bytes], Awaitable[Reply]],
    ) -> Reply:  # fmt: skip
        self.calls.append((source.party, name))
        self.seen.append(body)
        peer = self.processes[target]
        rough = not self.calm
        await asyncio.sleep(self.chance.uniform(0.001, 0.05) if rough else 0.001)
        if self.cut or (rough and self.chance.random() < 0.12):
            await asyncio.sleep(self.chance.uniform(0, TIMEOUT_S))
            raise TransportError("no answer in time")
        if rough and body and self.chance.random() < 0.05:
            body = flipped(body, self.chance.randrange(len(body)))
        if rough and self.chance.random() < 0.15:
            self._repeat(peer, body, what)
        reply = await peer.served(lambda gateway: what(gateway, body))
        self.seen.append(reply.body)
        if reply.status == 200 and name in {"envelope", "ping"} and not (self.cut or self.answers_lost):
            self.contact = self.contact or asyncio.get_running_loop().time()
        await asyncio.sleep(self.chance.uniform(0.001, 0.05) if rough else 0.001)
        if self.cut or self.answers_lost or (rough and self.chance.random() < 0.12):
            await asyncio.sleep(self.chance.uniform(0, TIMEOUT_S))
            raise TransportError("no answer in time")
        if rough and self.chance.random() < 0.05:
            return Reply(
                reply.status, reply.media_type, flipped(reply.body, self.chance.randrange(len(reply.body))), None
            )
        return reply

    def _repeat(self, peer: Process, body: bytes, what: Callable[[Gateway, bytes], Awaitable[Reply]]) -> None:
        """Deliver the same bytes once more, whenever: behind others, or long after."""
        delay = self.chance.choice((0.0, 0.02, 5.0, 300.0))

        async def again() -> None:
            await asyncio.sleep(delay)
            try:
                await peer.served(lambda gateway: what(gateway, body))
            except TransportError:
                return

        task = asyncio.ensure_future(again())
        self._repeats.add(task)
        task.add_done_callback(self._repeats.discard)

    async def quiet(self) -> None:
        """Wait for the repeats still under way."""
        while self._repeats:
            await asyncio.wait(set(self._repeats))


def flipped(body: bytes, place: int, mask: int = 1) -> bytes:
    """Return `body` with one bit, or the bits of `mask`, turned over."""
    return body[:place] + bytes([body[place] ^ mask]) + body[place + 1 :]


class MemoryLink:
    """`ports.PartnerLink` over a `Network`."""

    def __init__(self, source: Process, target: PartyId) -> None:
        self._source = source
        self._target = target

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def post_envelope(self, jwe: bytes) -> Reply:
        """POST envelopes."""
        return await self._call("envelope", jwe, lambda g, body: post_envelope(g, self._source.party, body))

    async def get_message(self, jti: MessageId) -> Reply:
        """GET messages/{jti}."""
        return await self._call("message", b"", lambda g, _body: _get_message(g, self._source.party, jti))

    async def post_entries(self, question: bytes) -> Reply:
        """POST messages/entries."""

        async def entries(gateway: Gateway, body: bytes) -> Reply:
            await gateway.contacts.heard(self._source.party)
            try:
                asked = read_question(body)
            except members.Unfit as unfit:
                raise MalformedRequest(str(unfit)) from None
            answer = await gateway.witnessing.log.entries(self._source.party, asked)
            return Reply(200, "application/json", answer, None)

        return await self._call("entries", question, entries)

    async def get_stream(self, start: int, limit: int) -> Reply:
        """GET stream."""

        async def stream(gateway: Gateway, _body: bytes) -> Reply:
            await gateway.contacts.heard(self._source.party)
            rows = await gateway.store.write(lambda tx: tx.inbox.stream(self._source.party, start, limit))
            items = [StreamItem(r.stream_seq, MessageId(r.jti), r.digest, r.status) for r in rows if r.jti is not None]
            now = gateway.clock()
            body = sign_stream(
                iss=gateway.directory.me, aud=self._source.party, iat_ms=now, from_seq=start, items=items,
                signer=gateway.keys.signer(now),
            )  # fmt: skip
            return Reply(200, "application/jose+json", body, None)

        return await self._call("stream", b"", stream)

    async def get_card(self) -> Reply:
        """GET card."""

        async def card(gateway: Gateway, _body: bytes) -> Reply:
            await gateway.contacts.heard(self._source.party)
            return Reply(200, "application/jose+json", gateway.directory.mine.raw, None)

        return await self._call("card", b"", card)

    async def ping(self, body: bytes) -> Reply:
        """POST ping."""
        return await self._call("ping", body, lambda g, sent: _ping(g, self._source.party, sent))

    async def add_checkpoint(self, body: bytes) -> Reply:
        """POST witness/add-checkpoint."""

        async def add(gateway: Gateway, sent: bytes) -> Reply:
            answer = await gateway.witnessing.witness.add_checkpoint(self._source.party, sent)
            media_type = (answer.content_type or "").partition(";")[0]
            return Reply(answer.status, media_type, answer.body.encode(), None)

        return await self._call("add-checkpoint", body, add)

    async def get_witnessed(self, log_id: str) -> Reply:
        """GET witness/{log id}/checkpoint."""

        async def witnessed(gateway: Gateway, _body: bytes) -> Reply:
            found = await gateway.witnessing.witness.checkpoint(log_id)
            return Reply(404 if found is None else 200, "text/plain", (found or "").encode(), None)

        return await self._call("witnessed", b"", witnessed)

    async def get_log(self, path: str) -> Reply:
        """GET log/{path}: the checkpoint, or a tile."""

        async def tile(gateway: Gateway, _body: bytes) -> Reply:
            if path == "checkpoint":
                return Reply(200, "text/plain", gateway.witnessing.log.checkpoint().encode(), None)
            return Reply(200, "application/octet-stream", await gateway.witnessing.log.tile(path), None)

        return await self._call("tile", b"", tile)

    async def get_upload(self, name: AttachmentId) -> UploadReply:
        """HEAD attachments/{id}."""

        async def state(gateway: Gateway, _body: bytes) -> Reply:
            found = await gateway.attachments.deposits.state(self._source.party, name)
            return _upload(found) if found is not None else Reply(404, "", b"", None)

        return _read_upload(await self._call("upload-state", b"", state))

    async def send_upload(
        self, name: AttachmentId, *, length: int, offset: int | None, pieces: AsyncIterator[bytes]
    ) -> UploadReply:
        """PUT attachments/{id}, or PATCH: on a rough network it may be cut anywhere."""
        body = b"".join([piece async for piece in pieces])
        network = self._source.network
        network.uploads.append((offset, len(body)))
        cut = network.cut_uploads_at.pop(0) if network.cut_uploads_at else None
        if cut is None and not network.calm and network.chance.random() < 0.3:
            cut = network.chance.randrange(len(body))

        async def send(gateway: Gateway, sent: bytes) -> Reply:
            async def arriving() -> AsyncIterator[bytes]:
                yield sent if cut is None else sent[:cut]
                if cut is not None:
                    raise TransportError("the connection broke")

            deposits = gateway.attachments.deposits
            if offset is None:
                return _upload(await deposits.put(self._source.party, name, length, arriving()))
            return _upload(await deposits.patch(self._source.party, name, offset, arriving()))

        reply = await self._call("upload", body, send)
        if cut is not None:
            raise TransportError("the connection broke")
        return _read_upload(reply)

    async def _call(self, name: str, body: bytes, what: Callable[[Gateway, bytes], Awaitable[Reply]]) -> Reply:
        async with asyncio.timeout(TIMEOUT_S * 3):
            return await self._source.network.carry(self._source, self._target, name, body, what)


def _upload(found: Upload) -> Reply:
    return Reply(204, "", f"{found.offset} {found.length}".encode(), None)


def _read_upload(reply: Reply) -> UploadReply:
    if reply.status >= 400:
        return UploadReply(reply.status, None, None, reply.retry_after_s)
    try:
        offset, length = map(int, reply.body.split())
    except ValueError:  # corrupted on its way
        raise TransportError("the answer cannot be read") from None
    return UploadReply(200, offset, length, None)


class Two:
    """id.imigrasi (`a`) and kh.gdi (`b`) on one network, from fresh homes, started."""

    def __init__(self, seed: int | None = None) -> None:
        chance = random.Random(seed)
        home_a, home_b, now = two_homes()
        # A while after their keys: a start by a clock before them is refused, and seeds put clocks back.
        self.network = Network(now, None) if seed is None else Network(now + HOUR_MS, chance)
        self.a = Process(home_a, ID, self.network, random.Random(chance.random()))
        self.b = Process(home_b, KH, self.network, random.Random(chance.random()))
        self.canaries: tuple[bytes, ...] = ()

    @property
    def both(self) -> tuple[Process, Process]:
        """Both."""
        return self.a, self.b

    async def start(self) -> None:
        """Start both."""
        for process in self.both:
            await process.start()

    async def revive(self) -> None:
        """Start again whichever is dead."""
        for process in self.both:
            if not process.alive:
                await process.bury()
                await process.start()

    async def drained(self, within_s: float = DRAINED_WITHIN_S) -> None:
        """Heal everything and wait until nothing has to move: ten minutes from the first contact (checker 6)."""
        network, time = self.network, asyncio.get_running_loop().time
        network.calm, network.cut, network.answers_lost = True, False, False
        healed = time()
        network.contact = None
        while True:
            await asyncio.sleep(1)
            await self.revive()
            if not sum(process.open_count() for process in self.both):
                return
            # Where nobody was lost nobody knocks: then the time runs from the healing.
            assert time() - (network.contact or healed) <= within_s, "not drained in time"

    async def stop(self) -> None:
        """Stop both in order and throw their network away."""
        await self.network.quiet()
        for process in self.both:
            await process.stop()

    def discard(self) -> None:
        """Remove both homes."""
        shutil.rmtree(self.a.home.parent.parent)
