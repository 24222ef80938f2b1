"""Receives envelopes: protocol.md §4.4, its twelve steps numbered as there.

Steps that need nothing stored are judged before the transaction (`judge.py`), the others inside it; the first
that fails, in the order of the page, decides. Message, state, outcome and log entry commit together, before
any answer leaves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from gateway.errors import (
    AttachmentMissing,
    ClockSkew,
    Conflict,
    Finding,
    LocalFault,
    NotAgreed,
    Paused,
    PolicyRefused,
    Refusal,
    StorageUnavailable,
    Voided,
)
from gateway.ledger.standing import Basis
from gateway.logs import get_logger
from gateway.ports.common import Actor, Clock, FaultPoint
from gateway.ports.messages import NewArrival, NewVoid
from gateway.protocol import receipt
from gateway.protocol.envelope import OpenedEnvelope, open_sealed
from gateway.protocol.ids import CaseRef, EnvelopeId, MessageId, PartyId, case_state
from gateway.protocol.receipt import Outcome
from gateway.services.answers import Answers
from gateway.services.casefile import CaseFile, CaseMessage
from gateway.services.desk import Desk
from gateway.services.inspect import NOTHING, Inspector
from gateway.services.judge import Judge, Judged
from gateway.services.remember import CaseMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.ports.keys import KeyRing
    from gateway.ports.log import SignedCheckpoint
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.event import Event
    from gateway.services.checkpoints import Checkpointer
    from gateway.services.gate import Gate
    from gateway.services.remember import Judgement
    from gateway.services.rules import Rules

log = get_logger()

PARTNER_ROLE = "partner"
DEFERRING = (ClockSkew, LocalFault, AttachmentMissing)
"""Not taken, not stored: the sender tries again."""
CLOCK_STEP = 8
SKEW_ALARM_EVERY_MS = 3_600_000
"""A sender of many messages by a wrong clock is one alarm an hour: it must not grow our log at will."""


class Receiver:
    """`receive` takes an envelope and gives the signed receipt."""

    def __init__(
        self,
        store: Store,
        keys: KeyRing,
        rules: Rules,
        cases: CaseFile,
        checkpoints: Checkpointer,
        inspector: Inspector,
        gate: Gate,
        clock: Clock,
        doubted: Callable[[int], bool],
        fault: FaultPoint | None,
    ) -> None:
        """Take `gate`: while it is closed no envelope is opened and no receipt signed.

        `doubted(iat_ms)`: whether our time is in doubt and the sender's is another; then nothing is judged by it.
        """
        self._fault = fault
        self._gate = gate
        self._inspector = inspector
        self._judge = Judge(rules, inspector, clock, doubted)
        self._store = store
        self._keys = keys
        self._rules = rules
        self._cases = cases
        self._checkpoints = checkpoints
        self._clock = clock
        self._memory = CaseMemory(rules.me)
        self._answers = Answers(clock)
        self._skew_alarmed: dict[PartyId, int] = {}
        self._listeners: list[Callable[[int, int], None]] = []

    def on_received(self, listener: Callable[[int, int], None]) -> None:
        """Call `listener(accepted, rejected)` after each commit that gave final answers for the first time."""
        self._listeners.append(listener)

    def open(self, raw: bytes, peer: PartyId) -> OpenedEnvelope:
        """Do steps (1) to (4). Raises PartnerError: the envelope as a whole is refused, unsigned; Paused."""
        self._gate.check()
        self._gate.check_room()
        envelope = open_sealed(
            raw, me=self._rules.me, peer=peer, open_key_for=self._keys.open_key,
            verify_key_for=lambda kid, alg: self._rules.directory.verify_key(peer, kid, alg),
        )  # fmt: skip
        self._point("opened")
        return envelope

    async def receive(self, envelope: OpenedEnvelope) -> tuple[bytes, Sequence[Outcome]]:
        """Do steps (5) to (12) for each event; return the receipt, signed after the commit, and the outcomes."""
        judged = await self._judge.judge(envelope)
        self._point("validated")
        outcomes, arrivals, stream_high = await self._store.write(lambda tx: self._commit(tx, envelope, judged))
        if any(_skewed(item, outcome) for item, outcome in zip(judged, outcomes, strict=True)):
            await self._alarm_skew(envelope.iss)
        if arrivals:
            accepted = sum(1 for arrival in arrivals if arrival.status == "accepted")
            for listener in self._listeners:
                listener(accepted, len(arrivals) - accepted)
        raw = self._sign(envelope.iss, outcomes, stream_high, envelope)
        self._point("signed")
        return raw, outcomes

    async def _alarm_skew(self, sender: PartyId) -> None:
        now = self._clock()
        if 0 <= now - self._skew_alarmed.get(sender, -SKEW_ALARM_EVERY_MS) < SKEW_ALARM_EVERY_MS:
            return
        self._skew_alarmed[sender] = now
        try:
            await self._store.write(
                lambda tx: tx.log.append(
                    "audit.alarm", actor=Actor(sender, PARTNER_ROLE), obj=("party", sender), at=now,
                    outcome=ClockSkew.slug,
                )
            )  # fmt: skip
        except StorageUnavailable:
            # The answer stands all the same, and the next such message is alarmed.
            del self._skew_alarmed[sender]
        log.error("our clock and the partner's differ", partner=sender, fix=f"gateway partner ping {sender}")

    async def answer_again(self, sender: PartyId, jti: MessageId) -> bytes:
        """Return the receipt for one earlier message: `GET messages/{jti}`, with the log entry and its proof."""
        self._gate.check()

        def find(tx: Transaction) -> tuple[Outcome, int]:
            unknown = Outcome(event=None, status="unknown", received_at_ms=None, jti=jti)
            found = self._answers.one(tx, sender, jti)
            return found or unknown, tx.inbox.raise_stream_high(sender)

        found, high = await self._store.write(find)
        # One checkpoint for both: the proof must lead to the root that the receipt shows.
        checkpoint = self._checkpoints.latest
        leaf = found.leaf
        if leaf is not None:
            if checkpoint is None or leaf >= checkpoint.size:
                checkpoint = await self._checkpoints.sign()
            if checkpoint is None or leaf >= checkpoint.size:
                raise Paused("no checkpoint covers this answer yet")
            size = checkpoint.size
            entry, path = await self._store.write(lambda tx: (tx.log.data(leaf), tx.log.proof(leaf, size)))
            found = replace(found, entry=entry, proof=tuple(path))
        return self._sign(sender, [found], high, None, checkpoint)

    def _point(self, name: str) -> None:
        if self._fault is not None:
            self._fault(name)

    # --- inside the transaction -------------------------------------------------------------------

    def _commit(
        self, tx: Transaction, envelope: OpenedEnvelope, judged: Sequence[Judged]
    ) -> tuple[list[Outcome], list[NewArrival], int]:
        sender, now = envelope.iss, self._clock()
        given = self._answers.given(tx, sender, {j.digest: j.jti for j in judged})
        fresh = [j.event for j in judged if j.event is not None and j.digest not in given.outcomes]
        desk = Desk(tx, self._memory, sender, fresh, given.taken)
        known = dict(given.outcomes)
        outcomes: list[Outcome] = []
        arrivals: list[NewArrival] = []
        voids: list[NewVoid] = []
        waiting_cases: set[CaseRef] = set()
        evidence = ""
        for item in judged:
            stored = known.get(item.digest)
            if stored is not None:
                # Law 2: same message, same answer, no new entry.
                outcomes.append(stored if stored.jti or not item.jti else replace(stored, jti=MessageId(item.jti)))
                continue
            error = given.faults.get(item.digest) or self._first_fault(desk, item, waiting_cases, now)
            if error is not None and error.is_a(*DEFERRING):
                # Deferred: not taken, not stored. Later messages of its case must not overtake it.
                if item.event is not None and item.event.case is not None:
                    waiting_cases.add(item.event.case)
                outcomes.append(_deferred(item, error, now))
                continue
            if not arrivals:
                evidence = tx.envelopes.add(
                    eid=envelope.eid, partner=sender, direction="in", at=now, manifest=envelope.manifest,
                    digests=envelope.digests, leaf=None,
                )  # fmt: skip
            outcome, arrival = self._settle(desk, envelope.iss, evidence, item, error, now)
            known[item.digest] = outcome
            outcomes.append(outcome)
            arrivals.append(arrival)
            if error is None and item.event is not None and item.attached is not NOTHING:
                self._inspector.hold(tx, item.event, item.attached)
            if arrival.stream_seq is not None:
                desk.take(arrival)
            if item.event is not None and error is None and item.event.is_void:
                voids += desk.void(item.event, arrival)
        desk.save_cases()
        tx.inbox.add(arrivals)
        tx.inbox.add_voids(sender, voids)
        return outcomes, arrivals, tx.inbox.raise_stream_high(sender)

    def _first_fault(self, desk: Desk, item: Judged, waiting_cases: set[CaseRef], now: int) -> Refusal | None:
        event = item.event
        if event is None or item.failed_at <= 6:
            return item.error
        taken = self._taken(desk, event)
        if taken is not None or item.failed_at == 8:
            return taken or item.error
        if event.case in waiting_cases:
            # Nothing of its case may overtake what is deferred, nor be judged as if that had never come.
            return Refusal(ClockSkew, "an earlier message of the same case is deferred", retry_after_s=1)
        attached = self._attached_fault(desk, item)
        return (
            self._foreign_case(desk, event)
            or item.error
            or self._refused_in_case(desk, event, item.casework, now, attached)
        )

    def _attached_fault(self, desk: Desk, item: Judged) -> Refusal | None:
        # (12) What was inspected before the transaction must still be here in it.
        found = item.attached
        if found.fault is None and found.fresh:
            return self._inspector.gone(desk.tx, found)
        return found.fault

    def _taken(self, desk: Desk, event: Event) -> Refusal | None:
        # (7) Ids and numbers taken by other bytes, or given up by their sender; an id of another party's message.
        taken = desk.taken_by(event)
        if taken is None:
            if desk.is_elsewhere(event):
                detail = "the id of this message is another party's: take a new one"
                return Refusal(Conflict, detail, (Finding("/id", "taken by another message", "E-REPLAY"),))
            return None
        if taken.status == "voided":
            return Refusal(Voided, "its sender gave this message up", (Finding("/id", "given up", "E-REPLAY"),))
        where = "/id" if taken.jti == event.id else "/streamseq" if taken.stream_seq == event.stream_seq else "/caseseq"
        detail = "the id or a number of this message is taken by other bytes"
        return Refusal(Conflict, detail, (Finding(where, "taken by other bytes", "E-REPLAY"),))

    def _foreign_case(self, desk: Desk, event: Event) -> Refusal | None:
        # (9) A case it shares with me, or one that opens under its own State.
        if event.case is None or desk.case(event.case) is not None or self._may_open(event, event.case):
            return None
        detail = "not a case shared with this party, nor one opening under its own State"
        return Refusal(NotAgreed, detail, (Finding("/subject", detail, "E-REF"),))

    def _refused_in_case(
        self, desk: Desk, event: Event, casework: Judgement | None, now: int, attached: Refusal | None
    ) -> Refusal | None:
        if casework is None:
            return attached  # a void
        # (11) Casework policy that the receiver must enforce, with what is known of the case.
        case = desk.case(event.case) if event.case is not None else None
        found = self._rules.refusals(casework, desk.known(casework, case))
        if found:
            return Refusal(PolicyRefused, "a rule of casework refuses this message", found)
        if event.case is not None:
            # (11) What the message does to its case.
            message = self._case_message(event)
            if case is None:
                case = self._cases.open(event.case, event.source, event.source, message, now)
            # `now` is the receivedAt we sign: both sides start the service clocks from the same moment.
            # What (12) refuses must leave its case as it was: it is judged on a copy.
            fault = self._cases.arrive(case if attached is None else replace(case), message, now)
            if fault is not None:
                return Refusal(PolicyRefused, fault.reason, (fault,))
            if attached is None:
                desk.hold_case(case)
        if attached is None:
            desk.keep(casework, event)
            desk.perform(event, now)
        return attached

    def _case_message(self, event: Event) -> CaseMessage:
        opens = self._rules.catalogue.held(event).opens_case
        return CaseMessage(
            event.id, event.subject, opens, event.source, event.urgency, event.handling, event.time_ms, event.data,
            event.in_reply_to,
        )  # fmt: skip

    def _may_open(self, event: Event, ref: CaseRef) -> bool:
        # Else a partner could open a case in another State's name. What others call by this reference is not touched:
        # agencies of one State number for themselves.
        own_state = case_state(ref).lower() == event.source.partition(".")[0]
        return own_state and self._rules.catalogue.opens_case(event.subject)

    def _settle(
        self, desk: Desk, sender: PartyId, evidence: str, item: Judged, error: Refusal | None, now: int
    ) -> tuple[Outcome, NewArrival]:
        tx, event = desk.tx, item.event
        status: Literal["accepted", "rejected"] = "accepted" if error is None else "rejected"
        errors = error.errors[: receipt.MAX_FINDINGS] if error is not None else ()
        jti = None if item.jti is None else MessageId(item.jti)
        # What does not come from its sender, or clashes, must not hold the numbers of another message.
        owns = event is not None and item.failed_at > 6 and not (error is not None and error.is_a(Conflict, Voided))
        leaf = tx.log.append(
            "message.received", actor=Actor(sender, PARTNER_ROLE), obj=("message", jti or "unread"), at=now, jti=jti,
            event=item.digest, case=event.case if event is not None and owns else None,
            outcome=status if error is None else f"{status} {error.slug}",
            basis=Basis(case=desk.case_digest(event.case)).text() if event is not None and error is None else None,
        )  # fmt: skip
        if error is not None and error.is_a(Conflict):
            tx.log.append(
                "audit.alarm", actor=Actor(sender, PARTNER_ROLE), obj=("message", jti or "unread"), at=now, jti=jti,
                event=item.digest, outcome=error.slug,
            )  # fmt: skip
        outcome = Outcome(
            event=item.digest, status=status, received_at_ms=now, jti=jti,
            leaf=leaf, problem=None if error is None else error.slug, errors=errors,
        )  # fmt: skip
        arrival = NewArrival(
            sender=sender, digest=item.digest, jti=jti if owns else None,
            stream_seq=event.stream_seq if event is not None and owns else None,
            case_ref=event.case if event is not None and owns else None,
            case_seq=event.case_seq if event is not None and owns else None,
            status=status, subject=event.subject if event else None,
            urgency=event.urgency if event else None, handling=" ".join(event.handling) if event else None,
            schema_version=event.schema_version if event else None, in_reply_to=event.in_reply_to if event else None,
            supersedes=event.supersedes if event else None, sent_at=event.time_ms if event else None,
            received_at=now, leaf=leaf, problem=outcome.problem, errors=errors, eid=EnvelopeId(evidence),
            event=item.line if error is None else None,
        )  # fmt: skip
        return outcome, arrival

    # --- after the commit ---------------------------------------------------------------------------

    def _sign(
        self, aud: PartyId, outcomes: Sequence[Outcome], stream_high: int, envelope: OpenedEnvelope | None,
        checkpoint: SignedCheckpoint | None = None,
    ) -> bytes:  # fmt: skip
        now = self._clock()
        latest = checkpoint or self._checkpoints.latest
        return receipt.sign_receipt(
            iss=self._rules.me, aud=aud, iat_ms=now, eid=envelope.eid if envelope else None,
            manifest_sha256=envelope.manifest_sha256 if envelope else None, outcomes=outcomes,
            checkpoint=latest.note if latest else "", stream_high=stream_high, signer=self._keys.signer(now),
        )  # fmt: skip


def _skewed(item: Judged, outcome: Outcome) -> bool:
    """Say whether a clock, not a neighbour, is why an event was deferred."""
    return (
        outcome.status == "deferred"
        and item.failed_at == CLOCK_STEP
        and item.error is not None
        and item.error.is_a(ClockSkew)
    )


def _deferred(item: Judged, error: Refusal, now: int) -> Outcome:
    return Outcome(
        event=item.digest, status="deferred", received_at_ms=now, jti=None if item.jti is None else MessageId(item.jti),
        problem=error.slug, errors=error.errors, retry_after_s=error.retry_after_s,
    )  # fmt: skip
