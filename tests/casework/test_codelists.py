"""Code lists: membership at a version, validity on the event's day, labels; partial dates; service clocks."""

from __future__ import annotations

from datetime import date
from typing import Any

import orjson
import pytest

from gateway.casework import clocks
from gateway.casework.codelists import LANGUAGES, CodeLists
from gateway.casework.dates import Span, admits_minor, age_range, read_partial, span_of
from gateway.errors import ConfigurationError
from tests.casework.casefile import codelists


def on(day: str) -> Span:
    """Return one day."""
    return Span(date.fromisoformat(day), date.fromisoformat(day))


@pytest.mark.parametrize(
    ("listed", "code", "day", "valid"),
    [
        ("checkpoint", "KH-PNH", "2025-11-01", False),
        ("checkpoint", "KH-PNH", "2025-09-08", True),
        ("checkpoint", "KH-KTI", "2025-09-08", False),
        ("checkpoint", "KH-KTI", "2025-09-09", True),
        ("checkpoint", "KHKTI", "2026-01-01", False),
        ("legalBasis", "ID-UU6-2011-120", "2026-02-10", False),
        ("legalBasis", "ID-UU6-2011-120", "2026-01-01", True),
        ("legalBasis", "ID-KUHP-2023-457", "2026-01-01", False),
        ("legalBasis", "KH-TECHFRAUD", "2026-11-01", False),  # disabled until it is law
        ("legalBasis@1.0.0", "ID-UU21-2007", "1990-01-01", True),
        ("legalBasis@9.0.0", "ID-UU21-2007", "2026-01-01", False),
        ("noSuchList", "X", "2026-01-01", False),
    ],
)
def test_codes_hold_on_the_day_of_the_event(listed: str, code: str, day: str, valid: bool) -> None:
    """§1, §10 #6 and #7: E-CODE outside validity, for unknown codes, lists and versions."""
    fault = codelists().fault(listed, code, on(day), "/x")
    assert (fault is None) is valid
    assert fault is None or (fault.code, fault.pointer) == ("E-CODE", "/x")


def test_an_uncertain_day_gets_the_benefit() -> None:
    """2025 as a whole meets both airports; a month after the move meets one."""
    year, month = span_of("2025"), span_of("2025-10")
    assert codelists().fault("checkpoint", "KH-PNH", year, "") is None
    assert codelists().fault("checkpoint", "KH-KTI", year, "") is None
    assert codelists().fault("checkpoint", "KH-PNH", month, "") is not None
    assert codelists().fault("checkpoint", "KH-PNH", None, "") is None, "no date, membership only"


def test_every_shipped_list_loads_with_its_labels() -> None:
    """English everywhere; a missing translation falls back to it, an unknown code to itself."""
    lists = codelists()
    assert len(lists.names()) >= 70
    for name in lists.names():
        held = lists.get(name)
        assert held is not None
        for code in held.codes:
            assert all(lists.label(name, code, language) for language in LANGUAGES)
    assert lists.label("urgency", "FLASH", "id") == "Kilat"
    assert lists.label("onlinePlatform", "Facebook", "km") == "Facebook"
    assert lists.label("urgency", "NOPE", "id") == "NOPE"


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b'{"list":"x","codes":[]}',
        b'{"list":"x","version":"1.0.0","codes":[{"code":"A","validTo":"soon"}]}',
    ],
)
def test_a_file_that_is_no_list_names_itself(raw: bytes) -> None:
    """ConfigurationError with the file's name."""
    with pytest.raises(ConfigurationError, match=r"broken\.json"):
        CodeLists.load({"broken.json": raw})


def test_versions_stand_side_by_side() -> None:
    """A schema's digest fixes its list's version; without one the latest answers."""
    files = {
        v: orjson.dumps({"list": "x", "version": v, "codes": [{"code": c}]})
        for v, c in (("1.9.0", "A"), ("1.10.0", "B"))
    }
    lists = CodeLists.load(files)
    assert lists.find("x@1.9.0", "A") is not None
    assert lists.find("x", "A") is None
    assert lists.find("x", "B") is not None


@pytest.mark.parametrize(
    ("partial", "span", "fault"),
    [
        ({"precision": "UNKNOWN"}, None, False),
        ({"precision": "DAY", "value": "2024-02-29"}, ("2024-02-29", "2024-02-29"), False),
        ({"precision": "MONTH", "value": "2025-12"}, ("2025-12-01", "2025-12-31"), False),
        ({"precision": "YEAR", "value": "1999"}, ("1999-01-01", "1999-12-31"), False),
        ({"precision": "ESTIMATED", "value": "1999"}, ("1999-01-01", "1999-12-31"), False),
        ({"precision": "ESTIMATED", "ageStated": 16}, None, False),
        ({"precision": "ESTIMATED"}, None, True),
        ({"precision": "YEAR"}, None, True),
        ({"precision": "DAY", "value": "1999"}, None, True),
        ({"precision": "UNKNOWN", "value": "1999"}, None, True),
        ({"precision": "DAY", "value": "2026-02-30"}, None, True),
    ],
)
def test_partial_dates(partial: dict[str, Any], span: tuple[str, str] | None, fault: bool) -> None:
    """§3.3: a span of days, or why not."""
    found, reason = read_partial(partial)
    assert (reason is not None) is fault
    assert found == (None if span is None else Span(*(date.fromisoformat(day) for day in span)))


def test_ages_admit_what_any_statement_admits() -> None:
    """P04: the widest reading; nothing known admits nothing; age 0 is an age."""
    day = date(2026, 11, 24)
    assert age_range({"value": "2008", "precision": "YEAR"}, day) == (17, 18)
    assert age_range({"value": "2008-11-24", "precision": "DAY"}, day) == (18, 18)
    assert age_range({"value": "2026-11-24", "precision": "DAY"}, day) == (0, 0)
    assert not admits_minor({"value": "2008-11-24", "precision": "DAY"}, day)
    assert admits_minor({"value": "2008-11-25", "precision": "DAY"}, day)
    assert admits_minor({"precision": "ESTIMATED", "value": "2000", "assessedRange": [16, 26]}, day)
    assert not admits_minor({"precision": "UNKNOWN"}, day)


HOUR = 3_600_000


@pytest.mark.parametrize(
    ("urgency", "ack", "reply"),
    [("FLASH", 0.5, 4), ("URGENT", 1, 8), ("PRIORITY", 4, 72), ("ROUTINE", 24, 168), ("INFO", 24, None)],
)
def test_clocks_start_at_the_receipt(urgency: str, ack: float, reply: int | None) -> None:
    """The service levels are those of the shipped list."""
    clock = clocks.start(urgency, 1000)
    assert clock.ack_due_ms == 1000 + ack * HOUR
    assert clock.reply_due_ms == (None if reply is None else 1000 + reply * HOUR)
    listed = codelists().find("urgency", urgency)
    assert listed is not None
    assert (listed.attributes["ackMinutes"], listed.attributes["replyHours"]) == clocks.SLA[urgency]


def test_reply_by_brings_forward_and_never_puts_off() -> None:
    """`meta.replyBy` sets a reply time where the urgency has none."""
    assert clocks.start("FLASH", 0, reply_by_ms=HOUR).reply_due_ms == HOUR
    assert clocks.start("FLASH", 0, reply_by_ms=9 * HOUR).reply_due_ms == 4 * HOUR
    assert clocks.start("INFO", 0, reply_by_ms=9 * HOUR).reply_due_ms == 9 * HOUR


@pytest.mark.parametrize(
    ("answers", "acknowledged", "replied"),
    [
        ([], None, None),
        ([clocks.Answer(5, "case.update", {"toStatus": "ACCEPTED"})], 5, None),
        ([clocks.Answer(5, "case.update", {"toStatus": "DECLINED"})], 5, 5),
        (
            [clocks.Answer(5, "info.response", {"answers": [{"outcome": "HIT"}, {"outcome": "INTERIM"}]})],
            5,
            None,
        ),
        ([clocks.Answer(7, "info.response", {"answers": [{"outcome": "NO_HIT"}]})], 7, 7),
        (
            [
                clocks.Answer(5, "identity.verify.response", {"final": False}),
                clocks.Answer(9, "identity.verify.response", {"final": True}),
            ],
            5,
            9,
        ),
        (
            [
                clocks.Answer(9, "case.update", {"toStatus": "CLOSED"}),
                clocks.Answer(6, "case.update", {"toStatus": "ACTION"}),
            ],
            6,
            9,
        ),
        ([clocks.Answer(5, "record.action", {})], None, None),
        ([clocks.Answer(1, "case.update", {"toStatus": "CLOSED"})], None, None),  # before the receipt
    ],
)
def test_what_stops_the_clocks(answers: list[clocks.Answer], acknowledged: int | None, replied: int | None) -> None:
    """First update or response; first final response, DECLINED or CLOSED."""
    clock = clocks.run(clocks.start("URGENT", 2), 2, answers)
    assert (clock.acknowledged_at_ms, clock.replied_at_ms) == (acknowledged, replied)


def test_the_next_due_time() -> None:
    """The acknowledgement first, then the reply, then none; overdue only after it."""
    clock = clocks.start("FLASH", 0)
    assert clock.next_due_ms() == HOUR // 2
    assert not clock.overdue(HOUR // 2)
    assert clock.overdue(HOUR // 2 + 1)
    seen = clocks.run(clock, 0, [clocks.Answer(1, "case.update", {"toStatus": "ACCEPTED"})])
    assert seen.next_due_ms() == 4 * HOUR
    done = clocks.run(seen, 0, [clocks.Answer(2, "case.update", {"toStatus": "DECLINED"})])
    assert done.next_due_ms() is None
    assert not done.overdue(10**15)
