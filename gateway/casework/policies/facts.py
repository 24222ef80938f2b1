"""What the policies know of a message: the message itself, its case, and the persons found in it.

Pointers are JSON Pointers into `data`; an attribute of the event is named as if it stood there (`/handling`,
`/urgency`, `/inReplyTo`): no message type has members of those names.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

import orjson

from gateway.casework.dates import admits_minor, day_of
from gateway.casework.handling import Content
from gateway.casework.progress import PROTECTED
from gateway.casework.shapes import Json, obj, rows, text, texts

if TYPE_CHECKING:
    from datetime import date

    from gateway.casework.codelists import CodeLists

Side = Literal["sender", "receiver"]
TransferLookup = Callable[[str, str, int], bool]
"""(transfer basis code, instrument or consent reference, time in ms) -> is it in force then?"""

SUSPECT_ROLES: Final = frozenset(("SUSPECT", "FACILITATOR"))
# State of a party (ISO 3166-1 alpha-2) as passports write it (alpha-3).
ALPHA3: Final = {"id": "IDN", "kh": "KHM"}

_LISTS: Final = ("persons", "subjectPersons", "subjects", "facilitators", "relatives")
_ROWS: Final = (("items", "person"), ("manifest", "person"), ("results", "confirmedPerson"))
_SINGLE: Final = ("person", "subject")


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """One message as both sides see it. `sender` and `recipient` are party ids; `time_ms` is its `time`."""

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


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What this side holds of the case beside the message; empty means that nothing is known.

    `inherited`: handling of the message answered or forwarded. `statuses`: (personRef, body) to that body's
    latest assessment. `milestones`: personRef to the last one. `deferred`: persons named by deferral notices.
    `protection_claims`: persons known here to claim protection. `nationalities`: personRef to alpha-3 codes.
    `known_persons`: every personRef of the case, None where the caller cannot tell. `known_names`: names of
    persons in exchanged cases, for messages that may name nobody. `requested`: item or question ids of the
    request that is answered. `owners`: message id to the party that sent it, for the messages of the case.
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


@dataclass(frozen=True, slots=True)
class PersonFact:
    """One person in the message: where, what is said, and whether it reads as a victim's or a suspect's data."""

    pointer: str
    data: Json
    holder: Json
    holder_pointer: str
    minor: bool

    @property
    def ref(self) -> str | None:
        """Return the personRef."""
        return text(self.data, "personRef")

    @property
    def role(self) -> str:
        """Return the role; a person without one reads as the neutral SUBJECT."""
        return text(self.data, "role") or "SUBJECT"

    @property
    def suspect(self) -> bool:
        """Tell whether the data is a suspect's (SU); everybody else's is protected as a victim's (VI)."""
        return self.role in SUSPECT_ROLES

    @property
    def countries(self) -> frozenset[str]:
        """Return the nationalities stated, claimed ones included."""
        return frozenset(c for entry in rows(self.data, "nationalities") if (c := text(entry, "country")))

    @property
    def flags(self) -> frozenset[str]:
        """Return the risk flags."""
        return frozenset(texts(self.data, "riskFlags"))


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

    def within(self, case: CaseFacts) -> Context:
        """Return the same message in its case; what was read out of the message is not read again."""
        found = copy.copy(self)
        found.case = case
        # The one thing kept that depends on the case.
        found.__dict__.pop("victims", None)
        return found

    @cached_property
    def raw(self) -> bytes:
        """Return the data as one text: what is not in it anywhere needs no walk to be looked for."""
        return orjson.dumps(self.data)

    @cached_property
    def persons(self) -> tuple[PersonFact, ...]:
        """Return every person described in the message (bare references are not)."""
        return tuple(_persons(self.data, self.today))

    @cached_property
    def assessments(self) -> tuple[tuple[str, str | None, Json], ...]:
        """Return (pointer, personRef, assessment) of every victim assessment."""
        found: list[tuple[str, str | None, Json]] = []
        contexts = [(f"/victimContexts/{i}", row) for i, row in enumerate(rows(self.data, "victimContexts"))]
        own = obj(self.data, "victimContext")
        for pointer, context in [*contexts, ("/victimContext", own)]:
            ref = text(context, "personRef") or (
                text(obj(self.data, "person"), "personRef") if context is own else None
            )
            found += [
                (f"{pointer}/traffickingAssessments/{i}", ref, row)
                for i, row in enumerate(rows(context, "traffickingAssessments"))
                if isinstance(row, dict)
            ]
        found += [
            (f"/assessments/{i}", text(row, "personRef"), row)
            for i, row in enumerate(rows(self.data, "assessments"))
            if isinstance(row, dict)
        ]
        return tuple(found)

    @cached_property
    def victims(self) -> frozenset[str]:
        """Return the personRefs that any body, here or earlier in the case, holds to be victims."""
        here = {ref for _, ref, row in self.assessments if ref and text(row, "status") in PROTECTED}
        earlier = {ref for (ref, _), status in self.case.statuses.items() if status in PROTECTED}
        presumed = {p.ref for p in self.persons if p.ref and p.role == "PRESUMED_VICTIM"}
        return frozenset(here | earlier | presumed)

    @cached_property
    def risk_flags(self) -> frozenset[str]:
        """Return every risk flag of the message."""
        flags = frozenset(texts(obj(self.data, "riskAssessment"), "flags"))
        return flags.union(*(person.flags for person in self.persons))

    @cached_property
    def victim_data(self) -> bool:
        """Tell whether anything in the message is a victim's or a neutral person's data (VI)."""
        return (
            any(not person.suspect for person in self.persons)
            or bool(self.assessments)
            or any(rows(self.data, key) for key in ("crossings", "candidates", "milestones", "travelDocs"))
            or (self.subject == "repatriation.movement" and bool(rows(self.data, "persons")))
            or any(obj(row, "travelDocument") for row in rows(self.data, "results"))
        )

    @cached_property
    def suspect_data(self) -> bool:
        """Tell whether anything in the message is a suspect's data (SU)."""
        return any(person.suspect for person in self.persons)

    @cached_property
    def personal(self) -> bool:
        """Tell whether the message holds personal data at all, search keys and corrected values included."""
        return (
            self.victim_data
            or self.suspect_data
            or bool(rows(self.data, "searchKeys"))
            or any(isinstance(row, dict) and "newValue" in row for row in rows(self.data, "changes"))
        )

    @cached_property
    def content(self) -> Content:
        """Return what handling depends on."""
        statuses = {text(row, "status") for _, _, row in self.assessments}
        return Content(
            victim_data=self.victim_data,
            suspect_data=self.suspect_data,
            minor=any(person.minor for person in self.persons),
            victim=any(p.role == "PRESUMED_VICTIM" for p in self.persons) or not PROTECTED.isdisjoint(statuses),
            risk_flags=self.risk_flags,
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


def _persons(data: Json, today: date) -> Iterator[PersonFact]:
    for key in _SINGLE:
        yield from _person(data.get(key), f"/{key}", {}, "", today)
    holders: list[tuple[Json, str]] = [(data, ""), (obj(data, "familyTracing"), "/familyTracing")]
    for holder, base in holders:
        for key in _LISTS:
            for i, row in enumerate(rows(holder, key)):
                yield from _person(row, f"{base}/{key}/{i}", {}, "", today)
    for key, member in _ROWS:
        for i, row in enumerate(rows(data, key)):
            if isinstance(row, dict):
                yield from _person(row.get(member), f"/{key}/{i}/{member}", row, f"/{key}/{i}", today)


def _person(found: object, pointer: str, holder: Json, holder_pointer: str, today: date) -> Iterator[PersonFact]:
    if not isinstance(found, dict) or not (found.keys() - {"personRef"}):
        return
    minor = text(found, "isMinor") in ("YES", "PRESUMED") or admits_minor(obj(found, "birth"), today)
    yield PersonFact(pointer, found, holder, holder_pointer, minor)
