"""Steps 4 to 6: the event, the manifest that the sender signed, the receipt that the recipient signed."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.errors import AuthenticationFailed, GatewayError, PartnerError
from gateway.evidence import files as f
from gateway.evidence.facts import digest_of, read_event, read_payload
from gateway.evidence.findings import EVENT, MANIFEST, RECEIPT, Findings
from gateway.ledger.note import open_checkpoint
from gateway.primitives import b64u, merkle
from gateway.protocol.ids import EnvelopeId, PartyId
from gateway.protocol.manifest import read_manifest
from gateway.protocol.receipt import read_receipt

if TYPE_CHECKING:
    from gateway.evidence.parts import Parts
    from gateway.evidence.trust import Keys
    from gateway.ledger.note import Checkpoint
    from gateway.protocol.event import Event
    from gateway.protocol.ids import Kid
    from gateway.protocol.manifest import Manifest
    from gateway.protocol.receipt import Outcome, Receipt

FORGED = "nobody can say who made this"


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that holds: whose, in which file and step, under which keys; when it counts, `trust` says."""

    step: int
    file: str
    party: str
    kids: tuple[Kid, Kid]


@dataclass(frozen=True, slots=True)
class Answer:
    """The recipient's verified word on this message."""

    receipt: Receipt
    outcome: Outcome
    checkpoint: Checkpoint | None


def check_event(parts: Parts, findings: Findings) -> Event | None:
    """Do step 4: the event's digest and what it says of itself. The path is judged with the manifest."""
    findings.done.add(EVENT)
    if parts.event is None:
        return None
    findings.check(
        EVENT, digest_of(parts.event) == parts.digest, f.EVENT, "not the event whose digest is proved",
        "the content was changed after it was signed",
    )  # fmt: skip
    event = read_event(parts.event)
    if not findings.check(
        EVENT, event is not None, f.EVENT, "not an event of BCX/1", "no gateway could have sent or accepted these bytes"
    ):
        return None
    assert event is not None
    named = (event.id, event.source, event.recipient)
    findings.check(
        EVENT, named == (parts.message, parts.sender, parts.recipient), f.EVENT,
        "another message, sender or recipient than the list of files names", "the bundle is about another message",
    )  # fmt: skip
    return event


def check_manifest(parts: Parts, keys: Keys, findings: Findings) -> tuple[Manifest | None, list[Signed]]:
    """Do step 5: the sender signed a root, and the event is under it; or it is said to be in no envelope."""
    if parts.manifest is None:
        nowhere = (parts.place, parts.count, parts.path) == (0, 0, ())
        findings.check(
            MANIFEST, nowhere and parts.receipt is None, f.PLACE, "of no envelope, and yet with a place or a receipt",
            "what shows that it was sent was taken out",
        )  # fmt: skip
        return None, []
    try:
        manifest = read_manifest(parts.manifest, keys.any_key(parts.sender))
    except AuthenticationFailed as fault:
        findings.fault(MANIFEST, f.MANIFEST, fault.detail, f"{FORGED}: the sender did not sign it")
        return None, []
    findings.check(
        MANIFEST, (manifest.iss, manifest.aud) == (parts.sender, parts.recipient), f.MANIFEST,
        "signed by or for another party", "this envelope went between others",
    )  # fmt: skip
    below = merkle.verify_inclusion(parts.digest, parts.place, parts.count, parts.path, manifest.root)
    findings.check(
        MANIFEST, manifest.n == parts.count and below, f.PLACE, "the path does not lead to the signed root",
        "the sender did not sign this event",
    )  # fmt: skip
    return manifest, [Signed(MANIFEST, f.MANIFEST, parts.sender, manifest.kids)]


def check_receipt(
    parts: Parts, manifest: Manifest | None, keys: Keys, findings: Findings
) -> tuple[Answer | None, list[Signed]]:
    """Do step 6: the recipient signed an answer to this message. None where there is no receipt."""
    findings.done.add(RECEIPT)
    if parts.receipt is None:
        return None, []
    try:
        receipt = _read(parts, keys)
    except (PartnerError, ValueError) as fault:
        what = fault.detail if isinstance(fault, GatewayError) else str(fault)
        findings.fault(RECEIPT, f.RECEIPT, what, f"{FORGED}: the recipient did not sign it")
        return None, []
    signed = [Signed(RECEIPT, f.RECEIPT, parts.recipient, receipt.kids)]
    if receipt.eid is not None:
        _check_envelope(parts, manifest, receipt, findings)
    at = parts.place if receipt.eid is not None else 0
    outcome = receipt.outcomes[at] if at < len(receipt.outcomes) else None
    if not findings.check(
        RECEIPT, outcome is not None and outcome.event == parts.digest and outcome.jti in {None, parts.message},
        f.RECEIPT, "it answers for other events", "this receipt belongs to another message",
    ):  # fmt: skip
        return None, signed
    assert outcome is not None
    findings.check(
        RECEIPT, outcome.is_final, f.RECEIPT, f"the answer is `{outcome.status}`", "the recipient has not decided"
    )
    return Answer(receipt, outcome, _checkpoint(parts, receipt, keys, findings)), signed


def _read(parts: Parts, keys: Keys) -> Receipt:
    assert parts.receipt is not None
    payload = read_payload(parts.receipt)
    eid = payload.get("eid")
    digests = None
    if eid is not None:
        # Its own claims, for its form; `_check_envelope` holds them against what the sender signed.
        rows = payload.get("outcomes")
        digests = [b64u.decode(str(row.get("event"))) for row in rows] if isinstance(rows, list) else []
    manifest = payload.get("manifest")
    return read_receipt(
        parts.receipt, iss=PartyId(parts.recipient), aud=PartyId(parts.sender),
        eid=None if eid is None else EnvelopeId(str(eid)),
        manifest_sha256=None if manifest is None else b64u.decode(str(manifest)), digests=digests,
        key_for=keys.any_key(parts.recipient),
    )  # fmt: skip


def _check_envelope(parts: Parts, manifest: Manifest | None, receipt: Receipt, findings: Findings) -> None:
    same = parts.manifest is not None and receipt.manifest_sha256 == sha256(parts.manifest).digest()
    named = manifest is None or receipt.eid == manifest.eid
    findings.check(
        RECEIPT, same and named, f.RECEIPT, "it answers another envelope", "receipt and manifest do not belong together"
    )
    digests = [outcome.event or b"" for outcome in receipt.outcomes]
    findings.check(
        RECEIPT, manifest is None or merkle.root(digests) == manifest.root, f.RECEIPT,
        "its events are not those of the manifest", "the recipient answered for other events than were signed",
    )  # fmt: skip


def _checkpoint(parts: Parts, receipt: Receipt, keys: Keys, findings: Findings) -> Checkpoint | None:
    try:
        return open_checkpoint(receipt.checkpoint, keys.log_keys(parts.recipient))
    except PartnerError as fault:
        findings.fault(
            RECEIPT, f.RECEIPT, f"its checkpoint: {fault.detail}", "the recipient's log did not sign what it shows"
        )
        return None
