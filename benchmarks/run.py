"""Runs every measurement and prints its row: the figure, the floor of the same run, their ratio; never a verdict."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cryptography

from benchmarks import biglog, inprocess
from benchmarks.floor import Floor, measure_all
from benchmarks.loader import Job
from benchmarks.sides import Sides, Use, peak_mib, two_gateways
from gateway.resources import schemas_path

if TYPE_CHECKING:
    from collections.abc import Callable

UNANSWERED: Final = 3000
SINGLES_IN_FLIGHT: Final = 64
POSTS_IN_FLIGHT: Final = 4
BATCH: Final = 100
# Log entries a message: accepted and settled at A, received at B; that of the envelope is shared by a hundred.
ENTRIES: Final = 3
WANTED_MIB: Final = 150
# How far proofs may lag, s, and what they may cost, % of the CPU of delivery.
BEHIND_S: Final = 60
PROOFS_SHARE: Final = 5
IDLE_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `floor` and `ratio` where the parts alone were measured in this run."""

    name: str
    figure: float
    unit: str
    floor: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the floor."""
        return None if not self.floor else self.figure / self.floor

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "ratio": self.ratio}


@dataclass(frozen=True, slots=True)
class Run:
    """What one load did to the two gateways."""

    messages: int
    seconds: float
    a_us: float
    b_us: float
    loader_us: float
    fill: float
    posted_ms: list[float]
    ended_ms: list[float]

    @property
    def rate(self) -> float:
        """Messages a second, from the first post to the last receipt."""
        return self.messages / self.seconds

    @property
    def both_us(self) -> float:
        """CPU of both gateways a message."""
        return self.a_us + self.b_us


class Bench:
    """The measurements, in order; each row is shown as it comes."""

    def __init__(self, messages: int, folder: Path, show: Callable[[Row], None]) -> None:
        self._messages = messages
        self._folder = folder
        self._show = show
        self._seed = 0
        self.rows: list[Row] = []
        self.floor: Floor | None = None

    async def all(self) -> None:
        """Measure everything."""
        async with two_gateways(self._folder) as sides:
            keys = sides.a.home / "keys"
            self.floor = await measure_all(
                self._folder, keys / "api.pem", keys / "api.key", keys / "ca.pem", thorough=self._messages >= 1000
            )
            floor = self.floor
            self._in_process(floor)
            await self._load(sides, min(1000, self._messages), batch=BATCH, in_flight=2)  # warm
            before = sides.heads()
            full = await self._load(sides, self._messages, batch=BATCH, in_flight=POSTS_IN_FLIGHT)
            self._throughput("full envelopes, posts of 100", full, floor, single=False)
            left, behind_s = sides.unproved()
            signed, cosigned = (now - then for now, then in zip(sides.heads(), before, strict=True))
            self._share_of_log(full, floor, signed / full.messages, cosigned / full.messages)
            await self._proofs(sides, full, left, behind_s)
            single = await self._load(sides, max(64, self._messages // 2), batch=1, in_flight=SINGLES_IN_FLIGHT)
            self._throughput("single posts, 64 in flight", single, floor, single=True)
            example = schemas_path() / "examples" / "case.referral" / "s1-sumarni.json"
            cases = await self._load(
                sides, max(BATCH, self._messages // 4), batch=BATCH, in_flight=POSTS_IN_FLIGHT, example=str(example)
            )
            self._throughput("case.referral with casework rules, posts of 100", cases, floor, single=False)
            await self._latency(sides, floor)
            await self._drain(sides, floor)

    def _in_process(self, floor: Floor) -> None:
        found = inprocess.wire_us(max(1, min(40, self._messages // BATCH)))
        self.add("crypto and wire in one process, 100 an envelope", found, "µs/msg", floor.wire_us(BATCH))

    def _throughput(self, name: str, run: Run, floor: Floor, *, single: bool) -> None:
        alone = floor.message_us(fill=run.fill, single=single)
        ceiling = 2e6 / (alone + run.loader_us)
        self.add(name, run.rate, "msg/s", ceiling, f"{run.fill:.0f} an envelope; floor: 2 cores, loader on them")
        self.add("  CPU of both gateways", run.both_us, "µs/msg", alone,
                  f"A {run.a_us:.0f}, B {run.b_us:.0f}, loader {run.loader_us:.0f}")  # fmt: skip

    def _share_of_log(self, run: Run, floor: Floor, signed: float, cosigned: float) -> None:
        """Add entries, checkpoints and cosignatures a message, at what each costs alone, over the whole."""
        entry_us = inprocess.log_us(self._folder, max(1, min(30, self._messages // BATCH)))
        sign_us, cosign_us = inprocess.head_us(self._folder, 20)
        post = floor.posts["one at a time"]
        cosign_us += post.client_us + post.server_us
        spent = ENTRIES * entry_us + signed * sign_us + cosigned * cosign_us
        self.add("share of the log in it", 100 * spent / run.both_us, "%",
                 note=f"{ENTRIES} entries of {entry_us:.1f} µs, {signed * 1000:.1f} heads of {sign_us:.0f} µs and "
                      f"{cosigned * 1000:.1f} cosignatures of {cosign_us:.0f} µs a thousand")  # fmt: skip

    async def _proofs(self, sides: Sides, full: Run, left: int, behind_s: float) -> None:
        """Say how far proofs lagged when the load ended, and what the same proofs cost alone, over its delivery."""
        self.add("proofs behind at the end of full envelopes", behind_s, "s",
                 note=f"{left:,} not proved yet; goal {BEHIND_S}")  # fmt: skip
        await sides.wait_proved()
        idle = [Use.of(pid) for pid in sides.pids]
        await asyncio.sleep(IDLE_S)
        idle_us = [(Use.of(pid).cpu_us - use.cpu_us) / IDLE_S for pid, use in zip(sides.pids, idle, strict=True)]
        sides.forget_proofs(full.messages)
        used = [Use.of(pid) for pid in sides.pids]
        started = time.perf_counter()
        # One more message: its checkpoint, once cosigned, is when receipts are looked at.
        await self._load(sides, 1, batch=1, in_flight=1)
        await sides.wait_proved()
        seconds = time.perf_counter() - started
        a_us, b_us = (
            max(0.0, Use.of(pid).cpu_us - use.cpu_us - alone_us * seconds) / full.messages
            for pid, use, alone_us in zip(sides.pids, used, idle_us, strict=True)
        )
        self.add("share of proofs in it", 100 * (a_us + b_us) / full.both_us, "%",
                 note=f"A {a_us:.0f}, B {b_us:.0f} µs/msg, again in {seconds:.0f} s; goal {PROOFS_SHARE}")  # fmt: skip

    async def _latency(self, sides: Sides, floor: Floor) -> None:
        run = await self._load(sides, max(20, self._messages // 40), batch=1, in_flight=1, watch=True)
        for name, values, alone in (
            ("202 to a single post, alone", run.posted_ms, floor.answer_ms()),
            ("accepted with receipt, alone", run.ended_ms, floor.accepted_ms()),
        ):
            self.add(f"{name}: p50", statistics.median(values), "ms", alone)
            self.add(f"{name}: p99", sorted(values)[int(len(values) * 0.99)], "ms")

    async def _drain(self, sides: Sides, floor: Floor) -> None:
        """Fill the queue while the partner is down, then let it go; count on both sides."""
        stored = sides.stored()
        settled = sides.settled()
        await sides.b.stop()
        ingest = await self._post(sides, self._messages, batch=BATCH, in_flight=POSTS_IN_FLIGHT, unanswered=2**31)
        await sides.b.start()
        used = [Use.of(pid) for pid in sides.pids]
        started = time.perf_counter()
        await sides.b.command("partner", "ping", sides.a.party)
        await sides.wait_settled(settled + self._messages)
        seconds = time.perf_counter() - started
        a_us, b_us = ((Use.of(p).cpu_us - u.cpu_us) / self._messages for p, u in zip(sides.pids, used, strict=True))
        self.add(f"ingest of {self._messages:,} with the partner down", self._messages / ingest["seconds"], "msg/s")
        self.add(f"drain of {self._messages:,}", self._messages / seconds, "msg/s",
                  2e6 / floor.message_us(fill=BATCH, single=False), f"A {a_us:.0f}, B {b_us:.0f} µs")  # fmt: skip
        sent, received, logged = (now - before for now, before in zip(sides.stored(), stored, strict=True))
        lost = self._messages - min(sent, received, logged)
        self.add("  lost", lost, "messages", note=f"receipts {sent:,}, received {received:,}, log entries {logged:,}")
        for side, pid in zip("AB", sides.pids, strict=True):
            self.add(f"memory of {side}, at most", peak_mib(pid), "MiB", note=f"since its start; goal {WANTED_MIB}")

    async def _load(self, sides: Sides, messages: int, *, batch: int, in_flight: int, **more: Any) -> Run:
        settled, envelopes = sides.settled(), sides.envelopes()
        used = [Use.of(pid) for pid in sides.pids]
        started = time.perf_counter()
        seen = await self._post(sides, messages, batch=batch, in_flight=in_flight, **more)
        count = -(-messages // batch) * batch
        await sides.wait_settled(settled + count)
        seconds = time.perf_counter() - started
        a_us, b_us = ((Use.of(p).cpu_us - u.cpu_us) / count for p, u in zip(sides.pids, used, strict=True))
        # The start of the loader's own process is no part of it.
        seconds -= seen["started"]
        fill = count / max(1, sides.envelopes() - envelopes)
        return Run(count, seconds, a_us, b_us, seen["cpu_us"] / count, fill, seen["posted_ms"], seen["ended_ms"])

    async def _post(
        self, sides: Sides, messages: int, *, batch: int, in_flight: int, unanswered: int = UNANSWERED, **more: Any
    ) -> dict[str, Any]:
        self._seed += 10**6
        job = Job(
            url=sides.a.api_url, ca=str(sides.a.home / "keys" / "ca.pem"), token=sides.a.tokens["client"],
            messages=messages, batch=batch, in_flight=in_flight, unanswered=unanswered, seed=self._seed,
            metrics=f"http://127.0.0.1:{sides.a.place.ops}/metrics", **more,
        )  # fmt: skip
        begun = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.loader", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate(json.dumps(asdict(job)).encode())
        if process.returncode:
            raise RuntimeError("the load generator failed")
        seen: dict[str, Any] = json.loads(out)
        if seen["refused"]:
            raise RuntimeError(f"{seen['refused']} messages were refused: {seen['why']}")
        seen["started"] = time.perf_counter() - begun - seen["seconds"]
        return seen

    def add(self, name: str, figure: float, unit: str, floor: float | None = None, note: str = "") -> None:
        """Keep a row and show it."""
        row = Row(name, figure, unit, floor, note)
        self.rows.append(row)
        self._show(row)


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    return {
        "cores": str(os.cpu_count()), "python": platform.python_version(), "sqlite": sqlite3.sqlite_version,
        "cryptography": cryptography.__version__,
    }  # fmt: skip


def show(row: Row) -> None:
    """Print a row."""
    floor = f"{row.floor:>10,.1f}" if row.floor is not None else f"{'':>10}"
    ratio = f"{row.ratio:>6.2f}" if row.ratio is not None else f"{'':>6}"
    _say(f"{row.name:<52} {row.figure:>10,.1f} {row.unit:<8} {floor} {ratio}  {row.note}")


def _say(line: str) -> None:
    sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


def run(messages: int, target: Path | None, *, leaves: int | None, exchange: bool) -> None:
    """Measure the exchange, a log of so many entries, or both; print, and write JSON where asked."""
    _say(f"{'':<52} {'figure':>10} {'':<8} {'floor':>10} {'ratio':>6}")
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        bench = Bench(messages, Path(folder), show)
        if exchange:
            asyncio.run(bench.all())
        if leaves is not None:
            place = Path(folder) / "log"
            place.mkdir()
            asyncio.run(biglog.measure(leaves, place, bench.add))
    if target is not None:
        found = {"machine": machine(), "messages": messages, "rows": [row.as_dict() for row in bench.rows],
                 "floor": asdict(bench.floor) if bench.floor is not None else None}  # fmt: skip
        target.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
