"""Safeguards: children (P04), consent (P05), deferred nationals (P06), non-punishment (P07), review (P08)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.casework.dates import parse_day
from gateway.casework.progress import CONTESTED
from gateway.casework.shapes import Json, obj, rows, text, texts
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.casework.policies.facts import Context, PersonFact

DEFERRALS: Final = frozenset(("departure.deferral.notice", "passport.deferral.notice"))
_PENDING_ALLOWED: Final = DEFERRALS | {"identity.verify.request", "identity.verify.response"}
_CHILD_CLASSES: Final = frozenset(("RC-MINOR", "RC-DEF", "RC-NOHIT"))  # the others keep a child's data longer
_PENDING_HOURS: Final = 72
_DURATION: Final = re.compile(r"PT([0-9]{1,3})H")
_NEED_CONSENT: Final = frozenset(("PRESUMED_VICTIM", "WITNESS"))
_GIVEN: Final = frozenset(("INFORMED_WRITTEN", "INFORMED_RECORDED", "GUARDIAN", "BEST_INTERESTS"))
_IDENTITY: Final = ("names", "documents", "nationalIds", "contacts", "address")
_DOUBT: Final = "a child, or possibly one"


def p04_child(ctx: Context) -> Iterator[Finding]:
    """P04: a child, or one who may be: guardian or best interests, RC-MINOR, no photo in an alert. E-MINOR.

    V1+H1+H2 come with the minimum handling (E-HANDLING). A reference may be PENDING for up to 72 hours where
    speed protects: identity checks and deferrals. An alert needs the prosecutor's reference (`warrant`).
    """
    children = [person for person in ctx.persons if person.minor]
    for child in children:
        if ctx.subject == "subject.alert":
            if "photoRef" in child.data:
                yield Finding(f"{child.pointer}/photoRef", f"{_DOUBT}: no photograph in an alert", "E-MINOR")
            if not text(obj(child.data, "warrant"), "ref"):
                yield Finding(child.pointer, f"{_DOUBT}: an alert needs the prosecutor's reference", "E-MINOR")
        elif (fault := _safeguard(ctx, child)) is not None:
            yield fault
    retention = text(obj(ctx.meta, "retention"), "class")
    if children and ctx.subject != "subject.alert" and retention not in _CHILD_CLASSES:
        yield Finding("/meta/retention/class", f"{_DOUBT}: the class is RC-MINOR", "E-MINOR")


def _safeguard(ctx: Context, child: PersonFact) -> Finding | None:
    holders: tuple[tuple[Json, str], ...] = (
        (child.data, child.pointer),
        (child.holder, child.holder_pointer),
    )
    if child.pointer == "/person":
        holders = (*holders, (ctx.data, ""))
    late: Finding | None = None
    for holder, base in holders:
        for key, member in (("guardian", "guardianRef"), ("bestInterests", "decisionRef")):
            found = obj(holder, key)
            reference = text(found, member)
            if reference is None:
                continue
            if reference != "PENDING":
                return None
            if ctx.subject in _PENDING_ALLOWED and _within_72h(ctx, text(found, "dueBy")):
                return None
            late = Finding(f"{base}/{key}", "pending beyond 72 hours, or where it may not be", "E-MINOR")
    consent, _ = ctx.consent_of(child)
    if text(consent, "guardianRef") is not None:
        return None
    return late or Finding(child.pointer, f"{_DOUBT}, without guardian or best-interests decision", "E-MINOR")


def _within_72h(ctx: Context, due: str | None) -> bool:
    hours = _DURATION.fullmatch(due or "")
    if hours is not None:
        return 1 <= int(hours[1]) <= _PENDING_HOURS
    day = parse_day(due)
    return day is not None and 0 <= (day - ctx.today).days <= _PENDING_HOURS // 24


def p05_consent(ctx: Context) -> Iterator[Finding]:
    """P05: a victim's or witness's data needs a consent that covers the scopes used. E-CONSENT.

    Vital interests stand in for consent in FLASH and URGENT messages only. Withdrawn consent ends sharing; what
    was shared is restricted by record.action.
    """
    for person in ctx.persons:
        if person.role not in _NEED_CONSENT:
            continue
        consent, pointer = ctx.consent_of(person)
        given = text(consent, "consentType")
        if given == "VITAL_INTERESTS":
            if ctx.message.urgency not in ("FLASH", "URGENT"):
                yield Finding(f"{pointer}/consentType", "vital interests are for FLASH and URGENT", "E-CONSENT")
            continue
        if given not in _GIVEN or "withdrawnOn" in consent:
            yield Finding(pointer if consent else person.pointer, "no consent in force", "E-CONSENT")
            continue
        if given.startswith("INFORMED") and consent.get("informedOfStorageAndRights") is not True:
            where = f"{pointer}/informedOfStorageAndRights"
            yield Finding(where, "consent without information is none", "E-CONSENT")
        lacking = _scopes_used(ctx, person) - set(texts(consent, "scopes"))
        if lacking:
            yield Finding(f"{pointer}/scopes", "does not cover " + ", ".join(sorted(lacking)), "E-CONSENT")


def _scopes_used(ctx: Context, person: PersonFact) -> set[str]:
    used: set[str] = set()
    if any(key in person.data for key in _IDENTITY):
        used.add("SHARE_IDENTITY")
    if "photoRef" in person.data or "photoRef" in person.holder:
        used.add("SHARE_PHOTO")
    if person.pointer == "/person":
        if "health" in ctx.data:
            used.add("SHARE_HEALTH")
        if obj(ctx.data, "familyTracing").get("allowed") is True:
            used.add("CONTACT_FAMILY")
    for attachment in rows(ctx.data, "attachments"):
        if text(attachment, "personRef") == person.ref and person.ref is not None:
            scope = {
                "STATEMENT": "SHARE_STATEMENT",
                "FACE_PHOTO": "SHARE_PHOTO",
                "MEDICAL_FIT_TO_FLY": "SHARE_HEALTH",
            }
            used |= {scope[found] for found in [text(attachment, "attachmentType")] if found in scope}
    return used


def p06_deferred_national(ctx: Context) -> Iterator[Finding]:
    """P06: a deferral names nobody unless identity is disclosed (E-PII), on consent or vital interests (E-CONSENT).

    A postponed traveller is accused of nothing: RC-DEF (E-RETENTION), and never the subject of an alert
    (E-NONPUNISH).
    """
    if ctx.subject == "subject.alert":
        for person in ctx.persons:
            if person.ref in ctx.case.deferred:
                yield Finding(f"{person.pointer}/personRef", "known only from a deferral", "E-NONPUNISH")
        return
    if ctx.subject not in DEFERRALS:
        return
    named = [person for person in ctx.persons if not person.suspect]
    if not named:
        return
    if ctx.data.get("identityDisclosed") is not True:
        yield Finding("/persons", "persons are named although identity is not disclosed", "E-PII")
    by_message = text(obj(ctx.meta, "transferBasis"), "consentRef") is not None
    for person in named:
        consent, _ = ctx.consent_of(person)
        given = text(consent, "consentType")
        if not by_message and given not in _GIVEN | {"VITAL_INTERESTS"}:
            yield Finding(person.pointer, "named without consent or vital interests", "E-CONSENT")
    if text(obj(ctx.meta, "retention"), "class") != "RC-DEF":
        yield Finding("/meta/retention/class", "an identifiable deferral is kept as RC-DEF", "E-RETENTION")


def p07_non_punishment(ctx: Context) -> Iterator[Finding]:
    """P07: who is held to be a victim by any body is no subject of an alert, nor listed as a suspect. E-NONPUNISH."""
    for person in ctx.persons:
        if person.ref is not None and person.ref in ctx.victims and (person.suspect or ctx.subject == "subject.alert"):
            yield Finding(f"{person.pointer}/personRef", "a possible or actual victim of this case", "E-NONPUNISH")


def p07_prompt(ctx: Context) -> Iterator[Finding]:
    """P07, advice and no refusal: a fine on a victim asks for its waiver."""
    status = obj(ctx.data, "immigrationStatus")
    if "fineAmount" in status and status.get("waiverRequested") is not True:
        yield Finding("/immigrationStatus/waiverRequested", "a fine is stated: ask for its waiver")


def p08_human_review(ctx: Context) -> Iterator[Finding]:
    """P08: a status, an alert or a refusal is a person's decision: role and time. E-SCHEMA.

    An assessment carries its own (`assessorRole`, `decidedOn`). `Contested` is computed for display, so as input
    it is nobody's opinion (E-CODE).
    """
    for pointer, _, assessment in ctx.assessments:
        if text(assessment, "status") == CONTESTED:
            yield Finding(f"{pointer}/status", "derived for display, not an opinion", "E-CODE")
        if not (text(assessment, "assessorRole") and text(assessment, "decidedOn")):
            yield Finding(pointer, "an assessment needs its assessor's role and its date", "E-SCHEMA")
    refused = any(text(answer, "outcome") == "REFUSED" for answer in rows(ctx.data, "answers"))
    declined = ctx.subject == "case.update" and text(ctx.data, "toStatus") == "DECLINED"
    moved = text(ctx.data, "toStatus") != text(ctx.data, "fromStatus")
    if ctx.subject == "subject.alert" or refused or (declined and moved):
        reviewed = obj(ctx.meta, "humanReview")
        if not (text(reviewed, "role") and text(reviewed, "at")):
            yield Finding("/meta/humanReview", "an officer's role and time are needed", "E-SCHEMA")
