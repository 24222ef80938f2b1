"""What `gateway serve` runs: one gateway, its listeners, and its end in order.

1. Ready means: database, keys, clock and disk are well, and no partner has shown that our log is behind; whether a
   partner answers is no part of it.
2. On SIGTERM or SIGINT: not ready, take nothing new, finish what was begun, stop the lanes, flush, exit 0;
   a second signal ends the process at once. What was on its way is taken back by the next start.
3. SIGHUP loads certificates and the log level again; every other setting needs a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from gateway import local, logs
from gateway.errors import ConfigurationError, GatewayError
from gateway.logs import get_logger
from gateway.protocol.jwe import MAX_REQUEST_BYTES
from gateway.runtime import open_gateway
from gateway.storage.store import HomeLock
from gateway.storage.writer import STALL_S
from gateway.transport.descriptors import raise_limit, shared
from gateway.transport.tls import api_server_context, bound_buffers, reload_api
from gateway.web.api import api_app, bearer
from gateway.web.connections import Caps
from gateway.web.control import control_app
from gateway.web.exchange import BODY_S, ExchangeParts, exchange_app
from gateway.web.intake import Intake
from gateway.web.metrics import Depth, Metrics
from gateway.web.ops import ops_app
from gateway.web.problems import forget, middleware
from gateway.web.rates import Rates
from gateway.web.server import listening

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.keyring.files import FileKeyRing
    from gateway.running import Gateway, World
    from gateway.services.settle import Recorded
    from gateway.settings import Address, LimitsSettings, Settings

log = get_logger()

# A command of the command line may hold the home for a moment when `serve` starts.
LOCK_WAIT_S: Final = 10.0
LOCK_STEP_S: Final = 0.05
# New containers before a young collection, and how many of those before an older generation is looked at.
COLLECT_AFTER: Final = (20_000, 20, 20)
# Of the drain time, what is kept for stopping the lanes and the last writes.
FLUSH_S: Final = 2.0
PROBE_S: Final = 4.0
YEAR_2026_MS: Final = 1_767_225_600_000
OPS_CONNECTIONS: Final = 128
LARGE_BLOCK_BYTES: Final = 256 * 1024
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_libc: Final = ctypes.CDLL(None)


@dataclass(slots=True)
class Health:
    """What /readyz and /metrics say of one gateway."""

    gateway: Gateway
    metrics: Metrics
    phase: str | None = "starting"

    async def ready(self) -> list[tuple[str, str | None]]:
        """Return each check with its fault, None where it is well."""
        now = self.gateway.clock()
        return [
            ("serving", self.phase),
            ("database", await self._database()),
            ("keys", self._keys(now)),
            ("clock", self._clock(now)),
            ("disk", self._disk()),
            ("log", gate.reason if (gate := self.gateway.witnessing.gate).closed == "behind" else None),
        ]

    async def text(self) -> bytes:
        """Return the metrics, with what is true now."""
        queries, latest = self.gateway.queries, self.gateway.checkpoints.latest
        depth = {row["urgency"]: Depth(row["count"], row["oldest_at"]) for row in await queries.depth()}
        up = {row["party"]: row["down_since"] is None for row in await queries.partners() if row["state"] == "active"}
        witnessing = self.gateway.witnessing
        return self.metrics.text(
            depth, await queries.dead(), latest.size if latest else 0, up, self.gateway.clock(),
            witnessing.cosigning.unwitnessed_ms(), witnessing.gate.closed,
            self.gateway.timestamping.age_ms() if self.gateway.timestamping else 0, self.gateway.clock.doubt,
            self.gateway.clock.ahead_ms, self.gateway.room.level, full=self.gateway.room.fault is not None,
        )  # fmt: skip

    async def _database(self) -> str | None:
        writer = self.gateway.store.writer
        broken = writer.broken
        if broken is not None:
            return broken.detail
        if writer.stalled_s > STALL_S:
            return f"the storage has not answered for {writer.stalled_s:.0f} s; look at the disk"
        try:
            async with asyncio.timeout(PROBE_S):
                if writer.quiet_s > PROBE_S:
                    # That a page can be read says nothing of a disk that takes no more writes.
                    await self.gateway.store.write(lambda tx: tx.state.put("probe", str(self.gateway.clock())))
                await self.gateway.queries.dead()
        except TimeoutError:
            return f"the storage does not answer within {PROBE_S:.0f} s; look at the disk"
        except GatewayError as error:
            return error.detail
        except (SQLAlchemyError, OSError) as error:
            return f"cannot be read ({type(error).__name__})"
        return None

    def _keys(self, now: int) -> str | None:
        try:
            self.gateway.keys.signer(now)
        except ConfigurationError as error:
            return error.detail
        return None

    def _clock(self, now: int) -> str | None:
        if now < YEAR_2026_MS:
            return "the clock stands before 2026; set it"
        # A start that nobody has confirmed yet is no fault: whether a partner answers is no part of readiness.
        return self.gateway.clock.reason if self.gateway.clock.wrong else None

    def _disk(self) -> str | None:
        return self.gateway.room.fault


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a gateway listens, ports as bound."""

    exchange: Address
    api: Address
    ops: Address
    control: Path

    def line(self) -> str:
        """Return the line that says so."""
        places = (("exchange", self.exchange), ("api", self.api), ("ops", self.ops))
        shown = " ".join(f"{name}={address.host}:{address.port}" for name, address in places)
        return f"ready {shown} control={self.control}"


async def serve(
    settings: Settings,
    keys: FileKeyRing,
    *,
    reread: Callable[[], Settings],
    world: World | None = None,
    announce: Callable[[Addresses], None],
) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigurationError where the start cannot go on.

    `reread` gives the settings of now, for SIGHUP; `announce` is called once everything listens.
    """
    stopping = asyncio.Event()
    metrics = Metrics()
    bound_buffers()
    calm_allocator()
    async with opened(settings, keys, metrics, world) as gateway:
        health = Health(gateway, metrics)
        gateway.store.writer.ended.append(stopping.set)
        api_tls = api_server_context(keys.tls)
        gateway.keyroom.on_renewed(lambda: reload_api(api_tls, keys.tls))
        _handle_signals(stopping, lambda: _reload(gateway, api_tls, reread))
        # Receipts carry a checkpoint: there is one before the first partner is answered.
        await gateway.checkpoints.sign()
        async with AsyncExitStack() as last, _Front(gateway, metrics, health, api_tls) as front, gateway.working():
            control = await last.enter_async_context(listening_locally(health))
            health.phase = None
            addresses = front.addresses(control)
            _log_addresses(addresses)
            calm_collector()
            announce(addresses)
            notify("READY=1")
            await stopping.wait()
            notify("STOPPING=1")
            log.info("stopping", limit=settings.delivery.drain_timeout_s)
            health.phase = "stopping"
            await front.drain()
        broken = gateway.store.writer.broken
    log.info("stopped")
    if broken is not None:
        # Not in order: the service manager must see it, and start anew on the files that are there now.
        raise broken


@asynccontextmanager
async def opened(
    settings: Settings, keys: FileKeyRing, metrics: Metrics, world: World | None = None
) -> AsyncIterator[Gateway]:
    """Open the home, with its numbers counted; wait for a command line that holds it for a moment."""
    # Held from here on: between a look at the lock and the store's own, a command could take it.
    with contextlib.closing(await _lock_of(settings)) as lock:
        async with open_gateway(
            settings, keys, world, lock=lock, observe=metrics.attempt, on_commit=metrics.commit
        ) as gateway:
            _count(gateway, metrics)
            yield gateway


def _count(gateway: Gateway, metrics: Metrics) -> None:
    def sent(recorded: Recorded) -> None:
        metrics.outcome("out", "accepted", recorded.accepted)
        metrics.outcome("out", "rejected", recorded.rejected)

    def received(accepted: int, rejected: int) -> None:
        metrics.outcome("in", "accepted", accepted)
        metrics.outcome("in", "rejected", rejected)

    gateway.settler.on_recorded(sent)
    gateway.receiver.on_received(received)


async def _lock_of(settings: Settings) -> HomeLock:
    """Return the home's lock, held once whoever had it for a moment let go; else the store says who has it."""
    lock = HomeLock(settings.database_path.with_suffix(".lock"))
    deadline = time.monotonic() + LOCK_WAIT_S
    with contextlib.suppress(OSError):  # a folder that cannot be written is told of when the store opens
        while not lock.take() and time.monotonic() < deadline:
            other = local.connect(local.socket_path(settings.home), 1)
            if other is not None:
                other.close()
                break  # another `serve`
            await asyncio.sleep(LOCK_STEP_S)
    return lock


@asynccontextmanager
async def listening_locally(health: Health, path: Path | None = None) -> AsyncIterator[Path]:
    """Serve the control application on a socket of the home, or at `path`."""
    where = path or local.socket_path(health.gateway.settings.home)
    outermost = middleware("control", health.metrics.request, time.monotonic, health.gateway.problems.note)
    app = control_app(health.gateway, outermost, health.text)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=FLUSH_S)
    await runner.setup()
    try:
        try:
            listener = local.bind(where)
        except OSError as error:
            detail = f"{where}: {error.strerror}; make the home writable for the gateway's user"
            raise ConfigurationError(detail) from None
        await web.SockSite(runner, listener).start()
        yield where
    finally:
        await runner.cleanup()
        with contextlib.suppress(OSError):
            where.unlink()


class _Front:
    """The three listeners of the network, opened together; exchange and API close side by side."""

    def __init__(self, gateway: Gateway, metrics: Metrics, health: Health, api_tls: ssl.SSLContext) -> None:
        self._gateway = gateway
        self._metrics = metrics
        self._health = health
        self._api_tls = api_tls
        self._caps = _caps(gateway.settings.limits, raise_limit())
        self._stacks = {name: AsyncExitStack() for name in ("ops", "exchange", "api")}
        self._bound: dict[str, Address] = {}

    async def __aenter__(self) -> Self:
        g, settings = self._gateway, self._gateway.settings
        parts = ExchangeParts(
            g.receiver, g.contacts, g.directory, g.refusals, g.keys, g.store, g.clock, g.tls, g.witnessing,
            g.attachments.deposits,
            Intake(most_bytes=MAX_REQUEST_BYTES, total_s=BODY_S, refused=partial(self._metrics.refuse, "exchange"),
                tidy=trim,
            ),
            Rates(settings.limits.calls_per_s),
        )  # fmt: skip
        exchange = exchange_app(parts, settings.exchange.path, self._outermost("exchange"))
        ops = ops_app(self._health.ready, self._health.text, self._outermost("ops"))
        api = api_app(g, self._outermost("api"), bearer(g), refused=partial(self._metrics.refuse, "api"), tidy=trim)
        try:
            await self._open(ops, "ops", settings.ops.address, None)
            await self._open(exchange, "exchange", settings.exchange.address, g.tls.server)
            await self._open(api, "api", settings.api.address, self._api_tls)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for stack in reversed(self._stacks.values()):
            await stack.aclose()

    def addresses(self, control: Path) -> Addresses:
        """Return where we listen."""
        return Addresses(self._bound["exchange"], self._bound["api"], self._bound["ops"], control)

    async def drain(self) -> None:
        """Take nothing new and wait for what was begun, within the drain time; probes still get an answer."""
        await asyncio.gather(*(self._stacks[name].aclose() for name in ("exchange", "api")))

    async def _open(self, app: web.Application, name: str, address: Address, tls: ssl.SSLContext | None) -> None:
        drain_s = max(1.0, self._gateway.settings.delivery.drain_timeout_s - FLUSH_S)
        self._bound[name] = await self._stacks[name].enter_async_context(
            listening(
                app,
                name,
                address,
                tls,
                drain_s=drain_s if name != "ops" else 1,
                caps=self._caps[name],
                refused=self._metrics.refuse,
            )
        )

    def _outermost(self, listener: str) -> object:
        keep = self._gateway.problems.note if listener != "ops" else forget
        return middleware(listener, self._metrics.request, time.monotonic, keep)


def _caps(limits: LimitsSettings, descriptors: int) -> dict[str, Caps]:
    """Return what each listener may have, of the descriptors there are."""
    have = shared(
        descriptors, ops=OPS_CONNECTIONS, exchange=limits.exchange_connections, api=limits.api_connections
    )  # fmt: skip
    if have["api"] < limits.api_connections or have["exchange"] < limits.exchange_connections:
        fix = "raise the limit of open files (LimitNOFILE)"
        log.warning("fewer connections than the settings allow", limit=descriptors, count=sum(have.values()), fix=fix)
    of_caller = {"ops": OPS_CONNECTIONS, "exchange": limits.partner_connections, "api": limits.address_connections}
    return {
        name: Caps(total, OPS_CONNECTIONS if name == "ops" else limits.address_connections, of_caller[name])
        for name, total in have.items()
    }


def calm_collector() -> None:
    """Have the garbage collector leave alone what lives as long as the process, and look less often.

    A record of 4 KB is some two hundred small objects: with the defaults a batch of them sets off dozens of
    collections, each through schemas, code lists and modules that never die.
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def calm_allocator() -> None:
    """Have memory that was taken in large blocks go back to the system when it is let go.

    Left to itself the C library of Linux keeps blocks as large as any that was ever freed, for each thread apart: four
    envelopes of 16 MB would stay for as long as the process lives.
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:  # a C library without it has other habits
        mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
        mallopt(_M_ARENA_MAX, 1)


def trim() -> None:
    """Give back to the system what large work left free in between."""
    malloc_trim = getattr(_libc, "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def _handle_signals(stopping: asyncio.Event, reload: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        if stopping.is_set():
            log.warning("stopped at once by a second signal", signal=number.name)
            os._exit(128 + number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    loop.add_signal_handler(signal.SIGHUP, reload)


def _reload(gateway: Gateway, api_tls: ssl.SSLContext, reread: Callable[[], Settings]) -> None:
    """Load certificates and the log level again; whatever is wrong with them, go on with the old ones."""
    try:
        level = reread().ops.log_level
        gateway.tls.reload()
        reload_api(api_tls, gateway.keys.tls)
    except GatewayError as error:
        log.warning("not loaded again", code=error.slug, detail=error.detail)
        return
    logs.configure(level)
    log.info("certificates and log level loaded again")


def _log_addresses(addresses: Addresses) -> None:
    for name, address in (("exchange", addresses.exchange), ("api", addresses.api), ("ops", addresses.ops)):
        log.info("listening", listener=name, url=f"{address.host}:{address.port}")
    log.info("listening", listener="control", file=str(addresses.control))
    log.info("ready", pid=os.getpid())


def notify(state: str) -> None:
    """Tell the service manager (systemd's Type=notify) what we are at, where it asked for it."""
    import socket

    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect(address)
        manager.sendall(state.encode())


def say_ready(addresses: Addresses) -> None:
    """Print the ready line on stderr: stdout carries the log."""
    sys.stderr.write(addresses.line() + "\n")
    sys.stderr.flush()
