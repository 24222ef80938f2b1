"""The load generator, a process of its own: `python -m benchmarks.loader` reads a job on stdin, writes what it saw.

Steady state: it posts only while fewer than `unanswered` messages wait for their end, so that the figure is not
one of ingest followed by a drain.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from benchmarks.record import record_body

# Each look costs the gateway a count of all that waits.
LOOK_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Job:
    """What to post: `messages` in posts of `batch`, `in_flight` posts at once.

    `example` names the file of a POST body to send instead of the record. With `watch`, each message is followed
    to its end before the next is posted.
    """

    url: str
    ca: str
    token: str
    messages: int
    batch: int
    in_flight: int
    metrics: str
    unanswered: int
    example: str | None = None
    watch: bool = False
    seed: int = 0


@dataclass(slots=True)
class Seen:
    """What came of it; times in ms, `cpu_us` of this process."""

    seconds: float = 0.0
    cpu_us: float = 0.0
    refused: int = 0
    why: str = ""
    posted_ms: list[float] = field(default_factory=list)
    ended_ms: list[float] = field(default_factory=list)


class Loader:
    """Posts one job."""

    def __init__(self, job: Job, session: aiohttp.ClientSession) -> None:
        self._job = job
        self._session = session
        self._seen = Seen()
        self._posted = 0
        self._settled = 0
        self._first = 0
        self._moved = asyncio.Event()
        self._bodies = self._prepare()

    async def run(self) -> Seen:
        """Post everything; return when each post was answered."""
        self._first = await asyncio.to_thread(self._count)
        watcher = asyncio.create_task(self._watch_depth())
        started, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(self._client() for _ in range(self._job.in_flight)))
        self._seen.seconds = time.perf_counter() - started
        self._seen.cpu_us = (time.process_time() - cpu) * 1e6
        watcher.cancel()
        return self._seen

    def _prepare(self) -> list[bytes]:
        # Made beforehand: building records is not what is measured.
        job = self._job
        if job.example is not None:
            one = json.loads(Path(job.example).read_text("utf-8"))
            made = [one] * min(job.messages, 200)
        else:
            made = [record_body(job.seed + number) for number in range(min(job.messages, 200))]
        if job.batch == 1:
            return [orjson.dumps(body) for body in made]
        return [
            orjson.dumps({"messages": [made[(at + step) % len(made)] for step in range(job.batch)]})
            for at in range(0, max(1, len(made)), max(1, job.batch))
        ]

    async def _client(self) -> None:
        job = self._job
        while self._posted < job.messages:
            number = self._posted
            self._posted += job.batch
            while self._posted - self._settled > job.unanswered:
                self._moved.clear()
                await self._moved.wait()
            await self._post(number)

    async def _post(self, number: int) -> None:
        job = self._job
        body = self._bodies[(number // job.batch) % len(self._bodies)]
        path = "/api/v1/messages" if job.batch == 1 else "/api/v1/messages/batch"
        headers = {"Idempotency-Key": f"{job.seed}-{number}", "Content-Type": "application/json"}
        started = time.perf_counter()
        async with self._session.post(job.url + path, data=body, headers=headers) as answer:
            found = await answer.read()
        self._seen.posted_ms.append((time.perf_counter() - started) * 1000)
        if answer.status != 202:
            self._refused(orjson.loads(found), job.batch)
        elif job.batch > 1:
            for result in orjson.loads(found)["results"]:
                if "id" not in result:
                    self._refused(result, 1)
        elif job.watch:
            await self._follow(orjson.loads(found)["id"], started)

    def _refused(self, problem: dict[str, Any], count: int) -> None:
        self._seen.refused += count
        self._seen.why = f"{problem.get('code')} {problem.get('detail')} {problem.get('errors', '')}"

    async def _follow(self, jti: str, started: float) -> None:
        while True:
            async with self._session.get(f"{self._job.url}/api/v1/messages/{jti}") as answer:
                state = orjson.loads(await answer.read())["state"]
            if state not in {"queued", "sending"}:
                break
        self._seen.ended_ms.append((time.perf_counter() - started) * 1000)

    async def _watch_depth(self) -> None:
        while True:
            self._settled = await asyncio.to_thread(self._count) - self._first
            self._moved.set()
            await asyncio.sleep(LOOK_EVERY_S)

    def _count(self) -> int:
        with urllib.request.urlopen(self._job.metrics, timeout=30) as answer:  # noqa: S310 - an address of our own, http
            lines = answer.read().decode().splitlines()
        return sum(
            int(float(line.split()[-1])) for line in lines if line.startswith('gateway_outcomes_total{direction="out"')
        )


async def main(job: Job) -> dict[str, Any]:
    """Run one job."""
    trust = ssl.create_default_context(cafile=job.ca)
    connector = aiohttp.TCPConnector(ssl=trust, limit=job.in_flight + 1)
    headers = {"Authorization": f"Bearer {job.token}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        return asdict(await Loader(job, session).run())


if __name__ == "__main__":
    json.dump(asyncio.run(main(Job(**json.load(sys.stdin)))), sys.stdout)
