"""Where the alerts of a case stand (§6.4), read from what is remembered of its messages; nothing of it is stored.

An alert runs until its day, until its subject is held to be a victim by any body, in this case or in another one
that is known here, or until its case is withdrawn. An answer to it with a hit makes it HIT; with the case closed
after one it is RESOLVED.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from gateway.casework.dates import parse_day
from gateway.casework.lifecycle import CLOSING, CaseStatus
from gateway.casework.progress import AlertStatus, alert_now
from gateway.casework.shapes import Json, rows, text

if TYPE_CHECKING:
    from collections.abc import Iterable

HITS: Final = frozenset(("HIT", "HIT_RESTRICTED"))
_DAYS: Final = re.compile(r"P([0-9]{1,3})D")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as its case knows it: whom it is about, its end in ms (exclusive), whether a hit was answered."""

    ref: str
    until_ms: int
    hit: bool


@dataclass(frozen=True, slots=True)
class AlertState:
    """What a view shows of one alert; no word of whom it is about."""

    message: str
    status: AlertStatus
    until_ms: int


def until_ms(data: Json, at_ms: int) -> int | None:
    """Return when an alert sent at `at_ms` ends: so many days later, or with its last day (UTC)."""
    stated = text(data, "validUntil")
    days = _DAYS.fullmatch(stated or "")
    if days is not None:
        return at_ms + int(days[1]) * 86_400_000
    last = parse_day(stated)
    if last is None:
        return None
    return int(datetime.combine(last + timedelta(days=1), time(), UTC).timestamp() * 1000)


def hit(data: Json) -> bool:
    """Tell whether an answer reports that somebody was met."""
    return any(text(answer, "outcome") in HITS for answer in rows(data, "answers"))


def now(alert: Alert, now_ms: int, statuses: Iterable[str]) -> AlertStatus:
    """Return where an alert stands; `statuses` are every body's latest on its subject."""
    current = AlertStatus.HIT if alert.hit else AlertStatus.ACTIVE
    return alert_now(current, valid_until_ms=alert.until_ms, now_ms=now_ms, victim_statuses=statuses)


def shown(message: str, alert: Alert, now_ms: int, statuses: Iterable[str], case: CaseStatus) -> AlertState:
    """Return what a view shows of an alert in a case of this status."""
    status = now(alert, now_ms, statuses)
    if case is CaseStatus.WITHDRAWN and status in (AlertStatus.ACTIVE, AlertStatus.HIT):
        status = AlertStatus.WITHDRAWN
    elif case in CLOSING and status is AlertStatus.HIT:
        status = AlertStatus.RESOLVED
    return AlertState(message, status, alert.until_ms)
