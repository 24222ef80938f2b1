"""Which policies a message is shown to: those it could break, by the members it has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from gateway.casework.policies import POLICIES, WOKEN_BY, CaseFacts, awake
from gateway.casework.policies.basis import PURPOSES
from tests.casework.casefile import SCHEMAS, context, message

if TYPE_CHECKING:
    from gateway.casework.policies import Context

VICTIM = "P-0192f1c4-2f00-7a00-8000-000000000001"
AHEAD, NO_DAY = "2031-01-01", "2026-02-30"
# A case in which as much as possible is amiss for whoever is spoken of.
AMISS = CaseFacts(
    inherited=("V2", "EO"), deferred=frozenset((VICTIM,)),
    statuses={(VICTIM, "KH_POLICE"): "ActualVictimOfTrafficking"}, protection_claims=frozenset((VICTIM,)),
    nationalities={VICTIM: frozenset(("KHM", "IDN"))}, known_persons=frozenset(), known_names=("SUMARNI",),
    requested=frozenset(("q1",)), owners={}, unanswered_requests=1, open_movements=1,
)  # fmt: skip
DOCUMENT = {"number": "X1", "issuer": "UTO", "issuedOn": NO_DAY}
OPINION = {"personRef": VICTIM, "decisionMakingOrg": "KH_POLICE", "status": "NotAssessed", "decidedOn": AHEAD}
# Each member of a person with the worst value it can have, alone.
PERSON: dict[str, Any] = {
    "personRef": VICTIM, "role": "PRESUMED_VICTIM", "names": [{"script": "Latn", "fullName": "\u202eA"}],
    "contacts": [{"kind": "PHONE", "value": "112"}], "birth": {"value": NO_DAY, "precision": "DAY", "ageStated": 9},
    "documents": [DOCUMENT], "nationalities": [{"country": "UTO"}, {"country": "KHM"}], "isMinor": "YES",
    "riskFlags": ["FAMILY_INVOLVED", "OFFICIAL_COMPLICITY", "PROTECTION_CLAIM"], "photoRef": "gone",
    "consent": {"obtainedOn": AHEAD, "withdrawnOn": "2026-01-01"}, "warrant": {"date": AHEAD},
    "bestInterests": {"date": AHEAD},
}  # fmt: skip
# The same for the members of a row that holds a person, of `meta`, and of `data`.
HOLDER: dict[str, Any] = {"claimedDocument": DOCUMENT, "photoRef": "gone"}
META: dict[str, Any] = {"legalBasis": ["NONE-SUCH"], "humanReview": {"at": AHEAD}}
DATA: dict[str, Any] = {
    "riskAssessment": {"flags": PERSON["riskFlags"], "date": AHEAD}, "familyTracing": {"allowed": True},
    "answers": [{"qId": "q1", "outcome": "NO_HIT", "refusalReason": "PROTECTION_CLAIM"}] * 2,
    "milestones": [{"milestone": "ARRIVED", "personRefs": [VICTIM]}, {"milestone": "SAFE", "personRefs": [VICTIM]}],
    "travelDocs": [{"personRef": VICTIM, "document": DOCUMENT}], "assessments": [OPINION],
    "victimContexts": [{"personRef": VICTIM, "traffickingAssessments": [OPINION]}],
    "victimContext": {"personRef": VICTIM, "traffickingAssessments": [OPINION]},
    "crossings": [{"personRef": VICTIM, "at": AHEAD, "checkpoint": "XX"}],
    "attachments": [{"attachmentId": "a", "description": "a@example.org", "byteLength": 10**9}] * 2,
    "figures": [{"value": 3, "unit": "PERSON", "breakdown": {"checkpoint": "XX"}}],
    "subjectRequest": {"receivedOn": AHEAD}, "searchKeys": [{"type": "PHONE", "value": "112"}],
    "results": [{"itemId": "q2", "travelDocument": DOCUMENT}] * 501, "items": [{"itemId": "q1"}] * 501,
    "manifest": [{"itemId": "q1"}] * 501, "declaredCount": 9, "group": {"declaredCount": 9, "leaderRef": VICTIM},
    "personsCount": 0, "checkpoint": "XX-NOWHERE", "toStatus": "CLOSED", "fromStatus": "CLOSED_NO_ACTION",
    "grounds": {"statutes": ["NONE-SUCH"]}, "onwardGroup": {"checkpoint": "XX"}, "reception": {"checkpoint": "XX"},
    "route": [{"from": {"checkpoint": "XX"}}], "itinerary": [{"from": {"checkpoint": "XX"}}],
    "legs": [{"to": {"checkpoint": "XX"}}], "deferredAt": AHEAD, "deferredOn": AHEAD, "validUntil": "2020-01-01",
    "period": {"from": "2026-02-01", "to": "2026-01-01"}, "actionsTaken": [{"date": AHEAD}],
    "eventPeriod": {"from": {"value": NO_DAY, "precision": "DAY"}}, "questions": [{"qId": "q1"}] * 2,
    "health": {"certRef": "gone"}, "target": {"messageId": "01900000-0000-7000-8000-000000000009"},
    "consent": {"obtainedOn": AHEAD}, "claimedDocument": DOCUMENT, "bestInterests": {"date": AHEAD},
    "periodFrom": AHEAD, "validity": {"from": AHEAD, "until": "2026-01-01"}, "erasureCertificate": {"erasedAt": AHEAD},
}  # fmt: skip
PEOPLE = ("persons", "subjectPersons", "subjects", "facilitators", "person", "subject", "relatives")
MEMBERS = sorted({*PERSON, *HOLDER, *META, *DATA, *PEOPLE})


def data_with(member: str) -> list[dict[str, Any]]:
    """Return messages that have the member, wherever it may stand, and beside it only somebody nothing is said of."""
    somebody = {"sex": "X"}
    found: list[dict[str, Any]] = []
    if member in DATA:
        found += [{member: DATA[member]}, {member: DATA[member], "persons": [somebody, VICTIM]}]
    if member in META:
        found.append({"meta": {member: META[member]}})
    if member in PERSON:
        found += [{"persons": [{**somebody, member: PERSON[member]}]}, {"person": {**somebody, member: PERSON[member]}}]
    if member in HOLDER:
        found.append({"items": [{"person": somebody, member: HOLDER[member]}]})
    if member in PEOPLE:
        found += [{member: somebody}, {member: [somebody]}, {"familyTracing": {member: [somebody]}}]
    return found


def contexts(member: str) -> list[Context]:
    """Return those messages under every type, in both environments, in a case where all is amiss."""
    return [
        context(
            message("case.referral/s1-sumarni", subject=subject, data=data, handling=("V2",), environment=environment),
            AMISS,
        )
        for data in data_with(member)
        for subject in PURPOSES
        for environment in ("prod", "test")
    ]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_policy_that_is_left_asleep_has_nothing_to_find(member: str) -> None:
    """One member at a time: what it can break is awake for it."""
    for ctx in contexts(member):
        asleep = [policy for policy in POLICIES if policy not in awake(POLICIES, ctx)]
        assert [(p.__name__, f) for p in asleep for f in p(ctx)] == []


def test_every_policy_that_may_sleep_is_broken_by_one_of_these_messages() -> None:
    """The test above tries each of them."""
    broken = {policy for member in MEMBERS for ctx in contexts(member) for policy in WOKEN_BY if any(policy(ctx))}
    assert {policy.__name__ for policy in WOKEN_BY} - {policy.__name__ for policy in broken} == set()


def test_every_member_that_wakes_is_tried_and_is_one_that_a_schema_has() -> None:
    """A name that was mistyped would let a policy sleep."""
    waking = frozenset().union(*WOKEN_BY.values())
    known: set[str] = set()
    for file in SCHEMAS.glob("*/1.*.json"):
        known |= {name.decode() for name in re.findall(rb'"([A-Za-z]+)":', file.read_bytes())}
    assert waking <= known & set(MEMBERS)


def test_a_policy_that_names_no_member_judges_every_message() -> None:
    """An empty message is still asked for its purpose, its basis, its retention and its handling."""
    facts = message("case.referral/s1-sumarni", data={"meta": {}})
    assert awake(POLICIES, context(facts)) == tuple(policy for policy in POLICIES if policy not in WOKEN_BY)
