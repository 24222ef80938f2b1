"""What `audit verify` of a home says of its tables beside the log."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from gateway.cli import output
from gateway.cli.common import given, note

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.ledger.compare import Fault

MOST: Final = 1000
"""Differences told: whoever emptied a table of a million rows need not be told a million times."""


def tables_of(home: Path) -> Sequence[Fault]:
    """Return each difference between the tables of a home and its log, the first of them where there are many."""
    from gateway.config import load_settings
    from gateway.services.holdings import judge_holdings
    from gateway.storage.holdings import stored_holdings

    settings = load_settings(home)
    with stored_holdings(settings.database_path) as held:
        return list(islice(judge_holdings(held, settings.me), MOST))


def show_tables(faults: Sequence[Fault]) -> None:
    """Tell people of the differences, one a line, and what to do next."""
    if given.output != "json":
        for fault in faults:
            where = f"{fault.path}, entry {fault.index}" if fault.index is not None else fault.path
            output.line(f"fault: {where}: {fault.what}: {fault.meaning}")
    if len(faults) == MOST:
        note(f"there may be more than these {MOST}")
    note("the tables are not what the log says: keep this copy; docs/operations.md#tables-and-log says what to do")
