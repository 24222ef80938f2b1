"""`gateway bench`: figures of two gateways on this machine, each beside its floor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.cli.common import verb
from gateway.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the command."""
    verb(app, "bench")(bench)


def bench(
    *,
    what: Annotated[
        Literal["exchange", "log", "all"],
        typer.Option(help="exchange: two gateways under load; log: one whose log has millions of entries."),
    ] = "exchange",
    leaves: Annotated[int, typer.Option(min=1000, help="Entries of that log.")] = 3_000_000,
    messages: Annotated[int, typer.Option(min=100, help="Messages of the largest load; the others follow.")] = 10_000,
    json_: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there too.")] = None,
) -> None:
    """Measure throughput, latency, memory and loss, each beside the cost of its parts alone."""
    try:
        from benchmarks.run import run
    except ModuleNotFoundError as error:
        if error.name != "benchmarks":
            raise
        raise ConfigurationError("the measurements are in the source tree only; run `make bench` there") from None
    run(messages, json_, leaves=leaves if what != "exchange" else None, exchange=what != "log")
