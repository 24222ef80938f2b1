"""Seal and open: one signature and one sealing for up to 100 events (protocol.md §4.2-§4.5).

Laws kept here:
1. Opening follows §4.4 (1)-(4) in its order; the first failure decides.
2. Whatever bytes come in, out comes an `OpenedEnvelope` or a `PartnerError`, nothing else.
3. To the peer every failure of (4) is the same one; the reason stays in `detail`.
4. Sizes are looked at before work is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.errors import AuthenticationFailed, Finding, UnknownKey, WrongRecipient
from gateway.primitives import merkle
from gateway.protocol import jwe
from gateway.protocol.manifest import MAX_EVENTS, read_manifest, sign_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.protocol.ids import EnvelopeId, Kid, PartyId
    from gateway.protocol.keys import OpenKey, SealKey, Signer, VerifyKey

_ANOTHER = Finding("", "addressed to another party", "E-RECIPIENT")
_NO_KEY = Finding("", "sealed to no key that decrypts here", "E-SIG")

__all__ = ["MAX_EVENTS", "OpenedEnvelope", "Sealed", "open_sealed", "seal"]


@dataclass(frozen=True, slots=True)
class Sealed:
    """An envelope ready to post and its sender's evidence; `digests` are leaf hashes (RFC 6962)."""

    jwe: bytes
    manifest: bytes
    root: bytes
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class OpenedEnvelope:
    """An envelope that passed §4.4 (1)-(4): authentic, from `iss`, for us, whole. Its events are unread yet.

    `manifest` and `events` are lines without their newline; `digests` the RFC 6962 leaf hashes of the
    events; `kids` the keys that signed (Ed25519 first).
    """

    iss: PartyId
    aud: PartyId
    eid: EnvelopeId
    iat_ms: int
    manifest: bytes
    manifest_sha256: bytes
    events: tuple[bytes, ...]
    digests: tuple[bytes, ...]
    kids: tuple[Kid, Kid]


def seal(
    events: Sequence[bytes],
    *,
    iss: PartyId,
    aud: PartyId,
    eid: EnvelopeId,
    iat_ms: int,
    signer: Signer,
    recipient: SealKey,
    entropy: Callable[[int], bytes],
    digests: Sequence[bytes] | None = None,
) -> Sealed:
    """Sign the Merkle root of `events` (lines without newline) and seal all to `recipient`.

    `digests` are their leaf hashes where the caller has just worked them out. Draws 32 + 12 bytes from `entropy`.
    Raises ValueError for what no envelope may hold: none or over 100 events, a newline within one, over 16 MiB
    together: a caller's bug.
    """
    if not 1 <= len(events) <= MAX_EVENTS:
        raise ValueError("an envelope holds 1 to 100 events")
    if any(b"\n" in event for event in events):
        raise ValueError("an event is one line")
    digests = tuple(map(merkle.leaf_hash, events)) if digests is None else tuple(digests)
    root = merkle.root(digests)
    manifest = sign_manifest(iss=iss, aud=aud, eid=eid, iat_ms=iat_ms, n=len(events), root=root, signer=signer)
    plaintext = b"\n".join((manifest, *events, b""))
    if len(plaintext) > jwe.MAX_PLAINTEXT_BYTES:
        raise ValueError("an envelope holds at most 16 MiB")
    sealed = jwe.encrypt(plaintext, iss=iss, aud=aud, eid=eid, recipient=recipient, entropy=entropy)
    return Sealed(sealed, manifest, root, digests)


def open_sealed(
    raw: bytes,
    *,
    me: PartyId,
    peer: PartyId,
    open_key_for: Callable[[Kid], OpenKey | None],
    verify_key_for: Callable[[Kid, str], VerifyKey | None],
) -> OpenedEnvelope:
    """Open the envelope `raw` that party `peer` (known by its TLS certificate) sent to `me`.

    `open_key_for` gives a key of ours that may decrypt now, `verify_key_for` a signing key of `peer` that
    counts now; both answer None otherwise. Raises MalformedEnvelope, UnsupportedProfile, WrongRecipient,
    UnknownKey, AuthenticationFailed, or its subclass jws.SignerNotHeld where a fresh card may help.
    """
    # (1) Size, shape, strict base64url, exact header members.
    sealed = jwe.read(raw)

    # (2) Meant for me, and from whom the connection says: a partner must not forward another's envelope.
    if sealed.aud != me:
        raise WrongRecipient("envelope is for another party", errors=(_ANOTHER,))
    if sealed.iss != peer:
        raise AuthenticationFailed("envelope is from another party than the connection")

    # (3) Sealed to a key of mine that may decrypt.
    key = open_key_for(sealed.kid)
    if key is None:
        raise UnknownKey("envelope is sealed to no key that decrypts here", errors=(_NO_KEY,))

    # (4) Decrypt; both signatures; manifest against header; number and root against the lines.
    line, events = _lines(jwe.decrypt(sealed, key))
    manifest = read_manifest(line, verify_key_for)
    # Signed for someone else or taken from another envelope: re-sealing must not redirect it.
    if (manifest.iss, manifest.aud, manifest.eid) != (sealed.iss, sealed.aud, sealed.eid):
        raise AuthenticationFailed("manifest names another sender, recipient or envelope than the header")
    if manifest.n != len(events):
        raise AuthenticationFailed("manifest counts other events")
    digests = tuple(map(merkle.leaf_hash, events))
    if merkle.root(digests) != manifest.root:
        raise AuthenticationFailed("root does not fit the events")
    return OpenedEnvelope(
        iss=manifest.iss,
        aud=manifest.aud,
        eid=manifest.eid,
        iat_ms=manifest.iat_ms,
        manifest=line,
        manifest_sha256=sha256(line).digest(),
        events=events,
        digests=digests,
        kids=manifest.kids,
    )


def _lines(plaintext: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Split into manifest and events; every line ends in a newline, and there are at most 100 events."""
    # Bounded: sixteen million newlines must not become sixteen million objects.
    first, *events = plaintext.split(b"\n", MAX_EVENTS + 1)
    if not events or events.pop():
        raise AuthenticationFailed("plaintext does not end with a line, or holds over 100 events")
    if not events:
        raise AuthenticationFailed("plaintext holds no event")
    return first, tuple(events)
