"""Which policies a message is shown to: those it could break, by the members it has."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from gateway.casework.policies import POLICIES, WOKEN_BY, CaseFacts, Policy, awake
from gateway.casework.policies.basis import PURPOSES
from tests.casework.casefile import SCHEMAS, context, example_names, message

VICTIM, ASKED = "P-0192f1c4-2f00-7a00-8000-000000000001", frozenset(("q1",))
# Read wherever a list of persons may stand; the shipped schemas have it below `familyTracing` only.
BELOW = {"relatives"}
# A case in which as much as possible is amiss for whoever is spoken of.
AMISS = CaseFacts(
    inherited=("V2", "EO"), deferred=frozenset((VICTIM,)),
    statuses={(VICTIM, "KH_POLICE"): "ActualVictimOfTrafficking"},
    protection_claims=frozenset((VICTIM,)), nationalities={VICTIM: frozenset(("KHM", "IDN"))},
    known_persons=frozenset(), known_names=("SUMARNI",), requested=ASKED, owners={}, unanswered_requests=1,
    open_movements=1,
)  # fmt: skip


def everything() -> dict[str, Any]:
    """Return one `data` with the members of all examples, and of all schemas that no example has."""
    person = message("case.referral/s1-sumarni").data["persons"][0]
    found: dict[str, Any] = {
        "meta": {},
        "attachments": [{"attachmentId": "q1", "description": "SUMARNI", "personRef": VICTIM, "byteLength": 10**9}],
        "manifest": [{"itemId": "q1", "person": person}, {"itemId": "q1", "person": person}],
        "group": {"declaredCount": 9, "leaderRef": VICTIM},
        "assessments": [{"personRef": VICTIM, "decisionMakingOrg": "KH_POLICE", "status": "NotAssessed"}],
        "personsCount": 77,
        "riskAssessment": {"flags": ["OFFICIAL_COMPLICITY", "RETALIATION", "PROTECTION_CLAIM"]},
        "searchKeys": [{"type": "PHONE", "value": "112"}],
        "travelDocs": [{"personRef": VICTIM, "document": {"number": "X1", "issuedOn": "2026-02-30"}}],
    }
    for name in example_names():
        for key, value in copy.deepcopy(message(name).data).items():
            found.setdefault(key, value)
    return found


@pytest.mark.parametrize("policy", WOKEN_BY, ids=lambda policy: policy.__name__)
def test_a_message_without_the_members_cannot_break_the_policy(policy: Policy) -> None:
    """All that was ever sent, without what wakes the policy, under every type, in a case where all is amiss."""
    data = {key: value for key, value in everything().items() if key not in WOKEN_BY[policy]}
    for subject in PURPOSES:
        facts = message("case.referral/s1-sumarni", subject=subject, data=data, handling=("V2",), environment="prod")
        assert tuple(policy(context(facts, AMISS))) == ()


def test_every_member_that_wakes_is_one_that_a_schema_has() -> None:
    """A name that was mistyped would let a policy sleep."""
    known: set[str] = set()
    for file in SCHEMAS.glob("*/1.*.json"):
        known |= json.loads(file.read_bytes()).get("properties", {}).keys()
    assert frozenset().union(*WOKEN_BY.values()) - known == BELOW


def test_a_policy_that_names_no_member_judges_every_message() -> None:
    """An empty message is still asked for its purpose, its basis, its retention and its handling."""
    facts = message("case.referral/s1-sumarni", data={"meta": {}})
    assert awake(POLICIES, context(facts)) == tuple(policy for policy in POLICIES if policy not in WOKEN_BY)
