"""Fuzz law of the envelope: any bytes give a value or a `PartnerError`, and no bent envelope opens."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import PartnerError
from gateway.primitives import b64u
from gateway.protocol import jwe
from gateway.protocol.envelope import OpenedEnvelope, open_sealed
from gateway.protocol.ids import PartyId
from gateway.protocol.keys import OpenKey, VerifyKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.protocol.ids import Kid

GOLDEN: dict[str, Any] = json.loads((Path(__file__).resolve().parents[1] / "vectors/bcx-1.json").read_text())
JWE = GOLDEN["jwe"].encode()
PLAINTEXT = "\n".join((GOLDEN["manifest"], *GOLDEN["events"], "")).encode()
OPEN_KEY = OpenKey(b64u.decode(GOLDEN["recipient"]["private"]["xwing_seed"]))
HELD = {jwk["kid"]: VerifyKey.from_jwk(jwk) for jwk in GOLDEN["sender"]["keys"]}
ISS, AUD = PartyId("id.imigrasi"), PartyId("kh.gdi")
EID = "01990000-0000-7000-8000-0000000000e1"
HEADER: dict[str, Any] = json.loads(base64.urlsafe_b64decode(JWE.split(b".")[0] + b"=="))


def held(kid: Kid, _alg: str) -> VerifyKey | None:
    """Answer with the golden sender's keys."""
    return HELD.get(kid)


def opened(raw: bytes) -> OpenedEnvelope:
    """Open as the golden recipient; any key id finds the key, so that fuzz reaches the decryption."""
    return open_sealed(raw, me=AUD, peer=ISS, open_key_for=lambda _kid: OPEN_KEY, verify_key_for=held)


def must_refuse(raw: bytes) -> None:
    """Let only a `PartnerError` out; anything else, or a value, fails the test."""
    with pytest.raises(PartnerError) as fault:
        opened(raw)
    assert fault.value.slug in {
        "malformed-envelope",
        "unsupported-profile",
        "wrong-recipient",
        "authentication-failed",
    }


def flip(place: int, bit: int) -> Callable[[bytes], bytes]:
    """Return an edit that flips one bit."""
    return lambda raw: raw[: place % len(raw)] + bytes([raw[place % len(raw)] ^ bit]) + raw[place % len(raw) + 1 :]


def cut(start: int, length: int) -> Callable[[bytes], bytes]:
    """Return an edit that drops some bytes."""
    return lambda raw: raw[: start % len(raw)] + raw[start % len(raw) + length :]


def insert(place: int, extra: bytes) -> Callable[[bytes], bytes]:
    """Return an edit that adds some bytes."""
    return lambda raw: raw[: place % len(raw)] + extra + raw[place % len(raw) :]


def swap(first: int, second: int, separator: bytes) -> Callable[[bytes], bytes]:
    """Return an edit that changes places of two pieces."""

    def edit(raw: bytes) -> bytes:
        pieces = raw.split(separator)
        one, two = first % len(pieces), second % len(pieces)
        pieces[one], pieces[two] = pieces[two], pieces[one]
        return separator.join(pieces)

    return edit


PLACES = st.integers(0, 2**14)
EXTRA = st.binary(min_size=1, max_size=4) | st.sampled_from([b".", b"=", b"\n", b"A", b"{", b'"', b"\\ud800", b"AAAA"])


def bends(separator: bytes) -> st.SearchStrategy[list[Callable[[bytes], bytes]]]:
    """Draw one to three edits: flips, truncations and cuts, insertions, swaps."""
    edit = (
        st.builds(flip, PLACES, st.integers(0, 7).map(lambda bit: 1 << bit))
        | st.builds(cut, PLACES, st.integers(1, 4) | st.just(2**20))
        | st.builds(insert, PLACES, EXTRA)
        | st.builds(swap, st.integers(0, 9), st.integers(0, 9), st.just(separator))
    )
    return st.lists(edit, min_size=1, max_size=3)


def bent(raw: bytes, edits: list[Callable[[bytes], bytes]]) -> bytes:
    """Apply the edits in turn, as long as bytes are left."""
    for edit in edits:
        raw = edit(raw) if raw else raw
    return raw


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300) | st.text(alphabet="AQgw-_.=", max_size=300).map(str.encode))
def test_noise_is_refused(raw: bytes) -> None:
    """Random bytes, and random text of the right alphabet."""
    must_refuse(raw)


@settings(deadline=None, max_examples=400)
@given(bends(b"."))
def test_a_bent_envelope_never_opens(edits: list[Callable[[bytes], bytes]]) -> None:
    """One envelope has one text: whatever differs from it is refused, by a peer error."""
    raw = bent(JWE, edits)
    if raw == JWE:
        assert opened(raw).eid == EID
    else:
        must_refuse(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
SPELLINGS = JSON | st.sampled_from([["bcx"], "1", "2", "kh.gdi", "id.imigrasi", "vn.bca", EID, HEADER["ek"]])


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(st.sampled_from([*HEADER, "zip", "jwk", "jku", "x5u", "apu"]), SPELLINGS, max_size=3),
    st.sets(st.sampled_from(sorted(HEADER)), max_size=1),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
def test_an_edited_header_never_opens(changes: dict[str, Any], dropped: set[str], separators: tuple[str, str]) -> None:
    """Members set, added, dropped or written otherwise: the header is authenticated as sent."""
    header = {name: value for name, value in (HEADER | changes).items() if name not in dropped}
    head = b64u.encode_bytes(json.dumps(header, separators=separators).encode())
    raw = b".".join((head, *JWE.split(b".")[1:]))
    if raw == JWE:
        assert opened(raw).eid == EID
    else:
        must_refuse(raw)


@settings(deadline=None, max_examples=300)
@given(bends(b"\n") | bends(b'","'))
def test_a_partner_that_seals_nonsense_is_refused(edits: list[Callable[[bytes], bytes]]) -> None:
    """Well sealed, bent within: manifest and event lines reach the readers behind the decryption.

    White space may be added to a manifest without harm to its signatures; the events never change.
    """
    raw = jwe.encrypt(bent(PLAINTEXT, edits), iss=ISS, aud=AUD, eid=EID, recipient=OPEN_KEY.public(), entropy=bytes)
    try:
        outcome: object = [event.decode() for event in opened(raw).events]
    except PartnerError as fault:
        outcome = fault.slug
    assert outcome in ("authentication-failed", GOLDEN["events"])


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200))
def test_a_partner_that_seals_noise_is_refused(plaintext: bytes) -> None:
    """Any plaintext at all."""
    must_refuse(jwe.encrypt(plaintext, iss=ISS, aud=AUD, eid=EID, recipient=OPEN_KEY.public(), entropy=bytes))
