"""Inbox rows: every final answer we gave a partner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, func, insert, select, union

from gateway.errors import Finding
from gateway.ports.messages import NewArrival, NewVoid, StreamItem, Taken
from gateway.protocol.entries import LoggedEntry
from gateway.protocol.ids import MessageId, PartyId
from gateway.protocol.receipt import Outcome
from gateway.storage import tables as t
from gateway.storage.statements import bound, compiled, fixed, json_list, limited, values_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

i, h, e = t.inbox.c, t.stream_heads.c, t.entries.c

_OUTCOME = (i.digest, i.jti, i.status, i.received_at, i.leaf, i.problem, i.errors)
_BY_DIGEST = compiled(
    select(*_OUTCOME).where(i.sender == bindparam("sender"), i.digest == bindparam("digest")),
    "sender",
    "digest",
)
_BY_JTI = compiled(
    select(*_OUTCOME).where(
        i.sender == bindparam("sender"), i.jti == bindparam("jti"), i.status != fixed("voided")
    ),
    "sender", "jti",
)  # fmt: skip
_ENTRIES = compiled(
    select(i.jti, i.leaf, e.data)
    .join(t.entries, e.seq == i.leaf)
    .where(i.sender == bindparam("sender"), i.jti.in_(values_of("jtis")), i.status != fixed("voided")),
    "sender", "jtis",
)  # fmt: skip
_TAKEN = (i.digest, i.jti, i.stream_seq, i.case_ref, i.case_seq, i.status)
# Three look-ups, one index each: an OR over them would make SQLite scan.
_TAKEN_JTI = compiled(select(*_TAKEN).where(i.sender == bindparam("sender"), i.jti.in_(values_of("l"))), "sender", "l")
_TAKEN_SEQ = compiled(
    select(*_TAKEN).where(i.sender == bindparam("sender"), i.stream_seq.in_(values_of("l"))), "sender", "l"
)
_TAKEN_CASE = compiled(
    select(*_TAKEN).where(
        i.sender == bindparam("sender"), i.case_ref == bindparam("ref"), i.case_seq == bindparam("seq")
    ),
    "sender", "ref", "seq",
)  # fmt: skip
# Two look-ups of one index each, whatever else the partner has sent.
_ELSEWHERE = compiled(
    union(
        select(i.jti).where(
            i.jti.in_(values_of("theirs")), i.sender != bindparam("sender"), i.status != fixed("voided")
        ),
        select(t.outbox.c.jti).where(t.outbox.c.jti.in_(values_of("ours"))),
    ),
    "theirs", "sender", "ours",
)  # fmt: skip
_USED = limited(select(i.id).where(i.jti == bindparam("key")), "key")
_NEW = (
    "sender", "digest", "jti", "stream_seq", "case_ref", "case_seq", "status", "subject", "urgency", "handling",
    "schema_version", "in_reply_to", "supersedes", "sent_at", "received_at", "leaf", "problem", "errors", "eid",
    "body_id",
)  # fmt: skip
_ADD = compiled(insert(t.inbox).values(bound(_NEW)), *_NEW)
_ADD_BODY = compiled(insert(t.bodies).values(bound(("id", "event"))), "id", "event")
_VOID = ("sender", "jti", "stream_seq", "case_ref", "case_seq", "status", "received_at", "leaf", "problem")
_ADD_VOID = compiled(insert(t.inbox).prefix_with("OR IGNORE").values(bound(_VOID)), *_VOID)
_HIGH = compiled(select(h.high).where(h.partner == bindparam("sender")), "sender")
_NUMBERS = limited(
    select(i.stream_seq)
    .where(i.sender == bindparam("sender"), i.stream_seq > bindparam("high"))
    .order_by(i.stream_seq),
    "sender", "high",
)  # fmt: skip
_PASSED_AT = compiled(
    select(func.min(i.received_at)).where(i.sender == bindparam("sender"), i.stream_seq > bindparam("number")),
    "sender", "number",
)  # fmt: skip
_SET_HIGH = (
    "INSERT INTO stream_heads (partner, sent, high) VALUES (?, 0, ?) "
    "ON CONFLICT (partner) DO UPDATE SET high = excluded.high"
)
_STREAM = limited(
    select(i.stream_seq, i.jti, i.digest, i.status)
    .where(i.sender == bindparam("sender"), i.stream_seq >= bindparam("start"))
    .order_by(i.stream_seq),
    "sender", "start",
)  # fmt: skip
_STEP = 1000

_URGENCY = compiled(select(i.urgency).where(i.sender == bindparam("party"), i.jti == bindparam("jti")), "party", "jti")
_HANDLING = compiled(
    select(i.handling).where(i.sender == bindparam("party"), i.jti == bindparam("jti")), "party", "jti"
)


class InboxRows:
    """`ports.Inbox` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._run = connection.execute

    def outcomes(self, sender: PartyId, digests: Sequence[bytes]) -> Mapping[bytes, Outcome]:
        """Return the final answers already given to these events, by digest."""
        rows = (self._run(_BY_DIGEST, (sender, digest)).fetchone() for digest in digests)
        return {row[0]: _outcome(row) for row in rows if row is not None}

    def by_jti(self, sender: PartyId, jti: str) -> Outcome | None:
        """Return the final answer given to one message, or None."""
        row = self._run(_BY_JTI, (sender, jti)).fetchone()
        return _outcome(row) if row is not None else None

    def entries(self, sender: PartyId, jtis: Sequence[MessageId]) -> Mapping[MessageId, LoggedEntry]:
        """Return the committed log entries of the final answers given to these messages, by message."""
        return {row[0]: LoggedEntry(*row) for row in self._run(_ENTRIES, (sender, json_list(jtis)))}

    def taken(
        self,
        sender: PartyId,
        *,
        jtis: Sequence[str],
        stream_seqs: Sequence[int],
        cases: Sequence[tuple[str, int]],
    ) -> Sequence[Taken]:
        """Return who holds these ids and numbers; `cases` are (case reference, case number)."""
        found: list[Taken] = []
        if jtis:
            found += [Taken(*row) for row in self._run(_TAKEN_JTI, (sender, json_list(jtis)))]
        if stream_seqs:
            found += [Taken(*row) for row in self._run(_TAKEN_SEQ, (sender, json_list(stream_seqs)))]
        # One look-up each: a join with a list of pairs makes SQLite read the sender's whole inbox.
        for ref, seq in cases:
            found += [Taken(*row) for row in self._run(_TAKEN_CASE, (sender, ref, seq))]
        return found

    def elsewhere(self, sender: PartyId, jtis: Sequence[str]) -> set[str]:
        """Return which of these ids are another message's: one we sent, or one another partner did.

        A number that a partner gave up holds nothing of another one's: naming ids in a void costs it nothing.
        """
        named = json_list(jtis)
        return {jti for (jti,) in self._run(_ELSEWHERE, (named, sender, named))}

    def used(self, jti: str) -> bool:
        """Say whether any partner sent or gave up a message of this id."""
        return self._run(_USED, (jti, 1)).fetchone() is not None

    def add(self, arrivals: Sequence[NewArrival]) -> None:
        """Store final answers, and the bodies of accepted messages."""
        number = self._run("SELECT max(id) FROM bodies").fetchone()[0] or 0
        bodies: list[tuple[int, bytes]] = []
        rows: list[tuple[Any, ...]] = []
        for a in arrivals:
            body = None
            if a.event is not None:
                body = number = number + 1
                bodies.append((body, a.event))
            rows.append((
                a.sender, a.digest, a.jti, a.stream_seq, a.case_ref, a.case_seq, a.status, a.subject, a.urgency,
                a.handling, a.schema_version, a.in_reply_to, a.supersedes, a.sent_at, a.received_at, a.leaf,
                a.problem, _errors_text(a.errors), a.eid, body,
            ))  # fmt: skip
        self._connection.executemany(_ADD_BODY, bodies)
        self._connection.executemany(_ADD, rows)

    def add_voids(self, sender: PartyId, voids: Sequence[NewVoid]) -> None:
        """Store numbers the sender gave up; those taken already stay as they are."""
        self._connection.executemany(
            _ADD_VOID,
            [(sender, v.jti, v.stream_seq, v.case_ref, v.case_seq, "voided", v.at, v.leaf, v.reason) for v in voids],
        )

    def raise_stream_high(self, sender: PartyId) -> int:
        """Advance and return the highest M with 1…M all answered or voided."""
        row = self._run(_HIGH, (sender,)).fetchone()
        start = high = row[0] if row else 0
        while True:
            before = high
            for (number,) in self._run(_NUMBERS, (sender, high, _STEP)).fetchall():
                if number != high + 1:
                    break
                high = number
            if high < before + _STEP:
                break
        if high != start:
            self._run(_SET_HIGH, (sender, high))
        return high

    def passed_at(self, sender: PartyId, number: int) -> int | None:
        """Return when the first message behind a number was answered, in ms; None where there is none."""
        at: int | None = self._run(_PASSED_AT, (sender, number)).fetchone()[0]
        return at

    def urgency(self, partner: PartyId, jti: str) -> str | None:
        """Return the urgency of one message, or None where there is none."""
        row = self._run(_URGENCY, (partner, jti)).fetchone()
        return row[0] if row else None

    def handling(self, partner: PartyId, jti: str) -> str | None:
        """Return the handling codes of one message, or None where there is none."""
        row = self._run(_HANDLING, (partner, jti)).fetchone()
        return row[0] if row else None

    def stream(self, sender: PartyId, start: int, limit: int) -> Sequence[StreamItem]:
        """Return what we hold of the sender's stream from `start` on, by number."""
        return [StreamItem(*row) for row in self._run(_STREAM, (sender, start, limit))]


def _errors_text(errors: Sequence[Finding]) -> str | None:
    return orjson.dumps([e.as_dict() for e in errors]).decode() if errors else None


def _outcome(row: tuple[Any, ...]) -> Outcome:
    digest, jti, status, received_at, leaf, problem, errors = row
    found = tuple(Finding(e["pointer"], e["reason"], e.get("code")) for e in orjson.loads(errors)) if errors else ()
    return Outcome(
        event=digest, jti=None if jti is None else MessageId(jti), status=status, received_at_ms=received_at,
        leaf=leaf, problem=problem, errors=found,
    )  # fmt: skip
