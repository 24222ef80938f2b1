"""init, serve, doctor; config; db."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.cli import output
from gateway.cli.common import YesOption, confirm, given, group, home, note, verb

config = group("config", "The settings in force.")
db = group("db", "The database.")

Environment = Literal["prod", "test"]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    verb(app, "init")(init)
    verb(app, "serve")(serve)
    verb(app, "doctor")(doctor)
    app.add_typer(config)
    app.add_typer(db)


def init(
    *,
    party: Annotated[str, typer.Option(help="Who the gateway speaks for, such as id.imigrasi.")],
    name: Annotated[str, typer.Option(help="The authority's name, as partners' officers see it.")],
    country: Annotated[str, typer.Option(help="Its State, ISO 3166-1 alpha-2.")],
    environment: Annotated[Environment, typer.Option(help="prod, or test: shipped schemas and a test agreement.")] = "prod",
    exchange_listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where partners connect.")] = None,
    exchange_url: Annotated[str | None, typer.Option(metavar="URL", help="How they reach it, path included.")] = None,
    api_listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where our own clients connect.")] = None,
    api_url: Annotated[str | None, typer.Option(metavar="URL", help="How they reach it, without a path.")] = None,
    ops_listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Health and metrics, loopback.")] = None,
) -> None:
    """Make a home: settings, agreement, keys and an empty data folder."""
    from gateway.home import InitOptions  # noqa: PLC0415
    from gateway.home import init as make  # noqa: PLC0415
    from gateway.protocol.card import fingerprint  # noqa: PLC0415
    from gateway.runtime import wall_clock  # noqa: PLC0415

    options = InitOptions(
        party=party, name=name, country=country, environment=environment, exchange_listen=exchange_listen,
        exchange_url=exchange_url, api_listen=api_listen, api_url=api_url, ops_listen=ops_listen,
    )  # fmt: skip
    settings, keys = make(home(), options, now_ms=wall_clock())
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
    import asyncio  # noqa: PLC0415

    from gateway import logs  # noqa: PLC0415
    from gateway.config import load_settings  # noqa: PLC0415
    from gateway.home import open_home  # noqa: PLC0415
    from gateway.serving import say_ready  # noqa: PLC0415
    from gateway.serving import serve as run  # noqa: PLC0415

    where = home()
    settings, keys = open_home(where)
    logs.configure(settings.ops.log_level)
    logs.harden_process()
    asyncio.run(run(settings, keys, reread=lambda: load_settings(where), announce=say_ready))


def doctor() -> None:
    """Check every precondition, one line each, with the fix; exit 1 where one fails."""
    from gateway.doctor import examine  # noqa: PLC0415

    findings = examine(home())
    output.show_rows([f.as_dict() for f in findings], ("state", "check", "finding", "fix"))
    if any(f.state == "fail" for f in findings):
        raise typer.Exit(1)
