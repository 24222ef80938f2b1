"""Ties receipts to the partner's log: what it signed must stand there, under a checkpoint we cosigned.

Two questions, asked lazily and at a bounded cost. Of each checkpoint a receipt carried: is it the same log as the
one we cosigned? Of each answered message: does its entry say what the receipt says, and is it in that log? The
tiles of `{endpoint}/log` answer the first, `messages/{jti}` and the tiles the second.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError, MalformedProof, PartnerError, TransportError, UnknownSigner
from gateway.ledger import entry, proof
from gateway.ledger.note import open_checkpoint, read_tree_head
from gateway.ledger.witness import format_request
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM, Actor
from gateway.primitives import merkle
from gateway.protocol.receipt import Outcome, read_receipt
from gateway.services.partnerlog import Tiles
from gateway.services.perpartner import PerPartner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.ledger.witness import Witnessed
    from gateway.ports.common import Clock
    from gateway.ports.log import Unproved
    from gateway.ports.partner import Links, PartnerLink
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import MessageId, PartyId
    from gateway.services.contact import Contacts
    from gateway.services.directory import Directory
    from gateway.services.disputes import Disputes

log = get_logger()

AT_ONCE: Final = 32
LATE_AT_ONCE: Final = 100
# Checkpoints of receipts that wait to be compared: beyond it the oldest is left out.
MOST_HEADS: Final = 32
WHOLE_TILES: Final = 64
LOOK_EVERY_S: Final = 60.0
# Of the time, how much is spent on proving while messages are on their way, and while none is.
BUSY_SHARE: Final = 0.02
IDLE_SHARE: Final = 0.5
LONGEST_PAUSE_S: Final = 1.0
# What was proved before a pause of this length is written down before it.
MARK_BEFORE_S: Final = 0.1


class Differs(Exception):
    """The partner's own signed answer shows that its log does not hold what its receipt said; why, in a word."""

    def __init__(self, why: str, answer: bytes) -> None:
        super().__init__(why)
        self.why = why
        self.answer = answer


class Prover:
    """One task a partner; woken when we have cosigned a checkpoint of its log."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        contacts: Contacts,
        disputes: Disputes,
        clock: Clock,
        *,
        links: Links,
        late_s: int,
        busy: Callable[[], bool],
    ) -> None:
        """Take `late_s`, after which a missing entry is alarmed, and `busy`: whether messages are on their way."""
        self._store = store
        self._directory = directory
        self._contacts = contacts
        self._disputes = disputes
        self._clock = clock
        self._late_ms = late_s * 1000
        self._busy = busy
        self._tasks = PerPartner("proofs", self._round, links, idle_s=LOOK_EVERY_S)
        self._heads: dict[PartyId, OrderedDict[str, None]] = {}
        self._failing: dict[PartyId, int] = {}
        self._told: set[PartyId] = set()
        self._whole: dict[str, OrderedDict[tuple[int, int], Sequence[bytes]]] = {}
        contacts.on_heard(self._tasks.heard)
        contacts.on_head(self.note_head)

    def note_head(self, party: PartyId, text: str) -> None:
        """Have a checkpoint compared, whose signature was verified, once it can be."""
        heads = self._heads.setdefault(party, OrderedDict())
        heads[text] = None
        if len(heads) > MOST_HEADS:
            heads.popitem(last=False)

    def witnessed(self, party: PartyId, suspect: str | None) -> None:
        """Go on: a checkpoint of the partner was cosigned, or one (`suspect`) came with a proof that does not hold."""
        if suspect is not None:
            self.note_head(party, suspect)
        self._tasks.wake(party)

    def follow(self) -> None:
        """Have one task for each active partner."""
        self._tasks.follow(party for party, known in self._directory.partners.items() if known.active)

    async def stop(self) -> None:
        """Stop proving."""
        await self._tasks.stop()

    async def _round(self, party: PartyId, link: PartnerLink) -> bool:
        now = self._clock()
        try:
            await self._go_on(party, link)
        except GatewayError:
            since = self._failing.setdefault(party, now)
            if now - since >= self._late_ms and party not in self._told:
                # Whoever shows nothing that can be checked must not get by with it quietly.
                self._told.add(party)
                await self._store.write(lambda tx: self._withheld(tx, party))
            raise
        self._failing.pop(party, None)
        self._told.discard(party)
        return True

    def _withheld(self, tx: Transaction, party: PartyId) -> None:
        tx.log.append("audit.alarm", actor=SYSTEM, obj=("party", party), at=self._clock(), outcome="proofs withheld")
        log.error("a partner's log cannot be checked", partner=party)

    async def _go_on(self, party: PartyId, link: PartnerLink) -> None:
        known = self._directory.partner(party)
        if known is None or not known.active:
            return
        origin = known.log_key.name
        anchor = await self._store.write(lambda tx: self._anchor(tx, party, origin))
        if anchor is not None and anchor.size and not anchor.forked:
            untold = await self._compare_heads(party, link, origin, anchor)
            tiles = self._tiles(link, origin, anchor.size)
            while rows := await self._store.write(lambda tx: tx.witness.to_prove(party, anchor.size, AT_ONCE)):
                await self._prove(party, link, tiles, anchor, rows)
            if untold is not None:
                raise untold

    def _anchor(self, tx: Transaction, party: PartyId, origin: str) -> Witnessed | None:
        """Return the newest checkpoint we cosigned; alarm, once each, what should stand below it by now."""
        anchor = tx.witness.witnessed(origin)
        if party not in self._heads:
            seen = tx.parties.checkpoint_seen(party)
            if seen is not None:
                self.note_head(party, seen)
        now = self._clock()
        oldest = tx.witness.oldest_unproved(party)
        if oldest is not None and now - oldest >= self._late_ms:
            size = anchor.size if anchor is not None else 0
            for row in tx.witness.late(party, size, now - self._late_ms, LATE_AT_ONCE):
                self._alarm(tx, party, row, "late")
        return anchor

    def _alarm(self, tx: Transaction, party: PartyId, row: Unproved, why: str) -> None:
        tx.witness.set_unproved(row.jti, why)
        tx.log.append("audit.alarm", actor=Actor(party, "partner"), obj=("message", row.jti), at=self._clock(),
                      jti=row.jti, event=row.digest, outcome=f"unproved {why}")  # fmt: skip
        log.error("a receipt is not borne out by the partner's log", partner=party, message=row.jti, reason=why)

    # --- checkpoints ---

    async def _compare_heads(
        self, party: PartyId, link: PartnerLink, origin: str, anchor: Witnessed
    ) -> GatewayError | None:
        """Compare what waits; return why one could not be told yet: it must not keep messages from being proved."""
        heads = self._heads.get(party, OrderedDict())
        untold: GatewayError | None = None
        for text in list(heads):
            head = read_tree_head(text)
            if head.origin == origin:
                small, large = sorted(((head.size, head.root, text), (anchor.size, anchor.root, anchor.note)))
                try:
                    await self._compare(party, link, origin, small, large)
                except (PartnerError, TransportError) as error:
                    untold = error
                    continue
            heads.pop(text, None)
        return untold

    async def _compare(
        self,
        party: PartyId,
        link: PartnerLink,
        origin: str,
        small: tuple[int, bytes, str],
        large: tuple[int, bytes, str],
    ) -> None:
        """Report a fork where two signed checkpoints exclude each other; raise MalformedProof where it cannot be told.

        Whatever the tiles hold: if they lead to the larger root, then no log with that root has any other root
        at the smaller size.
        """
        (size1, root1, note1), (size2, root2, note2) = small, large
        if size1 == 0 or (size1, root1) == (size2, root2):
            return
        path: list[bytes] = []
        actual = root2
        if size1 != size2:
            tiles = self._tiles(link, origin, size2)
            await tiles.fetch({*proof.needs_frontier(size1), *proof.needs_consistency(size1, size2)})
            actual, path = proof.root(tiles.read, size1), proof.consistency(tiles.read, size1, size2)
            if not merkle.verify_consistency(size1, size2, actual, root2, path):
                raise MalformedProof("the partner's tiles do not lead to the root it signed")
            tiles.remember()
        if actual != root1:
            evidence = format_request(size1, [actual, *path], note2)
            await self._disputes.report(party, "fork", note1, note2, evidence)

    # --- messages ---

    async def _prove(
        self, party: PartyId, link: PartnerLink, tiles: Tiles, anchor: Witnessed, rows: Sequence[Unproved]
    ) -> None:
        proved: list[MessageId] = []
        try:
            for row in rows:
                pause = await self._prove_one(party, link, tiles, anchor, row, proved)
                if pause > MARK_BEFORE_S:
                    await self._mark(proved)
                await asyncio.sleep(pause)
        except GatewayError:
            await self._mark(proved)
            raise
        await self._mark(proved)

    async def _prove_one(
        self, party: PartyId, link: PartnerLink, tiles: Tiles, anchor: Witnessed, row: Unproved, proved: list[MessageId]
    ) -> float:
        """Look at one message; return how long to pause, so that proving stays a small part of the work."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            await self._look(party, link, tiles, anchor, row)
            proved.append(row.jti)
        except Differs as found:
            answer, why = found.answer, found.why
            await self._store.write(lambda tx: self._keep(tx, party, row, why, answer))
        share = BUSY_SHARE if self._busy() else IDLE_SHARE
        return min(LONGEST_PAUSE_S, (loop.time() - started) * (1 / share - 1))

    async def _mark(self, proved: list[MessageId]) -> None:
        if proved:
            now, jtis = self._clock(), list(proved)
            await self._store.write(lambda tx: tx.witness.set_proved(jtis, now))
            proved.clear()

    async def _look(self, party: PartyId, link: PartnerLink, tiles: Tiles, anchor: Witnessed, row: Unproved) -> None:
        """Check one message. Raises Differs where the partner is convicted, another error where it cannot be told."""
        outcome, answer = await self._ask(party, link, row)
        if outcome.entry is None or outcome.event != row.digest or outcome.leaf != row.leaf:
            raise Differs("unknown" if outcome.status == "unknown" else "differs", answer)
        await tiles.fetch(proof.needs_inclusion(row.leaf, anchor.size))
        path = proof.inclusion(tiles.read, row.leaf, anchor.size)
        there = tiles.read(0, row.leaf // 256)[row.leaf % 256]
        if not merkle.verify_inclusion(there, row.leaf, anchor.size, path, anchor.root):
            raise MalformedProof("the partner's tiles do not lead to the root it signed")
        tiles.remember()
        if there != merkle.leaf_hash(outcome.entry) or not _says(outcome.entry, row):
            raise Differs("differs", answer)

    async def _ask(self, party: PartyId, link: PartnerLink, row: Unproved) -> tuple[Outcome, bytes]:
        reply = await link.get_message(row.jti)
        if reply.status != 200:
            raise TransportError(f"answered {reply.status} to the question about one message")
        try:
            found = read_receipt(
                reply.body, iss=party, aud=self._directory.me, eid=None, manifest_sha256=None, digests=None,
                key_for=lambda kid, alg: self._directory.verify_key(party, kid, alg),
            )  # fmt: skip
        except UnknownSigner:
            await self._contacts.refresh_card(party, link)
            raise
        outcome = found.outcomes[0]
        if outcome.jti not in {None, row.jti}:
            raise MalformedProof("an answer about another message")
        known = self._directory.partner(party)
        if known is not None:
            self.note_head(party, open_checkpoint(found.checkpoint, [known.log_key]).note)
        return outcome, reply.body

    def _keep(self, tx: Transaction, party: PartyId, row: Unproved, why: str, answer: bytes) -> None:
        if row.state == "rejected":
            # What was refused unread, or for its id, is not found by that id: nothing can be shown of it.
            tx.witness.set_unproved(row.jti, "not-shown")
            return
        self._alarm(tx, party, row, why)
        # The signed answer is the evidence; the receipt it contradicts is held already.
        name = f"{row.jti}.unproved"
        tx.envelopes.add(
            eid=name, partner=party, direction="out", at=self._clock(), manifest=b"", digests=[row.digest], leaf=None
        )
        tx.envelopes.set_receipt(name, answer)

    def _tiles(self, link: PartnerLink, origin: str, size: int) -> Tiles:
        return Tiles(link, size, self._whole.setdefault(origin, OrderedDict()), WHOLE_TILES)


def _says(data: bytes, row: Unproved) -> bool:
    """Tell whether an entry records this outcome of this event."""
    try:
        found = entry.parse(data)
    except PartnerError:
        return False
    word = (found.outcome or row.state).partition(" ")[0]
    return (found.seq, found.event, word) == (row.leaf, row.digest, row.state) and found.jti in {None, row.jti}
