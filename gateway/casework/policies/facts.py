"""What the policies know of a message: the message itself, its case, and the persons found in it.

Pointers are JSON Pointers into `data`; an attribute of the event is named as if it stood there (`/handling`,
`/urgency`, `/inReplyTo`): no message type has members of those names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import orjson

from gateway.casework.dates import admits_minor, day_of
from gateway.casework.handling import Content
from gateway.casework.progress import PROTECTED
from gateway.casework.shapes import Json, obj, rows, text, texts

if TYPE_CHECKING:
    from datetime import date

    from gateway.casework.alerts import Alert
    from gateway.casework.codelists import CodeLists

Side = Literal["sender", "receiver"]
TransferLookup = Callable[[str, str, int], bool]
"""(transfer basis code, instrument or consent reference, time in ms) -> is it in force then? Code "": is any?"""

SUSPECT_ROLES: Final = frozenset(("SUSPECT", "FACILITATOR"))
# State of a party (ISO 3166-1 alpha-2) as passports write it (alpha-3).
ALPHA3: Final = {"id": "IDN", "kh": "KHM"}

_LISTS: Final = ("persons", "subjectPersons", "subjects", "facilitators", "relatives")
_ROWS: Final = (("items", "person"), ("manifest", "person"), ("results", "confirmedPerson"))
_SINGLE: Final = ("person", "subject")
_OPINIONS: Final = frozenset(("victimContexts", "victimContext", "assessments"))
_ABOUT_PERSONS: Final = frozenset(
    ("crossings", "candidates", "milestones", "travelDocs", "results", "items", "manifest", "victimContexts")
)
_LEGS: Final = frozenset(("route", "itinerary", "legs"))

PERSONS: Final = frozenset((*_LISTS, *_SINGLE, "familyTracing", *(key for key, _ in _ROWS)))
"""The members of `data` that may describe persons."""
REFERRING: Final = frozenset(
    ("milestones", "persons", "travelDocs", "victimContexts", "assessments", "crossings", "attachments")
)
"""The members of `data` whose rows speak of persons by reference."""


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """One message as both sides see it. `sender` and `recipient` are party ids; `time_ms` is its `time`.

    `classes`: of a type that has no rules of its own here, VI and SU where its schema says so of a member the
    message has, and another word where it says nothing. `states_basis`: there is room for `meta.transferBasis`.
    """

    subject: str
    data: Json
    handling: tuple[str, ...]
    urgency: str
    sender: str
    recipient: str
    environment: str
    time_ms: int
    side: Side = "sender"
    in_reply_to: str | None = None
    classes: frozenset[str] = frozenset()
    states_basis: bool = True


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What this side holds of the case beside the message; empty means that nothing is known.

    `inherited`: handling of the message answered or forwarded. `statuses`: (personRef, body) to that body's
    latest assessment. `milestones`: personRef to the last one. `deferred`: persons named by deferral notices.
    `protection_claims`: persons known here to claim protection. `nationalities`: personRef to alpha-3 codes.
    `known_persons`: every personRef of the case, None where the caller cannot tell. `known_names`: names of
    persons in exchanged cases, for messages that may name nobody. `requested`: item or question ids of the
    request that is answered. `owners`: message id to the party that sent it, for the messages of the case.
    `alerts`: message id to the alert it is.
    """

    inherited: tuple[str, ...] = ()
    statuses: Mapping[tuple[str, str], str] = field(default_factory=dict)
    milestones: Mapping[str, str] = field(default_factory=dict)
    deferred: frozenset[str] = frozenset()
    protection_claims: frozenset[str] = frozenset()
    nationalities: Mapping[str, frozenset[str]] = field(default_factory=dict)
    known_persons: frozenset[str] | None = None
    known_names: tuple[str, ...] = ()
    requested: frozenset[str] | None = None
    owners: Mapping[str, str] | None = None
    unanswered_requests: int = 0
    open_movements: int = 0
    alerts: Mapping[str, Alert] = field(default_factory=dict)


class PersonFact(NamedTuple):
    """One person in the message: where, what is said, and whether it reads as a victim's or a suspect's data.

    `role`: a person without one reads as the neutral SUBJECT. `suspect`: the data is a suspect's (SU); everybody
    else's is protected as a victim's (VI). `countries`: nationalities stated, claimed ones included.
    """

    pointer: str
    data: Json
    holder: Json
    holder_pointer: str
    minor: bool
    ref: str | None
    role: str
    suspect: bool
    countries: frozenset[str]
    flags: frozenset[str]


_NONE: Final[frozenset[str]] = frozenset()
_BARE: Final = {"personRef"}


class Context:
    """One review: message, case, look-ups, and what is read out of the message once for all policies."""

    def __init__(self, message: MessageFacts, case: CaseFacts, transfer: TransferLookup, codelists: CodeLists) -> None:
        self.message = message
        self.case = case
        self.transfer = transfer
        self.codelists = codelists
        self.data = message.data
        self.subject = message.subject
        self.meta = obj(message.data, "meta")
        self.today: date = day_of(message.time_ms)
        self.present: frozenset[str] = frozenset(message.data)
        """The members of `data`."""
        self.persons: tuple[PersonFact, ...] = ()
        """Every person described in the message (bare references are not)."""
        self.named = self.present.union(self.meta)
        """The members of `data`, of its `meta`, of its persons and of the rows that hold these."""
        if not PERSONS.isdisjoint(self.present):
            self.persons = tuple(_persons(self.data, self.today))
            self.named = self.named.union(*(p.data for p in self.persons), *(p.holder for p in self.persons))
        self.assessments: tuple[tuple[str, str | None, Json], ...] = ()
        """(pointer, personRef, assessment) of every victim assessment."""
        if not _OPINIONS.isdisjoint(self.present):
            self.assessments = tuple(_assessments(self.data))
        self.content = self._content()
        """What handling depends on."""

    def within(self, case: CaseFacts) -> Context:
        """Return the same message in its case; what was read out of the message is not read again."""
        found = object.__new__(Context)
        found.__dict__.update(self.__dict__)
        found.case = case
        # The one thing kept that depends on the case.
        found.__dict__.pop("victims", None)
        return found

    @cached_property
    def raw(self) -> bytes:
        """Return the data as one text: what is not in it anywhere needs no walk to be looked for."""
        return orjson.dumps(self.data)

    @cached_property
    def references(self) -> frozenset[str]:
        """Return every person the message speaks of by reference alone."""
        found = set(texts(self.data, "persons"))
        for key in REFERRING & self.present:
            for row in rows(self.data, key):
                if ref := text(row, "personRef"):
                    found.add(ref)
                found.update(texts(row, "personRefs"))
        return frozenset(found)

    @cached_property
    def victims(self) -> frozenset[str]:
        """Return the personRefs that any body, here or earlier in the case, holds to be victims."""
        here = {ref for _, ref, row in self.assessments if ref and text(row, "status") in PROTECTED}
        earlier = {ref for (ref, _), status in self.case.statuses.items() if status in PROTECTED}
        presumed = {p.ref for p in self.persons if p.ref and p.role == "PRESUMED_VICTIM"}
        return frozenset(here | earlier | presumed)

    @property
    def personal(self) -> bool:
        """Tell whether the message holds personal data at all: search keys, answers and corrections included."""
        return (
            self.content.victim_data
            or self.content.suspect_data
            or bool(rows(self.data, "searchKeys"))
            or bool(rows(self.data, "changes"))
            or any(text(row, "text") for row in rows(self.data, "answers"))
            or bool(self.message.classes)
        )

    def _content(self) -> Content:
        general = texts(obj(self.data, "riskAssessment"), "flags") if "riskAssessment" in self.present else ()
        statuses = {text(row, "status") for _, _, row in self.assessments}
        return Content(
            victim_data=any(not person.suspect for person in self.persons)
            or bool(self.assessments)
            or any(rows(self.data, key) for key in _ABOUT_PERSONS & self.present)
            or (self.subject == "repatriation.movement" and bool(rows(self.data, "persons")))
            or "VI" in self.message.classes,
            suspect_data=any(person.suspect for person in self.persons)
            or any(text(leg, "bookingRef") for key in _LEGS & self.present for leg in rows(self.data, key))
            or "SU" in self.message.classes,
            minor=any(person.minor for person in self.persons),
            victim=any(p.role == "PRESUMED_VICTIM" for p in self.persons) or not PROTECTED.isdisjoint(statuses),
            risk_flags=_NONE.union(general, *(person.flags for person in self.persons)),
        )

    @property
    def sender_state(self) -> str:
        """Return the sender's State as alpha-3, empty where it is neither of the two."""
        return ALPHA3.get(self.message.sender[:2], "")

    @property
    def recipient_state(self) -> str:
        """Return the recipient's State as alpha-3, empty where it is neither of the two."""
        return ALPHA3.get(self.message.recipient[:2], "")

    def consent_of(self, person: PersonFact) -> tuple[Json, str]:
        """Return a person's consent and its pointer; the assistance referral keeps it beside the person."""
        if person.pointer == "/person" and "consent" in self.data:
            return obj(self.data, "consent"), "/consent"
        return obj(person.data, "consent"), f"{person.pointer}/consent"


def _assessments(data: Json) -> Iterator[tuple[str, str | None, Json]]:
    own = obj(data, "victimContext")
    contexts = [(f"/victimContexts/{i}", row) for i, row in enumerate(rows(data, "victimContexts"))]
    for pointer, context in [*contexts, ("/victimContext", own)]:
        ref = text(context, "personRef") or (text(obj(data, "person"), "personRef") if context is own else None)
        for i, row in enumerate(rows(context, "traffickingAssessments")):
            if isinstance(row, dict):
                yield f"{pointer}/traffickingAssessments/{i}", ref, row
    for i, row in enumerate(rows(data, "assessments")):
        if isinstance(row, dict):
            yield f"/assessments/{i}", text(row, "personRef"), row


def _persons(data: Json, today: date) -> Iterator[PersonFact]:
    found: list[tuple[object, str, Json, str]] = [(data.get(key), f"/{key}", {}, "") for key in _SINGLE]
    for holder, base in ((data, ""), (obj(data, "familyTracing"), "/familyTracing")):
        for key in _LISTS:
            if key in holder:
                found += [(row, f"{base}/{key}/{i}", {}, "") for i, row in enumerate(rows(holder, key))]
    for key, member in _ROWS:
        for i, row in enumerate(rows(data, key)):
            if isinstance(row, dict):
                found.append((row.get(member), f"/{key}/{i}/{member}", row, f"/{key}/{i}"))
    for person, pointer, holder, where in found:
        if isinstance(person, dict) and person.keys() != _BARE and person:
            yield _person(person, pointer, holder, where, today)


def _person(found: Json, pointer: str, holder: Json, holder_pointer: str, today: date) -> PersonFact:
    minor = text(found, "isMinor") in ("YES", "PRESUMED") or ("birth" in found and _may_be_minor(found, today))
    role = text(found, "role") or "SUBJECT"
    return PersonFact(
        pointer, found, holder, holder_pointer, minor, text(found, "personRef"), role, role in SUSPECT_ROLES,
        _countries(found) if "nationalities" in found else _NONE,
        frozenset(texts(found, "riskFlags")) if "riskFlags" in found else _NONE,
    )  # fmt: skip


def _countries(person: Json) -> frozenset[str]:
    return frozenset(c for entry in rows(person, "nationalities") if (c := text(entry, "country")))


def _may_be_minor(person: Json, today: date) -> bool:
    return admits_minor(obj(person, "birth"), today)
