"""The signed object of protocol.md §3: JWS general JSON (RFC 7515 §7.2.1), two signatures, both needed.

Nothing in it says how to verify it: algorithms come from the profile, keys from the pinned card. To a
peer every failure is the same; the reason stays in `detail`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gateway.errors import AuthenticationFailed, UnknownSigner
from gateway.primitives import b64u, strictjson
from gateway.protocol.ids import Kid, parse_kid
from gateway.protocol.keys import ED25519, ED25519_SIGNATURE_BYTES, ML_DSA_65, ML_DSA_65_SIGNATURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.protocol.keys import Signer, VerifyKey

PROFILE = "1"
MANIFEST_TYP = "bcx-manifest+jws"
RECEIPT_TYP = "bcx-receipt+jws"
CARD_TYP = "bcx-card+jws"
STREAM_TYP = "bcx-stream+jws"
PING_TYP = "bcx-ping+jws"

# Ed25519 first, ML-DSA-65 second: a fixed order leaves no way to show one signature twice.
_ALGS = (ED25519, ML_DSA_65)
_SIGNATURE_BYTES = {ED25519: ED25519_SIGNATURE_BYTES, ML_DSA_65: ML_DSA_65_SIGNATURE_BYTES}
_HEADER_MEMBERS = {"alg", "typ", "kid", "crit", "bcx"}
_OBJECT_MEMBERS = {"payload", "signatures"}
_SIGNATURE_MEMBERS = {"protected", "signature"}


@dataclass(frozen=True, slots=True)
class Verified:
    """A payload whose two signatures hold, and the keys that made them (Ed25519 first)."""

    payload: bytes
    kids: tuple[Kid, Kid]


class SignerNotHeld(UnknownSigner):
    """A signature under a `kid` that is not held or does not count now: the card may be out of date."""

    def __init__(self, alg: str, kid: Kid) -> None:
        super().__init__(f"no {alg} key that counts under this kid")
        self.kid = kid


@dataclass(frozen=True, slots=True)
class _Signature:
    kid: Kid
    signing_input: bytes
    signature: bytes


def sign(payload: bytes, typ: str, signer: Signer) -> bytes:
    """Return the JWS of `payload` under both keys of `signer`, one line of compact JSON."""
    body = b64u.encode_bytes(payload)
    protected = [_protected(alg, typ, kid) for alg, kid in zip(_ALGS, signer.kids, strict=True)]
    first, second = (header + b"." + body for header in protected)
    signatures = signer.sign(first, second)
    entries = b",".join(
        b'{"protected":"%b","signature":"%b"}' % (header, b64u.encode_bytes(signature))
        for header, signature in zip(protected, signatures, strict=True)
    )
    return b'{"payload":"%b","signatures":[%b]}' % (body, entries)


def verify(raw: bytes, typ: str, key_for: Callable[[Kid, str], VerifyKey | None]) -> Verified:
    """Return the payload of `raw` after both signatures held under the keys that `key_for(kid, alg)` gives.

    `key_for` answers None for a key that is not held or does not count now. Raises SignerNotHeld (an
    UnknownSigner; `kid` says which) where the shape is right and a key is not held, AuthenticationFailed for
    everything else.
    """
    payload, signatures = _read(raw, typ)
    keys = []
    for alg, found in zip(_ALGS, signatures, strict=True):
        key = key_for(found.kid, alg)
        if key is None:
            raise SignerNotHeld(alg, found.kid)
        if key.alg != alg or key.kid != found.kid:
            raise AuthenticationFailed("key store answered with another key")
        keys.append(key)
    for key, found in zip(keys, signatures, strict=True):
        if not key.verify(found.signature, found.signing_input):
            raise AuthenticationFailed(f"{key.alg} signature does not hold")
    return Verified(payload, (signatures[0].kid, signatures[1].kid))


def peek_payload(raw: bytes) -> bytes:
    """Return the payload WITHOUT any trust in it: a card carries the roots that must then verify it.

    Raises AuthenticationFailed where the outer shape is wrong.
    """
    return _outer(raw)[1]


@lru_cache(maxsize=256)
def _protected(alg: str, typ: str, kid: Kid) -> bytes:
    header = {"alg": alg, "typ": typ, "kid": kid, "crit": ["bcx"], "bcx": PROFILE}
    return b64u.encode_bytes(strictjson.dumps(header))


def _read(raw: bytes, typ: str) -> tuple[bytes, tuple[_Signature, _Signature]]:
    """Return payload and signatures in the profile's order, shapes checked before any key is sought."""
    body, payload, entries = _outer(raw)
    first, second = (_signature(entry, alg, typ, body) for entry, alg in zip(entries, _ALGS, strict=True))
    return payload, (first, second)


def _outer(raw: bytes) -> tuple[bytes, bytes, list[Any]]:
    try:
        found = strictjson.loads(raw)
        if type(found) is not dict or found.keys() != _OBJECT_MEMBERS:
            raise AuthenticationFailed("signed object: other members than payload and signatures")
        body, entries = found["payload"], found["signatures"]
        if type(body) is not str or type(entries) is not list or len(entries) != len(_ALGS):
            raise AuthenticationFailed("signed object: needs a payload text and exactly two signatures")
        payload = b64u.decode(body)
    except ValueError as fault:
        raise AuthenticationFailed(f"signed object: {fault}") from None
    return body.encode("ascii"), payload, entries


def _signature(entry: object, alg: str, typ: str, body: bytes) -> _Signature:
    """Read one element of `signatures`; its header must be exactly the profile's for `alg` and `typ`."""
    if type(entry) is not dict or entry.keys() != _SIGNATURE_MEMBERS:
        raise AuthenticationFailed("signature: other members than protected and signature")
    protected, signature = entry["protected"], entry["signature"]
    if type(protected) is not str or type(signature) is not str:
        raise AuthenticationFailed("signature: members are not text")
    try:
        header = strictjson.loads(b64u.decode(protected))
        signature_bytes = b64u.decode(signature)
    except ValueError as fault:
        raise AuthenticationFailed(f"signature: {fault}") from None
    if type(header) is not dict or header.keys() != _HEADER_MEMBERS:
        raise AuthenticationFailed("protected header: other members than the profile's")
    if header["alg"] != alg:
        raise AuthenticationFailed("protected header: not Ed25519 then ML-DSA-65")
    if header["typ"] != typ or header["crit"] != ["bcx"] or header["bcx"] != PROFILE:
        raise AuthenticationFailed("protected header: typ, crit or bcx differ")
    if len(signature_bytes) != _SIGNATURE_BYTES[alg]:
        raise AuthenticationFailed("signature has the wrong length")
    try:
        kid = parse_kid(header["kid"]) if type(header["kid"]) is str else None
    except ValueError:
        kid = None
    if kid is None:
        raise AuthenticationFailed("protected header: kid is no thumbprint")
    return _Signature(kid, protected.encode("ascii") + b"." + body, signature_bytes)
