"""Handling (P09, P10), international protection (P11), threatened persons (P12), officials (P13), parts (P23)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.casework import handling
from gateway.casework.shapes import obj, rows, text, texts
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.casework.policies.facts import Context

_THREATS = frozenset(("RETALIATION", "FAMILY_INVOLVED"))


def needed_handling(ctx: Context) -> tuple[str, ...]:
    """Return the least handling of a message: by type and content (§7.1), and what it inherits."""
    content = ctx.content
    if not content.victim and any(p.ref is not None and p.ref in ctx.victims for p in ctx.persons if not p.suspect):
        # Whatever this message says of the person, the protective reading of any body governs (§6.2).
        content = replace(content, victim=True)
    return handling.union(handling.minimum(ctx.subject, content), ctx.case.inherited)


def handling_listed(ctx: Context) -> Iterator[Finding]:
    """§7.1: every handling code is on the list, and none stands twice. E-CODE."""
    yield from handling.unlisted(ctx.message.handling)


def p09_handling(ctx: Context) -> Iterator[Finding]:
    """P09 and §7.1: neither weaker than the content needs nor than what is answered or forwarded. E-HANDLING."""
    codes = ctx.message.handling
    lacking = handling.missing(codes, needed_handling(ctx))
    if lacking:
        yield Finding("/handling", "too weak: lacks " + " ".join(lacking), "E-HANDLING")
    if "H3" in codes and not text(ctx.meta, "restrictionText"):
        yield Finding("/meta/restrictionText", "H3 needs its restriction in words", "E-HANDLING")


def p11_protection(ctx: Context) -> Iterator[Finding]:
    """P11: nobody who claims protection, or was not asked, is made known to a State of nationality. E-PROTECTION.

    Refused before anything leaves. Where no nationality is stated, an identity check asks the recipient whether
    it is theirs, so the recipient counts as one.
    """
    recipient = ctx.recipient_state
    for person in ctx.persons:
        countries = person.countries | ctx.case.nationalities.get(person.ref or "", frozenset())
        theirs = recipient in countries or (ctx.subject == "identity.verify.request" and not countries)
        claims = "PROTECTION_CLAIM" in person.flags or (person.ref or "") in ctx.case.protection_claims
        if theirs and (claims or person.data.get("protectionScreened") is not True):
            yield Finding(person.pointer, "protection not ruled out, and the recipient is their State", "E-PROTECTION")
    for ref in sorted(ctx.references.difference(person.ref for person in ctx.persons)):
        if ref in ctx.case.protection_claims and recipient in ctx.case.nationalities.get(ref, {recipient}):
            # The reference alone would tell that the person is here; no pointer tells which it is.
            yield Finding("", "a person who claims protection is referred to", "E-PROTECTION")
    if "PROTECTION_CLAIM" in texts(obj(ctx.data, "riskAssessment"), "flags"):
        countries = frozenset().union(*(person.countries for person in ctx.persons))
        if recipient in countries or not countries:
            yield Finding("/riskAssessment/flags", "a protection claim, told to their own State", "E-PROTECTION")
    if "answers" not in ctx.present:
        return
    known = frozenset().union(*ctx.case.nationalities.values(), *(person.countries for person in ctx.persons))
    for i, answer in enumerate(rows(ctx.data, "answers")):
        if text(answer, "refusalReason") == "PROTECTION_CLAIM" and (not known or recipient in known):
            yield Finding(f"/answers/{i}/refusalReason", "would tell their own State of the claim", "E-PROTECTION")


def p12_threatened(ctx: Context) -> Iterator[Finding]:
    """P12: nothing that leads the threatener to a person: no relatives, no address, contacts not safe. E-HANDLING.

    The gateway refuses rather than strips: what an officer signed is not altered behind their back.
    """
    general = not _THREATS.isdisjoint(texts(obj(ctx.data, "riskAssessment"), "flags"))
    blocked = "V2" in ctx.message.handling
    for person in ctx.persons:
        if person.suspect or not (general or not _THREATS.isdisjoint(person.flags)):
            continue
        blocked = True
        for key in ("address", "relatives"):
            if key in person.data:
                yield Finding(f"{person.pointer}/{key}", "not sent for a threatened person", "E-HANDLING")
        for i, contact in enumerate(rows(person.data, "contacts")):
            if isinstance(contact, dict) and contact.get("safeToContact") is not False:
                where = f"{person.pointer}/contacts/{i}/safeToContact"
                yield Finding(where, "no contact of a threatened person is safe", "E-HANDLING")
    tracing = obj(ctx.data, "familyTracing")
    if blocked and (tracing.get("allowed") is True or rows(tracing, "relatives")):
        yield Finding("/familyTracing", "family tracing is blocked by V2 or FAMILY_INVOLVED", "E-HANDLING")


def p13_officials(ctx: Context) -> Iterator[Finding]:
    """P13: complicity of officials goes to an officer by role, never to a unit's mailbox or the unit accused.

    EO comes with the minimum handling. E-HANDLING.
    """
    if "OFFICIAL_COMPLICITY" not in ctx.content.risk_flags:
        return
    addressee = obj(ctx.meta, "recipientUnit")
    if not text(addressee, "focalPointRole"):
        yield Finding("/meta/recipientUnit", "name the officer's role, not the unit's mailbox", "E-HANDLING")
    unit = text(addressee, "unit")
    for person in ctx.persons:
        organisation = obj(person.data, "organisation")
        if (
            unit is not None
            and person.suspect
            and unit in (text(organisation, "name"), text(organisation, "registrationNo"))
        ):
            yield Finding("/meta/recipientUnit/unit", "this is the unit accused", "E-HANDLING")


def p23_parts(ctx: Context) -> dict[str, tuple[str, ...]]:
    """P23: return the pointers of victims' (VI) and of suspects' (SU) data, so that each is shown under its own right.

    On the wire one envelope serves one party; apart they are kept at rest and in view.
    """
    victims = [p.pointer for p in ctx.persons if not p.suspect]
    contexts = [key for key in ("victimContexts", "victimContext", "assessments", "health", "needs") if key in ctx.data]
    suspects = [p.pointer for p in ctx.persons if p.suspect]
    return {"VI": (*victims, *(f"/{key}" for key in contexts)), "SU": tuple(suspects)}
