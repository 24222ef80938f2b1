"""The manifest of protocol.md §4.2: one signed root that stands for every event of an envelope.

Kept with the events and their inclusion paths it proves any one of them without showing the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.errors import AuthenticationFailed
from gateway.primitives import b64u, strictjson, times
from gateway.primitives.merkle import HASH_BYTES
from gateway.protocol import jws
from gateway.protocol.ids import EnvelopeId, Kid, PartyId, parse_envelope_id, parse_party

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.protocol.keys import Signer, VerifyKey

MAX_EVENTS = 100  # protocol.md §4.3
# An honest line is about 5.2 KB, nearly all of it signatures; parsing megabytes of it serves nobody.
MAX_MANIFEST_BYTES = 16 * 2**10

_VERSION = 1
_MEMBERS = {"v", "iss", "aud", "eid", "iat", "n", "root"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the signer vouches for, and the keys it was signed with (Ed25519 first)."""

    iss: PartyId
    aud: PartyId
    eid: EnvelopeId
    iat_ms: int
    n: int
    root: bytes
    kids: tuple[Kid, Kid]


def sign_manifest(*, iss: PartyId, aud: PartyId, eid: str, iat_ms: int, n: int, root: bytes, signer: Signer) -> bytes:
    """Return the manifest JWS, one line without its newline."""
    payload = strictjson.dumps(
        {
            "v": _VERSION,
            "iss": iss,
            "aud": aud,
            "eid": eid,
            "iat": times.format_ms(iat_ms),
            "n": n,
            "root": b64u.encode(root),
        }
    )
    return jws.sign(payload, jws.MANIFEST_TYP, signer)


def read_manifest(line: bytes, key_for: Callable[[Kid, str], VerifyKey | None]) -> Manifest:
    """Return the manifest of `line` once both signatures hold under the keys of `key_for`.

    Raises AuthenticationFailed, or its subclass jws.SignerNotHeld where only a key is missing.
    """
    if len(line) > MAX_MANIFEST_BYTES:
        raise AuthenticationFailed("manifest over 16 KiB")
    verified = jws.verify(line, jws.MANIFEST_TYP, key_for)
    try:
        return _manifest(strictjson.loads(verified.payload), verified.kids)
    except ValueError as fault:
        raise AuthenticationFailed(f"manifest: {fault}") from None


def _manifest(found: Any, kids: tuple[Kid, Kid]) -> Manifest:
    if type(found) is not dict or found.keys() != _MEMBERS:
        raise ValueError("other members than the profile's")
    if type(found["v"]) is not int or found["v"] != _VERSION:
        raise ValueError("unknown version")
    if not all(type(found[name]) is str for name in ("iss", "aud", "eid", "iat", "root")):
        raise ValueError("a member is not text")
    n = found["n"]
    if type(n) is not int or not 1 <= n <= MAX_EVENTS:
        raise ValueError("n is not between 1 and 100")
    root = b64u.decode(found["root"])
    if len(root) != HASH_BYTES:
        raise ValueError("root is not 32 bytes")
    return Manifest(
        iss=parse_party(found["iss"]),
        aud=parse_party(found["aud"]),
        eid=parse_envelope_id(found["eid"]),
        iat_ms=times.parse_ms(found["iat"]),
        n=n,
        root=root,
        kids=kids,
    )
