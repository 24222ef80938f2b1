"""A pair of gateways, the API of `id.imigrasi` on a real TLS listener, and callers of every role."""

from __future__ import annotations

import io
import secrets
import ssl
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from gateway import logs
from gateway.settings import Address
from gateway.transport.tls import api_server_context
from gateway.web.api import api_app, bearer
from gateway.web.problems import middleware
from gateway.web.server import listening
from tests.support.pair import TEST_OPERATOR, Pair, Side

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ROLES = ("client", "other", "officer", "auditor", "operator")


class Answer:
    """What came back, read to its end."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes, value: Any) -> None:
        self.status = response.status
        self.headers = response.headers
        self.media_type = response.content_type
        self.body = body
        self.json = value


class Api:
    """The API of one side, called over TLS with the token of a role."""

    def __init__(self, side: Side, app: web.Application, base: str, session: aiohttp.ClientSession) -> None:
        self.side = side
        self.app = app
        self.base = base
        self.session = session
        self.tokens: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    async def call(
        self,
        method: str,
        path: str,
        role: str | None = "client",
        *,
        headers: dict[str, str] | None = None,
        **given: Any,
    ) -> Answer:
        """Send one request; `path` is under /api/v1 unless it begins with a listener's own root."""
        where = path if path.startswith(("/audit/log", "/docs", "/api/", "/registry")) else f"/api/v1{path}"
        sent = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        async with self.session.request(method, self.base + where, headers=sent | (headers or {}), **given) as response:
            body = await response.read()
            value = await response.json(content_type=None) if response.content_type.endswith("json") else None
            return Answer(response, body, value)

    async def get(self, path: str, role: str | None = "client", **given: Any) -> Answer:
        """GET."""
        return await self.call("GET", path, role, **given)

    async def submit(
        self, body: Any, role: str = "client", *, key: str | None = None, path: str = "/messages"
    ) -> Answer:
        """POST a message under a key of its own."""
        headers = {"Idempotency-Key": key or secrets.token_hex(8)}
        return await self.call("POST", path, role, headers=headers, json=body)

    async def entries(self, **query: str) -> list[dict[str, Any]]:
        """Return log entries as an auditor sees them."""
        answer = await self.get("/audit/entries", "auditor", params=query)
        assert answer.status == 200, answer.json
        items: list[dict[str, Any]] = answer.json["items"]
        return items


@pytest.fixture(scope="module")
def log_lines() -> Iterator[io.StringIO]:
    """Everything this process logs while the tests of a module run."""
    lines = io.StringIO()
    logs.configure("debug", lines)
    yield lines
    logs.configure("info", None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory, log_lines: io.StringIO) -> AsyncIterator[Pair]:
    """Two gateways that exchange, one pair a module: tests make their own messages."""
    async with Pair(tmp_path_factory.mktemp("pair")) as found:
        yield found


async def serve(
    stack: AsyncExitStack,
    side: Side,
    *,
    clients: AsyncExitStack | None = None,
    heartbeat_s: float = 15.0,
    drain_s: float = 2,
) -> Api:
    """Open the API of a side until the stack closes, with one account a role.

    The callers' connections close with the stack `clients` where one is given: then they may outlive the listener.
    """
    gateway = side.gateway
    outermost = middleware("api", lambda *_: None, time.monotonic, gateway.problems.note)
    app = api_app(gateway, outermost, bearer(gateway), heartbeat_s=heartbeat_s)
    address = await stack.enter_async_context(
        listening(app, "api", Address("127.0.0.1", 0), api_server_context(gateway.keys.tls), drain_s=drain_s)
    )
    trust = ssl.create_default_context(cafile=str(side.home / "keys" / "ca.pem"))
    session = await (clients or stack).enter_async_context(
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust), timeout=aiohttp.ClientTimeout(total=30))
    )
    api = Api(side, app, f"https://{address.host}:{address.port}", session)
    for role in ROLES:
        account, token = await gateway.accounts.add(
            role, "client" if role == "other" else role, person=role == "officer", actor=TEST_OPERATOR
        )
        api.tokens[role], api.ids[role] = token, account.id
    return api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(pair: Pair) -> AsyncIterator[Api]:
    """Serve the API of id.imigrasi."""
    async with AsyncExitStack() as stack:
        yield await serve(stack, pair.a)
