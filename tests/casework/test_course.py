"""Where a message stands in its case: closing, assessments, movements, references, counts, dates, evaluation."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.casework.handling import GATE, Content, gate, minimum, missing, union
from gateway.casework.policies import CaseFacts
from tests.casework.casefile import ASKED, codes, judge, message, places

CLOSED = "case.update/s1-closed"
OPINION = "case.update/s7-police-opinion"
SUMARNI = "case.referral/s1-sumarni"
GROUP = "identity.verify.request/s2-group-of-thirty"
ANSWER = "identity.verify.response/s2-partial-3"
DEFERRAL = "departure.deferral.notice/s3-group-of-four"
MOVEMENT = "repatriation.movement/s8-departure"
ALERT = "subject.alert/s6-two-nationalities"
RFI = "info.request/s7-crossing-history"


@pytest.mark.parametrize(
    ("spoil", "case", "pointer"),
    [
        (lambda d: d.pop("reason"), CaseFacts(), "/reason"),
        (lambda d: d.update(reason="we are done"), CaseFacts(), "/reason"),
        (lambda d: d.pop("feedback"), CaseFacts(), "/feedback"),
        (lambda d: None, CaseFacts(open_movements=1), "/toStatus"),
        (lambda d: None, CaseFacts(unanswered_requests=1), "/toStatus"),
    ],
)
def test_closing_needs_its_reason_feedback_and_nothing_open(spoil: Any, case: CaseFacts, pointer: str) -> None:
    """§6.1: E-STATE for each."""
    assert judge(message(CLOSED)) == ()
    assert places(judge(message(CLOSED, spoil), case)) == {("E-STATE", pointer)}


def test_a_report_on_a_closed_case_closes_nothing() -> None:
    """The same status twice is a report: no reason, no feedback, open movements or not."""

    def report(data: dict[str, Any]) -> None:
        data.update(fromStatus="CLOSED", toStatus="CLOSED")
        data.pop("reason")
        data.pop("feedback")

    assert judge(message(CLOSED, report), CaseFacts(open_movements=1)) == ()


def test_an_identified_victim_stays_one_unless_two_officers_say_why() -> None:
    """§6.2: the same body's ActualVictim becomes NotAVictim only with rationale and a second officer."""
    facts = message(OPINION)
    opinion = facts.data["assessments"][0]
    opinion.update(status="NotAVictimOfTrafficking")
    opinion.pop("rationale", None)
    facts.data["meta"].pop("humanReview", None)
    case = CaseFacts(statuses={(opinion["personRef"], opinion["decisionMakingOrg"]): "ActualVictimOfTrafficking"})
    handled = {**{s: getattr(facts, s) for s in facts.__slots__}, "handling": ("V1", "H2", "NP")}
    again = type(facts)(**handled)
    assert places(judge(again, case)) == {("E-STATE", "/assessments/0/status")}
    opinion["rationale"] = "New documents"
    facts.data["meta"]["humanReview"] = {"role": "Another officer", "at": "2026-11-23T00:00:00.000Z"}
    assert judge(again, case) == ()


def test_another_bodys_opinion_binds_nobody() -> None:
    """Police may say NotAVictim where Immigration said ActualVictim: both stand, nobody is overruled."""
    facts = message(OPINION)
    ref = facts.data["assessments"][0]["personRef"]
    case = CaseFacts(statuses={(ref, "Immigration"): "ActualVictimOfTrafficking"})
    assert "E-STATE" not in codes(judge(facts, case))


def test_nobody_arrives_who_did_not_depart() -> None:
    """§4.10: E-STATE at the milestone; with DEPARTED told before, it passes."""
    facts = message(MOVEMENT)
    ref = facts.data["persons"][0]
    facts.data["milestones"] = [
        {"milestone": "ARRIVED", "at": "2026-11-23T00:00:00.000Z", "byRole": "Escort", "personRefs": [ref]}
    ]
    assert places(judge(facts, CaseFacts(milestones={ref: "BOOKED"}))) == {("E-STATE", "/milestones/0/milestone")}
    assert judge(facts, CaseFacts(milestones={ref: "DEPARTED"})) == ()


def test_references_lead_to_somebody() -> None:
    """A context about nobody, an item twice, an answer to nothing, a question not asked, a file not there."""
    stranger = "P-00000000-0000-4000-8000-000000000000"
    found = judge(message(SUMARNI, lambda d: d["victimContexts"][0].update(personRef=stranger)))
    assert places(found) == {("E-REF", "/victimContexts/0/personRef")}
    twice = judge(message(GROUP, lambda d: d["items"][1].update(itemId=d["items"][0]["itemId"])))
    assert places(twice) == {("E-REF", "/items/1/itemId")}
    assert places(judge(message(ANSWER, in_reply_to=None))) == {("E-REF", "/inReplyTo")}
    photo = judge(message(SUMARNI, lambda d: d["persons"][0].update(photoRef="nowhere")))
    assert places(photo) == {("E-REF", "/persons/0/photoRef")}


def test_a_record_action_is_about_ones_own_record() -> None:
    """4.13: erasing the other authority's record is E-REF; disputing it is what it may do."""
    erase = message("record.action/s7-erase-wrong-person")
    target = erase.data["target"]["messageId"]
    own, foreign = CaseFacts(owners={target: erase.sender}), CaseFacts(owners={target: erase.recipient})
    assert judge(erase, own) == ()
    assert places(judge(erase, foreign)) == {("E-REF", "/target/messageId")}
    assert places(judge(erase, CaseFacts(owners={}))) == {("E-REF", "/target/messageId")}
    dispute = message("record.action/s7-dispute-status")
    assert judge(dispute, CaseFacts(owners={dispute.data["target"]["messageId"]: dispute.recipient})) == ()


def test_the_last_partial_adds_up_to_the_request() -> None:
    """4.6: at final the counts are those of the request; an item that was not asked about is E-REF."""
    asked = frozenset(row["itemId"] for row in message(GROUP).data["items"])
    final = message(ANSWER)
    assert final.data["final"] is True
    assert final.in_reply_to == ASKED
    assert judge(final, CaseFacts(requested=asked)) == ()
    assert "E-COUNT" in codes(judge(final, CaseFacts(requested=asked | {"one-more"})))
    lost = asked - {final.data["results"][0]["itemId"]}
    assert ("E-REF", "/results/0/itemId") in places(judge(final, CaseFacts(requested=lost)))


def test_groups_add_up() -> None:
    """4.7: age groups and sexes each sum to personsCount."""
    assert places(judge(message(DEFERRAL, lambda d: d.update(personsCount=5)))) == {
        ("E-COUNT", "/ageGroups"),
        ("E-COUNT", "/sexes"),
    }


def test_a_departure_is_postponed_at_home() -> None:
    """A deferral at a checkpoint of the other State is E-AUTHORITY."""
    found = judge(message(DEFERRAL, lambda d: d.update(checkpoint="KH-BVT")))
    assert places(found) == {("E-AUTHORITY", "/checkpoint")}


@pytest.mark.parametrize(
    ("example", "spoil", "pointer"),
    [
        (DEFERRAL, lambda d: d.update(deferredAt="2026-12-24T00:00:00.000Z"), "/deferredAt"),
        (RFI, lambda d: d["period"].update({"from": "2023-01-01"}), "/period"),
        (RFI, lambda d: d["period"].update({"from": "2026-11-02", "to": "2026-11-01"}), "/period/to"),
        (ALERT, lambda d: d.update(validUntil="2028-01-01"), "/validUntil"),
        (
            SUMARNI,
            lambda d: d["victimContexts"][0]["traffickingAssessments"][0].update(decidedOn="2027-01-01"),
            "/victimContexts/0/traffickingAssessments/0/decidedOn",
        ),
        (
            SUMARNI,
            lambda d: d["eventPeriod"].update(to={"value": "2026-01", "precision": "MONTH"}),
            "/eventPeriod/to",
        ),
        (
            SUMARNI,
            lambda d: d["persons"][0].update(birth={"value": "1999", "precision": "DAY"}),
            "/persons/0/birth/value",
        ),
    ],
)
def test_dates_that_contradict(example: str, spoil: Any, pointer: str) -> None:
    """E-DATE: in the future, backwards, too long, or not written to its precision."""
    assert places(judge(message(example, spoil))) == {("E-DATE", pointer)}


def test_who_asks_in_haste_says_why() -> None:
    """4.3: URGENT without consequenceIfLate is E-SCHEMA."""
    found = judge(message(RFI, lambda d: d.pop("consequenceIfLate", None), urgency="URGENT"))
    assert places(found) == {("E-SCHEMA", "/consequenceIfLate")}


def test_no_hit_brings_no_data() -> None:
    """4.4: persons beside NO_HIT only are E-PII."""

    def nothing(data: dict[str, Any]) -> None:
        data["answers"] = [{"qId": a["qId"], "outcome": "NO_HIT"} for a in data["answers"]]

    assert "E-PII" in codes(judge(message("info.response/s7-final", nothing)))


LETTERS = {
    "r": "case.referral",
    "q": "info.request",
    "b": "route.bulletin",
    "a": "subject.alert",
    "d": "departure.deferral.notice",
}


@pytest.mark.parametrize(
    ("evaluations", "allowed"),
    [
        ("A1 A2 A3 B1 B2 B3", "rqbad"),
        ("A4 B4", "rqb"),
        ("C1 C2 C3", "rq"),
        ("C4", "qb"),
        ("X1 X2 X3", "rqb"),
        ("X4", "qb"),
    ],
)
def test_the_four_by_four_gate(evaluations: str, allowed: str) -> None:
    """§7.2, cell by cell; no evaluation passes nothing."""
    for source, information in evaluations.split():
        passed = {k for k, subject in LETTERS.items() if gate(subject, source, information, "") is None}
        assert passed == set(allowed)
    assert len(GATE) == 16
    assert all(gate(subject, None, None, "") is not None for subject in LETTERS.values())
    assert gate("stats.periodic", None, None, "") is None


@pytest.mark.parametrize(
    ("content", "needed"),
    [
        (Content(), "H0"),
        (Content(victim_data=True), "H2 V1"),
        (Content(victim_data=True, minor=True), "H1 H2 V1"),
        (Content(victim_data=True, victim=True), "H2 V1 NP"),
        (Content(suspect_data=True), "H2"),
        (Content(risk_flags=frozenset({"FAMILY_INVOLVED"})), "V2"),
        (Content(risk_flags=frozenset({"RETALIATION", "OFFICIAL_COMPLICITY"})), "V2 EO"),
    ],
)
def test_the_content_sets_the_least_handling(content: Content, needed: str) -> None:
    """§7.1, row by row, in the fixed order of the codes."""
    assert minimum("case.referral", content) == tuple(needed.split())


def test_handling_combines_by_union() -> None:
    """H0 yields to anything; what is missing is named in order."""
    assert union(("H0",), ("NP", "H2"), ("H2",)) == ("H2", "NP")
    assert union((), ("H0",)) == ("H0",)
    assert missing(("H2",), ("NP", "H0", "V1", "H2")) == ("V1", "NP")
