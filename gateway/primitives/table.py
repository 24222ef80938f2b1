"""CSV as spreadsheets read it (RFC 4180), with nothing in it that one of them would run.

All text is quoted. Where the list separator is another than the comma, a spreadsheet cuts inside the quotes: so what
begins a formula is marked at the beginning of a cell and after every separator in it. `plain_cell` takes back what
`inert` did, exactly, so that what goes out comes in again the same.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Final

from gateway.primitives.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORMULA: Final = r"[=+\-@\uff1d\uff0b\uff0d\uff20\t\r]"
# A beginning, what spreadsheets pass over there, the apostrophes before a formula.
_MARK: Final = re.compile(rf"((?:\A|[,;|\t\r\n\uff0c\uff1b])[ \u00a0\u3000\"]*)('*)(?={_FORMULA})")
# A base64url digest calls nothing, and an auditor who looks one up in a table must find it as it is.
_DIGEST: Final = re.compile(r"-[A-Za-z0-9_-]{42}")
# A line end or a tab is data here; whatever steers a terminal is not.
_KEPT: Final = "\n\t\r"


def csv_text(rows: Sequence[Sequence[object]]) -> str:
    """Return rows as CSV; None is an empty cell, a number stays one, all else is quoted text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return "" if value is None else inert(visible(str(value), keep=_KEPT))


def inert(text: str) -> str:
    """Return text as no spreadsheet runs it: with one more apostrophe before all that could begin a formula."""
    return text if _DIGEST.fullmatch(text) else _MARK.sub(r"\1\2'", text)


def plain_cell(text: str) -> str:
    """Return what `inert` was given."""
    return _MARK.sub(lambda found: found[1] + found[2][:-1], text)
