"""Gives messages up, and tells the partner so: every number of the stream is accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gateway.errors import MalformedReceipt, PartnerError, TransportError
from gateway.ledger.standing import Basis
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM, Actor, Clock, Entropy
from gateway.ports.messages import NewMessage, Sent
from gateway.primitives.merkle import leaf_hash
from gateway.protocol.delivery import OTHER_RANK
from gateway.protocol.event import (
    DEFAULT_LIFETIME_MS,
    VOID,
    VOID_SCHEMA_DIGEST,
    VOID_SCHEMA_VERSION,
    EventDraft,
    build_event,
)
from gateway.protocol.receipt import Outcome, Receipt, read_receipt
from gateway.protocol.states import State, Step, advance
from gateway.protocol.void import Void, write_voids
from gateway.services.fresh_ids import fresh_id
from gateway.services.partnerlog import leads_to_checkpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.ports.partner import PartnerLink
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.contact import Contacts
    from gateway.services.directory import Directory
    from gateway.services.settle import Settler

log = get_logger()

AT_ONCE = 100
EXPIRED = "expired"
"""Why a message died whose time was over; any other reason is a person's or a partner's."""
# How soon a partner that did not answer "did you accept it?" is asked again: messages that can go must not wait.
ASK_AGAIN_MS = 60_000


class GiveUp:
    """Dead letters, cancellations, and the `bcx.void` that follows them."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        contacts: Contacts,
        settler: Settler,
        clock: Clock,
        entropy: Entropy,
        *,
        environment: str,
        sure: Callable[[PartyId], bool],
        doubted: Callable[[PartyId], Awaitable[None]],
    ) -> None:
        """Take `sure`: whether the time may end a message to a partner; `doubted` is told where it would have."""
        self._store = store
        self._directory = directory
        self._contacts = contacts
        self._settler = settler
        self._clock = clock
        self._entropy = entropy
        self._environment = environment
        self._sure = sure
        self._doubted = doubted
        self._listeners: list[Callable[[int], None]] = []
        self._asked: dict[PartyId, int] = {}

    def on_given_up(self, listener: Callable[[int], None]) -> None:
        """Call `listener(count)` after messages were given up."""
        self._listeners.append(listener)

    async def expire(self, party: PartyId) -> None:
        """Move what is past its `expirytime` to the dead letters, with an alarm each.

        What was moved there by a clock that has been put right since goes back first. While the time is in doubt
        nothing is given up by it.
        """
        if not self._sure(party):
            if await self._store.write(lambda tx: tx.outbox.overdue(party, self._clock(), 1)):
                await self._doubted(party)
            return
        await self._revive(party)

        def work(tx: Transaction) -> int:
            now = self._clock()
            rows = tx.outbox.overdue(party, now, AT_ONCE)
            for row in rows:
                self.drop(tx, row, Step.GIVE_UP, EXPIRED, SYSTEM)
            return len(rows)

        while count := await self._store.write(work):
            log.error("messages expired undelivered", partner=party, count=count)
            self._told(count)
            if count < AT_ONCE:
                return

    async def _revive(self, party: PartyId) -> None:
        def work(tx: Transaction) -> int:
            now = self._clock()
            rows = [row for row in tx.outbox.died_early(party, now, AT_ONCE) if row.subject != VOID]
            for row in rows:
                case = self.take_back(tx, row)
                tx.outbox.move(row.jti, advance(State(row.state), Step.RETRY), at=now)
                tx.log.append("message.released", actor=SYSTEM, obj=("message", row.jti), at=now, jti=row.jti,
                              event=row.digest, case=row.case_ref, outcome="not expired",
                              basis=Basis(case=case).text())  # fmt: skip
            return len(rows)

        if count := await self._store.write(work):
            log.warning("messages given up by a wrong clock go on", partner=party, count=count)
            self._told(-count)

    def drop(
        self, tx: Transaction, row: Sent, step: Literal[Step.GIVE_UP, Step.CANCEL], reason: str, actor: Actor
    ) -> None:
        """Give one message up, in the caller's transaction. Raises IllegalTransition."""
        now = self._clock()
        state = advance(State(row.state), step)
        # Its number stays used; the partner is told once it is sure that it never took the message.
        tx.outbox.move(row.jti, state, at=now, reason=reason, void="due")
        tx.memory.suspend(self._directory.me, row.jti)
        if row.subject == VOID:
            tx.outbox.retell_voids(row.jti)
        case = self._settler.given_up(tx, row)
        if state is State.CANCELLED and row.attempts == 0:
            # It never left, and nobody can have it tried again; whatever left waits for the partner's word.
            case = self._settler.never_taken(tx, row) or case
        typ = "message.dead" if state is State.DEAD else "message.cancelled"
        tx.log.append(typ, actor=actor, obj=("message", row.jti), at=now, jti=row.jti, event=row.digest,
                      case=row.case_ref, outcome=reason, basis=Basis(case=case).text())  # fmt: skip
        if state is State.DEAD:
            tx.log.append("audit.alarm", actor=actor, obj=("message", row.jti), at=now, jti=row.jti,
                          outcome=f"dead {reason}")  # fmt: skip

    def take_back(self, tx: Transaction, row: Sent) -> bytes | None:
        """Count a message that was given up among those of its case again, in the caller's transaction.

        Returns the digest of the row of its case, for the entry that says so; None where it is as it was.
        """
        tx.memory.resume(self._directory.me, row.jti)
        return self._settler.taken_back(tx, row)

    def dropped(self, count: int) -> None:
        """Tell the listeners of messages dropped in a caller's transaction."""
        self._told(count)

    async def tell(self, party: PartyId, link: PartnerLink, fence: int) -> None:
        """Send one `bcx.void` for what was given up. "Did you accept it?" comes first: a void undoes nothing."""
        if 0 <= self._clock() - self._asked.get(party, -ASK_AGAIN_MS) < ASK_AGAIN_MS:
            return
        rows = await self._store.write(lambda tx: self._over(party, tx.outbox.voids_due(party, AT_ONCE)))
        silent: list[Sent] = []
        for row in rows:
            if State(row.state) is State.REJECTED:
                silent.append(row)
                continue
            answer = await self._ask(party, link, row)
            if answer is None:
                self._asked[party] = self._clock()
                break
            outcome, receipt = answer
            if outcome.is_final and outcome.event == row.digest:
                await self._settler.record(party, [(row.jti, outcome)], eid=None, receipt=receipt, fence=fence)
            else:
                silent.append(row)
        if silent:
            sent: bool = await self._store.write(lambda tx: self._void(tx, party, silent))
            self._told(-1 if sent else 0)

    def _over(self, party: PartyId, rows: Sequence[Sent]) -> Sequence[Sent]:
        """Return those that are over now: what only its time ended counts while that is over, and beyond doubt."""
        now, sure = self._clock(), self._sure(party)
        return [row for row in rows if row.reason != EXPIRED or (sure and row.expires_at <= now)]

    async def _ask(self, party: PartyId, link: PartnerLink, row: Sent) -> tuple[Outcome, bytes] | None:
        try:
            reply = await link.get_message(row.jti)
            if reply.status != 200:
                return None
            found = await self._contacts.reading(party, lambda: self._read_answer(party, reply.body), link)
            await self._contacts.check_checkpoint(party, found.checkpoint)
            [outcome] = found.outcomes
            if outcome.jti not in {None, row.jti}:
                raise MalformedReceipt("an answer about another message")
            if not leads_to_checkpoint(outcome, found.checkpoint):
                raise MalformedReceipt("the proof is of another entry")
        except (TransportError, PartnerError) as error:
            # Unknown stays unknown: it is asked again before anything is voided.
            log.info("not told what became of a message", partner=party, message=row.jti, code=error.slug)
            return None
        return outcome, reply.body

    def _read_answer(self, party: PartyId, raw: bytes) -> Receipt:
        return read_receipt(
            raw, iss=party, aud=self._directory.me, eid=None, manifest_sha256=None, digests=None,
            key_for=lambda kid, alg: self._directory.verify_key(party, kid, alg),
        )  # fmt: skip

    def _void(self, tx: Transaction, party: PartyId, asked: Sequence[Sent]) -> bool:
        # Meanwhile a person may have had one of them tried again: its number must stay good.
        held = tx.outbox.find([row.jti for row in asked])
        due = [row for row in held.values() if row.void == "due"]
        rows = sorted(self._over(party, due), key=lambda row: row.stream_seq)
        if not rows:
            return False
        now = self._clock()
        jti = fresh_id(tx, now, self._entropy)
        stream_seq = tx.outbox.next_stream_seq(party)
        event = build_event(
            EventDraft(
                id=jti, source=self._directory.me, subject=VOID, case=None, time_ms=now,
                expiry_ms=now + DEFAULT_LIFETIME_MS, schema_version=VOID_SCHEMA_VERSION,
                schema_digest=VOID_SCHEMA_DIGEST, recipient=party, environment=self._environment,
                stream_seq=stream_seq, case_seq=None, urgency="ROUTINE", handling=("H0",),
                salt=self._entropy(16),
            ),
            write_voids([Void(r.stream_seq, r.jti, r.state, r.case_ref, r.case_seq) for r in rows]),
        )  # fmt: skip
        digest = leaf_hash(event)
        leaf = tx.log.append("message.accepted", actor=SYSTEM, obj=("message", jti), at=now, jti=jti, event=digest)
        tx.outbox.add([
            NewMessage(
                jti=jti, recipient=party, subject=VOID, case_ref=None, case_seq=None,
                stream_seq=stream_seq, urgency="ROUTINE", rank=OTHER_RANK, handling="H0", digest=digest,
                schema_version=VOID_SCHEMA_VERSION, in_reply_to=None, supersedes=None, effect=None,
                account=SYSTEM.sub, created_at=now, expires_at=now + DEFAULT_LIFETIME_MS, leaf=leaf, event=event,
            )
        ])  # fmt: skip
        tx.outbox.voids_told([r.jti for r in rows], jti)
        for row in rows:
            case = self._settler.never_taken(tx, row)
            if case is not None and row.case_ref is not None:
                tx.log.append("case.changed", actor=SYSTEM, obj=("case", row.case_ref), at=now, jti=row.jti,
                              case=row.case_ref, outcome="not taken", basis=Basis(case=case).text())  # fmt: skip
        return True

    def _told(self, count: int) -> None:
        for listener in self._listeners:
            listener(count)
