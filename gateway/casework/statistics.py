"""Periodic statistics (4.14): counted from cases, made safe to publish (P18), revised in the open.

A cell of 1 to 9 persons is suppressed; zero is allowed. One suppressed cell beside its published total can be
computed by subtraction, so a second, complementary cell goes with it; of a table by two dimensions that holds for
the whole as for each row and column.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from gateway.casework.shapes import Json, number, obj, rows, text
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

LEAST_CELL: Final = 10
MAX_DIMENSIONS: Final = 2
# Figures that count no persons of a case: villages, events, meetings, officers.
IMPERSONAL: Final = frozenset(("VILLAGES_ACTIVE", "CAMPAIGN_EVENTS", "BILATERAL_MEETINGS", "PIMPASA_OFFICERS"))

_Cell = tuple[str, frozenset[tuple[str, str]]]
_Told = tuple[str, int | None, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Count:
    """One countable fact: `value` persons or events on a day, what they are broken down by, and where it stands.

    `source` names the message that the fact comes from, and after `#` the person. `part` names the dimension that
    this count is one part of: it is in that dimension's cells and in no total, which another count gives.
    """

    indicator: str
    day: date
    value: int
    source: str
    breakdown: Mapping[str, str] = field(default_factory=dict)
    qualifier: str = "EQ"
    part: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a period; `value` None where suppressed. `sources` are those of its counts, sorted."""

    indicator: str
    value: int | None
    breakdown: Mapping[str, str] = field(default_factory=dict)
    qualifier: str = "EQ"
    status: str = "PROVISIONAL"
    revision_of: str | None = None
    sources: tuple[str, ...] = ()

    @property
    def cell(self) -> _Cell:
        """Return what the figure is about, for comparison between periods' editions."""
        return self.indicator, frozenset(self.breakdown.items())

    def as_data(self) -> Json:
        """Return the figure as `figures[]` of stats.periodic has it (sources stay at home)."""
        data: Json = {"indicator": self.indicator, "value": self.value, "suppressed": self.value is None}
        if self.value is not None and self.qualifier != "EQ":
            data["qualifier"] = self.qualifier
        if self.breakdown:
            data["breakdown"] = dict(self.breakdown)
        data["status"] = self.status
        if self.revision_of is not None:
            data["revisionOf"] = self.revision_of
        return data


def tabulate(counts: Iterable[Count], first: date, last: date, by: Sequence[str] = ()) -> list[Figure]:
    """Return the figures of a period: each indicator's total, and its breakdown by at most two dimensions.

    A person counts once per indicator, however many messages say so (`source` after `#`). Raise ValueError for
    more than two dimensions.
    """
    if len(by) > MAX_DIMENSIONS:
        raise ValueError("at most two dimensions")
    sums: dict[_Cell, int] = defaultdict(int)
    sources: dict[_Cell, set[str]] = defaultdict(set)
    qualifiers: dict[_Cell, str] = {}
    seen: set[tuple[str, str]] = set()
    for count in sorted(counts, key=lambda c: (c.day, c.source)):
        who = count.source.partition("#")[2]
        if not first <= count.day <= last or (who and (count.indicator, who) in seen):
            continue
        seen.add((count.indicator, who))
        cells: set[_Cell] = set() if count.part else {(count.indicator, frozenset())}
        if by and all(key in count.breakdown for key in by) and count.part in ("", *by):
            cells.add((count.indicator, frozenset((key, count.breakdown[key]) for key in by)))
        for cell in cells:
            sums[cell] += count.value
            sources[cell].add(count.source.partition("#")[0])
            qualifiers[cell] = combined(qualifiers.get(cell, "EQ"), count.qualifier)
    ordered = sorted(sums, key=lambda cell: (cell[0], len(cell[1]), sorted(cell[1])))
    return [
        Figure(
            cell[0],
            sums[cell],
            dict(sorted(cell[1])),
            qualifiers[cell],
            sources=tuple(sorted(sources[cell])),
        )
        for cell in ordered
    ]


def combined(one: str, other: str) -> str:
    """Return the qualifier of a sum: bounds of the same kind stay one, mixed ones leave an estimate."""
    if "EQ" in (one, other):
        return other if one == "EQ" else one
    return one if one == other else "APPROX"


def suppress(figures: Sequence[Figure], told: Sequence[Figure] = ()) -> list[Figure]:
    """Return the figures with small cells and their complementary cells suppressed (P18).

    `told` are figures of the same period that a partner has already: what it can compute from both counts too.
    """
    own = {figure.cell for figure in figures}
    known = {(figure.cell, figure.value) for figure in told}
    safe = [_hidden(f) if _small(f.indicator, f.value) else f for f in figures]
    cells = [(f.indicator, f.value, f.breakdown) for f in (*safe, *(f for f in told if f.cell not in own))]
    # To hide what the partner knows hides nothing.
    free = frozenset(i for i, figure in enumerate(safe) if (figure.cell, figure.value) not in known)
    while True:
        sums = ((total, parts) for _, total, parts in _exposed(cells))
        chosen = next((i for total, parts in sums if (i := _given_up(cells, free, total, parts)) is not None), None)
        if chosen is None:
            return safe
        safe[chosen] = _hidden(safe[chosen])
        cells[chosen] = (safe[chosen].indicator, None, safe[chosen].breakdown)


def _given_up(cells: Sequence[_Told], free: frozenset[int], total: int, parts: Sequence[int]) -> int | None:
    """Return which of the `free` cells of a sum is hidden beside the one it exposes; None where none is shown."""
    shown = [i for i in parts if i in free and cells[i][1] is not None]
    if shown:
        # The smallest tells least when lost.
        return min(shown, key=lambda i: (cells[i][1] == 0, cells[i][1] or 0))
    return total if total in free and cells[total][1] is not None else None


@dataclass(frozen=True, slots=True)
class Published:
    """A figure as a message carried it."""

    message_id: str
    figure: Figure


def read_figures(data: Json) -> list[Figure]:
    """Return the figures of a `stats.periodic`."""
    return [
        Figure(
            text(row, "indicator") or "",
            number(row, "value"),
            {key: str(value) for key, value in obj(row, "breakdown").items()},
            text(row, "qualifier") or "EQ",
            text(row, "status") or "PROVISIONAL",
            text(row, "revisionOf"),
        )
        for row in rows(data, "figures")
    ]


def edition(messages: Iterable[tuple[str, Json]]) -> list[Published]:
    """Return the figures in force of (message id, data) in the order sent: a later one replaces an earlier one."""
    held = {f.cell: Published(message_id, f) for message_id, data in messages for f in read_figures(data)}
    return list(held.values())


def revise(published: Sequence[Published], computed: Sequence[Figure], by: Sequence[str] = ()) -> list[Figure]:
    """Return what must be sent after what was published: figures that changed, each naming what it revises.

    A figure that is new revises nothing. One of the same breakdown that is counted no more becomes zero.
    """
    before = {p.figure.cell: p for p in published}
    changed: list[Figure] = []
    for figure in computed:
        old = before.pop(figure.cell, None)
        if old is None:
            changed.append(figure)
        elif _said(old.figure) != _said(figure):
            changed.append(replace(figure, revision_of=old.message_id))
    gone = [p for p in before.values() if set(p.figure.breakdown) in (set(), set(by)) and p.figure.value != 0]
    return changed + [Figure(p.figure.indicator, 0, p.figure.breakdown, revision_of=p.message_id) for p in gone]


def grain(first: date, last: date) -> str:
    """Return MONTH or QUARTER for a whole one of the calendar, else OTHER."""
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    if first.day != 1 or (last + timedelta(days=1)).day != 1:
        return "OTHER"
    if months == 1:
        return "MONTH"
    return "QUARTER" if months == 3 and first.month % 3 == 1 else "OTHER"


def small_cells(figures: Sequence[Any]) -> Iterator[Finding]:
    """Yield E-SMALLCELL for each cell of 1 to 9 persons and each suppressed one that can be computed."""
    cells: list[_Told] = []
    for i, row in enumerate(figures):
        indicator, value = text(row, "indicator") or "", number(row, "value")
        cells.append((indicator, value, {k: str(v) for k, v in obj(row, "breakdown").items()}))
        if _small(indicator, value):
            yield Finding(f"/figures/{i}/value", "a cell of 1 to 9 persons: suppress it", "E-SMALLCELL")
    for i, _, _ in _exposed(cells):
        yield Finding(f"/figures/{i}", "can be computed from its total and neighbours", "E-SMALLCELL")


def _small(indicator: str, value: int | None) -> bool:
    return value is not None and 0 < value < LEAST_CELL and indicator not in IMPERSONAL


def _exposed(cells: Sequence[_Told]) -> Iterator[tuple[int, int, list[int]]]:
    """Yield each suppressed cell that can be computed, with the total and the parts of the sum it follows from.

    What was computed helps to compute the next: a sum in which one cell is missing tells that cell.
    """
    sums = _sums(cells)
    holding: dict[int, list[int]] = defaultdict(list)
    missing: list[set[int]] = []
    for place, (total, parts) in enumerate(sums):
        missing.append({i for i in (total, *parts) if cells[i][1] is None})
        for i in missing[-1]:
            holding[i].append(place)
    ready = [place for place, hidden in enumerate(missing) if len(hidden) == 1]
    while ready:
        place = ready.pop()
        if not missing[place]:
            continue
        [found] = missing[place]
        yield found, *sums[place]
        for other in holding[found]:
            missing[other].discard(found)
            if len(missing[other]) == 1:
                ready.append(other)


def _sums(cells: Sequence[_Told]) -> list[tuple[int, list[int]]]:
    """Return (total, parts) of every sum in a table: a cell, and those that break it down by one dimension or two."""
    place = {(indicator, frozenset(by.items())): i for i, (indicator, _, by) in enumerate(cells)}
    parts: dict[tuple[int, tuple[str, ...]], list[int]] = defaultdict(list)
    for i, (indicator, _, by) in enumerate(cells):
        for count in range(1, min(len(by), MAX_DIMENSIONS) + 1):
            for dimensions in combinations(sorted(by), count):
                rest = frozenset((key, value) for key, value in by.items() if key not in dimensions)
                if (total := place.get((indicator, rest))) is not None:
                    parts[total, dimensions].append(i)
    return [(total, held) for (total, _), held in parts.items()]


def _hidden(figure: Figure) -> Figure:
    return replace(figure, value=None, qualifier="EQ")


def _said(figure: Figure) -> tuple[int | None, str, str]:
    return figure.value, figure.qualifier, figure.status
