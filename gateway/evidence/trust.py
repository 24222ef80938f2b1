"""Step 3 and every question about keys: whose cards these are, and which key counted when.

Laws:
1. A card is consistent when its roots sign it, and the authority's only by a fingerprint given from outside.
2. All cards of a party have the same roots: another pair is another party (protocol.md §2).
3. A key is judged at the logged time by the card then in force; a later card adds only that it was revoked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.errors import MalformedCard, MalformedProof
from gateway.evidence.files import card_path
from gateway.evidence.findings import CARDS, Findings
from gateway.ledger.note import COSIGNATURE, ED25519, NoteKey
from gateway.protocol import keys
from gateway.protocol.card import Card, read_card

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.evidence.parts import CardPart, Parts
    from gateway.protocol.ids import Kid
    from gateway.protocol.keys import VerifyKey

UNTOLD: Final = "trusted by nobody: no fingerprint was given"
"""The fault that is in the asking, and not in the bundle."""
_DIGITS: Final = re.compile(r"[0-9]{40}")


def digits(fingerprint: str) -> str | None:
    """Return the forty digits of a fingerprint however it is spaced, or None for what is none."""
    bare = re.sub(r"[\s-]", "", fingerprint)
    return bare if _DIGITS.fullmatch(bare) else None


class Keys:
    """The keys of both parties as the cards of the bundle give them."""

    def __init__(self, cards: dict[str, list[Card]], vkeys: Sequence[NoteKey]) -> None:
        self._cards = cards
        self._vkeys = vkeys

    def in_force(self, party: str, at_ms: int) -> Card | None:
        """Return the card of the highest version issued by then, or None."""
        known = [card for card in self._cards.get(party, ()) if card.issued_ms <= at_ms]
        return known[-1] if known else None

    def any_key(self, party: str) -> Callable[[Kid, str], VerifyKey | None]:
        """Return a look-up of signing keys whatever their time: whether one counted is a fault of its own."""
        held = {
            (one.kid, one.alg): one.key
            for card in self._cards.get(party, ())
            for one in card.keys
            if isinstance(one.key, keys.VerifyKey)
        }
        return lambda kid, alg: held.get((kid, alg))

    def why_not(self, party: str, kid: Kid, at_ms: int) -> str | None:
        """Return why a key did not count at a time, or None where it did."""
        card = self.in_force(party, at_ms)
        if card is None:
            return "no card of this bundle was in force then"
        if at_ms >= card.expires_ms:
            return "the card in force then had expired"
        named = next((one for one in card.keys if one.kid == kid), None)
        if named is None:
            return "the card in force then does not name it"
        revoked = self.revoked_ms(party, kid)
        if revoked is not None and revoked <= at_ms:
            return "it was revoked before"
        return None if named.counts(at_ms) else "it was not yet or no longer valid, or not in use"

    def revoked_ms(self, party: str, kid: Kid) -> int | None:
        """Return the earliest time any card of the party says the key was revoked, or None."""
        times = [
            one.revoked_ms
            for card in self._cards.get(party, ())
            for one in card.keys
            if one.kid == kid and one.revoked_ms is not None
        ]
        return min(times, default=None)

    def log_keys(self, party: str) -> list[NoteKey]:
        """Return the log keys of a party: those of its cards, and those given from outside."""
        given = [key for key in self._vkeys if key.algorithm == ED25519 and key.name.startswith(f"{party}/")]
        return [*_vkeys(card.log_vkey for card in self._cards.get(party, ())), *given]

    def witness_keys(self, log_party: str) -> list[NoteKey]:
        """Return who may vouch for a log: the other party's witness, and witnesses given from outside."""
        cards = (card for cards in self._cards.values() for card in cards)
        given = [key for key in self._vkeys if key.algorithm == COSIGNATURE]
        found = [*_vkeys(card.witness_vkey for card in cards), *given]
        # Whoever cosigns its own log vouches for nothing.
        return [key for key in found if not key.name.startswith(f"{log_party}/")]


def _vkeys(texts: Iterable[str]) -> list[NoteKey]:
    found: dict[str, NoteKey] = {}
    for text in texts:
        try:
            found.setdefault(text, NoteKey.parse(text))
        except MalformedProof:
            continue  # a card with such a key is a fault of its own
    return list(found.values())


def check_cards(
    parts: Parts, fingerprints: Sequence[str], vkeys: Sequence[NoteKey], findings: Findings
) -> tuple[Keys, dict[str, str], list[Card]]:
    """Do step 3; return the keys, the fingerprint of each party whose card was told by `fingerprints`, and every card.

    Those are the ones that can be read, in the order of the parts: to read one costs more than the rest of a bundle.
    """
    given = {digits(text) for text in fingerprints}
    read = [(one, card) for one in parts.cards if (card := _read(one, findings)) is not None]
    cards: dict[str, list[Card]] = {}
    trusted: dict[str, str] = {}
    for party in (parts.sender, parts.recipient):
        of_party = (card for one, card in read if card.party == one.party == party)
        held = sorted(of_party, key=lambda card: card.version)
        if not findings.check(
            CARDS, bool(held), "cards/", f"no readable card of {party}", "nothing says which keys are this authority's"
        ):
            continue
        for card in held[1:]:
            findings.check(
                CARDS, card.fingerprint == held[0].fingerprint, f"cards/{party}-{card.version}.jws",
                "other root keys than the card before it", "one of the cards was made by somebody else",
            )  # fmt: skip
        cards[party] = held
        if all(digits(card.fingerprint) in given for card in held):
            trusted[party] = held[0].fingerprint
        elif given:
            findings.fault(
                CARDS, "cards/", f"the fingerprint of {party} is none of those given: {held[0].fingerprint}",
                "the keys are not those this authority told you, or a fingerprint was mistyped: nothing signed with "
                "them counts as its word",
            )  # fmt: skip
    if not given:
        findings.fault(
            CARDS, "cards/", UNTOLD,
            "the bundle may agree with itself and still be made up; ask both authorities for their fingerprints",
        )  # fmt: skip
    for one in parts.cards:
        if one.party not in {parts.sender, parts.recipient}:
            findings.fault(CARDS, card_path(one), "a card of a third party", "nothing in the bundle needs it")
    return Keys(cards, vkeys), trusted, [card for _, card in read]


def _read(one: CardPart, findings: Findings) -> Card | None:
    try:
        card = read_card(one.jws)
    except MalformedCard as fault:
        findings.fault(CARDS, card_path(one), fault.detail, "this card was changed, or never signed by its roots")
        return None
    findings.check(
        CARDS, (card.party, card.version) == (one.party, one.version), card_path(one),
        "the card is of another party or version than its name says", "the files were mixed up",
    )  # fmt: skip
    return card
