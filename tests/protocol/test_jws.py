"""The signed object: two signatures, both needed, nothing chosen by the message (protocol.md §3)."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import AuthenticationFailed, UnknownSigner
from gateway.primitives import b64u
from gateway.protocol import jws
from gateway.protocol.keys import SigningPair, VerifyKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.protocol.ids import Kid

GOLDEN: dict[str, Any] = json.loads((Path(__file__).resolve().parents[1] / "vectors/bcx-1.json").read_text())
MANIFEST = GOLDEN["manifest"].encode()
PRIVATE = GOLDEN["sender"]["private"]
PAIR = SigningPair(b64u.decode(PRIVATE["ed25519"]), b64u.decode(PRIVATE["mldsa65_seed"]))
STRANGER = SigningPair(b"\x01" * 32, b"\x02" * 32)
HELD = {jwk["kid"]: VerifyKey.from_jwk(jwk) for jwk in GOLDEN["sender"]["keys"]}


def held(kid: Kid, _alg: str) -> VerifyKey | None:
    """Answer with the golden sender's keys."""
    return HELD.get(kid)


def plain(text: str) -> bytes:
    """Decode base64url with the standard library."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_golden_manifest_verifies() -> None:
    """Payload and key ids come out, Ed25519 first."""
    found = jws.verify(MANIFEST, "bcx-manifest+jws", held)
    assert found.kids == PAIR.kids
    assert json.loads(found.payload)["n"] == 3
    assert jws.peek_payload(MANIFEST) == found.payload


def test_signing_the_golden_payload_gives_the_golden_bytes_as_far_as_they_are_determined() -> None:
    """All but the ML-DSA signature, which is hedged, is fixed by payload and seeds."""
    made = json.loads(jws.sign(jws.peek_payload(MANIFEST), "bcx-manifest+jws", PAIR))
    golden = json.loads(MANIFEST)
    assert made["payload"] == golden["payload"]
    assert [entry["protected"] for entry in made["signatures"]] == [
        entry["protected"] for entry in golden["signatures"]
    ]
    assert made["signatures"][0] == golden["signatures"][0]


def test_what_we_sign_holds_in_a_reading_without_our_code() -> None:
    """Standard library and raw keys only: the page, read a second time."""
    raw = jws.sign(b'{"v":1}', "bcx-ping+jws", PAIR)
    assert b"\n" not in raw
    found = json.loads(raw)
    assert list(found) == ["payload", "signatures"]
    assert plain(found["payload"]) == b'{"v":1}'
    ed25519, ml_dsa = GOLDEN["sender"]["keys"]
    publics: tuple[Ed25519PublicKey | MLDSA65PublicKey, ...] = (
        Ed25519PublicKey.from_public_bytes(plain(ed25519["x"])),
        MLDSA65PublicKey.from_public_bytes(plain(ml_dsa["pub"])),
    )
    for entry, public, jwk in zip(found["signatures"], publics, (ed25519, ml_dsa), strict=True):
        assert json.loads(plain(entry["protected"])) == {
            "alg": jwk["alg"],
            "typ": "bcx-ping+jws",
            "kid": jwk["kid"],
            "crit": ["bcx"],
            "bcx": "1",
        }
        public.verify(plain(entry["signature"]), f"{entry['protected']}.{found['payload']}".encode())


def with_header(which: int, **changes: object) -> Callable[[dict[str, Any]], None]:
    """Return an edit of one protected header (None deletes); its signature then no longer fits."""

    def edit(found: dict[str, Any]) -> None:
        entry = found["signatures"][which]
        header = json.loads(plain(entry["protected"])) | changes
        kept = {name: value for name, value in header.items() if value is not None}
        entry["protected"] = b64u.encode(json.dumps(kept).encode())

    return edit


def member(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    """Return an edit that sets one member."""

    def edit(found: dict[str, Any]) -> None:
        at: Any = found
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    return edit


SHAPES: dict[str, Callable[[dict[str, Any]], object]] = {
    "unprotected-header": member("signatures", 0, "header", value={}),
    "flattened-member": member("protected", value="e30"),
    "payload-is-a-number": member("payload", value=1),
    "payload-padded": member("payload", value="e30="),
    "payload-not-ascii": member("payload", value="\u00e9"),
    "signatures-an-object": member("signatures", value={"0": {}, "1": {}}),
    "signature-a-list": member("signatures", 1, value=[]),
    "signature-a-number": member("signatures", 1, "signature", value=1),
    "signature-empty": member("signatures", 0, "signature", value=""),
    "signature-of-another-length": member("signatures", 0, "signature", value=b64u.encode(bytes(65))),
    "protected-is-not-json": member("signatures", 0, "protected", value=b64u.encode(b"{")),
    "protected-is-a-list": member("signatures", 0, "protected", value=b64u.encode(b"[]")),
    "protected-doubles-a-member": member(
        "signatures", 0, "protected", value=b64u.encode(b'{"alg":"none","alg":"Ed25519"}')
    ),
    "one-signature": lambda found: found["signatures"].pop(),
    "three-signatures": lambda found: found["signatures"].append(found["signatures"][1]),
    "same-twice": lambda found: found["signatures"].__setitem__(1, found["signatures"][0]),
    "swapped": lambda found: found["signatures"].reverse(),
    "alg-none": with_header(0, alg="none"),
    "alg-eddsa": with_header(0, alg="EdDSA"),
    "alg-a-list": with_header(0, alg=["Ed25519"]),
    "typ-differs": with_header(1, typ="bcx-receipt+jws"),
    "typ-missing": with_header(1, typ=None),
    "crit-empty": with_header(0, crit=[]),
    "crit-text": with_header(0, crit="bcx"),
    "crit-more": with_header(0, crit=["bcx", "exp"]),
    "crit-missing": with_header(0, crit=None),
    "bcx-number": with_header(0, bcx=1),
    "bcx-other": with_header(0, bcx="2"),
    "jwk-inside": with_header(0, jwk={}),
    "b64-false": with_header(0, b64=False),
    "kid-a-number": with_header(0, kid=5),
    "kid-no-thumbprint": with_header(0, kid="../etc"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_another_shape_is_refused_before_any_key_is_sought(name: str) -> None:
    """Each bent member fails alike and never reaches the key store."""
    found = json.loads(MANIFEST)
    SHAPES[name](found)
    asked: list[str] = []

    def key_for(kid: Kid, _alg: str) -> VerifyKey | None:
        asked.append(kid)
        return HELD.get(kid)

    with pytest.raises(AuthenticationFailed) as fault:
        jws.verify(json.dumps(found).encode(), "bcx-manifest+jws", key_for)
    assert fault.value.slug == "authentication-failed"
    assert not isinstance(fault.value, UnknownSigner)
    assert not asked


@pytest.mark.parametrize("which", [0, 1])
def test_both_signatures_must_hold(which: int) -> None:
    """Either one flipped refuses the whole: a broken algorithm must not be enough."""
    found = json.loads(MANIFEST)
    signature = bytearray(plain(found["signatures"][which]["signature"]))
    signature[10] ^= 1
    found["signatures"][which]["signature"] = b64u.encode(bytes(signature))
    with pytest.raises(AuthenticationFailed, match="does not hold"):
        jws.verify(json.dumps(found).encode(), "bcx-manifest+jws", held)


@pytest.mark.parametrize("which", [0, 1])
def test_a_kid_that_is_not_held_is_named(which: int) -> None:
    """The caller fetches the card once for exactly this key."""
    kept = PAIR.kids[1 - which]
    with pytest.raises(UnknownSigner) as fault:
        jws.verify(MANIFEST, "bcx-manifest+jws", lambda kid, _alg: HELD[kid] if kid == kept else None)
    assert isinstance(fault.value, jws.SignerNotHeld)
    assert fault.value.kid == PAIR.kids[which]
    assert fault.value.slug == "authentication-failed"


def test_a_strangers_object_is_not_believed() -> None:
    """Signed well, by somebody we do not hold, or under kids that are not the signer's."""
    raw = jws.sign(b"{}", "bcx-ping+jws", STRANGER)
    with pytest.raises(UnknownSigner):
        jws.verify(raw, "bcx-ping+jws", held)
    other = {kid: VerifyKey.from_jwk(jwk) for kid, jwk in zip(PAIR.kids, STRANGER.public_jwks(), strict=True)}
    with pytest.raises(AuthenticationFailed, match="another key"):
        jws.verify(jws.sign(b"{}", "bcx-ping+jws", PAIR), "bcx-ping+jws", lambda kid, _alg: other.get(kid))


def test_an_object_of_one_type_is_not_taken_for_another() -> None:
    """A receipt must never pass as a manifest."""
    with pytest.raises(AuthenticationFailed, match="typ"):
        jws.verify(jws.sign(b"{}", "bcx-receipt+jws", PAIR), "bcx-manifest+jws", held)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: json.dumps({"payload": text}).encode()))
def test_any_bytes_are_a_signed_object_or_a_peer_error(raw: bytes) -> None:
    """Nothing but AuthenticationFailed comes out of noise."""
    for read in (lambda: jws.verify(raw, "bcx-ping+jws", held), lambda: jws.peek_payload(raw)):
        with pytest.raises(AuthenticationFailed):
            read()
