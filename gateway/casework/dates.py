"""Partial dates (§3.3): what is known of a date, as a first and a last possible day. Findings are E-DATE."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from gateway.casework.shapes import Json, number, rows, text

ADULT: Final = 18
_PARTIAL: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_LENGTH: Final = {"DAY": (10,), "MONTH": (7,), "YEAR": (4,), "ESTIMATED": (4, 7, 10)}
A_DAY: Final = timedelta(days=1)  # a message's UTC day may be behind the sender's own


@dataclass(frozen=True, slots=True)
class Span:
    """The days a partial date may stand for, both ends included."""

    first: date
    last: date

    def meets(self, first: date | None, last: date | None) -> bool:
        """Tell whether any possible day lies between the two (None: open)."""
        return (last is None or self.first <= last) and (first is None or self.last >= first)


def day_of(at_ms: int) -> date:
    """Return the UTC day of a time."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def parse_day(value: str | None) -> date | None:
    """Return the day of `YYYY-MM-DD` or of an RFC 3339 time, or None if there is no such day."""
    if value is None:
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def span_of(value: str | None) -> Span | None:
    """Return the span of `YYYY[-MM[-DD]]`, or None if the calendar has no such day."""
    match = _PARTIAL.fullmatch(value or "")
    if match is None:
        return None
    year, month, day = (int(part) if part else None for part in match.groups())
    assert year is not None
    try:
        if month is None:
            return Span(date(year, 1, 1), date(year, 12, 31))
        if day is None:
            following = date(year + month // 12, month % 12 + 1, 1)
            return Span(date(year, month, 1), following - timedelta(days=1))
        exact = date(year, month, day)
    except ValueError:
        return None
    return Span(exact, exact)


def read_partial(partial: Json) -> tuple[Span | None, str | None]:
    """Return (span, fault) of a partial date; UNKNOWN has neither, nor has an estimate by age alone."""
    value, precision = text(partial, "value"), text(partial, "precision")
    if value is None:
        known = precision in (None, "UNKNOWN") or (precision == "ESTIMATED" and len(partial) > 1)
        return None, None if known else "this precision needs a value"
    if precision == "UNKNOWN":
        return None, "an unknown date has no value"
    if precision is not None and len(value) not in _LENGTH.get(precision, (4, 7, 10)):
        return None, "the value is not written to its precision"
    span = span_of(value)
    return span, "there is no such day" if span is None else None


def age_range(birth: Json, on: date) -> tuple[int, int] | None:
    """Return the youngest and oldest age a person may have on a day; None when nothing is known.

    Everything stated counts: written birth date, stated age and assessed range widen each other, because the
    protective reading must see a child whom any of them admits (P04).
    """
    ages: list[int] = []
    span, _ = read_partial(birth)
    # A birth that lies ahead says nothing of an age; it is refused for itself.
    if span is not None and span.first <= on + A_DAY:
        ages += [_age(span.last, on), _age(span.first, on)]
    stated = number(birth, "ageStated")
    if stated is not None:
        ages.append(stated)
    ages += [age for age in rows(birth, "assessedRange") if isinstance(age, int)]
    return (min(ages), max(ages)) if ages else None


def admits_minor(birth: Json, on: date) -> bool:
    """Tell whether what is stated of a birth admits an age under 18 on a day."""
    ages = age_range(birth, on)
    return ages is not None and ages[0] < ADULT


def _age(born: date, on: date) -> int:
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))
