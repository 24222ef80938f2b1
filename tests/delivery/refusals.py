"""The twenty inputs that must be refused, and one for each further code: what is spoilt, and what is answered."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Spoil = Callable[[Any], object]

S1 = "case.referral/s1-sumarni"
GROUP = "identity.verify.request/s2-group-of-thirty"
DEFERRAL = "departure.deferral.notice/s3-group-of-four"
WEEK = "passport.deferral.notice/s4-one-week-seven-applications"
NAMED = "passport.deferral.notice/s4-one-applicant-consents"
WEEK = "passport.deferral.notice/s4-one-week-seven-applications"
CHILD = "victim.assistance.referral/s5-child-khmer-script"
ALERT = "subject.alert/s6-two-nationalities"
RFI = "info.request/s7-crossing-history"
BULLETIN = "route.bulletin/s6-batam-johor-bavet"
QUARTER = "stats.periodic/s8-quarter-with-suppressed-cells"
MRZ = "/data/persons/0/documents/0/mrz"
NAME = "/data/persons/0/names/0"


@dataclass(frozen=True)
class Row:
    """One spoilt example: `spoil` changes its data, `body` members of the message; `own` sends it to the other side."""

    what: str
    name: str
    spoil: Spoil
    code: str
    pointer: str
    body: dict[str, Any] = field(default_factory=dict)
    own: bool = False


def put(path: str, value: Any) -> Spoil:
    """Set the member at a slash-separated path."""

    def spoil(data: Any) -> None:
        *way, last = path.split("/")
        for step in way:
            data = data[int(step)] if isinstance(data, list) else data[step]
        data[int(last) if isinstance(data, list) else last] = value

    return spoil


def drop(path: str) -> Spoil:
    """Take the member at a slash-separated path away."""

    def spoil(data: Any) -> None:
        *way, last = path.split("/")
        for step in way:
            data = data[int(step)] if isinstance(data, list) else data[step]
        del data[last]

    return spoil


def every(*spoils: Spoil) -> Spoil:
    """Spoil in several ways that make one fault."""
    return lambda data: [spoil(data) for spoil in spoils]


def extend(path: str, *items: Any) -> Spoil:
    """Add items to the list at a path."""

    def spoil(data: Any) -> None:
        for step in path.split("/"):
            data = data[int(step)] if isinstance(data, list) else data[step]
        data.extend(items)

    return spoil


def rows(count: int) -> Spoil:
    """Have so many persons in the group, each with an item of its own."""

    def spoil(data: Any) -> None:
        first = data["items"][0]
        data["items"] = [copy.deepcopy(first) | {"itemId": f"I-{at}"} for at in range(count)]
        data["declaredCount"] = count

    return spoil


def document(**members: str) -> Spoil:
    """Change Sumarni's passport, without its zone."""

    def spoil(data: Any) -> None:
        passport = data["persons"][0]["documents"][0]
        passport.pop("mrz")
        passport.pop("mrzSource")
        passport.update(members)

    return spoil


def nothing(_data: Any) -> None:
    """Leave the data as it is."""


STRANGER = "P-5a0000ff-0000-4000-8000-0000000000ff"
LEG: dict[str, Any] = {
    "stage": "Transit", "mode": "AIR", "status": "ALLEGED", "from": {"checkpoint": "MY-KUL"},
    "to": {"checkpoint": "KH-PNH"}, "date": {"value": "2025-11-01", "precision": "DAY"},
}  # fmt: skip
SCAN: dict[str, Any] = {
    "attachmentId": "0a000000-0000-4000-8000-000000000009", "attachmentType": "PASSPORT_SCAN",
    "mediaType": "image/jpeg", "byteLength": 1000, "sha256": "A" * 43, "encryptedLength": 1064,
    "encryptedSha256": "A" * 43, "key": "A" * 43,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "indicator": "PRESUMED_VICTIMS", "value": 3, "suppressed": False, "breakdown": {"sex": "X"}, "status": "FINAL",
}  # fmt: skip

TWENTY = (
    Row("1 check digit", S1, put("persons/0/documents/0/mrz/1", "TEST000017IDN9903147F3301018<<<<<<<<<<<<<<<0"),
        "E-MRZ", f"{MRZ}/1"),
    Row("2 43 characters", S1, put("persons/0/documents/0/mrz/1", "TEST000017IDN9903148F3301018<<<<<<<<<<<<<<0"),
        "E-MRZ", MRZ),
    Row("2 lower case", S1, put("persons/0/documents/0/mrz/1", "test000017IDN9903148F3301018<<<<<<<<<<<<<<<0"),
        "E-MRZ", f"{MRZ}/1"),
    Row("2 space", S1, put("persons/0/documents/0/mrz/1", "TEST000017IDN9903148F3301018 <<<<<<<<<<<<<<0"),
        "E-MRZ", f"{MRZ}/1"),
    Row("3 zone against birth", S1, put("persons/0/birth/value", "1999-04-13"), "E-MRZ-VIZ", "/data/persons/0/birth"),
    Row("4 birth in the future", S1, put("persons/0/birth/value", "2031-05-01"), "E-DATE",
        "/data/persons/0/birth/value"),
    Row("4 30 February", S1, put("persons/0/birth/value", "2026-02-30"), "E-DATE", "/data/persons/0/birth/value"),
    Row("4 issued after expiry", S1, document(issuedOn="2034-01-02"), "E-DATE",
        "/data/persons/0/documents/0/expiresOn"),
    Row("4 exploited before birth", S1,
        every(put("meta/legalBasis", ["INT-PALERMO-TIP"]),
              put("eventPeriod", {"from": {"value": "1998", "precision": "YEAR"}})), "E-DATE", "/data/eventPeriod"),
    Row("5 no such exploitation", S1, put("victimContexts/0/exploitationTypes", ["ForcedScamming"]), "E-CODE",
        "/data/victimContexts/0/exploitationTypes/0"),
    Row("6 a law no longer in force", S1,
        every(put("meta/legalBasis", ["ID-UU6-2011-120"]),
              put("eventPeriod", {"from": {"value": "2026-02-10", "precision": "DAY"}})),
        "E-CODE", "/data/meta/legalBasis/0"),
    Row("6 a checkpoint closed before", S1, put("route", [LEG]), "E-CODE", "/data/route/0/to/checkpoint"),
    Row("7 a town for an airport", S1, put("route", [LEG | {"to": {"checkpoint": "KH-KTI", "unlocode": "KHKTI"}}]),
        "E-CODE", "/data/route/0/to/unlocode"),
    Row("8 Cyrillic look-alike", S1, put("persons/0/names/0/fullName", "S\u043ek"), "E-SCRIPT", f"{NAME}/fullName"),
    Row("9 Khmer in a Latin name", S1, put("persons/0/names/0/fullName", "\u179f\u17bb\u1781"), "E-SCRIPT",
        f"{NAME}/fullName"),
    Row("9 right-to-left override", S1, put("persons/0/names/0/fullName", "SUM\u202eARNI"), "E-SCRIPT",
        f"{NAME}/fullName"),
    Row("9 zero width in Latin", S1, put("persons/0/names/0/fullName", "SUM\u200bARNI"), "E-SCRIPT",
        f"{NAME}/fullName"),
    Row("9 a deprecated letter", CHILD, put("person/names/0/fullName", "\u179f\u17bb\u1781\u17a3"), "E-SCRIPT",
        "/data/person/names/0/fullName"),
    Row("10 a name said twice", S1, put("persons/0/names/0/secondaryIdentifier", "SUMARNI"), "E-SCHEMA",
        f"{NAME}/secondaryIdentifier"),
    Row("10 a dash for a name", S1, put("persons/0/names/0/secondaryIdentifier", "-"), "E-SCHEMA",
        f"{NAME}/secondaryIdentifier"),
    Row("11 a national number", S1, put("persons/0/contacts/0/value", "0812-0000-0000"), "E-PHONE",
        "/data/persons/0/contacts/0/value"),
    Row("12 501 rows", GROUP, rows(501), "E-SIZE", "/data/items"),
    Row("15 a lost row", GROUP, lambda data: data["items"].pop(), "E-COUNT", "/data/declaredCount"),
    Row("16 a child without safeguard", CHILD, drop("bestInterests"), "E-MINOR", "/data"),
    Row("17 a claim told to their own State", S1,
        every(put("persons/0/riskFlags", ["PROTECTION_CLAIM"]),
              put("meta/transferBasis", {"code": "KH_ORIGIN_MOI_RULES", "instrumentRef": "TEST-INSTRUMENT"})),
        "E-PROTECTION", "/data/persons/0", own=True),
    Row("18 an alert of X4", ALERT, put("meta/evaluation", {"source": "X", "information": "4"}), "E-EVAL",
        "/data/meta/evaluation"),
    Row("20 a small cell", QUARTER, extend("figures", SMALL), "E-SMALLCELL", "/data/figures/10/value"),
    Row("20 a telephone in a bulletin", BULLETIN, put("documentsPattern", "They call +62 800 0000 0003."), "E-PII",
        "/data/documentsPattern"),
)  # fmt: skip
# 12 (files) to 14 are tried with attachments, 18 (a victim), 19 and 20 (names, replies, moves) as stories.

FURTHER = (
    Row("no consent", S1, put("persons/0/consent/consentType", "REFUSED"), "E-CONSENT", "/data/persons/0/consent"),
    Row("no basis", S1, put("meta/transferBasis", {"code": "NO_PERSONAL_DATA"}), "E-TRANSFER",
        "/data/meta/transferBasis"),
    *(
        Row(f"{what}: {name.partition('/')[0]}", name, nothing, "E-CODE", "/handling", {"handling": codes})
        for name in (S1, BULLETIN, QUARTER)
        for what, codes in (
            ("a handling code that nobody knows", ["V1", "H2", "NP", "H9"]),
            ("a handling code twice", ["V1", "H2", "NP", "V1"]),
        )
    ),
    Row("a handling code alone that nobody knows", BULLETIN, nothing, "E-CODE", "/handling", {"handling": ["XX"]}),
    Row("too weak for its content", S1, nothing, "E-HANDLING", "/handling", {"handling": ["H2"]}),
    Row("kept too long", S1, put("meta/retention/deleteBy", "2039-01-01"), "E-RETENTION",
        "/data/meta/retention/deleteBy"),
    Row("a context about nobody", S1,
        put("victimContexts/0/personRef", "P-00000000-0000-4000-8000-000000000000"), "E-REF",
        "/data/victimContexts/0/personRef"),
    Row("postponed abroad", DEFERRAL, put("checkpoint", "KH-BVT"), "E-AUTHORITY", "/data/checkpoint"),
    Row("a victim as suspect", S1,
        lambda data: data.update(subjects=[{
            **{k: v for k, v in data["persons"][0].items() if k != "consent"},
            "role": "SUSPECT", "rolesInProcess": ["RecruiterOrIntermediary"], "suspicionGrounds": "x" * 40,
            "personEvaluation": {"source": "B", "information": "2"},
        }]), "E-NONPUNISH", "/data/subjects/0/personRef"),
    Row("a class of another offence", S1, put("iccs", "08051"), "E-CODE", "/data/iccs"),
    Row("a language that the partner does not read", S1, put("meta/language", "ind"), "E-SCHEMA",
        "/data/meta/language"),
    Row("a week that runs backwards", WEEK, put("periodTo", "2026-11-01"), "E-DATE", "/data/periodTo"),
    Row("a bulletin over before it begins", BULLETIN, put("validity/until", "2026-11-19"), "E-DATE",
        "/data/validity/until"),
    Row("a Latin form that came from nowhere", ALERT, drop("subject/names/1/transliterationScheme"), "E-SCHEMA",
        "/data/subject/names/1/transliterationScheme"),
    Row("a name in another normal form", CHILD, put("person/names/0/fullName", "\u1780\u17dd\u17d2\u1781"), "E-SCRIPT",
        "/data/person/names/0/fullName"),
    Row("a zone of another kind of document", S1, put("persons/0/documents/0/mrz/0", "V<IDNSUMARNI" + 32 * "<"),
        "E-MRZ-VIZ", "/data/persons/0/documents/0/documentType"),
    Row("a purpose of another type", BULLETIN, put("meta/purpose", "INVESTIGATION"), "E-SCHEMA", "/data/meta/purpose"),
)  # fmt: skip

# Policies that the rows above do not show on the real path.
POLICIES = (
    Row("P03 a photograph asked with a question", RFI, put("subjectPersons/0/riskFlags", ["PREGNANT"]), "E-PII",
        "/data/subjectPersons/0/riskFlags"),
    Row("P06 a deferral that names and discloses nobody", NAMED, put("identityDisclosed", False), "E-PII",
        "/data/persons"),
    Row("P08 an alert that nobody reviewed", ALERT, drop("meta/humanReview"), "E-SCHEMA", "/data/meta"),
    Row("P12 the address of a threatened person", S1, every(
        put("persons/0/riskFlags", ["RETALIATION"]), put("persons/0/contacts/0/safeToContact", False),
        put("persons/0/address", {"text": "Somewhere"})), "E-HANDLING", "/data/persons/0/address",
        {"handling": ["V1", "V2", "H2", "NP"]}),
    Row("P13 officials accused, told to a mailbox", S1, every(
        put("persons/0/riskFlags", ["OFFICIAL_COMPLICITY"]), drop("meta/recipientUnit/focalPointRole")),
        "E-HANDLING", "/data/meta/recipientUnit", {"handling": ["V1", "H2", "NP", "EO"]}),
    Row("P21 a name in a summary", S1, put("summary", "Sumarni was told of a factory, and taken to Bavet instead."),
        "E-PII", "/data/summary"),
    Row("P21 a number in a notice about nobody", WEEK, every(drop("facilitators"),
        put("patternNote", "All gave the number +62 800 0000 0003.")), "E-PII", "/data/patternNote"),
    Row("P24 a real document in the test environment", S1, document(number="A1234567"), "E-PII",
        "/data/persons/0/documents/0/number"),
)  # fmt: skip

ODD = (
    Row("no birth in the zone", S1, every(
        put("persons/0/birth", {"precision": "UNKNOWN"}),
        put("persons/0/documents/0/mrz/1", "TEST000017IDN<<<<<<0F3301018<<<<<<<<<<<<<<<2")), "", ""),
    Row("no sex in the zone", S1, put("persons/0/documents/0/mrz/1", "TEST000017IDN9903148<3301018<<<<<<<<<<<<<<<0"),
        "", ""),
    Row("a digit for the personal number that is not there", S1,
        put("persons/0/documents/0/mrz/1", "TEST000017IDN9903148F3301018<<<<<<<<<<<<<<00"), "", ""),
    Row("a name cut off at 39 characters", S1, every(
        put("persons/0/documents/0/mrz/0", "P<IDN" + ("SUMARNI" * 6)[:39]),
        put("persons/0/names/0/fullName", "SUMARNI" * 6), put("persons/0/names/0/primaryIdentifier", "SUMARNI" * 6)),
        "", ""),
    Row("a child of age 0", CHILD, every(drop("person/documents"), put(
        "person/birth", {"precision": "ESTIMATED", "ageStated": 0})), "", ""),
    Row("a birth of a year only", S1, every(drop("persons/0/documents"),
                                            put("persons/0/birth", {"value": "1999", "precision": "YEAR"})), "", ""),
    Row("no document", S1, drop("persons/0/documents"), "", ""),
    Row("nobody's national", S1, every(drop("persons/0/documents"), put(
        "persons/0/nationalities", [{"country": "XXA", "status": "STATELESS_CLAIMED"}])), "", ""),
    Row("two nationalities", S1, put("persons/0/nationalities", [
        {"country": "IDN", "status": "VERIFIED"}, {"country": "MYS", "status": "CLAIMED"}]), "", ""),
    Row("an alert on a child with the prosecutor's reference", ALERT, every(
        put("subject/isMinor", "YES"), put("subject/birth", {"value": "2010", "precision": "YEAR"}),
        drop("subject/documents"), put("subject/personRef", STRANGER[:-1] + "e"),
        put("subject/warrant", {"issuer": "Prosecutor", "ref": "TEST-1", "date": "2026-11-01"})), "", "",
        {"handling": ["V1", "H1", "H2"]}),
    # Somebody else than in the other rows: who is known to claim protection is not named to their State afterwards.
    Row("a claim told to another State", S1, every(
        put("persons/0/riskFlags", ["PROTECTION_CLAIM"]), put("persons/0/personRef", STRANGER),
        put("victimContexts/0/personRef", STRANGER)), "", ""),
)  # fmt: skip
