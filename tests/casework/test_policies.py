"""Policies P01-P24: one test named after each, showing what it refuses and that it lets the rest go."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from gateway.casework import handling
from gateway.casework.handling import p10_may_leave
from gateway.casework.media import Head
from gateway.casework.policies import (
    CaseFacts,
    basis,
    content,
    course,
    keeping,
    people,
    prompts,
    protection,
    review,
    words,
)
from gateway.casework.policies.basis import PURPOSES, p02_transfer
from gateway.casework.policies.keeping import (
    ReadEntry,
    Tombstone,
    class_maximum,
    p15_certificate_due_ms,
    p15_due,
    p16_breach_due_ms,
    p17_must_log,
)
from gateway.casework.policies.protection import p23_parts
from gateway.errors import Finding
from tests.casework.casefile import (
    NOW_MS,
    SCHEMAS,
    Spoil,
    codelists,
    codes,
    context,
    in_force,
    judge,
    message,
    places,
)
from tests.schemas import shelf

if TYPE_CHECKING:
    from collections.abc import Iterator

SUMARNI = "case.referral/s1-sumarni"
CHILD = "victim.assistance.referral/s5-child-khmer-script"
GROUP = "identity.verify.request/s2-group-of-thirty"
ALERT = "subject.alert/s6-two-nationalities"
DEFERRAL = "departure.deferral.notice/s3-group-of-four"
NAMED = "passport.deferral.notice/s4-one-applicant-consents"
RFI = "info.request/s7-crossing-history"
MOVEMENT = "repatriation.movement/s8-departure"
BULLETIN = "route.bulletin/s6-batam-johor-bavet"
HOUR_MS = 3_600_000


def put(*path: str | int, value: Any) -> Spoil:
    """Set one value in the data."""

    def spoil(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return spoil


def test_p01_a_purpose_that_the_type_does_not_serve() -> None:
    """An alert for statistics, a bulletin for an investigation."""
    for example, purpose in (
        (ALERT, "STATISTICS"),
        (BULLETIN, "INVESTIGATION"),
        (SUMARNI, "THREAT_AWARENESS"),
    ):
        found = judge(message(example, put("meta", "purpose", value=purpose)))
        assert places(found) == {("E-SCHEMA", "/meta/purpose")}


@pytest.mark.parametrize(
    "basis",
    [
        {},
        {"code": "NO_PERSONAL_DATA"},
        {"code": "ART56_2_EQUIVALENT"},
        {"code": "ART56_3_BINDING_INSTRUMENT"},
        {"code": "ART56_3_BINDING_INSTRUMENT", "instrumentRef": "LOI-2025"},
        {"code": "ART56_4_CONSENT", "consentRef": ""},
        {"code": "KH_ORIGIN_MOI_RULES", "instrumentRef": "TEST-INSTRUMENT"},  # not Indonesia's to invoke
    ],
)
def test_p02_personal_data_without_an_instrument_in_force(basis: dict[str, str]) -> None:
    """Missing, no basis for it, not assertable, not named, not configured, or the other State's: E-TRANSFER."""
    assert codes(judge(message(SUMARNI, put("meta", "transferBasis", value=basis)))) == {"E-TRANSFER"}


def test_p02_an_instrument_counts_from_its_day() -> None:
    """The look-up is asked for the message's own time, never for now."""
    early = message(SUMARNI, time_ms=NOW_MS - 1)
    assert "E-TRANSFER" in codes(review(early, codelists=codelists(), transfer=in_force))
    assert review(message(SUMARNI), codelists=codelists(), transfer=in_force) == ()


def test_p02_the_shipped_lookup_refuses_personal_data_only() -> None:
    """No instrument ships: a referral is E-TRANSFER, a bulletin without persons goes."""
    assert codes(review(message(SUMARNI), codelists=codelists())) == {"E-TRANSFER"}
    assert review(message(BULLETIN), codelists=codelists()) == ()


def personal_fields(document: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the way to every innermost field of VI or SU, `[]` for a row; no definition is entered twice on a way."""
    todo: list[tuple[Any, tuple[str, ...], frozenset[str], bool]] = [(document, (), frozenset(), False)]
    while todo:
        node, way, seen, personal = todo.pop()
        reference = node.get("$ref", "").rpartition("/")[2]
        if reference:
            if reference not in seen:
                todo.append((document["$defs"][reference], way, seen | {reference}, personal))
        elif "items" in node:
            todo.append((node["items"], (*way, "[]"), seen, personal))
        elif "properties" in node:
            for name, field in node["properties"].items():
                own = field["x-sensitivity"].startswith(("VI", "SU")) if "x-sensitivity" in field else personal
                todo.append((field, (*way, name), seen, own))
        elif personal and way[-1] != "personRef":  # a bare reference describes nobody
            yield way


def holding(way: tuple[str, ...]) -> Any:
    """Return the least data that has this field."""
    found: Any = "x"
    for name in reversed(way):
        found = [found] if name == "[]" else {name: found}
    return found


@pytest.mark.parametrize("subject", sorted(PURPOSES))
def test_p02_every_field_of_victims_or_suspects_needs_a_basis(subject: str) -> None:
    """Each alone, as the schema classes it, beside the person its type is about: none of them goes without."""
    document = json.loads((SCHEMAS / subject / "1.0.0.json").read_bytes())
    about = {name: {"sex": "X"} for name in ("person", "subject") if name in document["required"]}
    tried = {way: message(BULLETIN, subject=subject, data=about | holding(way)) for way in personal_fields(document)}
    assert ["/".join(way) for way, facts in tried.items() if not any(p02_transfer(context(facts)))] == []
    assert bool(tried) is (subject not in {"route.bulletin", "stats.periodic"})


def test_p03_sensitive_data_only_where_the_catalogue_has_room() -> None:
    """A photo or health flag in a request for information is E-PII; the same in a referral goes."""
    for key, value in (("photoRef", "a1"), ("riskFlags", ["PREGNANT"]), ("faceTemplate", "x")):
        assert "E-PII" in codes(judge(message(RFI, put("subjectPersons", 0, key, value=value)))), key
    assert judge(message(SUMARNI, put("persons", 0, "riskFlags", value=["PREGNANT"]))) == ()
    accounts = put("facilitators", 0, "bankAccounts", value=[{"accountNo": "1"}])
    assert places(judge(message(DEFERRAL, accounts))) == {("E-PII", "/facilitators/0/bankAccounts")}
    assert judge(message(ALERT, put("subject", "bankAccounts", value=[{"accountNo": "1"}]))) == ()


def test_p04_a_child_needs_guardian_or_best_interests() -> None:
    """Declared, presumed or admitted by what is stated of the birth."""
    for child in (
        {"isMinor": "YES"},
        {"isMinor": "PRESUMED"},
        {"birth": {"precision": "YEAR", "value": "2008"}},
        {"birth": {"precision": "ESTIMATED", "ageStated": 17}},
        {"birth": {"precision": "ESTIMATED", "assessedRange": [16, 20]}},
    ):

        def spoil(data: dict[str, Any], child: dict[str, Any] = child) -> None:
            data["persons"][0].update(child)
            data["persons"][0].pop("documents")
            data["meta"]["retention"] = {"class": "RC-MINOR", "deleteBy": "2027-05-01"}

        handled = message(SUMARNI, spoil, handling=("H1", "H2", "V1", "NP"))
        assert places(judge(handled)) == {("E-MINOR", "/persons/0")}, child
        assert codes(judge(message(SUMARNI, spoil))) == {"E-MINOR", "E-HANDLING"}, "H1 is missing as well"


def test_p04_a_childs_data_is_kept_as_a_childs() -> None:
    """RC-MINOR, not the year of an adult."""
    facts = message(CHILD, put("meta", "retention", value={"class": "RC-VI", "deleteBy": "2027-01-01"}))
    assert places(judge(facts)) == {("E-MINOR", "/meta/retention/class")}


@pytest.mark.parametrize("due", ["PT73H", "2026-11-28T00:00:00.000Z", None])
def test_p04_pending_lasts_72_hours_at_most(due: str | None) -> None:
    """A pending reference in an identity check names a day within 72 hours."""
    facts = message(GROUP)
    row = next(r for r in facts.data["items"] if r["person"]["isMinor"] == "PRESUMED")
    for key in ("guardian", "bestInterests"):
        row["person"].pop(key, None)
    row["person"]["guardian"] = {"guardianRef": "PENDING", "dueBy": "PT72H"}
    assert judge(facts) == ()
    row["person"]["guardian"]["dueBy"] = due
    assert codes(judge(facts)) == {"E-MINOR"}


def test_p04_pending_is_no_safeguard_in_a_referral() -> None:
    """Only identity checks and deferrals may wait for the reference."""
    facts = message(
        CHILD,
        lambda d: (d.pop("bestInterests"), d.update(guardian={"guardianRef": "PENDING", "dueBy": "PT24H"})),
    )
    assert places(judge(facts)) == {("E-MINOR", "/guardian")}


def test_p04_a_childs_corrected_birth_goes_with_a_safeguard_that_may_be_pending() -> None:
    """The State that confirms names the guardian, or says by when; without either E-MINOR at the row."""

    def corrected(data: dict[str, Any]) -> None:
        data["results"][4]["result"] = "CONFIRMED_WITH_CORRECTION"
        data["results"][4].pop("travelDocument", None)
        data["results"][4]["confirmedPerson"] = {"birth": {"value": "2010-01-02", "precision": "DAY"}}

    facts = message("identity.verify.response/s2-partial-1", corrected)
    assert facts.data["meta"]["retention"]["class"] == "RC-MINOR"
    assert places(judge(facts)) == {("E-MINOR", "/results/4/confirmedPerson")}
    facts.data["results"][4]["confirmedPerson"]["guardian"] = {"guardianRef": "PENDING", "dueBy": "PT72H"}
    assert judge(facts) == ()
    assert shelf.findings(facts.subject, facts.data) == ()


def test_p04_an_alert_on_a_child_needs_the_prosecutor_and_shows_no_photo() -> None:
    """E-MINOR for each."""
    facts = message(ALERT, lambda d: d["subject"].update(isMinor="YES", photoRef="a1"), handling=("H1", "H2", "V1"))
    found = judge(facts)
    assert ("E-MINOR", "/subject/photoRef") in places(found)
    assert ("E-MINOR", "/subject") in places(found)


def test_p04_an_alert_on_a_child_goes_with_the_prosecutors_reference() -> None:
    """The warrant stands where the schema has it, at the subject; without its reference it is none."""
    warrant = {"issuer": "Prosecutor, test", "ref": "TEST-1", "date": "2026-11-01"}
    facts = message(ALERT, lambda d: d["subject"].update(isMinor="YES", warrant=warrant), handling=("H1", "H2", "V1"))
    assert judge(facts) == ()
    facts.data["subject"]["warrant"].pop("ref")
    assert places(judge(facts)) == {("E-MINOR", "/subject")}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"consentType": "REFUSED"}, "/consent"),
        ({"consentType": "NOT_SOUGHT"}, "/consent"),
        ({"consentType": "WITHDRAWN", "withdrawnOn": "2026-11-20"}, "/consent"),
        ({"scopes": []}, "/consent/scopes"),
        (
            {"consentType": "INFORMED_WRITTEN", "informedOfStorageAndRights": False},
            "/consent/informedOfStorageAndRights",
        ),
    ],
)
def test_p05_consent_covers_what_is_shared(change: dict[str, Any], pointer: str) -> None:
    """Not given, withdrawn, too narrow, or given without information: E-CONSENT."""
    facts = message(CHILD, lambda d: (d["person"].update(role="PRESUMED_VICTIM"), d["consent"].update(change)))
    assert ("E-CONSENT", pointer) in places(judge(facts))
    assert codes(judge(facts)) == {"E-CONSENT"}


def test_p05_vital_interests_are_for_haste_only() -> None:
    """S1 is FLASH and passes; the same as PRIORITY is E-CONSENT."""
    found = judge(message(SUMARNI, urgency="PRIORITY"))
    assert places(found) == {("E-CONSENT", "/persons/0/consent/consentType")}


def test_p05_a_victim_without_any_consent() -> None:
    """E-CONSENT at the person."""
    found = judge(message(SUMARNI, lambda d: d["persons"][0].pop("consent")))
    assert places(found) == {("E-CONSENT", "/persons/0")}


def test_p06_a_deferral_names_nobody_by_default() -> None:
    """Named without disclosure, or disclosed without consent; and never turned into an alert."""
    hidden = judge(message(NAMED, put("identityDisclosed", value=False)))
    assert ("E-PII", "/persons") in places(hidden)

    def unasked(data: dict[str, Any]) -> None:
        data["meta"]["transferBasis"] = {
            "code": "ART56_3_BINDING_INSTRUMENT",
            "instrumentRef": "TEST-INSTRUMENT",
        }
        data["persons"][0].pop("consent", None)

    assert ("E-CONSENT", "/persons/0") in places(judge(message(NAMED, unasked)))
    facts = message(ALERT)
    deferred = CaseFacts(deferred=frozenset({facts.data["subject"]["personRef"]}))
    assert places(judge(facts, deferred)) == {("E-NONPUNISH", "/subject/personRef")}


def test_p07_a_victim_is_no_suspect_in_the_same_message() -> None:
    """The same person as victim and as subject: E-NONPUNISH."""

    def accuse(data: dict[str, Any]) -> None:
        victim = data["persons"][0]
        data["subjects"] = [{**victim, "role": "SUSPECT", "rolesInProcess": ["Recruiter"]}]

    assert places(judge(message(SUMARNI, accuse))) == {("E-NONPUNISH", "/subjects/0/personRef")}


def test_p07_a_fine_asks_for_its_waiver() -> None:
    """Advice, no refusal."""
    facts = message(CHILD, put("immigrationStatus", value={"fineAmount": {"amount": "1", "currency": "IDR"}}))
    assert judge(facts) == ()
    assert [finding.pointer for finding in prompts(facts, codelists=codelists())] == [
        "/immigrationStatus/waiverRequested"
    ]
    facts.data["immigrationStatus"]["waiverRequested"] = False
    assert len(prompts(facts, codelists=codelists())) == 1
    facts.data["immigrationStatus"]["waiverRequested"] = True
    assert prompts(facts, codelists=codelists()) == ()


def test_p07_asks_for_no_waiver_where_no_fine_is_stated() -> None:
    """A status without a fine, with or without a request, is not advised on."""
    for status in ({}, {"waiverRequested": False}, {"overstayDays": 3}):
        assert prompts(message(CHILD, put("immigrationStatus", value=status)), codelists=codelists()) == ()


def test_p08_a_person_decides() -> None:
    """Alert, refusal and declining need an officer's role and time; a computed status is nobody's opinion."""
    assert places(judge(message(ALERT, lambda d: d["meta"].pop("humanReview")))) == {("E-SCHEMA", "/meta/humanReview")}
    refusal = message("info.response/refused-and-ambiguous", lambda d: d["meta"].pop("humanReview", None))
    assert ("E-SCHEMA", "/meta/humanReview") in places(judge(refusal))
    contested = put("victimContexts", 0, "traffickingAssessments", 0, "status", value="Contested")
    assert ("E-CODE", "/victimContexts/0/traffickingAssessments/0/status") in places(judge(message(SUMARNI, contested)))


def test_p09_a_reply_inherits() -> None:
    """Every code of what is answered stays; more is allowed."""
    facts = message("info.response/s7-final")
    inherited = CaseFacts(inherited=("H1", "H2", "EO"))
    assert codes(judge(facts, inherited)) == {"E-HANDLING"}
    assert judge(message("info.response/s7-final", handling=(*facts.handling, "H1", "EO", "OR")), inherited) == ()


@pytest.mark.parametrize("dropped", ["V1", "H2", "NP"])
def test_p09_the_content_sets_the_minimum(dropped: str) -> None:
    """A possible victim: V1, H2 and NP, each needed."""
    handling = tuple({"V1", "H2", "NP"} - {dropped})
    assert places(judge(message(SUMARNI, handling=handling))) == {("E-HANDLING", "/handling")}


@pytest.mark.parametrize("subject", [*sorted(PURPOSES), "meeting.note"])
@pytest.mark.parametrize("side", ["sender", "receiver"])
@pytest.mark.parametrize("spoilt", [("H9",), ("XX", "H0"), ("h2",), ("H2", "H2"), ("H2", "V1", "NP", "H2")])
def test_a_handling_code_is_on_the_list_and_stands_once(subject: str, side: str, spoilt: tuple[str, ...]) -> None:
    """E-CODE and nothing else, under every type, one registered later too, and on both sides."""
    found = judge(message(SUMARNI, subject=subject, side=side, handling=spoilt))
    assert places(found) == {("E-CODE", "/handling")}


def test_the_handling_codes_are_those_of_the_list() -> None:
    """What is judged and what `/codelists/handlingCode` shows are the same codes."""
    listed = codelists().get("handlingCode")
    assert listed is not None
    assert set(listed.codes) == set(handling.ORDER)


def test_p09_h3_says_its_restriction() -> None:
    """H3 without text is E-HANDLING."""
    facts = message(BULLETIN, handling=("H3",))
    assert places(judge(facts)) == {("E-HANDLING", "/meta/restrictionText")}


def test_p10_nothing_with_h2_or_or_leaves_unreleased() -> None:
    """Blocked without the originator's release."""
    for codes_ in (("H2",), ("V1", "OR")):
        assert p10_may_leave(codes_) is not None
        assert p10_may_leave(codes_, released=True) is None
    assert p10_may_leave(("H1", "NP")) is None


def test_p11_their_own_state_learns_nothing() -> None:
    """A claim, a question not asked, a claim known only here, and a bare reference: E-PROTECTION alone."""
    home = {"sender": "kh.gdi", "recipient": "id.imigrasi"}
    claim = put("persons", 0, "riskFlags", value=["PROTECTION_CLAIM"])
    assert places(judge(message(SUMARNI, claim, **home))) == {("E-PROTECTION", "/persons/0")}
    assert codes(judge(message(SUMARNI, **home))) == {"E-PROTECTION"}
    asked = message(SUMARNI, put("persons", 0, "protectionScreened", value=True), **home)
    assert "E-PROTECTION" not in codes(judge(asked))
    ref = asked.data["persons"][0]["personRef"]
    assert codes(judge(asked, CaseFacts(protection_claims=frozenset({ref})))) == {"E-PROTECTION"}
    movement = message(MOVEMENT)
    aboard = frozenset({movement.data["persons"][0]})
    assert judge(movement, CaseFacts(protection_claims=aboard)) == (
        Finding("", "a person who claims protection is referred to", "E-PROTECTION"),
    )


def test_p11_another_state_may_be_told() -> None:
    """A protection claim may be said to a State that is not theirs."""
    facts = message(SUMARNI, put("persons", 0, "riskFlags", value=["PROTECTION_CLAIM"]))
    assert judge(facts) == ()


def test_p11_an_identity_check_counts_as_asking_their_state() -> None:
    """No nationality stated: the recipient is asked whether it is theirs, so all must be screened."""
    facts = message(GROUP, lambda d: d["items"][0]["person"].update(nationalities=[]))
    assert judge(facts) == ()
    facts.data["items"][0]["person"].pop("protectionScreened")
    assert places(judge(facts)) == {("E-PROTECTION", "/items/0/person")}


def test_p11_a_refusal_does_not_betray_the_claim() -> None:
    """The reason PROTECTION_CLAIM goes only where the persons are known to be of another State."""
    facts = message("info.response/refused-and-ambiguous")
    refused = next(a for a in facts.data["answers"] if a["outcome"] == "REFUSED")
    refused["refusalReason"] = "PROTECTION_CLAIM"
    facts.data.pop("persons", None)
    assert codes(judge(facts)) == {"E-PROTECTION"}
    stateless = CaseFacts(nationalities={"P-1": frozenset({"XXA"})})
    assert "E-PROTECTION" not in codes(judge(facts, stateless))


def test_p12_a_threatened_person_leaves_no_trail() -> None:
    """Address and contacts not marked unsafe are refused; family tracing is blocked."""

    def threaten(data: dict[str, Any]) -> None:
        data["persons"][0].update(riskFlags=["RETALIATION"], address={"text": "x"})
        data["persons"][0]["contacts"][0]["safeToContact"] = True

    found = judge(message(SUMARNI, threaten, handling=("V1", "V2", "H2", "NP")))
    assert places(found) == {
        ("E-HANDLING", "/persons/0/address"),
        ("E-HANDLING", "/persons/0/contacts/0/safeToContact"),
    }
    tracing = judge(message(CHILD, put("familyTracing", value={"allowed": True})))
    assert ("E-HANDLING", "/familyTracing") in places(tracing)


def test_p13_officials_accused_do_not_read_it() -> None:
    """EO, an officer's role instead of a mailbox, and not the unit accused."""

    def accuse(data: dict[str, Any]) -> None:
        data["persons"][0]["riskFlags"] = ["OFFICIAL_COMPLICITY"]

    eyes = ("V1", "H2", "NP", "EO")
    assert codes(judge(message(SUMARNI, accuse))) == {"E-HANDLING"}
    assert judge(message(SUMARNI, accuse, handling=eyes)) == ()
    facts = message(SUMARNI, accuse, handling=eyes)
    facts.data["meta"]["recipientUnit"].pop("focalPointRole")
    assert places(judge(facts)) == {("E-HANDLING", "/meta/recipientUnit")}
    facts = message(SUMARNI, accuse, handling=eyes)
    facts.data["subjects"] = [{"role": "SUSPECT", "organisation": {"name": "KH-HQ-AHT"}, "isMinor": "NO"}]
    assert places(judge(facts)) == {("E-HANDLING", "/meta/recipientUnit/unit")}


@pytest.mark.parametrize(
    ("retention", "pointer"),
    [
        ({"class": "RC-VI"}, "/meta/retention/deleteBy"),
        ({"class": "RC-VI", "deleteBy": "2030-01-01"}, "/meta/retention/deleteBy"),
        ({"class": "RC-VI", "deleteBy": "2026-11-23"}, "/meta/retention/deleteBy"),
        ({"class": "RC-OP", "deleteBy": "2027-01-01"}, "/meta/retention/class"),
        ({"class": "RC-AG"}, "/meta/retention/class"),
    ],
)
def test_p14_nothing_is_kept_beyond_its_class(retention: dict[str, str], pointer: str) -> None:
    """Missing, too late, past, or personal data in a class for none: E-RETENTION."""
    found = judge(message(SUMARNI, put("meta", "retention", value=retention)))
    assert places(found) == {("E-RETENTION", pointer)}


def test_p14_the_gateway_sets_the_maximum() -> None:
    """365 days for an adult victim's data, none for aggregates."""
    assert class_maximum("RC-VI", NOW_MS) == date(2027, 11, 24)
    assert class_maximum("RC-AG", NOW_MS) is None


def test_p15_erasure_is_due_after_its_day_and_certified() -> None:
    """The day named is the last; the certificate follows within 72 hours; what stays has no content."""
    assert not p15_due(date(2026, 11, 24), date(2026, 11, 24))
    assert p15_due(date(2026, 11, 24), date(2026, 11, 25))
    assert p15_certificate_due_ms(NOW_MS) == NOW_MS + 72 * HOUR_MS
    assert set(Tombstone.__slots__) == {"message_id", "digest", "reason", "at_ms"}


def test_p16_a_breach_is_told_in_time() -> None:
    """The counterpart within 24 hours, data subjects and authority within three days."""
    due = p16_breach_due_ms(NOW_MS)
    assert due == {
        "counterpart": NOW_MS + 24 * HOUR_MS,
        "authority": NOW_MS + 72 * HOUR_MS,
        "data_subjects": NOW_MS + 72 * HOUR_MS,
    }


def test_p17_reading_personal_data_is_logged() -> None:
    """Every message with VI or SU data, and an entry that has no room for values."""
    assert p17_must_log(context(message(SUMARNI)))
    assert not p17_must_log(context(message(BULLETIN)))
    assert set(ReadEntry.__slots__) == {"role", "purpose", "message_id", "pointers", "at_ms"}


def test_p18_small_cells_in_periodic_figures() -> None:
    """1 to 9 persons refused, 0 and 10 allowed; villages are not persons."""
    name = "stats.periodic/s8-founding-figures"

    def figure(indicator: str, value: int) -> Spoil:
        return lambda d: d["figures"].append(
            {
                "indicator": indicator,
                "value": value,
                "suppressed": False,
                "breakdown": {"sex": "X"},
                "status": "FINAL",
            }
        )

    for value in (1, 9):
        assert codes(judge(message(name, figure("REPATRIATED", value)))) == {"E-SMALLCELL"}
    for indicator, value in (("REPATRIATED", 0), ("REPATRIATED", 10), ("BILATERAL_MEETINGS", 1)):
        assert judge(message(name, figure(indicator, value))) == ()


def test_p19_a_files_description_names_nobody() -> None:
    """Neither a person of the message nor a number."""
    for text in ("Passport of Sumarni", "Scan of TEST000017", "call +62 800 0000 0001"):
        file = {
            "attachmentId": "a1",
            "attachmentType": "TICKET",
            "mediaType": "application/pdf",
            "byteLength": 9,
            "description": text,
        }
        assert places(judge(message(SUMARNI, put("attachments", value=[file])))) == {
            ("E-PII", "/attachments/0/description")
        }


@pytest.mark.parametrize(
    ("media", "content", "refused"),
    [
        ("image/jpeg", b"\xff\xd8\xff\xe0rest", False),
        ("image/jpeg", b"%PDF-1.7", True),
        ("image/png", b"\x89PNG\r\n\x1a\n", False),
        ("application/pdf", b"%PDF-1.7 /Page /Names", False),
        ("application/pdf", b"PK\x03\x04", True),
    ],
)
def test_p20_bytes_are_what_they_say(media: str, content: bytes, refused: bool) -> None:
    """Magic bytes against the declared type; what a PDF holds is read in a process of its own."""
    head = Head()
    head.feed(content)
    assert (head.fault(media) is not None) is refused


@pytest.mark.parametrize(
    "text",
    [
        "NIK 3299014503990001 was used",
        "passport A1234567",
        "passport TEST000017",
        "phone 0812-0000-0000",
        "phone +62 800 000 0003",
        "mail contoh@example.org",
    ],
)
def test_p21_no_numbers_of_persons_in_a_bulletin(text: str) -> None:
    """Identity, document, telephone and mail patterns are E-PII; codes, dates and bands are not."""
    assert places(judge(message(BULLETIN, put("documentsPattern", value=text)))) == {("E-PII", "/documentsPattern")}
    assert (
        judge(message(BULLETIN, put("documentsPattern", value="From 2026-01-02, SGN to KH-BVT, 50-199 a month"))) == ()
    )


def test_p21_a_message_without_personal_data_has_none_in_words() -> None:
    """A report that moves a case may name its reason, not a person; one that states opinions has a basis for more."""
    for text in ("NIK 3299014503990001 was used", "mail contoh@example.org", "phone +62 800 000 0003"):
        told = put("reason", value=text)
        assert places(judge(message("case.update/s1-needs-info", told))) == {("E-PII", "/reason")}
    assert judge(message("case.update/s1-needs-info")) == ()
    opinion = message("case.update/s7-police-opinion", put("reason", value="passport A1234567 was shown to the police"))
    assert judge(opinion) == ()


def test_p21_a_referral_speaks_of_persons_by_reference() -> None:
    """The summary may not hold a name of the message's own persons."""
    facts = message(SUMARNI, lambda d: d.update(summary=d["summary"] + " Her name is Sumarni."))
    assert places(judge(facts)) == {("E-PII", "/summary")}


def test_p22_a_data_subjects_request_has_three_days() -> None:
    """It is due within 3x24 hours of its receipt."""
    name = "record.action/s7-subject-request"
    request = {"right": "ACCESS", "receivedOn": "2026-11-20", "dueBy": "2026-11-23"}
    assert judge(message(name, put("subjectRequest", value=request))) == ()
    late = put("subjectRequest", value={**request, "dueBy": "2026-11-24"})
    assert places(judge(message(name, late))) == {("E-DATE", "/subjectRequest/dueBy")}


def test_p23_victims_and_suspects_are_apart() -> None:
    """Each part has its own pointers, so that one can be shown without the other."""
    facts = message(SUMARNI, lambda d: d.update(subjects=[{"role": "SUSPECT", "isMinor": "NO"}]))
    parts = p23_parts(context(facts))
    assert parts == {"VI": ("/persons/0", "/victimContexts"), "SU": ("/subjects/0",)}


def test_every_policy_is_a_function_with_a_test_of_its_name() -> None:
    """P01 to P24 (domain rules §8): none is missing, and none is tried under another's name."""
    functions = {
        name
        for module in (basis, content, course, handling, keeping, people, protection, words)
        for name in vars(module)
    }
    for number in range(1, 25):
        assert [name for name in sorted(functions) if name.startswith(f"p{number:02}_")], number
        assert [name for name in globals() if name.startswith(f"test_p{number:02}_")], number


def test_p24_specimens_stay_in_the_test_environment() -> None:
    """TEST numbers and UTO are refused in production, other numbers in the test environment."""
    assert codes(judge(message(SUMARNI, environment="prod"))) == {"E-CODE"}
    real = put(
        "persons",
        0,
        "documents",
        0,
        value={"documentType": "P", "number": "X7654321", "issuer": "IDN", "status": "LOST"},
    )
    assert places(judge(message(SUMARNI, real))) == {("E-PII", "/persons/0/documents/0/number")}
    assert judge(message(SUMARNI, real, environment="prod")) == ()
