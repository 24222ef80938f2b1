"""On what basis data may be sent at all: purpose (P01), transfer (P02), sensitive data (P03), environment (P24)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.casework.shapes import Json, obj, rows, text, walk
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.casework.policies.facts import Context, PersonFact

_CASEWORK: Final = frozenset(
    (
        "VICTIM_PROTECTION",
        "IDENTITY_VERIFICATION",
        "RETURN_REPATRIATION",
        "PREVENTION_BORDER",
        "INVESTIGATION",
    )
)
PURPOSES: Final[dict[str, frozenset[str]]] = {
    "case.referral": _CASEWORK,
    "case.update": _CASEWORK | {"DATA_QUALITY"},
    "info.request": _CASEWORK,
    "info.response": _CASEWORK,
    "identity.verify.request": _CASEWORK - {"PREVENTION_BORDER"},
    "identity.verify.response": _CASEWORK - {"PREVENTION_BORDER"},
    "departure.deferral.notice": frozenset(("PREVENTION_BORDER", "VICTIM_PROTECTION", "INVESTIGATION")),
    "passport.deferral.notice": frozenset(("PREVENTION_BORDER", "VICTIM_PROTECTION", "INVESTIGATION")),
    "victim.assistance.referral": frozenset(("VICTIM_PROTECTION", "RETURN_REPATRIATION")),
    "repatriation.movement": frozenset(("RETURN_REPATRIATION", "VICTIM_PROTECTION")),
    "subject.alert": frozenset(("INVESTIGATION", "PREVENTION_BORDER")),
    "route.bulletin": frozenset(("THREAT_AWARENESS",)),
    "record.action": frozenset(("DATA_QUALITY",)),
    "stats.periodic": frozenset(("STATISTICS",)),
}

_SENSITIVE_TYPES: Final = frozenset(
    ("case.referral", "identity.verify.request", "victim.assistance.referral", "repatriation.movement")
)
_HEALTH_FLAGS: Final = frozenset(("PREGNANT", "MEDICAL_URGENT", "SELF_HARM", "DISABILITY"))
_SPECIMEN: Final = "UTO"
_TEST_NUMBER: Final = re.compile(r"TEST[0-9A-Z]*")
_ICAO_SPECIMENS: Final = frozenset(("L898902C3", "L898902C", "D23145890"))


def p01_purpose(ctx: Context) -> Iterator[Finding]:
    """P01: the purpose must be one that the type serves. E-SCHEMA."""
    purpose = text(ctx.meta, "purpose")
    # A type added later brings its purposes with its schema; of those here the table is the rule.
    if ctx.subject in PURPOSES and purpose not in PURPOSES[ctx.subject]:
        yield Finding("/meta/purpose", "this purpose is not allowed for this type", "E-SCHEMA")


def p02_transfer(ctx: Context) -> Iterator[Finding]:
    """P02: personal data needs a transfer basis in force at the message's time. E-TRANSFER.

    Nothing is in force until the two authorities configure it: a look-up that knows nothing refuses everything.
    """
    if not ctx.personal:
        return
    if not ctx.message.states_basis:
        # A later type whose schema has no place to name a basis: then one must be in force all the same.
        if not ctx.transfer("", "", ctx.message.time_ms):
            yield Finding("", "personal data by its schema, and no transfer instrument is in force", "E-TRANSFER")
        return
    basis = obj(ctx.meta, "transferBasis")
    code, where = text(basis, "code"), "/meta/transferBasis"
    if code in (None, "NO_PERSONAL_DATA"):
        yield Finding(where, "personal data without a transfer basis", "E-TRANSFER")
        return
    assert code is not None
    listed = ctx.codelists.find("transferBasis", code)
    if listed is None or listed.attributes.get("usableFor") == []:
        yield Finding(f"{where}/code", "this transfer basis cannot be used", "E-TRANSFER")
    elif code == "KH_ORIGIN_MOI_RULES" and ctx.sender_state != "KHM":
        yield Finding(f"{where}/code", "this transfer basis is the other State's", "E-TRANSFER")
    else:
        member = "consentRef" if code == "ART56_4_CONSENT" else "instrumentRef"
        if not ctx.transfer(code, text(basis, member) or "", ctx.message.time_ms):
            yield Finding(where, "no such instrument or consent is in force", "E-TRANSFER")


def p03_sensitive(ctx: Context) -> Iterator[Finding]:
    """P03: health, biometric, criminal-record and finance data only where the catalogue has room for it. E-PII.

    A face template is refused everywhere. Data about children follows P04.
    """
    for pointer, name, _ in walk(ctx.data) if b'"faceTemplate"' in ctx.raw else ():
        if name == "faceTemplate":
            yield Finding(pointer, "face templates are not exchanged", "E-PII")
    if ctx.subject in _SENSITIVE_TYPES:
        return
    for person in ctx.persons:
        yield from _sensitive(person, alert=ctx.subject == "subject.alert")
    for key in ("health", "debtClaimed"):
        if key in ctx.data:
            yield Finding(f"/{key}", "this type has no room for such sensitive data", "E-PII")
    for i, attachment in enumerate(rows(ctx.data, "attachments")):
        if text(attachment, "attachmentType") in ("FACE_PHOTO", "MEDICAL_FIT_TO_FLY"):
            yield Finding(f"/attachments/{i}/attachmentType", "this type has no room for such a file", "E-PII")


def _sensitive(person: PersonFact, *, alert: bool) -> Iterator[Finding]:
    if "photoRef" in person.holder:
        yield Finding(f"{person.holder_pointer}/photoRef", "this type has no room for photographs", "E-PII")
    for key in ("photoRef",) if alert else ("photoRef", "bankAccounts", "warrant"):
        if key in person.data:
            yield Finding(f"{person.pointer}/{key}", "this type has no room for such sensitive data", "E-PII")
    if not person.flags.isdisjoint(_HEALTH_FLAGS):
        yield Finding(f"{person.pointer}/riskFlags", "this type has no room for health data", "E-PII")


def p24_environment(ctx: Context) -> Iterator[Finding]:
    """P24: specimen documents never in production (E-CODE), real ones never in the test environment (E-PII)."""
    test = ctx.message.environment == "test"
    for pointer, document in _documents(ctx):
        number = text(document, "number")
        specimen = text(document, "issuer") == _SPECIMEN
        marked = number is not None and (_TEST_NUMBER.fullmatch(number) is not None or number in _ICAO_SPECIMENS)
        if not test and (specimen or marked):
            yield Finding(pointer, "a specimen document outside the test environment", "E-CODE")
        if test and number is not None and not (specimen or marked):
            yield Finding(f"{pointer}/number", "a document not marked TEST in the test environment", "E-PII")
    if not test:
        for person in ctx.persons:
            if _SPECIMEN in person.countries:
                where = f"{person.pointer}/nationalities"
                yield Finding(where, "the specimen State outside the test environment", "E-CODE")


def _documents(ctx: Context) -> Iterator[tuple[str, Json]]:
    for person in ctx.persons:
        for i, document in enumerate(rows(person.data, "documents")):
            if isinstance(document, dict):
                yield f"{person.pointer}/documents/{i}", document
        claimed = obj(person.holder, "claimedDocument")
        if claimed:
            yield f"{person.holder_pointer}/claimedDocument", claimed
    for i, row in enumerate(rows(ctx.data, "travelDocs")):
        yield f"/travelDocs/{i}/document", obj(row, "document")
    for i, row in enumerate(rows(ctx.data, "results")):
        document = obj(row, "travelDocument")
        if document:
            yield f"/results/{i}/travelDocument", document
