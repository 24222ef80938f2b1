"""Where a rule begins and ends: the last value that passes and the first that does not."""

from __future__ import annotations

from datetime import date
from typing import Any

import orjson
import pytest

from gateway.casework.codelists import CodeLists
from gateway.casework.counting import counts_of
from gateway.casework.policies import CaseFacts
from gateway.casework.policies.content import MAX_BYTES
from tests.casework.casefile import Spoil, codes, context, judge, message, places

SUMARNI = "case.referral/s1-sumarni"
CHILD = "victim.assistance.referral/s5-child-khmer-script"
ALERT = "subject.alert/s6-two-nationalities"
NAMED = "passport.deferral.notice/s4-one-applicant-consents"
DEFERRAL = "departure.deferral.notice/s3-group-of-four"
WEEK = "passport.deferral.notice/s4-one-week-seven-applications"
MOVEMENT = "repatriation.movement/s8-departure"
ISSUED = "identity.verify.response/s2-partial-1"
CERTIFICATE = "case.update/s7-erasure-certificate"
BULLETIN = "route.bulletin/s6-batam-johor-bavet"
ASKED = "info.request/s7-crossing-history"
REPORT = "case.update/s1-located"
MIB = 1024 * 1024


def document(data: dict[str, Any]) -> dict[str, Any]:
    """Return Sumarni's passport without its zone, so that one thing is judged at a time."""
    found: dict[str, Any] = data["persons"][0]["documents"][0]
    found.pop("mrz", None)
    found.pop("mrzSource", None)
    return found


def passport(**fields: str) -> Spoil:
    """Change Sumarni's passport."""
    return lambda data: document(data).update(fields)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (passport(issuedOn="2026-11-25"), set()),  # the sender's day may be ahead of UTC
        (passport(issuedOn="2026-11-26"), {("E-DATE", "/persons/0/documents/0/issuedOn")}),
        (passport(issuedOn="2026-11"), set()),  # a month may have been its first day
        (passport(issuedOn="2027"), {("E-DATE", "/persons/0/documents/0/issuedOn")}),
        (passport(issuedOn="2023-06", expiresOn="2023"), set()),
        (passport(issuedOn="2023-06", expiresOn="2022"), {("E-DATE", "/persons/0/documents/0/expiresOn")}),
        (passport(expiresOn="2033-02-30"), {("E-DATE", "/persons/0/documents/0/expiresOn")}),
        (passport(issuedOn="1999-03-13"), {("E-DATE", "/persons/0/documents/0/issuedOn")}),
        (passport(issuedOn="1999-03-14"), set()),
    ],
)
def test_days_of_a_document(spoil: Spoil, found: set[tuple[str, str]]) -> None:
    """In the future, impossible, before its holder's birth."""
    assert places(judge(message(SUMARNI, spoil))) == found


def assessed(day: str) -> Spoil:
    """Set the day of Sumarni's assessment."""
    return lambda data: data["victimContexts"][0]["traffickingAssessments"][0].update(decidedOn=day)


@pytest.mark.parametrize(("day", "fine"), [("2026-11-25", True), ("2026-11-26", False)])
def test_what_has_happened_is_not_tomorrow(day: str, fine: bool) -> None:
    """A day of grace for the sender's clock and zone, no more."""
    assert (judge(message(SUMARNI, assessed(day))) == ()) is fine


@pytest.mark.parametrize(
    ("period", "found"),
    [
        (
            {
                "from": {"value": "2026-11-01", "precision": "DAY"},
                "to": {"value": "2026-11-01", "precision": "DAY"},
            },
            set(),
        ),
        (
            {
                "from": {"value": "2026-11-02", "precision": "DAY"},
                "to": {"value": "2026-11", "precision": "MONTH"},
            },
            set(),
        ),
        (
            {
                "from": {"value": "2026-11-02", "precision": "DAY"},
                "to": {"value": "2026-02-30", "precision": "DAY"},
            },
            {("E-DATE", "/eventPeriod/to/value")},
        ),
        ({"from": {"value": "2026-12", "precision": "MONTH"}}, {("E-DATE", "/eventPeriod/from")}),
        ({"from": {"value": "1999", "precision": "YEAR"}}, set()),  # the year of birth is not before it
    ],
)
def test_the_period_of_the_event(period: dict[str, Any], found: set[tuple[str, str]]) -> None:
    """Backwards, impossible, in the future; uncertain ends get the benefit."""

    def spoil(data: dict[str, Any]) -> None:
        data["eventPeriod"] = period
        data["meta"]["legalBasis"] = ["INT-PALERMO-TIP"]

    assert places(judge(message(SUMARNI, spoil))) == found


def test_a_leg_without_a_date_is_judged_by_the_event() -> None:
    """Phnom Penh's old airport in a story of autumn 2026: E-CODE; with the leg's own older date it passes."""
    leg: dict[str, Any] = {
        "stage": "Transit",
        "mode": "AIR",
        "status": "ALLEGED",
        "to": {"checkpoint": "KH-PNH"},
    }
    facts = message(SUMARNI, lambda data: data.update(route=[leg]))
    assert places(judge(facts)) == {("E-CODE", "/route/0/to/checkpoint")}
    leg["date"] = {"value": "2024", "precision": "YEAR"}
    assert judge(facts) == ()


FUTURE, TOMORROW = "2026-11-26", "2026-11-25"


@pytest.mark.parametrize(
    ("name", "spoil", "pointer"),
    [
        (WEEK, lambda d, day: d.update(periodFrom=day, periodTo=day), "/periodFrom"),
        (MOVEMENT, lambda d, day: d["milestones"][-1].update(at=f"{day}T00:00:00.000Z"), "/milestones/9/at"),
        (ISSUED, lambda d, day: d["results"][2]["travelDocument"].update(issuedOn=day),
         "/results/2/travelDocument/issuedOn"),
        (ALERT, lambda d, day: d["subject"].update(warrant={"issuer": "A court", "ref": "1", "date": day}),
         "/subject/warrant/date"),
        (CHILD, lambda d, day: d["bestInterests"].update(date=day), "/bestInterests/date"),
        (CERTIFICATE, lambda d, day: d["erasureCertificate"].update(erasedAt=f"{day}T00:00:00.000Z"),
         "/erasureCertificate/erasedAt"),
        (SUMARNI, lambda d, day: d["eventPeriod"].update(to={"value": day, "precision": "DAY"}), "/eventPeriod/to"),
    ],
)  # fmt: skip
def test_nothing_is_told_before_it_happened(name: str, spoil: Any, pointer: str) -> None:
    """Every day of something done: E-DATE where it lies ahead, a day of grace for the sender's zone."""
    assert places(judge(message(name, lambda data: spoil(data, FUTURE)))) == {("E-DATE", pointer)}
    assert judge(message(name, lambda data: spoil(data, TOMORROW))) == ()


@pytest.mark.parametrize(
    ("name", "spoil", "pointer"),
    [
        (WEEK, lambda d: d.update(periodFrom="2026-11-15", periodTo="2026-11-09"), "/periodTo"),
        (BULLETIN, lambda d: d["validity"].update({"from": "2026-11-20", "until": "2026-11-19"}), "/validity/until"),
        (ASKED, lambda d: d["period"].update({"from": "2026-11-20", "to": "2026-11-19"}), "/period/to"),
        (WEEK, lambda d: d.update(validUntil="2026-11-23"), "/validUntil"),
        (ALERT, lambda d: d.update(validUntil="2026-11-23"), "/validUntil"),
        (ALERT, lambda d: d.update(validUntil="2027-11-25"), "/validUntil"),
    ],
)
def test_no_period_runs_backwards_and_nothing_ends_before_its_message(name: str, spoil: Spoil, pointer: str) -> None:
    """E-DATE at the end of each: passports of a week, a bulletin, a search, an alert."""
    assert places(judge(message(name, spoil))) == {("E-DATE", pointer)}


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        (REPORT, lambda d, fill: d.update(reason=fill)),
        (BULLETIN, lambda d, fill: d.update(documentsPattern=fill)),
    ],
)
def test_a_report_and_a_bulletin_have_a_limit_of_their_own(name: str, spoil: Any) -> None:
    """256 and 512 KiB of data as it is sent, to the byte; one more is E-SIZE."""
    empty = len(context(message(name, lambda data: spoil(data, ""))).raw)
    limit = MAX_BYTES[name.partition("/")[0]]
    assert limit == {REPORT: 256, BULLETIN: 512}[name] * 1024
    assert judge(message(name, lambda data: spoil(data, "x" * (limit - empty)))) == ()
    assert places(judge(message(name, lambda data: spoil(data, "x" * (limit - empty + 1))))) == {("E-SIZE", "")}


@pytest.mark.parametrize("script", ["Latn", "Khmr"])
def test_a_name_has_one_spelling_in_bytes(script: str) -> None:
    """E-SCRIPT for what is not in NFC, in names and in texts: the same look would be another name to a search."""
    spelled = {"Latn": "Nguye\u0302\u0303n", "Khmr": "\u1780\u17dd\u17d2\u1781"}[script]
    facts = message(SUMARNI, lambda d: d["persons"][0]["names"].append(
        {"nameType": "ALIAS", "script": script, "fullName": spelled}))  # fmt: skip
    assert ("E-SCRIPT", "/persons/0/names/1/fullName") in places(judge(facts))
    assert codes(judge(facts)) == {"E-SCRIPT"}
    assert places(judge(message(SUMARNI, lambda d: d.update(summary=d["summary"] + spelled)))) == {
        ("E-SCRIPT", "/summary")
    }


@pytest.mark.parametrize(
    ("name", "fine"),
    [(SUMARNI, False), (ASKED, False), ("info.response/s7-final", False), (BULLETIN, False), (REPORT, True)],
)
def test_what_the_partner_must_read_is_in_english(name: str, fine: bool) -> None:
    """E-SCHEMA at the language for summary, question, answer and title; without a language everywhere."""
    found = judge(message(name, lambda data: data["meta"].update(language="ind")))
    assert places(found) == (set() if fine else {("E-SCHEMA", "/meta/language")})
    silent = judge(message(name, lambda data: data["meta"].pop("language"), side="receiver"))
    assert places(silent) == {("E-SCHEMA", "/meta/language")}


def test_an_answer_without_words_may_have_any_language() -> None:
    """Codes and crossings need no English."""
    facts = message("info.response/s7-final", lambda data: data["meta"].update(language="ind"))
    facts.data["answers"][0].pop("text")
    assert judge(facts) == ()


def test_a_latin_name_beside_another_script_says_how_it_came_about() -> None:
    """E-SCHEMA where a passport's Latin form of a Chinese or Khmer name is silent; an alias there asks nothing."""
    facts = message(ALERT, lambda d: [d["subject"]["names"][i].pop("transliterationScheme") for i in (1, 2)])
    assert places(judge(facts)) == {
        ("E-SCHEMA", "/subject/names/1/transliterationScheme"), ("E-SCHEMA", "/subject/names/2/transliterationScheme"),
    }  # fmt: skip
    for name in facts.data["subject"]["names"]:
        name["nameType"] = "ALIAS" if name["script"] != "Latn" else name["nameType"]
    assert judge(facts) == ()


def test_withdrawn_before_given() -> None:
    """E-DATE beside the consent that is no longer in force."""

    def spoil(data: dict[str, Any]) -> None:
        data["person"]["role"] = "PRESUMED_VICTIM"
        data["consent"].update(withdrawnOn="2020-01-01")

    assert ("E-DATE", "/consent/withdrawnOn") in places(judge(message(CHILD, spoil)))


def test_a_claim_in_the_risk_assessment_reaches_their_own_state() -> None:
    """The child of S5 is Cambodian and the message goes to Cambodia: E-PROTECTION; for another State's child not."""
    facts = message(CHILD, lambda data: data["riskAssessment"]["flags"].append("PROTECTION_CLAIM"))
    assert places(judge(facts)) == {("E-PROTECTION", "/riskAssessment/flags")}
    facts.data["person"]["nationalities"] = [{"country": "VNM", "status": "CLAIMED"}]
    assert "E-PROTECTION" not in codes(judge(facts))
    facts.data["person"]["nationalities"] = []
    assert codes(judge(facts)) == {"E-PROTECTION"}, "unknown is not another State"


def test_a_nationality_known_only_here_counts() -> None:
    """What the message leaves out of a person's nationalities, the case may know."""
    facts = message(SUMARNI)
    ref = facts.data["persons"][0]["personRef"]
    assert judge(facts, CaseFacts(nationalities={ref: frozenset({"MYS"})})) == ()
    assert codes(judge(facts, CaseFacts(nationalities={ref: frozenset({"KHM"})}))) == {"E-PROTECTION"}


def test_files_of_twenty_mebibytes_together() -> None:
    """The last byte that passes and the first that does not."""

    def files(total: int) -> Spoil:
        sizes = [5 * MIB, 5 * MIB, 5 * MIB, total - 15 * MIB]
        return lambda data: data.update(
            attachments=[
                {
                    "attachmentId": f"a{i}",
                    "attachmentType": "STATEMENT",
                    "mediaType": "application/pdf",
                    "byteLength": n,
                }
                for i, n in enumerate(sizes)
            ]
        )

    assert judge(message(SUMARNI, files(20 * MIB))) == ()
    assert places(judge(message(SUMARNI, files(20 * MIB + 1)))) == {("E-SIZE", "/attachments")}


def test_more_names_than_persons_counted() -> None:
    """4.7: as many named as counted passes, one more is E-COUNT."""

    def named(count: int) -> Spoil:
        def spoil(data: dict[str, Any]) -> None:
            data.update(persons=[{"names": []} for _ in range(count)], identityDisclosed=True)

        return spoil

    assert ("E-COUNT", "/persons") not in places(judge(message(DEFERRAL, named(4))))
    assert ("E-COUNT", "/persons") in places(judge(message(DEFERRAL, named(5))))


def test_who_is_held_to_be_no_victim_may_be_a_subject() -> None:
    """P07 speaks of possible and actual victims only, by any body."""
    facts = message(ALERT)
    ref = facts.data["subject"]["personRef"]
    assert judge(facts, CaseFacts(statuses={(ref, "Police"): "NotAVictimOfTrafficking"})) == ()
    both = {(ref, "Police"): "NotAVictimOfTrafficking", (ref, "NGO"): "ActualVictimOfTrafficking"}
    assert codes(judge(facts, CaseFacts(statuses=both))) == {"E-NONPUNISH"}


def test_another_unit_than_the_accused_may_read() -> None:
    """P13 names the accused unit by name or number only."""

    def accuse(data: dict[str, Any]) -> None:
        data["persons"][0]["riskFlags"] = ["OFFICIAL_COMPLICITY"]
        data["subjects"] = [{"role": "SUSPECT", "isMinor": "NO", "organisation": {"name": "Another unit"}}]

    assert judge(message(SUMARNI, accuse, handling=("V1", "H2", "NP", "EO"))) == ()


def test_the_same_officer_is_no_second_officer() -> None:
    """§6.2: review and assessment by one role do not undo an identified victim."""
    facts = message("case.update/s7-police-opinion", handling=("V1", "H2", "NP"))
    opinion = facts.data["assessments"][0]
    opinion.update(status="NotAVictimOfTrafficking", rationale="x")
    facts.data["meta"]["humanReview"] = {"role": opinion["assessorRole"], "at": "2026-11-23T00:00:00.000Z"}
    case = CaseFacts(statuses={(opinion["personRef"], opinion["decisionMakingOrg"]): "ActualVictimOfTrafficking"})
    assert codes(judge(facts, case)) == {"E-STATE"}


def test_an_alert_runs_for_a_year_at_most() -> None:
    """365 days from the message, and not into the past."""
    for day, fine in (
        ("2027-11-24", True),
        ("2027-11-25", False),
        ("2026-11-24", True),
        ("2026-11-23", False),
    ):
        assert (judge(message(ALERT, lambda data, day=day: data.update(validUntil=day))) == ()) is fine, day


def test_retention_to_the_last_day() -> None:
    """1,095 days for an adult victim, 90 for a deferral."""
    for example, last, late in ((SUMARNI, "2029-11-23", "2029-11-24"), (NAMED, "2027-02-22", "2027-02-23")):
        for day, fine in ((last, True), (late, False)):
            facts = message(example, lambda data, day=day: data["meta"]["retention"].update(deleteBy=day))
            assert (judge(facts) == ()) is fine, (example, day)


def test_a_label_missing_in_a_language() -> None:
    """English stands in."""
    raw = orjson.dumps(
        {"list": "x", "version": "1.0.0", "codes": [{"code": "A", "en": "Alpha", "id": ""}, {"code": "B"}]}
    )
    lists = CodeLists.load({"x.json": raw})
    assert [lists.label("x", "A", language) for language in ("en", "id", "km")] == ["Alpha"] * 3
    assert lists.label("x", "B", "km") == "B"


def test_an_assisted_child_is_counted_by_reference() -> None:
    """The referral's one person, who stands beside the context, counts as one presumed victim."""
    facts = message(CHILD)
    facts.data["victimContext"]["traffickingAssessments"][0]["status"] = "PossibleVictimOfTrafficking"
    found = {c.indicator: c.source for c in counts_of("m", facts.subject, facts.data, date(2026, 11, 24))}
    assert found["PRESUMED_VICTIMS"] == f"m#{facts.data['person']['personRef']}"


def test_an_answer_without_a_hit_is_no_hit() -> None:
    """RFI_HIT counts finds only."""
    for outcome, counted in (("HIT", 1), ("PARTIAL", 1), ("NO_HIT", 0), ("REFUSED", 0)):
        data = {"answers": [{"outcome": outcome}]}
        assert len(list(counts_of("m", "info.response", data, date(2026, 11, 24)))) == counted
