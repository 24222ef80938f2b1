"""Ties receipts to the partner's log: what it signed must stand there, under a checkpoint we cosigned.

Two questions. Of each checkpoint a receipt carried: is it the same log as the one we cosigned? Of each answered
message: does its entry say what the receipt says, and is it in that log? The tiles of `{endpoint}/log` answer the
first; the second is put for a thousand messages at once (`messages/entries`, unsigned) and held against the same
tiles. What that leaves open is asked for one by one (`messages/{jti}`, signed), so that it can be evidence.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.errors import GatewayError, MalformedProof, PartnerError, TransportError, UnknownSigner
from gateway.ledger import entry, proof
from gateway.ledger.note import open_checkpoint, read_tree_head
from gateway.ledger.tiles import TILE_WIDTH
from gateway.ledger.witness import format_request
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM, Actor
from gateway.primitives import merkle
from gateway.protocol.entries import MAX_JTIS, read_answer, write_question
from gateway.protocol.receipt import Outcome, read_receipt
from gateway.services.partnerlog import Tiles
from gateway.services.perpartner import PerPartner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.ledger.note import TreeHead
    from gateway.ledger.witness import Witnessed
    from gateway.ports.common import Clock
    from gateway.ports.log import Unproved
    from gateway.ports.partner import Links, PartnerLink
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.entries import LoggedEntry
    from gateway.protocol.ids import MessageId, PartyId
    from gateway.services.contact import Contacts
    from gateway.services.directory import Directory
    from gateway.services.disputes import Disputes

log = get_logger()

LATE_AT_ONCE: Final = 100
LATE_LOOK_EVERY_MS: Final = 60_000
# Checkpoints of receipts that wait to be compared: beyond it the oldest is left out. Full load brings 15 a second.
MOST_HEADS: Final = 1024
WHOLE_TILES: Final = 64
LOOK_EVERY_S: Final = 60.0
# Between two rounds: what is answered meanwhile shares their requests. The short one while a question is full.
GATHER_S: Final = 20.0
FULL_GATHER_S: Final = 2.0
# Entries looked at before the loop is given back.
SLICE: Final = 100
# How many are asked about one by one before the many are looked at again.
ONE_BY_ONE: Final = 32
# Of the time, how much is spent on asking one by one while messages are on their way, and while none is.
BUSY_SHARE: Final = 0.02
IDLE_SHARE: Final = 0.5
LONGEST_PAUSE_S: Final = 1.0
# The answers of a gateway that does not know the question yet.
NO_SUCH_ROUTE: Final = frozenset({404, 405, 501})


class Differs(Exception):
    """The partner's own signed answer shows that its log does not hold what its receipt said; why, in a word."""

    def __init__(self, why: str, answer: bytes) -> None:
        super().__init__(why)
        self.why = why
        self.answer = answer


class _Sweep(NamedTuple):
    """Some of the messages that unsigned answers leave open, and how many the longest question was about."""

    open: Sequence[Unproved]
    most: int


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
        self._looked_for_late: dict[PartyId, int] = {}
        self._next_round: dict[PartyId, float] = {}
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
        time = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._next_round.get(party, 0.0) - time()))
        now = self._clock()
        try:
            most = await self._go_on(party, link)
        except GatewayError:
            await self._withheld_since(party, self._failing.setdefault(party, now))
            raise
        if most:
            self._next_round[party] = time() + (GATHER_S if most < MAX_JTIS else FULL_GATHER_S)
        self._failing.pop(party, None)
        self._told.discard(party)
        return True

    async def _withheld_since(self, party: PartyId, since: int) -> None:
        """Alarm once where nothing that can be checked was shown for long: nobody gets by with that quietly."""
        if self._clock() - since >= self._late_ms and party not in self._told:
            self._told.add(party)
            await self._store.write(lambda tx: self._withheld(tx, party))

    def _withheld(self, tx: Transaction, party: PartyId) -> None:
        tx.log.append("audit.alarm", actor=SYSTEM, obj=("party", party), at=self._clock(), outcome="proofs withheld")
        log.error("a partner's log cannot be checked", partner=party)

    async def _go_on(self, party: PartyId, link: PartnerLink) -> int:
        """Compare and prove what there is; return how many messages the longest question was about."""
        known = self._directory.partner(party)
        if known is None or not known.active:
            return 0
        origin = known.log_key.name
        anchor = await self._store.write(lambda tx: self._anchor(tx, party, origin))
        if anchor is None or not anchor.size or anchor.forked:
            return 0
        whole = self._whole.setdefault(origin, OrderedDict())
        tiles = Tiles(link, anchor.size, anchor.root, whole, WHOLE_TILES)
        untold = await self._compare_heads(party, link, origin, tiles, anchor)
        most = 0
        while True:
            sweep = await self._sweep(party, link, tiles, anchor)
            most = max(most, sweep.most)
            if not sweep.open:
                break
            await self._one_by_one(party, link, tiles, sweep.open)
            # Proved in the end, but so slowly that a lie has hours to spread: as good as not shown.
            since = await self._store.write(lambda tx: tx.witness.open_since(party, anchor.size))
            if since is not None:
                await self._withheld_since(party, since)
        if untold is not None:
            raise untold
        return most

    def _anchor(self, tx: Transaction, party: PartyId, origin: str) -> Witnessed | None:
        """Return the newest checkpoint we cosigned; alarm, once each, what should stand below it by now."""
        anchor = tx.witness.witnessed(origin)
        if party not in self._heads:
            seen = tx.parties.checkpoint_seen(party)
            if seen is not None:
                self.note_head(party, seen)
        now = self._clock()
        if not 0 <= now - self._looked_for_late.get(party, -LATE_LOOK_EVERY_MS) < LATE_LOOK_EVERY_MS:
            self._looked_for_late[party] = now
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
        self, party: PartyId, link: PartnerLink, origin: str, tiles: Tiles, anchor: Witnessed
    ) -> GatewayError | None:
        """Compare what waits; return why one could not be told yet: it must not keep messages from being proved."""
        heads = self._heads.get(party, OrderedDict())
        untold: GatewayError | None = None
        for text in list(heads):
            head = read_tree_head(text)
            if head.origin == origin:
                if head.size > anchor.size and self._busy():
                    continue  # the cosigned one passes it within seconds; then its tiles are here already
                try:
                    await self._compare(party, link, tiles, anchor, head, text)
                except (PartnerError, TransportError) as error:
                    untold = error
                    continue
                await asyncio.sleep(0)
            heads.pop(text, None)
        return untold

    async def _compare(
        self, party: PartyId, link: PartnerLink, tiles: Tiles, anchor: Witnessed, head: TreeHead, text: str
    ) -> None:
        """Report a fork where two signed checkpoints exclude each other; raise MalformedProof where it cannot be told.

        Whatever the tiles hold: if they lead to the larger root, then no log with that root has any other root
        at the smaller size.
        """
        small, large = sorted(((head.size, head.root, text), (anchor.size, anchor.root, anchor.note)))
        (size1, root1, note1), (size2, root2, note2) = small, large
        if size1 == 0 or (size1, root1) == (size2, root2):
            return
        path: list[bytes] = []
        actual = root2
        if size1 != size2:
            if size2 != anchor.size:
                tiles = Tiles(link, size2, root2, OrderedDict(), 0)
            await tiles.ground({*proof.needs_frontier(size1), *proof.needs_consistency(size1, size2)})
            actual = proof.root(tiles.read, size1)
            if actual != root1:
                path = proof.consistency(tiles.read, size1, size2)
        if actual != root1:
            evidence = format_request(size1, [actual, *path], note2)
            await self._disputes.report(party, "fork", note1, note2, evidence)

    # --- messages, many at once ---

    async def _sweep(self, party: PartyId, link: PartnerLink, tiles: Tiles, anchor: Witnessed) -> _Sweep:
        """Prove whatever the unsigned answers can prove; return some of what they leave open."""
        left_open: list[Unproved] = []
        most = 0
        proved: list[int] = []
        after = (-1, 0)
        while rows := await self._store.write(partial(self._next_page, party, anchor.size, after, proved)):
            after = (rows[-1].leaf, rows[-1].id)
            most = max(most, len(rows))
            shown = await self._shown(party, link, rows)
            if shown is None:
                return _Sweep(rows[:ONE_BY_ONE], most)
            proved = []
            try:
                await hold(tiles, rows, shown, proved)
            except GatewayError:
                await self._store.write(partial(self._next_page, party, anchor.size, after, proved))
                raise
            done = set(proved)
            if len(done) < len(rows):
                log.warning("entries not as receipts say", partner=party, count=len(rows) - len(done))
                left_open += [row for row in rows if row.id not in done][: ONE_BY_ONE - len(left_open)]
        return _Sweep(left_open, most)

    def _next_page(
        self, party: PartyId, size: int, after: tuple[int, int], proved: Sequence[int], tx: Transaction
    ) -> Sequence[Unproved]:
        """Mark the last page in the transaction that reads the next: one commit for a thousand messages."""
        if proved:
            tx.witness.set_proved(proved, self._clock())
        return tx.witness.to_prove(party, size, after, MAX_JTIS)

    async def _shown(
        self, party: PartyId, link: PartnerLink, rows: Sequence[Unproved]
    ) -> Mapping[MessageId, LoggedEntry] | None:
        """Return the entries shown for these messages, None where the partner does not know the question."""
        asked = [row.jti for row in rows]
        reply = await link.post_entries(write_question(asked))
        if reply.status in NO_SUCH_ROUTE:
            return None
        if reply.status != 200:
            raise TransportError(f"answered {reply.status} to the question for entries of its log")
        try:
            return read_answer(reply.body, asked)
        except MalformedProof as error:
            # Unsigned, so it convicts nobody: as if nothing had been shown.
            log.warning("entries that cannot be read", partner=party, detail=error.detail)
            return {}

    # --- messages, one by one ---

    async def _one_by_one(self, party: PartyId, link: PartnerLink, tiles: Tiles, rows: Sequence[Unproved]) -> None:
        """Ask for a signed answer about each, at a pace at which this stays a small part of the work."""
        loop = asyncio.get_running_loop()
        for row in rows:
            started = loop.time()
            try:
                await self._look(party, link, tiles, row)
            except Differs as found:
                await self._store.write(partial(self._keep, party=party, row=row, why=found.why, answer=found.answer))
            else:
                await self._store.write(partial(self._mark, row))
            share = BUSY_SHARE if self._busy() else IDLE_SHARE
            await asyncio.sleep(min(LONGEST_PAUSE_S, (loop.time() - started) * (1 / share - 1)))

    def _mark(self, row: Unproved, tx: Transaction) -> None:
        tx.witness.set_proved([row.id], self._clock())

    async def _look(self, party: PartyId, link: PartnerLink, tiles: Tiles, row: Unproved) -> None:
        """Check one message. Raises Differs where the partner is convicted, another error where it cannot be told."""
        outcome, answer = await self._ask(party, link, row)
        if outcome.entry is None or outcome.event != row.digest or outcome.leaf != row.leaf:
            raise Differs("unknown" if outcome.status == "unknown" else "differs", answer)
        there = (await _leaves(tiles, row.leaf // TILE_WIDTH))[row.leaf % TILE_WIDTH]
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

    def _keep(self, tx: Transaction, *, party: PartyId, row: Unproved, why: str, answer: bytes) -> None:
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


async def hold(
    tiles: Tiles, rows: Sequence[Unproved], shown: Mapping[MessageId, LoggedEntry], proved: list[int]
) -> None:
    """Hold each entry against its leaf and its receipt; add the ids of those that stand to `proved`.

    Raises TransportError, or MalformedProof where no tile leads to the root; what stood before stays added.
    """
    number = -1
    leaves: Sequence[bytes] = ()
    for place, row in enumerate(rows):
        if place % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        found = shown.get(row.jti)
        if found is None or found.leaf != row.leaf:
            continue
        if row.leaf // TILE_WIDTH != number:
            number = row.leaf // TILE_WIDTH
            try:
                leaves = await _leaves(tiles, number)
            except MalformedProof:
                if not tiles.reaches:
                    raise
                leaves = ()  # of this tile nothing is proved; the others must not wait for it
        if leaves and leaves[row.leaf % TILE_WIDTH] == merkle.leaf_hash(found.data) and _says(found.data, row):
            proved.append(row.id)


async def _leaves(tiles: Tiles, number: int) -> Sequence[bytes]:
    await tiles.ground([(0, number)])
    return tiles.read(0, number)


def _says(data: bytes, row: Unproved) -> bool:
    """Tell whether an entry records this outcome of this event, as the receipt said it."""
    return entry.says(data, seq=row.leaf, typ="message.received", jti=row.jti, event=row.digest, word=row.state)
