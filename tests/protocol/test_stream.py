"""Pings and streams: signed, for me, what was asked for, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import AuthenticationFailed, MalformedEnvelope, UnknownSigner, WrongRecipient
from gateway.primitives import strictjson, times
from gateway.protocol import jws
from gateway.protocol.ids import Kid, MessageId, PartyId
from gateway.protocol.keys import SigningPair, VerifyKey
from gateway.protocol.stream import (
    MAX_PING_BYTES,
    MAX_STREAM_BYTES,
    MAX_STREAM_ITEMS,
    Ping,
    Stream,
    StreamItem,
    read_ping,
    read_stream,
    sign_ping,
    sign_stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ID, KH = PartyId("id.imigrasi"), PartyId("kh.gdi")
AT_MS = times.parse_ms("2026-11-24T02:00:05.050Z")
PAIR, OTHER = SigningPair(b"m" * 32, b"m" * 32), SigningPair(b"o" * 32, b"o" * 32)
KEYS: dict[tuple[str, str], VerifyKey] = {
    (key.kid, key.alg): key for key in map(VerifyKey.from_jwk, PAIR.public_jwks())
}
JTI = MessageId("01990000-0000-7000-8000-000000000001")
ITEMS = (
    StreamItem(5, JTI, b"e" * 32, "accepted"),
    StreamItem(7, JTI, b"f" * 32, "rejected"),
    StreamItem(8, JTI, None, "voided"),
    StreamItem(9, JTI, b"g" * 32, "voided"),
)
PING = sign_ping(iss=KH, aud=ID, iat_ms=AT_MS, signer=PAIR)
STREAM = sign_stream(iss=KH, aud=ID, iat_ms=AT_MS, from_seq=5, items=ITEMS, signer=PAIR)


def key_for(kid: Kid, alg: str) -> VerifyKey | None:
    """Return a key of the signer of this file."""
    return KEYS.get((kid, alg))


def ping(raw: bytes, iss: PartyId = KH, aud: PartyId = ID) -> Ping:
    """Read a ping."""
    return read_ping(raw, iss=iss, aud=aud, key_for=key_for)


def stream(raw: bytes, from_seq: int = 5, iss: PartyId = KH, aud: PartyId = ID) -> Stream:
    """Read a stream asked for from number 5."""
    return read_stream(raw, iss=iss, aud=aud, from_seq=from_seq, key_for=key_for)


def signed(raw: bytes, typ: str, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Change the payload in a way the writer never would, and sign that."""
    payload = json.loads(jws.peek_payload(raw))
    change(payload)
    return jws.sign(strictjson.dumps(payload), typ, PAIR)


def test_what_is_written_is_read_back() -> None:
    """A ping with its time; a stream with its numbers, gaps and voids."""
    assert ping(PING) == Ping(KH, ID, AT_MS)
    assert stream(STREAM) == Stream(KH, ID, AT_MS, 5, ITEMS)


def test_an_empty_stream_is_an_answer() -> None:
    """Nothing held from that number on."""
    raw = sign_stream(iss=KH, aud=ID, iat_ms=AT_MS, from_seq=10, items=(), signer=PAIR)
    assert stream(raw, 10).items == ()


@pytest.mark.parametrize("read", [ping, stream], ids=["ping", "stream"])
def test_signer_issuer_and_reader_are_checked(read: Callable[..., object]) -> None:
    """Another signer, a key not held, another issuer, another reader, another purpose."""
    raw = PING if read is ping else STREAM
    with pytest.raises(WrongRecipient):
        read(raw, aud=PartyId("vn.bca"))
    with pytest.raises(MalformedEnvelope):
        read(raw, iss=PartyId("vn.bca"))
    with pytest.raises(UnknownSigner):
        read(sign_ping(iss=KH, aud=ID, iat_ms=AT_MS, signer=OTHER) if read is ping else
             sign_stream(iss=KH, aud=ID, iat_ms=AT_MS, from_seq=5, items=(), signer=OTHER))  # fmt: skip
    with pytest.raises(AuthenticationFailed):
        read(STREAM if read is ping else PING)
    damaged = json.loads(raw)
    text = damaged["signatures"][1]["signature"]
    damaged["signatures"][1]["signature"] = ("B" if text[0] == "A" else "A") + text[1:]
    with pytest.raises(AuthenticationFailed):
        read(json.dumps(damaged).encode())


def test_oversized_objects_are_refused_unread() -> None:
    """No work in proportion to what a partner likes to send."""
    for read, most in ((ping, MAX_PING_BYTES), (stream, MAX_STREAM_BYTES)):
        with pytest.raises(MalformedEnvelope, match="size"):
            read(b" " * (most + 1))


def test_the_largest_stream_we_write_is_one_a_partner_reads() -> None:
    """MAX_STREAM_ITEMS with the widest numbers stay below the limit."""
    start = 2**53 - 1 - MAX_STREAM_ITEMS
    items = tuple(StreamItem(start + at, JTI, b"e" * 32, "accepted") for at in range(MAX_STREAM_ITEMS))
    raw = sign_stream(iss=KH, aud=ID, iat_ms=AT_MS, from_seq=start, items=items, signer=PAIR)
    assert len(raw) < MAX_STREAM_BYTES
    assert stream(raw, start).items == items


@pytest.mark.parametrize(
    ("at", "change"),
    [
        ("/v", lambda payload: payload.update(v=2)),
        ("/iat", lambda payload: payload.update(iat=0)),
        ("/iat", lambda payload: payload.pop("iat")),
        ("", lambda payload: payload.update(extra=1)),
    ],
)
def test_a_payload_that_is_no_ping_is_refused_though_signed(
    at: str, change: Callable[[dict[str, Any]], object]
) -> None:
    """Exactly the members of §5."""
    with pytest.raises(MalformedEnvelope) as refused:
        ping(signed(PING, jws.PING_TYP, change))
    assert [finding.pointer for finding in refused.value.errors] == [at]


@pytest.mark.parametrize(
    ("at", "change"),
    [
        ("/from", lambda payload: payload.update({"from": 4})),
        ("/from", lambda payload: payload.pop("from")),
        ("/items", lambda payload: payload.update(items={})),
        ("/items", lambda payload: payload["items"].reverse()),
        ("/items", lambda payload: payload["items"].append(payload["items"][-1])),
        ("/items", lambda payload: payload["items"][0].update(seq=4)),
        ("/items/0", lambda payload: payload["items"].__setitem__(0, 5)),
        ("/items/0", lambda payload: payload["items"][0].update(extra=1)),
        ("/items/0/jti", lambda payload: payload["items"][0].pop("jti")),
        ("/items/0/seq", lambda payload: payload["items"][0].update(seq=0)),
        ("/items/0/event", lambda payload: payload["items"][0].update(event=None)),
        ("/items/0/status", lambda payload: payload["items"][0].update(status="deferred")),
    ],
)
def test_a_payload_that_is_no_stream_is_refused_though_signed(
    at: str, change: Callable[[dict[str, Any]], object]
) -> None:
    """Rising numbers from the one asked for, each with what is held."""
    with pytest.raises(MalformedEnvelope) as refused:
        stream(signed(STREAM, jws.STREAM_TYP, change))
    assert [finding.pointer for finding in refused.value.errors] == [at]


@pytest.mark.parametrize(
    ("from_seq", "items"),
    [
        (6, ITEMS),
        (5, ITEMS[::-1]),
        (1, tuple(StreamItem(at, JTI, b"e" * 32, "accepted") for at in range(1, MAX_STREAM_ITEMS + 2))),
    ],
    ids=["before the one asked for", "falling", "too many"],
)
def test_the_writer_refuses_what_no_reader_takes(from_seq: int, items: tuple[StreamItem, ...]) -> None:
    """Our own mistake shows here, not at the partner."""
    with pytest.raises(ValueError, match="items"):
        sign_stream(iss=KH, aud=ID, iat_ms=AT_MS, from_seq=from_seq, items=items, signer=PAIR)
