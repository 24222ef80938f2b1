"""Events: the messages of BCX/1, one line of CloudEvents 1.0 JSON each (protocol.md §4.1).

Laws of this module:
1. Any bytes give an `Event` or a `MalformedEvent`; nothing else leaves `parse_event`.
2. Steps (5), (6) and (8) of protocol.md §4.4 are one function each. (7) and (9)-(12) need stored state,
   the agreement or the registry, and are their callers'.
3. An event is read once and never written again: what was built is what is signed, sent and stored.
4. Unknown extension attributes are kept (they stand in the bytes), never refused and never believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.errors import (
    ClockSkew,
    Expired,
    Finding,
    MalformedEvent,
    SourceMismatch,
    WrongRecipient,
)
from gateway.primitives import b64u, strictjson, times
from gateway.protocol import members
from gateway.protocol.attributes import (
    ENVIRONMENTS,
    SOURCE_PREFIX,
    TRACEPARENT,
    TYPE_PREFIX,
    URGENCIES,
    misshapen,
)
from gateway.protocol.ids import SCHEMA_URN, CaseRef, MessageId, PartyId, Subject, parse_case_ref, schema_urn
from gateway.protocol.void import (
    VOID,
    VOID_SCHEMA_DIGEST,
    VOID_SCHEMA_VERSION,
    Void,
    read_voids,
    write_voids,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "CLOCK_TOLERANCE_MS",
    "DEFAULT_LIFETIME_MS",
    "ENVIRONMENTS",
    "MAX_EVENT_BYTES",
    "MAX_LIFETIME_MS",
    "MAX_MANIFEST_EVENT_BYTES",
    "URGENCIES",
    "VOID",
    "VOID_SCHEMA_DIGEST",
    "VOID_SCHEMA_VERSION",
    "Event",
    "EventDraft",
    "UnreadableEvent",
    "Void",
    "build_event",
    "build_void",
    "check_addressing",
    "check_clock",
    "parse_event",
    "parse_voids",
]

MAX_EVENT_BYTES: Final = 2 * 1024 * 1024  # protocol.md §4.5
MAX_MANIFEST_EVENT_BYTES: Final = 10 * 1024 * 1024  # where the schema has "x-manifest": true
MAX_LIFETIME_MS: Final = 30 * 86_400_000  # `expirytime` after `time` by this at most
DEFAULT_LIFETIME_MS: Final = 14 * 86_400_000
CLOCK_TOLERANCE_MS: Final = 120_000  # two clocks may differ by this much
LONGEST_RETRY_AFTER_S: Final = 3600  # protocol.md §7: more does not count


class UnreadableEvent(MalformedEvent):
    """A malformed event; `jti` is its id where one of the right form could be read, for the outcome."""

    def __init__(self, detail: str, *, errors: tuple[Finding, ...], jti: MessageId | None = None) -> None:
        super().__init__(detail, errors=errors)
        self.jti = jti


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDraft:
    """The attributes of one event (protocol.md §4.1); times in ms since the epoch, digests as bytes."""

    id: MessageId
    source: PartyId
    subject: Subject
    """The message type without `bcx.`; the CloudEvents `subject` is `case`."""
    case: CaseRef | None
    time_ms: int
    expiry_ms: int
    schema_version: str
    schema_digest: bytes
    recipient: PartyId
    environment: str
    stream_seq: int
    case_seq: int | None
    urgency: str
    handling: tuple[str, ...]
    in_reply_to: MessageId | None = None
    supersedes: MessageId | None = None
    traceparent: str | None = None
    salt: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(EventDraft):
    """An event that passed step (5): its attributes, its `data` and the `size` of its line in bytes."""

    data: dict[str, Any]
    size: int

    @property
    def is_void(self) -> bool:
        """Whether it is the protocol's own `bcx.void`, which steps (9)-(11) pass (protocol.md §5)."""
        return self.subject == VOID


def _never(_schema_urn: str) -> bool:
    return False


def parse_event(line: bytes, *, is_manifest: Callable[[str], bool] = _never) -> Event:
    """Read one event line without its newline: step (5) of protocol.md §4.4.

    `is_manifest` is asked with the `dataschema` URN, and only for a line over 2 MiB.

    Raises:
        UnreadableEvent: a `MalformedEvent` whose `errors` name every attribute at fault.

    """
    if not 0 < len(line) <= MAX_MANIFEST_EVENT_BYTES:
        raise _oversized(None) if line else _refused("the line is empty", Finding("", "empty line"))
    if b"\n" in line:
        # A reader that splits lines again would see two events where one was signed.
        raise _refused("a newline inside the line", Finding("", "a newline inside the line"))
    try:
        document = strictjson.loads(line)
    except strictjson.NotStrict as error:
        raise _refused(f"not strict JSON: {error}", Finding("", f"not strict JSON: {error}")) from None
    if not isinstance(document, dict):
        raise _refused("not an object", Finding("", "not an object"))
    findings = misshapen(document)
    if not findings:
        event = _event(document, len(line), findings)
        if event is not None:
            if len(line) > MAX_EVENT_BYTES and not is_manifest(document["dataschema"]):
                raise _oversized(event.id)
            if event.subject == VOID:
                parse_voids(event)
            return event
    jti = document.get("id")
    readable = jti if isinstance(jti, str) and members.MESSAGE_ID.fullmatch(jti) else None
    raise UnreadableEvent(
        "; ".join(f"{found.pointer}: {found.reason}" for found in findings[:5]),
        errors=tuple(findings),
        jti=None if readable is None else MessageId(readable),
    )


def _refused(detail: str, *errors: Finding, jti: MessageId | None = None) -> UnreadableEvent:
    return UnreadableEvent(detail, errors=errors, jti=jti)


def _oversized(jti: MessageId | None) -> UnreadableEvent:
    return _refused("over the size limit of an event", Finding("", "over the size limit", "E-SIZE"), jti=jti)


def _event(document: dict[str, Any], size: int, findings: list[Finding]) -> Event | None:
    """Judge what ties attributes together; add to `findings` and return nothing where it does not hold."""
    subject = document["type"][len(TYPE_PREFIX) :]
    named, _, version = document["dataschema"][len(SCHEMA_URN) :].partition(":")
    if named != subject:
        findings.append(Finding("/dataschema", "not a schema of this type"))
    digest = b64u.decode(document["schemadigest"])
    case, case_seq = document.get("subject"), _number(document, "caseseq", findings)
    _judge_case(case, case_seq, findings)
    own_schema = version == VOID_SCHEMA_VERSION and digest == VOID_SCHEMA_DIGEST
    if subject == VOID and (case is not None or not own_schema):
        findings.append(Finding("/type", "a void has no case and the schema of protocol.md §5"))
    time_ms, expiry_ms = _time(document, "time", findings), _time(document, "expirytime", findings)
    if time_ms is not None and expiry_ms is not None and not 0 < expiry_ms - time_ms <= MAX_LIFETIME_MS:
        findings.append(Finding("/expirytime", "not after `time` by at most 30 days"))
    stream_seq = _number(document, "streamseq", findings)
    if findings or time_ms is None or expiry_ms is None or stream_seq is None:
        return None
    salt, trace = document.get("salt"), document.get("traceparent")
    return Event(
        id=document["id"],
        source=document["source"][len(SOURCE_PREFIX) :],
        subject=subject,
        case=case,
        time_ms=time_ms,
        expiry_ms=expiry_ms,
        schema_version=version,
        schema_digest=digest,
        recipient=document["recipient"],
        environment=document["environment"],
        stream_seq=stream_seq,
        case_seq=case_seq,
        urgency=document["urgency"],
        handling=tuple(document["handling"].split(" ")),
        in_reply_to=document.get("inreplyto"),
        supersedes=document.get("supersedes"),
        # Trace Context §3.2.2: one that cannot be read is dropped; a message is not lost over telemetry.
        traceparent=trace if isinstance(trace, str) and TRACEPARENT.fullmatch(trace) else None,
        salt=b64u.decode(salt) if salt is not None else None,
        data=document["data"],
        size=size,
    )


def _judge_case(case: str | None, case_seq: int | None, findings: list[Finding]) -> None:
    if (case is None) != (case_seq is None):
        findings.append(Finding("/caseseq", "stands exactly where `subject` does"))
    if case is not None:
        try:
            parse_case_ref(case)
        except ValueError:
            findings.append(Finding("/subject", "check character or form of the case reference"))


def _number(document: dict[str, Any], name: str, findings: list[Finding]) -> int | None:
    """Return a sequence number; one over 2^53-1 could not come back in a receipt's `streamHigh`."""
    value = document.get(name)
    if value is None:
        return None
    number = int(value)
    if number > members.MAX_INTEGER:
        findings.append(Finding(f"/{name}", "over 2^53-1"))
    return number


def _time(document: dict[str, Any], name: str, findings: list[Finding]) -> int | None:
    try:
        return times.parse_ms(document[name])
    except ValueError:
        findings.append(Finding(f"/{name}", "not a time in UTC with milliseconds"))
        return None


def check_addressing(event: Event, *, iss: PartyId, me: PartyId, environment: str) -> None:
    """Refuse an event that is not from the sender `iss` or not for `me` here: step (6).

    Raises:
        SourceMismatch: `source` is another party than the envelope's.
        WrongRecipient: `recipient` or `environment` is not mine.

    """
    if event.source != iss:
        # Else any partner could speak in the name of another.
        raise SourceMismatch(
            "source is not the sender of the envelope",
            errors=(Finding("/source", "not the sender of the envelope"),),
        )
    if event.recipient != me:
        raise WrongRecipient(
            "recipient is another party", errors=(Finding("/recipient", "another party", "E-RECIPIENT"),)
        )
    if event.environment != environment:
        raise WrongRecipient(
            "another environment", errors=(Finding("/environment", "another environment", "E-RECIPIENT"),)
        )


def check_clock(event: Event, *, now_ms: int, manifest_iat_ms: int) -> None:
    """Refuse an event from the future or past its time: step (8).

    Raises:
        ClockSkew: deferred, never final; `retry_after_s` where the wait is known.
        Expired: final.

    """
    ahead_ms = event.time_ms - now_ms - CLOCK_TOLERANCE_MS
    if ahead_ms > 0:
        raise ClockSkew(
            "time lies over 120 s ahead of our clock",
            errors=(Finding("/time", "over 120 s ahead of the receiver's clock", "E-CLOCK"),),
            retry_after_s=min(LONGEST_RETRY_AFTER_S, -(-ahead_ms // 1000)),
        )
    if event.expiry_ms > now_ms:
        return
    if manifest_iat_ms < event.expiry_ms and manifest_iat_ms < now_ms - CLOCK_TOLERANCE_MS:
        # The sender sealed it in time and it came at once: ours may be the clock that runs ahead, and a
        # wrong clock must not end a message.
        raise ClockSkew(
            "expired by our clock, in time by the sender's",
            errors=(Finding("/expirytime", "passed by the receiver's clock only", "E-CLOCK"),),
        )
    raise Expired("expirytime has passed", errors=(Finding("/expirytime", "has passed", "E-CLOCK"),))


def build_event(draft: EventDraft, data_json: bytes) -> bytes:
    """Write one event line (no newline) in the order of the golden vectors.

    `data_json` is spliced in unparsed: the caller guarantees one compact, strict JSON object.

    Raises:
        ValueError: attributes that no receiver would take: our own mistake, not a partner's.

    """
    if (draft.case is None) != (draft.case_seq is None):
        msg = "case_seq stands exactly where case does"
        raise ValueError(msg)
    if not 0 < draft.expiry_ms - draft.time_ms <= MAX_LIFETIME_MS:
        msg = "expiry_ms lies after time_ms, by 30 days at most"
        raise ValueError(msg)
    attributes: dict[str, str | None] = {
        "specversion": "1.0",
        "id": draft.id,
        "source": SOURCE_PREFIX + draft.source,
        "type": TYPE_PREFIX + draft.subject,
        "subject": draft.case,
        "time": times.format_ms(draft.time_ms),
        "datacontenttype": "application/json",
        "dataschema": schema_urn(draft.subject, draft.schema_version),
        "schemadigest": b64u.encode(draft.schema_digest),
        "recipient": draft.recipient,
        "environment": draft.environment,
        "expirytime": times.format_ms(draft.expiry_ms),
        "streamseq": str(draft.stream_seq),
        "caseseq": None if draft.case_seq is None else str(draft.case_seq),
        "urgency": draft.urgency,
        "handling": " ".join(draft.handling),
        "inreplyto": draft.in_reply_to,
        "supersedes": draft.supersedes,
        "traceparent": draft.traceparent,
        "salt": None if draft.salt is None else b64u.encode(draft.salt),
    }
    head = orjson.dumps({name: value for name, value in attributes.items() if value is not None})
    return b'%b,"data":%b}' % (head[:-1], data_json)


def parse_voids(event: Event) -> tuple[Void, ...]:
    """Read the numbers a `bcx.void` gives up (protocol.md §5); `parse_event` has done so once already.

    Raises:
        UnreadableEvent: its `data` has not the form of a void.

    """
    try:
        return read_voids(event.data)
    except members.Unfit as unfit:
        raise _refused(str(unfit), unfit.finding, jti=event.id) from None


def build_void(draft: EventDraft, voids: Sequence[Void]) -> bytes:
    """Write the `bcx.void` that gives `voids` up; of `draft` only the routing attributes are used.

    Raises:
        ValueError: no number is given up, or the draft belongs to a case.

    """
    if not voids or draft.subject != VOID or draft.case is not None:
        msg = "a void names at least one number, has the subject `void` and belongs to no case"
        raise ValueError(msg)
    if draft.schema_version != VOID_SCHEMA_VERSION or draft.schema_digest != VOID_SCHEMA_DIGEST:
        msg = "a void has the schema of protocol.md §5"
        raise ValueError(msg)
    return build_event(draft, write_voids(voids))
