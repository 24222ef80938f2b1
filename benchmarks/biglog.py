"""A log of millions of entries: what start, proof, search, verification and export cost beside it."""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.cli.demo_authority import Authority, Place, free_ports
from gateway.home import open_home
from gateway.keyring.notes import log_signers
from gateway.ledger.note import sign_checkpoint
from gateway.ports.common import Actor
from gateway.ports.log import SignedCheckpoint
from gateway.storage.log import LogRows
from gateway.storage.schema import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERIFIED: Final = 1_000_000
GROUP: Final = 256
GROUPS_A_COMMIT: Final = 64
LONGEST_S: Final = 900.0
ASKED: Final = 200
SEARCHED: Final = 20
EVERY_MS: Final = 100
A_CASE: Final = 12
CLIENTS: Final = 40


@dataclass(frozen=True, slots=True)
class Made:
    """What was put into the log, for whoever asks for it."""

    size: int
    from_ms: int

    def jti(self, number: int) -> str:
        """Return the id of a message."""
        return f"01990000-0000-7000-8000-{number:012x}"

    def case(self, number: int) -> str:
        """Return the case a message belongs to."""
        return f"XC-ID-2026-{number // A_CASE % 999_999:06}-0"

    def actor(self, number: int) -> str:
        """Return who submitted a message."""
        return f"acc_{number % CLIENTS:020}"


def fill(database: Path, signer: Callable[[int, bytes], str], made: Made, start: int) -> None:
    """Append entries `start` … as four a message, signed every 256; not durable, it is made anew at each run."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=OFF")
    log, digest = LogRows(connection, os.urandom), os.urandom(32)
    partner, gateway = Actor("kh.gdi", "partner"), Actor("gateway", "system")
    for first in range(start, made.size, GROUP * GROUPS_A_COMMIT):
        connection.execute("BEGIN IMMEDIATE")
        for group in range(first, min(first + GROUP * GROUPS_A_COMMIT, made.size), GROUP):
            for seq in range(group, min(group + GROUP, made.size)):
                number, at = seq // 4, made.from_ms + seq * EVERY_MS
                jti, case = made.jti(number), made.case(number)
                client = Actor(made.actor(number), "client")
                typ, actor, outcome = (
                    ("message.accepted", client, None), ("message.sent", gateway, None),
                    ("message.settled", partner, "accepted"), ("message.read", client, None),
                )[seq % 4]  # fmt: skip
                log.append(typ, actor=actor, obj=("message", jti), at=at, jti=jti, event=digest, case=case,
                           outcome=outcome)  # fmt: skip
            size, root = log.head()
            log.add_checkpoint(SignedCheckpoint(size, root, signer(size, root), made.from_ms + size * EVERY_MS))
            log.seal_group()
            log.group_committed()
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def bytes_read(pid: int) -> int:
    """Return how much a process has read from files and sockets since its start."""
    found = re.search(r"rchar: (\d+)", Path(f"/proc/{pid}/io").read_text("ascii"))
    assert found is not None
    return int(found[1])


async def measure(leaves: int, folder: Path, add: Callable[..., None]) -> None:
    """Make a home with so many entries in a new folder, and measure it; nothing else runs."""
    side = Authority(folder, Place("id.imigrasi", "log", "ID", *free_ports(3)))
    await side.init()
    settings, keys = open_home(side.home, environ={})
    signers = log_signers(keys, settings.log_origin)
    upgrade(settings.database_path)
    few = Made(min(VERIFIED, leaves), time.time_ns() // 1_000_000 - leaves * EVERY_MS)
    fill(settings.database_path, lambda size, root: sign_checkpoint(size, root, *signers), few, 0)
    await _verify(side, few.size, add)
    made = Made(leaves, few.from_ms)
    fill(settings.database_path, lambda size, root: sign_checkpoint(size, root, *signers), made, few.size)
    async with side:
        stored = settings.database_path.stat().st_size
        add(f"start with {leaves:,} entries", await side.start(), "s")
        assert side.process is not None
        read = bytes_read(side.process.pid)
        add("  read for it", read / 2**20, "MiB", note=f"the database has {stored / 2**20:,.0f} MiB")
        await side.add_account("client", "auditor", "auditor")
        await _proofs(side, made, add)
        await _searches(side, made, add)


async def _verify(side: Authority, size: int, add: Callable[..., None]) -> None:
    started = time.perf_counter()
    await side.command("audit", "verify", within_s=LONGEST_S)
    add(f"audit verify of {size:,} entries", time.perf_counter() - started, "s", note="database, with its columns")


def _chance() -> random.Random:
    """Ask the same each time."""
    return random.Random(1)  # noqa: S311 - to be repeatable, not safe


async def _proofs(side: Authority, made: Made, add: Callable[..., None]) -> None:
    chance, took = _chance(), []
    for _ in range(ASKED):
        index, size = sorted(chance.sample(range(1, made.size), 2))
        started = time.perf_counter()
        await side.raw(f"/api/v1/audit/proof?index={index}&size={size}", role="auditor")
        took.append((time.perf_counter() - started) * 1000)
    add("proof of an entry at any size, over HTTPS: p50", statistics.median(took), "ms")
    add("proof of an entry at any size, over HTTPS: p99", sorted(took)[int(len(took) * 0.99)], "ms")


def _questions(made: Made) -> Iterator[tuple[str, Callable[[int], str]]]:
    from gateway.primitives.times import format_ms

    def moment(at: int) -> str:
        return format_ms(made.from_ms + at * EVERY_MS)

    yield "message", lambda at: f"message={made.jti(at // 4)}"
    yield "case", lambda at: f"case={made.case(at // 4)}"
    yield "actor", lambda at: f"actor={made.actor(at)}"
    yield "actor that did nothing", lambda at: f"actor=acc_{at}"
    yield "object", lambda at: f"object={made.jti(at // 4)}"
    yield "type", lambda _: "type=message.read"
    yield "type that is not there", lambda _: "type=key.revoked"
    yield "outcome", lambda _: "outcome=accepted"
    yield "outcome that is not there", lambda at: f"outcome=rejected x{at}"
    yield "time", lambda at: f"since={moment(at)}&until={moment(at + 1000)}"
    yield "type, actor and time", lambda at: f"type=message.read&actor={made.actor(at)}&until={moment(at)}"


async def _searches(side: Authority, made: Made, add: Callable[..., None]) -> None:
    for name, query in _questions(made):
        chance, took, items = _chance(), [], 0
        for _ in range(SEARCHED):
            started = time.perf_counter()
            raw = await side.raw(f"/api/v1/audit/entries?limit=50&{query(chance.randrange(made.size))}", role="auditor")
            took.append((time.perf_counter() - started) * 1000)
            items += len(json.loads(raw)["items"])
        add(f"search by {name}: the slowest of {SEARCHED}", max(took), "ms", note=f"{items} entries found")
