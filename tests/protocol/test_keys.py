"""Keys: parsed once, checked at enrolment, silent about their secrets (protocol.md §2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.primitives import b64u
from gateway.primitives.ed25519 import low_order_ed25519
from gateway.protocol.keys import OpenKey, SealKey, SigningPair, VerifyKey, thumbprint
from tests.support import thirdparty

ROOT = Path(__file__).resolve().parents[2]
CCTV = thirdparty.CCTV.place
GOLDEN: dict[str, Any] = json.loads((ROOT / "tests/vectors/bcx-1.json").read_text())
ED25519, ML_DSA = GOLDEN["sender"]["keys"]
X_WING = GOLDEN["recipient"]["keys"][0]
PRIVATE = GOLDEN["sender"]["private"]
SEED = b64u.decode(GOLDEN["recipient"]["private"]["xwing_seed"])


def pair() -> SigningPair:
    """Return the golden sender's pair."""
    return SigningPair(b64u.decode(PRIVATE["ed25519"]), b64u.decode(PRIVATE["mldsa65_seed"]))


@pytest.mark.parametrize("jwk", [ED25519, ML_DSA, X_WING, *GOLDEN["receipt"]["keys"]])
def test_the_thumbprint_is_the_golden_kid(jwk: dict[str, str]) -> None:
    """RFC 7638 over the members of the key's type, whatever else the JWK holds."""
    assert thumbprint(jwk) == jwk["kid"]


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    """RFC 8037 appendix A.3 gives an Ed25519 thumbprint."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_private_keys_grow_from_their_seeds_to_the_golden_public_keys() -> None:
    """SHAKE-256 expansion for X-Wing, seed form for ML-DSA-65."""
    assert OpenKey(SEED).public_jwk()["pub"] == X_WING["pub"]
    assert OpenKey(SEED).kid == OpenKey(SEED).public().kid == X_WING["kid"]
    first, second = pair().public_jwks()
    assert (first["x"], second["pub"]) == (ED25519["x"], ML_DSA["pub"])
    assert pair().kids == (ED25519["kid"], ML_DSA["kid"])


def test_each_key_verifies_its_own_signature_and_no_other() -> None:
    """Two inputs, two signatures, two keys: none stands in for the other."""
    signatures = pair().sign(b"one", b"two")
    first, second = VerifyKey.from_jwk(ED25519), VerifyKey.from_jwk(ML_DSA)
    assert (first.alg, second.alg) == ("Ed25519", "ML-DSA-65")
    assert first.verify(signatures[0], b"one")
    assert second.verify(signatures[1], b"two")
    assert not first.verify(signatures[0], b"two")
    assert not second.verify(signatures[1], b"one")
    assert not first.verify(signatures[1], b"one")
    assert not second.verify(b"", b"two")


def test_what_is_sealed_to_a_key_opens_under_the_same_info_only() -> None:
    """`info` binds the wrapped key to its envelope."""
    wrapped = SealKey.from_jwk(X_WING).wrap(b"k" * 32, b"info")
    assert len(wrapped) == 1120 + 48
    assert OpenKey(SEED).unwrap(wrapped, b"info") == b"k" * 32
    with pytest.raises(Exception, match=r"^$") as fault:
        OpenKey(SEED).unwrap(wrapped, b"other")
    assert type(fault.value).__name__ == "InvalidTag"


def test_keys_come_back_as_bare_jwks() -> None:
    """What is written is what was read, RFC 7638 members only."""
    for jwk in (ED25519, ML_DSA):
        bare = VerifyKey.from_jwk(jwk).jwk()
        assert bare.items() <= jwk.items()
        assert VerifyKey.from_jwk(bare).kid == jwk["kid"]
    assert SealKey.from_jwk(SealKey.from_jwk(X_WING).jwk()).kid == X_WING["kid"]


SHORT = b64u.encode(b"\x07" * 31)
REFUSED_SIGNING = {
    "encryption-key": X_WING,
    "no-type": {},
    "other-type": {"kty": "EC", "crv": "P-256", "x": "", "y": ""},
    "type-is-a-list": {"kty": ["OKP"]},
    "other-curve": {**ED25519, "crv": "Ed448"},
    "other-alg-beside-the-curve": {**ED25519, "alg": "EdDSA"},
    "other-alg": {"kty": "AKP", "alg": "ML-DSA-44", "pub": ML_DSA["pub"]},
    "missing-member": {"kty": "OKP", "crv": "Ed25519"},
    "member-is-a-number": {"kty": "OKP", "crv": "Ed25519", "x": 5},
    "wrong-length": {"kty": "OKP", "crv": "Ed25519", "x": SHORT},
    "wrong-length-ml-dsa": {"kty": "AKP", "alg": "ML-DSA-65", "pub": SHORT},
    "not-base64url": {"kty": "OKP", "crv": "Ed25519", "x": ED25519["x"] + "="},
    "foreign-kid": {**ED25519, "kid": ML_DSA["kid"]},
    "foreign-use": {**ML_DSA, "use": "enc"},
    "low-order": {"kty": "OKP", "crv": "Ed25519", "x": b64u.encode(bytes(32))},
    "lone-surrogate": {"kty": "OKP", "crv": "Ed25519", "x": "\ud800"},
}


@pytest.mark.parametrize("name", REFUSED_SIGNING)
def test_a_key_that_is_not_a_signing_key_of_the_profile_is_refused(name: str) -> None:
    """Each is a ValueError (or its kin) at enrolment, not a surprise at the first signature."""
    with pytest.raises((ValueError, TypeError)):
        VerifyKey.from_jwk(REFUSED_SIGNING[name])


RAW_X_WING = b64u.decode(X_WING["pub"])
REFUSED_SEALING = {
    "signing-key": ED25519,
    "ml-dsa": ML_DSA,
    "wrong-length": {"kty": "AKP", "alg": "HPKE-9-KE", "pub": SHORT},
    "foreign-kid": {**X_WING, "kid": ML_DSA["kid"]},
    "foreign-use": {**X_WING, "use": "sig"},
    "ml-kem-half-out-of-range": {"kty": "AKP", "alg": "HPKE-9-KE", "pub": b64u.encode(b"\xff" * 1216)},
    "x25519-half-of-low-order": {
        "kty": "AKP",
        "alg": "HPKE-9-KE",
        "pub": b64u.encode(RAW_X_WING[:1184] + bytes(32)),
    },
}


@pytest.mark.parametrize("name", REFUSED_SEALING)
def test_a_key_that_cannot_be_sealed_to_is_refused_at_enrolment(name: str) -> None:
    """Otherwise every later envelope to that partner would fail."""
    with pytest.raises(ValueError, match=r"."):
        SealKey.from_jwk(REFUSED_SEALING[name])


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_is_thirty_two_bytes(length: int) -> None:
    """Never cut or padded in silence."""
    with pytest.raises(ValueError, match="32 bytes"):
        OpenKey(bytes(length))
    with pytest.raises(ValueError, match="32 bytes"):
        SigningPair(bytes(32), bytes(length))


def test_private_keys_do_not_show_themselves() -> None:
    """A key in a log line gives key ids only."""
    shown = f"{OpenKey(SEED)!r} {pair()!r} {VerifyKey.from_jwk(ED25519)!r} {SealKey.from_jwk(X_WING)!r}"
    assert X_WING["kid"] in shown
    assert ED25519["kid"] in shown
    for secret in (*PRIVATE.values(), GOLDEN["recipient"]["private"]["xwing_seed"]):
        assert secret not in shown
        assert b64u.decode(secret).hex() not in shown


def test_ordinary_keys_are_not_of_low_order() -> None:
    """The check must not refuse the keys we live by."""
    for jwk in (ED25519, GOLDEN["receipt"]["keys"][0], GOLDEN["card"]["roots"][0]):
        assert not low_order_ed25519(b64u.decode(jwk["x"]))


if CCTV.is_file():
    CASES: list[dict[str, Any]] = json.loads(CCTV.read_text())

    def test_every_low_order_key_of_the_cctv_vectors_is_refused() -> None:
        """526 vectors, 14 spellings of 8 points; the other 8 keys are not flagged."""
        low = {case["key"] for case in CASES if "low_order_A" in (case["flags"] or ())}
        rest = {case["key"] for case in CASES} - low
        assert (len(low), len(rest)) == (14, 8)
        for key in low:
            assert low_order_ed25519(bytes.fromhex(key))
            with pytest.raises(ValueError, match="low order"):
                VerifyKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": b64u.encode(bytes.fromhex(key))})
        assert not any(low_order_ed25519(bytes.fromhex(key)) for key in rest)
