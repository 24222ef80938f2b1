"""CSV as spreadsheets read it (RFC 4180), with nothing in it that one of them would run."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# A cell that begins so is a formula to a spreadsheet: what a stranger wrote must not run on an auditor's machine.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
# A base64url digest calls nothing, and an auditor who looks one up in a table must find it as it is.
_DIGEST: Final = re.compile(r"-[A-Za-z0-9_-]{42}")


def csv_text(rows: Sequence[Sequence[object]]) -> str:
    """Return rows as CSV; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return inert(value) if isinstance(value, str) else str(value)


def inert(text: str) -> str:
    """Return text as no spreadsheet runs it: with an apostrophe before what looks like a formula."""
    return "'" + text if text.startswith(FORMULA) and not _DIGEST.fullmatch(text) else text
