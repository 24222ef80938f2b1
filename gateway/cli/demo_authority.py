"""One authority of the demo: a home, a `gateway serve` process, commands run on it, and its REST API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

START_LIMIT_S: Final = 15.0
STOP_LIMIT_S: Final = 10.0
COMMAND_LIMIT_S: Final = 30.0
ANSWER_LIMIT_S: Final = 10.0
LOOK_EVERY_S: Final = 0.02
READY: Final = "ready "
# Settings and homes of the person who runs the demo must not leak into it.
FOREIGN: Final = ("GATEWAY_HOME", "GATEWAY_SECRETS", "GATEWAY_TOKEN", "NOTIFY_SOCKET")
GATEWAY: Final = (sys.executable, "-c", "from gateway.cli.main import run; run()")


class NotHeldError(Exception):
    """What was seen is not what was expected; the text says what was seen."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the REST API; `body` is parsed JSON, or bytes of another media type."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Place:
    """Who an authority is, and the loopback ports its card and settings name before anything is bound."""

    party: str
    name: str
    country: str
    exchange: int
    api: int
    ops: int


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that are free now; held together while chosen, so that no two are alike."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class Authority:
    """A party of the demo. Only processes started here are ever ended, each by its own handle."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.place = place
        self.party = place.party
        self.home = folder / place.party
        self.log_path = folder / f"{place.party}.log"
        self.api_url = f"https://127.0.0.1:{place.api}"
        self.tokens: dict[str, str] = {}
        self.process: asyncio.subprocess.Process | None = None
        self._environ = {
            name: value
            for name, value in os.environ.items()
            if name not in FOREIGN and not name.startswith("GATEWAY__")
        }
        self._said: deque[str] = deque(maxlen=20)
        self._session: aiohttp.ClientSession | None = None
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # --- commands -----------------------------------------------------------------------------------

    async def command(self, *words: str, code: int = 0, at_home: bool = True, within_s: float = COMMAND_LIMIT_S) -> str:
        """Run `gateway …` in a process of its own and return its stdout. Raises NotHeldError for another exit code."""
        where = ("--home", str(self.home)) if at_home else ()
        process = await asyncio.create_subprocess_exec(
            *GATEWAY, *where, *words, env=self._environ, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(process.communicate(), within_s)
        except TimeoutError:
            raise NotHeldError(f"`gateway {words[0]} …` did not end within {within_s:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != code:
            told = (err or out).decode("utf-8", "replace").strip().splitlines()
            shown = next((line for line in told if line.startswith("error")), told[-1] if told else "no word")
            raise NotHeldError(f"`gateway {' '.join(words[:2])}` ended with {process.returncode}: {shown}")
        return out.decode("utf-8")

    async def init(self) -> None:
        """Make the home: keys, CA, test agreement, approved schemas."""
        place, host = self.place, "127.0.0.1"
        await self.command(
            "init", "--party", place.party, "--name", place.name, "--country", place.country,
            "--environment", "test", "--exchange-listen", f"{host}:{place.exchange}",
            "--exchange-url", f"https://{host}:{place.exchange}/bcx/v1", "--api-listen", f"{host}:{place.api}",
            "--api-url", self.api_url, "--ops-listen", f"{host}:{place.ops}",
        )  # fmt: skip

    async def add_account(self, noun: str, name: str, role: str) -> None:
        """Add a person (`user`) or a system (`client`) and keep its bearer token."""
        made = json.loads(await self.command("-o", "json", noun, "add", name, "--role", role))
        self.tokens[role] = made["token"]

    # --- the process --------------------------------------------------------------------------------

    async def start(self) -> float:
        """Start `gateway serve`; return how long it took until it was ready, in seconds."""
        started = time.perf_counter()
        self._said.clear()
        with self.log_path.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *GATEWAY, "--home", str(self.home), "serve", env=self._environ, stdin=asyncio.subprocess.DEVNULL,
                stdout=log, stderr=asyncio.subprocess.PIPE,
                # Ctrl-C is ours: each gateway is then stopped once, in order.
                start_new_session=True,
            )  # fmt: skip
        try:
            await asyncio.wait_for(self._ready(), START_LIMIT_S)
        except TimeoutError:
            raise NotHeldError(
                f"{self.party} was not ready within {START_LIMIT_S:.0f} s; see {self.log_path}"
            ) from None
        took = time.perf_counter() - started
        self._listener = asyncio.create_task(self._listen())
        trust = ssl.create_default_context(cafile=self.home / "keys" / "ca.pem")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust), timeout=aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
        )
        return took

    async def kill(self) -> int:
        """End the process with SIGKILL, as a power cut would; return its process id."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._let_go()
        return self.process.pid

    async def stop(self) -> None:
        """Stop in order; a process that does not stop by itself is killed."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), STOP_LIMIT_S)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        await self._let_go()

    async def _ready(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        while line := (await self.process.stderr.readline()).decode("utf-8", "replace").rstrip():
            self._said.append(line)
            if line.startswith(READY):
                return
        await self.process.wait()
        told = self._said[-1] if self._said else f"see {self.log_path}"
        raise NotHeldError(f"{self.party} did not start: {told}")

    async def _listen(self) -> None:
        """Keep reading: a full pipe would stop the gateway."""
        assert self.process is not None
        assert self.process.stderr is not None
        with self.log_path.open("ab") as log:
            while line := await self.process.stderr.readline():
                log.write(line)
                log.flush()

    async def _let_go(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._listener is not None:
            await self._listener
            self._listener = None

    # --- the REST API -------------------------------------------------------------------------------

    async def call(self, method: str, path: str, *, role: str, body: Any = None, key: str | None = None) -> Answer:
        """Call the REST API under the token of `role`. Raises NotHeldError where nobody answers."""
        if self._session is None:
            raise NotHeldError(f"{self.party} is not running")
        headers = {"Authorization": f"Bearer {self.tokens.get(role, '')}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            async with self._session.request(method, self.api_url + path, json=body, headers=headers) as response:
                raw = await response.read()
                parsed = json.loads(raw) if response.content_type.endswith("json") and raw else raw
                return Answer(response.status, dict(response.headers), parsed)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NotHeldError(f"{self.party} did not answer {method} {path} ({type(error).__name__})") from None

    async def raw(self, path: str, *, role: str) -> bytes:
        """Return the bytes of a GET, whatever their media type."""
        if self._session is None:
            raise NotHeldError(f"{self.party} is not running")
        headers = {"Authorization": f"Bearer {self.tokens[role]}"}
        async with self._session.get(self.api_url + path, headers=headers) as response:
            found = await response.read()
        if response.status != 200:
            raise NotHeldError(f"GET {path} was answered with {response.status}")
        return found

    async def submit(self, body: Mapping[str, Any], *, key: str) -> dict[str, Any]:
        """Submit one message as the client system; return what 202 said."""
        answer = await self.call("POST", "/api/v1/messages", role="client", body=body, key=key)
        if answer.status != 202:
            raise NotHeldError(f"{body['type']} was answered with {answer.status}: {told(answer.body)}")
        found: dict[str, Any] = answer.body
        return found

    async def settled(self, jti: str, *, within_s: float = ANSWER_LIMIT_S) -> dict[str, Any]:
        """Wait until a message of ours came to its end; return it."""
        deadline = time.perf_counter() + within_s
        while True:
            found = await self.message(jti)
            if found["state"] not in {"queued", "sending"}:
                return found
            if time.perf_counter() > deadline:
                raise NotHeldError(f"message still {found['state']} after {within_s:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)

    async def proved(self, jti: str, *, within_s: float = ANSWER_LIMIT_S) -> dict[str, Any]:
        """Wait until it is known whether the partner's log bears a receipt out; return the message."""
        deadline = time.perf_counter() + within_s
        while (found := await self.message(jti))["proved"] is None:
            if time.perf_counter() > deadline:
                raise NotHeldError(f"not looked up in the partner's log after {within_s:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)
        return found

    async def message(self, jti: str) -> dict[str, Any]:
        """Return one message as its client sees it."""
        answer = await self.call("GET", f"/api/v1/messages/{jti}", role="officer")
        if answer.status != 200:
            raise NotHeldError(f"GET /messages/{{id}} was answered with {answer.status}: {told(answer.body)}")
        found: dict[str, Any] = answer.body
        return found


def told(body: object) -> str:
    """Return what a problem document says, in short."""
    if not isinstance(body, dict):
        return "no problem document"
    places = ", ".join(f"{e.get('pointer')} {e.get('reason')}" for e in body.get("errors", ())[:3])
    return f"{body.get('code')} {body.get('detail', '')} {places}".strip()
