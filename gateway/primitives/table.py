"""CSV as spreadsheets read it (RFC 4180), with nothing in it that one of them would run."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# A cell that begins so is a formula to a spreadsheet: what a stranger wrote must not run on an auditor's machine.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Sequence[Sequence[object]]) -> str:
    """Return rows as CSV; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    found = str(value)
    return "'" + found if isinstance(value, str) and found.startswith(FORMULA) else found
