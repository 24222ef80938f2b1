"""Lifecycles of a victim's status (§6.2), of a return movement (§6.3) and of an alert (§6.4): one table each.

Nothing here is ever set by computation: an assessment is a body's dated opinion, and several may stand side
by side. `Contested` is what the view says when they differ; it is refused as input.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gateway.casework.shapes import Json, obj, rows, text, texts
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable


class VictimStatus(StrEnum):
    """One body's assessment of one person (HTCDS names of list `traffickingStatus`)."""

    NOT_ASSESSED = "NotAssessed"
    IN_PROGRESS = "AssessmentInProgress"
    POSSIBLE = "PossibleVictimOfTrafficking"
    ACTUAL = "ActualVictimOfTrafficking"
    NOT = "NotAVictimOfTrafficking"


CONTESTED: Final = "Contested"
PROTECTED: Final = frozenset((VictimStatus.POSSIBLE.value, VictimStatus.ACTUAL.value))

_V = VictimStatus
VICTIM: Final[dict[VictimStatus | None, frozenset[VictimStatus]]] = {
    # The first opinion may be any: what went before it happened in the other authority's own files.
    None: frozenset(_V),
    _V.NOT_ASSESSED: frozenset((_V.IN_PROGRESS, _V.POSSIBLE)),
    _V.IN_PROGRESS: frozenset((_V.POSSIBLE, _V.NOT)),
    _V.POSSIBLE: frozenset((_V.ACTUAL, _V.NOT)),
    _V.NOT: frozenset((_V.POSSIBLE,)),
    _V.ACTUAL: frozenset((_V.POSSIBLE, _V.NOT)),
}


def advance_victim(
    current: VictimStatus | None, to: VictimStatus, *, rationale: bool = False, second_officer: bool = False
) -> Finding | None:
    """Judge one body's next assessment of one person; the same status again is a confirmation and passes.

    An actual victim becomes anything else only with a rationale and a second officer (§6.2).
    """
    if to is current:
        return None
    if to not in VICTIM[current]:
        return Finding("/status", "this body's earlier assessment does not lead here", "E-STATE")
    if current is VictimStatus.ACTUAL and not (rationale and second_officer):
        return Finding("/status", "an identified victim's status needs a rationale and a second officer", "E-STATE")
    return None


def shown_status(statuses: Iterable[str]) -> str:
    """Return what a view shows for one person: the bodies' common status, or `Contested` when they differ.

    Bodies that have not come to an opinion do not contest one.
    """
    undecided = {VictimStatus.NOT_ASSESSED.value, VictimStatus.IN_PROGRESS.value}
    opinions = set(statuses)
    decided = opinions - undecided
    if len(decided) > 1:
        return CONTESTED
    if decided:
        return decided.pop()
    return max(opinions, key=lambda s: s == VictimStatus.IN_PROGRESS.value, default="NotAssessed")


def protected(statuses: Iterable[str]) -> bool:
    """Tell whether any body holds the person to be a possible or actual victim: the protective reading."""
    return not PROTECTED.isdisjoint(statuses)


class Milestone(StrEnum):
    """One person's way home (list `movementMilestone`)."""

    LOCATED = "LOCATED"
    SAFE = "SAFE"
    SCREENED = "SCREENED"
    IDENTITY_CONFIRMED = "IDENTITY_CONFIRMED"
    TRAVEL_DOC_ISSUED = "TRAVEL_DOC_ISSUED"
    FINE_WAIVED = "FINE_WAIVED"
    FINE_SETTLED = "FINE_SETTLED"
    EXIT_PERMIT = "EXIT_PERMIT"
    BOOKED = "BOOKED"
    DEPARTED = "DEPARTED"
    TRANSIT = "TRANSIT"
    ARRIVED = "ARRIVED"
    HANDED_OVER = "HANDED_OVER"
    ABORTED = "ABORTED"


_M = Milestone
_AFTER_IDENTITY: Final = frozenset(
    # A held passport needs no new document, a lawful stay no fine: those steps may be passed over.
    (_M.TRAVEL_DOC_ISSUED, _M.FINE_WAIVED, _M.FINE_SETTLED, _M.EXIT_PERMIT, _M.ABORTED)
)
MOVEMENT: Final[dict[Milestone | None, frozenset[Milestone]]] = {
    # A movement is told from where the teller takes it up, but nobody is first heard of on the way.
    None: frozenset(_M) - {_M.TRANSIT, _M.ARRIVED, _M.HANDED_OVER},
    _M.LOCATED: frozenset((_M.SAFE, _M.ABORTED)),
    _M.SAFE: frozenset((_M.SCREENED, _M.ABORTED)),
    _M.SCREENED: frozenset((_M.IDENTITY_CONFIRMED, _M.ABORTED)),
    _M.IDENTITY_CONFIRMED: _AFTER_IDENTITY,
    _M.TRAVEL_DOC_ISSUED: _AFTER_IDENTITY - {_M.TRAVEL_DOC_ISSUED},
    _M.FINE_WAIVED: frozenset((_M.EXIT_PERMIT, _M.ABORTED)),
    _M.FINE_SETTLED: frozenset((_M.EXIT_PERMIT, _M.ABORTED)),
    _M.EXIT_PERMIT: frozenset((_M.BOOKED, _M.ABORTED)),
    _M.BOOKED: frozenset((_M.DEPARTED, _M.BOOKED, _M.ABORTED)),
    _M.DEPARTED: frozenset((_M.TRANSIT, _M.ARRIVED, _M.ABORTED)),
    _M.TRANSIT: frozenset((_M.TRANSIT, _M.ARRIVED, _M.ABORTED)),
    _M.ARRIVED: frozenset((_M.HANDED_OVER,)),
    _M.HANDED_OVER: frozenset(),
    # An aborted return may be taken up again, as a new movement of a person already screened.
    _M.ABORTED: frozenset((_M.SAFE, _M.SCREENED, _M.BOOKED)),
}
MOVEMENT_OVER: Final = frozenset((_M.HANDED_OVER, _M.ABORTED))


def movement_persons(data: Json) -> list[str]:
    """Return everybody a movement speaks of: by reference, or row by row."""
    manifest = [text(obj(row, "person"), "personRef") for row in rows(data, "manifest")]
    return [ref for ref in (*texts(data, "persons"), *manifest) if ref]


def advance_movement(current: Milestone | None, to: Milestone) -> Finding | None:
    """Judge one person's next milestone."""
    if to in MOVEMENT[current]:
        return None
    return Finding("/milestone", "this person's last milestone does not lead here", "E-STATE")


class AlertStatus(StrEnum):
    """Where a subject.alert stands."""

    ACTIVE = "ACTIVE"
    HIT = "HIT"
    RESOLVED = "RESOLVED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"


_A = AlertStatus
ALERT: Final[dict[AlertStatus, frozenset[AlertStatus]]] = {
    _A.ACTIVE: frozenset((_A.HIT, _A.EXPIRED, _A.WITHDRAWN)),
    _A.HIT: frozenset((_A.RESOLVED, _A.WITHDRAWN)),
    _A.RESOLVED: frozenset(),
    _A.EXPIRED: frozenset(),
    _A.WITHDRAWN: frozenset(),
}


def advance_alert(current: AlertStatus, to: AlertStatus) -> Finding | None:
    """Judge an alert's next status."""
    if to in ALERT[current]:
        return None
    return Finding("/status", "the alert's status does not lead here", "E-STATE")


def alert_now(
    current: AlertStatus, *, valid_until_ms: int, now_ms: int, victim_statuses: Iterable[str] = ()
) -> AlertStatus:
    """Return where an alert stands now, before anybody acts on it.

    A subject whom any body holds to be a victim withdraws it at once, a hit included (§6.4, P07); time expires it.
    """
    if current in (_A.ACTIVE, _A.HIT) and protected(victim_statuses):
        return _A.WITHDRAWN
    if current is _A.ACTIVE and now_ms >= valid_until_ms:
        return _A.EXPIRED
    return current
