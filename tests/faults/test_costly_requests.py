"""Requests that once filled or stopped a gateway, at full size, against a process of its own.

In each of them: health within 0.2 s, 250 MiB at most, and another caller's small picture within 2 s.
"""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import ssl
import statistics
import time
import zlib
from typing import TYPE_CHECKING, Any

import aiohttp
import psutil
import pytest

from tests.attachments.documents import objects, packed, raw_stream
from tests.attachments.files import jpeg
from tests.attachments.test_images import again_and_again
from tests.cli.conftest import enrolled, home
from tests.cli.terminal import ROOT
from tests.registry import crowded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.cli.terminal import Home, Serving

__all__ = ["enrolled", "home"]

MIB = 1024 * 1024
HEALTH_S, PICTURE_S, RSS_MOST = 0.2, 2.0, 250 * MIB
SCAN = {"attachmentType": "PASSPORT_SCAN", "mediaType": "image/jpeg"}
TICKET = {"attachmentType": "TICKET", "mediaType": "application/pdf"}
EXAMPLE = ROOT / "schemas/examples/case.referral/s1-sumarni.json"


class Caller:
    """One account of a served home."""

    def __init__(self, session: aiohttp.ClientSession, serving: Serving, token: str) -> None:
        self._session = session
        self._base = f"https://{serving.api}"
        self._headers = {"Authorization": f"Bearer {token}"}

    async def post(self, path: str, **options: Any) -> int:
        """Return the status of an answer."""
        headers = self._headers | {"Idempotency-Key": secrets.token_hex(8)} | options.pop("headers", {})
        async with self._session.post(self._base + path, headers=headers, **options) as reply:
            await reply.read()
            return reply.status

    async def file(self, raw: bytes, meta: dict[str, str]) -> int:
        """Upload a file."""
        form = aiohttp.FormData()
        form.add_field("meta", json.dumps(meta), content_type="application/json")
        form.add_field("file", io.BytesIO(raw), filename="f", content_type=meta["mediaType"])
        return await self.post("/api/v1/attachments", data=form)


def separators() -> list[bytes]:
    """Return requests whose rows are eight megabytes of separators."""
    body = json.loads(EXAMPLE.read_bytes())
    return [json.dumps(body | {"rows": ";" * 8_000_000}).encode()] * 3


def figures() -> list[bytes]:
    """Return three imports of 5,000 figures of as many days."""
    days = [
        f"{year}-{month:02}-{day:02}" for year in range(1900, 2000) for month in range(1, 13) for day in range(1, 28)
    ]
    head = "indicator,from,to,value,source\n"
    return [
        (head + "".join(f"PASSPORTS_DEFERRED,{day},{day},1,a\n" for day in days[n : n + 5000])).encode()
        for n in (0, 5000, 10_000)
    ]


def patterns() -> str:
    """Return a schema of 15,000 pattern properties."""
    document = crowded.spread_patterns(15_000)
    return json.dumps({"schema": json.dumps(document)})


def names() -> bytes:
    """Return a PDF of 61 KB that holds 63 MB of names."""
    raw = zlib.compress(b"4 0 [" + b"/A" * 31_500_000 + b"]", 9)
    return packed(objects(), {4: b""}, raw_stream(raw, b"/Type /ObjStm /N 1 /First 4 /Filter /FlateDecode"))


ATTACKS: dict[str, Callable[[dict[str, Caller]], list[Awaitable[int]]]] = {
    "rows of separators": lambda by: [
        by["client"].post("/api/v1/messages", data=io.BytesIO(raw), headers={"Content-Type": "application/json"})
        for raw in separators()
    ],
    "three imports of figures": lambda by: [
        by["supervisor"].post("/api/v1/statistics/figures", data=raw, headers={"Content-Type": "text/csv"})
        for raw in figures()
    ],
    "fifteen thousand patterns": lambda by: [
        by["operator"].post(
            "/registry/subjects/bomb.test/versions", data=patterns(), headers={"Content-Type": "application/json"}
        )
        for _ in range(3)
    ],
    "pictures of twenty thousand scans": lambda by: [
        by["client"].file(again_and_again(20_000, (64, 64)), SCAN) for _ in range(3)
    ],
    "documents of sixty-three megabytes of names": lambda by: [by["client"].file(names(), TICKET) for _ in range(3)],
}


@pytest.mark.parametrize("what", ATTACKS)
def test_one_caller_stops_nobody_else(home: Home, what: str) -> None:
    """Refused or taken, it is the caller's own time that it takes."""
    tokens = {role: home.json("client", "add", role, "--role", role)["token"] for role in ("client", "operator")}
    tokens["supervisor"] = home.json("user", "add", "supervisor", "--role", "supervisor")["token"]
    tokens["other"] = home.json("client", "add", "other")["token"]
    with home.serve() as serving:
        measured = asyncio.run(attack(home, serving, tokens, what))
        print(f"\n{what}: {measured}")  # noqa: T201 - what was measured
        assert serving.stop() == 0
    assert set(measured["answers"]) == ({201} if what == "three imports of figures" else {422})
    assert measured["health"] < HEALTH_S
    assert measured["picture"] < PICTURE_S
    assert measured["rss"] < RSS_MOST


async def attack(home: Home, serving: Serving, tokens: dict[str, str], what: str) -> dict[str, Any]:
    """Return the slowest of health, the usual and the slowest picture, and the largest size, while it goes on."""
    trust = ssl.create_default_context(cafile=str(home.path / "keys" / "ca.pem"))
    process = psutil.Process(serving.process.pid)
    health, pictures, sizes = list[float](), list[float](), list[int]()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
        by = {name: Caller(session, serving, token) for name, token in tokens.items()}
        assert await by["other"].file(jpeg(), SCAN) == 201
        over = asyncio.gather(*ATTACKS[what](by))

        async def look() -> None:
            while not over.done():
                began = time.monotonic()
                async with session.get(f"http://{serving.ops}/healthz") as reply:
                    assert reply.status == 200
                health.append(time.monotonic() - began)
                sizes.append(process.memory_info().rss)
                await asyncio.sleep(0.01)

        async def show() -> None:
            while True:
                began = time.monotonic()
                assert await by["other"].file(jpeg(), SCAN) == 201
                pictures.append(time.monotonic() - began)
                if over.done():
                    return

        _, _, answers = await asyncio.gather(look(), show(), over)
    return {
        "health": max(health), "usual": statistics.median(health), "picture": max(pictures), "rss": max(sizes),
        "answers": answers,
    }  # fmt: skip
