"""What we hear of partners: pings, newer cards, their checkpoints; and what we note of the link."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import (
    Conflict,
    MalformedCard,
    MalformedProof,
    MalformedReceipt,
    PartnerError,
    TransportError,
    UnknownSigner,
)
from gateway.ledger.note import open_checkpoint, read_tree_head
from gateway.logs import get_logger
from gateway.ports.common import Actor, Clock
from gateway.ports.parties import StoredCard
from gateway.protocol.card import Card, compare_cards, read_card
from gateway.protocol.stream import read_ping, sign_ping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.ports.keys import KeyRing
    from gateway.ports.partner import Links, PartnerLink
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.protocol.stream import Ping
    from gateway.services.directory import Directory
    from gateway.services.disputes import Disputes

log = get_logger()

T = TypeVar("T")

CARD_EVERY_MS = 60_000
"""A card is fetched once a minute at most, however many envelopes ask for it (protocol.md §2)."""
NOTE_CONTACT_EVERY_MS = 60_000


class Contacts:
    """The state of the link to each partner, and the cards that come over it."""

    def __init__(self, store: Store, keys: KeyRing, directory: Directory, disputes: Disputes, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self._directory = directory
        self._disputes = disputes
        self._clock = clock
        self._asked: dict[PartyId, int] = {}
        self._noted: dict[PartyId, int] = {}
        self._down: set[PartyId] = set()
        self._heads: dict[str, tuple[int, bytes]] = {}
        self._listeners: list[Callable[[PartyId], None]] = []
        self._back_listeners: list[Callable[[PartyId], None]] = []
        self._time_listeners: list[Callable[[PartyId, int], None]] = []
        self._head_listeners: list[Callable[[PartyId, str], None]] = []
        self._links: Links | None = None

    def use_links(self, links: Links) -> None:
        """Take how a partner is reached outside its lane."""
        self._links = links

    def on_heard(self, listener: Callable[[PartyId], None]) -> None:
        """Call `listener(party)` at each verified contact."""
        self._listeners.append(listener)

    def on_back(self, listener: Callable[[PartyId], None]) -> None:
        """Call `listener(party)` when a partner that was lost is heard of: what waits for it is due now."""
        self._back_listeners.append(listener)

    def on_head(self, listener: Callable[[PartyId, str], None]) -> None:
        """Call `listener(party, note)` with each checkpoint of a receipt that is not the one before it."""
        self._head_listeners.append(listener)

    def on_time(self, listener: Callable[[PartyId, int], None]) -> None:
        """Call `listener(party, ms)` with each time a partner signed just now."""
        self._time_listeners.append(listener)

    def remember(self, down: Iterable[PartyId]) -> None:
        """Take over who was down when an earlier process stopped: their first contact ends the back-off."""
        self._down.update(down)

    def told_time(self, party: PartyId, iat_ms: int) -> None:
        """Note the time in something a partner signed just now, before anything is decided by ours."""
        for listener in self._time_listeners:
            listener(party, iat_ms)

    async def heard(self, party: PartyId) -> None:
        """Note a verified contact; end the back-off of everything that waits for this partner."""
        now = self._clock()
        was_down = party in self._down
        if was_down or not 0 <= now - self._noted.get(party, 0) < NOTE_CONTACT_EVERY_MS:

            def work(tx: Transaction) -> None:
                tx.parties.set_contact(party, now)
                if was_down:
                    tx.outbox.wake(party, now)

            await self._store.write(work)
            # Only now: what a full disk kept from being woken is woken by the next contact.
            self._noted[party] = now
            if was_down:
                # Not otherwise: it may have been lost since we looked, and what waits for it was not woken.
                self._down.discard(party)
                log.info("partner is back", partner=party)
                for listener in self._back_listeners:
                    listener(party)
        for listener in self._listeners:
            listener(party)

    async def lost(self, party: PartyId, reason: str, record: Callable[[Transaction], None] = lambda _tx: None) -> None:
        """Note that a partner is not reached, in one transaction with the failed attempt that `record` writes."""
        if party in self._down:
            await self._store.write(record)
        else:
            now = self._clock()

            def work(tx: Transaction) -> None:
                record(tx)
                tx.parties.set_down(party, now, reason[:200])

            # Before the write: a contact that comes meanwhile must find a back-off to end, or nobody ends it. Its
            # own write comes after this one, so that it wakes what this one puts off.
            self._down.add(party)
            try:
                await self._store.write(work)
            except BaseException:
                self._down.discard(party)
                raise
            log.warning("partner is down", partner=party, reason=reason)

    async def ping(self, party: PartyId, link: PartnerLink) -> int | None:
        """Ping; return the partner's clock minus ours in ms, or None where no verified answer came."""
        try:
            return await self.ask(party, link)
        except (TransportError, PartnerError):
            return None

    async def ask(self, party: PartyId, link: PartnerLink) -> int:
        """Ping as `ping` does. Raises TransportError, PartnerError with what failed."""
        now = self._clock()
        body = sign_ping(iss=self._directory.me, aud=party, iat_ms=now, signer=self._keys.signer(now))
        reply = await link.ping(body)
        if reply.status != 200:
            detail = f"it answered {reply.status}"
            raise TransportError(detail)
        answer = await self.reading(party, lambda: self.read_ping(party, reply.body), link)
        self.told_time(party, answer.iat_ms)
        await self.heard(party)
        return answer.iat_ms - (now + self._clock()) // 2

    def read_ping(self, party: PartyId, raw: bytes) -> Ping:
        """Verify a ping of a partner, or its answer to ours. Raises PartnerError."""
        return read_ping(
            raw, iss=party, aud=self._directory.me,
            key_for=lambda kid, alg: self._directory.verify_key(party, kid, alg),
        )  # fmt: skip

    async def reading(
        self, party: PartyId, read: Callable[[], T], link: PartnerLink | None = None, *, aside: bool = False
    ) -> T:
        """Return what `read` verifies; where its signer is not held, fetch the card first (protocol.md §2).

        The partner may have rotated its keys since we last saw its card. `aside`: what is read is so large that it
        is read in a thread. Raises what `read` raises.
        """
        try:
            return await asyncio.to_thread(read) if aside else read()
        except UnknownSigner:
            if not await (self.fetch_card(party) if link is None else self.refresh_card(party, link)):
                raise
        return await asyncio.to_thread(read) if aside else read()

    async def refresh_card(self, party: PartyId, link: PartnerLink) -> bool:
        """Fetch the partner's card; return whether a newer one is now in force."""
        now = self._clock()
        if 0 <= now - self._asked.get(party, -CARD_EVERY_MS) < CARD_EVERY_MS:
            return False
        self._asked[party] = now
        try:
            reply = await link.get_card()
            return reply.status == 200 and await self.take_card(party, read_card(reply.body))
        except (TransportError, PartnerError) as error:
            log.warning("card not refreshed", partner=party, code=error.slug, detail=error.detail)
            return False

    async def fetch_card(self, party: PartyId) -> bool:
        """Fetch the card over a link of its own; as `refresh_card`."""
        if self._links is None or 0 <= self._clock() - self._asked.get(party, -CARD_EVERY_MS) < CARD_EVERY_MS:
            return False
        async with self._links(party) as link:
            return await self.refresh_card(party, link)

    async def take_card(self, party: PartyId, card: Card) -> bool:
        """Put a later card in force. Raises PartnerError where protocol.md §2 refuses it; evidence is kept."""
        known = self._directory.partner(party)
        if known is None:
            detail = "no such partner is enrolled"
            raise MalformedCard(detail)
        try:
            if compare_cards(known.card, card) == "same":
                return False
        except Conflict:
            await self._store.write(lambda tx: self._keep_disputed(tx, party, card))
            log.error("partner signed two cards of one version", partner=party, number=card.version)  # noqa: TRY400 - the trace would say nothing of the partner's two cards
            raise
        await self._store.write(lambda tx: self._store_card(tx, party, card))
        await self._directory.load()
        return True

    async def check_checkpoint(self, party: PartyId, text: str) -> None:
        """Verify a checkpoint under the partner's log key; keep the newest. Raises MalformedReceipt.

        Two roots for one size under a valid signature are a fork: both notes are kept and alarmed.
        """
        known = self._directory.partner(party)
        assert known is not None
        try:
            head = open_checkpoint(text, [known.log_key])
        except MalformedProof as error:
            raise MalformedReceipt(f"checkpoint: {error.detail}") from None
        if head.origin in self._disputes.forked:
            raise MalformedReceipt("the log of this checkpoint has two histories")
        if head.origin not in self._heads:
            await self._store.write(lambda tx: self._recall_head(tx, party))
        seen = self._heads.get(head.origin)
        if seen == (head.size, head.root):
            return
        if seen is not None and seen[0] == head.size:
            held = await self._store.write(lambda tx: tx.parties.checkpoint_seen(party))
            await self._disputes.report(party, "fork", held or text, head.note)
            raise MalformedReceipt("the checkpoint contradicts one seen before")
        for listener in self._head_listeners:
            listener(party, text)
        if seen is not None and head.size < seen[0]:
            # A log only grows: this is a replayed answer, or a log that was cut back.
            raise MalformedReceipt("the checkpoint is older than one seen before")
        await self._store.write(lambda tx: tx.parties.set_checkpoint_seen(party, text, head.size))
        self._heads[head.origin] = (head.size, head.root)

    def _recall_head(self, tx: Transaction, party: PartyId) -> None:
        # Verified when it was stored. A fork must not pass because we were started anew in between.
        held = tx.parties.checkpoint_seen(party)
        if held is not None:
            head = read_tree_head(held)
            self._heads.setdefault(head.origin, (head.size, head.root))

    def _store_card(self, tx: Transaction, party: PartyId, card: Card) -> None:
        now = self._clock()
        key = tx.parties.add_card(StoredCard(0, party, card.version, _digest(card), card.raw, now))
        tx.parties.set_card(party, key)
        tx.log.append("partner.updated", actor=Actor(party, "partner"), obj=("party", party), at=now,
                      outcome=f"card {card.version}")  # fmt: skip

    def _keep_disputed(self, tx: Transaction, party: PartyId, card: Card) -> None:
        now, digest = self._clock(), _digest(card)
        if any(held.digest == digest for held in tx.parties.card_versions(party, card.version)):
            return
        key = tx.parties.add_card(StoredCard(0, party, card.version, digest, card.raw, now))
        tx.parties.dispute(key)
        self._alarm(tx, party, "card disputed", str(card.version))

    def _alarm(self, tx: Transaction, party: PartyId, what: str, which: str) -> None:
        tx.log.append("audit.alarm", actor=Actor(party, "partner"), obj=("party", party), at=self._clock(),
                      outcome=f"{what} {which}")  # fmt: skip


def _digest(card: Card) -> bytes:
    return sha256(card.payload).digest()
