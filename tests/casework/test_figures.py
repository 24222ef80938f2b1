"""Figures by CSV: read with every fault by row and column, joined with what was counted; counts amended by messages."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from gateway.casework.counting import Amendment, Referral, amendment_of, answered_in_time, corrected, counts_of, is_ours
from gateway.casework.dates import Span
from gateway.casework.figures import Imported, compute, left_out, newest, overlaps, read_csv
from gateway.casework.policies.words import personal_data
from gateway.casework.statistics import Count, Figure, Published, edition, grain, revise
from gateway.primitives.table import csv_text
from gateway.resources import schemas_path
from tests.casework.casefile import codelists, message

FOUNDING = (schemas_path() / "examples/stats.periodic/founding-figures.csv").read_bytes()
HEAD = "indicator,from,to,value,source"
TOTAL = "PRESUMED_VICTIMS,2025-01,2025-03,214,Annual report"
PERIOD = Span(date(2025, 1, 1), date(2025, 4, 30))


def read(*rows: str, head: str = HEAD) -> tuple[list[Imported], list[tuple[str, str | None]]]:
    """Read a file of these rows; return its figures, and place and code of its faults."""
    figures, faults = read_csv("\n".join((head, *rows)).encode(), codelists(), personal_data)
    return figures, [(fault.pointer, fault.code) for fault in faults]


def imported(value: int, first: str = "2025-01-01", last: str = "2025-01-31", **changes: Any) -> Imported:
    """Return a figure of passports postponed."""
    span = Span(date.fromisoformat(first), date.fromisoformat(last))
    return Imported(**{"indicator": "PASSPORTS_DEFERRED", "span": span, "value": value, "source": "a", **changes})


def test_the_founding_figures() -> None:
    """More than 5,000 stays a lower bound; 303 and 185 are exact; the meeting of May lies outside."""
    figures, faults = read_csv(FOUNDING, codelists(), personal_data)
    assert faults == []
    shown = {f.indicator: (f.value, f.qualifier, f.status) for f in compute([], figures, PERIOD)}
    assert shown == {
        "DEPARTURES_DEFERRED": (5000, "GT", "FINAL"),
        "PASSPORTS_DEFERRED": (303, "EQ", "FINAL"),
        "VILLAGES_ACTIVE": (185, "EQ", "FINAL"),
    }


@pytest.mark.parametrize(
    ("rows", "head", "expected"),
    [
        (("NOPE,2025-01,2025-01,1,a",), HEAD, [("/2/indicator", "E-CODE")]),
        ((TOTAL, "PRESUMED_VICTIMS,2025-13,2025-02-30,x,a"), HEAD,
         [("/3/from", "E-DATE"), ("/3/to", "E-DATE"), ("/3/value", "E-SCHEMA")]),
        (("PRESUMED_VICTIMS,2025-03,2025-01,1,a",), HEAD, [("/2/to", "E-DATE")]),
        (("PRESUMED_VICTIMS,2025-03,2025-03,,a",), HEAD, [("/2/value", "E-SCHEMA")]),
        (("PRESUMED_VICTIMS,2025-03,2025-03,5.000,a",), HEAD, [("/2/value", "E-SCHEMA")]),
        (("PRESUMED_VICTIMS,2025-03,2025-03,5,call +6281234567890",), HEAD, [("/2/source", "E-PII")]),
        (("PRESUMED_VICTIMS,2025-03,2025-03,5",), HEAD, [("/2", "E-SCHEMA")]),
        ((TOTAL,), HEAD + ",name", [("/1", "E-SCHEMA")]),
        (("x",), "indicator,from,to,source", [("/1/value", "E-SCHEMA")]),
        ((), HEAD, [("", "E-SIZE")]),
        ((TOTAL + ",12-17,F,KH-PNH",), HEAD + ",ageGroup,sex,checkpoint", [("/2/checkpoint", "E-SCHEMA")]),
        ((TOTAL + ",12-17,,",), HEAD + ",ageGroup,sex,channel", [("/2", "E-COUNT")]),
        ((TOTAL + ",,,", TOTAL + ",9-17,,radio"), HEAD + ",ageGroup,sex,channel",
         [("/3/ageGroup", "E-CODE"), ("/3/channel", "E-CODE")]),
    ],
)  # fmt: skip
def test_each_fault_is_named_by_row_and_column(
    rows: tuple[str, ...], head: str, expected: list[tuple[str, str | None]]
) -> None:
    """All at once, so that a sheet is mended in one go; a file with a fault brings nothing in."""
    assert read(*rows, head=head)[1] == expected


@pytest.mark.parametrize("hidden", ["\x1b[31m", "\x00", "\x7f", "\x9b", "\u202e", "\u2066", "\u200b", "\ufeff"])
def test_a_source_steers_no_screen(hidden: str) -> None:
    """It is shown beside each figure: on terminals, in tables, in the chart."""
    assert read(f"RFI_SENT,2025-02,2025-02,7,Registry{hidden}x")[1] == [("/2/source", "E-SCHEMA")]


@pytest.mark.parametrize("source", ["Agency;=cmd|x", "=1", "'=1", "a;'+1", "\uff0b1", "Registry, 'B' - north"])
def test_a_source_that_goes_out_comes_in_again(source: str) -> None:
    """Written as every table is, marks and quotes included, and read as it was."""
    raw = csv_text([HEAD.split(","), ("RFI_SENT", "2025-02", "2025-02", 7, source)]).encode()
    [figure], faults = read_csv(raw, codelists(), personal_data)
    assert (faults, figure.source) == ([], source)


def test_a_sheet_of_a_spreadsheet_program_is_read() -> None:
    """Semicolons, a byte order mark, empty lines, columns in another order."""
    raw = b"\xef\xbb\xbfvalue;indicator;to;from;source\r\n;;;;\r\n7;RFI_SENT;2025-02;2025-02;Registry\r\n"
    [figure], faults = read_csv(raw, codelists(), personal_data)
    assert (faults, figure.value, figure.line) == ([], 7, 3)
    assert figure.span == Span(date(2025, 2, 1), date(2025, 2, 28))
    assert [f.pointer for f in read_csv(b"\xff", codelists(), personal_data)[1]] == [""]


def test_periods_of_one_cell_do_not_overlap() -> None:
    """Their sum would count days twice; the same period again revises, a stock is no sum."""
    january, quarter = imported(1, number=1), imported(3, last="2025-03-31", line=2)
    assert [f.pointer for f in overlaps([quarter], [january])] == ["/2"]
    assert list(overlaps([imported(2, line=2)], [january])) == []
    assert [f.pointer for f in overlaps([imported(1, line=2), imported(1, line=3)], [])] == ["/3"]
    stock = {"indicator": "VILLAGES_ACTIVE"}
    assert list(overlaps([imported(3, last="2025-03-31", **stock)], [imported(1, number=1, **stock)])) == []


def test_months_add_up_and_a_stock_is_its_last() -> None:
    """What happened is a sum; what is there is what was there last. Both name every source they used."""
    months = [
        imported(100, number=1, line=2),
        imported(20, "2025-02-01", "2025-02-28", number=1, line=3, qualifier="GT", status="PROVISIONAL"),
        imported(7, "2024-12-01", "2024-12-31"),
    ]
    stocks = [
        imported(v, f"2025-0{m}-01", f"2025-0{m}-28", indicator="VILLAGES_ACTIVE") for m, v in ((1, 180), (2, 185))
    ]
    passports, villages = compute([], [*months, *stocks], PERIOD)
    assert (passports.value, passports.qualifier, passports.status) == (120, "GT", "PROVISIONAL")
    assert passports.sources == ("import/1/2", "import/1/3")
    assert villages.value == 185


def test_a_figure_of_the_authority_replaces_what_was_counted_on_its_days() -> None:
    """The gateway sees a part; on days without such a figure its own count stands. A revision replaces its figure."""
    counts = [Count("PASSPORTS_DEFERRED", date(2025, month, 10), 40, f"m{month}") for month in (1, 2)]
    [figure] = compute(counts, [imported(303, number=1, line=2)], PERIOD)
    assert (figure.value, figure.sources) == (343, ("import/1/2", "m2"))
    assert [f.value for f in newest([imported(303), imported(305)])] == [305]
    assert [f.value for f in compute(counts, [], PERIOD)] == [80]


def test_a_figure_partly_in_the_period_is_left_out_and_told() -> None:
    """Nobody can say how much of January to April fell into March."""
    four_months = imported(303, last="2025-04-30")
    march = Span(date(2025, 3, 1), date(2025, 3, 31))
    assert compute([], [four_months], march) == []
    assert left_out([four_months], march) == [four_months]
    assert left_out([four_months], PERIOD) == []


def test_a_breakdown_is_shown_when_it_is_asked_for() -> None:
    """Imported cells and counted ones, each in its own dimension, never added to the total."""
    cells = [imported(30), imported(12, breakdown={"sex": "F"}), imported(18, breakdown={"sex": "M"})]
    assert [f.value for f in compute([], cells, PERIOD)] == [30]
    assert [f.value for f in compute([], cells, PERIOD, by=("sex",))] == [30, 12, 18]
    facts = message("departure.deferral.notice/s3-group-of-four")
    counts = list(counts_of("m", facts.subject, facts.data, date(2026, 11, 24)))
    year = Span(date(2026, 1, 1), date(2026, 12, 31))
    for by, values in (((), [4]), (("checkpoint",), [4, 4]), (("sex",), [4, 3, 1]), (("ageGroup", "sex"), [4])):
        assert [f.value for f in compute(counts, [], year, by)] == values
    assert [f.breakdown for f in compute(counts, [], year, ("destination", "checkpoint"))][1:] == [
        {"checkpoint": "ID-BTC", "destination": "KHM"}
    ]


def test_victims_by_sex_and_age() -> None:
    """From the person described beside the assessment; an age that may be on either side of a line is unknown."""
    facts = message("victim.assistance.referral/s5-child-khmer-script")
    victims = [
        c for c in counts_of("m", facts.subject, facts.data, date(2026, 3, 12)) if c.indicator != "REFERRALS_SENT"
    ]
    assert [dict(c.breakdown) for c in victims] == [{"sex": "F", "ageGroup": "12-17"}]


def test_an_authority_answers_for_its_own_acts() -> None:
    """Referrals are ours when we sent them, hits when they answer us; persons are counted whoever wrote."""
    assert is_ours("REFERRALS_SENT", "out")
    assert not is_ours("REFERRALS_SENT", "in")
    assert is_ours("RFI_HIT", "in")
    assert is_ours("REPATRIATED", "in")
    assert is_ours("REPATRIATED", "out")


HOUR = 3_600_000


@pytest.mark.parametrize(
    ("finals", "answered"),
    [
        ([("c", 10 + 72 * HOUR)], True),
        ([("c", 11 + 72 * HOUR)], False),
        ([("c", 11 + 72 * HOUR), ("c", 20)], True),
        ([("c", 9)], False),  # before it was taken in
        ([("other", 20)], False),
        ([], False),
    ],
)
def test_a_referral_is_answered_in_time_by_its_first_final_answer(
    finals: list[tuple[str, int]], answered: bool
) -> None:
    """PRIORITY: 72 hours from the receipt."""
    referral = Referral("m", "c", date(2025, 1, 1), "PRIORITY", 10, None)
    found = list(answered_in_time([referral], finals))
    assert [(c.indicator, c.value, c.source) for c in found] == (
        [("REFERRALS_ANSWERED_IN_SLA", 1, "m")] if answered else []
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"action": "CORRECT", "target": {"messageId": "m"}, "changes": [{}]}, Amendment("m", "correct")),
        ({"action": "WITHDRAW", "target": {"messageId": "m"}}, Amendment("m", "drop")),
        ({"action": "ERASE", "target": {"messageId": "m", "personRef": "P-1"}}, Amendment("m", "drop", "P-1")),
        ({"action": "ERASE", "reason": "RETENTION_EXPIRED", "target": {"messageId": "m"}}, None),
        ({"action": "ERASE", "reason": "WRONG_PERSON", "target": {"messageId": "m"}}, Amendment("m", "drop")),
        ({"action": "ERASE", "target": {"messageId": "m", "attachmentId": "a"}}, None),
        ({"action": "ERASE", "target": {"messageId": "m", "jsonPointers": ["/persons/0/photoRef"]}}, None),
        ({"action": "DISPUTE", "target": {"messageId": "m"}}, None),
        ({"action": "CORRECT"}, None),
    ],
)
def test_what_a_record_action_does_to_the_counts(data: dict[str, Any], expected: Amendment | None) -> None:
    """A part that is erased leaves the person counted."""
    assert amendment_of("record.action", data) == expected
    assert amendment_of("case.update", data) is None


def test_a_correction_is_made_on_a_copy() -> None:
    """Pointers into objects and lists; one that leads nowhere changes nothing."""
    data = {"personsCount": 40, "sexes": [{"count": 3}], "a/b": {"~": 1}}
    changes = [
        {"pointer": "/personsCount", "newValue": 14}, {"pointer": "/sexes/0/count", "newValue": 4},
        {"pointer": "/a~1b/~0", "newValue": 2}, {"pointer": "/sexes/7/count", "newValue": 9},
        {"pointer": "/nowhere/x", "newValue": 9}, {"pointer": "", "newValue": 9}, {"pointer": "/personsCount"},
    ]  # fmt: skip
    assert corrected(data, changes) == {"personsCount": 14, "sexes": [{"count": 4}], "a/b": {"~": 2}}
    assert data["personsCount"] == 40


def test_an_edition_is_the_last_word_on_each_figure() -> None:
    """A revision replaces its figure and leaves the others; what is revised next names the message in force."""
    first = {
        "figures": [{"indicator": i, "value": v, "status": "FINAL"} for i, v in (("RFI_SENT", 20), ("RFI_HIT", 12))]
    }
    second = {"figures": [{"indicator": "RFI_SENT", "value": 21, "status": "FINAL", "revisionOf": "m1"}]}
    published = edition([("m1", first), ("m2", second)])
    assert [(p.message_id, p.figure.indicator, p.figure.value) for p in published] == [
        ("m2", "RFI_SENT", 21), ("m1", "RFI_HIT", 12),
    ]  # fmt: skip
    final = [Figure("RFI_SENT", 22, status="FINAL"), Figure("EXIT_PERMITS", 30, status="FINAL")]
    assert [(f.indicator, f.value, f.revision_of) for f in revise(published, final)] == [
        ("RFI_SENT", 22, "m2"), ("EXIT_PERMITS", 30, None), ("RFI_HIT", 0, "m1"),
    ]  # fmt: skip


def test_what_was_not_asked_for_is_not_revised_away() -> None:
    """Figures by sex stay as they are when the next message has totals only; a provisional one becomes final."""
    by_sex = Figure("RFI_SENT", 11, {"sex": "F"})
    published = [Published("m1", Figure("RFI_SENT", 20)), Published("m1", by_sex)]
    assert revise(published, [Figure("RFI_SENT", 20)]) == []
    assert [f.revision_of for f in revise(published, [Figure("RFI_SENT", 20, status="FINAL")])] == ["m1"]
    assert [f.value for f in revise(published, [Figure("RFI_SENT", 20)], by=("sex",))] == [0]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2025-01-01", "2025-01-31", "MONTH"), ("2025-01-01", "2025-03-31", "QUARTER"),
        ("2025-02-01", "2025-04-30", "OTHER"), ("2025-01-01", "2025-04-30", "OTHER"),
        ("2025-01-02", "2025-01-31", "OTHER"), ("2025-01-01", "2025-01-30", "OTHER"),
    ],
)  # fmt: skip
def test_the_grain_of_a_period(first: str, last: str, expected: str) -> None:
    """A month and a quarter of the calendar; anything else is another period."""
    assert grain(date.fromisoformat(first), date.fromisoformat(last)) == expected


def days(count: int, **changes: Any) -> list[Imported]:
    """Return figures of so many days, one a day."""
    every = (date(2000, 1, 1) + timedelta(days=n) for n in range(count))
    return [replace(imported(1, line=n), span=Span(day, day), **changes) for n, day in enumerate(every, 2)]


def test_a_figure_is_told_of_once_whatever_it_overlaps() -> None:
    """A year over its days names one of them; days in a year are each told of; what is told of covers nothing."""
    year = replace(imported(1, line=2), span=Span(date(2000, 1, 1), date(2000, 12, 31)))
    [found] = overlaps([year], days(366, number=7))
    assert found.reason.startswith("its period overlaps that of row 367 of import 7")
    assert [f.pointer for f in overlaps(days(3), [replace(year, number=7)])] == ["/2", "/3", "/4"]
    assert [f.pointer for f in overlaps([year, replace(year, line=3), *days(2)], [])] == ["/3", "/2", "/3"]


def test_many_figures_take_a_moment() -> None:
    """Fifteen thousand held and five thousand brought in were a hundred million pairs; sums took as long."""
    held = days(15_000, number=1)
    longer = [replace(f, span=Span(f.span.first, f.span.last + timedelta(days=1))) for f in days(5000)]
    counts = [
        Count("PASSPORTS_DEFERRED", date(1999, 1, 1) + timedelta(days=n % 9000), 1, f"m{n}") for n in range(20_000)
    ]
    began = time.process_time()
    assert list(overlaps(days(5000), newest(held))) == []
    assert len(list(overlaps(longer, newest(held)))) == 5000
    [total] = compute(counts, held[:5000], Span(date(1999, 1, 1), date(2030, 1, 1)))
    assert time.process_time() - began < 5
    assert total.value == 5000 + sum(not held[0].span.first <= c.day <= held[4999].span.last for c in counts)
