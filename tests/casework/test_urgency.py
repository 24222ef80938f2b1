"""The urgency of a message that names none (§4)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.casework.urgency import default_urgency
from tests.casework.casefile import Spoil, message

S1, CHILD = "case.referral/s1-sumarni", "victim.assistance.referral/s5-child-khmer-script"
GROUP, ERASE = "departure.deferral.notice/s3-group-of-four", "record.action/s7-erase-wrong-person"


def keep(_data: Any) -> None:
    """Leave the example as it is."""


@pytest.mark.parametrize(
    ("name", "spoil", "urgency"),
    [
        (S1, keep, "FLASH"),
        (S1, lambda d: d["persons"][0].update(riskFlags=[]), "usual"),
        (S1, lambda d: d.update(persons=[], manifest=[{"person": {"riskFlags": ["STILL_CONFINED"]}}]), "FLASH"),
        (CHILD, keep, "usual"),
        (CHILD, lambda d: d["person"]["riskFlags"].append("MEDICAL_URGENT"), "FLASH"),
        (CHILD, lambda d: d["riskAssessment"]["flags"].append("STILL_CONFINED"), "FLASH"),
        (GROUP, keep, "URGENT"),
        (GROUP, lambda d: d.pop("onwardGroup"), "usual"),
        (ERASE, keep, "URGENT"),
        (ERASE, lambda d: d.update(action="CORRECT"), "URGENT"),
        (ERASE, lambda d: d.update(action="RESTRICT", reason="UNLAWFUL"), "URGENT"),
        (ERASE, lambda d: d.update(action="DISPUTE", reason="SENT_TO_WRONG_RECIPIENT"), "URGENT"),
        (ERASE, lambda d: d.update(action="CORRECT", reason="DATA_ENTRY_ERROR"), "usual"),
        ("route.bulletin/s6-batam-johor-bavet", keep, "usual"),
    ],
)
def test_content_asks_for_haste(name: str, spoil: Spoil, urgency: str) -> None:
    """Somebody still confined or ill, co-travellers on their way, data about the wrong person."""
    facts = message(name, spoil)
    assert default_urgency(facts.subject, facts.data, "usual") == urgency
