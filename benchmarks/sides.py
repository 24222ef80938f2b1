"""The two gateways under measurement, and what the kernel says of a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
import time
import urllib.request
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks import record
from gateway.cli.demo_authority import Authority, Place, free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TICKS: Final = os.sysconf("SC_CLK_TCK")
LOOK_EVERY_S: Final = 0.1
STALLED_S: Final = 60.0
_OUTCOMES: Final = re.compile(r'^gateway_outcomes_total\{direction="(\w+)",status="(\w+)"\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Use:
    """CPU time of a process so far, user and kernel, in µs."""

    cpu_us: float

    @classmethod
    def of(cls, pid: int) -> Use:
        """Read it."""
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123 - a file of the kernel, read often
            fields = stat.read().rpartition(") ")[2].split()
        return cls((int(fields[11]) + int(fields[12])) / TICKS * 1e6)


def peak_mib(pid: int) -> float:
    """Return the most memory a process ever held, MiB resident."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123 - a file of the kernel, read often
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    assert found is not None
    return int(found[1]) / 1024


@dataclass(frozen=True, slots=True)
class Sides:
    """id.imigrasi sends, kh.gdi receives."""

    folder: Path
    a: Authority
    b: Authority

    @property
    def pids(self) -> tuple[int, int]:
        """Return both process ids."""
        assert self.a.process is not None
        assert self.b.process is not None
        return self.a.process.pid, self.b.process.pid

    def settled(self) -> int:
        """Return how many messages of A came to their end since its process started."""
        return outcomes(self.a, "out")

    async def wait_settled(self, count: int) -> None:
        """Wait until A counts so many; raise TimeoutError where nothing moves any more."""
        seen, since = -1, time.monotonic()
        while (now := await asyncio.to_thread(self.settled)) < count:
            if now != seen:
                seen, since = now, time.monotonic()
            if time.monotonic() - since > STALLED_S:
                raise TimeoutError(f"{count - now} messages did not come to their end")
            await asyncio.sleep(LOOK_EVERY_S)

    def stored(self) -> tuple[int, int, int]:
        """Return messages accepted at A, distinct ones accepted at B, and B's log entries that say so."""
        with _read_only(self.a) as a, _read_only(self.b) as b:
            return (
                a.execute("SELECT count(*) FROM outbox WHERE state = 'accepted'").fetchone()[0],
                b.execute("SELECT count(DISTINCT jti) FROM inbox WHERE status = 'accepted'").fetchone()[0],
                b.execute(
                    "SELECT count(*) FROM entries WHERE typ = 'message.received' AND outcome = 'accepted'"
                ).fetchone()[0],
            )

    def unproved(self) -> tuple[int, float]:
        """Return how many answered messages A has not seen in B's log yet, and for how long the oldest waits, s."""
        with _read_only(self.a) as a:
            count, oldest = a.execute(
                "SELECT count(*), min(settled_at) FROM outbox WHERE partner_leaf IS NOT NULL AND proved_at IS NULL"
            ).fetchone()
        return count, time.time() - oldest / 1000 if count else 0.0

    async def wait_proved(self) -> None:
        """Wait until A has seen them all; raise TimeoutError where nothing moves any more."""
        seen, since = -1, time.monotonic()
        while left := (await asyncio.to_thread(self.unproved))[0]:
            if left != seen:
                seen, since = left, time.monotonic()
            if time.monotonic() - since > STALLED_S * 2:
                raise TimeoutError(f"{left} receipts were not proved")
            await asyncio.sleep(LOOK_EVERY_S)

    def forget_proofs(self, count: int) -> None:
        """Have A prove the newest messages anew, and nothing else with it: so it is seen what proving costs."""
        with contextlib.closing(sqlite3.connect(f"{self.a.home}/data/gateway.db", timeout=30)) as a, a:
            a.execute(
                "UPDATE outbox SET proved_at = NULL WHERE id IN "
                "(SELECT id FROM outbox WHERE proved_at IS NOT NULL ORDER BY id DESC LIMIT ?)", (count,)
            )  # fmt: skip

    def heads(self) -> tuple[int, int]:
        """Return how many checkpoints both signed, and had cosigned."""
        question = "SELECT (SELECT count(*) FROM checkpoints), (SELECT count(*) FROM cosignatures)"
        with _read_only(self.a) as a, _read_only(self.b) as b:
            (signed_a, cosigned_a), (signed_b, cosigned_b) = (one.execute(question).fetchone() for one in (a, b))
        return signed_a + signed_b, cosigned_a + cosigned_b

    def envelopes(self) -> int:
        """Return how many envelopes A sent."""
        with _read_only(self.a) as a:
            count: int = a.execute("SELECT count(*) FROM envelopes WHERE direction = 'out'").fetchone()[0]
            return count


@contextlib.contextmanager
def _read_only(authority: Authority):  # type: ignore[no-untyped-def]  # noqa: ANN202 - contextlib types it
    connection = sqlite3.connect(f"file:{authority.home}/data/gateway.db?mode=ro", uri=True)
    try:
        yield connection
    finally:
        connection.close()


def outcomes(authority: Authority, direction: str) -> int:
    """Return the final answers of a gateway, sent (`in`) or got (`out`), since its process started."""
    with urllib.request.urlopen(f"http://127.0.0.1:{authority.place.ops}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return sum(int(float(number)) for way, _, number in _OUTCOMES.findall(text) if way == direction)


@asynccontextmanager
async def two_gateways(folder: Path) -> AsyncIterator[Sides]:
    """Make two homes that know the record's schema, start both, enrol them with one another."""
    async with AsyncExitStack() as stack:
        ports = free_ports(6)
        a, b = [
            await stack.enter_async_context(Authority(folder, Place(party, party, country, *ports[at : at + 3])))
            for party, country, at in (("id.imigrasi", "ID", 0), ("kh.gdi", "KH", 3))
        ]
        await asyncio.gather(a.init(), b.init())
        for side in (a, b):
            place = side.home / "schemas" / record.SUBJECT
            place.mkdir(parents=True)
            (place / f"{record.VERSION}.json").write_bytes(record.schema())
        await asyncio.gather(a.start(), b.start())
        for mine, other in ((a, b), (b, a)):
            file = folder / f"{other.party}.card"
            await other.command("card", "export", str(file))
            fingerprint = (await other.command("card", "fingerprint")).strip()
            await mine.command("partner", "add", str(file), "--fingerprint", fingerprint)
        await a.add_account("client", "bench", "client")
        yield Sides(folder, a, b)
