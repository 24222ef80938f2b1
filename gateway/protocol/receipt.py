"""Receipts: the only answers that end a message (protocol.md §5, law 1).

A receipt says, signed by the recipient, what became of each event of one envelope, in order. The same
form, with `eid` and `manifest` null, answers the question about one earlier message. Whatever is not
exactly the receipt of this exchange is a failed attempt, whoever signed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from gateway.errors import AuthenticationFailed, Finding, MalformedReceipt, UnknownSigner
from gateway.primitives import b64u, strictjson, times
from gateway.protocol import jws, members
from gateway.protocol.ids import EnvelopeId, MessageId, PartyId

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.protocol.ids import Kid
    from gateway.protocol.keys import Signer, VerifyKey

Status = Literal["accepted", "rejected", "deferred", "unknown"]

MAX_RECEIPT_BYTES: Final = 4 * 1024 * 1024  # above what 100 outcomes with MAX_FINDINGS each can take
MAX_OUTCOMES: Final = 100
MAX_FINDINGS: Final = 20  # written per outcome: enough to mend a message, too few to inflate a receipt
MAX_FINDINGS_READ: Final = 1000
LONGEST_FINDING_TEXT: Final = 200  # characters written per pointer or reason
LONGEST_TEXT_READ: Final = 4096
MAX_CHECKPOINT: Final = 16 * 1024  # room for the cosignatures of several witnesses
MAX_ENTRY_BYTES: Final = 4096  # leaf data, protocol.md §6
MAX_PROOF: Final = 64  # a longer path belongs to no tree of 2^63 leaves

_PAYLOAD: Final = ("v", "iss", "aud", "iat", "eid", "manifest", "outcomes", "checkpoint", "streamHigh")
_OUTCOME: Final = ("event", "status")
_OUTCOME_OPTIONAL: Final = ("jti", "receivedAt", "leaf", "problem", "errors", "retryAfter")
_SINGLE_ONLY: Final = ("entry", "proof")
_FINAL: Final = ("accepted", "rejected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one event; which members stand where is protocol.md §5.

    `event` is the leaf hash (none: never seen), `leaf` the index of the log entry that records it,
    `entry` and `proof` what was logged and its inclusion path, in the answer about one message only.
    """

    event: bytes | None
    status: Status
    received_at_ms: int | None
    jti: MessageId | None = None
    leaf: int | None = None
    problem: str | None = None
    errors: tuple[Finding, ...] = ()
    retry_after_s: int | None = None
    entry: bytes | None = None
    proof: tuple[bytes, ...] | None = None

    @property
    def is_final(self) -> bool:
        """Whether it ends the message: accepted or rejected."""
        return self.status in _FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A verified receipt; `checkpoint` is text still to be judged under the issuer's log key (§6)."""

    iss: PartyId
    aud: PartyId
    iat_ms: int
    eid: EnvelopeId | None
    manifest_sha256: bytes | None
    outcomes: tuple[Outcome, ...]
    checkpoint: str
    stream_high: int
    kids: tuple[Kid, Kid]


def sign_receipt(
    *,
    iss: PartyId,
    aud: PartyId,
    iat_ms: int,
    eid: EnvelopeId | None,
    manifest_sha256: bytes | None,
    outcomes: Sequence[Outcome],
    checkpoint: str,
    stream_high: int,
    signer: Signer,
) -> bytes:
    """Sign the receipt for one envelope, or (`eid` and `manifest_sha256` none) for one message.

    Findings beyond MAX_FINDINGS and longer than LONGEST_FINDING_TEXT are cut, the same way each time.
    """
    payload = {
        "v": 1,
        "iss": iss,
        "aud": aud,
        "iat": times.format_ms(iat_ms),
        "eid": eid,
        "manifest": None if manifest_sha256 is None else b64u.encode(manifest_sha256),
        "outcomes": [_as_members(outcome) for outcome in outcomes],
        "checkpoint": checkpoint,
        "streamHigh": stream_high,
    }
    return jws.sign(strictjson.dumps(payload), jws.RECEIPT_TYP, signer)


def _as_members(outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {"event": None if outcome.event is None else b64u.encode(outcome.event)}
    if outcome.jti is not None:
        row["jti"] = outcome.jti
    row["status"] = outcome.status
    if outcome.received_at_ms is not None:
        row["receivedAt"] = times.format_ms(outcome.received_at_ms)
    if outcome.leaf is not None:
        row["leaf"] = outcome.leaf
    if outcome.problem is not None:
        row["problem"] = outcome.problem
    if outcome.errors:
        row["errors"] = [_cut(finding) for finding in outcome.errors[:MAX_FINDINGS]]
    if outcome.retry_after_s is not None:
        row["retryAfter"] = outcome.retry_after_s
    if outcome.entry is not None:
        row["entry"] = b64u.encode(outcome.entry)
    if outcome.proof is not None:
        row["proof"] = [b64u.encode(node) for node in outcome.proof]
    return row


def _cut(finding: Finding) -> dict[str, str]:
    """Cut long texts: pointers hold member names that the sender of the event chose."""
    return {name: text[:LONGEST_FINDING_TEXT] for name, text in finding.as_dict().items()}


def read_receipt(
    raw: bytes,
    *,
    iss: PartyId,
    aud: PartyId,
    eid: EnvelopeId | None,
    manifest_sha256: bytes | None,
    digests: Sequence[bytes] | None,
    key_for: Callable[[Kid, str], VerifyKey | None],
) -> Receipt:
    """Verify the receipt that `iss` gave for one exchange.

    `digests` are the leaf hashes of the events sent, in order. All three of `eid`, `manifest_sha256` and
    `digests` are none for the answer about one message: there the caller compares `outcome.event` with
    its own, since another digest is a contradiction to be kept (law 3), not a failed attempt.

    Raises:
        UnknownSigner: signed with a `kid` that is not held: fetch the card once, then try again.
        MalformedReceipt: anything else that is not this exchange's receipt.

    """
    if len(raw) > MAX_RECEIPT_BYTES:
        raise MalformedReceipt("over the size limit of a receipt")
    try:
        verified = jws.verify(raw, jws.RECEIPT_TYP, key_for)
    except UnknownSigner:
        raise
    except AuthenticationFailed as failed:
        raise MalformedReceipt(f"signatures: {failed.detail}") from None
    try:
        found = members.document(verified.payload)
        members.exactly(found, "", _PAYLOAD)
        _same_exchange(found, iss, aud, eid, manifest_sha256)
        outcomes = _outcomes(found, digests, single=eid is None)
        return Receipt(
            iss=iss,
            aud=aud,
            iat_ms=members.time_ms(found, "iat"),
            eid=eid,
            manifest_sha256=manifest_sha256,
            outcomes=outcomes,
            checkpoint=members.text(found, "checkpoint", longest=MAX_CHECKPOINT),
            stream_high=members.integer(found, "streamHigh"),
            kids=verified.kids,
        )
    except members.Unfit as unfit:
        raise unfit.as_error(MalformedReceipt) from None


def _same_exchange(
    found: dict[str, Any], iss: PartyId, aud: PartyId, eid: EnvelopeId | None, manifest: bytes | None
) -> None:
    if members.integer(found, "v") != 1:
        raise members.Unfit("/v", "not 1")
    # A true receipt of another exchange, replayed here, would end messages that nobody received.
    expected = {
        "iss": iss,
        "aud": aud,
        "eid": eid,
        "manifest": None if manifest is None else b64u.encode(manifest),
    }
    for name, value in expected.items():
        if found[name] != value:
            raise members.Unfit(f"/{name}", "not that of this exchange")


def _outcomes(found: dict[str, Any], digests: Sequence[bytes] | None, *, single: bool) -> tuple[Outcome, ...]:
    count = 1 if digests is None else len(digests)
    rows = members.as_list(found["outcomes"], "/outcomes", most=MAX_OUTCOMES)
    if len(rows) != count:
        raise members.Unfit("/outcomes", "not one outcome per event")
    outcomes = tuple(_outcome(row, f"/outcomes/{at}", single=single) for at, row in enumerate(rows))
    if digests is not None:
        for at, (outcome, digest) in enumerate(zip(outcomes, digests, strict=True)):
            if outcome.event != digest:
                raise members.Unfit(f"/outcomes/{at}/event", "not the event sent in this place")
    return outcomes


def _outcome(row: object, at: str, *, single: bool) -> Outcome:
    found = members.as_object(row, at)
    members.exactly(found, at, _OUTCOME, _OUTCOME_OPTIONAL + (_SINGLE_ONLY if single else ()))
    statuses = (*_FINAL, "deferred", "unknown") if single else (*_FINAL, "deferred")
    status = cast("Status", members.one_of(found, "status", statuses, at))
    unknown = status == "unknown"
    if (found["event"] is None) != unknown:
        raise members.Unfit(f"{at}/event", "null exactly where the status is unknown")
    _judge_members(found, status, at)
    seen_at = None if unknown and found.get("receivedAt") is None else members.time_ms(found, "receivedAt", at)
    entry = members.octets(found, "entry", at, most=MAX_ENTRY_BYTES) if "entry" in found else None
    return Outcome(
        event=None if unknown else members.octets(found, "event", at, exact=members.SHA256_BYTES),
        status=status,
        received_at_ms=seen_at,
        jti=MessageId(members.matching(found, "jti", members.MESSAGE_ID, at)) if "jti" in found else None,
        leaf=members.integer(found, "leaf", at) if "leaf" in found else None,
        # A code and no words: it goes into the sender's log, which erases nothing.
        problem=members.matching(found, "problem", members.CODE, at) if "problem" in found else None,
        errors=_findings(found, at) if "errors" in found else (),
        retry_after_s=members.integer(found, "retryAfter", at) if "retryAfter" in found else None,
        entry=entry,
        proof=_proof(found, at) if "proof" in found else None,
    )


def _judge_members(found: dict[str, Any], status: Status, at: str) -> None:
    """Refuse an outcome that says two things at once."""
    if status == "accepted" and "leaf" not in found:
        raise members.Unfit(f"{at}/leaf", "missing: accepted means logged")
    if status == "accepted" and "problem" in found:
        raise members.Unfit(f"{at}/problem", "accepted and a problem at once")
    if status not in _FINAL and "leaf" in found:
        raise members.Unfit(f"{at}/leaf", "logged, but not final")
    if status in _FINAL and "retryAfter" in found:
        raise members.Unfit(f"{at}/retryAfter", "final, but to be tried again")
    if "proof" in found and ("entry" not in found or "leaf" not in found):
        raise members.Unfit(f"{at}/proof", "proves no entry")


def _findings(found: dict[str, Any], at: str) -> tuple[Finding, ...]:
    rows = members.as_list(found["errors"], f"{at}/errors", most=MAX_FINDINGS_READ)
    findings = []
    for place, row in enumerate(rows):
        here = f"{at}/errors/{place}"
        fault = members.as_object(row, here)
        members.exactly(fault, here, ("pointer", "reason"), ("code",))
        pointer = fault["pointer"]  # "" is the pointer to the whole document (RFC 6901 §5)
        findings.append(
            Finding(
                pointer if pointer == "" else members.text(fault, "pointer", here, longest=LONGEST_TEXT_READ),
                members.text(fault, "reason", here, longest=LONGEST_TEXT_READ),
                members.text(fault, "code", here) if "code" in fault else None,
            )
        )
    return tuple(findings)


def _proof(found: dict[str, Any], at: str) -> tuple[bytes, ...]:
    nodes = members.as_list(found["proof"], f"{at}/proof", most=MAX_PROOF)
    return tuple(
        members.unpacked(node, f"{at}/proof/{place}", exact=members.SHA256_BYTES) for place, node in enumerate(nodes)
    )
