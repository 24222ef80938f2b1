"""How commands reach the gateway: over the control socket of `serve`, or of a gateway hosted right here.

One code path for both: where no `serve` runs on the home, this process opens it, hosts (`hosting`) the same control
application on a private socket, and is its own client.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from gateway import local
from gateway.cli.common import home, note, token
from gateway.cli.failure import Refused
from gateway.errors import ConfigurationError, StorageUnavailable

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

CONTROL: Final = "/control/v1"
API: Final = "/api/v1"
PAGE_MOST: Final = 200
CONNECT_S: Final = 5.0
ANSWER_S: Final = 300.0
# A command that finds the home held by a process that is starting or stopping waits this long.
BUSY_S: Final = 15.0
BUSY_STEP_S: Final = 0.05


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("gateway", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        found = local.connect(self._path, CONNECT_S)
        if found is None:
            raise ConnectionRefusedError
        found.settimeout(ANSWER_S)
        self.sock: socket.socket = found


class Client:
    """Calls the control application at one socket."""

    def __init__(self, path: Path, *, served: bool, token: str | None = None) -> None:
        """Take whether `serve` runs, so that what is queued is on its way by itself, and whose token it calls with."""
        self._path = path
        self._who = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.served = served

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """GET JSON; members of `query` that are None are left out."""
        return json.loads(self.raw("GET", path + _query(query))[1])

    def items(self, path: str, query: Mapping[str, Any], *, everything: bool) -> list[dict[str, Any]]:
        """GET a list: one page, with a note where there are more, or page after page."""
        found: list[dict[str, Any]] = []
        asked = dict(query)
        while True:
            page = self.get(path, asked)
            if page.get("notice") and not found:
                note(page["notice"])
            found += page["items"]
            if page["has_more"] and not everything:
                note(f"these are the first {len(found)}; --all gives the rest")
            if not (page["has_more"] and everything):
                return found
            asked |= {"cursor": page["next_cursor"], "limit": PAGE_MOST}

    def get_bytes(self, path: str, query: Mapping[str, Any] | None = None) -> bytes:
        """GET a body as it is."""
        return self.raw("GET", path + _query(query))[1]

    def post(self, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """POST JSON, read JSON."""
        raw = b"" if body is None else json.dumps(body).encode()
        return json.loads(self.raw("POST", path + _query(query), raw, {"Content-Type": "application/json"})[1] or b"{}")

    def raw(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Call; raises Refused for a problem, StorageUnavailable where the gateway went away."""
        with self._reply(method, path, body, headers) as reply:
            return reply.status, reply.read(), dict(reply.getheaders())

    @contextlib.contextmanager
    def stream(self, path: str, query: Mapping[str, Any] | None = None) -> Iterator[http.client.HTTPResponse]:
        """GET a body piece by piece; it may break off, which raises StorageUnavailable."""
        with self._reply("GET", path + _query(query), None, None) as reply:
            yield reply

    @contextlib.contextmanager
    def _reply(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None, headers: Mapping[str, str] | None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _Connection(self._path)
        try:
            # A gateway that refuses a body hangs up before it has all of it: what it says is there to be read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, {**self._who, **(headers or {})})
            reply = connection.getresponse()
            if reply.status >= 400:
                raise Refused(_problem(reply.read()), reply.status)
            yield reply
        except (OSError, http.client.HTTPException):
            raise StorageUnavailable("the gateway stopped before it answered; try again") from None
        finally:
            connection.close()


@contextlib.contextmanager
def gateway(*, working: bool = False) -> Iterator[Client]:
    """Yield a client of this home's gateway; with `working` it also sends while the block runs.

    It acts as whose token was given, else as the local operator. Raises ConfigurationError where the home cannot be
    opened.
    """
    where, who = home(), token()
    served = local.socket_path(where)
    if _answers(served):  # before the imports below: most commands then end in half the time
        yield Client(served, served=True, token=who)
        return
    from gateway.config import load_settings

    settings = load_settings(where)
    lock = settings.database_path.with_suffix(".lock")
    deadline = time.monotonic() + BUSY_S
    while True:
        if _answers(served):
            yield Client(served, served=True, token=who)
            return
        with contextlib.ExitStack() as stack:
            path = _hosted(stack, where, lock, working=working)
            if path is not None:
                yield Client(path, served=False, token=who)
                return
        if time.monotonic() > deadline:
            detail = f"{lock}: another process holds this home and does not answer; stop it, then try again"
            raise ConfigurationError(detail)
        time.sleep(BUSY_STEP_S)


def _hosted(stack: contextlib.ExitStack, where: Path, lock: Path, *, working: bool) -> Path | None:
    """Host the gateway here; None where another process has the home, or took it in this very moment."""
    if not _free(lock):
        return None
    from gateway.cli.hosting import Host

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-")))
    try:
        return stack.enter_context(Host(where, folder, working=working))
    except ConfigurationError:
        if _free(lock):
            raise
        return None


def running(where: Path) -> Client | None:
    """Return a client of the `serve` that runs on a home, the local operator's, or None."""
    path = local.socket_path(where)
    return Client(path, served=True) if _answers(path) else None


def segment(text: str) -> str:
    """Return text as one segment of a path."""
    return quote(text, safe="")


def _answers(path: Path) -> bool:
    found = local.connect(path, CONNECT_S)
    if found is None:
        return False
    found.close()
    return True


def _free(lock: Path) -> bool:
    from gateway.storage.store import HomeLock

    held = HomeLock(lock)
    try:
        taken = held.take()
    except OSError:
        return True  # cannot be written: opening the store says why
    held.close()
    return taken


def _query(query: Mapping[str, Any] | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return "?" + urlencode(given) if given else ""


def _problem(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"title": "the gateway gave no readable answer; see its log"}
