"""A real `gateway serve` under attack by raw sockets: an honest partner knocks all the while, and memory is watched.

`kh.gdi` is attacked; `id.imigrasi` is the partner that may be told to attack, `th.immigration` the honest one. Only
the attacked one runs: of the others there are the homes, whose keys the test holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.home import InitOptions, init
from gateway.ports.common import Actor
from gateway.protocol.ids import PartyId
from gateway.running import wall_clock
from gateway.runtime import open_gateway
from gateway.transport.tls import exchange_client_context
from tests.cli.terminal import Home
from tests.support.hostile import Author
from tests.support.pair import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

MIB = 1024 * 1024
PULSE = r"""
import json, select, socket, sys, time
place = (sys.argv[1], int(sys.argv[2]))
def connect():
    one = socket.create_connection(place)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one
to, found = connect(), []
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.002)[0]:
    started = time.monotonic()
    to.sendall(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
    answer = to.recv(4096)
    found.append(time.monotonic() - started)
    if b" 200 " not in answer[:20]:
        to = connect()
print(json.dumps(found))
"""
ATTACK = r"""
import socket, ssl, sys, threading, time
how, host, port, certificate, key, *said = sys.argv[1:]
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
tls.load_cert_chain(certificate, key)
def connect():
    return socket.create_connection((host, int(port)), 30)
def pour(head, size):
    try:
        to = tls.wrap_socket(connect())
        to.settimeout(120)
        to.sendall(head.encode("latin-1"))
        piece = b" " * 2**20
        while size > 2**20:
            to.sendall(piece)
            size -= 2**20
        to.sendall(piece[:size - 1])
    except OSError:
        return
    held.append(to)
    time.sleep(600)
held = []
if how == "idle":
    for _ in range(int(said[0])):
        try:
            held.append(connect())
        except OSError:
            pass
else:
    for _ in range(int(said[0])):
        threading.Thread(target=pour, args=(said[1], int(said[2])), daemon=True).start()
print("under way", flush=True)
time.sleep(600)
"""
HERE, ATTACKER, HONEST = PartyId("kh.gdi"), PartyId("id.imigrasi"), PartyId("th.immigration")
OPERATOR = Actor("local", "operator")
EXCHANGE = "/bcx/v1"


async def make_homes(folder: Path) -> dict[str, str]:
    """Make the attacked home with two partners, and those; return the tokens of its two clients by name."""
    made = {}
    for party in (HERE, ATTACKER, HONEST):
        ports = [free_port() for _ in range(3)]
        options = InitOptions(
            party=party, name=party, country=party[:2].upper(), environment="test",
            exchange_listen=f"127.0.0.1:{ports[0]}", exchange_url=f"https://127.0.0.1:{ports[0]}{EXCHANGE}",
            api_listen=f"127.0.0.1:{ports[1]}", ops_listen=f"127.0.0.1:{ports[2]}",
        )  # fmt: skip
        made[party] = init(folder / party, options, now_ms=wall_clock())
    cards = {}
    for party, home in made.items():
        async with open_gateway(*home) as gateway:
            cards[party] = gateway.directory.mine
    tokens: dict[str, str] = {}
    for party, home in made.items():
        async with open_gateway(*home) as gateway:
            for other, card in cards.items():
                if other != party and HERE in (other, party):
                    await gateway.enroller.enrol(card.raw, card.fingerprint, OPERATOR)
            if party == HERE:
                for name in ("attacker", "honest"):
                    _, tokens[name] = await gateway.accounts.add(name, "client", person=False, actor=OPERATOR)
    return tokens


@dataclass
class Answer:
    """What came back on a raw connection."""

    status: int
    headers: dict[str, str]
    body: bytes


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one answer that has a length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return Answer(
        int(head[0].split(" ")[1]), headers, await reader.readexactly(int(headers.get("content-length", "0")))
    )


def request(method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """Return the bytes of one request; a `Content-Length` that is given says what it likes."""
    said = {"Host": "gateway", **(headers or {})}
    if body and "Content-Length" not in said:
        said["Content-Length"] = str(len(body))
    return "\r\n".join([f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in said.items()), "", ""]).encode() + body


@dataclass
class Knocks:
    """How long `/healthz` and the honest partner's envelope took to be answered, while a block ran, in seconds."""

    health: list[float] = field(default_factory=list)
    envelopes: list[float] = field(default_factory=list)

    def worst(self) -> float:
        """Return the longest of them; there must be some of each."""
        assert self.health, "nobody knocked"
        assert self.envelopes, "nobody knocked"
        return max(*self.health, *self.envelopes)


class Siege:
    """The attacked process, and all that reaches it."""

    def __init__(self, folder: Path, tokens: dict[str, str], served: Any) -> None:
        self.folder = folder
        self.tokens = tokens
        self.served = served
        self.pid: int = served.process.pid
        self.authors = {party: Author(folder / party, HERE, wall_clock) for party in (ATTACKER, HONEST)}
        self._attacks: list[subprocess.Popen[bytes]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._api_tls = ssl.create_default_context(cafile=str(folder / HERE / "keys" / "ca.pem"))

    # --- how it is ---

    def memory(self, name: str = "VmRSS") -> float:
        """Return the resident memory now, or another line of its status, in MiB."""
        with Path(f"/proc/{self.pid}/status").open() as status:
            [line] = [line for line in status if line.startswith(f"{name}:")]
        return int(line.split()[1]) / 1024

    def forget_peak(self) -> None:
        """Have `VmHWM` begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def log_bytes(self) -> int:
        """Return how much it has written to its log."""
        return int(self.served.log.stat().st_size)

    def sent(self) -> set[str]:
        """Return the ids of the messages it accepted for sending."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / HERE}/data/gateway.db?mode=ro", uri=True)) as db:
            return {jti for (jti,) in db.execute("SELECT jti FROM outbox")}

    def entries(self) -> int:
        """Return how many entries its audit log has."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / HERE}/data/gateway.db?mode=ro", uri=True)) as db:
            count: int = db.execute("SELECT count(*) FROM entries").fetchone()[0]
        return count

    def cpu_s(self) -> float:
        """Return the CPU time it has used."""
        parts = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / 100

    # --- ways in ---

    def address(self, listener: str) -> tuple[str, int]:
        """Return where a listener is."""
        host, _, port = getattr(self.served, listener).rpartition(":")
        return host, int(port)

    def idle(self, listener: str, count: int) -> None:
        """Open TCP connections on which nothing is ever said."""
        self._attack("idle", listener, ATTACKER, str(count))

    def pour(self, listener: str, count: int, head: bytes, size: int) -> None:
        """Send so many bodies of `size` bytes at once, each but for its last byte."""
        self._attack("pour", listener, ATTACKER, str(count), head.decode("latin-1"), str(size))

    def _attack(self, how: str, listener: str, party: PartyId, *said: str) -> None:
        host, port = self.address(listener)
        tls = self.authors[party].keys.tls
        self._attacks.append(subprocess.Popen(
            [sys.executable, "-c", ATTACK, how, host, str(port), tls.client_certificate, tls.client_key, *said],
            stdout=subprocess.PIPE,
        ))  # fmt: skip
        out = self._attacks[-1].stdout
        assert out is not None
        assert out.readline() == b"under way\n"

    def hang_up(self) -> None:
        """End every connection that was opened and not closed."""
        for attack in self._attacks:
            attack.kill()
            attack.communicate()
        for writer in self._writers:
            writer.transport.abort()
        self._attacks, self._writers = [], []

    def partner_tls(self, party: PartyId) -> ssl.SSLContext:
        """Return the client context of a partner."""
        return exchange_client_context(
            self.authors[party].keys.tls, HERE, [self.authors[HONEST].partner_card.tls_ca], wall_clock
        )

    async def open(self, listener: str, party: PartyId = HONEST) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection to the end of its handshake."""
        tls = {"api": self._api_tls, "exchange": None, "ops": None}[listener]
        if listener == "exchange":
            tls = self.partner_tls(party)
        host, port = self.address(listener)
        reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=MIB)
        self._writers.append(writer)
        return reader, writer

    async def ask(self, listener: str, raw: bytes, party: PartyId = HONEST) -> Answer:
        """Send one request on a connection of its own and read the answer."""
        reader, writer = await self.open(listener, party)
        try:
            writer.write(raw)
            return await read_answer(reader)
        finally:
            writer.transport.abort()
            self._writers.remove(writer)

    async def health(self) -> Answer:
        """Ask whether it is alive."""
        return await self.ask("ops", request("GET", "/healthz"))

    async def envelope(self, party: PartyId = HONEST, *events: bytes) -> Answer:
        """Send an envelope of a partner."""
        author = self.authors[party]
        letter = author.letter(*(events or (author.event(),)))
        headers = {"Content-Type": "application/jose"}
        return await self.ask("exchange", request("POST", f"{EXCHANGE}/envelopes", headers, letter.sealed.jwe), party)

    def posting(self, name: str, body: bytes, path: str = "/api/v1/messages", **headers: str) -> bytes:
        """Return a POST of a client."""
        said = {
            "Authorization": f"Bearer {self.tokens[name]}", "Content-Type": "application/json",
            "Idempotency-Key": str(time.monotonic_ns()), **headers,
        }  # fmt: skip
        return request("POST", path, said, body)

    # --- the honest ---

    @contextlib.asynccontextmanager
    async def knocking(self, every_s: float = 0.1) -> AsyncIterator[Knocks]:
        """Ask for health and send an envelope, each again and again, while the block runs."""
        knocks, over = Knocks(), asyncio.Event()

        async def health() -> None:
            while not over.is_set():
                started = time.monotonic()
                assert (await self.health()).status == 200
                knocks.health.append(time.monotonic() - started)
                await asyncio.sleep(every_s)

        async def envelopes() -> None:
            while not over.is_set():
                author = self.authors[HONEST]
                letter = author.letter(author.event())
                raw = request("POST", f"{EXCHANGE}/envelopes", {"Content-Type": "application/jose"}, letter.sealed.jwe)
                started = time.monotonic()
                assert (await self.ask("exchange", raw)).status == 200
                knocks.envelopes.append(time.monotonic() - started)
                await asyncio.sleep(every_s)

        tasks = [asyncio.create_task(health()), asyncio.create_task(envelopes())]
        try:
            yield knocks
        finally:
            # Each ends with the answer it waits for: what the block did last is seen too.
            over.set()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    @contextlib.contextmanager
    def pulse(self) -> Iterator[list[float]]:
        """Ask for health every 2 ms from a process of its own while the block runs; the times are there afterwards."""
        host, port = self.address("ops")
        found: list[float] = []
        with subprocess.Popen(
            [sys.executable, "-c", PULSE, host, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as watch:
            assert watch.stdout is not None
            watch.stdout.readline()
            yield found
            out, _ = watch.communicate("over")
        found += json.loads(out)


@contextlib.contextmanager
def besieged(folder: Path, tokens: dict[str, str], *, files: int | None = None) -> Iterator[Siege]:
    """Serve the attacked home while the block runs; `files` is the soft limit of open files it is given."""
    home = Home(folder / HERE)
    with home.serve(files=files) as served:
        # Its partners do not run and cannot say what they cosigned last: without a word it would exchange nothing.
        home.run("audit", "vouch", "--yes", "--reason", "compared")
        yield Siege(folder, tokens, served)
