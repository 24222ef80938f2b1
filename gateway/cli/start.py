"""init, serve, doctor; config; db."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli import output
from gateway.cli.common import YesOption, confirm, given, group, home, note, verb
from gateway.cli.control import CONTROL, gateway, running, segment
from gateway.errors import Clash, ConfigurationError, GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

config = group("config", "The settings in force.")
db = group("db", "The database.")

Environment = Literal["prod", "test"]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    verb(app, "init")(init)
    verb(app, "serve")(serve)
    verb(app, "doctor")(doctor)
    verb(app, "metrics")(metrics)
    app.add_typer(config)
    app.add_typer(db)


def init(
    *,
    party: Annotated[str, typer.Option(help="Who the gateway speaks for, such as id.imigrasi.")],
    name: Annotated[str, typer.Option(help="The authority's name, as partners' officers see it.")],
    country: Annotated[str, typer.Option(help="Its State, ISO 3166-1 alpha-2.")],
    environment: Annotated[Environment, typer.Option(help="test: shipped schemas, a test agreement.")] = "prod",
    exchange_listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where partners connect.")] = None,
    exchange_url: Annotated[str | None, typer.Option(metavar="URL", help="How they reach it, path included.")] = None,
    api_listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where our own clients connect.")] = None,
    api_url: Annotated[str | None, typer.Option(metavar="URL", help="How they reach it, without a path.")] = None,
    ops_listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Health and metrics, loopback.")] = None,
) -> None:
    """Make a home: settings, agreement, keys and an empty database."""
    import asyncio

    from gateway.home import InitOptions
    from gateway.home import init as make
    from gateway.protocol.card import fingerprint
    from gateway.running import wall_clock

    options = InitOptions(
        party=party, name=name, country=country, environment=environment, exchange_listen=exchange_listen,
        exchange_url=exchange_url, api_listen=api_listen, api_url=api_url, ops_listen=ops_listen,
    )  # fmt: skip
    settings, keys = make(home(), options, now_ms=wall_clock())
    from gateway.runtime import open_gateway  # slow to load: a wrong option is told before

    async def open_once() -> None:
        async with open_gateway(settings, keys):
            pass

    # Here and not in the first `serve`: migrating and reading every schema for the first time would stay in its
    # memory, 24 MiB.
    asyncio.run(open_once())
    output.show(
        {
            "home": str(settings.home),
            "party": settings.party.id,
            "environment": settings.party.environment,
            "exchange_url": settings.exchange.url,
            "api_url": settings.api.url,
            "fingerprint": fingerprint(keys.roots),
        }
    )
    note("next: `gateway card export` for the partner, `gateway partner add` for theirs, then `gateway serve`")
    if environment == "prod":
        note("prod: fill in agreement.toml and approve schemas with `gateway schema approve`; nothing is permitted yet")


def serve() -> None:
    """Run until SIGTERM or Ctrl-C; the log goes to stdout, one JSON object a line."""
    import asyncio

    from gateway import logs
    from gateway.config import load_settings
    from gateway.home import open_home

    where = home()
    settings, keys = open_home(where)
    # Most of a start is loading this; what is wrong with a home is told before.
    from gateway.serving import say_ready
    from gateway.serving import serve as run

    logs.configure(settings.ops.log_level)
    logs.harden_process()
    asyncio.run(run(settings, keys, reread=lambda: load_settings(where), announce=say_ready))


def doctor(
    *,
    ready: Annotated[bool, typer.Option("--ready", help="Only ask the running `serve` whether it is ready.")] = False,
) -> None:
    """Check every precondition, one line each, with the fix; exit 1 where one fails."""
    from gateway import doctor as look

    if ready:
        answers = look.ready(home())
        output.show({"ready": answers})
        if not answers:
            raise typer.Exit(1)
        return
    found = look.examine(home(), _ping(home()))
    output.show_rows([check.as_dict() for check in found], ("state", "check", "finding", "fix"))
    if any(check.state == "fail" for check in found):
        raise typer.Exit(1)


def _ping(where: Path) -> Callable[[str], int | None] | None:
    """Return what asks a partner through the running `serve`, or None where none runs."""
    client = running(where)
    if client is None:
        return None

    def ping(party: str) -> int | None:
        try:
            found: int = client.post(f"{CONTROL}/partners/{segment(party)}/ping")["clock_ms"]
        except GatewayError:
            return None
        return found

    return ping


def metrics() -> None:
    """Print the metrics as Prometheus reads them; `serve` offers the same at /metrics."""
    with gateway() as reached:
        output.write_bytes(reached.get_bytes(f"{CONTROL}/metrics"))


# --- config -----------------------------------------------------------------------------------------


@verb(config, "show")
def config_show() -> None:
    """Print the settings in force for this home, secrets left out."""
    from gateway.config import load_settings

    found = load_settings(home()).redacted()
    if given.output == "json":
        output.dump(found)
        return
    output.show(
        {
            name if field is None else f"{name}.{field}": value
            for name, section in found.items()
            for field, value in (section.items() if isinstance(section, dict) else [(None, section)])
        }
    )


@verb(config, "check")
def config_check() -> None:
    """Read settings, agreement, keys and schemas as `serve` would, and say the first fault; change nothing."""
    from gateway.home import open_home
    from gateway.inputs import read_agreement, read_codelists, read_schemas
    from gateway.resources import schemas_path

    settings, keys = open_home(home())
    agreement = read_agreement(settings)
    read_codelists(schemas_path())
    read_schemas(schemas_path(), {})
    read_schemas(settings.home / "schemas", {})
    output.show(
        {
            "settings": "ok", "party": settings.party.id, "environment": settings.party.environment,
            "agreement": sorted(agreement.parties), "keys": len(keys.records()),
        }
    )  # fmt: skip


# --- db ---------------------------------------------------------------------------------------------


@verb(db, "upgrade")
def db_upgrade(
    *, dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the SQL and change nothing.")] = False
) -> None:
    """Bring the database to the revision this gateway needs; `serve` does so by itself."""
    from gateway.config import load_settings
    from gateway.storage.migrations import HEAD
    from gateway.storage.schema import revision, upgrade, upgrade_sql

    path = load_settings(home()).database_path
    found = revision(path)
    if dry_run:
        print(upgrade_sql(found) if found != HEAD else f"-- revision {HEAD}: nothing to do")
        return
    with _alone():
        upgrade(path)
    output.show({"database": str(path), "from": found, "revision": HEAD})


@verb(db, "backup")
def db_backup(file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")]) -> None:
    """Copy the database, as of now, while traffic goes on. Keys and settings are files of the home: copy them too."""
    with gateway() as reached:
        output.show(reached.post(f"{CONTROL}/backups", {"path": str(file.absolute())}))


@verb(db, "restore")
def db_restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `db backup` wrote.")], *, yes: YesOption = False
) -> None:
    """Put a backup in place of the database; the old one is kept beside it. Stop `serve` first."""
    from gateway.config import load_settings
    from gateway.storage.migrations import HEAD
    from gateway.storage.schema import revision

    path = load_settings(home()).database_path
    found = revision(file) if file.is_file() else None
    if found is None or found > HEAD:
        raise ConfigurationError(f"{file}: no backup this gateway can read; name a file that `db backup` wrote")
    confirm(f"Replace {path} by {file}? What was exchanged since the backup is not in it.", yes=yes)
    with _alone():
        kept = _swap_in(file, path)
    output.show({"database": str(path), "revision": found, "kept": kept})
    note("the log of a restored backup is behind what partners have seen: read docs/operations.md before `serve`")


def _swap_in(file: Path, path: Path) -> str | None:
    fresh = path.with_name(path.name + ".restored")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(file, fresh)
        fresh.chmod(0o600)
        with fresh.open("rb") as copied:
            os.fsync(copied.fileno())
        kept = None
        if path.exists():
            kept = path.with_name(f"{path.name}.before-{output.utc_now():%Y%m%dT%H%M%SZ}")
            # The write-ahead log belongs to the old file: it must not be replayed into the new one.
            for end in ("-wal", "-shm"):
                side = path.with_name(path.name + end)
                if side.exists():
                    side.rename(kept.with_name(kept.name + end))
            path.rename(kept)
        fresh.rename(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; check the space and rights of the data folder") from None
    return str(kept) if kept else None


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the home's lock: nobody else writes meanwhile. Raises Clash while `serve` runs."""
    from gateway.config import load_settings
    from gateway.storage.store import HomeLock

    lock = HomeLock(load_settings(home()).database_path.with_suffix(".lock"))
    if not lock.take():
        raise Clash("`gateway serve` runs on this home: stop it first")
    try:
        yield
    finally:
        lock.close()
