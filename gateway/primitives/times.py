"""Instants: milliseconds since 1970-01-01T00:00:00Z inside, one RFC 3339 text outside (protocol.md §1)."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()
_INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])\.([0-9]{3})Z")


@lru_cache(maxsize=512)
def _day_start_ms(day: str) -> int:
    return (date.fromisoformat(day).toordinal() - _EPOCH) * DAY_MS


@lru_cache(maxsize=512)
def _day_text(days: int) -> str:
    try:
        return date.fromordinal(days + _EPOCH).isoformat()
    except OverflowError:
        raise ValueError("instant outside the years 1 to 9999") from None


def parse_ms(text: str) -> int:
    """Return the instant written exactly as `YYYY-MM-DDTHH:MM:SS.mmmZ`, in milliseconds since the epoch.

    Raises ValueError for any other spelling (offsets, lower case, other precision, leap second) and for
    days that no calendar has. The message never quotes the text.
    """
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise ValueError("not an RFC 3339 UTC instant with milliseconds")
    day, hour, minute, second, milli = found.groups()
    try:
        start = _day_start_ms(day)
    except ValueError:
        raise ValueError("no such day") from None
    return start + int(hour) * 3_600_000 + int(minute) * 60_000 + int(second) * 1_000 + int(milli)


def format_ms(ms: int) -> str:
    """Return the instant `ms` as `YYYY-MM-DDTHH:MM:SS.mmmZ`; ValueError outside the years 1 to 9999."""
    days, rest = divmod(ms, DAY_MS)
    seconds, milli = divmod(rest, 1_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_day_text(days)}T{hour:02d}:{minute:02d}:{second:02d}.{milli:03d}Z"
