"""What a message adds to what is known of its case, and what all of them together say.

Each message leaves one small record; nothing of it is merged for good, so that erasing a message takes exactly
its own record away. A record holds references, codes and times, no names: these stand beside it as keys, by
which a text that may name nobody is looked through (P21).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from gateway.casework import alerts
from gateway.casework.clocks import final
from gateway.casework.names import mention_head, mention_key
from gateway.casework.policies.facts import CaseFacts, Context
from gateway.casework.policies.people import DEFERRALS
from gateway.casework.progress import MOVEMENT_OVER, Milestone, movement_persons, shown_status
from gateway.casework.shapes import Json, obj, rows, text, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from gateway.casework.lifecycle import CaseStatus

REQUESTS: Final[dict[str, tuple[str, str]]] = {
    "info.request": ("questions", "qId"),
    "identity.verify.request": ("items", "itemId"),
}
RESPONSES: Final[dict[str, tuple[str, str, str, str]]] = {
    # rows, their id, their outcome, and the outcome that leaves the row open
    "info.response": ("answers", "qId", "outcome", "INTERIM"),
    "identity.verify.response": ("results", "itemId", "result", "PENDING"),
}


# What a key is beside a reference to a person: one who claims protection, a name, what a name begins with.
CLAIM: Final = "claim:"
NAME: Final = "name:"
HEAD: Final = "head:"


class Record(NamedTuple):
    """The stored record of one message: whose, when, and its facts as text."""

    sender: str
    jti: str
    at_ms: int
    supersedes: str | None
    facts: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """What one message leaves behind: its facts, and the keys its persons are found by."""

    facts: str
    keys: tuple[str, ...]


def of_message(ctx: Context, in_reply_to: str | None) -> Remembered | None:
    """Return what is to be kept of a message; None where later messages need nothing of it."""
    data = ctx.data
    found: Json = {}
    persons = {
        person.ref: [sorted(person.countries), "PROTECTION_CLAIM" in person.flags]
        for person in ctx.persons
        if person.ref is not None
    }
    if persons:
        found["persons"] = persons
    named = [ref for ref in texts(data, "persons") if ref not in persons]
    if named:
        found["refs"] = named
    if ctx.subject in DEFERRALS and persons:
        found["deferred"] = [p.ref for p in ctx.persons if p.ref is not None and not p.suspect]
    opinions = [
        [ref, body, status]
        for _, ref, row in ctx.assessments
        if ref and (body := text(row, "decisionMakingOrg")) and (status := text(row, "status"))
    ]
    if opinions:
        found["opinions"] = opinions
    if ctx.subject == "repatriation.movement":
        everybody = movement_persons(data)
        found["milestones"] = [
            [reached, texts(row, "personRefs") or everybody]
            for row in rows(data, "milestones")
            if (reached := text(row, "milestone")) in Milestone.__members__
        ]
    if ctx.subject in REQUESTS:
        key, member = REQUESTS[ctx.subject]
        found["asked"] = [value for row in rows(data, key) if (value := text(row, member)) is not None]
    if ctx.subject in RESPONSES and in_reply_to is not None:
        answered = {"to": in_reply_to, "final": final(ctx.subject, data), "rows": _answered(ctx.subject, data)}
        found["answers"] = answered | ({"hit": True} if alerts.hit(data) else {})
    if ctx.subject == "subject.alert":
        found["alert"] = [text(obj(data, "subject"), "personRef"), alerts.until_ms(data, ctx.message.time_ms)]
    if not found:
        return None
    return Remembered(orjson.dumps(found).decode(), tuple(dict.fromkeys(_keys(ctx))))


def _keys(ctx: Context) -> Iterator[str]:
    # An opinion counts wherever its person is spoken of, though the message that brings it describes nobody.
    yield from (ref for _, ref, _ in ctx.assessments if ref is not None)
    for person in ctx.persons:
        if person.ref is not None:
            yield person.ref
            if "PROTECTION_CLAIM" in person.flags:
                yield claim_key(person.ref)
        for name in rows(person.data, "names"):
            key = mention_key(text(name, "fullName") or "")
            if key is not None:
                yield NAME + key
                yield HEAD + mention_head(key)


def claim_key(ref: str) -> str:
    """Return the key under which a person is found who claims protection."""
    return CLAIM + ref


def _answered(subject: str, data: Json) -> list[list[str | bool]]:
    key, member, outcome, still_open = RESPONSES[subject]
    return [
        [item, text(row, outcome) != still_open] for row in rows(data, key) if (item := text(row, member)) is not None
    ]


def _in_order(records: Iterable[Record]) -> list[tuple[Record, Json]]:
    # By the messages' own times, which are the same on both sides, whatever order they came in.
    ordered = sorted(records, key=lambda r: (r.at_ms, r.jti))
    return [(record, orjson.loads(record.facts)) for record in ordered]


def gather(
    records: Sequence[Record], *, in_case: bool, inherited: tuple[str, ...] = (), in_reply_to: str | None = None,
    owners: Mapping[str, str] | None = None, known_names: tuple[str, ...] = (),
) -> CaseFacts:  # fmt: skip
    """Put together what the records of a case say. `in_case`: they are all of one case, so nobody else is in it."""
    statuses: dict[tuple[str, str], str] = {}
    milestones: dict[str, str] = {}
    nationalities: dict[str, frozenset[str]] = {}
    known: set[str] = set()
    deferred: set[str] = set()
    claims: set[str] = set()
    requested: frozenset[str] | None = None
    read = _in_order(records)
    for record, facts in read:
        for ref, (countries, claim) in facts.get("persons", {}).items():
            known.add(ref)
            if countries:
                nationalities[ref] = nationalities.get(ref, frozenset()).union(countries)
            if claim:
                claims.add(ref)
        known.update(facts.get("refs", ()))
        deferred.update(facts.get("deferred", ()))
        for ref, body, status in facts.get("opinions", ()):
            statuses[ref, body] = status
        for reached, refs in facts.get("milestones", ()):
            milestones.update(dict.fromkeys(refs, reached))
        if record.jti == in_reply_to and "asked" in facts:
            requested = frozenset(facts["asked"])
    return CaseFacts(
        inherited=inherited, statuses=statuses, milestones=milestones, deferred=frozenset(deferred),
        alerts=_alerts(read), protection_claims=frozenset(claims), nationalities=nationalities,
        known_persons=frozenset(known) if in_case else None, known_names=known_names, requested=requested,
        owners=owners, unanswered_requests=len(_open_requests(read)),
        open_movements=sum(1 for reached in milestones.values() if Milestone(reached) not in MOVEMENT_OVER),
    )  # fmt: skip


def _alerts(read: Sequence[tuple[Record, Json]]) -> dict[str, alerts.Alert]:
    met = {facts["answers"]["to"] for _, facts in read if facts.get("answers", {}).get("hit")}
    return {
        record.jti: alerts.Alert(facts["alert"][0], facts["alert"][1], record.jti in met)
        for record, facts in read
        if facts.get("alert", [None])[-1] is not None
    }


def alert_states(
    records: Sequence[Record], of_subject: Callable[[str], Sequence[Record]], now_ms: int, case: CaseStatus
) -> tuple[alerts.AlertState, ...]:
    """Return where each alert of a case stands; `of_subject` gives what is remembered of a person anywhere."""
    held = gather(records, in_case=True)
    found = []
    for message, alert in held.alerts.items():
        everywhere = {**gather(of_subject(alert.ref), in_case=False).statuses, **held.statuses}
        statuses = [status for (ref, _), status in everywhere.items() if ref == alert.ref]
        found.append(alerts.shown(message, alert, now_ms, statuses, case))
    return tuple(found)


def _open_requests(read: Sequence[tuple[Record, Json]]) -> list[str]:
    answers = [(record.sender, facts["answers"]) for record, facts in read if "answers" in facts]
    ended = {(sender, answer["to"]) for sender, answer in answers if answer["final"]}
    # A request that a later message of its sender stands in for is not waited for any more.
    over = {(record.sender, record.supersedes) for record, _ in read if record.supersedes is not None}
    return [
        record.jti
        for record, facts in read
        if "asked" in facts and (record.sender, record.jti) not in over and not _by_another(record, ended)
    ]


def _by_another(request: Record, answered: Iterable[tuple[str, str]]) -> bool:
    """Say whether somebody but its sender answered a request: nobody answers their own."""
    return any(jti == request.jti and sender != request.sender for sender, jti in answered)


@dataclass(frozen=True, slots=True)
class RowProgress:
    """One row of a request: which message answered it, if any has for good."""

    item: str
    answered_by: str | None


@dataclass(frozen=True, slots=True)
class RequestProgress:
    """How far a request is answered; `complete` once its last response came."""

    jti: str
    sender: str
    rows: tuple[RowProgress, ...]
    complete: bool

    @property
    def answered(self) -> int:
        """Return how many rows have an answer that stands."""
        return sum(1 for row in self.rows if row.answered_by is not None)


def progress(records: Sequence[Record]) -> tuple[RequestProgress, ...]:
    """Return how far each request of a case is answered, row by row, in the order they were sent.

    A row answered PENDING or INTERIM is still open; a later response may say more of a row.
    """
    read = _in_order(records)
    by: dict[tuple[str, str], dict[str, str | None]] = {}
    complete: set[tuple[str, str]] = set()
    senders = {record.sender for record, _ in read}
    for record, facts in read:
        answers = facts.get("answers")
        if answers is None:
            continue
        # It answers the other party's request: nobody answers their own.
        for asker in senders - {record.sender}:
            held = by.setdefault((asker, answers["to"]), {})
            held.update({item: record.jti if stands else None for item, stands in answers["rows"]})
            if answers["final"]:
                complete.add((asker, answers["to"]))
    return tuple(
        RequestProgress(
            record.jti, record.sender,
            tuple(RowProgress(item, by.get((record.sender, record.jti), {}).get(item)) for item in facts["asked"]),
            (record.sender, record.jti) in complete,
        )
        for record, facts in read
        if "asked" in facts
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PersonState:
    """One person of a case: every body's latest opinion, what a view shows of them, and the last milestone."""

    ref: str
    status: str | None
    opinions: tuple[tuple[str, str], ...]
    milestone: str | None


def persons(records: Sequence[Record]) -> tuple[PersonState, ...]:
    """Return the persons of a case with where each stands; bodies that differ show as Contested (§6.2)."""
    facts = gather(records, in_case=True)
    opinions: dict[str, list[tuple[str, str]]] = {}
    for (ref, body), status in sorted(facts.statuses.items()):
        opinions.setdefault(ref, []).append((body, status))
    return tuple(
        PersonState(
            ref, shown_status(status for _, status in opinions[ref]) if ref in opinions else None,
            tuple(opinions.get(ref, ())), facts.milestones.get(ref),
        )
        for ref in sorted((facts.known_persons or frozenset()) | opinions.keys() | facts.milestones.keys())
    )  # fmt: skip
