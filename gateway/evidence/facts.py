"""What the parts say about a message, for people: read without any trust, and said so on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.errors import GatewayError, MalformedProof
from gateway.evidence import chain
from gateway.ledger import entry, note
from gateway.primitives import b64u, strictjson, times
from gateway.primitives.merkle import leaf_hash
from gateway.protocol import jws
from gateway.protocol.card import Card, read_card
from gateway.protocol.event import Event, parse_event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.evidence.parts import LogPart, Parts

A = TypeVar("A")
T = TypeVar("T")

GAPS = ("redacted", "no-envelope", "no-receipt", "no-recipient-entry", "recipient-not-cosigned", "sender-not-cosigned")
"""What a bundle may lack without being wrong, by code; `words` has them in full."""
UNJUDGED = ("no-timestamp", "timestamp-unjudged")
"""The same of what only the caller can say: whether a timestamp is wanted, and whose is believed."""
_LAST_SECOND = 253_402_300_799  # of the year 9999: no calendar text has a later one


@dataclass(frozen=True, slots=True)
class LogFacts:
    """One log as the bundle shows it; `cosigned` are (witness name, time in ms) under keys of the bundle's cards.

    `stamped_ms` is what the bundle says of its timestamp.
    """

    party: str
    origin: str
    size: int
    cosigned: tuple[tuple[str, int], ...]
    stamped_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the page shows. `status` is accepted, rejected or none."""

    status: str
    problem: str | None
    received_at_ms: int | None
    receipt_signed: str | None
    receipt_checkpoint: str | None
    envelope: str | None
    envelope_signed: str | None
    event: Event | None
    cards: tuple[Card, ...]
    logs: tuple[LogFacts, ...]
    steps: tuple[chain.Step, ...]
    gaps: tuple[str, ...]


def read_facts(parts: Parts, read: Sequence[Card] | None = None) -> Facts:
    """Return what the parts say. What cannot be read is left out: `verify` names it. `read` are its cards, if known."""
    cards = _all(read_card, [one.jws for one in parts.cards]) if read is None else tuple(read)
    logs = tuple(_log(log, cards) for log in parts.logs)
    outcome, receipt = _outcome(parts)
    manifest = _payload(parts.manifest)
    received = outcome.get("receivedAt")
    return Facts(
        status=outcome["status"] if outcome.get("status") in {"accepted", "rejected"} else "none",
        problem=_text(outcome, "problem"),
        received_at_ms=_tried(times.parse_ms, str(received)),
        receipt_signed=_text(receipt, "iat"),
        receipt_checkpoint=_text(receipt, "checkpoint"),
        envelope=_text(manifest, "eid"),
        envelope_signed=_text(manifest, "iat"),
        event=read_event(parts.event),
        cards=cards,
        logs=logs,
        steps=tuple(chain.steps((log.party, one.index, one.data) for log in parts.logs for one in log.entries)),
        gaps=_gaps(parts, logs),
    )


def read_event(line: bytes | None) -> Event | None:
    """Return the event of a line, or None: its size was judged when it was accepted."""
    if line is None:
        return None
    return _tried(lambda raw: parse_event(raw, is_manifest=lambda _: True), line)


def read_payload(raw: bytes) -> dict[str, Any]:
    """Return the JSON object a JWS carries, unverified. Raises GatewayError or ValueError."""
    found = strictjson.loads(jws.peek_payload(raw))
    if not isinstance(found, dict):
        raise MalformedProof("the payload is not an object")
    return found


def is_receipt_entry(parts: Parts, data: bytes) -> bool:
    """Say whether leaf data is the recipient's entry that records this message."""
    found = _tried(entry.parse, data)
    return found is not None and (found.typ, found.event) == ("message.received", parts.digest)


def entry_type(data: bytes) -> str | None:
    """Return the type of an entry, None for one we do not know: whoever wrote it chose its text."""
    found = _tried(entry.parse, data)
    return found.typ if found is not None and found.typ in entry.ENTRY_TYPES else None


def digest_of(event: bytes) -> bytes:
    """Return the digest that names an event: its leaf hash (protocol.md §4.2)."""
    return leaf_hash(event)


def _tried(read: Callable[[A], T], given: A) -> T | None:
    try:
        return read(given)
    except (GatewayError, ValueError):
        return None


def _all(read: Callable[[A], T], given: Sequence[A]) -> tuple[T, ...]:
    return tuple(found for one in given if (found := _tried(read, one)) is not None)


def _payload(raw: bytes | None) -> dict[str, Any]:
    return {} if raw is None else _tried(read_payload, raw) or {}


def _text(found: dict[str, Any], name: str) -> str | None:
    value = found.get(name)
    return value if isinstance(value, str) else None


def _outcome(parts: Parts) -> tuple[dict[str, Any], dict[str, Any]]:
    receipt = _payload(parts.receipt)
    rows = receipt.get("outcomes")
    wanted = b64u.encode(parts.digest)
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("event") == wanted:
            return row, receipt
    return {}, receipt


def _log(log: LogPart, cards: Sequence[Card]) -> LogFacts:
    logs = _all(note.NoteKey.parse, [card.log_vkey for card in cards])
    # Whoever cosigns its own log vouches for nothing.
    witnesses = _all(note.NoteKey.parse, [card.witness_vkey for card in cards if card.party != log.party])
    opened = _tried(lambda text: note.open_checkpoint(text, logs, witnesses), log.checkpoint)
    stamped = log.stamp.at_ms if log.stamp is not None else None
    if opened is None:
        return LogFacts(log.party, "", log.size, (), stamped)
    return LogFacts(
        log.party, opened.origin, log.size,
        tuple((c.witness.name, c.time_s * 1000) for c in opened.cosignatures if c.time_s <= _LAST_SECOND), stamped,
    )  # fmt: skip


def _gaps(parts: Parts, logs: Sequence[LogFacts]) -> tuple[str, ...]:
    cosigned = {log.party: bool(log.cosigned) for log in logs}
    theirs = parts.log_of(parts.recipient)
    recorded = theirs is not None and any(is_receipt_entry(parts, one.data) for one in theirs.entries)
    lacking = {
        "redacted": parts.event is None,
        "no-envelope": parts.manifest is None,
        "no-receipt": parts.receipt is None,
        "no-recipient-entry": not recorded,
        "recipient-not-cosigned": recorded and not cosigned.get(parts.recipient),
        "sender-not-cosigned": parts.sender in cosigned and not cosigned[parts.sender],
    }
    return tuple(code for code in GAPS if lacking[code])
