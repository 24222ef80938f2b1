"""The floor: what each operation a message needs costs alone, on this machine, in this run.

Operations are measured hot, in interleaved rounds, as CPU time of this process; those that wait for a disk or a
peer also as time on the clock. Nothing of the gateway's own code is in them.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import os
import sqlite3
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import jsonschema_rs
import orjson
import pybase64
from aiohttp import web
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.record import make_record, schema
from benchmarks.sides import Use

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROUNDS: Final = 5
ROUND_S: Final = 0.02
GROUP: Final = 100
EVENT_BYTES: Final = 4700
ENTRY_BYTES: Final = 400
INFO: Final = b"floor"

Operation = Callable[[], object]


def measure(operations: Mapping[str, Operation], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median CPU time of each operation, µs; rounds are interleaved, so that all meet the same noise."""
    counts: dict[str, int] = {}
    for name, operation in operations.items():
        operation()
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < ROUND_S / 2:
            operation()
            done += 1
        counts[name] = max(1, done * 2)
    found: dict[str, list[float]] = {name: [] for name in operations}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, operation in operations.items():
                started_ns = time.process_time_ns()
                for _ in range(counts[name]):
                    operation()
                found[name].append((time.process_time_ns() - started_ns) / counts[name] / 1000)
    finally:
        gc.enable()
    return {name: statistics.median(values) for name, values in found.items()}


def crypto() -> dict[str, Operation]:
    """Return what an envelope and its receipt ask of the crypto library."""
    event = os.urandom(EVENT_BYTES)
    payload = os.urandom(300)
    classic, quantum = ed25519.Ed25519PrivateKey.generate(), mldsa.MLDSA65PrivateKey.generate()
    classic_public, quantum_public = classic.public_key(), quantum.public_key()
    classic_signature, quantum_signature = classic.sign(payload), quantum.sign(payload)
    key = hpke.MLKEM768X25519PrivateKey(mlkem.MLKEM768PrivateKey.generate(), x25519.X25519PrivateKey.generate())
    public = key.public_key()
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    small = suite.encrypt(payload[:32], public, info=INFO)
    aes, nonce = AESGCM(os.urandom(32)), os.urandom(12)
    whole = event * GROUP
    sealed = aes.encrypt(nonce, whole, None)
    text = pybase64.urlsafe_b64encode(sealed)
    return {
        "ed25519 sign": lambda: classic.sign(payload),
        "ed25519 verify": lambda: classic_public.verify(classic_signature, payload),
        "ml-dsa-65 sign": lambda: quantum.sign(payload),
        "ml-dsa-65 verify": lambda: quantum_public.verify(quantum_signature, payload),
        "x-wing seal": lambda: suite.encrypt(payload[:32], public, info=INFO),
        "x-wing open": lambda: suite.decrypt(small, key, info=INFO),
        "aes-256-gcm seal, 100 events": lambda: aes.encrypt(nonce, whole, None),
        "aes-256-gcm open, 100 events": lambda: aes.decrypt(nonce, sealed, None),
        "base64 encode, 100 events": lambda: pybase64.urlsafe_b64encode(sealed),
        "base64 decode, 100 events": lambda: pybase64.b64decode(text, b"-_", validate=True),
        "sha256 of an event": lambda: hashlib.sha256(event).digest(),
        "sha256 of a log entry": lambda: hashlib.sha256(event[:ENTRY_BYTES]).digest(),
    }


def documents() -> dict[str, Operation]:
    """Return what reading and writing a record costs."""
    record = make_record(1)
    raw = orjson.dumps(record)
    validator = jsonschema_rs.Draft202012Validator(orjson.loads(schema()))
    receipt = orjson.dumps([
        {"event": base64.urlsafe_b64encode(os.urandom(32)).decode(), "status": "accepted", "leaf": at,
         "receivedAt": "2026-11-24T09:15:30.000Z"}
        for at in range(GROUP)
    ])  # fmt: skip
    parsed = orjson.loads(receipt)
    return {
        "parse a record": lambda: orjson.loads(raw),
        "write a record": lambda: orjson.dumps(record),
        "schema check of a record": lambda: validator.is_valid(record),
        "write a receipt of 100": lambda: orjson.dumps(parsed),
        "read a receipt of 100": lambda: orjson.loads(receipt),
    }


@dataclass(frozen=True, slots=True)
class Commit:
    """A durable transaction: CPU and clock time per row, µs."""

    cpu_us: float
    wall_us: float


def commits(folder: Path, share: float) -> dict[str, Commit]:
    """Measure SQLite (WAL, synchronous=FULL) by rows a transaction."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    for pragma in ("page_size=16384", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.executescript(
        "CREATE TABLE message (id INTEGER PRIMARY KEY, jti TEXT UNIQUE, state TEXT, at INTEGER);"
        "CREATE TABLE body (id INTEGER PRIMARY KEY, event BLOB);"
        "CREATE TABLE entry (id INTEGER PRIMARY KEY, data BLOB);"
    )
    event, entry = os.urandom(EVENT_BYTES), os.urandom(ENTRY_BYTES)
    number = 0

    def store(rows: int) -> None:
        nonlocal number
        keys = range(number + 1, number + rows + 1)
        number += rows
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO body VALUES (?, ?)", [(key, event) for key in keys])
        connection.executemany("INSERT INTO message VALUES (?, ?, 'queued', 0)", [(key, f"{key:036}") for key in keys])
        connection.executemany("INSERT INTO entry VALUES (?, ?)", [(key, entry) for key in keys])
        connection.execute("COMMIT")

    def settle(rows: int) -> None:
        keys = range(number - rows + 1, number + 1)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "UPDATE message SET state = 'accepted', at = ? WHERE jti = ?", [(1, f"{k:036}") for k in keys]
        )
        connection.executemany("INSERT INTO entry (data) VALUES (?)", [(entry,) for _ in keys])
        connection.execute("COMMIT")

    found = {}
    for rows, times in ((1, 60), (10, 20), (GROUP, 12)):
        for name, work in (("store", store), ("settle", settle)):
            cpu, wall = [], []
            for _ in range(max(1, int(times * share))):
                started, used = time.perf_counter(), time.process_time()
                work(rows)
                wall.append((time.perf_counter() - started) / rows * 1e6)
                cpu.append((time.process_time() - used) / rows * 1e6)
            found[f"{name} {rows}"] = Commit(statistics.median(cpu), statistics.median(wall))
            connection.execute("DELETE FROM entry WHERE id > ?", (number,))
    connection.close()
    return found


@dataclass(frozen=True, slots=True)
class Post:
    """An HTTPS request with its answer: CPU of either side and time on the clock, µs."""

    client_us: float
    server_us: float
    wall_us: float


async def posts(certificate: Path, key: Path, ca: Path, share: float) -> dict[str, Post]:
    """Measure HTTPS on loopback between two processes: TLS 1.3, kept alive, an aiohttp server that only reads."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.floor", str(certificate), str(key), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        port = int(await server.stdout.readline())
        trust = ssl.create_default_context(cafile=ca)
        connector = aiohttp.TCPConnector(ssl=trust, limit=64)
        async with aiohttp.ClientSession(connector=connector) as session:
            found = {}
            for name, size, in_flight, count in (
                ("one at a time", EVENT_BYTES, 1, 300), ("64 in flight", EVENT_BYTES, 64, 3000),
                ("100 records", EVENT_BYTES * GROUP, 2, 150),
            ):  # fmt: skip
                count = max(in_flight, int(count * share))  # noqa: PLW2901 - as many as this run asks for
                body, url = os.urandom(size), f"https://127.0.0.1:{port}/"
                await _post(session, url, body, in_flight, in_flight * 2)
                used, other, started = time.process_time(), Use.of(server.pid).cpu_us, time.perf_counter()
                await _post(session, url, body, in_flight, count)
                found[name] = Post(
                    (time.process_time() - used) * 1e6 / count,
                    (Use.of(server.pid).cpu_us - other) / count,
                    (time.perf_counter() - started) * 1e6 / count,
                )
            return found
    finally:
        server.terminate()
        await server.wait()


async def _post(session: aiohttp.ClientSession, url: str, body: bytes, in_flight: int, count: int) -> None:
    left = count

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            async with session.post(url, data=body) as answer:
                await answer.read()

    await asyncio.gather(*(client() for _ in range(in_flight)))


async def _serve(certificate: str, key: str) -> None:
    async def read(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=202, body=b"{}")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    app = web.Application(client_max_size=16 * 2**20)
    app.router.add_post("/", read)
    runner = web.AppRunner(app, access_log=None, read_bufsize=2**20)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    server: Any = site._server  # noqa: SLF001 - aiohttp shows the bound port nowhere else
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class Floor:
    """Everything measured, and the sums that stand beside the figures."""

    operations: Mapping[str, float]
    commits: Mapping[str, Commit]
    posts: Mapping[str, Post]

    def wire_us(self, fill: float) -> float:
        """Return seal, open, receipt and its reading, both sides, per message in envelopes of `fill`."""
        op = self.operations
        an_envelope = 2 * sum(op[name] for name in (
            "ed25519 sign", "ed25519 verify", "ml-dsa-65 sign", "ml-dsa-65 verify",
        )) + op["x-wing seal"] + op["x-wing open"]  # fmt: skip
        a_hundred = sum(op[name] for name in (
            "aes-256-gcm seal, 100 events", "aes-256-gcm open, 100 events", "base64 encode, 100 events",
            "base64 decode, 100 events", "write a receipt of 100", "read a receipt of 100",
        ))  # fmt: skip
        return an_envelope / fill + a_hundred / GROUP + 2 * op["sha256 of an event"] + op["parse a record"]

    def message_us(self, *, fill: float, single: bool) -> float:
        """Return the whole way of a message, CPU of both sides: posted, stored, sent, stored, receipted, settled."""
        op = self.operations
        asked = self.posts["64 in flight"].server_us if single else self.posts["100 records"].server_us / GROUP
        sent = self.posts["100 records"]
        documents = op["parse a record"] + op["write a record"] + 2 * op["schema check of a record"]
        rows = 2 * self.commits[f"store {GROUP}"].cpu_us + self.commits[f"settle {GROUP}"].cpu_us
        hashes = 3 * op["sha256 of a log entry"]
        return self.wire_us(fill) + asked + (sent.client_us + sent.server_us) / GROUP + documents + rows + hashes

    def answer_ms(self) -> float:
        """Return the time to a 202 with nothing else running."""
        op = self.operations
        work = op["parse a record"] + op["write a record"] + op["schema check of a record"]
        return (self.posts["one at a time"].wall_us + self.commits["store 1"].wall_us + work) / 1000

    def accepted_ms(self) -> float:
        """Return the time to a verified receipt with nothing else running."""
        post, op = self.posts["one at a time"], self.operations
        stored = self.commits["store 1"].wall_us + 2 * self.commits["settle 1"].wall_us
        judged = op["parse a record"] + op["schema check of a record"]
        return self.answer_ms() + (post.wall_us + stored + self.wire_us(1) + judged) / 1000


async def measure_all(folder: Path, certificate: Path, key: Path, ca: Path, *, thorough: bool = True) -> Floor:
    """Measure everything; takes some seconds. Else one round of each: a run of few messages is no measurement."""
    rounds, share = (ROUNDS, 1.0) if thorough else (1, 0.1)
    operations = measure(crypto() | documents(), rounds)
    return Floor(operations, commits(folder, share), await posts(certificate, key, ca, share))


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:3]))
