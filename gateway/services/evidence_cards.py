"""Which party cards belong into a bundle: all that a verifier needs to judge its keys, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import PartnerError
from gateway.evidence.facts import read_payload
from gateway.evidence.parts import CardPart
from gateway.ledger.note import NoteKey, open_checkpoint
from gateway.primitives import b64u, strictjson, times
from gateway.protocol.card import Card, read_card

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def choose_cards(
    held: Mapping[str, Sequence[bytes]], moments: Sequence[int], signed: Sequence[bytes], checkpoints: Sequence[str]
) -> tuple[CardPart, ...]:
    """Return the cards for one message; `held` are all cards by party.

    Those in force at each of the `moments` and when each of the `signed` objects was signed; the newest; every one
    that says a key which signed them is revoked (later cards no longer name it); and the first that names a key which
    signed, or cosigned, one of the `checkpoints` or the one a receipt shows: signed just before the log's key changed,
    that may be older than every card in force.
    """
    payloads = [read_payload(one) for one in signed]
    at = [*moments, *(times.parse_ms(str(one["iat"])) for one in payloads)]
    kids = {kid for one in signed for kid in _kids(one)}
    cards = {party: sorted(map(read_card, raws), key=lambda card: card.version) for party, raws in held.items()}
    everybody = [card for known in cards.values() for card in known]
    chosen: dict[tuple[str, int], Card] = {}
    for known in cards.values():
        wanted = [*known[-1:], *(card for moment in at for card in _in_force(known, moment))]
        wanted += [card for card in known if any(one.kid in kids and one.revoked_ms is not None for one in card.keys)]
        chosen |= {(card.party, card.version): card for card in wanted}
    for text in [*checkpoints, *(str(one["checkpoint"]) for one in payloads if "checkpoint" in one)]:
        # Those chosen already first: another is added only for a key that none of them names.
        chosen |= {(card.party, card.version): card for card in _vouchers(text, [*chosen.values(), *everybody])}
    return tuple(CardPart(party, version, card.raw) for (party, version), card in sorted(chosen.items()))


def _in_force(known: Sequence[Card], at: int) -> Sequence[Card]:
    return [card for card in known if card.issued_ms <= at][-1:]


def _kids(signed: bytes) -> Iterable[str]:
    for one in strictjson.loads(signed)["signatures"]:
        yield strictjson.loads(b64u.decode(one["protected"]))["kid"]


def _vouchers(text: str, cards: Sequence[Card]) -> Iterable[Card]:
    """Yield the first card with each key that signed or cosigned a checkpoint."""
    seen: set[str] = set()
    for card in cards:
        for vkey in (card.log_vkey, card.witness_vkey):
            if vkey not in seen and _made_a_line(text, vkey, cards):
                seen.add(vkey)
                yield card


def _made_a_line(text: str, vkey: str, cards: Sequence[Card]) -> bool:
    key = NoteKey.parse(vkey)
    logs = [NoteKey.parse(card.log_vkey) for card in cards]
    try:
        found = open_checkpoint(text, logs, [key])
    except PartnerError:
        return False
    return key in found.logs or any(one.witness == key for one in found.cosignatures)
