"""Party cards: how a party introduces itself, and how its keys change (protocol.md §2).

Laws of this module:
1. A `Card` exists only after both of its roots have signed it. That makes it consistent, not trusted:
   trust comes from two officers comparing the fingerprint once, and from `compare_cards` ever after.
2. A key that does not count now is not handed out. After `expires` none counts.
3. Roots never change under a pinned party: other roots are another party until enrolled anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

import rfc8785

from gateway.errors import AuthenticationFailed, Conflict, Finding, MalformedCard, WrongRecipient
from gateway.protocol import jws, keys, members
from gateway.protocol.card_payload import (
    ACTIVE,
    USES,
    CardDraft,
    CardKey,
    build_payload,
    make_key,
    read_payload,
    read_roots,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.protocol.ids import Kid
    from gateway.protocol.keys import SealKey, Signer, VerifyKey

__all__ = [
    "MAX_CARD_BYTES",
    "Card",
    "CardDraft",
    "CardKey",
    "OtherRoots",
    "build_payload",
    "check_enrolment",
    "compare_cards",
    "fingerprint",
    "make_key",
    "read_card",
    "sign_card",
    "sign_payload",
]

MAX_CARD_BYTES: Final = 256 * 1024  # a usual one is 16 KB; a dozen key pairs and two CAs fit

_FINGERPRINT_GROUPS: Final = 8


class OtherRoots(MalformedCard):
    """A card of a pinned party under roots that are not the pinned ones: only a new enrolment helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card(CardDraft):
    """A card signed by its own roots; `raw` is the JWS, `payload` what it signs. Kept for ever."""

    raw: bytes = field(repr=False)
    payload: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Return what two officers read aloud, with `version`."""
        return fingerprint(self.roots)

    def verify_key(self, kid: Kid, alg: str, now_ms: int) -> VerifyKey | None:
        """Return the signing key `kid` when it counts at `now_ms` (the receiver's logged time)."""
        if now_ms >= self.expires_ms:
            return None
        for card_key in self.keys:
            if card_key.kid == kid and card_key.alg == alg and card_key.counts(now_ms):
                return card_key.key if isinstance(card_key.key, keys.VerifyKey) else None
        return None

    def seal_key(self, now_ms: int) -> SealKey | None:
        """Return the key to seal to: of the active ones that count, the one with the latest `nbf`."""
        if now_ms >= self.expires_ms:
            return None
        usable = [
            (card_key.nbf_ms, card_key.key)
            for card_key in self.keys
            if card_key.status == ACTIVE and card_key.counts(now_ms) and isinstance(card_key.key, keys.SealKey)
        ]
        return max(usable, key=lambda pair: pair[0])[1] if usable else None


def fingerprint(roots: Sequence[Mapping[str, str]]) -> str:
    """Return eight groups of five digits of SHA-256 over JCS of `roots` (Ed25519, then ML-DSA-65)."""
    digest = sha256(rfc8785.dumps([dict(root) for root in roots])).digest()
    groups = (int.from_bytes(digest[at : at + 4], "big") for at in range(0, 4 * _FINGERPRINT_GROUPS, 4))
    return " ".join(f"{group % 100_000:05d}" for group in groups)


def sign_card(draft: CardDraft, roots: Signer) -> Card:
    """Sign a card with the root pair; see `sign_payload`."""
    return sign_payload(build_payload(draft), roots)


def sign_payload(payload: bytes, roots: Signer) -> Card:
    """Sign a card's payload with the root pair and read it back, so that no unusable card is published.

    Raises:
        MalformedCard: the payload is no card, or its `roots` are not this pair.

    """
    return read_card(jws.sign(payload, jws.CARD_TYP, roots))


def read_card(raw: bytes) -> Card:
    """Read a card whose own roots sign it. It is consistent, not trusted: see `fingerprint`, `compare_cards`.

    Raises:
        MalformedCard: anything else.

    """
    if len(raw) > MAX_CARD_BYTES:
        raise MalformedCard("over the size limit of a card")
    try:
        # Only the roots are taken from the unverified payload, and only to verify it.
        claimed = read_roots(members.document(jws.peek_payload(raw)))
        by_kid: dict[tuple[str, str], VerifyKey] = {(key.kid, key.alg): key for key in claimed}
        payload = jws.verify(raw, jws.CARD_TYP, lambda kid, alg: by_kid.get((kid, alg))).payload
        draft = read_payload(members.document(payload))
    except members.Unfit as unfit:
        raise unfit.as_error(MalformedCard) from None
    except AuthenticationFailed as failed:
        raise MalformedCard(f"not signed by its own roots: {failed.detail}") from None
    said = {part.name: getattr(draft, part.name) for part in fields(CardDraft)}
    return Card(**said, raw=raw, payload=payload)


def check_enrolment(card: Card, *, environment: str, now_ms: int) -> None:
    """Refuse a first card that could not be used; the fingerprint is the officers' part.

    Raises:
        WrongRecipient: a card of the other environment.
        MalformedCard: expired, or no key to verify and seal with counts now.

    """
    if card.environment != environment:
        raise WrongRecipient("a card of another environment", errors=(Finding("/environment", "another environment"),))
    if now_ms >= card.expires_ms:
        raise MalformedCard("the card has expired", errors=(Finding("/expires", "has passed"),))
    counting = {card_key.alg for card_key in card.keys if card_key.counts(now_ms)}
    if not USES.keys() <= counting or card.seal_key(now_ms) is None:
        raise MalformedCard("not one key of each kind counts now", errors=(Finding("/keys", "none counts now"),))


def compare_cards(held: Card, offered: Card) -> Literal["same", "newer"]:
    """Judge a later card of a pinned party: `newer` may replace the one held.

    Raises:
        OtherRoots: other roots: enrol anew.
        Conflict: the same version saying something else: keep both, alarm.
        MalformedCard: another party or environment, or an older version.

    """
    if offered.party != held.party:
        raise MalformedCard("the card of another party", errors=(Finding("/party", "another party"),))
    if offered.environment != held.environment:
        raise MalformedCard("another environment", errors=(Finding("/environment", "another environment"),))
    if list(map(dict, offered.roots)) != list(map(dict, held.roots)):
        raise OtherRoots(
            "other roots than the pinned ones: enrol the party anew and compare the fingerprint",
            errors=(Finding("/roots", "not the pinned roots"),),
        )
    if offered.version < held.version:
        # An old card brought back would make revoked keys count again.
        raise MalformedCard("an older version", errors=(Finding("/version", "does not rise"),))
    if offered.version > held.version:
        return "newer"
    # What is signed is compared, not the JWS: ML-DSA signatures are randomised, so signing one payload
    # twice is one story told twice.
    if offered.payload != held.payload:
        raise Conflict("the same version says something else", errors=(Finding("/version", "taken"),))
    return "same"
