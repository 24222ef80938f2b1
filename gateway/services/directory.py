"""Who we are and whom we know: cards in force, held in memory, read again after every change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gateway.errors import LedgerError, MalformedCard, NotFound
from gateway.ledger.note import NoteKey
from gateway.protocol.card import Card, read_card
from gateway.protocol.ids import Kid, PartyId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.ports.common import Clock
    from gateway.ports.parties import Partner
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.keys import VerifyKey


@dataclass(frozen=True, slots=True)
class KnownPartner:
    """An enrolled party: its card in force, parsed once."""

    party: PartyId
    state: Literal["active", "suspended"]
    card: Card
    log_key: NoteKey
    witness_key: NoteKey
    enrolled_at: int

    @property
    def active(self) -> bool:
        """Whether we exchange with it now."""
        return self.state == "active"


class Directory:
    """The parties as of the last `load`; synchronous to ask, so that decisions can."""

    def __init__(self, store: Store, me: PartyId, clock: Clock) -> None:
        self.me = me
        self._store = store
        self._clock = clock
        self._partners: dict[PartyId, KnownPartner] = {}
        self._mine: Card | None = None
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every load: TLS trust and sender lanes follow the partners."""
        self._listeners.append(listener)

    async def load(self) -> None:
        """Read cards and partners again. Raises LedgerError when a stored card is damaged."""

        def read(
            tx: Transaction,
        ) -> tuple[bytes | None, Sequence[Partner]]:
            newest = tx.parties.newest_card(self.me)
            return newest.jws if newest else None, tx.parties.partners()

        mine, partners = await self._store.write(read)
        try:
            self._mine = read_card(mine) if mine is not None else None
            self._partners = {stored.party: _known(stored) for stored in partners}
        except MalformedCard as error:
            detail = f"a stored party card is damaged: {error.detail}"
            raise LedgerError(detail) from None
        for listener in self._listeners:
            listener()

    @property
    def mine(self) -> Card:
        """Our own card in force. Raises NotFound before the first is signed."""
        if self._mine is None:
            detail = "this gateway has no party card yet: its root keys are not in the home; see `gateway card sign`"
            raise NotFound(detail)
        return self._mine

    @property
    def partners(self) -> Mapping[PartyId, KnownPartner]:
        """Every enrolled party, suspended ones too."""
        return self._partners

    def partner(self, party: str) -> KnownPartner | None:
        """Return an enrolled party, or None."""
        return self._partners.get(PartyId(party))

    def verify_key(self, party: PartyId, kid: Kid, alg: str) -> VerifyKey | None:
        """Return a signing key of a partner that counts now, or None."""
        partner = self._partners.get(party)
        return partner.card.verify_key(kid, alg, self._clock()) if partner else None

    def pinned(self) -> dict[PartyId, list[str]]:
        """Return the CAs we trust, by party: active partners only."""
        return {party: [known.card.tls_ca] for party, known in self._partners.items() if known.active}


def _known(stored: Partner) -> KnownPartner:
    card = read_card(stored.card)
    return KnownPartner(
        stored.party, stored.state, card, NoteKey.parse(card.log_vkey), NoteKey.parse(card.witness_vkey),
        stored.enrolled_at,
    )  # fmt: skip
