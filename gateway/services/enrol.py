"""Enrols partners: a card file, and two officers who compare its fingerprint."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from gateway.errors import Clash, Finding, FingerprintDiffers, MalformedCard, MalformedRequest, NotFound, PartnerError
from gateway.ports.parties import StoredCard
from gateway.protocol.card import Card, OtherRoots, check_enrolment, read_card

if TYPE_CHECKING:
    from gateway.ports.common import Actor, Clock
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.contact import Contacts
    from gateway.services.directory import Directory


class Enroller:
    """`enrol`, `suspend` and `resume` are how a party becomes and stops being a partner."""

    def __init__(
        self, store: Store, directory: Directory, contacts: Contacts, clock: Clock, *, environment: str
    ) -> None:
        self._store = store
        self._directory = directory
        self._contacts = contacts
        self._clock = clock
        self._environment = environment

    def preview(self, raw: bytes) -> Card:
        """Read a card file for an officer to look at. Raises MalformedRequest with the reason."""
        try:
            card = read_card(raw.strip())
            check_enrolment(card, environment=self._environment, now_ms=self._clock())
        except PartnerError as error:
            detail = f"this card cannot be enrolled: {error.detail}"
            raise MalformedRequest(detail, errors=error.errors) from None
        if card.party == self._directory.me:
            detail = "this is our own card; enrol the partner's"
            raise MalformedRequest(detail)
        return card

    async def enrol(
        self, raw: bytes, fingerprint: str, actor: Actor
    ) -> tuple[Card, Literal["enrolled", "updated", "known"]]:
        """Enrol a party whose fingerprint two officers compared, or take its later card.

        Raises MalformedRequest for a bad card, FingerprintDiffers, Clash for other roots than the
        pinned ones.
        """
        card = self.preview(raw)
        if _digits(fingerprint) != _digits(card.fingerprint):
            detail = "the fingerprint differs from the card's: do not enrol it; ask the partner to read it again"
            raise FingerprintDiffers(detail, errors=(Finding("/fingerprint", "differs from the card's"),))
        if self._directory.partner(card.party) is not None:
            try:
                newer = await self._contacts.take_card(card.party, card)
            except OtherRoots as error:
                detail = f"{card.party} is enrolled under other roots: {error.detail}"
                raise Clash(detail, errors=error.errors) from None
            except (MalformedCard, PartnerError) as error:
                raise Clash(error.detail, errors=error.errors) from None
            return card, "updated" if newer else "known"

        def work(tx: Transaction) -> None:
            now = self._clock()
            key = tx.parties.add_card(
                StoredCard(0, card.party, card.version, sha256(card.payload).digest(), card.raw, now)
            )
            tx.parties.enrol(card.party, key, now)
            tx.log.append("partner.added", actor=actor, obj=("party", card.party), at=now,
                          event=sha256(card.payload).digest(), outcome=f"card {card.version}")  # fmt: skip

        await self._store.write(work)
        await self._directory.load()
        return card, "enrolled"

    async def set_state(self, party: PartyId, state: Literal["active", "suspended"], actor: Actor) -> None:
        """Suspend a partner, or take it back. Raises NotFound."""
        if self._directory.partner(party) is None:
            detail = "no such partner is enrolled; `gateway partner list` shows them"
            raise NotFound(detail)

        def work(tx: Transaction) -> None:
            tx.parties.set_state(party, state)
            typ = "partner.suspended" if state == "suspended" else "partner.resumed"
            tx.log.append(typ, actor=actor, obj=("party", party), at=self._clock())

        await self._store.write(work)
        await self._directory.load()


def _digits(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)
