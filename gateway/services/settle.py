"""Records what a partner's verified receipt says: facts, in one transaction with the log."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from gateway.casework.recordaction import RECORD_ACTION
from gateway.errors import ClockSkew, LocalFault
from gateway.ledger import standing
from gateway.ledger.standing import Basis
from gateway.logs import get_logger
from gateway.ports.common import Actor, Clock
from gateway.ports.messages import RECEIPT, Attempt, Sent, Settled
from gateway.primitives import strictjson, times
from gateway.protocol import delivery
from gateway.protocol.event import CLOCK_TOLERANCE_MS, VOID
from gateway.protocol.ids import EnvelopeId, MessageId, PartyId
from gateway.protocol.states import ANSWERED, OPEN, State, Step, advance
from gateway.services.casefile import CaseFile, Effect
from gateway.services.integrity import alarm
from gateway.services.records import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.ports.store import Store, Transaction
    from gateway.protocol.receipt import Outcome

log = get_logger()

PARTNER_ROLE = "partner"

# Refused before its numbers were taken there: the partner must be told that they stay unused.
UNREAD = frozenset({"malformed-event", "source-mismatch", "wrong-recipient", "conflict"})


# Deferred for these, a message waits for a clock or for its turn; for anything else it may be its attachments.
SKEWED = ClockSkew.slug
NO_WORD_OF_FILES = frozenset({SKEWED, LocalFault.slug})


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a receipt changed: how many messages it ended, how many of them waited, how many wait again."""

    accepted: int
    rejected: int
    deferred: int
    closed: int


class Settler:
    """`record` is the one way a message of ours comes to its end by an answer."""

    def __init__(self, store: Store, cases: CaseFile, clock: Clock, draw: Callable[[], float]) -> None:
        self._store = store
        self._cases = cases
        self._clock = clock
        self._draw = draw
        self._records = Records(cases.me)
        self._listeners: list[Callable[[Recorded], None]] = []

    def on_recorded(self, listener: Callable[[Recorded], None]) -> None:
        """Call `listener` after each commit."""
        self._listeners.append(listener)

    async def record(
        self, partner: PartyId, outcomes: Sequence[tuple[MessageId, Outcome]], *, eid: EnvelopeId | None,
        receipt: bytes | None, fence: int,
    ) -> Recorded:  # fmt: skip
        """Record the outcomes of one verified receipt; `eid` None for an answer about one earlier message.

        A final answer is recorded even where our lease was lost meanwhile (law 3); only putting a
        message back needs it.
        """
        recorded = await self._store.write(lambda tx: self._record(tx, partner, outcomes, eid, receipt, fence))
        for listener in self._listeners:
            listener(recorded)
        return recorded

    def _record(
        self, tx: Transaction, partner: PartyId, outcomes: Sequence[tuple[MessageId, Outcome]],
        eid: EnvelopeId | None, receipt: bytes | None, fence: int,
    ) -> Recorded:  # fmt: skip
        now = self._clock()
        rows = tx.outbox.find([jti for jti, _ in outcomes])
        settled: list[tuple[MessageId, Settled]] = []
        attempts: list[Attempt] = []
        waiting: list[tuple[MessageId, int, str]] = []
        voids: list[MessageId] = []
        kept = sha256(receipt).digest() if receipt is not None else None
        for jti, outcome in outcomes:
            row = rows[jti]
            if not outcome.is_final:
                reason = outcome.problem or outcome.status
                at = delivery.retry_at(now, row.urgency, row.attempts, outcome.retry_after_s, self._draw)
                waiting.append((jti, at, reason))
                if outcome.problem not in NO_WORD_OF_FILES:
                    tx.attachments.redo(self._cases.me, jti, partner)
                if outcome.problem == SKEWED and row.reason != SKEWED:
                    _alarm_stamp(tx, partner, row, outcome, now)
                attempts.append(Attempt(jti, now, eid or EnvelopeId(""), "deferred", reason, at))
                continue
            if self._answered_before(tx, row, outcome, partner, now):
                continue
            accepted = outcome.status == "accepted"
            advance(State(row.state), Step.ACCEPT if accepted else Step.REJECT)
            settled.append((jti, _settled(outcome, now)))
            if row.attempts and eid:
                attempts.append(Attempt(jti, now, eid, "settled", outcome.problem, None))
            if outcome.problem in UNREAD:
                voids.append(jti)
            if row.subject == VOID and not accepted:
                tx.outbox.retell_voids(jti)
            case = self._in_case(tx, row, accepted=accepted, received_at=outcome.received_at_ms or now)
            tx.log.append(
                "message.settled", actor=Actor(partner, PARTNER_ROLE), obj=("message", jti), at=now, jti=jti,
                event=row.digest, case=row.case_ref,
                outcome=outcome.status if outcome.problem is None else f"{outcome.status} {outcome.problem}",
                basis=Basis(kept, case).text(),
            )  # fmt: skip
            self._casework(tx, row, accepted=accepted)
        tx.outbox.settle(settled, eid)
        tx.outbox.mark_void_due(voids)
        tx.outbox.requeue(waiting, fence=fence)
        tx.outbox.add_attempts(attempts)
        if receipt is not None:
            _keep_receipt(tx, partner, eid, receipt, settled, rows, now)
        count = sum(1 for _, s in settled if s.state == "accepted")
        closed = sum(1 for jti, _ in settled if State(rows[jti].state) in OPEN)
        return Recorded(count, len(settled) - count, len(waiting), closed)

    def _casework(self, tx: Transaction, row: Sent, *, accepted: bool) -> None:
        """Take the answer into what is remembered of the message, and do what the message asks."""
        if not accepted:
            tx.memory.drop(self._cases.me, row.jti)
        elif State(row.state) not in OPEN:
            tx.memory.resume(self._cases.me, row.jti)
        if accepted and row.subject == RECORD_ACTION:
            self._act(tx, row)

    def _act(self, tx: Transaction, row: Sent) -> None:
        """Do here what the partner was asked to do; not what somebody wrote into the body since."""
        event, now = tx.outbox.event(row.jti), self._clock()
        what = standing.holds(event, row.digest, tx.log.entry(row.leaf), standing.ACCEPTED, row.jti)
        if what is not None:
            alarm(tx, row.jti, what, now)
            return
        data = strictjson.loads(event)["data"]
        self._records.perform(tx, row.subject, data, partner=row.recipient, ours=True, jti=row.jti, at=now)

    def never_taken(self, tx: Transaction, row: Sent) -> bytes | None:
        """Take into the case that the partner never took a message of ours, and never will; return its row's digest.

        Its status change would else count as unanswered for ever, and refuse every one of the other side.
        """
        return self._in_case(tx, row, accepted=False, received_at=self._clock())

    def given_up(self, tx: Transaction, row: Sent) -> bytes | None:
        """Take into the case that a message of ours is given up, whatever the partner may say of it later.

        Returns the digest of the row of its case, None where it is as it was.
        """
        if row.case_ref is None or row.case_seq != 1:
            return None
        return self._cases.opening_given_up(tx, row.recipient, row.case_ref, self._clock())

    def taken_back(self, tx: Transaction, row: Sent) -> bytes | None:
        """Take into the case that a message of ours that was given up goes on; return as `given_up` does."""
        if row.case_ref is None or row.case_seq != 1:
            return None
        return self._cases.opening_taken_back(tx, row.recipient, row.case_ref)

    def _in_case(self, tx: Transaction, row: Sent, *, accepted: bool, received_at: int) -> bytes | None:
        """Take the answer into the case, its status and its clocks; return the digest of its row, None without one."""
        if row.case_ref is None or row.effect is None:
            return None
        effect = Effect(**strictjson.loads(row.effect.encode()))
        return self._cases.settled(
            tx, row.recipient, row.case_ref, row.jti, effect, accepted=accepted, received_at=received_at
        )

    def _answered_before(self, tx: Transaction, row: Sent, outcome: Outcome, partner: PartyId, now: int) -> bool:
        if State(row.state) not in ANSWERED:
            return False
        if row.state != outcome.status:
            # Law 3: two verified answers that contradict are both kept, and alarmed.
            tx.outbox.contradict(row.jti)
            tx.log.append(
                "audit.alarm", actor=Actor(partner, PARTNER_ROLE), obj=("message", row.jti), at=now, jti=row.jti,
                event=row.digest, outcome=f"contradiction {row.state} {outcome.status}",
            )  # fmt: skip
            log.error("partner contradicts itself", partner=partner, message=row.jti, state=row.state)
        return True


def _alarm_stamp(tx: Transaction, partner: PartyId, row: Sent, outcome: Outcome, now: int) -> None:
    """Tell of a message that was given a time ahead of the partner's: it, and all of its case, waits until then."""
    stamped = times.parse_ms(strictjson.loads(tx.outbox.event(row.jti))["time"])
    ahead_ms = stamped - (outcome.received_at_ms or now)
    if ahead_ms <= CLOCK_TOLERANCE_MS:
        return  # another message of its case is why it waits, or the partner's clock
    tx.log.append(
        "audit.alarm", actor=Actor(partner, PARTNER_ROLE), obj=("message", row.jti), at=now, jti=row.jti,
        event=row.digest, case=row.case_ref, outcome=f"stamped {ahead_ms // 1000} s ahead",
    )  # fmt: skip
    fix = f"gateway queue cancel {row.jti}, and submit it again"
    log.error("a message has a time ahead of the partner's clock", partner=partner, message=row.jti, fix=fix)


def _keep_receipt(
    tx: Transaction, partner: PartyId, eid: EnvelopeId | None, receipt: bytes,
    settled: Sequence[tuple[MessageId, Settled]], rows: Mapping[str, Sent], now: int,
) -> None:  # fmt: skip
    if eid is not None:
        tx.envelopes.set_receipt(eid, receipt)
        return
    for jti, _ in settled:
        # The answer about one message belongs to no envelope, and whoever sends one chooses its id: the name has a dot.
        name = jti + RECEIPT
        tx.envelopes.add(
            eid=name, partner=partner, direction="out", at=now, manifest=b"", digests=[rows[jti].digest], leaf=None
        )
        tx.envelopes.set_receipt(name, receipt)


def _settled(outcome: Outcome, now: int) -> Settled:
    state: Literal["accepted", "rejected"] = "accepted" if outcome.status == "accepted" else "rejected"
    return Settled(state, now, outcome.received_at_ms or now, outcome.leaf, outcome.problem, outcome.errors)
