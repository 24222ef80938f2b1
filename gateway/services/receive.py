"""Receives envelopes: protocol.md §4.4, its twelve steps numbered as there.

Steps that need nothing stored are judged before the transaction, the others inside it; the first that
fails, in the order of the page, decides. Message, state, outcome and log entry commit together, before
any answer leaves.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gateway.errors import (
    ClockSkew,
    Conflict,
    Finding,
    NotAgreed,
    PartnerError,
    PolicyRefused,
    SchemaInvalid,
    Voided,
)
from gateway.ports import Actor, Case, Clock, KeyRing, NewArrival, NewVoid, Store, Taken, Transaction
from gateway.protocol import receipt
from gateway.protocol.envelope import OpenedEnvelope, open_sealed
from gateway.protocol.event import Event, UnreadableEvent, check_addressing, check_clock, parse_event
from gateway.protocol.ids import CaseRef, MessageId, PartyId, case_state
from gateway.protocol.receipt import Outcome
from gateway.protocol.void import read_voids
from gateway.services.casefile import CaseFile, CaseMessage, handling_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.services.checkpoints import Checkpointer
    from gateway.services.rules import Rules

# Events judged before the loop is given back: what a reader of the same loop may have to wait for.
SLICE = 20

PARTNER_ROLE = "partner"


@dataclass(frozen=True, slots=True)
class _Judged:
    """An event with the first step it fails, if any, among those that need nothing stored."""

    digest: bytes
    line: bytes
    event: Event | None
    failed_at: int
    error: PartnerError | None
    jti: str | None


NO_FAULT = 99


class Receiver:
    """`receive` takes an envelope and gives the signed receipt."""

    def __init__(
        self,
        store: Store,
        keys: KeyRing,
        rules: Rules,
        cases: CaseFile,
        checkpoints: Checkpointer,
        clock: Clock,
    ) -> None:
        self._store = store
        self._keys = keys
        self._rules = rules
        self._cases = cases
        self._checkpoints = checkpoints
        self._clock = clock

    def open(self, raw: bytes, peer: PartyId) -> OpenedEnvelope:
        """Do steps (1) to (4). Raises PartnerError: the envelope as a whole is refused, unsigned."""
        return open_sealed(
            raw, me=self._rules.me, peer=peer, open_key_for=self._keys.open_key,
            verify_key_for=lambda kid, alg: self._rules.directory.verify_key(peer, kid, alg),
        )  # fmt: skip

    async def receive(self, envelope: OpenedEnvelope) -> tuple[bytes, Sequence[Outcome]]:
        """Do steps (5) to (12) for each event; return the receipt, signed after the commit, and the outcomes."""
        judged: list[_Judged] = []
        for place, (line, digest) in enumerate(zip(envelope.events, envelope.digests, strict=True)):
            if place and place % SLICE == 0:
                await asyncio.sleep(0)
            judged.append(self._judge(line, digest, envelope))
        outcomes, stream_high = await self._store.write(lambda tx: self._commit(tx, envelope, judged))
        return self._sign(envelope.iss, outcomes, stream_high, envelope), outcomes

    async def answer_again(self, sender: PartyId, jti: MessageId) -> bytes:
        """Return the receipt for one earlier message: `GET messages/{jti}`, with the log entry and its proof."""
        checkpoint = self._checkpoints.latest

        def find(tx: Transaction) -> tuple[Outcome, int]:
            high = tx.inbox.raise_stream_high(sender)
            outcome = tx.inbox.by_jti(sender, jti)
            if outcome is None:
                return Outcome(event=None, status="unknown", received_at_ms=None, jti=jti), high
            if outcome.leaf is None or checkpoint is None or outcome.leaf >= checkpoint.size:
                return outcome, high
            entry, path = tx.log.data(outcome.leaf), tx.log.proof(outcome.leaf, checkpoint.size)
            return _with_proof(outcome, entry, path), high

        outcome, high = await self._store.write(find)
        return self._sign(sender, [outcome], high, None)

    # --- before the transaction -----------------------------------------------------------------

    def _judge(self, line: bytes, digest: bytes, envelope: OpenedEnvelope) -> _Judged:
        now = self._clock()
        rules = self._rules
        try:
            # (5) Strict JSON, required attributes, formats, size, case check character.
            event = parse_event(line, is_manifest=rules.catalogue.is_manifest)
        except UnreadableEvent as error:
            return _Judged(digest, line, None, 5, error, error.jti)
        step = 6
        try:
            # (6) From whom and for whom.
            check_addressing(event, iss=envelope.iss, me=rules.me, environment=rules.environment)
            step = 8
            # (8) The two clocks.
            check_clock(event, now_ms=now, manifest_iat_ms=envelope.iat_ms)
            if not event.is_void:
                step = 9
                # (9) Agreement before schema: a stranger must not probe schemas.
                refused = rules.agreement.permits(
                    event.source, rules.me, event.subject, event.urgency, event.handling, now
                )
                if refused is not None:
                    raise NotAgreed(refused.reason, errors=(refused,))
                step = 10
                # (10) Known version and digest, then valid.
                schema = rules.catalogue.held(event)
                validator = rules.catalogue.validator(schema)
                if not validator.is_valid(event.data):
                    found = tuple(
                        Finding("/data" + f.pointer, f.reason, f.code)
                        for f in validator.findings(event.data, limit=receipt.MAX_FINDINGS)
                    )
                    raise SchemaInvalid("data breaks its schema", errors=found)
                step = 11
                # (11) Casework policy that the receiver must enforce.
                rules.review_inbound(event)
        except PartnerError as error:
            return _Judged(digest, line, event, step, error, event.id)
        return _Judged(digest, line, event, NO_FAULT, None, event.id)

    # --- inside the transaction -------------------------------------------------------------------

    def _commit(
        self, tx: Transaction, envelope: OpenedEnvelope, judged: Sequence[_Judged]
    ) -> tuple[list[Outcome], int]:
        sender, now = envelope.iss, self._clock()
        known = dict(tx.inbox.outcomes(sender, [j.digest for j in judged]))
        desk = _Desk(tx, sender, [j.event for j in judged if j.event is not None and j.digest not in known])
        outcomes: list[Outcome] = []
        arrivals: list[NewArrival] = []
        voids: list[NewVoid] = []
        waiting_cases: set[CaseRef] = set()
        for item in judged:
            stored = known.get(item.digest)
            if stored is not None:
                # Law 2: same message, same answer, no new entry.
                outcomes.append(stored)
                continue
            error = self._first_fault(desk, item, waiting_cases)
            if isinstance(error, ClockSkew):
                # Deferred: not taken, not stored. Later messages of its case must not overtake it.
                if item.event is not None and item.event.case is not None:
                    waiting_cases.add(item.event.case)
                outcomes.append(_deferred(item, error, now))
                continue
            outcome, arrival = self._settle(tx, envelope, item, error, now)
            known[item.digest] = outcome
            outcomes.append(outcome)
            arrivals.append(arrival)
            if arrival.stream_seq is not None:
                desk.take(arrival)
            if item.event is not None and error is None and item.event.is_void:
                voids += desk.void(item.event, arrival)
        desk.save_cases()
        tx.inbox.add(arrivals)
        tx.inbox.add_voids(sender, voids)
        if arrivals:
            tx.envelopes.add(
                eid=envelope.eid, partner=sender, direction="in", at=now, manifest=envelope.manifest,
                digests=envelope.digests, leaf=None,
            )  # fmt: skip
        return outcomes, tx.inbox.raise_stream_high(sender)

    def _first_fault(self, desk: _Desk, item: _Judged, waiting_cases: set[CaseRef]) -> PartnerError | None:
        event = item.event
        if event is None or item.failed_at <= 6:
            return item.error
        taken = self._taken(desk, event)
        if taken is not None or item.failed_at == 8:
            return taken or item.error
        return self._foreign_case(desk, event) or item.error or self._refused_in_case(desk, event, waiting_cases)

    def _taken(self, desk: _Desk, event: Event) -> PartnerError | None:
        # (7) Ids and numbers taken by other bytes, or given up by their sender.
        taken = desk.taken_by(event)
        if taken is None:
            return None
        if taken.status == "voided":
            return Voided("its sender gave this message up")
        return Conflict("the id or a number of this message is taken by other bytes")

    def _foreign_case(self, desk: _Desk, event: Event) -> PartnerError | None:
        # (9) A case it shares with me, or one that opens under its own State.
        if event.case is None or desk.case(event.case) is not None or self._may_open(desk, event, event.case):
            return None
        detail = "not a case shared with this party, nor one opening under its own State"
        return NotAgreed(detail, errors=(Finding("/subject", detail, "E-REF"),))

    def _refused_in_case(self, desk: _Desk, event: Event, waiting_cases: set[CaseRef]) -> PartnerError | None:
        # (11) A reply inherits the handling of what it answers.
        answered = desk.handling_of(event.in_reply_to) if event.in_reply_to is not None else None
        weaker = self._rules.weaker_than(event.handling, answered) if answered is not None else None
        if weaker is not None:
            return PolicyRefused(weaker.reason, errors=(weaker,))
        if event.case is None:
            return None
        if event.case in waiting_cases:
            return ClockSkew("an earlier message of the same case is deferred", retry_after_s=1)
        # (11) What the message does to its case.
        case = desk.case(event.case)
        message = _case_message(event, opens=case is None)
        if case is None:
            case = self._cases.open(event.case, event.source, event.source, message)
        fault = self._cases.arrive(case, message, self._clock())
        if fault is not None:
            return PolicyRefused(fault.reason, errors=(fault,))
        desk.hold_case(case)
        return None

    def _may_open(self, desk: _Desk, event: Event, ref: CaseRef) -> bool:
        # Else one partner could write into the cases of another, or open one in another State's name.
        own_state = case_state(ref).lower() == event.source.partition(".")[0]
        return (
            own_state and self._rules.catalogue.opens_case(event.subject) and not desk.exists_elsewhere(ref)
        )

    def _settle(
        self, tx: Transaction, envelope: OpenedEnvelope, item: _Judged, error: PartnerError | None, now: int
    ) -> tuple[Outcome, NewArrival]:
        event, sender = item.event, envelope.iss
        status: Literal["accepted", "rejected"] = "accepted" if error is None else "rejected"
        errors = error.errors[: receipt.MAX_FINDINGS] if error is not None else ()
        jti = None if item.jti is None else MessageId(item.jti)
        # What does not come from its sender, or clashes, must not hold the numbers of another message.
        owns = event is not None and item.failed_at > 6 and not isinstance(error, (Conflict, Voided))
        leaf = tx.log.append(
            "message.received", actor=Actor(sender, PARTNER_ROLE), obj=("message", jti or "unread"), at=now, jti=jti,
            event=item.digest, case=event.case if event is not None and owns else None,
            outcome=status if error is None else f"{status} {error.slug}",
        )  # fmt: skip
        if isinstance(error, Conflict):
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
            received_at=now, leaf=leaf, problem=outcome.problem, errors=errors, eid=envelope.eid,
            event=item.line if error is None else None,
        )  # fmt: skip
        return outcome, arrival

    # --- after the commit ---------------------------------------------------------------------------

    def _sign(
        self, aud: PartyId, outcomes: Sequence[Outcome], stream_high: int, envelope: OpenedEnvelope | None
    ) -> bytes:
        now = self._clock()
        latest = self._checkpoints.latest
        return receipt.sign_receipt(
            iss=self._rules.me, aud=aud, iat_ms=now, eid=envelope.eid if envelope else None,
            manifest_sha256=envelope.manifest_sha256 if envelope else None, outcomes=outcomes,
            checkpoint=latest.note if latest else "", stream_high=stream_high, signer=self._keys.signer(now),
        )  # fmt: skip


class _Desk:
    """What is stored of the ids, numbers and cases of one envelope, and what its earlier events added."""

    def __init__(self, tx: Transaction, sender: PartyId, events: Sequence[Event]) -> None:
        self._tx = tx
        self._sender = sender
        self._ids: dict[str, Taken] = {}
        self._numbers: dict[int, Taken] = {}
        self._case_numbers: dict[tuple[str, int], Taken] = {}
        self._cases: dict[CaseRef, Case] = {}
        self._touched: set[CaseRef] = set()
        if not events:
            return
        rows = tx.inbox.taken(
            sender, jtis=[e.id for e in events], stream_seqs=[e.stream_seq for e in events],
            cases=[(e.case, e.case_seq) for e in events if e.case is not None and e.case_seq is not None],
        )  # fmt: skip
        for row in rows:
            self._hold(row)

    def _hold(self, row: Taken) -> None:
        if row.jti is not None:
            self._ids[row.jti] = row
        if row.stream_seq is not None:
            self._numbers[row.stream_seq] = row
        if row.case_ref is not None and row.case_seq is not None:
            self._case_numbers[row.case_ref, row.case_seq] = row

    def taken_by(self, event: Event) -> Taken | None:
        """Return who holds an id or number of this event; a void before anything else it clashes with."""
        clashes = [
            self._ids.get(event.id),
            self._numbers.get(event.stream_seq),
            self._case_numbers.get((event.case, event.case_seq)) if event.case and event.case_seq else None,
        ]
        rows = [row for row in clashes if row is not None]
        voided = [row for row in rows if row.status == "voided" and row.jti == event.id]
        return next(iter(voided or rows), None)

    def take(self, arrival: NewArrival) -> None:
        """Hold the id and numbers of an event just answered."""
        self._hold(
            Taken(
                arrival.digest,
                arrival.jti,
                arrival.stream_seq,
                arrival.case_ref,
                arrival.case_seq,
                arrival.status,
            )
        )

    def void(self, event: Event, arrival: NewArrival) -> list[NewVoid]:
        """Return the numbers a `bcx.void` gives up; it undoes nothing that was answered."""
        fresh = [
            NewVoid(v.seq, v.jti, v.case, v.case_seq, arrival.received_at, arrival.leaf, v.reason)
            for v in read_voids(event.data)
            if v.seq not in self._numbers and v.jti not in self._ids
        ]
        for v in fresh:
            self._hold(Taken(None, v.jti, v.stream_seq, v.case_ref, v.case_seq, "voided"))
        return fresh

    def case(self, ref: CaseRef) -> Case | None:
        """Return a case shared with the sender, as this envelope leaves it."""
        if ref not in self._cases:
            case = self._tx.cases.find(ref)
            if case is None or case.partner != self._sender:
                return None
            self._cases[ref] = case
        return self._cases[ref]

    def exists_elsewhere(self, ref: CaseRef) -> bool:
        """Say whether the reference belongs to a case with somebody else."""
        return self._tx.cases.find(ref) is not None

    def handling_of(self, jti: str) -> tuple[str, ...] | None:
        """Return the handling of a message exchanged with this sender, or None."""
        return handling_of(self._tx, self._sender, jti)

    def hold_case(self, case: Case) -> None:
        """Keep what an accepted event did to its case, for the next events and for storage."""
        self._cases[case.ref] = case
        self._touched.add(case.ref)

    def save_cases(self) -> None:
        """Store what the accepted events did to their cases."""
        for ref in self._touched:
            self._tx.cases.save(self._cases[ref])


def _case_message(event: Event, *, opens: bool) -> CaseMessage:
    return CaseMessage(
        event.id, event.subject, opens, event.source, event.urgency, event.handling, event.time_ms, event.data
    )


def _deferred(item: _Judged, error: PartnerError, now: int) -> Outcome:
    return Outcome(
        event=item.digest, status="deferred", received_at_ms=now, jti=None if item.jti is None else MessageId(item.jti),
        problem=error.slug, errors=error.errors, retry_after_s=error.retry_after_s,
    )  # fmt: skip


def _with_proof(outcome: Outcome, entry: bytes, path: Sequence[bytes]) -> Outcome:
    return Outcome(
        event=outcome.event, status=outcome.status, received_at_ms=outcome.received_at_ms, jti=outcome.jti,
        leaf=outcome.leaf, problem=outcome.problem, errors=outcome.errors, entry=entry, proof=tuple(path),
    )  # fmt: skip
