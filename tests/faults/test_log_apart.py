"""Real `gateway serve` processes whose log is not the one the partner cosigned: a restored backup, a rebuilt log."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.errors import TransportError
from gateway.home import open_home
from gateway.ledger.witness import format_request
from gateway.protocol.ids import PartyId
from gateway.runtime import open_gateway
from tests.support.checker import check
from tests.support.kills import Served, make_homes, until
from tests.support.pair import example
from tests.support.rebuild import rebuilt, rebuilt_head
from tests.witness.stage import copied, restored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WITHIN_S = 60.0


class Both:
    """The two processes, and what is asked of them."""

    def __init__(self, a: Served, b: Served) -> None:
        self.a, self.b = a, b

    async def submit(self, side: Served) -> str:
        """Submit one message; return its id."""
        body = orjson.dumps({"messages": [example(side.bodies[0])]})
        results = await side._post(body, side.chance.randbytes(12).hex())
        assert results is not None
        jti: str = results[0]["id"]
        side.promised.add(jti)
        return jti

    async def exchanged(self) -> None:
        """Exchange one message each way, and wait until both logs are cosigned and every receipt is proved."""
        for side in (self.a, self.b):
            await self.submit(side)
        await until(lambda: not (self.a.waiting() + self.b.waiting()), WITHIN_S, "drained")
        await until(lambda: self.a.unwitnessed() == self.b.unwitnessed() == (0, 0), WITHIN_S, "proved")

    async def state(self, side: Served) -> dict[str, Any]:
        """Return whether anything is exchanged, and why not."""
        async with side.session() as session, session.get("http://gateway/control/v1/log/state") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def paused(self, side: Served, cause: str) -> dict[str, Any]:
        """Wait until exchange is paused for that cause."""
        async with asyncio.timeout(WITHIN_S):
            while (found := await self.state(side))["paused"] != cause:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.05)
        return found

    def check(self) -> None:
        """Run the checker over the stopped homes."""
        check(self.a.home, self.b.home, promised={"id.imigrasi": self.a.promised, "kh.gdi": self.b.promised})


def look(home: Path, statement: str) -> list[Any]:
    """Ask a database beside its process."""
    with closing(sqlite3.connect(f"file:{home}/data/gateway.db?mode=ro", uri=True)) as db:
        return db.execute(statement).fetchall()


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    """Two homes with a process each; whatever a test does, both processes end."""
    home_a, home_b = await make_homes(tmp_path)
    a = Served(home_a, random.Random(1), ("case.referral/s1-sumarni",))
    b = Served(home_b, random.Random(2), ("info.request/telephone-three-numbers",))
    await asyncio.gather(a.start(), b.start())
    try:
        yield Both(a, b)
    finally:
        for side in (a, b):
            if side.process is not None and side.process.poll() is None:
                side.kill()


@pytest.mark.timeout(300)
async def test_yesterdays_backup_is_read_only_until_the_newest_database_is_back(both: Both, tmp_path: Path) -> None:
    """As `docs/operations.md` has it: nothing is signed, sent or taken, the alarm is logged, and the repair repairs."""
    a, b = both.a, both.b
    await both.exchanged()
    await a.stop()
    copied(a.home, tmp_path / "yesterday")
    await a.start()
    await both.exchanged()
    await a.stop()
    copied(a.home, tmp_path / "newest")
    restored(a.home, tmp_path / "yesterday")
    [(signed,)] = look(a.home, "SELECT max(size) FROM checkpoints")

    await a.start()
    found = await both.paused(a, "behind")
    waiting = await both.submit(a)
    a.promised.discard(waiting)  # it was promised by the database that goes away again
    await both.submit(b)
    await until(lambda: bool(look(b.home, "SELECT 1 FROM attempts WHERE reason LIKE '%503%'")), WITHIN_S, "refused")

    assert "does not reach" in found["reason"]
    assert look(a.home, "SELECT max(size) FROM checkpoints") == [(signed,)]
    assert look(a.home, f"SELECT state FROM outbox WHERE jti = '{waiting}'") == [("queued",)]  # noqa: S608 - our own id
    assert [o.split()[0] for (o,) in look(a.home, "SELECT outcome FROM entries WHERE typ = 'audit.alarm'")] == [
        "behind"
    ]

    await a.stop()
    restored(a.home, tmp_path / "newest")
    await a.start()
    await both.exchanged()
    await asyncio.gather(a.stop(), b.stop())
    both.check()


@pytest.mark.timeout(300)
async def test_a_rebuilt_log_is_refused_kept_as_evidence_and_its_party_suspended(both: Both) -> None:
    """Its own software stops on it; whoever submits it all the same is convicted by its signature, for good."""
    a, b = both.a, both.b
    await both.exchanged()
    await a.stop()
    [(size, note)] = look(b.home, "SELECT size, note FROM witnessed")
    rebuilt(a.home)

    await a.start()
    found = await both.paused(a, "behind")
    assert "contradicts" in found["reason"]
    await a.stop()

    settings, keys = open_home(a.home, environ={})
    _, shown, path = rebuilt_head(a.home, size, size)
    async with open_gateway(settings, keys) as gateway, gateway.link(PartyId("kh.gdi")) as link:
        first = await link.add_checkpoint(format_request(size, path, shown))
        again = await link.add_checkpoint(format_request(size, path, shown))
    assert (first.status, first.body) == (409, b"")
    assert again.status == 403
    assert look(b.home, "SELECT reason, held, shown FROM disputes") == [("fork", note, shown)]
    alarms = look(b.home, "SELECT outcome FROM entries WHERE typ = 'audit.alarm'")
    assert alarms == [(f"fork {size} {size}",)]

    await b.stop()
    await b.start()
    assert look(b.home, "SELECT state FROM partners") == [("suspended",)]
    async with open_gateway(settings, keys) as gateway, gateway.link(PartyId("kh.gdi")) as link:
        with pytest.raises(TransportError):  # its authority is pinned no longer: the handshake fails
            await link.post_envelope(b"x")
    await b.stop()
