"""Fuzz law: any bytes give a value or a `PartnerError`, from every reader of this half of the profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import PartnerError
from gateway.primitives import b64u, strictjson
from gateway.protocol import jws
from gateway.protocol.card import read_card
from gateway.protocol.event import Event, build_event, parse_event, parse_voids
from gateway.protocol.ids import EnvelopeId, Kid, PartyId
from gateway.protocol.keys import SigningPair, VerifyKey
from gateway.protocol.receipt import read_receipt
from gateway.protocol.stream import read_ping, read_stream

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "bcx-1.json").read_bytes())
PAIR = SigningPair(b"m" * 32, b"m" * 32)
KEYS: dict[tuple[str, str], VerifyKey] = {
    (key.kid, key.alg): key for key in map(VerifyKey.from_jwk, PAIR.public_jwks())
}
ID, KH = PartyId("id.imigrasi"), PartyId("kh.gdi")
EVENT = VECTORS["events"][0].encode()
CARD, RECEIPT = VECTORS["card"]["jws"].encode(), VECTORS["receipt"]["jws"].encode()
BUDGET = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), database=None)

# A signed payload is the interesting one: behind a good signature the reader must hold too.
SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=50)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def key_for(kid: Kid, alg: str) -> VerifyKey | None:
    """Return a key of the signer of this file."""
    return KEYS.get((kid, alg))


def receipt(raw: bytes) -> object:
    """Read a receipt as if of the golden exchange."""
    return read_receipt(
        raw,
        iss=KH,
        aud=ID,
        eid=EnvelopeId("01990000-0000-7000-8000-0000000000e1"),
        manifest_sha256=b64u.decode(VECTORS["manifest_sha256"]),
        digests=[b64u.decode(text) for text in VECTORS["event_digest"]],
        key_for=key_for,
    )


def answer(raw: bytes) -> object:
    """Read the answer about one message."""
    return read_receipt(raw, iss=KH, aud=ID, eid=None, manifest_sha256=None, digests=None, key_for=key_for)


def ping(raw: bytes) -> object:
    """Read a ping."""
    return read_ping(raw, iss=KH, aud=ID, key_for=key_for)


def stream(raw: bytes) -> object:
    """Read a stream from 1."""
    return read_stream(raw, iss=KH, aud=ID, from_seq=1, key_for=key_for)


def event(raw: bytes) -> object:
    """Read an event, and its voids where it is one."""
    found = parse_event(raw)
    return parse_voids(found) if found.is_void else found


READERS: dict[str, Callable[[bytes], object]] = {
    "event": event, "card": read_card, "receipt": receipt, "answer": answer, "ping": ping, "stream": stream,
}  # fmt: skip
ITEM = {"seq": 1, "jti": "01990000-0000-7000-8000-000000000001", "event": "A" * 43, "status": "accepted"}
PAYLOADS: dict[str, tuple[str, dict[str, Any]]] = {
    "receipt": (jws.RECEIPT_TYP, json.loads(jws.peek_payload(RECEIPT))),
    "answer": (
        jws.RECEIPT_TYP,
        json.loads(jws.peek_payload(RECEIPT))
        | {
            "eid": None,
            "manifest": None,
            "outcomes": [
                {"event": "A" * 43, "status": "accepted", "receivedAt": "2026-11-24T02:00:05.050Z", "leaf": 0}
                | {"entry": "AAAA", "proof": ["A" * 43]}
            ],
        },
    ),
    "ping": (jws.PING_TYP, {"v": 1, "iss": KH, "aud": ID, "iat": "2026-11-24T02:00:05.050Z"}),
    "stream": (
        jws.STREAM_TYP,
        {"v": 1, "iss": KH, "aud": ID, "iat": "2026-11-24T02:00:05.050Z", "from": 1, "items": [ITEM]},
    ),
    "card": (
        jws.CARD_TYP,
        json.loads(jws.peek_payload(CARD)) | {"roots": list(PAIR.public_jwks())},
    ),
}


def value_or_partner_error(read: Callable[[bytes], object], raw: bytes) -> None:
    """Run a reader; whatever else it raises fails the test."""
    try:
        assert read(raw) is not None
    except PartnerError as refused:
        # The problem that goes out can always be written.
        orjson.dumps([refused.slug, refused.detail, [finding.as_dict() for finding in refused.errors]])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every member and item."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way for key, inner in pairs for way in ((*path, key), *places(inner, (*path, key)))]


def put(document: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    """Return a copy with the value at `path` replaced."""
    copy: Any = json.loads(json.dumps(document))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return copy  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", READERS)
@BUDGET
@given(raw=st.binary(max_size=300))
def test_random_bytes(name: str, raw: bytes) -> None:
    """Noise."""
    value_or_partner_error(READERS[name], raw)


@pytest.mark.parametrize(("name", "golden"), [("event", EVENT), ("card", CARD), ("receipt", RECEIPT)])
@BUDGET
@given(data=st.data())
def test_mutated_golden_bytes(name: str, golden: bytes, data: st.DataObject) -> None:
    """A golden object with a piece replaced, taken out or repeated."""
    start = data.draw(st.integers(0, len(golden)))
    end = data.draw(st.integers(start, min(len(golden), start + 40)))
    piece = data.draw(st.binary(max_size=6) | st.just(golden[start:end] * 2))
    value_or_partner_error(READERS[name], golden[:start] + piece + golden[end:])


@pytest.mark.parametrize("name", PAYLOADS)
@BUDGET
@given(data=st.data())
def test_a_good_signature_over_a_mutated_payload(name: str, data: st.DataObject) -> None:
    """The hostile partner itself: it can sign whatever it likes."""
    typ, payload = PAYLOADS[name]
    where = data.draw(st.sampled_from(places(payload)))
    raw = orjson.dumps(put(payload, where, data.draw(VALUES)))
    value_or_partner_error(READERS[name], jws.sign(raw, typ, PAIR))


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_payloads_the_fuzzer_starts_from_are_good(name: str) -> None:
    """A fuzzer that starts from a refused object only tests the first check."""
    typ, payload = PAYLOADS[name]
    assert READERS[name](jws.sign(strictjson.dumps(payload), typ, PAIR)) is not None


@BUDGET
@given(data=st.data())
def test_an_event_with_one_attribute_changed(data: st.DataObject) -> None:
    """Any value in any place of an event or a void; what is taken can be written again and reads the same."""
    document = json.loads(EVENT)
    if data.draw(st.booleans()):
        document |= {"type": "bcx.void", "dataschema": "urn:bcx:schema:void:1.0.0", "data": {"voids": [ITEM]}}
        document |= {"schemadigest": "RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o"}
        document["data"]["voids"][0] = {"seq": 1, "jti": ITEM["jti"], "reason": "expired"}
        del document["subject"], document["caseseq"]
    where = data.draw(st.sampled_from([*places(document), ("future",), ("salt",), ("traceparent",), ("inreplyto",)]))
    raw = orjson.dumps(put(document, where, data.draw(VALUES)))
    value_or_partner_error(event, raw)
    try:
        found = parse_event(raw)
    except PartnerError:
        return
    again = parse_event(build_event(found, orjson.dumps(found.data)))
    assert all(getattr(again, name) == getattr(found, name) for name in Event.__slots__ if name != "size")


@BUDGET
@given(
    number=st.integers(2**53 - 3, 2**53 + 3) | st.integers(1, 10**17), name=st.sampled_from(["streamseq", "caseseq"])
)
def test_a_number_is_taken_exactly_where_every_json_reader_holds_it(number: int, name: str) -> None:
    """Over 2^53-1 it could not come back in a receipt's `streamHigh`: refused; below, kept to the digit."""
    raw = orjson.dumps(json.loads(EVENT) | {name: str(number)})
    if number > 2**53 - 1:
        with pytest.raises(PartnerError) as refused:
            parse_event(raw)
        assert f"/{name}" in [finding.pointer for finding in refused.value.errors]
        return
    found = parse_event(raw)
    assert number == (found.stream_seq if name == "streamseq" else found.case_seq)


HEX = st.text("0123456789abcdef", min_size=1, max_size=33)


@BUDGET
@given(parts=st.tuples(HEX, HEX, HEX, HEX), well_formed=st.booleans())
def test_a_traceparent_is_kept_or_dropped_and_ends_no_message(
    parts: tuple[str, str, str, str], *, well_formed: bool
) -> None:
    """Trace Context §3.2.2: one that cannot be read is dropped, a good one kept to the letter."""
    widths = (2, 32, 16, 2)
    if well_formed:
        parts = tuple(part[:width].rjust(width, "1") for part, width in zip(parts, widths, strict=True))  # type: ignore[assignment]
    text = "-".join(parts)
    readable = (
        tuple(map(len, parts)) == widths and parts[0] != "ff" and set(parts[1]) != {"0"} and set(parts[2]) != {"0"}
    )
    assert parse_event(orjson.dumps(json.loads(EVENT) | {"traceparent": text})).traceparent == (
        text if readable else None
    )
