"""Looks at every precondition of a gateway, and says how to mend what is missing.

Reads only: it opens no database for writing, asks no partner, and works while `serve` runs or not.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import socket
import sqlite3
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from cryptography import x509

from gateway.config import load_settings
from gateway.errors import ConfigurationError, GatewayError
from gateway.keyring.files import ROOT_FILES, FileKeyRing, open_keys
from gateway.protocol.agreement import parse_agreement
from gateway.protocol.card import read_card
from gateway.protocol.event import VOID
from gateway.services.holdings import judge_holdings
from gateway.settings import parse_address
from gateway.storage.holdings import stored_holdings
from gateway.storage.migrations import HEAD
from gateway.storage.schema import revision
from gateway.storage.volume import MIB, beside, holders, volume_of
from gateway.transport.tsa import open_authority

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gateway.settings import Address, Settings

State = Literal["ok", "warn", "fail"]
Ping = Callable[[str], int | None]
"""`ping(party)` gives that party's clock minus ours in ms, None where no verified answer came."""

DAY_S: Final = 86_400
# SQLite before this version can corrupt a WAL database when two connections write at once.
WAL_RESET_FIXED: Final = (3, 51, 3)
YEAR_2026_S: Final = 1_767_225_600
DISK_FREE_LEAST: Final = 256 * 1024 * 1024
CERTIFICATE_LEAST_S: Final = 5 * DAY_S
CARD_LEAST_S: Final = 15 * DAY_S
TOKEN_SOON_S: Final = 30 * DAY_S
TOKEN_URGENT_S: Final = 7 * DAY_S
READY_TIMEOUT_S: Final = 5
SCANNER_TIMEOUT_S: Final = 5
ROWS_LOOKED_AT: Final = 2000
FAULTS_TOLD: Final = 50
CLOCK_SKEW_MOST_MS: Final = 60_000  # far inside what the protocol defers for: a clock that runs off shows early


@dataclass(frozen=True, slots=True)
class Check:
    """One precondition: how it stands, and what to do about it."""

    state: State
    check: str
    finding: str
    fix: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        """Return the members for JSON and tables."""
        return asdict(self)


def examine(home: Path, ping: Ping | None = None, now_s: float | None = None) -> list[Check]:
    """Return every check of a home, the machine's first. Never raises for what it finds.

    `ping` asks a partner by way of the running `serve`; without it only what is stored is looked at.
    """
    now = time.time() if now_s is None else now_s
    found = [*_machine(now)]
    try:
        settings = load_settings(home)
    except ConfigurationError as error:
        return [*found, _failed("settings", error)]
    found.append(Check("ok", "settings", f"{settings.party.id}, {settings.party.environment}"))
    found += _each(
        {
            "home": lambda: _home(settings),
            "agreement": lambda: _agreement(settings, now),
            "keys": lambda: _keys(settings, now),
            "timestamps": lambda: _timestamps(settings),
            "data folder": lambda: _disk(settings),
            "virus scanner": lambda: _scanner(settings),
            "database": lambda: _database(settings, now, ping),
            "serve": lambda: _listeners(settings, served=ping is not None),
        }
    )
    return found


def ready(home: Path) -> bool:
    """Say whether the `serve` of a home answers that it is ready: what a container's health check asks."""
    address = load_settings(home).ops.address
    host = f"[{address.host}]" if ":" in address.host else address.host
    try:
        with urllib.request.urlopen(f"http://{host}:{address.port}/readyz", timeout=READY_TIMEOUT_S) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _each(parts: Mapping[str, Callable[[], Iterator[Check]]]) -> Iterator[Check]:
    for name, part in parts.items():
        try:
            yield from part()
        except GatewayError as error:
            yield _failed(name, error)
        except OSError as error:
            shown = f"{error.filename}: {(error.strerror or 'cannot be used').lower()}"
            yield Check("fail", name, shown, "put right what stands there, or its permissions")


def _failed(check: str, error: GatewayError) -> Check:
    text = error.detail or error.title
    what, _, fix = text.rpartition("; ")
    return Check("fail", check, what or text, fix if what else None)


def _machine(now: float) -> Iterator[Check]:
    yield Check("ok", "python", platform.python_version())
    if sqlite3.sqlite_version_info >= WAL_RESET_FIXED:
        yield Check("ok", "sqlite", sqlite3.sqlite_version)
    else:
        fixed = ".".join(map(str, WAL_RESET_FIXED))
        yield Check(
            "warn", "sqlite", f"{sqlite3.sqlite_version} has the WAL-reset fault; the single writer avoids it",
            f"open the database only through `gateway`; SQLite {fixed} or later is better",
        )  # fmt: skip
    if now < YEAR_2026_S:
        yield Check("fail", "clock", "stands before 2026", "set the clock and start a time service")
    else:
        yield Check("ok", "clock", datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"))
    limit = resource.getrlimit(resource.RLIMIT_CORE)[0]
    yield Check("ok", "core dumps", "off" if limit == 0 else "`gateway serve` turns them off for itself")
    if sys.platform != "linux":
        yield Check("warn", "system", sys.platform, "only Linux is tried")


def _home(settings: Settings) -> Iterator[Check]:
    if settings.home.stat().st_mode & 0o077:
        yield Check("warn", "home", f"{settings.home} is open to others", f"chmod 700 {settings.home}")
    else:
        yield Check("ok", "home", str(settings.home))


def _agreement(settings: Settings, now: float) -> Iterator[Check]:
    path = settings.agreement_path
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: not found; copy config/agreement.toml there and fill it in") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({type(error).__name__}); correct the file") from None
    agreement = parse_agreement(found, environment=settings.party.environment, name=str(path))
    others = sorted(agreement.parties - {settings.me})
    if not others or settings.me not in agreement.parties:
        yield Check("warn", "agreement", "permits nothing between us and anybody", f"fill in {path}")
    else:
        yield Check("ok", "agreement", f"with {', '.join(others)}")
    in_force = [i for i in agreement.instruments if i.period.covers(int(now * 1000))]
    if not in_force:
        fix = f"name the binding instrument under [[transfer_instrument]] in {path}"
        yield Check("warn", "transfer instrument", "none is in force: personal data is refused", fix)
    else:
        tests = " (TEST)" if any(i.test for i in in_force) else ""
        yield Check("ok", "transfer instrument", f"{len(in_force)} in force{tests}")


def _keys(settings: Settings, now: float) -> Iterator[Check]:
    keys = open_keys(settings.keys_path, settings.me)
    keys.signer(int(now * 1000))
    yield Check("ok", "keys", f"{len(keys.records())} held")
    if keys.root_signer() is None:
        fix = "bring a new card when keys change: gateway card sign, where the root keys live"
        yield Check("ok", "root keys", "offline", fix)
    elif settings.party.environment == "prod":
        fix = f"move {' and '.join(ROOT_FILES)} of {settings.keys_path} offline; see `gateway card sign --help`"
        yield Check("warn", "root keys", "lie in the home: whoever takes it can make itself this party", fix)
    for warning in keys.warnings(int(now * 1000)):
        yield Check("warn", "keys", warning, "`gateway keys rotate --plan` shows the steps")
    yield from _certificates(keys, now)


def _certificates(keys: FileKeyRing, now: float) -> Iterator[Check]:
    names = {"exchange server": keys.tls.server_certificate, "exchange client": keys.tls.client_certificate,
             "api": keys.tls.api_certificate, "CA": keys.tls.ca_certificate}  # fmt: skip
    for name, path in names.items():
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError):
            yield Check("fail", f"certificate {name}", f"{path} cannot be read", "`gateway keys rotate --use tls`")
            continue
        left = certificate.not_valid_after_utc.timestamp() - now
        shown = f"{int(left // DAY_S)} days left" if left >= 0 else "expired"
        if left < CERTIFICATE_LEAST_S:
            fix = "start `gateway serve`, which renews it, or run `gateway keys rotate --use tls`"
            yield Check("warn" if left >= 0 else "fail", f"certificate {name}", shown, fix)
        else:
            yield Check("ok", f"certificate {name}", shown)


def _timestamps(settings: Settings) -> Iterator[Check]:
    if not settings.audit.timestamp_url:
        yield Check("ok", "timestamps", "off")
        return
    open_authority(settings.audit.timestamp_url, settings.timestamp_certificates_path)
    yield Check("ok", "timestamps", f"from {urlsplit(settings.audit.timestamp_url).hostname}")


def _disk(settings: Settings) -> Iterator[Check]:
    folder = settings.database_path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Check("fail", "data folder", f"{folder} cannot be written", "make it writable for the gateway's user")
        return
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        yield Check("fail", "data folder", f"{folder} is on a read-only volume", "mount it writable")
        return
    volume = volume_of(folder)
    shown = f"{volume.free // MIB} MiB free, of which the last {-(-volume.kept // MIB)} are kept"
    wal = beside(settings.database_path, "-wal")
    held = wal.stat().st_size if wal.exists() else 0
    if held > settings.storage.wal_bytes // 2:
        by = ", ".join(holders(settings.database_path)) or "nobody we know"
        fix = f"end what keeps the database open: {by}; {wal.name} must not be deleted"
        yield Check("warn", "journal", f"{held // MIB} MiB of {settings.storage.wal_bytes // MIB}", fix)
    if volume.free < volume.kept:
        yield Check("fail", "disk", shown, "free space on the data volume: nothing new is taken")
    elif volume.free < DISK_FREE_LEAST or volume.free < 2 * volume.kept:
        yield Check("warn", "disk", shown, "free space on the data volume")
    else:
        yield Check("ok", "disk", shown)


def _scanner(settings: Settings) -> Iterator[Check]:
    address = settings.limits.virus_scanner
    if not address:
        yield Check("ok", "virus scanner", "none is named: limits.virus_scanner")
        return
    try:
        with closing(_connected(address)) as scanner:
            scanner.sendall(b"zPING\0")
            answer = scanner.recv(16)
    except OSError as error:
        answer = type(error).__name__.encode()
    if answer == b"PONG\0":
        yield Check("ok", "virus scanner", f"answers at {address}")
    else:
        fix = "start clamd, or correct limits.virus_scanner; until it answers no file is taken"
        yield Check("fail", "virus scanner", f"does not answer at {address}", fix)


def _connected(address: str) -> socket.socket:
    if not address.startswith("/"):
        place = parse_address(address)
        return socket.create_connection((place.host, place.port), SCANNER_TIMEOUT_S)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.settimeout(SCANNER_TIMEOUT_S)
    try:
        found.connect(address)
    except OSError:
        found.close()
        raise
    return found


def _database(settings: Settings, now: float, ping: Ping | None) -> Iterator[Check]:
    path = settings.database_path
    found = revision(path)
    if found is None:
        yield Check("warn", "database", "not made yet", "start `gateway serve` once")
        return
    if found > HEAD:
        yield Check("fail", "database", f"revision {found} is newer than this gateway's {HEAD}", "start the newer one")
        return
    state: State = "ok" if found == HEAD else "warn"
    yield Check(state, "database", f"revision {found}", None if found == HEAD else "`gateway db upgrade`")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            yield from _stored(connection, settings, now, ping)
            if found == HEAD:
                yield from _tokens(connection, settings, now)
        except sqlite3.DatabaseError as error:
            yield Check("fail", "database", f"cannot be read ({type(error).__name__})", "`gateway db restore FILE`")
            return
    if found == HEAD:
        yield from _tables(path, settings.me)


def _tables(path: Path, me: str) -> Iterator[Check]:
    """Hold the newest rows of each table against the log: a big home must not make anybody wait for the rest."""
    with stored_holdings(path) as held:
        faults = list(islice(judge_holdings(held, me, ROWS_LOOKED_AT), FAULTS_TOLD))
    for fault in faults:
        fix = "`gateway audit verify` names all; docs/operations.md#tables-and-log says what to do"
        yield Check("fail", f"table {fault.path}", f"{fault.what}: {fault.meaning}", fix)
    if not faults:
        shown = f"the newest {ROWS_LOOKED_AT} rows of each are as logged; `gateway audit verify` looks at all"
        yield Check("ok", "tables", shown)


def _stored(connection: sqlite3.Connection, settings: Settings, now: float, ping: Ping | None) -> Iterator[Check]:
    newest = "SELECT jws FROM cards WHERE party = ? AND disputed = 0 ORDER BY version DESC, id LIMIT 1"
    row = connection.execute(newest, (settings.party.id,)).fetchone()
    if row is None:
        yield Check("warn", "card", "none is signed yet", "start `gateway serve` once, or `gateway card sign` offline")
    else:
        yield _card("card", row[0], now, "start `gateway serve`, or sign a new one where the root keys live")
    found = connection.execute("SELECT value FROM state WHERE name = 'guard'").fetchone()
    if found is not None and found[0]:
        yield from _behind(connection, json.loads(found[0]))
    found = connection.execute("SELECT value FROM state WHERE name = 'clock'").fetchone()
    if found is not None:
        yield _clock_kept(json.loads(found[0]), now, served=ping is not None)
    partners = "SELECT p.party, state, down_since, problem, jws FROM partners p JOIN cards c ON c.id = p.card_id"
    rows = connection.execute(partners).fetchall()
    if not rows:
        yield Check("warn", "partners", "none is enrolled", "`gateway partner add FILE` with the partner's card")
    for party, state, down_since, problem, card in rows:
        if state != "active":
            yield Check("warn", f"partner {party}", state, f"`gateway partner resume {party}` takes it back")
        elif down_since is not None:
            yield Check("warn", f"partner {party}", f"not reached: {problem}", f"`gateway partner ping {party}`")
        else:
            yield _card(f"partner {party}", card, now, "ask the partner for its newer card")
            if ping is not None:
                yield _clocks(party, ping(party))
    dead = connection.execute("SELECT count(*) FROM outbox WHERE state = 'dead'").fetchone()[0]
    if dead:
        yield Check("warn", "dead letters", f"{dead} given up", "`gateway queue list --state dead`")


def _behind(connection: sqlite3.Connection, found: Mapping[str, Any]) -> Iterator[Check]:
    fix = "stop serving, then `gateway db restore FILE` with the newest database: nothing is taken or sent until then"
    yield Check("fail", "audit log", found["reason"], fix)
    # Before a partner has answered nobody knows, and what was submitted got its 202.
    counted = "SELECT count(*) FROM outbox WHERE leaf >= ? AND subject <> ?"
    taken = connection.execute(counted, (found.get("size", 0), VOID)).fetchone()[0]
    if taken:
        fix = "have their senders submit them again after the repair; `gateway queue list` shows them"
        yield Check("warn", "messages of this log alone", f"{taken} accepted before it was known", fix)


def _tokens(connection: sqlite3.Connection, settings: Settings, now: float) -> Iterator[Check]:
    """Warn of accounts that nobody will be able to sign in to: a system whose token ends sends nothing more."""
    newest = """
        SELECT a.name, a.person, max(t.issued_at), t.ends_at FROM accounts a JOIN tokens t ON t.account = a.id
        WHERE a.disabled_at IS NULL GROUP BY a.id ORDER BY a.name
    """
    ttl_ms = settings.access.token_ttl_days * DAY_S * 1000
    accounts = connection.execute(newest).fetchall()
    ending = 0
    for name, person, issued_at, ends_at in accounts:
        end = issued_at + ttl_ms if ends_at is None else min(issued_at + ttl_ms, ends_at)
        left = end / 1000 - now
        if left >= TOKEN_SOON_S:
            continue
        ending += 1
        noun = "user" if person else "client"
        shown = f"ends in {int(left // DAY_S)} days" if left >= 0 else "expired: every call with it is refused"
        if 0 <= left < TOKEN_URGENT_S:
            shown += ", within a week"
        fix = f"`gateway {noun} reset {name} --overlap 24`, and give its {noun} the new one"
        yield Check("warn", f"token of {noun} {name}", shown, fix)
    if accounts and not ending:
        yield Check("ok", "tokens", f"{len(accounts)} accounts, none ends within 30 days")


def _clock_kept(kept: dict[str, Any], now: float, *, served: bool) -> Check:
    fix = "set the clock right, or `gateway clock confirm` once you have compared it with another one"
    behind_s = (kept["sure"] or 0) / 1000 - now
    if behind_s > CLOCK_SKEW_MOST_MS / 1000:
        return Check("fail", "clock of the home", f"stands {behind_s:.0f} s before the last time it has seen", fix)
    if served and kept["doubt"]:
        state: State = "fail" if kept.get("wrong", True) else "warn"
        return Check(state, "clock of the home", kept["doubt"].partition(": ")[0], fix)
    return Check("ok", "clock of the home", "goes on from the last time it has seen")


def _clocks(party: str, skew_ms: int | None) -> Check:
    check = f"partner {party} clock"
    if skew_ms is None:
        return Check("warn", check, "gave no verified answer", f"`gateway partner ping {party}`")
    if abs(skew_ms) > CLOCK_SKEW_MOST_MS:
        fix = "compare both clocks with a time service: messages are deferred until they agree"
        return Check("fail", check, f"{skew_ms / 1000:+.0f} s against ours", fix)
    return Check("ok", check, f"{skew_ms:+d} ms against ours")


def _card(check: str, raw: bytes, now: float, fix: str) -> Check:
    card = read_card(raw)
    left = card.expires_ms / 1000 - now
    shown = f"card version {card.version}, {int(left // DAY_S)} days left" if left >= 0 else "its card has expired"
    if left < 0:
        return Check("fail", check, shown, fix)
    return Check("ok", check, shown) if left >= CARD_LEAST_S else Check("warn", check, shown, fix)


def _listeners(settings: Settings, *, served: bool) -> Iterator[Check]:
    if served:
        yield Check("ok", "serve", "runs on this home")
        return
    yield Check("ok", "serve", "does not run")
    addresses = {
        "exchange": settings.exchange.address, "api": settings.api.address, "ops": settings.ops.address,
    }  # fmt: skip
    for name, address in addresses.items():
        fault = _taken(address)
        if fault is None:
            yield Check("ok", f"{name}.listen", f"{address.host}:{address.port} is free")
        else:
            fix = f"stop what uses it, or set {name}.listen in gateway.toml"
            yield Check("fail", f"{name}.listen", f"{address.host}:{address.port}: {fault}", fix)


def _taken(address: Address) -> str | None:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            return (error.strerror or "cannot be bound").lower()
    return None
