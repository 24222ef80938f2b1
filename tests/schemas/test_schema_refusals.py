"""Inputs a schema must refuse, each with the code an officer is told, and odd ones it must take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.schemas import shelf

Change = Callable[[Any], None]

S1 = "case.referral/s1-sumarni"
SITE = "case.referral/site-without-names"
S2 = "identity.verify.request/s2-group-of-thirty"
S3 = "departure.deferral.notice/s3-group-of-four"
S4 = "passport.deferral.notice/s4-one-week-seven-applications"
S5 = "victim.assistance.referral/s5-child-khmer-script"
S6 = "subject.alert/s6-two-nationalities"
S7Q = "info.request/s7-crossing-history"
S7A = "info.response/s7-final"
S8 = "repatriation.movement/s8-departure"
STATS = "stats.periodic/s8-quarter-with-suppressed-cells"
CLOSED = "case.update/s1-closed"
ERASE = "record.action/s7-erase-wrong-person"
CORRECT = "record.action/s7-correct-birth"
BULLETIN = "route.bulletin/s6-batam-johor-bavet"
SHA = "A" * 43
UUID = "0a000000-0000-4000-8000-000000000009"


def put(path: str, value: Any) -> Change:
    """Set the member at a slash-separated path."""

    def change(data: Any) -> None:
        *way, last = path.split("/")
        for step in way:
            data = data[int(step)] if isinstance(data, list) else data[step]
        data[int(last) if isinstance(data, list) else last] = value

    return change


def drop(path: str) -> Change:
    """Take the member at a slash-separated path away."""

    def change(data: Any) -> None:
        *way, last = path.split("/")
        for step in way:
            data = data[int(step)] if isinstance(data, list) else data[step]
        del data[int(last) if isinstance(data, list) else last]

    return change


def both(*changes: Change) -> Change:
    """Make several changes."""

    def change(data: Any) -> None:
        for one in changes:
            one(data)

    return change


def times(path: str, count: int) -> Change:
    """Fill a list with `count` copies of its first row."""

    def change(data: Any) -> None:
        *way, last = path.split("/")
        for step in way:
            data = data[step]
        data[last] = [data[last][0]] * count

    return change


def attachment(**members: Any) -> Change:
    """Add one attachment, a passport scan unless members say otherwise."""
    whole = {
        "attachmentId": UUID,
        "attachmentType": "PASSPORT_SCAN",
        "mediaType": "image/jpeg",
        "byteLength": 1000,
        "sha256": SHA,
        "encryptedLength": 1064,
        "encryptedSha256": SHA,
        "key": SHA,
    }
    return put("attachments", [whole | members])


NAME = "persons/0/names/0"
MRZ = "persons/0/documents/0/mrz/1"
DELETE_BY = "/meta/retention/deleteBy"
REFUSED: tuple[tuple[str, str, Change, str, str], ...] = (
    (
        "a line of 43 characters",
        S1,
        put(MRZ, "TEST000017IDN9903148F3301018<<<<<<<<<<<<<<<"),
        "/persons/0/documents/0/mrz",
        "E-MRZ",
    ),
    (
        "lower case in the zone",
        S1,
        put(MRZ, "test000017IDN9903148F3301018<<<<<<<<<<<<<<<0"),
        "/persons/0/documents/0/mrz/1",
        "E-MRZ",
    ),
    (
        "a space in the zone",
        S1,
        put(MRZ, "TEST000017IDN9903148F3301018 <<<<<<<<<<<<<<0"),
        "/persons/0/documents/0/mrz/1",
        "E-MRZ",
    ),
    ("lines of two formats", S1, put(MRZ, "A" * 36), "/persons/0/documents/0/mrz", "E-MRZ"),
    (
        "a zone without its source",
        S1,
        drop("persons/0/documents/0/mrzSource"),
        "/persons/0/documents/0",
        "E-SCHEMA",
    ),
    ("30 February", S1, put("persons/0/birth/value", "2026-02-30"), "/persons/0/birth/value", "E-DATE"),
    (
        "29 February of a common year",
        S1,
        put("persons/0/birth/value", "2025-02-29"),
        "/persons/0/birth/value",
        "E-DATE",
    ),
    ("29 February 1900", S1, put("persons/0/birth/value", "1900-02-29"), "/persons/0/birth/value", "E-DATE"),
    (
        "a day where a year is claimed",
        S1,
        put("persons/0/birth/precision", "YEAR"),
        "/persons/0/birth/value",
        "E-DATE",
    ),
    (
        "a value for an unknown date",
        S1,
        put("persons/0/birth/precision", "UNKNOWN"),
        "/persons/0/birth",
        "E-DATE",
    ),
    (
        "31 June of an opinion",
        S1,
        put("victimContexts/0/traffickingAssessments/0/decidedOn", "2026-06-31"),
        "/victimContexts/0/traffickingAssessments/0/decidedOn",
        "E-DATE",
    ),
    (
        "a date with its hour",
        S1,
        put("meta/retention/deleteBy", "2026-12-01T00:00:00.000Z"),
        DELETE_BY,
        "E-DATE",
    ),
    (
        "29 February 2027, at noon",
        S7A,
        put("crossings/0/at", "2027-02-29T12:00:00.000Z"),
        "/crossings/0/at",
        "E-DATE",
    ),
    ("the hour 24", S7A, put("crossings/0/at", "2026-09-27T24:00:00.000Z"), "/crossings/0/at", "E-DATE"),
    (
        "an instant with an offset",
        S7A,
        put("crossings/0/at", "2026-09-27T18:20:00.000+07:00"),
        "/crossings/0/at",
        "E-DATE",
    ),
    (
        "minutes of a postponed departure",
        S3,
        put("deferredAt", "2026-11-22T03:17:00.000Z"),
        "/deferredAt",
        "E-DATE",
    ),
    ("an alert for 366 days", S6, put("validUntil", "P366D"), "/validUntil", "E-DATE"),
    (
        "a guardian in 73 hours",
        S2,
        put("items/6/person/guardian/dueBy", "PT73H"),
        "/items/6/person/guardian/dueBy",
        "E-DATE",
    ),
    (
        "no such exploitation",
        S1,
        put("victimContexts/0/exploitationTypes", ["ForcedScamming"]),
        "/victimContexts/0/exploitationTypes/0",
        "E-CODE",
    ),
    (
        "a town's UN/LOCODE for an airport",
        S3,
        put("onwardGroup/checkpoint", "KHKTI"),
        "/onwardGroup/checkpoint",
        "E-CODE",
    ),
    (
        "a country that is none",
        S1,
        put("persons/0/documents/0/issuer", "ABC"),
        "/persons/0/documents/0/issuer",
        "E-CODE",
    ),
    (
        "a law that is not yet one",
        S1,
        put("meta/legalBasis", ["KH-TECHFRAUD"]),
        "/meta/legalBasis/0",
        "E-CODE",
    ),
    (
        "a status nobody decides",
        S1,
        put("victimContexts/0/traffickingAssessments/0/status", "Contested"),
        "/victimContexts/0/traffickingAssessments/0/status",
        "E-CODE",
    ),
    (
        "a province of neither State's list",
        S1,
        put("sites/0/subdivision", "KH-99"),
        "/sites/0/subdivision",
        "E-CODE",
    ),
    (
        "Cyrillic look-alike in a Latin name",
        S1,
        put(f"{NAME}/fullName", "S\u043ek"),
        "/persons/0/names/0/fullName",
        "E-SCRIPT",
    ),
    ("Khmer in a Latin name", S1, put(f"{NAME}/fullName", "សុខ"), "/persons/0/names/0/fullName", "E-SCRIPT"),
    (
        "a right-to-left override",
        S1,
        put(f"{NAME}/fullName", "SUM\u202eARNI"),
        "/persons/0/names/0/fullName",
        "E-SCRIPT",
    ),
    (
        "a zero-width space in a Latin name",
        S1,
        put(f"{NAME}/fullName", "SUM\u200bARNI"),
        "/persons/0/names/0/fullName",
        "E-SCRIPT",
    ),
    (
        "a line end after a name",
        S1,
        put(f"{NAME}/fullName", "SUMARNI\n"),
        "/persons/0/names/0/fullName",
        "E-SCRIPT",
    ),
    (
        "a deprecated Khmer letter",
        S5,
        put("person/names/0/fullName", "សុខ\u17a3"),
        "/person/names/0/fullName",
        "E-SCRIPT",
    ),
    (
        "an invisible Khmer vowel",
        S5,
        put("person/names/0/fullName", "សុខ\u17b4"),
        "/person/names/0/fullName",
        "E-SCRIPT",
    ),
    ("an override in free text", S1, put("summary", "x" * 50 + "\u202e"), "/summary", "E-SCRIPT"),
    (
        "a hyphen for a second name",
        S1,
        put(f"{NAME}/secondaryIdentifier", "-"),
        "/persons/0/names/0/secondaryIdentifier",
        "E-SCHEMA",
    ),
    (
        "a second name without a first",
        S5,
        drop("person/names/1/primaryIdentifier"),
        "/person/names/1",
        "E-SCHEMA",
    ),
    ("no name and no word about it", S1, drop("persons/0/names"), "/persons/0", "E-SCHEMA"),
    (
        "a national telephone number",
        S1,
        put("persons/0/contacts/0/value", "0812-0000-0000"),
        "/persons/0/contacts/0/value",
        "E-PHONE",
    ),
    (
        "a telephone search without a plus",
        "info.request/telephone-three-numbers",
        put("searchKeys/0/value", "628000000003"),
        "/searchKeys/0/value",
        "E-PHONE",
    ),
    ("a scan of 5.1 MiB", S1, attachment(byteLength=5_347_738), "/attachments/0/byteLength", "E-SIZE"),
    ("21 attachments", S1, both(attachment(), times("attachments", 21)), "/attachments", "E-SIZE"),
    ("a passport scan as text", S1, attachment(mediaType="text/html"), "/attachments/0/mediaType", "E-MEDIA"),
    ("501 rows", S2, times("items", 501), "/items", "E-SIZE"),
    ("51 persons inline", S1, times("persons", 51), "/persons", "E-SIZE"),
    ("11 questions", S7Q, times("questions", 11), "/questions", "E-SIZE"),
    ("26 persons asked about", S7Q, times("subjectPersons", 26), "/subjectPersons", "E-SIZE"),
    ("21 facilitators", S3, times("facilitators", 21), "/facilitators", "E-SIZE"),
    ("5,001 figures", STATS, times("figures", 5001), "/figures", "E-SIZE"),
    ("a manifest nobody counted", S1, both(put("manifest", [{"itemId": "1", "person": {}}])), "", "E-COUNT"),
    (
        "a row that was not screened",
        S2,
        drop("items/0/person/protectionScreened"),
        "/items/0/person",
        "E-PROTECTION",
    ),
    (
        "a row with a protection claim",
        S2,
        put("items/0/person/protectionScreened", False),
        "/items/0/person/protectionScreened",
        "E-PROTECTION",
    ),
    ("a victim without consent", S1, drop("persons/0/consent"), "/persons/0", "E-CONSENT"),
    (
        "consent that does not share the identity",
        S5,
        put("consent/scopes", ["RETURN"]),
        "/consent/scopes",
        "E-CONSENT",
    ),
    (
        "health without consent to share it",
        S5,
        put("health", {"fitToTravel": True}),
        "/consent/scopes",
        "E-CONSENT",
    ),
    ("a child without guardian or decision", S5, drop("bestInterests"), "", "E-MINOR"),
    ("an alert on a child without a prosecutor", S6, put("subject/isMinor", "YES"), "/subject", "E-MINOR"),
    ("an alert nobody looked at", S6, drop("meta/humanReview"), "/meta", "E-SCHEMA"),
    ("names in a notice that discloses none", S3, put("persons", [{}]), "/persons", "E-PII"),
    (
        "an instrument without its reference",
        S1,
        drop("meta/transferBasis/instrumentRef"),
        "/meta/transferBasis",
        "E-TRANSFER",
    ),
    ("a duplicate of nothing", CLOSED, put("reason", "DUPLICATE"), "", "E-REF"),
    ("closing in words", CLOSED, put("reason", "It is over."), "/reason", "E-CODE"),
    ("closing without feedback", CLOSED, drop("feedback"), "", "E-SCHEMA"),
    ("the classification of another offence", S1, put("iccs", "08051"), "/iccs", "E-CODE"),
    ("an offence without its classification", S1, drop("iccs"), "", "E-SCHEMA"),
    ("a classification of what has none", SITE, put("iccs", "07023"), "/iccs", "E-CODE"),
    ("a trafficking referral without acts", S1, drop("tipActs"), "", "E-SCHEMA"),
    ("a trafficking referral of an adult without means", S1, drop("tipMeans"), "", "E-SCHEMA"),
    ("a crossing history without a period", S7Q, drop("period"), "", "E-SCHEMA"),
    ("a question about nobody", S7Q, both(drop("subjectPersons"), drop("searchKeys")), "", "E-SCHEMA"),
    (
        "a plain hash",
        "info.request/telephone-three-numbers",
        drop("searchKeys/4/keyId"),
        "/searchKeys/4",
        "E-SCHEMA",
    ),
    (
        "data beside no hit",
        S7A,
        put("answers", [{"qId": "Q1", "outcome": "NO_HIT"}]),
        "/crossings",
        "E-SCHEMA",
    ),
    ("a hit without evaluation", S7A, drop("answers/0/evaluation"), "/answers/0", "E-EVAL"),
    ("a refusal without reason", S7A, put("answers/1/outcome", "REFUSED"), "/answers/1", "E-SCHEMA"),
    ("a fine settled and not told", S8, drop("fine"), "", "E-SCHEMA"),
    (
        "a reception with the press",
        S8,
        put("reception/mediaExclusion", False),
        "/reception/mediaExclusion",
        "E-SCHEMA",
    ),
    ("aborted without a word why", S8, put("milestones/9/milestone", "ABORTED"), "", "E-SCHEMA"),
    (
        "a suppressed figure that is shown",
        STATS,
        put("figures/2/suppressed", True),
        "/figures/2/suppressed",
        "E-SCHEMA",
    ),
    (
        "an absent figure that is not suppressed",
        STATS,
        drop("figures/1/suppressed"),
        "/figures/1",
        "E-SCHEMA",
    ),
    ("three dimensions", STATS, put("figures/5/breakdown/sex", "F"), "/figures/5/breakdown", "E-SCHEMA"),
    ("a booking in a bulletin", BULLETIN, put("route/0/bookingRef", "ABC123"), "/route/0", "E-SCHEMA"),
    ("a correction without its change", CORRECT, drop("changes"), "", "E-SCHEMA"),
    (
        "a pointer that is none",
        CORRECT,
        put("changes/0/pointer", "persons/0/birth"),
        "/changes/0/pointer",
        "E-SCHEMA",
    ),
    ("a longer retention nobody justifies", ERASE, put("action", "EXTEND_RETENTION"), "", "E-SCHEMA"),
    ("a notice without a day", S4, drop("periodTo"), "", "E-SCHEMA"),
    ("a member nobody knows", S1, put("persons/0/religion", "x"), "/persons/0", "E-SCHEMA"),
    ("a face template", S2, put("items/0/faceTemplate", "x"), "/items/0", "E-SCHEMA"),
    ("a position on the metre", S1, put("sites/0/lat", "11.08812"), "/sites/0/lat", "E-SCHEMA"),
    (
        "an amount as a number",
        S1,
        put("victimContexts/0/debtClaimed/amount", 3000),
        "/victimContexts/0/debtClaimed/amount",
        "E-SCHEMA",
    ),
)


@pytest.mark.parametrize(
    ("name", "change", "pointer", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_it_is_refused_there_with_that_code(name: str, change: Change, pointer: str, code: str) -> None:
    """One change to a valid example; the finding points at it and never quotes it."""
    data = shelf.example(name)
    change(data)
    found = shelf.findings(name.partition("/")[0], data)
    assert (pointer, code) in {(finding.pointer, finding.code) for finding in found}, found


UNKNOWN = {"precision": "UNKNOWN"}
ACCEPTED: tuple[tuple[str, str, Change], ...] = (
    ("nothing known of the birth", S1, put("persons/0/birth", UNKNOWN)),
    ("only the year", S1, put("persons/0/birth", {"value": "1999", "precision": "YEAR"})),
    ("29 February of a leap year", S1, put("persons/0/birth", {"value": "2000-02-29", "precision": "DAY"})),
    ("an age instead of a date", S1, put("persons/0/birth", {"precision": "ESTIMATED", "ageStated": 0})),
    ("no document at all", S1, put("persons/0/documents", [])),
    (
        "the statement that there is none",
        S1,
        put("persons/0/documents", [{"documentType": "NONE", "issuer": "IDN", "status": "NEVER_ISSUED"}]),
    ),
    (
        "a stateless person",
        S1,
        put("persons/0/nationalities", [{"country": "XXA", "status": "STATELESS_CLAIMED"}]),
    ),
    (
        "a nationality outside the corridor",
        S1,
        put("persons/0/nationalities", [{"country": "TLS", "status": "CLAIMED"}]),
    ),
    ("no nationality known", S1, put("persons/0/nationalities", [])),
    ("a person nobody can name", S1, both(drop("persons/0/names"), put("persons/0/nameUnknown", True))),
    ("a name with apostrophe and diacritics", S1, put(f"{NAME}/fullName", "N'Diayé-Nguyễn, Jr.")),
    ("a zero-width space in a Khmer name", S5, put("person/names/0/fullName", "សុខ\u200bឧទាហរណ៍")),
    ("a card of three lines", S1, put("persons/0/documents/0/mrz", ["I<" + "A" * 28] * 3)),
    ("a card of two lines", S1, put("persons/0/documents/0/mrz", ["A" * 36] * 2)),
    (
        "a zone whose data differ on purpose",
        S1,
        put("persons/0/documents/0/discrepancyNote", "Day and month were swapped at the counter."),
    ),
    ("both offences, classified as smuggling", S1, both(put("offenceCategory", "TPPO_AND_TPPM"), put("iccs", "08051"))),
    ("both offences, not classified", S1, both(put("offenceCategory", "TPPO_AND_TPPM"), drop("iccs"))),
    ("a child victim, so no means", S1, both(drop("tipMeans"), put("persons/0/isMinor", "PRESUMED"))),
    ("an update that moves nothing", CLOSED, put("fromStatus", "CLOSED")),
    (
        "retention and language already set",
        S1,
        both(put("meta/retention/deleteBy", "2027-01-01"), put("meta/language", "eng")),
    ),
    ("an attachment as the gateway writes it", S1, attachment()),
    ("an alert until a day", S6, put("validUntil", "2027-03-01")),
    ("five hundred rows", S2, times("items", 500)),
    (
        "line breaks in free text",
        S1,
        put("summary", "First line of the account.\nSecond line of it, longer."),
    ),
)


@pytest.mark.parametrize(("name", "change"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_odd_but_legal_input_is_taken(name: str, change: Change) -> None:
    """What is messy in life is not wrong in the schema."""
    data = shelf.example(name)
    change(data)
    assert shelf.findings(name.partition("/")[0], data) == ()
