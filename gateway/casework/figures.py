"""Figures an authority brings in from its own statistics as CSV, and how they join what the gateway counted.

One row is one figure of one period. A row with a breakdown needs the total beside it. Where such a figure covers
a day, what the gateway counted of that indicator on that day is left out: it sees a part of what the authority does.
"""

from __future__ import annotations

import csv
import io
import re
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from gateway.casework.dates import Span, span_of
from gateway.casework.persons import text_fault
from gateway.casework.statistics import MAX_DIMENSIONS, Count, Figure, combined, tabulate
from gateway.errors import FINDINGS_MOST, Finding, capped
from gateway.primitives.table import plain_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from gateway.casework.codelists import CodeLists

DIMENSIONS: Final = ("sex", "ageGroup", "checkpoint", "subdivision", "destination", "channel")
NEEDED: Final = ("indicator", "from", "to", "value", "source")
COLUMNS: Final = (*NEEDED[:4], "qualifier", "status", *DIMENSIONS, "source")
MOST_ROWS: Final = 5000
MOST_VALUE: Final = 1_000_000_000
SOURCE_MOST: Final = 80
# What is there at a time and not what happened in it: of several periods the last one counts, they are no sum.
STOCK: Final = frozenset(("VILLAGES_ACTIVE", "PIMPASA_OFFICERS"))

_CHANNEL: Final = re.compile("[A-Z][A-Z0-9_]{1,39}")
_VALUE: Final = re.compile("0|[1-9][0-9]{0,9}")
_LISTS: Final = {
    "sex": ("sex",),
    "ageGroup": ("ageGroup",),
    "checkpoint": ("checkpoint",),
    "subdivision": ("subdivisionID", "subdivisionKH"),
    "destination": ("country",),
}

_Cell = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Imported:
    """One figure brought in: of the days `span`, from row `line` of import `number`, and where it comes from."""

    indicator: str
    span: Span
    value: int
    qualifier: str = "EQ"
    status: str = "FINAL"
    breakdown: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    number: int = 0
    line: int = 0

    @property
    def cell(self) -> _Cell:
        """Return what the figure is about."""
        return self.indicator, frozenset(self.breakdown.items())

    @property
    def origin(self) -> str:
        """Return how a computed figure names it among its sources."""
        return f"import/{self.number}/{self.line}"


# --- reading ------------------------------------------------------------------------------------------


def read_csv(
    raw: bytes, codelists: CodeLists, personal: Callable[[str], str | None]
) -> tuple[list[Imported], list[Finding]]:
    """Return the figures of a file and its faults, `/ROW/COLUMN` with the header as row 1.

    `personal` tells what personal data a text holds, or None. Comma or semicolon, UTF-8.
    """
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return [], [Finding("", "not UTF-8: save the sheet as CSV UTF-8", "E-SCHEMA")]
    head = lines[0] if lines else ""
    rows = csv.reader(io.StringIO("\n".join(lines)), delimiter=";" if head.count(";") > head.count(",") else ",")
    try:
        names = [name.strip() for name in next(rows, ())]
        every = ((i, row) for i, row in enumerate(rows, 2) if any(cell.strip() for cell in row))
        filled = list(islice(every, MOST_ROWS + 1))
    except csv.Error:
        return [], [Finding("", "not CSV (RFC 4180)", "E-SCHEMA")]
    faults = [Finding(f"/1/{name}", "this column is missing", "E-SCHEMA") for name in NEEDED if name not in names]
    if not set(names) <= set(COLUMNS) or len(names) != len(set(names)):
        faults.append(Finding("/1", f"the columns are {', '.join(COLUMNS)}, each once", "E-SCHEMA"))
    if not filled or len(filled) > MOST_ROWS:
        faults.append(Finding("", f"a file has 1 to {MOST_ROWS} rows beside its header", "E-SIZE"))
    if faults:
        return [], faults
    found: list[Imported] = []
    for line, row in filled:
        if len(row) != len(names):
            faults.append(Finding(f"/{line}", "has another number of cells than the header", "E-SCHEMA"))
            continue
        cells = {name: plain_cell(cell.strip()) for name, cell in zip(names, row, strict=True) if cell.strip()}
        if len(faults) > FINDINGS_MOST:
            break
        wrong = [Finding(f"/{line}/{name}", why, code) for name, why, code in _faults(cells, codelists, personal)]
        faults += wrong
        if not wrong:
            found.append(_figure(cells, line))
    return found, list(capped(faults or _alone(found)))


def _faults(
    cells: Mapping[str, str], codelists: CodeLists, personal: Callable[[str], str | None]
) -> Iterator[tuple[str, str, str]]:
    for name in NEEDED:
        if name not in cells:
            yield name, "is empty", "E-SCHEMA"
    first, last = span_of(cells.get("from")), span_of(cells.get("to"))
    if "from" in cells and first is None:
        yield "from", "is a month or a day: 2025-01, 2025-01-31", "E-DATE"
    if "to" in cells and (last is None or (first is not None and last.last < first.first)):
        yield "to", "is a month or a day, not before `from`", "E-DATE"
    value = cells.get("value", "0")
    if not _VALUE.fullmatch(value) or int(value) > MOST_VALUE:
        yield "value", "is a whole number, digits only", "E-SCHEMA"
    yield from _code_faults(cells, codelists)
    source = cells.get("source", "")
    if len(source) > SOURCE_MOST or not source.isprintable() or text_fault(source) is not None:
        yield "source", f"is one line of at most {SOURCE_MOST} characters", "E-SCHEMA"
    elif (what := personal(source)) is not None:
        yield "source", f"{what} in a text without personal data", "E-PII"


def _code_faults(cells: Mapping[str, str], codelists: CodeLists) -> Iterator[tuple[str, str, str]]:
    for name, listed in (("indicator", "statIndicator"), ("qualifier", "figureQualifier")):
        if name in cells and codelists.find(listed, cells[name]) is None:
            yield name, f"not a code of {listed}", "E-CODE"
    if cells.get("status", "FINAL") not in ("FINAL", "PROVISIONAL"):
        yield "status", "is FINAL or PROVISIONAL", "E-CODE"
    by = [name for name in DIMENSIONS if name in cells]
    if len(by) > MAX_DIMENSIONS:
        yield by[-1], "at most two dimensions break a figure down", "E-SCHEMA"
    for name in by:
        lists = _LISTS.get(name, ())
        known = (
            any(codelists.find(listed, cells[name]) for listed in lists) if lists else _CHANNEL.fullmatch(cells[name])
        )
        if not known:
            yield name, f"not a code of {' or '.join(lists)}" if lists else "is a word in capitals", "E-CODE"


def _figure(cells: Mapping[str, str], line: int) -> Imported:
    first, last = span_of(cells["from"]), span_of(cells["to"])
    assert first is not None
    assert last is not None
    by = {name: cells[name] for name in DIMENSIONS if name in cells}
    return Imported(
        cells["indicator"], Span(first.first, last.last), int(cells["value"]), cells.get("qualifier", "EQ"),
        cells.get("status", "FINAL"), by, cells["source"], line=line,
    )  # fmt: skip


def _alone(figures: Sequence[Imported]) -> Iterator[Finding]:
    totals = {(f.indicator, f.span) for f in figures if not f.breakdown}
    for figure in figures:
        if figure.breakdown and (figure.indicator, figure.span) not in totals:
            why = "a figure broken down needs its total: a row of the same indicator and period without breakdown"
            yield Finding(f"/{figure.line}", why, "E-COUNT")


def overlaps(fresh: Sequence[Imported], held: Sequence[Imported]) -> Iterator[Finding]:
    """Yield each fresh figure whose days another period's figure of the same cell covers too: a sum would be wrong.

    The same cell and period again is a revision of it, but not within one file. Each figure is told of once; a
    figure that is told of covers nothing for those after it.
    """
    covered: dict[_Cell, _Covered] = {}
    for figure in held:
        covered.setdefault(figure.cell, _Covered()).add(figure)
    for figure in fresh:
        of_cell = covered.setdefault(figure.cell, _Covered())
        same = of_cell.same(figure)
        if same is not None and same.number == 0:
            yield Finding(f"/{figure.line}", f"the same figure stands in row {same.line}", "E-COUNT")
            continue
        other = None if figure.indicator in STOCK else of_cell.meeting(figure)
        if other is not None:
            place = f"row {other.line}" if other.number == 0 else f"row {other.line} of import {other.number}"
            why = f"its period overlaps that of {place}; withdraw that import first, or give periods that do not"
            yield Finding(f"/{figure.line}", why, "E-COUNT")
            continue
        of_cell.add(figure)


class _Covered:
    """The periods of one cell, in order; those that are held do not overlap, since every import was judged so."""

    def __init__(self) -> None:
        self._spans: dict[Span, Imported] = {}
        self._firsts: list[date] = []
        self._in_order: list[Imported] = []

    def add(self, figure: Imported) -> None:
        """Take one more, or a revision."""
        known = figure.span in self._spans
        self._spans[figure.span] = figure
        if not known:
            place = bisect_right(self._firsts, figure.span.first)
            self._firsts.insert(place, figure.span.first)
            self._in_order.insert(place, figure)

    def same(self, figure: Imported) -> Imported | None:
        """Return the figure of the same period, or None."""
        return self._spans.get(figure.span)

    def meeting(self, figure: Imported) -> Imported | None:
        """Return one of another period that shares a day, or None."""
        place = bisect_right(self._firsts, figure.span.last)
        # Periods that do not overlap end in the order they begin: only the last to begin can reach so far.
        for other in reversed(self._in_order[max(0, place - 2) : place]):
            if other.span != figure.span and other.span.last >= figure.span.first:
                return self._spans[other.span]
        return None


# --- computing ----------------------------------------------------------------------------------------


def newest(figures: Iterable[Imported]) -> list[Imported]:
    """Return the figures in force, given in the order they came: the same cell and period again revises."""
    return list({(figure.cell, figure.span): figure for figure in figures}.values())


def left_out(imported: Iterable[Imported], period: Span) -> list[Imported]:
    """Return the figures whose days lie partly in the period: nobody can say how much of them."""
    return [f for f in imported if f.span.meets(period.first, period.last) and not _within(f.span, period)]


def compute(
    counts: Iterable[Count], imported: Sequence[Imported], period: Span, by: Sequence[str] = ()
) -> list[Figure]:
    """Return the figures of a period, unsuppressed: totals, and cells by at most two dimensions.

    Raise ValueError for more than two.
    """
    usable = [f for f in imported if _within(f.span, period) and set(f.breakdown) in (set(), set(by))]
    days: dict[str, _Days] = {}
    for figure in sorted(usable, key=lambda f: f.span.first):
        days.setdefault(figure.indicator, _Days()).add(figure.span)
    left = [c for c in counts if c.indicator not in days or c.day not in days[c.indicator]]
    found = {f.cell: f for f in tabulate(left, period.first, period.last, by)}
    for cell, members in _by_cell(usable).items():
        joined = _joined(members)
        found[cell] = joined if cell not in found else _sum(joined, found[cell])
    return sorted(found.values(), key=lambda f: (f.indicator, len(f.breakdown), sorted(f.breakdown.items())))


def _within(span: Span, period: Span) -> bool:
    return period.first <= span.first and span.last <= period.last


def _by_cell(figures: Iterable[Imported]) -> dict[_Cell, list[Imported]]:
    cells: dict[_Cell, list[Imported]] = {}
    for figure in figures:
        cells.setdefault(figure.cell, []).append(figure)
    return cells


def _joined(members: Sequence[Imported]) -> Figure:
    if members[0].indicator in STOCK:
        members = [max(members, key=lambda f: (f.span.last, f.number))]
    first = members[0]
    qualifier = first.qualifier
    for member in members[1:]:
        qualifier = combined(qualifier, member.qualifier)
    return Figure(
        first.indicator,
        sum(f.value for f in members),
        dict(sorted(first.breakdown.items())),
        qualifier,
        "FINAL" if all(f.status == "FINAL" for f in members) else "PROVISIONAL",
        sources=tuple(sorted({f.origin for f in members})),
    )


class _Days:
    """The days that figures of one indicator cover, as periods that do not touch; added by their first days."""

    def __init__(self) -> None:
        self._firsts: list[date] = []
        self._lasts: list[date] = []

    def add(self, span: Span) -> None:
        """Cover these days."""
        if self._lasts and span.first <= self._lasts[-1]:
            self._lasts[-1] = max(self._lasts[-1], span.last)
        else:
            self._firsts.append(span.first)
            self._lasts.append(span.last)

    def __contains__(self, day: date) -> bool:
        place = bisect_right(self._firsts, day)
        return place > 0 and day <= self._lasts[place - 1]


def _sum(one: Figure, other: Figure) -> Figure:
    return replace(
        one,
        value=(one.value or 0) + (other.value or 0),
        qualifier=combined(one.qualifier, other.qualifier),
        status="FINAL" if one.status == other.status == "FINAL" else "PROVISIONAL",
        sources=tuple(sorted({*one.sources, *other.sources})),
    )
