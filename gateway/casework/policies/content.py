"""What must hold inside one message: persons and documents, codes in force, dates, counts, references, sizes."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from gateway.casework import persons
from gateway.casework.dates import A_DAY, Span, parse_day, read_partial
from gateway.casework.shapes import Json, number, obj, rows, text
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.casework.policies.facts import Context

MAX_ROWS: Final = 500
KIB: Final = 1024
# §4, hard limits of the types whose texts could make more of them than the case can use; all others: protocol.md §4.5.
MAX_BYTES: Final = {"case.update": 256 * KIB, "route.bulletin": 512 * KIB}
_RFI_DAYS: Final = 731  # 4.3: a crossing history of 24 months at most
_ALERT_DAYS: Final = 365  # 4.11
_LEGS: Final = ("route", "itinerary", "legs")
# Members at which codes with dates of validity stand.
DATED_CODES: Final = frozenset(
    ("legalBasis", "grounds", "checkpoint", "onwardGroup", *_LEGS, "crossings", "reception", "figures")
)


def persons_hold(ctx: Context) -> Iterator[Finding]:
    """§3.2 to 3.5: names, scripts, phones, births, documents and their MRZ."""
    for person in ctx.persons:
        yield from persons.check(person.data, person.pointer, ctx.today)
        claimed = obj(person.holder, "claimedDocument")
        if claimed:
            where = f"{person.holder_pointer}/claimedDocument"
            yield from persons.document_faults(claimed, where, person.data, person.pointer, ctx.today)
    for i, row in enumerate(rows(ctx.data, "travelDocs")):
        yield from persons.document_faults(obj(row, "document"), f"/travelDocs/{i}/document", {}, "", ctx.today)
    for i, key in enumerate(rows(ctx.data, "searchKeys")):
        if text(key, "type") == "PHONE" and not persons.is_phone(text(key, "value") or ""):
            yield Finding(f"/searchKeys/{i}/value", "not an international number (E.164)", "E-PHONE")


def codes_in_force(ctx: Context) -> Iterator[Finding]:
    """§1, §10 #6, #7: checkpoints and legal bases are judged on the day of the event they speak of. E-CODE."""
    acted = _event(ctx)
    for i, code in enumerate(rows(ctx.meta, "legalBasis")):
        yield from _code(ctx, "legalBasis", code, acted or _on(ctx.today), f"/meta/legalBasis/{i}")
    for i, code in enumerate(rows(obj(ctx.data, "grounds"), "statutes")):
        yield from _code(ctx, "legalBasis", code, acted or _on(ctx.today), f"/grounds/statutes/{i}")
    yield from _checkpoint(ctx, ctx.data, acted, "")
    group = obj(ctx.data, "onwardGroup")
    yield from _checkpoint(ctx, group, _moment(text(group, "expectedArrival")) or acted, "/onwardGroup")
    for key in _LEGS:
        for i, leg in enumerate(rows(ctx.data, key)):
            travelled, _ = read_partial(obj(leg, "date"))
            for end in ("from", "to"):
                yield from _checkpoint(ctx, obj(leg, end), travelled or acted, f"/{key}/{i}/{end}")
    for i, crossing in enumerate(rows(ctx.data, "crossings")):
        yield from _checkpoint(ctx, crossing, _moment(text(crossing, "at")), f"/crossings/{i}")
    yield from _checkpoint(ctx, obj(ctx.data, "reception"), _on(ctx.today), "/reception")
    period = obj(ctx.data, "period")
    covered = _between(parse_day(text(period, "from")), parse_day(text(period, "to")))
    for i, figure in enumerate(rows(ctx.data, "figures")):
        yield from _checkpoint(ctx, obj(figure, "breakdown"), covered, f"/figures/{i}/breakdown")


def _checkpoint(ctx: Context, holder: Any, span: Span | None, pointer: str) -> Iterator[Finding]:
    code = text(holder, "checkpoint")
    if code is None:
        return
    yield from _code(ctx, "checkpoint", code, span, f"{pointer}/checkpoint")
    found = ctx.codelists.find("checkpoint", code)
    stated = text(holder, "unlocode")
    if found is not None and stated is not None and stated != found.attributes.get("unlocode"):
        yield Finding(f"{pointer}/unlocode", "the UN/LOCODE of another place", "E-CODE")


def _code(ctx: Context, listed: str, code: Any, span: Span | None, pointer: str) -> Iterator[Finding]:
    fault = ctx.codelists.fault(listed, code, span, pointer) if isinstance(code, str) else None
    if fault is not None:
        yield fault


def _event(ctx: Context) -> Span | None:
    """Return the days of the act or measure a message speaks of, if it states any."""
    period = obj(ctx.data, "eventPeriod")
    first, _ = read_partial(obj(period, "from"))
    last, _ = read_partial(obj(period, "to"))
    if first is not None:
        return Span(first.first, last.last if last else max(first.last, min(first.last, ctx.today)))
    for key in ("deferredAt", "deferredOn"):
        if (moment := _moment(text(ctx.data, key))) is not None:
            return moment
    return _between(parse_day(text(ctx.data, "periodFrom")), parse_day(text(ctx.data, "periodTo")))


def _on(day: date) -> Span:
    return Span(day, day)


def _moment(value: str | None) -> Span | None:
    day = parse_day(value)
    return None if day is None else _on(day)


def _between(first: date | None, last: date | None) -> Span | None:
    return Span(first, last) if first is not None and last is not None and first <= last else None


# Members at which something stands that must have happened, and those with a span of their own.
_HAPPENED_ONCE: Final = (
    ("bestInterests", "date"),
    ("erasureCertificate", "erasedAt"),
    ("riskAssessment", "date"),
    ("subjectRequest", "receivedOn"),
)
_HAPPENED_ROWS: Final = (("milestones", "at"), ("crossings", "at"), ("actionsTaken", "date"))
_HAPPENED: Final = frozenset(
    (
        *("deferredAt", "deferredOn", "periodFrom", "results", "victimContexts", "victimContext", "assessments"),
        *(key for key, _ in (*_HAPPENED_ONCE, *_HAPPENED_ROWS)),
    )
)
_BOUNDED: Final = frozenset(("period", "periodFrom", "validity", "validUntil"))
DATES: Final = _HAPPENED | _BOUNDED | {"humanReview", "consent", "warrant", "eventPeriod"}


def dates_hold(ctx: Context) -> Iterator[Finding]:
    """§10 #4 and the bounds of §4: nothing in the future that has happened, nothing backwards. E-DATE."""
    for pointer, holder, key in _happened(ctx):
        day = parse_day(text(holder, key))
        if day is not None and day > ctx.today + A_DAY:
            yield Finding(f"{pointer}/{key}", "lies in the future", "E-DATE")
    for person in ctx.persons:
        consent, pointer = ctx.consent_of(person)
        if not consent:
            continue
        got, ended = parse_day(text(consent, "obtainedOn")), parse_day(text(consent, "withdrawnOn"))
        if got is not None and ended is not None and ended < got:
            yield Finding(f"{pointer}/withdrawnOn", "withdrawn before it was given", "E-DATE")
    if "eventPeriod" in ctx.present:
        yield from _period_holds(ctx)
    if not _BOUNDED.isdisjoint(ctx.present):
        yield from _bounds_hold(ctx)


def _bounds_hold(ctx: Context) -> Iterator[Finding]:
    for pointer, first, last in _stretches(ctx):
        if first is not None and last is not None and last < first:
            yield Finding(pointer, "the period runs backwards", "E-DATE")
    asked = obj(ctx.data, "period")
    first, last = parse_day(text(asked, "from")), parse_day(text(asked, "to"))
    if ctx.subject == "info.request" and first is not None and last is not None and (last - first).days > _RFI_DAYS:
        yield Finding("/period", "longer than 24 months", "E-DATE")
    until = parse_day(text(ctx.data, "validUntil"))
    last = ctx.today + timedelta(days=_ALERT_DAYS)
    if until is not None and until < ctx.today:
        yield Finding("/validUntil", "lies before the message", "E-DATE")
    elif ctx.subject == "subject.alert" and until is not None and until > last:
        yield Finding("/validUntil", "not within 365 days from now", "E-DATE")


def _stretches(ctx: Context) -> Iterator[tuple[str, date | None, date | None]]:
    """Yield pointer, first and last day of each period of whole days."""
    for pointer, holder, start, end in (
        ("/period/to", obj(ctx.data, "period"), "from", "to"),
        ("/periodTo", ctx.data, "periodFrom", "periodTo"),
        ("/validity/until", obj(ctx.data, "validity"), "from", "until"),
    ):
        yield pointer, parse_day(text(holder, start)), parse_day(text(holder, end))


def _happened(ctx: Context) -> Iterator[tuple[str, Any, str]]:
    """Yield (pointer, holder, member) of each date that lies behind whoever sent it."""
    yield "/meta/humanReview", obj(ctx.meta, "humanReview"), "at"
    for person in ctx.persons:
        consent, pointer = ctx.consent_of(person)
        yield pointer, consent, "obtainedOn"
        for key in ("warrant", "bestInterests"):
            yield f"{person.pointer}/{key}", obj(person.data, key), "date"
    if not _HAPPENED.isdisjoint(ctx.present):
        yield from _happened_in(ctx)


def _happened_in(ctx: Context) -> Iterator[tuple[str, Any, str]]:
    for key in ("deferredAt", "deferredOn", "periodFrom"):
        yield "", ctx.data, key
    for pointer, _, assessment in ctx.assessments:
        yield pointer, assessment, "decidedOn"
    for key, member in _HAPPENED_ONCE:
        yield f"/{key}", obj(ctx.data, key), member
    for key, member in _HAPPENED_ROWS:
        for i, row in enumerate(rows(ctx.data, key)):
            yield f"/{key}/{i}", row, member
    for i, row in enumerate(rows(ctx.data, "results")):
        yield f"/results/{i}/travelDocument", obj(row, "travelDocument"), "issuedOn"


def _period_holds(ctx: Context) -> Iterator[Finding]:
    period = obj(ctx.data, "eventPeriod")
    first, fault = read_partial(obj(period, "from"))
    last, other = read_partial(obj(period, "to"))
    for key, reason in (("from", fault), ("to", other)):
        if reason is not None:
            yield Finding(f"/eventPeriod/{key}/value", reason, "E-DATE")
    for key, span in (("from", first), ("to", last)):
        if span is not None and span.first > ctx.today + A_DAY:
            yield Finding(f"/eventPeriod/{key}", "lies in the future", "E-DATE")
    if first is not None and last is not None and last.last < first.first:
        yield Finding("/eventPeriod/to", "the period runs backwards", "E-DATE")
    victims = [person for person in ctx.persons if not person.suspect]
    # Of a group, some may be born into it: there only the period's end says something about each.
    told = first if last is None or len(victims) == 1 else last
    for person in victims:
        born, _ = read_partial(obj(person.data, "birth"))
        if told is not None and born is not None and told.last < born.first:
            yield Finding("/eventPeriod", "lies before the birth of a victim", "E-DATE")
            return


def size_holds(ctx: Context) -> Iterator[Finding]:
    """§4: no more bytes than the type may have. E-SIZE."""
    most = MAX_BYTES.get(ctx.subject)
    if most is not None and len(ctx.raw) > most:
        yield Finding("", f"more than {most // KIB} KiB", "E-SIZE")


def rows_hold(ctx: Context) -> Iterator[Finding]:
    """§10 #15: what is declared is what is there. E-COUNT; over 500 rows E-SIZE."""
    for key in ("items", "manifest", "results"):
        if len(rows(ctx.data, key)) > MAX_ROWS:
            yield Finding(f"/{key}", "more than 500 rows", "E-SIZE")
    for holder, where in ((ctx.data, ""), (obj(ctx.data, "group"), "/group")):
        declared = number(holder, "declaredCount")
        held = next((rows(ctx.data, key) for key in ("items", "manifest", "persons") if rows(ctx.data, key)), None)
        if declared is not None and held is not None and declared != len(held):
            yield Finding(f"{where}/declaredCount", "not the number of rows", "E-COUNT")
    yield from _postponed_add_up(ctx)


def answers_add_up(ctx: Context) -> Iterator[Finding]:
    """4.6: no more answered than asked, and at the last partial all of them. E-COUNT."""
    if ctx.subject == "identity.verify.response" and ctx.case.requested is not None:
        answered = sum(value for value in obj(ctx.data, "counts").values() if isinstance(value, int))
        asked = len(ctx.case.requested)
        if answered > asked or (ctx.data.get("final") is True and answered != asked):
            yield Finding("/counts", "does not add up to the persons asked about", "E-COUNT")


def _postponed_add_up(ctx: Context) -> Iterator[Finding]:
    persons_count = number(ctx.data, "personsCount")
    if persons_count is None:
        return
    for key in ("ageGroups", "sexes"):
        counted = sum(number(row, "count") or 0 for row in rows(ctx.data, key))
        if rows(ctx.data, key) and counted != persons_count:
            yield Finding(f"/{key}", "does not add up to personsCount", "E-COUNT")
    if len(rows(ctx.data, "persons")) > persons_count:
        yield Finding("/persons", "more than personsCount", "E-COUNT")


def references_hold(ctx: Context) -> Iterator[Finding]:
    """Judge references: each leads somewhere, and none to change the other authority's records. E-REF.

    A reference back to the sender's own earlier message is not refused by the receiver: it may be what a gap
    in the case's numbers hides, and a gap is shown, not refused (protocol.md §4.4).
    """
    yield from _unique(ctx)
    known = {person.ref for person in ctx.persons} | {r for r in rows(ctx.data, "persons") if isinstance(r, str)}
    earlier = ctx.case.known_persons
    judged = ctx.subject == "case.referral" if earlier is None else ctx.message.side == "sender"
    for pointer, ref in _person_references(ctx) if judged else ():
        if ref not in known and ref not in (earlier or ()):
            yield Finding(pointer, "no such person in the message or the case", "E-REF")
    files = {text(row, "attachmentId") for row in rows(ctx.data, "attachments")}
    for pointer, holder, key in _file_references(ctx):
        if text(holder, key) is not None and text(holder, key) not in files:
            yield Finding(f"{pointer}/{key}", "no such attachment in the message", "E-REF")
    yield from _target(ctx)


def answers_fit(ctx: Context) -> Iterator[Finding]:
    """4.4, 4.6: an answer names the request it answers, and answers what that asked. E-REF."""
    if ctx.subject not in ("info.response", "identity.verify.response"):
        return
    if ctx.message.in_reply_to is None:
        yield Finding("/inReplyTo", "an answer names the request it answers", "E-REF")
    for key, member in (("answers", "qId"), ("results", "itemId")):
        for i, row in enumerate(rows(ctx.data, key)):
            if ctx.case.requested is not None and text(row, member) not in ctx.case.requested:
                yield Finding(f"/{key}/{i}/{member}", "was not asked", "E-REF")


_NUMBERED: Final = (
    ("questions", "qId"),
    ("answers", "qId"),
    ("items", "itemId"),
    ("manifest", "itemId"),
    ("results", "itemId"),
    ("attachments", "attachmentId"),
    ("persons", "personRef"),
)


# Members by which a reference can lead nowhere.
REFERENCES: Final = frozenset(
    (
        *(key for key, _ in _NUMBERED),
        "victimContexts",
        "assessments",
        "travelDocs",
        "crossings",
        "milestones",
        "group",
        "photoRef",
        "health",
        "target",
    )
)


def _unique(ctx: Context) -> Iterator[Finding]:
    for key, member in _NUMBERED:
        if key not in ctx.present:
            continue
        seen: set[str] = set()
        for i, row in enumerate(rows(ctx.data, key)):
            value = text(row, member)
            if value is not None and value in seen:
                yield Finding(f"/{key}/{i}/{member}", "stands twice", "E-REF")
            seen.add(value or "")


def _person_references(ctx: Context) -> Iterator[tuple[str, str]]:
    for key in ("victimContexts", "assessments", "attachments", "travelDocs", "crossings"):
        for i, row in enumerate(rows(ctx.data, key)):
            if (ref := text(row, "personRef")) is not None:
                yield f"/{key}/{i}/personRef", ref
    for i, row in enumerate(rows(ctx.data, "milestones")):
        for j, ref in enumerate(rows(row, "personRefs")):
            yield f"/milestones/{i}/personRefs/{j}", str(ref)
    leader = text(obj(ctx.data, "group"), "leaderRef")
    if leader is not None:
        yield "/group/leaderRef", leader


def _file_references(ctx: Context) -> Iterator[tuple[str, Json, str]]:
    for person in ctx.persons:
        for pointer, holder in ((person.pointer, person.data), (person.holder_pointer, person.holder)):
            if "photoRef" in holder:
                yield pointer, holder, "photoRef"
    if "health" in ctx.present:
        yield "/health", obj(ctx.data, "health"), "certRef"


def _target(ctx: Context) -> Iterator[Finding]:
    """4.13: a record action is about one's own data, but for a dispute and a data subject's request."""
    message_id = text(obj(ctx.data, "target"), "messageId")
    if ctx.subject != "record.action" or message_id is None or ctx.case.owners is None:
        return
    owner = ctx.case.owners.get(message_id)
    if owner is None and ctx.message.side == "sender":
        yield Finding("/target/messageId", "no such message", "E-REF")
    foreign = owner is not None and owner != ctx.message.sender
    if foreign and text(ctx.data, "action") not in ("DISPUTE", "SUBJECT_REQUEST"):
        yield Finding("/target/messageId", "the other authority's record: dispute it", "E-REF")
