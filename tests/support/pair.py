"""Two gateways in one process that exchange over real mutual TLS on loopback: `async with Pair(tmp_path) as pair`.

`pair.a` is id.imigrasi, `pair.b` is kh.gdi; both are enrolled with one another and working. Each side can go
down and come back: `await pair.b.listen(False)` closes its exchange listener, its gateway stays open.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gateway.home import InitOptions, init
from gateway.ports.common import Actor
from gateway.ports.people import StoredAnswer
from gateway.running import Gateway, World, wall_clock
from gateway.runtime import open_gateway
from gateway.services.accounts import LOCAL_OPERATOR
from gateway.services.request import read_request
from gateway.services.submit import Accepted, Idempotency
from gateway.web.exchange import ExchangeParts, exchange_app
from gateway.web.problems import middleware
from gateway.web.server import listening

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from gateway.errors import Refusal
    from gateway.keyring.files import FileKeyRing
    from gateway.settings import Settings

EXAMPLES = Path(__file__).resolve().parents[2] / "schemas" / "examples"
TEST_OPERATOR = Actor("local", "operator")


def free_port() -> int:
    """Return a TCP port of loopback that was free a moment ago: the card names it before it is bound."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def example(name: str) -> dict[str, Any]:
    """Return a shipped POST body, such as `case.referral/s1-sumarni`; yours to change."""
    body: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text("utf-8"))
    return body


async def submitted(gateway: Gateway, *bodies: dict[str, Any]) -> list[Accepted]:
    """Accept messages as the operator of this machine; a refused one raises its RequestError."""
    found: list[Accepted | Refusal] = []

    def keep(results: Sequence[Accepted | Refusal]) -> StoredAnswer:
        found.extend(results)
        return StoredAnswer(bytes(32), 202, b"{}", None)

    requests = [read_request(json.loads(json.dumps(body))) for body in bodies]
    await gateway.submitter.submit(requests, LOCAL_OPERATOR, Idempotency("test", secrets.token_hex(8), bytes(32)), keep)
    for result in found:
        if not isinstance(result, Accepted):
            raise result.error()
    return [result for result in found if isinstance(result, Accepted)]


async def event_of(gateway: Gateway, jti: str, sender: str | None = None) -> bytes | None:
    """Return the bytes of the one message held under an id, None where nobody may read them."""
    [row] = await gateway.queries.under(jti, sender)
    held = await gateway.queries.event(row["direction"], row["id"])
    return None if held is None else held["event"]


class Side:
    """One gateway of the pair: its home, its services and its exchange listener."""

    def __init__(self, home: Path, party: str, country: str, world: World) -> None:
        self.home = home
        self.party = party
        self.port = free_port()
        self.settings: Settings
        self.keys: FileKeyRing
        self.settings, self.keys = init(
            home,
            InitOptions(
                party=party,
                name=f"Authority {party}",
                country=country,
                environment="test",
                exchange_listen=f"127.0.0.1:{self.port}",
                exchange_url=f"https://127.0.0.1:{self.port}/bcx/v1",
            ),
            now_ms=world.clock(),
        )
        self.gateway: Gateway
        self._world = world
        self._stack = AsyncExitStack()
        self._listener: AsyncExitStack | None = None
        self._changed = asyncio.Event()
        self._grown = asyncio.Event()

    async def open(self) -> None:
        """Open the home; nothing is sent yet."""
        self.gateway = await self._stack.enter_async_context(
            open_gateway(self.settings, self.keys, self._world, observe=lambda _result, _count: self._changed.set())
        )
        self.gateway.store.on_grown(lambda _count: self._grown.set())
        self.gateway.settler.on_recorded(lambda _recorded: self._changed.set())
        self.gateway.give_up.on_given_up(lambda _count: self._changed.set())

    async def work(self) -> None:
        """Send, sign checkpoints and keep house until `close`."""
        await self._stack.enter_async_context(self.gateway.working())

    async def listen(self, on: bool = True) -> None:
        """Open the exchange listener, or close it: the partner finds nobody there."""
        if self._listener is not None:
            await self._listener.aclose()
            self._listener = None
        if on:
            g = self.gateway
            parts = ExchangeParts(
                g.receiver, g.contacts, g.directory, g.refusals, g.keys, g.store, g.clock, g.tls, g.witnessing,
                g.attachments.deposits,
            )  # fmt: skip
            app = exchange_app(
                parts,
                self.settings.exchange.path,
                middleware("exchange", lambda *_: None, time.monotonic, g.problems.note),
            )
            self._listener = AsyncExitStack()
            await self._listener.enter_async_context(
                listening(app, "exchange", self.settings.exchange.address, g.tls.server, drain_s=1)
            )

    async def close(self) -> None:
        """Stop in order."""
        await self._stack.aclose()
        await self.listen(False)

    async def enrol(self, other: Side) -> None:
        """Take the other side as partner."""
        card = other.gateway.directory.mine
        await self.gateway.enroller.enrol(card.raw, card.fingerprint, TEST_OPERATOR)

    async def submit(self, *bodies: dict[str, Any]) -> list[Accepted]:
        """Accept messages as the operator of this machine; a refused one raises its RequestError."""
        return await submitted(self.gateway, *bodies)

    async def tried(self, times: int = 1) -> None:
        """Wait until every message of this side that waits was tried so often, and none is on its way."""
        while True:
            self._changed.clear()
            rows = await self.gateway.queries.queue(states=("queued", "sending"), partner=None, after=None, limit=1000)
            if rows and all(row["state"] == "queued" and row["attempts"] >= times for row in rows):
                return
            await asyncio.wait_for(self._changed.wait(), 30)

    async def sent(self) -> None:
        """Wait until nothing of this side is queued or on its way; what is held for a person stays."""
        while True:
            self._grown.clear()
            if not await self.gateway.queries.queue(states=("queued", "sending"), partner=None, after=None, limit=1):
                return
            await asyncio.wait_for(self._grown.wait(), 30)

    async def settle(self) -> None:
        """Wait until nothing of this side waits for an answer any more."""
        while True:
            self._changed.clear()
            if not await self.gateway.store.write(lambda tx: tx.outbox.open_count()):
                return
            await asyncio.wait_for(self._changed.wait(), 30)


class Pair:
    """id.imigrasi (`a`) and kh.gdi (`b`), enrolled with one another."""

    def __init__(
        self, folder: Path, *, clock: Callable[[], int] = wall_clock, fault: Callable[[str], None] | None = None
    ) -> None:
        """Make both homes in `folder`; `fault` is called at each step of a's writer and may raise."""
        world = World(clock=clock)
        self.a = Side(folder / "id.imigrasi", "id.imigrasi", "ID", World(clock=clock, fault=fault))
        self.b = Side(folder / "kh.gdi", "kh.gdi", "KH", world)
        self._stack = AsyncExitStack()

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both."""
        return self.a, self.b

    async def __aenter__(self) -> Self:
        try:
            for side in self.sides:
                self._stack.push_async_callback(side.close)
                await side.open()
                await side.listen()
            await self.a.enrol(self.b)
            await self.b.enrol(self.a)
            for side in self.sides:
                await side.work()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def settle(self) -> None:
        """Wait until neither side waits for an answer."""
        for side in self.sides:
            await side.settle()
