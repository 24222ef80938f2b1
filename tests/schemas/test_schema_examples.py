"""The shipped examples are valid as they stand, and two engines agree on them and on what is made wrong."""

from __future__ import annotations

import copy
import json
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785

from gateway.primitives import b64u
from tests.schemas import shelf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTIES = {"id.imigrasi", "kh.gdi"}
MEMBERS = {"recipient", "type", "urgency", "handling", "data"}
GROUP = "identity.verify.request/s2-group-of-thirty"
CASES = {"s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"}

each_example = pytest.mark.parametrize("path", shelf.EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")


@each_example
def test_an_example_is_a_post_body_that_the_gateway_accepts(path: Path) -> None:
    """Members of the REST contract, a known party, codes in their lists, and data that fits the schema."""
    body = shelf.load(path)
    assert set(body) == MEMBERS
    assert body["type"] == path.parent.name
    assert body["recipient"] in PARTIES
    assert body["urgency"] in {c["code"] for c in shelf.codelist("urgency")["codes"]}
    assert set(body["handling"]) <= {c["code"] for c in shelf.codelist("handlingCode")["codes"]}
    assert body["handling"]
    assert shelf.findings(body["type"], body["data"]) == ()
    assert "attachments" not in body["data"]


@each_example
def test_an_example_meets_the_least_handling_and_retention_of_its_type(path: Path) -> None:
    """The sender's gateway would refuse weaker handling or another class."""
    body = shelf.load(path)
    document = shelf.schema(body["type"])
    assert set(document["x-min-handling"]) <= set(body["handling"]) | {"H0"}
    assert body["data"]["meta"]["retention"]["class"] in document["x-retention"]


@each_example
def test_an_example_holds_nothing_that_could_belong_to_anybody(path: Path) -> None:
    """TEST documents, invented register numbers and telephones, and what the gateway fills in is left out."""
    body = shelf.load(path)
    for pointer, node in shelf.nodes(body["data"]):
        if "documentType" in node and "number" in node:
            assert node["number"].startswith("TEST"), pointer
        if node.get("type") == "NIK":
            assert node["value"].startswith("99"), pointer
        if node.get("kind") == "PHONE" or node.get("type") == "PHONE":
            assert "000000" in node["value"], pointer
    assert "deleteBy" not in body["data"]["meta"]["retention"]
    assert "language" not in body["data"]["meta"]


@each_example
def test_an_example_has_no_date_that_a_year_turns_wrong(path: Path) -> None:
    """Events lie in the past, what is still to come far ahead; deadlines are counted from the message."""
    for pointer, node in shelf.nodes(shelf.load(path)["data"]):
        for name, value in node.items():
            if isinstance(value, str) and len(value) >= 10 and value[:2] == "20" and value[4] + value[7] == "--":
                day = date.fromisoformat(value[:10])
                assert day <= date(2026, 11, 24) or day > date(2027, 11, 24), f"{pointer}/{name}"


def test_every_type_and_every_sample_case_has_an_example() -> None:
    """All fourteen types and the eight stories."""
    assert {path.parent.name for path in shelf.EXAMPLES} == set(shelf.SUBJECTS)
    assert {path.stem.partition("-")[0] for path in shelf.EXAMPLES} >= CASES


def test_the_readme_says_of_every_example_which_case_it_opens_or_joins() -> None:
    """Each file is named in the table."""
    text = (shelf.SCHEMAS / "examples" / "README.md").read_text(encoding="utf-8")
    for path in shelf.EXAMPLES:
        assert path.stem in text, path.stem


def test_the_group_of_thirty_is_as_messy_as_it_was_told() -> None:
    """Precision, documents, a presumed child, twins of name and year, two nationalities."""
    rows = shelf.example("identity.verify.request/s2-group-of-thirty")["items"]
    precisions = [row["person"]["birth"]["precision"] for row in rows]
    assert [precisions.count(p) for p in ("DAY", "YEAR", "ESTIMATED", "UNKNOWN")] == [21, 4, 3, 2]
    held = [row.get("claimedDocument") for row in rows]
    assert sum(found is None for found in held) == 19
    assert sum(found is not None and "mrz" in found for found in held) == 5
    assert [row["itemId"] for row in rows if row["person"]["isMinor"] == "PRESUMED"] == ["7"]
    assert rows[7]["person"]["names"] == rows[8]["person"]["names"]
    assert [n["country"] for n in rows[10]["person"]["nationalities"]] == ["IDN", "MYS"]


def test_the_zones_of_two_rows_know_no_birth_and_a_year_only() -> None:
    """Of the five copies one has no date of birth at all, one a year: written as on the copies."""
    zones = [row["claimedDocument"]["mrz"][1] for row in shelf.example(GROUP)["items"][:2]]
    assert zones == ["TEST000202IDN<<<<<<0M2712310<<<<<<<<<<<<<<<6", "TEST000213IDN01<<<<3F2712310<<<<<<<<<<<<<<<4"]


def test_the_mononym_is_told_as_one_name_with_its_zone() -> None:
    """S1: no second name anywhere, what was promised, how she is held, on whose word; nobody consented."""
    told = shelf.example("case.referral/s1-sumarni")
    [person], [context] = told["persons"], told["victimContexts"]
    [name], [passport] = person["names"], person["documents"]
    assert (name["primaryIdentifier"], "secondaryIdentifier" in name) == ("SUMARNI", False)
    assert passport["mrz"][1] == "TEST000017IDN9903148F3301018<<<<<<<<<<<<<<<0"
    assert passport["status"] == "CONFISCATED_BY_EXPLOITER"
    assert person["riskFlags"] == ["STILL_CONFINED"]
    assert person["consent"]["consentType"] == "VITAL_INTERESTS"
    assert told["meta"]["evaluation"] == {"source": "B", "information": "2"}
    assert context["methodsOfControl"] == ["RestrictsMovement", "WithholdsDocuments", "QuotaPunishment"]
    assert (context["forcedCriminalityTypes"], context["platforms"]) == (["RomanceScam"], ["Telegram"])
    assert context["offer"]["promisedCountry"] == "VNM"
    [opinion] = context["traffickingAssessments"]
    assert (opinion["status"], opinion["decisionMakingOrg"]) == ("PossibleVictimOfTrafficking", "Immigration")


def test_the_postponed_are_counted_and_not_named() -> None:
    """S3 and S4: four travellers and two ahead of them, seven applications, one telephone; persons only by consent."""
    group = shelf.example("departure.deferral.notice/s3-group-of-four")
    assert [(cell["ageGroup"], cell["count"]) for cell in group["ageGroups"]] == [("18-24", 3), ("25-34", 1)]
    assert (group["checkpoint"], group["onwardGroup"]["count"], group["onwardGroup"]["checkpoint"]) == (
        "ID-BTC", 2, "KH-KTI",
    )  # fmt: skip
    assert [leg["to"].get("checkpoint") for leg in group["itinerary"]] == ["MY-STL", None, "KH-KTI"]
    [sponsor] = group["facilitators"]
    assert (sponsor["handles"][0]["value"], sponsor["contacts"][0]["value"]) == ("@contoh_karier", "+628000000003")
    week = shelf.example("passport.deferral.notice/s4-one-week-seven-applications")
    assert (week["applicationsCount"], week["reasons"]) == (7, ["THIRD_PARTY_DEPENDENCE", "PURPOSE_UNCLEAR"])
    assert [(d["identityDisclosed"], "persons" in d) for d in (group, week)] == [(False, False)] * 2
    named = shelf.example("passport.deferral.notice/s4-one-applicant-consents")
    assert (named["identityDisclosed"], named["meta"]["retention"]) == (True, {"class": "RC-DEF"})
    assert named["persons"][0]["consent"]["consentType"] == "INFORMED_WRITTEN"


def test_the_child_is_named_in_her_own_script_first() -> None:
    """S5: Khmer and Latin, a guardian who may not decide, a passport that others hold, a wish not yet known."""
    told = shelf.example("victim.assistance.referral/s5-child-khmer-script")
    names = [(n["fullName"], n["script"], n.get("transliterationScheme")) for n in told["person"]["names"]]
    assert names == [("សុខ ឧទាហរណ៍", "Khmr", None), ("SOK UTEAHAR", "Latn", "AS_PRINTED_VIZ")]
    assert told["person"]["birth"]["value"] == "2008-11-02"
    assert (told["victimContext"]["ageWhenTrafficked"], told["person"]["isMinor"]) == (17, "YES")
    assert told["person"]["documents"][0]["status"] == "CONFISCATED_BY_EXPLOITER"
    assert "FAMILY_INVOLVED" in told["person"]["riskFlags"]
    assert told["person"]["protectionScreened"] is True
    assert (told["returnWish"], told["familyTracing"], "guardian" in told) == ("UNDECIDED", {"allowed": False}, False)
    assert [need["need"] for need in told["needs"]] == ["Shelter", "Interpretation", "EscortMinor"]
    [path] = [path for path in shelf.EXAMPLES if path.stem == "s5-child-khmer-script"]
    assert "V2" in shelf.load(path)["handling"]


def test_the_recruiter_has_two_nationalities_three_scripts_and_two_passports() -> None:
    """S6: one birth in both zones, three telephones, one wallet; the bulletin on the route is for a wider circle."""
    alert = shelf.example("subject.alert/s6-two-nationalities")
    subject = alert["subject"]
    assert [n["fullName"] for n in subject["names"]] == ["李测试", "LI CESHI", "LY CHESI", "លី ឆេស៊ី"]
    held = [(n["country"], n["status"]) for n in subject["nationalities"]]
    assert held == [("CHN", "DOCUMENTED"), ("KHM", "DISPUTED")]
    assert {d["mrz"][1][13:19] for d in subject["documents"]} == {"850720"}
    assert (len(subject["documents"]), len(subject["contacts"]), len(subject["wallets"])) == (2, 3, 1)
    assert (alert["measure"], alert["validUntil"]) == ("DISCREET_CHECK", "P180D")
    assert shelf.example("route.bulletin/s6-batam-johor-bavet")["tlp"] == "AMBER"


def test_the_corrections_undo_a_zone_that_is_valid_and_wrong() -> None:
    """S7: check digits prove copying; the old value is told by its digest; who differs has an opinion of their own."""
    wrong = shelf.example("case.referral/s7-sumarni-swapped-birth")["persons"][0]
    right = {change["pointer"]: change for change in shelf.example("record.action/s7-correct-birth")["changes"]}
    assert wrong["documents"][0]["mrz"][1] == "TEST000017IDN9904134F3301018<<<<<<<<<<<<<<<4"
    assert (wrong["birth"]["value"], right["/persons/0/birth"]["newValue"]["value"]) == ("1999-04-13", "1999-03-14")
    zone = "/persons/0/documents/0/mrz/1"
    for pointer, old in (("/persons/0/birth", wrong["birth"]), (zone, wrong["documents"][0]["mrz"][1])):
        assert right[pointer]["oldHash"] == b64u.encode(sha256(rfc8785.dumps(old)).digest())
    [police] = shelf.example("case.update/s7-police-opinion")["assessments"]
    assert (police["status"], police["decisionMakingOrg"]) == ("NotAVictimOfTrafficking", "Police")


def test_the_movement_counts_every_one_of_the_thirty() -> None:
    """S8: 27 travel, three do not and are told of; 25 fines waived and two paid; no press; one row a person."""
    departure = shelf.example("repatriation.movement/s8-departure")
    asked = {row["person"]["personRef"] for row in shelf.example(GROUP)["items"]}
    assert len(departure["persons"]) == 27
    assert set(departure["persons"]) < asked
    assert len(shelf.example("case.update/s8-three-who-do-not-travel")["actionsTaken"]) == 30 - 27
    assert {row["document"]["documentType"] for row in departure["travelDocs"]} == {"SPLP"}
    assert (departure["fine"]["waived"], departure["fine"]["settled"]) == (25, 2)
    assert departure["reception"]["mediaExclusion"] is True
    last = shelf.example("repatriation.movement/s8-last-arrival-and-handover")["milestones"]
    [one] = [row for row in last if row["milestone"] == "ARRIVED"]
    assert len(one["personRefs"]) == 1
    figures = shelf.example("stats.periodic/s8-quarter-with-suppressed-cells")["figures"]
    assert sum(figure.get("suppressed", False) for figure in figures) == 2


def test_the_three_partial_answers_add_up_to_the_group() -> None:
    """Counts run over all answers so far; at the final one they are the thirty rows asked for."""
    parts = [shelf.example(f"identity.verify.response/s2-partial-{n}") for n in (1, 2, 3)]
    results = [row["result"] for part in parts for row in part["results"]]
    assert len(results) == 30
    assert [results.count(r) for r in ("CONFIRMED", "CONFIRMED_WITH_CORRECTION", "MULTIPLE_CANDIDATES")] == [
        22,
        3,
        2,
    ]
    assert [results.count(r) for r in ("NOT_NATIONAL", "PENDING")] == [1, 2]
    assert [part["final"] for part in parts] == [False, False, True]
    assert sum(parts[-1]["counts"].values()) == 30


@each_example
def test_both_engines_agree_on_an_example_and_on_each_thing_made_wrong_in_it(path: Path) -> None:
    """The fast engine is not the only judge: on thousands of broken variants the reference agrees."""
    body = shelf.load(path)
    fast, reference = shelf.engine(body["type"]), shelf.second_opinion(body["type"])
    assert fast.is_valid(body["data"])
    assert reference.is_valid(body["data"])
    refused = 0
    for what, wrong in _variants(_small(body["data"])):
        verdict = fast.is_valid(wrong)
        assert verdict == reference.is_valid(wrong), what
        refused += not verdict
    assert refused > 10


def _small(data: dict[str, Any]) -> dict[str, Any]:
    """Keep three rows of each long list: the reference engine is slow, and rows are alike."""
    return {name: value[:3] if isinstance(value, list) else value for name, value in data.items()}


def _variants(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for trail in _trails(data):
        shape = "/".join("*" if isinstance(step, int) else step for step in trail)
        if shape in seen:
            continue
        seen.add(shape)
        for name, change in (
            ("dropped", _DROP),
            ("null", None),
            ("text", "x\u202e"),
            ("long", "A" * 4001),
            ("object", {"no": 1}),
        ):
            yield f"{shape} {name}", _changed(data, trail, change)
        value = _found(data, trail)
        if isinstance(value, list) and value:
            yield f"{shape} doubled", _changed(data, trail, value * 2)
            yield f"{shape} empty", _changed(data, trail, [])
        if isinstance(value, dict):
            yield f"{shape} extra", _changed(data, trail, value | {"nobody": True})


_DROP = object()


def _trails(value: Any, trail: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if trail:
        yield trail
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        yield from _trails(child, (*trail, step))


def _found(value: Any, trail: tuple[str | int, ...]) -> Any:
    for step in trail:
        value = value[step]
    return value


def _changed(data: dict[str, Any], trail: tuple[str | int, ...], change: Any) -> Any:
    wrong = copy.deepcopy(data)
    holder = _found(wrong, trail[:-1])
    if change is _DROP:
        del holder[trail[-1]]
    else:
        holder[trail[-1]] = json.loads(json.dumps(change))
    return wrong
