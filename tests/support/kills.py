"""Two real `gateway serve` processes under load, killed with -9 at random moments; then the checker.

Beside each stands an application that follows its inbox, and between them a wire that keeps what passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from gateway.home import InitOptions, init
from gateway.local import socket_path
from gateway.ports.common import Actor
from gateway.running import wall_clock
from gateway.runtime import open_gateway
from tests.support.checker import check
from tests.support.pair import example, free_port
from tests.support.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

GATEWAY = Path(sys.executable).with_name("gateway")
READY_WITHIN_S = 10.0  # the usual restart; a machine that does something else meanwhile may take longer
STARTED_WITHIN_S = 60.0
DRAINED_WITHIN_S = 120.0
PROVED_WITHIN_S = 120.0
MOST_WAITING = 60
LEAST_SEEN = 100_000
READ_EVERY_S = 1.0
LOOK_EVERY_S = 0.05  # a look costs a millisecond of the cores the two processes need
CANARY = "Zyxwvq Kanarienvogel, held in a guarded building near the border"


async def until(holds: Callable[[], bool], within_s: float, what: str) -> float:
    """Look at the real state until it holds; return how long that took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < within_s, f"{what}: not within {within_s:g} s"
        await asyncio.sleep(LOOK_EVERY_S)
    return time.monotonic() - started


async def make_homes(folder: Path, wires: dict[str, tuple[int, int]] | None = None) -> tuple[Path, Path]:
    """Make two homes on free ports of loopback that have enrolled one another.

    `wires` is filled with, by party, the port its card names and the one it listens on; else they are one port.
    """
    made = {}
    for party in ("id.imigrasi", "kh.gdi"):
        exchange, api, ops, named = (free_port() for _ in range(4))
        if wires is None:
            named = exchange
        else:
            wires[party] = named, exchange
        options = InitOptions(
            party=party, name=party, country=party[:2].upper(), environment="test",
            exchange_listen=f"127.0.0.1:{exchange}", exchange_url=f"https://127.0.0.1:{named}/bcx/v1",
            api_listen=f"127.0.0.1:{api}", ops_listen=f"127.0.0.1:{ops}",
        )  # fmt: skip
        made[party] = init(folder / party, options, now_ms=wall_clock())
    cards = {}
    for party, home in made.items():
        async with open_gateway(*home) as gateway:
            cards[party] = gateway.directory.mine
    for party, home in made.items():
        async with open_gateway(*home) as gateway:
            for other in cards.values():
                if other.party != party:
                    await gateway.enroller.enrol(other.raw, other.fingerprint, Actor("local", "operator"))
            _, token = await gateway.accounts.add("follower", "client", person=False, actor=Actor("local", "operator"))
            token_of(folder / party).write_text(token)
    return folder / "id.imigrasi", folder / "kh.gdi"


def token_of(home: Path) -> Path:
    """Return where the token of the system lies that follows a home's inbox."""
    return home.with_name(f"{home.name}.token")


@dataclass
class Served:
    """One home with a process that comes and goes."""

    home: Path
    chance: random.Random
    bodies: tuple[str, ...]
    promised: set[str] = field(default_factory=set)
    restarts: list[float] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    env: dict[str, str] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        """Everything it ever wrote."""
        return self.home.parent / f"{self.home.name}.log"

    @property
    def temporary(self) -> Path:
        """Where its temporary files go."""
        return self.home.parent / f"{self.home.name}.tmp"

    async def start(self) -> None:
        """Start `gateway serve`; return once it answers."""
        self.temporary.mkdir(exist_ok=True)
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - its handle must outlive this loop
                [GATEWAY, "--home", self.home, "serve"], stdout=output, stderr=output, cwd=self.home.parent,
                env={**os.environ, "TMPDIR": str(self.temporary), **self.env},
            )  # fmt: skip
        started = time.monotonic()
        while not await self._answers():
            assert self.process.poll() is None, self.output.read_text()[-3000:]
            assert time.monotonic() - started < STARTED_WITHIN_S, "not ready in time"
            await asyncio.sleep(LOOK_EVERY_S)
        self.restarts.append(time.monotonic() - started)
        assert resource.prlimit(self.process.pid, resource.RLIMIT_CORE) == (0, 0), "core dumps are on"

    async def _answers(self) -> bool:
        try:
            async with self.session() as session, session.get("http://gateway/api/v1/messages?limit=1") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    def kill(self) -> None:
        """Do as the power does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def stop(self) -> None:
        """Stop as an operator does; it must end by itself and in order."""
        assert self.process is not None
        process = self.process
        process.send_signal(signal.SIGTERM)
        await until(lambda: process.poll() is not None, 30, "SIGTERM")
        assert process.returncode == 0, self.output.read_text()[-3000:]

    def session(self) -> aiohttp.ClientSession:
        """Return a client of the control socket."""
        return aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(socket_path(self.home))), timeout=aiohttp.ClientTimeout(total=10)
        )

    def waiting(self) -> int:
        """Return how many messages still have to move or be told."""
        with closing(sqlite3.connect(f"file:{self.home}/data/gateway.db?mode=ro", uri=True)) as db:
            count: int = db.execute(
                "SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending', 'held') OR void = 'due'"
            ).fetchone()[0]
        return count

    def unwitnessed(self) -> tuple[int, int]:
        """Return how many entries are under no cosigned checkpoint, and how many receipts are not proved."""
        with closing(sqlite3.connect(f"file:{self.home}/data/gateway.db?mode=ro", uri=True)) as db:
            entries: int = db.execute(
                "SELECT (SELECT max(seq) + 1 FROM entries) - (SELECT coalesce(max(size), 0) FROM cosignatures)"
            ).fetchone()[0]
            receipts: int = db.execute(
                "SELECT count(*) FROM outbox WHERE partner_leaf IS NOT NULL AND proved_at IS NULL"
            ).fetchone()[0]
        return entries, receipts

    async def load(self, over: asyncio.Event) -> None:
        """Submit until told to stop; a POST without an answer is repeated under its key until it has one."""
        while not over.is_set():
            await until(lambda: over.is_set() or self.waiting() <= MOST_WAITING, DRAINED_WITHIN_S, "room for more")
            key = self.chance.randbytes(12).hex()
            messages = [self._body() for _ in range(self.chance.choice((1, 1, 5, 20)))]
            raw = orjson.dumps({"messages": messages})
            while (results := await self._post(raw, key)) is None:  # noqa: ASYNC110 - it comes back by itself
                await asyncio.sleep(0.02)
            assert all(result.get("id") for result in results), results
            self.promised.update(result["id"] for result in results)

    def _body(self) -> dict[str, Any]:
        body = example(self.chance.choice(self.bodies))
        if "summary" in body["data"]:
            body["data"]["summary"] = CANARY
        return body

    async def _post(self, raw: bytes, key: str) -> list[dict[str, Any]] | None:
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, orjson.JSONDecodeError):
            async with self.session() as session:
                url = "http://gateway/api/v1/messages/batch"
                async with session.post(url, data=raw, headers=headers) as answer:
                    if answer.status == 202:
                        results: list[dict[str, Any]] = orjson.loads(await answer.read())["results"]
                        return results
                    assert answer.status in {429, 503}, await answer.text()
        return None

    async def follow(self, over: asyncio.Event) -> None:
        """Read the inbox behind what was read before, until told to stop and nothing is left there."""
        after = ""
        while True:
            last = over.is_set()
            items = await self._inbox(after)
            self.shown += [item["id"] for item in items or ()]
            if items:
                after = items[-1]["cursor"]
            elif last and items is not None:
                return
            else:
                await asyncio.sleep(READ_EVERY_S)

    async def _inbox(self, after: str) -> list[dict[str, Any]] | None:
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, orjson.JSONDecodeError):
            async with self.session() as session:
                query = {"limit": "200", "purpose": "VICTIM_PROTECTION", **({"after": after} if after else {})}
                who = {"Authorization": f"Bearer {token_of(self.home).read_text()}"}
                async with session.get("http://gateway/api/v1/inbox", params=query, headers=who) as answer:
                    if answer.status == 200:
                        items: list[dict[str, Any]] = orjson.loads(await answer.read())["items"]
                        return items
        return None

    def left(self) -> list[Path]:
        """Return the files it left where personal data has no business: its output and its temporary files."""
        return [self.output, *(path for path in self.temporary.rglob("*") if path.is_file())]

    async def die(self, times: int) -> None:
        """Be killed `times` times, each at a random moment, and come back."""
        for _ in range(times):
            await asyncio.sleep(self.chance.uniform(0, 0.4))
            self.kill()
            await self.start()


async def experiment(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill each side `kills` times under load both ways; then let both come to rest, and check. Return the measures."""
    chance = random.Random(seed)
    wires: dict[str, tuple[int, int]] = {}
    home_a, home_b = await make_homes(folder, wires)
    a = Served(home_a, random.Random(chance.random()), ("case.referral/s1-sumarni",))
    b = Served(home_b, random.Random(chance.random()), ("info.request/telephone-three-numbers",))
    over, at_rest = asyncio.Event(), asyncio.Event()
    relays = [Relay(*wire) for wire in wires.values()]
    async with relays[0], relays[1]:
        try:
            await asyncio.gather(a.start(), b.start())
            loads = [asyncio.create_task(side.load(over)) for side in (a, b)]
            readers = [asyncio.create_task(side.follow(at_rest)) for side in (a, b)]
            await asyncio.gather(a.die(kills), b.die(kills))
            over.set()
            await asyncio.gather(*loads)
            drained = await until(lambda: not (a.waiting() + b.waiting()), DRAINED_WITHIN_S, "drained")
            at_rest.set()
            await asyncio.gather(*readers)
            proved = await until(lambda: a.unwitnessed() == b.unwitnessed() == (0, 0), PROVED_WITHIN_S, "proved")
            await asyncio.gather(a.stop(), b.stop())
        finally:
            for side in (a, b):
                if side.process is not None and side.process.poll() is None:
                    side.kill()
    wire = [bytes(seen) for relay in relays for seen in relay.seen]
    assert sum(map(len, wire)) > LEAST_SEEN, "the wire was not the one they used"
    check(
        home_a, home_b, promised={"id.imigrasi": a.promised, "kh.gdi": b.promised},
        shown={"id.imigrasi": a.shown, "kh.gdi": b.shown}, canaries=[CANARY.encode()],
        traces=[*a.left(), *b.left(), *wire],
    )  # fmt: skip
    restarts = sorted(a.restarts + b.restarts)
    assert restarts[len(restarts) // 2] < READY_WITHIN_S
    return {
        "messages": len(a.promised) + len(b.promised),
        "restart_max_s": round(restarts[-1], 2),
        "drained_s": round(drained, 2),
        "proved_s": round(proved, 2),
    }
