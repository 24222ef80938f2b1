"""A case as somebody looks at it: where it stands, whose turn it is and until when, what happened so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from gateway.casework import lifecycle
from gateway.casework.lifecycle import CaseStatus
from gateway.casework.remembered import alert_states, progress
from gateway.errors import Clash, Finding, NotFound
from gateway.primitives import strictjson
from gateway.protocol.ids import PartyId
from gateway.services.casefile import UPDATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.casework.alerts import AlertState
    from gateway.casework.remembered import Record, RequestProgress
    from gateway.ports.cases import Case
    from gateway.ports.common import Clock
    from gateway.ports.store import Store

    Row = Mapping[str, Any]

TIMELINE_MOST = 1000
"""Messages shown of one case: the newest."""

SUBJECT_MOST = 200
"""Messages looked at that speak of an alert's subject outside of its case."""

UNKNOWN = "no such case; `gateway case list` or `GET /api/v1/cases` lists those you may see"

Action = Literal["acknowledge", "reply", "supplement", "decide", "act", "review", "monitor"]

# What the recipient does next where no clock says so (domain rules §6.1).
_ACTIONS: dict[CaseStatus, Action] = {
    CaseStatus.SUBMITTED: "decide",
    CaseStatus.RECEIVED: "decide",
    CaseStatus.ACCEPTED: "act",
    CaseStatus.UNDER_ASSESSMENT: "act",
    CaseStatus.ACTION: "act",
    CaseStatus.SUSPENDED: "review",
    CaseStatus.MONITORING: "monitor",
}


class _Reads(Protocol):
    """The questions asked here."""

    async def case(self, ref: str, account: str | None = None, partner: str | None = None) -> Sequence[Row]: ...
    async def messages(self, *, case: str | None = None, partner: str | None = None, limit: int) -> Sequence[Row]: ...
    async def case_bodies(self, ref: str, partner: str, subject: str) -> Sequence[Row]: ...
    async def remembered(self, ref: str, partner: str) -> Sequence[Record]: ...


@dataclass(frozen=True, slots=True)
class NextAction:
    """Who must do what, by when (ms; None: no date is set)."""

    party: PartyId
    action: Action
    by: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the timeline: a message of either side and, where it moves the case, from and to."""

    row: Row
    move: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class CaseView:
    """What a case page shows; no case data in it."""

    case: Case
    overdue: bool
    next_action: NextAction | None
    allowed: tuple[CaseStatus, ...]
    timeline: Sequence[Step]
    missing: Sequence[int]
    progress: Sequence[RequestProgress]
    alerts: Sequence[AlertState]


class CaseViews:
    """Puts the view of a case together."""

    def __init__(self, store: Store, reads: _Reads, clock: Clock, me: PartyId) -> None:
        self._store = store
        self._reads = reads
        self._clock = clock
        self._me = me

    async def named(self, ref: str, owner: str | None, partner: str | None) -> Row:
        """Return the one case of a reference; `owner` binds it to the cases of one client.

        A reference is its opener's word: where several partners use one, `partner` tells whose is meant. Raises
        NotFound, alike for what is unknown and what is another client's, and Clash where `partner` is needed.
        """
        rows = await self._reads.case(ref, owner, partner)
        if not rows:
            raise NotFound(UNKNOWN)
        if len(rows) > 1:
            names = ", ".join(sorted(row["partner"] for row in rows))
            detail = f"several partners use this case reference: `partner` (`--partner`) says whose, one of {names}"
            raise Clash(detail, errors=(Finding("/partner", detail, "E-REF"),))
        return rows[0]

    async def show(self, ref: str, owner: str | None, partner: str | None = None) -> CaseView:
        """Return the view of one case. Raises as `named`."""
        other = PartyId((await self.named(ref, owner, partner))["partner"])
        case = await self._store.write(lambda tx: tx.cases.find(other, ref))
        if case is None:
            raise NotFound(UNKNOWN)
        rows = await self._reads.messages(case=ref, partner=other, limit=TIMELINE_MOST)
        updates = await self._reads.case_bodies(ref, other, UPDATE)
        moves = {(row["direction"], row["id"]): _move(row["event"]) for row in updates}
        now = self._clock()
        records = await self._reads.remembered(ref, other)
        return CaseView(
            case=case,
            overdue=overdue(case, now),
            next_action=next_action(case, self._me),
            allowed=lifecycle.allowed(case.lifecycle, "O" if case.opener == self._me else "R", now),
            timeline=[Step(row, moves.get((row["direction"], row["id"]))) for row in reversed(rows)],
            missing=_gaps([row["case_seq"] for row in rows if row["direction"] == "in"]),
            progress=progress(records),
            alerts=await self._alerts(case, records, now),
        )

    async def _alerts(self, case: Case, records: Sequence[Record], now: int) -> Sequence[AlertState]:
        if not any('"alert"' in record.facts for record in records):
            return ()
        return await self._store.write(
            lambda tx: alert_states(
                records, lambda ref: tx.memory.of_key(ref, case.partner, SUBJECT_MOST), now, case.lifecycle.status
            )
        )

    async def progress(self, ref: str, owner: str | None, partner: str | None = None) -> Sequence[RequestProgress]:
        """Return how far each request of a case is answered, row by row. Raises as `named`."""
        row = await self.named(ref, owner, partner)
        return progress(await self._reads.remembered(ref, row["partner"]))


def next_action(case: Case, me: PartyId) -> NextAction | None:
    """Return whose turn it is, or None where a case is finished."""
    recipient = case.partner if case.opener == me else me
    status = case.lifecycle.status
    if status in lifecycle.FINISHED:
        return None
    if status is CaseStatus.NEEDS_INFO:
        return NextAction(case.opener, "supplement", case.lifecycle.changed_at_ms + lifecycle.SILENCE_MS)
    if case.next_by is not None:
        turn = PartyId(case.next_by)
        if case.acknowledged_at is None and case.acknowledge_by is not None:
            return NextAction(turn, "acknowledge", case.acknowledge_by)
        if case.reply_by is not None:
            return NextAction(turn, "reply", case.reply_by)
    by = case.lifecycle.changed_at_ms + lifecycle.REVIEW_SUSPENDED_MS if status is CaseStatus.SUSPENDED else None
    action = _ACTIONS.get(status)
    return NextAction(recipient, action, by) if action is not None else None


def overdue(case: Case, now_ms: int) -> bool:
    """Tell whether a running clock of the case has passed its due time."""
    if case.next_by is None:
        return False
    late_ack = case.acknowledged_at is None and (case.acknowledge_by or now_ms) < now_ms
    late_reply = case.replied_at is None and (case.reply_by or now_ms) < now_ms
    return late_ack or late_reply


def _move(raw: bytes) -> tuple[str, str] | None:
    data = strictjson.loads(raw)["data"]
    move = (data.get("fromStatus"), data.get("toStatus"))
    # Two codes leave the body here and nothing else of it.
    known = all(isinstance(code, str) and code in CaseStatus.__members__ for code in move)
    return move if known else None


def _gaps(numbers: Sequence[int | None]) -> Sequence[int]:
    held = {number for number in numbers if number is not None}
    if not held or len(held) >= TIMELINE_MOST:
        return []
    return [number for number in range(1, max(held)) if number not in held][:100]
