"""Receipts: the golden one, and everything that is not the receipt of this exchange."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import Finding, MalformedReceipt, UnknownSigner
from gateway.primitives import b64u, strictjson, times
from gateway.protocol import jws
from gateway.protocol.ids import EnvelopeId, Kid, MessageId, PartyId
from gateway.protocol.keys import SigningPair, VerifyKey
from gateway.protocol.receipt import (
    MAX_FINDINGS,
    MAX_OUTCOMES,
    MAX_RECEIPT_BYTES,
    Outcome,
    Receipt,
    read_receipt,
    sign_receipt,
)

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "bcx-1.json").read_bytes())
GOLDEN = VECTORS["receipt"]["jws"].encode()
GOLDEN_KEYS = {(key["kid"], key["alg"]): VerifyKey.from_jwk(key) for key in VECTORS["receipt"]["keys"]}
ID, KH = PartyId("id.imigrasi"), PartyId("kh.gdi")
EID = EnvelopeId("01990000-0000-7000-8000-0000000000e1")
MANIFEST = b64u.decode(VECTORS["manifest_sha256"])
DIGESTS = tuple(map(b64u.decode, VECTORS["event_digest"]))
JTI = MessageId("01990000-0000-7000-8000-000000000001")
AT_MS = times.parse_ms("2026-11-24T02:00:05.050Z")
PAIR = SigningPair(b"m" * 32, b"m" * 32)
KEYS: dict[tuple[str, str], VerifyKey] = {
    (key.kid, key.alg): key for key in map(VerifyKey.from_jwk, PAIR.public_jwks())
}
CHECKPOINT = "kh.gdi/bcx/log/1\n3\nAAAA=\n\n\u2014 kh.gdi/bcx/log/1 AAAA\n"


def exchange(**changed: Any) -> dict[str, Any]:
    """Return what ties a receipt to the golden exchange."""
    return {"iss": KH, "aud": ID, "eid": EID, "manifest_sha256": MANIFEST, "digests": DIGESTS} | changed


def golden_key(kid: Kid, alg: str) -> VerifyKey | None:
    """Return a key of the golden signer."""
    return GOLDEN_KEYS.get((kid, alg))


def own_key(kid: Kid, alg: str) -> VerifyKey | None:
    """Return a key of the signer of this file."""
    return KEYS.get((kid, alg))


OUTCOMES = (
    Outcome(event=DIGESTS[0], status="accepted", received_at_ms=AT_MS, jti=JTI, leaf=0),
    Outcome(
        event=DIGESTS[1],
        status="rejected",
        received_at_ms=AT_MS,
        leaf=1,
        problem="schema-invalid",
        errors=(Finding("/data/persons/0", "missing", "E-SCHEMA"), Finding("", "another")),
    ),
    Outcome(event=DIGESTS[2], status="deferred", received_at_ms=AT_MS, problem="clock-skew", retry_after_s=30),
)


def written(outcomes: tuple[Outcome, ...] = OUTCOMES, *, single: bool = False) -> bytes:
    """Sign a receipt over some outcomes."""
    return sign_receipt(
        iss=KH,
        aud=ID,
        iat_ms=AT_MS,
        eid=None if single else EID,
        manifest_sha256=None if single else MANIFEST,
        outcomes=outcomes,
        checkpoint=CHECKPOINT,
        stream_high=3,
        signer=PAIR,
    )


def read(raw: bytes, **changed: Any) -> Receipt:
    """Read a receipt of this file's signer."""
    return read_receipt(raw, **exchange(**changed), key_for=own_key)


def read_single(raw: bytes) -> Receipt:
    """Read the answer about one message."""
    return read(raw, eid=None, manifest_sha256=None, digests=None)


def signed(change: Callable[[dict[str, Any]], object], raw: bytes | None = None) -> bytes:
    """Change the payload in a way the writer never would, and sign that."""
    payload = json.loads(jws.peek_payload(written() if raw is None else raw))
    change(payload)
    return jws.sign(strictjson.dumps(payload), jws.RECEIPT_TYP, PAIR)


def test_the_golden_receipt_is_believed() -> None:
    """Three events accepted, in order, with the leaves that record them."""
    receipt = read_receipt(GOLDEN, **exchange(), key_for=golden_key)
    assert [(one.status, one.leaf, one.event) for one in receipt.outcomes] == [
        ("accepted", at, digest) for at, digest in enumerate(DIGESTS)
    ]
    assert all(outcome.is_final and outcome.received_at_ms == AT_MS for outcome in receipt.outcomes)
    assert (receipt.checkpoint, receipt.stream_high) == (VECTORS["log"]["checkpoint"], 3)
    assert receipt.kids == tuple(key["kid"] for key in VECTORS["receipt"]["keys"])


def test_the_golden_payload_is_rebuilt_byte_for_byte() -> None:
    """The writer's order of members is the vectors'."""
    found = read_receipt(GOLDEN, **exchange(), key_for=golden_key)
    raw = sign_receipt(
        iss=found.iss,
        aud=found.aud,
        iat_ms=found.iat_ms,
        eid=found.eid,
        manifest_sha256=found.manifest_sha256,
        outcomes=found.outcomes,
        checkpoint=found.checkpoint,
        stream_high=found.stream_high,
        signer=PAIR,
    )
    assert jws.peek_payload(raw) == jws.peek_payload(GOLDEN)


def test_any_flipped_byte_is_refused() -> None:
    """Each byte of the golden receipt in turn, in its lowest bit and in the one that changes case."""
    for at in range(len(GOLDEN)):
        for bit in (0x01, 0x20):
            raw = GOLDEN[:at] + bytes([GOLDEN[at] ^ bit]) + GOLDEN[at + 1 :]
            with pytest.raises((MalformedReceipt, UnknownSigner)):
                read_receipt(raw, **exchange(), key_for=golden_key)


@pytest.mark.parametrize(
    "changed",
    [
        {"eid": EnvelopeId("01990000-0000-7000-8000-0000000000e2")},
        {"eid": None, "manifest_sha256": None, "digests": None},
        {"iss": ID},
        {"aud": KH},
        {"manifest_sha256": bytes(32)},
        {"digests": DIGESTS[::-1]},
        {"digests": DIGESTS[:2]},
        {"digests": (*DIGESTS, DIGESTS[0])},
        {"digests": (*DIGESTS[:2], bytes(32))},
        {"digests": ()},
    ],
    ids=[
        "other eid", "asked about one message", "other iss", "other aud", "other manifest", "other order",
        "one outcome too many", "one missing", "other digest", "none sent",
    ],
)  # fmt: skip
def test_the_receipt_of_another_exchange_is_none_of_this_one(changed: dict[str, Any]) -> None:
    """A true receipt replayed elsewhere would end messages that nobody received."""
    with pytest.raises(MalformedReceipt):
        read_receipt(GOLDEN, **exchange(**changed), key_for=golden_key)


def test_a_key_not_held_is_told_apart() -> None:
    """The card is fetched once before the receipt is given up."""
    with pytest.raises(UnknownSigner):
        read_receipt(GOLDEN, **exchange(), key_for=lambda _kid, _alg: None)


def test_a_signature_under_another_purpose_is_no_receipt() -> None:
    """`typ` ties the signature to its purpose."""
    raw = jws.sign(jws.peek_payload(written()), jws.STREAM_TYP, PAIR)
    with pytest.raises(MalformedReceipt):
        read(raw)


def test_what_is_written_is_read_back() -> None:
    """Each status with its members, findings with and without code."""
    receipt = read(written())
    assert receipt.outcomes == OUTCOMES
    assert [outcome.is_final for outcome in receipt.outcomes] == [True, True, False]


SINGLE = replace(OUTCOMES[0], entry=b"leaf data", proof=(bytes(32), b"x" * 32))


@pytest.mark.parametrize(
    "outcome",
    [
        SINGLE,
        OUTCOMES[1],
        replace(SINGLE, proof=None),
        Outcome(event=None, jti=JTI, status="unknown", received_at_ms=None),
        Outcome(event=None, jti=JTI, status="unknown", received_at_ms=AT_MS),
    ],
    ids=["with proof", "not covered yet", "entry only", "never seen", "never seen, with a time"],
)
def test_the_answer_about_one_message_is_read_back(outcome: Outcome) -> None:
    """`entry` and `proof` show what was really logged; "unknown" says it never came."""
    assert read_single(written((outcome,), single=True)).outcomes == (outcome,)


def test_another_digest_in_the_answer_about_one_message_is_shown() -> None:
    """It contradicts what was sent: kept and alarmed by the caller (law 3), not a failed attempt."""
    other = replace(SINGLE, event=b"y" * 32)
    assert read_single(written((other,), single=True)).outcomes[0].event == b"y" * 32


def test_proofs_and_unknown_belong_to_one_message_only() -> None:
    """In the receipt of an envelope they are refused."""
    for stray in (SINGLE, replace(SINGLE, proof=None)):
        with pytest.raises(MalformedReceipt):
            read(written((stray, *OUTCOMES[1:])))
    unknown = Outcome(event=None, status="unknown", received_at_ms=AT_MS)
    with pytest.raises(MalformedReceipt):
        read(written((unknown, *OUTCOMES[1:])))
    with pytest.raises(MalformedReceipt):
        read_single(written((SINGLE, SINGLE), single=True))
    with pytest.raises(MalformedReceipt):
        read_single(written((), single=True))


def _put(at: int, **row: Any) -> Callable[[dict[str, Any]], object]:
    return lambda payload: payload["outcomes"][at].update(row)


def _without(at: int, name: str) -> Callable[[dict[str, Any]], object]:
    return lambda payload: payload["outcomes"][at].pop(name)


@pytest.mark.parametrize(
    ("at", "change"),
    [
        *(
            (f"/{name}", lambda payload, name=name: payload.pop(name))
            for name in ("v", "iss", "aud", "iat", "eid", "manifest", "outcomes", "checkpoint", "streamHigh")
        ),
        ("", lambda payload: payload.update(extra=1)),
        ("/v", lambda payload: payload.update(v=2)),
        ("/v", lambda payload: payload.update(v=True)),
        ("/iat", lambda payload: payload.update(iat="now")),
        ("/eid", lambda payload: payload.update(eid=None)),
        ("/manifest", lambda payload: payload.update(manifest=None)),
        ("/outcomes", lambda payload: payload.update(outcomes={})),
        ("/outcomes", lambda payload: payload["outcomes"].pop()),
        ("/outcomes/0", lambda payload: payload["outcomes"].__setitem__(0, "accepted")),
        ("/checkpoint", lambda payload: payload.update(checkpoint="")),
        ("/checkpoint", lambda payload: payload.update(checkpoint="x" * 16385)),
        ("/streamHigh", lambda payload: payload.update(streamHigh=-1)),
        ("/streamHigh", lambda payload: payload.update(streamHigh="3")),
        ("/outcomes/0/status", _put(0, status="done")),
        ("/outcomes/0/status", _put(0, status=["accepted"])),
        ("/outcomes/0/status", _put(0, status="unknown")),
        ("/outcomes/0/event", _put(0, event=None)),
        ("/outcomes/0/event", _put(0, event="AAAA")),
        ("/outcomes/0/event", _put(0, event=b64u.encode(bytes(32)))),
        ("/outcomes/0/event", _without(0, "event")),
        ("/outcomes/0/receivedAt", _without(0, "receivedAt")),
        ("/outcomes/0/jti", _put(0, jti="x")),
        ("/outcomes/0/leaf", _without(0, "leaf")),
        ("/outcomes/0/leaf", _put(0, leaf=-1)),
        ("/outcomes/0/leaf", _put(0, leaf=True)),
        ("/outcomes/0/problem", _put(0, problem="expired")),
        ("/outcomes/0/retryAfter", _put(0, retryAfter=1)),
        ("/outcomes/0", _put(0, extra=1)),
        ("/outcomes/0", _put(0, entry="AAAA")),
        ("/outcomes/1/problem", _put(1, problem=7)),
        ("/outcomes/1/problem", _put(1, problem="x" * 65)),
        ("/outcomes/1/problem", _put(1, problem="Sumarni Kanari is unknown here")),
        ("/outcomes/1/errors", _put(1, errors={})),
        ("/outcomes/1/errors", _put(1, errors=[{"pointer": "", "reason": "x"}] * 1001)),
        ("/outcomes/1/errors/0", _put(1, errors=["x"])),
        ("/outcomes/1/errors/0/reason", _put(1, errors=[{"pointer": ""}])),
        ("/outcomes/1/errors/0/pointer", _put(1, errors=[{"pointer": 7, "reason": "x"}])),
        ("/outcomes/1/errors/0", _put(1, errors=[{"pointer": "", "reason": "x", "value": "y"}])),
        ("/outcomes/2/leaf", _put(2, leaf=2)),
        ("/outcomes/2/retryAfter", _put(2, retryAfter=-1)),
    ],
)
def test_a_payload_that_is_no_receipt_is_refused_though_signed(
    at: str, change: Callable[[dict[str, Any]], object]
) -> None:
    """Exactly the members of §5, no outcome that says two things at once; the finding points at the fault."""
    with pytest.raises(MalformedReceipt) as refused:
        read(signed(change))
    assert [finding.pointer for finding in refused.value.errors] == [at]


@pytest.mark.parametrize(
    ("at", "change"),
    [
        ("/outcomes/0/proof", _without(0, "entry")),
        ("/outcomes/0/entry", _put(0, entry="A" * 6000)),
        ("/outcomes/0/entry", _put(0, entry="")),
        ("/outcomes/0/proof", _put(0, proof=["A" * 43] * 65)),
        ("/outcomes/0/proof/0", _put(0, proof=["AAAA"])),
        ("/outcomes/0/proof/0", _put(0, proof=[7])),
    ],
)
def test_an_ill_formed_proof_is_refused(at: str, change: Callable[[dict[str, Any]], object]) -> None:
    """A proof proves an entry, by at most 64 nodes of 32 bytes."""
    with pytest.raises(MalformedReceipt) as refused:
        read_single(signed(change, written((SINGLE,), single=True)))
    assert [finding.pointer for finding in refused.value.errors] == [at]


def test_an_oversized_receipt_is_refused_unread() -> None:
    """A hostile partner must not make us parse at will."""
    with pytest.raises(MalformedReceipt, match="size"):
        read(b" " * (MAX_RECEIPT_BYTES + 1))


def test_the_largest_receipt_we_write_is_one_a_partner_reads() -> None:
    """A hundred outcomes full of findings whose pointers the partner chose: cut, and below the limit."""
    finding = Finding("/data/" + "\u1780" * 5000, "\u1780" * 5000, "E-SCHEMA")
    full = replace(OUTCOMES[1], jti=JTI, errors=(finding,) * 500)
    raw = written((full,) * MAX_OUTCOMES)
    assert len(raw) < MAX_RECEIPT_BYTES
    errors = read(raw, digests=(DIGESTS[1],) * MAX_OUTCOMES).outcomes[0].errors
    assert len(errors) == MAX_FINDINGS
    assert errors[0].pointer == finding.pointer[:200]
