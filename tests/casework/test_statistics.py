"""Periodic figures: counted from cases with their sources, suppressed so that nothing can be computed, revised."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.casework.counting import counts_of
from gateway.casework.statistics import Count, Figure, Published, revise, small_cells, suppress, tabulate
from tests.casework.casefile import message

FIRST, LAST = date(2025, 1, 1), date(2025, 4, 30)


def count(value: int, day: str = "2025-02-01", source: str = "m1", **breakdown: str) -> Count:
    """Return postponed departures."""
    return Count("DEPARTURES_DEFERRED", date.fromisoformat(day), value, source, breakdown)


def test_figures_are_sums_with_their_sources() -> None:
    """Total and breakdown; what lies outside the period does not count; change a case and the figure changes."""
    counts = [
        count(20, checkpoint="ID-BTC"),
        count(30, source="m2", checkpoint="ID-CGK"),
        count(5, day="2025-05-01"),
    ]
    total, batam, jakarta = tabulate(counts, FIRST, LAST, by=("checkpoint",))
    assert (total.value, total.sources) == (50, ("m1", "m2"))
    assert (batam.breakdown, batam.value, batam.sources) == ({"checkpoint": "ID-BTC"}, 20, ("m1",))
    assert jakarta.value == 30
    assert tabulate([count(21), *counts[1:]], FIRST, LAST)[0].value == 51


def test_a_person_counts_once() -> None:
    """However many messages say so."""
    counts = [Count("REPATRIATED", FIRST, 1, f"m{i}#P-1") for i in range(3)]
    (figure,) = tabulate(counts, FIRST, LAST)
    assert figure.value == 1


def test_at_most_two_dimensions() -> None:
    """4.14: a third would make cells of one."""
    with pytest.raises(ValueError, match="two"):
        tabulate([], FIRST, LAST, by=("sex", "ageGroup", "channel"))


def test_a_lower_bound_stays_one() -> None:
    """`5000 GT` is no exact count."""
    (figure,) = tabulate([Count("DEPARTURES_DEFERRED", FIRST, 5000, "csv:1", {}, "GT")], FIRST, LAST)
    data = figure.as_data()
    assert data == {
        "indicator": "DEPARTURES_DEFERRED",
        "value": 5000,
        "suppressed": False,
        "qualifier": "GT",
        "status": "PROVISIONAL",
    }


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ("departure.deferral.notice/s3-group-of-four", {"DEPARTURES_DEFERRED": 4}),
        ("passport.deferral.notice/s4-one-week-seven-applications", {"PASSPORTS_DEFERRED": 7}),
        ("case.referral/s1-sumarni", {"REFERRALS_SENT": 1, "PRESUMED_VICTIMS": 1}),
        ("info.request/s7-crossing-history", {"RFI_SENT": 1}),
        ("info.response/s7-final", {"RFI_HIT": 1}),
        ("route.bulletin/s6-batam-johor-bavet", {}),
    ],
)
def test_what_a_message_adds(example: str, expected: dict[str, int]) -> None:
    """Each type to its own indicators."""
    facts = message(example)
    sums: dict[str, int] = {}
    for found in counts_of("m", facts.subject, facts.data, date(2026, 11, 24)):
        sums[found.indicator] = sums.get(found.indicator, 0) + (0 if found.part else found.value)
    assert sums == expected


def test_the_thirty_come_home() -> None:
    """S8: 27 handed over, each once, over three messages."""
    found: list[Count] = []
    for name in ("s8-departure", "s8-one-misses-the-transit", "s8-last-arrival-and-handover"):
        facts = message(f"repatriation.movement/{name}")
        found += counts_of(name, facts.subject, facts.data, date(2026, 11, 24))
    figures = {f.indicator: f.value for f in tabulate(found, date(2026, 1, 1), date(2026, 12, 31))}
    assert figures["REPATRIATED"] == 27


def cells(*values: int | None, total: int | None) -> list[Figure]:
    """Return a total and its cells by age group."""
    ages = ("0-11", "12-17", "18-24", "25-34", "35-44")
    figures = [Figure("PRESUMED_VICTIMS", total)]
    return figures + [Figure("PRESUMED_VICTIMS", v, {"ageGroup": a}) for v, a in zip(values, ages, strict=False)]


def test_a_small_cell_takes_a_neighbour_along() -> None:
    """Four minors beside a published total: a second, smallest cell goes too."""
    safe = suppress(cells(4, 30, 12, total=46))
    assert [figure.value for figure in safe] == [46, None, 30, None]
    assert list(small_cells([figure.as_data() for figure in safe])) == []


def test_without_a_neighbour_the_total_goes() -> None:
    """A single cell equals its total."""
    assert [figure.value for figure in suppress(cells(4, total=14))] == [None, None]


def test_zero_is_shown_and_impersonal_figures_are_free() -> None:
    """Nobody is found by a zero; two meetings are no persons."""
    assert [f.value for f in suppress(cells(0, 30, total=30))] == [30, 0, 30]
    assert suppress([Figure("BILATERAL_MEETINGS", 2)])[0].value == 2


def test_an_exposed_cell_is_refused() -> None:
    """One suppressed cell beside its total and all its neighbours can be subtracted."""
    rows = [figure.as_data() for figure in cells(None, 30, 12, total=46)]
    assert [(f.code, f.pointer) for f in small_cells(rows)] == [("E-SMALLCELL", "/figures/1")]


def test_one_hidden_cell_of_a_table_is_what_the_whole_lacks() -> None:
    """By sex and age without the sums of rows and columns: 45 - 20 - 20 would tell the five."""
    table = [
        Figure("REPATRIATED", 45),
        *(Figure("REPATRIATED", n, {"sex": s, "ageGroup": a}) for n, s, a in ((20, "F", "a"), (20, "M", "a"))),
        Figure("REPATRIATED", 5, {"sex": "M", "ageGroup": "b"}),
    ]
    assert [f.value for f in suppress(table)] == [45, None, 20, None]
    told = [f.as_data() for f in table[:3]] + [{**table[3].as_data(), "value": None, "suppressed": True}]
    assert [(f.code, f.pointer) for f in small_cells(told)] == [("E-SMALLCELL", "/figures/3")]


def test_what_was_computed_computes_the_next() -> None:
    """The hidden total follows from the ages, and the hidden sex from the total."""
    told = [
        Figure("REPATRIATED", None).as_data(),
        *(Figure("REPATRIATED", n, {"ageGroup": a}).as_data() for n, a in ((20, "a"), (15, "b"))),
        *(Figure("REPATRIATED", n, {"sex": s}).as_data() for n, s in ((None, "F"), (30, "M"))),
    ]
    assert {f.pointer for f in small_cells(told)} == {"/figures/0", "/figures/3"}


def test_what_was_told_before_exposes_nothing_that_is_told_now() -> None:
    """By sex first, by sex and age then: 40 women and 38 of the one age would tell the two of the other."""
    before = [Figure("REPATRIATED", 70), *(Figure("REPATRIATED", n, {"sex": s}) for n, s in ((40, "F"), (30, "M")))]
    table = [
        Figure("REPATRIATED", 70),
        *(Figure("REPATRIATED", n, {"sex": s, "ageGroup": a}) for n, s, a in (
            (38, "F", "a"), (2, "F", "b"), (27, "M", "a"), (3, "M", "b"),
        )),
    ]  # fmt: skip
    assert [f.value for f in suppress(table)] == [70, 38, None, 27, None]
    assert [f.value for f in suppress(table, before)] == [70, None, None, None, None]
    assert [f.value for f in suppress(before, suppress(table))] == [70, None, None], "the other way round as well"
    whole = [Figure("REPATRIATED", 25), Figure("REPATRIATED", 25, {"sex": "F"})]
    part = [Figure("REPATRIATED", 25), *(Figure("REPATRIATED", n, {"ageGroup": a}) for n, a in ((4, "a"), (21, "b")))]
    assert [f.value for f in suppress(part, whole)] == [25, None, None], "the total is known: a part goes"


def determined(known: list[list[int]], wanted: list[int]) -> bool:
    """Say whether a sum of cells follows from known sums of them, by elimination."""
    rows = [[Fraction(n) for n in row] for row in known]
    left = [Fraction(n) for n in wanted]
    for column in range(len(left)):
        pivot = next((row for row in rows if row[column]), None)
        if pivot is None:
            continue
        rows.remove(pivot)
        factors = [(row, row[column] / pivot[column]) for row in (*rows, left)]
        for row, factor in factors:
            row[:] = [n - factor * p for n, p in zip(row, pivot, strict=True)]
    return not any(left)


VALUES = st.lists(st.integers(0, 40), min_size=1, max_size=3)
TABLES = st.sets(st.sampled_from((("sex", "ageGroup"), ("sex",), ("ageGroup",))), min_size=1)


@given(st.lists(VALUES, min_size=1, max_size=3), TABLES)
def test_no_suppressed_cell_can_be_subtracted(grid: list[list[int]], tables: set[tuple[str, ...]]) -> None:
    """Random tables of sex by age, with whatever sums are told beside: elimination finds nothing that is hidden."""
    width = min(len(row) for row in grid)
    leaves = [(i, j) for i in range(len(grid)) for j in range(width)]
    counts = [
        Count("REPATRIATED", FIRST, grid[i][j], f"m{i}{j}", {"sex": "FMX"[i], "ageGroup": "abc"[j]}) for i, j in leaves
    ]
    figures = {f.cell: f for by in sorted(tables) for f in tabulate(counts, FIRST, LAST, by=by)}
    safe = suppress(list(figures.values()))

    def cells_of(figure: Figure) -> list[int]:
        told = figure.breakdown
        return [
            int(told.get("sex", "FMX"[i]) == "FMX"[i] and told.get("ageGroup", "abc"[j]) == "abc"[j]) for i, j in leaves
        ]

    shown = [cells_of(figure) for figure in safe if figure.value is not None]
    assert not [f for f in safe if f.value is not None and 0 < f.value < 10]
    assert not [f for f in safe if f.value is None and determined(shown, cells_of(f))]
    assert list(small_cells([figure.as_data() for figure in safe])) == []


def test_a_revision_names_what_it_revises() -> None:
    """303 becomes 305 by revisionOf; what did not change is not sent again."""
    published = [Published("0190", Figure(*f)) for f in (("PASSPORTS_DEFERRED", 303), ("VILLAGES_ACTIVE", 185))]
    computed = [Figure("PASSPORTS_DEFERRED", 305, sources=("m9",)), Figure("VILLAGES_ACTIVE", 185)]
    (revised,) = revise(published, computed)
    data: dict[str, Any] = revised.as_data()
    assert (data["value"], data["revisionOf"], revised.sources) == (305, "0190", ("m9",))
