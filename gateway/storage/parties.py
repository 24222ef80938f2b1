"""Cards and partners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sqlalchemy import bindparam, insert, select, update

from gateway.ports.parties import Partner, StoredCard
from gateway.storage import tables as t
from gateway.storage.statements import bound, compiled, fixed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from gateway.protocol.ids import PartyId

c, p = t.cards.c, t.partners.c

_CARD = (c.id, c.party, c.version, c.digest, c.jws, c.at)
_NEW_CARD = ("party", "version", "digest", "jws", "at")
_ADD_CARD = compiled(insert(t.cards).values(bound(_NEW_CARD)), *_NEW_CARD)
_NEWEST = compiled(
    select(*_CARD)
    .where(c.party == bindparam("party"), c.disputed == fixed(0))
    .order_by(c.version.desc(), c.id),
    "party",
) + " LIMIT 1"  # fmt: skip
_VERSION = compiled(
    select(*_CARD).where(c.party == bindparam("party"), c.version == bindparam("version")).order_by(c.id),
    "party", "version",
)  # fmt: skip
_DISPUTE = compiled(update(t.cards).where(c.id == bindparam("key")).values(disputed=fixed(1)), "key")
_PARTNERS = compiled(
    select(p.party, p.state, c.jws, p.enrolled_at, p.contact_at, p.down_since, p.problem)
    .join(t.cards, c.id == p.card_id)
    .order_by(p.party)
)
_NEW = ("party", "state", "card_id", "enrolled_at")
_ENROL = compiled(insert(t.partners).values(bound(_NEW)), *_NEW)
_SET_CARD = compiled(
    update(t.partners).where(p.party == bindparam("key")).values(card_id=bindparam("card")), "card", "key"
)
_SET_STATE = compiled(
    update(t.partners).where(p.party == bindparam("key")).values(state=bindparam("new")), "new", "key"
)
_SET_CONTACT = compiled(
    update(t.partners)
    .where(p.party == bindparam("key"))
    .values(contact_at=bindparam("at"), down_since=bindparam("none"), problem=bindparam("no_problem")),
    "at", "none", "no_problem", "key",
)  # fmt: skip
_SET_DOWN = compiled(
    update(t.partners)
    .where(p.party == bindparam("key"))
    .values(down_since=bindparam("since"), problem=bindparam("why")),
    "since", "why", "key",
)  # fmt: skip
_SEEN = compiled(select(p.checkpoint).where(p.party == bindparam("key")), "key")
_SET_SEEN = compiled(
    update(t.partners)
    .where(p.party == bindparam("key"))
    .values(checkpoint=bindparam("note"), checkpoint_size=bindparam("size")),
    "note", "size", "key",
)  # fmt: skip


class PartyRows:
    """`ports.Parties` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def add_card(self, card: StoredCard) -> int:
        """Store a card for ever; return its row id."""
        number = self._run(_ADD_CARD, (card.party, card.version, card.digest, card.jws, card.at)).lastrowid
        assert number is not None
        return number

    def newest_card(self, party: PartyId) -> StoredCard | None:
        """Return the undisputed card of the highest version, or None."""
        row = self._run(_NEWEST, (party,)).fetchone()
        return StoredCard(*row) if row else None

    def card_versions(self, party: PartyId, version: int) -> Sequence[StoredCard]:
        """Return every card of that version, the first held first."""
        return [StoredCard(*row) for row in self._run(_VERSION, (party, version))]

    def dispute(self, card_id: int) -> None:
        """Mark a card that differs from one of the same version: kept as evidence, never used."""
        self._run(_DISPUTE, (card_id,))

    def partners(self) -> Sequence[Partner]:
        """Return every enrolled party with its card in force."""
        return [Partner(*row) for row in self._run(_PARTNERS)]

    def enrol(self, party: PartyId, card_id: int, at: int) -> None:
        """Enrol a party under its first card."""
        self._run(_ENROL, (party, "active", card_id, at))

    def set_card(self, party: PartyId, card_id: int) -> None:
        """Put a later card in force."""
        self._run(_SET_CARD, (card_id, party))

    def set_state(self, party: PartyId, state: Literal["active", "suspended"]) -> None:
        """Suspend or resume a partner."""
        self._run(_SET_STATE, (state, party))

    def set_contact(self, party: PartyId, at: int) -> None:
        """Record a verified contact; the partner is not down."""
        self._run(_SET_CONTACT, (at, None, None, party))

    def set_down(self, party: PartyId, since: int, problem: str) -> None:
        """Record since when and why a partner is not reached."""
        self._run(_SET_DOWN, (since, problem, party))

    def checkpoint_seen(self, party: PartyId) -> str | None:
        """Return the newest checkpoint of theirs that we verified, or None."""
        row = self._run(_SEEN, (party,)).fetchone()
        return row[0] if row else None

    def set_checkpoint_seen(self, party: PartyId, note: str, size: int) -> None:
        """Keep a newer checkpoint of theirs."""
        self._run(_SET_SEEN, (note, size, party))
