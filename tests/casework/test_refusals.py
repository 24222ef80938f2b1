"""The refusals of §10 that policies make: exactly one code each, at its place, on both sides."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gateway.casework.policies import CaseFacts, review
from gateway.errors import Finding
from tests.casework.casefile import Spoil, codelists, codes, judge, message, places

SUMARNI = "case.referral/s1-sumarni"
CHILD = "victim.assistance.referral/s5-child-khmer-script"
GROUP = "identity.verify.request/s2-group-of-thirty"
ALERT = "subject.alert/s6-two-nationalities"
DEFERRAL = "departure.deferral.notice/s3-group-of-four"
BULLETIN = "route.bulletin/s6-batam-johor-bavet"
QUARTER = "stats.periodic/s8-quarter-with-suppressed-cells"


def person(data: dict[str, Any]) -> dict[str, Any]:
    """Return Sumarni in S1."""
    found: dict[str, Any] = data["persons"][0]
    return found


def mrz(line: int, text: str) -> Spoil:
    """Replace one line of Sumarni's zone."""

    def spoil(data: dict[str, Any]) -> None:
        person(data)["documents"][0]["mrz"][line] = text

    return spoil


def name(**fields: str) -> Spoil:
    """Replace fields of Sumarni's name."""
    return lambda data: person(data)["names"][0].update(fields)


def put(*path: str | int, value: Any) -> Spoil:
    """Set one value in the data."""

    def spoil(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return spoil


def no_guardian(data: dict[str, Any]) -> None:
    """Take away what safeguards the child of S5."""
    data.pop("bestInterests")


MRZ = "/persons/0/documents/0/mrz"
NAME = "/persons/0/names/0"
CASES: list[tuple[str, str, Spoil, str, str]] = [
    ("1 check digit", SUMARNI, mrz(1, "TEST000017IDN9903147F3301018<<<<<<<<<<<<<<<0"), "E-MRZ", f"{MRZ}/1"),
    ("2 43 characters", SUMARNI, mrz(1, "TEST000017IDN9903148F3301018<<<<<<<<<<<<<<0"), "E-MRZ", MRZ),
    ("2 lower case", SUMARNI, mrz(0, "p<IDNSUMARNI<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<"), "E-MRZ", f"{MRZ}/0"),
    ("2 space", SUMARNI, mrz(0, "P<IDNSUMARNI <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<"), "E-MRZ", f"{MRZ}/0"),
    (
        "3 contradiction",
        SUMARNI,
        put("persons", 0, "birth", "value", value="1999-04-13"),
        "E-MRZ-VIZ",
        "/persons/0/birth",
    ),
    (
        "3 other name",
        SUMARNI,
        name(fullName="SUMARTI", primaryIdentifier="SUMARTI"),
        "E-MRZ-VIZ",
        "/persons/0/names",
    ),
    ("3 other sex", SUMARNI, put("persons", 0, "sex", value="M"), "E-MRZ-VIZ", "/persons/0/sex"),
    (
        "4 issued after expiry",
        SUMARNI,
        put("persons", 0, "documents", 0, "issuedOn", value="2034-01-02"),
        "E-DATE",
        "/persons/0/documents/0/expiresOn",
    ),
    (
        "4 exploitation before birth",
        SUMARNI,
        lambda data: (
            data["meta"].update(legalBasis=["INT-PALERMO-TIP"]),  # in force whenever
            data.update(eventPeriod={"from": {"value": "1998", "precision": "YEAR"}}),
        ),
        "E-DATE",
        "/eventPeriod",
    ),
    (
        "6 law no longer in force",
        SUMARNI,
        lambda data: (
            data["meta"].update(legalBasis=["ID-UU6-2011-120"]),
            data.update(eventPeriod={"from": {"value": "2026-02-10", "precision": "DAY"}}),
        ),
        "E-CODE",
        "/meta/legalBasis/0",
    ),
    (
        "6 checkpoint closed",
        SUMARNI,
        lambda data: data.update(
            route=[
                {
                    "stage": "Transit",
                    "mode": "AIR",
                    "status": "ALLEGED",
                    "to": {"checkpoint": "KH-PNH"},
                    "date": {"value": "2025-11-01", "precision": "DAY"},
                }
            ]
        ),
        "E-CODE",
        "/route/0/to/checkpoint",
    ),
    (
        "7 Kratie for Techo",
        SUMARNI,
        lambda data: data.update(route=[{"to": {"checkpoint": "KH-KTI", "unlocode": "KHKTI"}}]),
        "E-CODE",
        "/route/0/to/unlocode",
    ),
    (
        "7 a UN/LOCODE for a code",
        DEFERRAL,
        put("onwardGroup", "checkpoint", value="KHKTI"),
        "E-CODE",
        "/onwardGroup/checkpoint",
    ),
    ("9 an escape in text", SUMARNI, lambda d: d.update(summary=d["summary"] + "\x1b[31m"), "E-SCRIPT", "/summary"),
    ("9 a delete in text", SUMARNI, lambda d: d.update(summary=d["summary"] + "\x7f"), "E-SCRIPT", "/summary"),
    (
        "9 a line separator in text",
        SUMARNI,
        lambda d: d.update(summary=d["summary"] + "\u2028"),
        "E-SCRIPT",
        "/summary",
    ),
    ("9 nothing wide in text", SUMARNI, lambda d: d.update(summary="x\u200b" + d["summary"]), "E-SCRIPT", "/summary"),
    ("9 bidi in text", SUMARNI, lambda d: d.update(summary=d["summary"] + "\u202e"), "E-SCRIPT", "/summary"),
    (
        "10 repeated name",
        SUMARNI,
        name(secondaryIdentifier="SUMARNI"),
        "E-SCHEMA",
        f"{NAME}/secondaryIdentifier",
    ),
    ("10 dash for a name", SUMARNI, name(secondaryIdentifier="-"), "E-SCHEMA", f"{NAME}/secondaryIdentifier"),
    (
        "11 phone",
        SUMARNI,
        put("persons", 0, "contacts", 0, "value", value="0812-0000-0000"),
        "E-PHONE",
        "/persons/0/contacts/0/value",
    ),
    ("15 lost row", GROUP, lambda data: data["items"].pop(), "E-COUNT", "/declaredCount"),
    ("16 child without safeguard", CHILD, no_guardian, "E-MINOR", "/person"),
    ("17 protection claim", SUMARNI, lambda d: None, "E-PROTECTION", "/persons/0"),
    (
        "18 weak alert",
        ALERT,
        put("meta", "evaluation", value={"source": "X", "information": "4"}),
        "E-EVAL",
        "/meta/evaluation",
    ),
    (
        "20 bulletin with a phone",
        BULLETIN,
        put("documentsPattern", value="They call +62 800 0000 0003."),
        "E-PII",
        "/documentsPattern",
    ),
]


@pytest.mark.parametrize("side", ["sender", "receiver"])
@pytest.mark.parametrize(("what", "example", "spoil", "code", "pointer"), CASES, ids=[case[0] for case in CASES])
def test_refused_with_exactly_that_code(
    what: str, example: str, spoil: Spoil, code: str, pointer: str, side: str
) -> None:
    """The spoilt example has one kind of finding, where the fault is."""
    changes: dict[str, Any] = {"side": side}
    if what.startswith("17"):
        changes |= {"sender": "kh.gdi", "recipient": "id.imigrasi"}  # to the person's own State
    found = judge(message(example, spoil, **changes))
    assert codes(found) == {code}
    assert (code, pointer) in places(found)


@pytest.mark.parametrize(
    ("script", "value"),
    [
        ("Latn", "S\u043ek"),  # 8: Cyrillic o
        ("Latn", "\u179f\u17bb\u1781"),  # 9: Khmer in a Latin name
        ("Latn", "SUM\u202eARNI"),  # 9: bidi override
        ("Latn", "SUM\u200bARNI"),  # 9: zero width outside Khmer
        ("Khmr", "\u179f\u17a3\u1781"),  # 9: deprecated letter
        ("Khmr", "\u179f\u17b4\u1781"),  # 9: invisible vowel
    ],
)
def test_scripts_that_look_right_and_are_not(script: str, value: str) -> None:
    """§10 #8 and #9: E-SCRIPT at the name, whatever else the name then contradicts."""
    found = judge(
        message(
            SUMARNI,
            lambda d: person(d)["names"].append({"nameType": "ALIAS", "script": script, "fullName": value}),
        )
    )
    assert codes(found) == {"E-SCRIPT"}
    assert ("E-SCRIPT", "/persons/0/names/1/fullName") in places(found)


def test_a_birth_in_the_future() -> None:
    """§10 #4: E-DATE at the birth; a document issued before it falls with it, its zone is not read then."""

    def unborn(data: dict[str, Any]) -> None:
        person(data).update(birth={"value": "2031-05-01", "precision": "DAY"}, isMinor="NO")
        person(data).pop("documents")

    found = places(judge(message(SUMARNI, unborn)))
    assert ("E-DATE", "/persons/0/birth/value") in found


@pytest.mark.parametrize("day", ["2026-02-30", "2025-02-29", "2026-13-01"])
def test_days_that_the_calendar_lacks(day: str) -> None:
    """§10 #4: E-DATE."""

    def impossible(data: dict[str, Any]) -> None:
        person(data).update(birth={"value": day, "precision": "DAY"})
        person(data).pop("documents")

    assert judge(message(SUMARNI, impossible)) == (Finding("/persons/0/birth/value", "there is no such day", "E-DATE"),)


def test_an_alert_on_a_victim_of_the_case() -> None:
    """§10 #18: a subject whom a body holds to be PossibleVictim is E-NONPUNISH."""
    facts = message(ALERT)
    ref = facts.data["subject"]["personRef"]
    case = CaseFacts(statuses={(ref, "Immigration"): "PossibleVictimOfTrafficking"})
    assert places(judge(facts, case)) == {("E-NONPUNISH", "/subject/personRef")}


def test_a_small_cell() -> None:
    """§10 #20: a figure of 3 persons is E-SMALLCELL at its value."""
    facts = message(
        QUARTER,
        lambda d: d["figures"].append(
            {
                "indicator": "PRESUMED_VICTIMS",
                "value": 3,
                "suppressed": False,
                "breakdown": {"sex": "X"},
                "status": "FINAL",
            }
        ),
    )
    assert codes(judge(facts)) == {"E-SMALLCELL"}


def test_a_known_victims_name_in_a_bulletin() -> None:
    """§10 #20: the gateway knows the names of its cases; the bulletin may not."""
    facts = message(BULLETIN, put("documentsPattern", value="As told by Sumarni, passports are collected."))
    assert judge(facts) == ()
    assert places(judge(facts, CaseFacts(known_names=("SUMARNI",)))) == {("E-PII", "/documentsPattern")}


def test_a_reply_weaker_than_its_request() -> None:
    """§10 #20: H0 to an H2 request is E-HANDLING."""
    facts = message("info.response/refused-and-ambiguous", handling=("H0",))
    found = judge(facts, CaseFacts(inherited=("H2",)))
    assert places(found) == {("E-HANDLING", "/handling")}


def test_five_hundred_and_one_rows() -> None:
    """§10 #12: E-SIZE, beside the count that no longer agrees."""

    def grow(data: dict[str, Any]) -> None:
        row = data["items"][0]
        data["items"] = []
        for i in range(501):
            grown = copy.deepcopy(row)
            grown["itemId"] = f"I-{i}"
            data["items"].append(grown)
        data["declaredCount"] = 501

    assert places(judge(message(GROUP, grow))) == {("E-SIZE", "/items")}


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"byteLength": 5_347_738}, "E-SIZE", "/attachments/0/byteLength"),  # 5.1 MiB
        ({"mediaType": "application/zip"}, "E-MEDIA", "/attachments/0/mediaType"),
    ],
)
def test_files_over_their_limits(change: dict[str, Any], code: str, pointer: str) -> None:
    """§10 #12: a scan of 5.1 MiB, or of a media type its kind does not have."""
    scan = {
        "attachmentId": "a1",
        "attachmentType": "PASSPORT_SCAN",
        "mediaType": "image/jpeg",
        "byteLength": 5_242_880,
    }
    assert judge(message(SUMARNI, put("attachments", value=[scan]))) == ()
    assert places(judge(message(SUMARNI, put("attachments", value=[scan | change])))) == {(code, pointer)}


def test_twenty_one_files() -> None:
    """§10 #12: E-SIZE."""

    def pile(data: dict[str, Any]) -> None:
        data["attachments"] = [
            {
                "attachmentId": f"a{i}",
                "attachmentType": "TICKET",
                "mediaType": "application/pdf",
                "byteLength": 1,
            }
            for i in range(21)
        ]

    assert ("E-SIZE", "/attachments") in places(judge(message(SUMARNI, pile)))


def test_findings_never_hold_values() -> None:
    """P19: no reason or pointer repeats what it refuses."""
    for _, example, spoil, _, _ in CASES:
        facts = message(example, spoil)
        for finding in review(facts, codelists=codelists()):
            for secret in ("SUMAR", "TEST0", "1999", "2031", "+62", "0812", "5a000001"):
                assert secret not in finding.reason + finding.pointer
