"""What is known of the ids, numbers and cases of one envelope while it is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.ports.messages import NewArrival, NewVoid, Taken
from gateway.protocol.void import read_voids
from gateway.services.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.casework.policies import CaseFacts
    from gateway.casework.remembered import Record
    from gateway.ports.cases import Case
    from gateway.ports.store import Transaction
    from gateway.protocol.event import Event
    from gateway.protocol.ids import CaseRef, PartyId
    from gateway.services.remember import CaseMemory, Judgement


class Desk:
    """What is stored of the ids, numbers and cases of one envelope, and what its earlier events added."""

    def __init__(
        self, tx: Transaction, memory: CaseMemory, sender: PartyId, events: Sequence[Event], logged: Iterable[Taken]
    ) -> None:
        """Take `logged`: ids that are taken by the log's word, whatever the tables have left of them."""
        self.tx = tx
        self._memory = memory
        self._sender = sender
        self._ids: dict[str, Taken] = {}
        self._elsewhere: set[str] = set()
        self._numbers: dict[int, Taken] = {}
        self._case_numbers: dict[tuple[str, int], Taken] = {}
        self._cases: dict[CaseRef, Case] = {}
        self._touched: set[CaseRef] = set()
        self._records: dict[CaseRef, list[Record]] = {}
        self._actions = Records(memory.me)
        if not events:
            return
        # What a void gives up is looked up with the rest: it undoes nothing that was answered before.
        voids = [void for e in events if e.is_void for void in read_voids(e.data)]
        places = [(e.case, e.case_seq) for e in events] + [(v.case, v.case_seq) for v in voids]
        rows = tx.inbox.taken(
            sender,
            jtis=[e.id for e in events] + [v.jti for v in voids],
            stream_seqs=[e.stream_seq for e in events] + [v.seq for v in voids],
            cases=[(case, number) for case, number in places if case is not None and number is not None],
        )
        for row in (*logged, *rows):
            self._hold(row)
        self._elsewhere = tx.inbox.elsewhere(sender, [e.id for e in events])

    def is_elsewhere(self, event: Event) -> bool:
        """Say whether the id of this event is another message's: ours, or another partner's."""
        return event.id in self._elsewhere

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
        fresh: list[NewVoid] = []
        for v in read_voids(event.data):
            if v.seq in self._numbers:
                continue
            # The number counts as given up even where its id or its place in the case is held by another
            # message: else the stream would have a gap for ever.
            jti = v.jti if v.jti not in self._ids else None
            case, number = (v.case, v.case_seq) if (v.case, v.case_seq) not in self._case_numbers else (None, None)
            fresh.append(NewVoid(v.seq, jti, case, number, arrival.received_at, arrival.leaf, v.reason))
            self._hold(Taken(None, jti, v.seq, case, number, "voided"))
        return fresh

    def case(self, ref: CaseRef) -> Case | None:
        """Return a case shared with the sender, as this envelope leaves it."""
        if ref not in self._cases:
            case = self.tx.cases.find(self._sender, ref)
            if case is None:
                return None
            self._cases[ref] = case
        return self._cases[ref]

    def known(self, judged: Judgement, case: Case | None) -> CaseFacts:
        """Return what is known of a case, the earlier events of this envelope included."""
        return self._memory.known(self.tx, judged, case, self._records_of(case) if case is not None else ())

    def keep(self, judged: Judgement, event: Event) -> None:
        """Keep what an accepted event leaves for those that follow."""
        record = self._memory.keep(self.tx, judged, jti=event.id, case=event.case, supersedes=event.supersedes)
        if record is not None and event.case in self._records:
            self._records[event.case].append(record)

    def perform(self, event: Event, now: int) -> None:
        """Do to kept messages what an accepted event asks."""
        self._actions.perform(
            self.tx, event.subject, event.data, partner=self._sender, ours=False, jti=event.id, at=now
        )  # fmt: skip

    def _records_of(self, case: Case) -> list[Record]:
        if case.ref not in self._records:
            self._records[case.ref] = list(self.tx.memory.of_case(self._sender, case.ref))
        return self._records[case.ref]

    def hold_case(self, case: Case) -> None:
        """Keep what an accepted event did to its case, for the next events and for storage."""
        self._cases[case.ref] = case
        self._touched.add(case.ref)

    def case_digest(self, ref: CaseRef | None) -> bytes | None:
        """Return the digest of a case as this envelope leaves it so far, None where it did nothing to one."""
        return self.tx.cases.digest(self._cases[ref]) if ref is not None and ref in self._touched else None

    def save_cases(self) -> None:
        """Store what the accepted events did to their cases."""
        for ref in self._touched:
            self.tx.cases.save(self._cases[ref])
