"""Periodic statistics (4.14): counted from cases, made safe to publish (P18), revised in the open.

A cell of 1 to 9 persons is suppressed; zero is allowed. One suppressed cell beside its published total can be
computed by subtraction, so a second, complementary cell goes with it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.casework.dates import parse_day
from gateway.casework.shapes import Json, number, obj, rows, text, texts
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

LEAST_CELL: Final = 10
MAX_DIMENSIONS: Final = 2
# Figures that count no persons of a case: villages, events, meetings, officers.
IMPERSONAL: Final = frozenset(("VILLAGES_ACTIVE", "CAMPAIGN_EVENTS", "BILATERAL_MEETINGS", "PIMPASA_OFFICERS"))

_Cell = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Count:
    """One countable fact: `value` persons or events on a day, what they are broken down by, and where it stands.

    `source` names the message or the imported file and row that the fact comes from.
    """

    indicator: str
    day: date
    value: int
    source: str
    breakdown: Mapping[str, str] = field(default_factory=dict)
    qualifier: str = "EQ"


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


def counts_of(message_id: str, subject: str, data: Json, day: date) -> Iterator[Count]:
    """Yield what one exchanged message adds to the statistics; `day` is the message's."""
    if subject == "departure.deferral.notice":
        on = parse_day(text(data, "deferredAt")) or day
        where = {"checkpoint": code} if (code := text(data, "checkpoint")) else {}
        yield Count("DEPARTURES_DEFERRED", on, number(data, "personsCount") or 0, message_id, where)
    elif subject == "passport.deferral.notice":
        on = parse_day(text(data, "deferredOn") or text(data, "periodTo")) or day
        yield Count("PASSPORTS_DEFERRED", on, number(data, "applicationsCount") or 0, message_id)
    elif subject in ("case.referral", "victim.assistance.referral"):
        yield Count("REFERRALS_SENT", day, 1, message_id)
        yield from _victims(message_id, data, day)
    elif subject == "case.update":
        yield from _victims(message_id, data, day)
    elif subject == "info.request":
        yield Count("RFI_SENT", day, 1, message_id)
    elif subject == "info.response":
        if any(text(answer, "outcome") in ("HIT", "HIT_RESTRICTED", "PARTIAL") for answer in rows(data, "answers")):
            yield Count("RFI_HIT", day, 1, message_id)
    elif subject == "repatriation.movement":
        yield from _milestones(message_id, data, day)


def _victims(message_id: str, data: Json, day: date) -> Iterator[Count]:
    indicators = {
        "PossibleVictimOfTrafficking": "PRESUMED_VICTIMS",
        "ActualVictimOfTrafficking": "IDENTIFIED_VICTIMS",
    }
    found: dict[tuple[str, str], date] = {}
    contexts = [*rows(data, "victimContexts"), obj(data, "victimContext")]
    flat = [(text(c, "personRef"), a) for c in contexts for a in rows(c, "traffickingAssessments")]
    flat += [(text(a, "personRef"), a) for a in rows(data, "assessments")]
    person = text(obj(data, "person"), "personRef") or ""
    for ref, assessment in flat:
        indicator = indicators.get(text(assessment, "status") or "")
        if indicator is not None:
            found.setdefault((indicator, ref or person), parse_day(text(assessment, "decidedOn")) or day)
    for (indicator, ref), on in found.items():
        yield Count(indicator, on, 1, f"{message_id}#{ref}")


def _milestones(message_id: str, data: Json, day: date) -> Iterator[Count]:
    indicators = {
        "HANDED_OVER": "REPATRIATED",
        "TRAVEL_DOC_ISSUED": "SPLP_ISSUED",
        "EXIT_PERMIT": "EXIT_PERMITS",
    }
    for row in rows(data, "milestones"):
        indicator = indicators.get(text(row, "milestone") or "")
        if indicator is not None:
            for ref in texts(row, "personRefs") or texts(data, "persons"):
                yield Count(indicator, parse_day(text(row, "at")) or day, 1, f"{message_id}#{ref}")


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
        cells: set[_Cell] = {(count.indicator, frozenset())}
        if by and all(key in count.breakdown for key in by):
            cells.add((count.indicator, frozenset((key, count.breakdown[key]) for key in by)))
        for cell in cells:
            sums[cell] += count.value
            sources[cell].add(count.source.partition("#")[0])
            if count.qualifier != "EQ":
                qualifiers[cell] = count.qualifier
    ordered = sorted(sums, key=lambda cell: (cell[0], len(cell[1]), sorted(cell[1])))
    return [
        Figure(
            cell[0],
            sums[cell],
            dict(sorted(cell[1])),
            qualifiers.get(cell, "EQ"),
            sources=tuple(sorted(sources[cell])),
        )
        for cell in ordered
    ]


def suppress(figures: Sequence[Figure]) -> list[Figure]:
    """Return the figures with small cells and their complementary cells suppressed (P18)."""
    safe = [_hidden(f) if _small(f.indicator, f.value) else f for f in figures]
    while True:
        exposed = next(iter(_exposed([(f.indicator, f.value, f.breakdown) for f in safe])), None)
        if exposed is None:
            return safe
        _, group = exposed
        shown = [i for i in group if safe[i].value is not None]
        # The smallest cell tells least when lost; without any, the total itself must go.
        chosen = min(shown, key=lambda i: (safe[i].value == 0, safe[i].value or 0), default=None)
        if chosen is None:
            chosen = _total_of(safe, group[0])
        safe[chosen] = _hidden(safe[chosen])


def revise(published: Sequence[Figure], computed: Sequence[Figure], message_id: str) -> list[Figure]:
    """Return the figures that differ from those of message `message_id`, each naming it as what it revises."""
    before = {figure.cell: figure for figure in published}
    changed = [f for f in computed if f.cell in before and (f.value, f.qualifier) != _shown(before[f.cell])]
    return [Figure(f.indicator, f.value, f.breakdown, f.qualifier, f.status, message_id, f.sources) for f in changed]


def small_cells(figures: Sequence[Any]) -> Iterator[Finding]:
    """Yield E-SMALLCELL for each cell of 1 to 9 persons and each suppressed one that can be computed."""
    cells: list[tuple[str, int | None, Mapping[str, str]]] = []
    for i, row in enumerate(figures):
        indicator, value = text(row, "indicator") or "", number(row, "value")
        cells.append((indicator, value, {k: str(v) for k, v in obj(row, "breakdown").items()}))
        if _small(indicator, value):
            yield Finding(f"/figures/{i}/value", "a cell of 1 to 9 persons: suppress it", "E-SMALLCELL")
    for i, _ in _exposed(cells):
        yield Finding(f"/figures/{i}", "can be computed from its total and neighbours", "E-SMALLCELL")


def _small(indicator: str, value: int | None) -> bool:
    return value is not None and 0 < value < LEAST_CELL and indicator not in IMPERSONAL


def _exposed(
    cells: Sequence[tuple[str, int | None, Mapping[str, str]]],
) -> Iterator[tuple[int, list[int]]]:
    """Yield (index, its group) of each suppressed cell that is alone in a group whose total is published.

    A group: cells of one indicator that differ in one dimension only; its total: the same without that one.
    """
    shown = {(indicator, frozenset(by.items())) for indicator, value, by in cells if value is not None}
    groups: dict[tuple[str, str, frozenset[tuple[str, str]]], list[int]] = defaultdict(list)
    for i, (indicator, _, by) in enumerate(cells):
        for dimension in by:
            groups[indicator, dimension, frozenset((k, v) for k, v in by.items() if k != dimension)].append(i)
    for (indicator, _, rest), group in groups.items():
        hidden = [i for i in group if cells[i][1] is None]
        if len(hidden) == 1 and (indicator, rest) in shown:
            yield hidden[0], group


def _total_of(figures: Sequence[Figure], index: int) -> int:
    cell = figures[index]
    for dimension in cell.breakdown:
        rest = {k: v for k, v in cell.breakdown.items() if k != dimension}
        for i, figure in enumerate(figures):
            if figure.indicator == cell.indicator and dict(figure.breakdown) == rest and figure.value is not None:
                return i
    return index


def _hidden(figure: Figure) -> Figure:
    return Figure(figure.indicator, None, figure.breakdown, "EQ", figure.status, figure.revision_of, figure.sources)


def _shown(figure: Figure) -> tuple[int | None, str]:
    return figure.value, figure.qualifier
