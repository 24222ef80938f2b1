"""Keys of protocol.md §2 as objects: parsed once, checked at enrolment, used many times.

A private key never shows itself: `repr` gives key ids only. Readers of JWKs raise ValueError naming the
rule that failed; a key is public, yet its text is not quoted either.
"""

from __future__ import annotations

from hashlib import sha256, shake_256
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from gateway.primitives import b64u, strictjson
from gateway.primitives.ed25519 import low_order_ed25519
from gateway.protocol.ids import Kid

if TYPE_CHECKING:
    from collections.abc import Mapping

ED25519: Final = "Ed25519"
ML_DSA_65: Final = "ML-DSA-65"
HPKE_9_KE: Final = "HPKE-9-KE"
SigningAlg = Literal["Ed25519", "ML-DSA-65"]

SEED_BYTES = 32
ED25519_BYTES = 32
ED25519_SIGNATURE_BYTES = 64
ML_DSA_65_BYTES = 1952
ML_DSA_65_SIGNATURE_BYTES = 3309
ML_KEM_768_BYTES = 1184
X_WING_BYTES = ML_KEM_768_BYTES + 32
X_WING_ENC_BYTES = 1120

_MLKEM_SEED_BYTES = 64
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.SHAKE256, AEAD.AES_256_GCM)
# Members of the thumbprint (RFC 7638 §3.2; RFC 9964 for AKP) in lexical order, by `kty`.
_THUMBPRINT_MEMBERS = {"OKP": ("crv", "kty", "x"), "AKP": ("alg", "kty", "pub")}
_PROBE = X25519PrivateKey.from_private_bytes(b"\x01" * 32)


def bare_jwk(jwk: Mapping[str, object]) -> dict[str, str]:
    """Return only the members that the thumbprint covers, in lexical order."""
    kty = jwk.get("kty")
    members = _THUMBPRINT_MEMBERS.get(kty) if isinstance(kty, str) else None
    if members is None:
        raise ValueError("key type is neither OKP nor AKP")
    found = {name: jwk.get(name) for name in members}
    if not all(isinstance(value, str) for value in found.values()):
        raise ValueError("key lacks a member of its type")
    return cast("dict[str, str]", found)


def thumbprint(jwk: Mapping[str, object]) -> Kid:
    """Return the RFC 7638 SHA-256 thumbprint of `jwk`; ValueError where its type's members are missing."""
    return Kid(b64u.encode(sha256(strictjson.dumps(bare_jwk(jwk))).digest()))


def _checked(jwk: Mapping[str, object], use: str) -> tuple[dict[str, str], Kid]:
    """Return bare members and kid; what the JWK says about itself must agree with them."""
    bare, kid = bare_jwk(jwk), thumbprint(jwk)
    if jwk.get("kid", kid) != kid:
        raise ValueError("kid is not the thumbprint of its key")
    if jwk.get("use", use) != use:
        raise ValueError(f"key is not for use {use}")
    return bare, kid


def _public_bytes(text: str, length: int) -> bytes:
    raw = b64u.decode(text)
    if len(raw) != length:
        raise ValueError("public key has the wrong length")
    return raw


class VerifyKey:
    """One public signing key, Ed25519 or ML-DSA-65."""

    __slots__ = ("_key", "_raw", "alg", "kid")

    def __init__(self, kid: Kid, alg: SigningAlg, raw: bytes) -> None:
        self.kid = kid
        self.alg: SigningAlg = alg
        self._raw = raw
        self._key: Ed25519PublicKey | MLDSA65PublicKey = (
            Ed25519PublicKey.from_public_bytes(raw) if alg == ED25519 else MLDSA65PublicKey.from_public_bytes(raw)
        )

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> VerifyKey:
        """Return the key of `jwk`, with or without `kid`, `use` and `alg` beside the bare members.

        Raises ValueError: another type or algorithm, wrong length, low-order point, foreign `kid`.
        """
        bare, kid = _checked(jwk, "sig")
        if bare["kty"] == "OKP":
            if bare["crv"] != ED25519 or jwk.get("alg", ED25519) != ED25519:
                raise ValueError("OKP key is not Ed25519")
            raw = _public_bytes(bare["x"], ED25519_BYTES)
            if low_order_ed25519(raw):
                raise ValueError("Ed25519 key of low order")
            return cls(kid, ED25519, raw)
        if bare["alg"] != ML_DSA_65:
            raise ValueError("AKP signing key is not ML-DSA-65")
        return cls(kid, ML_DSA_65, _public_bytes(bare["pub"], ML_DSA_65_BYTES))

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Tell whether `signature` over `data` holds (ML-DSA with empty context)."""
        try:
            self._key.verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    def jwk(self) -> dict[str, str]:
        """Return the bare JWK (RFC 7638 members only)."""
        if self.alg == ED25519:
            return {"kty": "OKP", "crv": ED25519, "x": b64u.encode(self._raw)}
        return {"kty": "AKP", "alg": ML_DSA_65, "pub": b64u.encode(self._raw)}

    def __repr__(self) -> str:
        return f"VerifyKey({self.alg} {self.kid})"


class SealKey:
    """A partner's X-Wing public key: whatever is sealed to it only the partner opens."""

    __slots__ = ("_key", "_raw", "kid")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != X_WING_BYTES:
            raise ValueError("public key has the wrong length")
        self._raw = raw
        self.kid = thumbprint(self.jwk())
        classical = X25519PublicKey.from_public_bytes(raw[ML_KEM_768_BYTES:])
        # A low-order X25519 half makes every exchange fail: found here, at enrolment, not at each seal.
        _PROBE.exchange(classical)
        self._key = MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(raw[:ML_KEM_768_BYTES]), classical)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> SealKey:
        """Return the key of `jwk`; ValueError: another algorithm, wrong length, unusable or foreign `kid`."""
        bare, _ = _checked(jwk, "enc")
        if bare.get("alg") != HPKE_9_KE:
            raise ValueError("encryption key is not HPKE-9-KE")
        return cls(_public_bytes(bare["pub"], X_WING_BYTES))

    def jwk(self) -> dict[str, str]:
        """Return the bare JWK."""
        return {"kty": "AKP", "alg": HPKE_9_KE, "pub": b64u.encode(self._raw)}

    def wrap(self, secret: bytes, info: bytes) -> bytes:
        """Return `enc ‖ ct` of HPKE.SealBase(pkR, info, "", secret) (RFC 9180 §6.1, protocol.md §4.3)."""
        return _SUITE.encrypt(secret, self._key, info)

    def __repr__(self) -> str:
        return f"SealKey({self.kid})"


class OpenKey:
    """One of our X-Wing private keys, made from its 32-byte seed."""

    __slots__ = ("_key", "_public", "kid")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError("an X-Wing seed is 32 bytes")
        # draft-connolly-cfrg-xwing-kem §5.2: SHAKE-256 gives d ‖ z of ML-KEM-768, then the X25519 scalar.
        expanded = shake_256(seed).digest(_MLKEM_SEED_BYTES + 32)
        kem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
        classical = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])
        self._key = MLKEM768X25519PrivateKey(kem, classical)
        self._public = SealKey(kem.public_key().public_bytes_raw() + classical.public_key().public_bytes_raw())
        self.kid = self._public.kid

    def public(self) -> SealKey:
        """Return the public half."""
        return self._public

    def public_jwk(self) -> dict[str, str]:
        """Return the bare public JWK."""
        return self._public.jwk()

    def unwrap(self, sealed: bytes, info: bytes) -> bytes:
        """Return the secret of `enc ‖ ct`; raises cryptography's InvalidTag or ValueError, all meaning no."""
        return _SUITE.decrypt(sealed, self._key, info)

    def __repr__(self) -> str:
        return f"OpenKey({self.kid})"


class Signer(Protocol):
    """Whoever holds a signing pair: files, a token, a test."""

    @property
    def kids(self) -> tuple[Kid, Kid]:
        """The key ids, Ed25519 first."""

    def sign(self, ed25519_input: bytes, ml_dsa_input: bytes) -> tuple[bytes, bytes]:
        """Return the two signatures; the inputs differ, for each covers its own protected header."""


class SigningPair:
    """Ed25519 and ML-DSA-65 private keys from their 32-byte seeds: a `Signer` in memory."""

    __slots__ = ("_ed25519", "_ml_dsa", "kids")

    def __init__(self, ed25519_seed: bytes, ml_dsa_seed: bytes) -> None:
        if len(ed25519_seed) != SEED_BYTES or len(ml_dsa_seed) != SEED_BYTES:
            raise ValueError("a signing seed is 32 bytes")
        self._ed25519 = Ed25519PrivateKey.from_private_bytes(ed25519_seed)
        self._ml_dsa = MLDSA65PrivateKey.from_seed_bytes(ml_dsa_seed)
        first, second = self.public_jwks()
        self.kids = (thumbprint(first), thumbprint(second))

    def public_jwks(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the bare public JWKs, Ed25519 first: the shape of a card's `roots`."""
        return (
            {"kty": "OKP", "crv": ED25519, "x": b64u.encode(self._ed25519.public_key().public_bytes_raw())},
            {
                "kty": "AKP",
                "alg": ML_DSA_65,
                "pub": b64u.encode(self._ml_dsa.public_key().public_bytes_raw()),
            },
        )

    def sign(self, ed25519_input: bytes, ml_dsa_input: bytes) -> tuple[bytes, bytes]:
        """Return the Ed25519 and the ML-DSA-65 signature (empty context)."""
        return self._ed25519.sign(ed25519_input), self._ml_dsa.sign(ml_dsa_input)

    def __repr__(self) -> str:
        return f"SigningPair({self.kids[0]}, {self.kids[1]})"
