"""What commands print: JSON, a table on a terminal, tab-separated lines in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.cli.common import colored, given
from gateway.primitives.table import csv_text
from gateway.primitives.visible import LINES, in_json, visible

Row = Mapping[str, Any]


def show_rows(rows: Sequence[Row], columns: Sequence[str], *, empty: str = "") -> None:
    """Print a list. JSON has every member; a table the named columns; `empty` is the note for no rows."""
    if given.output == "json":
        dump(list(rows))
        return
    if given.output == "csv":
        write_csv([columns, *([_cell(row[name]) for name in columns] for row in rows)])
        return
    if not rows and empty and sys.stdout.isatty():
        print(empty, file=sys.stderr)
        return
    if given.output == "table" or sys.stdout.isatty():
        _table(rows, columns)
        return
    for row in rows:
        print("\t".join(plain(row[name]) for name in columns))


def show(record: Row, *, leave_out: Sequence[str] = ()) -> None:
    """Print one record: JSON, or a line `name  value` a member; nested values as JSON."""
    if given.output == "json":
        dump(record)
        return
    if given.output == "csv":
        kept = {name: value for name, value in record.items() if name not in leave_out}
        write_csv([list(kept), [_cell(value) for value in kept.values()]])
        return
    members = {name: value for name, value in record.items() if name not in leave_out}
    if given.output == "table" or sys.stdout.isatty():
        width = max((len(name) for name in members), default=0)
        for name, value in members.items():
            print(f"{name:<{width}}  {plain(value)}")
        return
    for name, value in members.items():
        print(f"{name}\t{plain(value)}")


def write_csv(rows: Sequence[Sequence[object]]) -> None:
    """Print rows as CSV, the names first."""
    sys.stdout.write(csv_text(rows))
    sys.stdout.flush()


def _cell(value: Any) -> object:
    return plain(value) if isinstance(value, list | dict | bool) and value != [] else value or None


def dump(value: Any) -> None:
    """Print JSON."""
    sys.stdout.write(in_json(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def write_bytes(raw: bytes) -> None:
    """Write data as it is; on a terminal with a line end, and with what would act on it written out."""
    if sys.stdout.isatty():
        line(raw.decode(errors="replace").removesuffix("\n"))
        return
    sys.stdout.buffer.write(raw)
    sys.stdout.flush()


def line(text: str) -> None:
    """Print a line, or several, of text that may be somebody else's."""
    print(visible(text, keep=LINES))


def plain(value: Any) -> str:
    """Return a value as people read it, on one line, with what would act on a screen written out."""
    return visible(_words(value).replace("\t", " ").replace("\n", " "))


def _words(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return " ".join(str(item) for item in value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def moment(text: str | None) -> str:
    """Return an RFC 3339 time as a table shows it: minutes are enough, UTC said once in the heading."""
    return "-" if text is None else text[:16].replace("T", " ")


def utc_now() -> datetime:
    """Return the time now."""
    return datetime.now(UTC)


def _table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(no_color=not colored(), highlight=False, soft_wrap=False)
    if not sys.stdout.isatty():
        console.width = 200
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.upper().replace("_", " "), overflow="fold")
    for row in rows:
        # Text, not markup: a partner's name in square brackets must not colour our screen.
        table.add_row(*(Text(plain(row[name])) for name in columns))
    console.print(table)
