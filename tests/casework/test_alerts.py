"""Where an alert stands (§6.4): by its day, its answers, its subject and its case."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.casework.alerts import Alert, hit, shown, until_ms
from gateway.casework.lifecycle import CaseStatus
from gateway.casework.policies import CaseFacts
from tests.casework.casefile import ASKED, NOW_MS, judge, message, places

DAY_MS = 86_400_000
REF = "P-5a00003d-0000-4000-8000-00000000003d"
VICTIM, NOT = "PossibleVictimOfTrafficking", "NotAVictimOfTrafficking"


@pytest.mark.parametrize(
    ("stated", "until"),
    [
        ("P180D", NOW_MS + 180 * DAY_MS),
        ("P1D", NOW_MS + DAY_MS),
        ("2026-11-24", NOW_MS + DAY_MS),  # the day named is its last
        ("2027-01-01", NOW_MS + 39 * DAY_MS),
        (None, None),
    ],
)
def test_an_alert_ends_after_its_days_or_with_its_last_day(stated: str | None, until: int | None) -> None:
    """Days are counted from the message, a date ends at midnight UTC."""
    assert until_ms({"validUntil": stated} if stated else {}, NOW_MS) == until


@pytest.mark.parametrize(
    ("met", "after_ms", "statuses", "case", "status"),
    [
        (False, 0, [], "RECEIVED", "ACTIVE"),
        (False, DAY_MS - 1, [NOT], "ACTION", "ACTIVE"),
        (False, DAY_MS, [], "RECEIVED", "EXPIRED"),
        (True, DAY_MS, [], "ACTION", "HIT"),  # what was met stays met
        (True, 0, [], "CLOSED", "RESOLVED"),
        (True, 0, [], "CLOSED_REFERRED", "RESOLVED"),
        (False, 0, [], "CLOSED", "ACTIVE"),
        (False, 0, [], "WITHDRAWN", "WITHDRAWN"),
        (True, 0, [], "WITHDRAWN", "WITHDRAWN"),
        (False, 0, [NOT, VICTIM], "RECEIVED", "WITHDRAWN"),  # any body's word protects
        (True, 0, [VICTIM], "ACTION", "WITHDRAWN"),
        (False, DAY_MS, [VICTIM], "RECEIVED", "WITHDRAWN"),
    ],
)
def test_the_course_of_an_alert(met: bool, after_ms: int, statuses: list[str], case: str, status: str) -> None:
    """One day of validity, seen at its edge; a victim withdraws before time or case are asked."""
    alert = Alert(REF, NOW_MS + DAY_MS, met)
    assert shown("m", alert, NOW_MS + after_ms, statuses, CaseStatus(case)).status == status


def answered(outcome: str) -> Any:
    """Return an answer to the alert with one outcome."""
    answer = {"qId": "HIT-1", "outcome": outcome, "evaluation": {"source": "A", "information": "1"}}
    return message(
        "info.response/refused-and-ambiguous",
        lambda data: (data.update(answers=[answer]), [data.pop(key, None) for key in ("persons", "candidates")]),
    )


@pytest.mark.parametrize(
    ("alert", "statuses", "refused"),
    [
        (Alert(REF, NOW_MS + 1, hit=False), {}, False),
        (Alert(REF, NOW_MS, hit=False), {}, True),
        (Alert(REF, NOW_MS, hit=True), {}, False),
        (Alert(REF, NOW_MS + 1, hit=False), {(REF, "Police"): VICTIM}, True),
        (Alert(REF, NOW_MS + 1, hit=True), {(REF, "Police"): VICTIM}, True),
        (Alert(REF, NOW_MS + 1, hit=False), {("P-other", "Police"): VICTIM}, False),
    ],
)
def test_a_hit_is_answered_to_an_alert_that_runs(alert: Alert, statuses: Any, refused: bool) -> None:
    """E-STATE at the outcome for one that expired or was withdrawn; no hit is always an answer."""
    case = CaseFacts(alerts={ASKED: alert}, statuses=statuses)
    facts = answered("HIT")
    assert hit(facts.data)
    assert places(judge(facts, case)) == ({("E-STATE", "/answers/0/outcome")} if refused else set())
    assert judge(answered("NO_HIT"), case) == ()
