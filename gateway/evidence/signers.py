"""Which card of a bundle names the keys behind a signature: for the guide, which decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError, MalformedProof
from gateway.ledger.note import NoteKey, open_checkpoint
from gateway.primitives import b64u, strictjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.protocol.card import Card


def signing_card(cards: Sequence[Card], party: str, signed: bytes) -> Card | None:
    """Return the newest card of a party that names both keys which signed a JWS, or None."""
    try:
        kids = {_member(one, "kid") for one in strictjson.loads(signed)["signatures"]}
    except (GatewayError, ValueError, TypeError, KeyError):
        return None
    naming = [card for card in cards if card.party == party and kids <= {key.kid for key in card.keys}]
    return max(naming, key=lambda card: card.version, default=None)


def note_cards(cards: Sequence[Card], checkpoint: str, party: str) -> list[tuple[Card, str]]:
    """Return (card, `log` or `witness`) for each key that made a line of a checkpoint of `party`; the newest card."""
    found: dict[str, tuple[Card, str]] = {}
    for card in sorted(cards, key=lambda card: card.version):
        use, vkey = ("log", card.log_vkey) if card.party == party else ("witness", card.witness_vkey)
        if _made_a_line(checkpoint, vkey, [one.log_vkey for one in cards if one.party == party]):
            found[vkey] = card, use
    return sorted(found.values(), key=lambda one: (one[1], one[0].version))


def _made_a_line(text: str, vkey: str, logs: Sequence[str]) -> bool:
    try:
        key = NoteKey.parse(vkey)
        found = open_checkpoint(text, [NoteKey.parse(one) for one in logs], [key])
    except MalformedProof:
        return False
    return key in found.logs or any(one.witness == key for one in found.cosignatures)


def _member(entry: dict[str, Any], name: str) -> object:
    return strictjson.loads(b64u.decode(entry["protected"]))[name]
