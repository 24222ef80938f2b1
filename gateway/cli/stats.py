"""stats."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from gateway.cli import output
from gateway.cli.common import YesOption, alone, confirm, given, group, note, read_input, verb
from gateway.cli.control import API, gateway
from gateway.cli.traffic import send
from gateway.errors import ConfigurationError, MalformedRequest

stats = group("stats", "Periodic statistics: compute, bring in, draw, send.")

SIGNS: Final = {"GT": ">", "LT": "<", "APPROX": "~"}
DIMENSIONS: Final = ("sex", "ageGroup", "checkpoint", "subdivision", "destination", "channel")
COLUMNS: Final = (
    "indicator", "from", "to", "value", "suppressed", "qualifier", "status", *DIMENSIONS, "source",
)  # fmt: skip
IMPORTS: Final = ("import", "at", "account", "withdrawn_at")
SOURCES_MOST: Final = 3

Language = Literal["en", "id", "km"]
FromOption = Annotated[str, typer.Option("--from", metavar="MONTH", help="First month or day, such as 2025-01.")]
ToOption = Annotated[str, typer.Option("--to", metavar="MONTH", help="Last month or day.")]
ByOption = Annotated[
    str | None, typer.Option("--by", metavar="D[,D]", help=f"Break down by one or two of {', '.join(DIMENSIONS)}.")
]
LanguageOption = Annotated[Language, typer.Option("--language", help="Of the labels.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(stats)


@alone(stats)
def stats_show(
    context: typer.Context,
    *,
    first: Annotated[str | None, typer.Option("--from", metavar="MONTH", help="First month or day: 2025-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="MONTH", help="Last month or day.")] = None,
    by: ByOption = None,
    language: LanguageOption = "en",
) -> None:
    """Periodic statistics: compute those of a period, or what a verb says.

    From exchanged messages and imported figures, each with its source. Small cells are suppressed.
    """
    if context.invoked_subcommand is not None:
        return
    if first is None or last is None:
        raise ConfigurationError("give --from and --to, such as --from 2025-01 --to 2025-04")
    with gateway() as reached:
        found = reached.get(f"{API}/statistics", {"from": first, "to": last, "by": by, "language": language})
    for figure in found["left_out"]:
        note(f"left out: {figure['indicator']} of import {figure['import']}, row {figure['row']}: "
             f"{figure['from']} to {figure['to']} lies only partly in the period")  # fmt: skip
    if given.output == "json":
        output.dump(found)
    elif given.output == "csv":
        output.write_csv([COLUMNS, *_lines(found)])
    else:
        told = [partner["party"] for partner in found["partners"]]
        columns = ("figure", "breakdown", "value", *told, "status", "source")
        output.show_rows(_table(found), columns, empty="no figures; `gateway stats import` brings figures in")


@verb(stats, "import")
def stats_import(
    file: Annotated[str, typer.Argument(metavar="FILE.csv|-", help="UTF-8; see docs/catalogue/statistics.md.")],
) -> None:
    """Bring in figures of the authority's own statistics, all rows or none; errors name row and column."""
    headers = {"Content-Type": "text/csv", "Idempotency-Key": str(uuid.uuid4())}
    with gateway() as reached:
        output.show(json.loads(reached.raw("POST", f"{API}/statistics/figures", read_input(file), headers)[1]))


@verb(stats, "imports")
def stats_imports() -> None:
    """List the files of figures, newest first."""
    with gateway() as reached:
        output.show_rows(reached.get(f"{API}/statistics/imports")["items"], IMPORTS, empty="nothing was imported")


@verb(stats, "withdraw")
def stats_withdraw(
    number: Annotated[int, typer.Argument(metavar="IMPORT", help="As `gateway stats imports` numbers it.")],
    *,
    yes: YesOption = False,
) -> None:
    """Leave the figures of an import out from now on."""
    confirm(f"Leave import {number} out of the statistics?", yes=yes)
    with gateway() as reached:
        output.show(reached.post(f"{API}/statistics/imports/{number}/withdraw"))


@verb(stats, "chart")
def stats_chart(
    file: Annotated[Path, typer.Argument(metavar="FILE.svg|FILE.html", help="The chart, or chart and table.")],
    *,
    first: FromOption,
    last: ToOption,
    by: ByOption = None,
    language: LanguageOption = "en",
) -> None:
    """Write the chart of a period, or with .html the page of chart and table, ours and the partner's."""
    route = {".svg": "chart.svg", ".html": "page"}.get(file.suffix)
    if route is None:
        raise ConfigurationError("name a file that ends in .svg or .html")
    with gateway() as reached:
        query = {"from": first, "to": last, "by": by, "language": language}
        drawn = reached.get_bytes(f"{API}/statistics/{route}", query)
    try:
        file.write_bytes(drawn)
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise ConfigurationError(f"{file}: {reason}; name a file that can be written") from None
    note(f"wrote {file}")


@verb(stats, "send")
def stats_send(
    *,
    first: FromOption,
    last: ToOption,
    recipient: Annotated[str, typer.Option("--recipient", metavar="PARTY", help="Such as kh.gdi.")],
    by: ByOption = None,
    final: Annotated[bool, typer.Option("--final", help="The counted figures are final.")] = False,
    extra: Annotated[
        str | None,
        typer.Option("--with", metavar="FILE|-", help="JSON: outreach, campaigns, meetings, contactRole."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the message and send nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the answer; exit 1 unless accepted.")] = False,
) -> None:
    """Tell a partner the figures of a period; once it was told, only what changed since."""
    body: dict[str, Any] = {"recipient": recipient, "from": first, "to": last, "final": final}
    if by is not None:
        body["by"] = by.split(",")
    if extra is not None:
        try:
            body["extra"] = json.loads(read_input(extra))
        except ValueError:
            raise MalformedRequest(f"{extra}: not JSON; give an object of outreach, campaigns, meetings") from None
    with gateway(working=wait and not dry_run) as reached:
        message = reached.post(f"{API}/statistics/draft", body)
        raw = json.dumps(message).encode()
        if dry_run:
            reached.raw("POST", f"{API}/messages?dry_run=true", raw, {"Content-Type": "application/json"})
            output.dump(message)
            return
        send(reached, raw, dry_run=False, wait=wait)


def _lines(found: dict[str, Any]) -> list[list[object]]:
    period = found["period"]
    return [
        [f["indicator"], period["from"], period["to"], f["value"], "true" if f["suppressed"] else "false",
         f["qualifier"], f["status"], *(f["breakdown"].get(name) for name in DIMENSIONS), _sources(f["sources"])]
        for f in found["figures"]
    ]  # fmt: skip


def _table(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row a figure, ours beside the partners'."""
    rows: dict[str, dict[str, Any]] = {}
    for column, figures in (("value", found["figures"]), *((p["party"], p["figures"]) for p in found["partners"])):
        for figure in figures:
            breakdown = " ".join(f"{name}={code}" for name, code in figure["breakdown"].items())
            row = rows.setdefault(
                f"{figure['indicator']} {breakdown}",
                {"figure": figure["label"], "breakdown": breakdown or None, "status": figure["status"],
                 "value": None, **{partner["party"]: None for partner in found["partners"]},
                 # A row that begins with a partner's figure has none of ours: its source is theirs.
                 "source": _sources(figure["sources"][:SOURCES_MOST])},
            )  # fmt: skip
            row[column] = _value(figure)
            more = len(figure["sources"]) - SOURCES_MOST
            if column == "value" and more > 0:
                row["source"] += f"; and {more} more, see -o json"
    return list(rows.values())


def _value(figure: dict[str, Any]) -> str:
    if figure["suppressed"]:
        return "suppressed"
    return f"{SIGNS.get(figure['qualifier'], '')}{figure['value']}"


def _sources(sources: list[dict[str, Any]]) -> str:
    return "; ".join(s["message"] or f"import {s['import']}, row {s['row']}: {s['label']}" for s in sources)
