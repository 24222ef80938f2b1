"""The sealed outside of an envelope: compact JWE (RFC 7516), always `HPKE-9-KE` (protocol.md §4.3).

A fresh content key encrypts the plaintext (AES-256-GCM) and is itself sealed to the recipient by X-Wing
HPKE, bound to sender, recipient and envelope id, so that the wrapped key of one envelope opens no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import AuthenticationFailed, Finding, MalformedEnvelope, UnsupportedProfile
from gateway.primitives import b64u, strictjson
from gateway.protocol.ids import EnvelopeId, Kid, parse_envelope_id
from gateway.protocol.keys import HPKE_9_KE, X_WING_ENC_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.protocol.keys import OpenKey, SealKey

# Limits of protocol.md §4.5, looked at before any work is done for a stranger's bytes.
MAX_REQUEST_BYTES = 24 * 2**20
MAX_HEADER_BYTES = 8 * 2**10  # of the header segment as sent
MAX_PLAINTEXT_BYTES = 16 * 2**20

CEK_BYTES = 32
IV_BYTES = 12
TAG_BYTES = 16
_WRAPPED_BYTES = CEK_BYTES + TAG_BYTES
_SEGMENTS = 5
_MAX_CIPHERTEXT_TEXT = (MAX_PLAINTEXT_BYTES * 4 + 2) // 3

_PROFILE = "1"
_CONSTANTS: dict[str, Any] = {
    "alg": HPKE_9_KE,
    "enc": "A256GCM",
    "typ": "bcx-envelope+jwe",
    "cty": "bcx-envelope",
    "crit": ["bcx"],
    "bcx": _PROFILE,
}
_MEMBERS = _CONSTANTS.keys() | {"kid", "iss", "aud", "eid", "ek"}


@dataclass(frozen=True, slots=True)
class Jwe:
    """A JWE of the right shape, nothing of it verified yet. `header` is the segment as sent (the AAD)."""

    header: bytes
    kid: Kid
    iss: str
    aud: str
    eid: EnvelopeId
    wrapped: bytes  # enc ‖ ct of the content key
    iv: bytes
    ciphertext: bytes  # with its tag


def encrypt(
    plaintext: bytes,
    *,
    iss: str,
    aud: str,
    eid: str,
    recipient: SealKey,
    entropy: Callable[[int], bytes],
) -> bytes:
    """Return the compact JWE of `plaintext`; draws the content key (32), then the iv (12) from `entropy`.

    The encapsulation draws from the operating system: no argument decides it.
    """
    cek, iv = entropy(CEK_BYTES), entropy(IV_BYTES)
    wrapped = recipient.wrap(cek, _info(iss, aud, eid))
    header = b64u.encode_bytes(
        strictjson.dumps(
            {
                "alg": HPKE_9_KE,
                "enc": _CONSTANTS["enc"],
                "typ": _CONSTANTS["typ"],
                "cty": _CONSTANTS["cty"],
                "kid": recipient.kid,
                "iss": iss,
                "aud": aud,
                "eid": eid,
                "crit": _CONSTANTS["crit"],
                "bcx": _PROFILE,
                "ek": b64u.encode(wrapped[:X_WING_ENC_BYTES]),
            }
        )
    )
    sealed = memoryview(AESGCM(cek).encrypt(iv, plaintext, header))
    return b".".join(
        (
            header,
            b64u.encode_bytes(wrapped[X_WING_ENC_BYTES:]),
            b64u.encode_bytes(iv),
            b64u.encode_bytes(sealed[:-TAG_BYTES]),
            b64u.encode_bytes(sealed[-TAG_BYTES:]),
        )
    )


def read(raw: bytes) -> Jwe:
    """Return the parts of the compact JWE `raw`, unverified: step (1) of protocol.md §4.4, limits first.

    Raises UnsupportedProfile where the header names another profile, else MalformedEnvelope.
    """
    if len(raw) > MAX_REQUEST_BYTES:
        raise MalformedEnvelope("envelope over 24 MiB", errors=(Finding("", "over 24 MiB", "E-SIZE"),))
    segments = raw.split(b".", _SEGMENTS)
    if len(segments) != _SEGMENTS:
        raise MalformedEnvelope("not five segments")
    head, wrapped, iv, body, tag = segments
    if len(head) > MAX_HEADER_BYTES:
        raise MalformedEnvelope("header over 8 KiB")
    if len(body) > _MAX_CIPHERTEXT_TEXT:
        raise MalformedEnvelope("plaintext over 16 MiB")
    header = _header(head)
    return Jwe(
        header=head,
        kid=Kid(header["kid"]),
        iss=header["iss"],
        aud=header["aud"],
        eid=_envelope_id(header["eid"]),
        wrapped=_bytes(header["ek"], "ek", X_WING_ENC_BYTES) + _bytes(wrapped, "encrypted key", _WRAPPED_BYTES),
        iv=_bytes(iv, "iv", IV_BYTES),
        ciphertext=_bytes(body, "ciphertext") + _bytes(tag, "tag", TAG_BYTES),
    )


def decrypt(jwe: Jwe, key: OpenKey) -> bytes:
    """Return the plaintext; every failure is AuthenticationFailed, so that none tells a peer more."""
    try:
        cek = key.unwrap(jwe.wrapped, _info(jwe.iss, jwe.aud, jwe.eid))
    except (InvalidTag, ValueError):
        raise AuthenticationFailed("content key does not unwrap") from None
    try:
        return AESGCM(cek).decrypt(jwe.iv, jwe.ciphertext, jwe.header)
    except (InvalidTag, ValueError):
        raise AuthenticationFailed("ciphertext does not authenticate") from None


def _info(iss: str, aud: str, eid: str) -> bytes:
    """Bind the wrapped key to who, to whom and which envelope (Recipient_structure of JOSE HPKE)."""
    # Party and envelope ids hold no line feed, so no two triples give the same bytes. A stranger's may,
    # yet opening compares both with ours before it unwraps.
    return b"JOSE-HPKE rcpt\xffA256GCM\xff%b\n%b\n%b" % (iss.encode(), aud.encode(), eid.encode())


def _header(segment: bytes) -> dict[str, Any]:
    """Read the protected header: exactly the profile's members, its constants equal, the rest text."""
    try:
        header = strictjson.loads(b64u.decode(segment))
    except ValueError as fault:
        raise MalformedEnvelope(f"header: {fault}") from None
    if type(header) is not dict:
        raise MalformedEnvelope("header is not an object")
    profile = header.get("bcx")
    # Before the members: a later profile may have others, and its sender must learn which of us is behind.
    if type(profile) is str and profile != _PROFILE:
        raise UnsupportedProfile("envelope is of another profile")
    # Exactly these: `zip`, `jwk`, `jku`, `x5*` would let a message choose how it is read.
    if header.keys() != _MEMBERS:
        raise MalformedEnvelope("header: other members than the profile's")
    for name, expected in _CONSTANTS.items():
        if header[name] != expected:
            raise MalformedEnvelope(f"header: {name} is not the profile's")
    for name in ("kid", "iss", "aud", "eid", "ek"):
        if type(header[name]) is not str:
            raise MalformedEnvelope(f"header: {name} is not text")
    return header


def _envelope_id(text: str) -> EnvelopeId:
    try:
        return parse_envelope_id(text)
    except ValueError as fault:
        raise MalformedEnvelope(f"header: eid is {fault}") from None


def _bytes(text: str | bytes, name: str, length: int | None = None) -> bytes:
    try:
        raw = b64u.decode(text)
    except ValueError as fault:
        raise MalformedEnvelope(f"{name}: {fault}") from None
    if length is not None and len(raw) != length:
        raise MalformedEnvelope(f"{name} is not {length} bytes")
    return raw
