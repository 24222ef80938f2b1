"""Outbox rows: messages we send, and their attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from sqlalchemy import and_, bindparam, exists, func, insert, not_, null, or_, select, text, update

from gateway.ports.messages import Attempt, Claimed, NewMessage, OutboxState, Sent, Settled
from gateway.protocol.delivery import Waiting
from gateway.protocol.ids import MessageId, PartyId
from gateway.storage import tables as t
from gateway.storage.bodies import CLAIMED, OURS
from gateway.storage.statements import bound, compiled, fixed, json_list, limited, values_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

o = t.outbox.c

_NEW = (
    "jti", "recipient", "subject", "case_ref", "case_seq", "stream_seq", "urgency", "rank", "size", "handling",
    "digest", "schema_version", "in_reply_to", "supersedes", "effect", "account", "created_at", "expires_at", "body_id",
    "leaf", "state", "next_at",
)  # fmt: skip
_ADD = compiled(insert(t.outbox).values(bound(_NEW)), *_NEW)
_ADD_BODY = compiled(insert(t.bodies).values(bound(("id", "event"))), "id", "event")

_WAITING = (o.id, o.case_ref, o.case_seq, o.state, o.next_at, o.expires_at, o.size)
_earlier = t.outbox.alias("earlier")
# What waits behind a held, deferred or expired message of its case would else fill the page of due ones,
# and nothing behind it could ever go.
_BLOCKED = exists(
    select(_earlier.c.id).where(
        _earlier.c.case_ref == o.case_ref,
        _earlier.c.recipient == o.recipient,
        text("earlier.state IN ('queued', 'sending', 'held')"),
        _earlier.c.case_seq < o.case_seq,
        not_(
            and_(
                _earlier.c.state == fixed("queued"),
                _earlier.c.next_at <= bindparam("now_too"),
                _earlier.c.expires_at > bindparam("alive_too"),
            )
        ),
    )
)
_DUE = limited(
    select(*_WAITING)
    .where(
        o.recipient == bindparam("recipient"),
        o.state == fixed("queued"),
        t.OPEN_STATES,
        o.rank == bindparam("rank"),
        o.next_at <= bindparam("now"),
        o.expires_at > bindparam("alive"),
        not_(_BLOCKED),
    )
    .order_by(o.id),
    "recipient", "rank", "now", "alive", "now_too", "alive_too",
)  # fmt: skip
# Of the two the case says more: concatenated, the recipient is not looked up in its index, which has the whole queue.
_OPEN_IN_CASES = compiled(
    select(*_WAITING)
    .where(o.case_ref.in_(values_of("refs")), o.recipient + fixed("") == bindparam("peer"), t.OPEN_STATES)
    .order_by(o.case_ref, o.case_seq),
    "refs", "peer",
)  # fmt: skip
_LEASE = compiled(
    update(t.outbox)
    .where(o.id == bindparam("key"), o.state == fixed("queued"))
    .values(state=fixed("sending"), **bound(("fence", "lease_until", "eid"))),
    "fence", "lease_until", "eid", "key",
)  # fmt: skip
_RENEW = compiled(
    update(t.outbox)
    .where(o.eid == bindparam("envelope"), o.fence == bindparam("mine"), o.state == fixed("sending"), t.OPEN_STATES)
    .values(lease_until=bindparam("until")),
    "until", "envelope", "mine",
)  # fmt: skip
_REQUEUE = compiled(
    update(t.outbox)
    .where(o.jti == bindparam("key"), o.state == fixed("sending"), o.fence == bindparam("mine"))
    .values(
        state=fixed("queued"),
        next_at=bindparam("next_at"),
        attempts=o.attempts + fixed(1),
        fence=null(),
        lease_until=null(),
        reason=bindparam("reason"),
    ),
    "next_at", "reason", "key", "mine",
)  # fmt: skip
_TAKEN_BACK = {
    "state": fixed("queued"), "next_at": bindparam("now"), "attempts": o.attempts + fixed(1), "fence": null(),
    "lease_until": null(),
}  # fmt: skip
_RECLAIM = compiled(
    update(t.outbox)
    .where(o.state == fixed("sending"), t.OPEN_STATES, o.fence < bindparam("mine"))
    .values(**_TAKEN_BACK),
    "now", "mine",
)  # fmt: skip
_SENDING_TO = (o.recipient == bindparam("partner"), o.state == fixed("sending"), t.OPEN_STATES)
_FREE_LANE = compiled(
    update(t.outbox).where(*_SENDING_TO, o.fence == bindparam("mine")).values(**_TAKEN_BACK), "now", "partner", "mine"
)
# No lease is longer than the longest: one that ends later was taken by a clock that has been put right since.
_TAKE_BACK = compiled(
    update(t.outbox)
    .where(*_SENDING_TO, or_(o.lease_until < bindparam("ended"), o.lease_until > bindparam("longest")))
    .values(**_TAKEN_BACK),
    "now", "partner", "ended", "longest",
)  # fmt: skip
# A dead letter whose time is not over was given up by a clock that has been put right since.
_RETRIABLE = (
    "SELECT jti FROM outbox WHERE state = 'queued' AND state IN ('queued', 'sending', 'held') AND created_at >= ? "
    "UNION ALL SELECT jti FROM outbox WHERE state = 'dead' AND void = 'due' AND created_at >= ? AND expires_at > ?"
)
_OPEN_COUNT = compiled(select(func.count()).select_from(t.outbox).where(t.OPEN_STATES))
_WAKE = compiled(
    update(t.outbox)
    .where(
        o.recipient == bindparam("partner"), o.state == fixed("queued"), t.OPEN_STATES, o.next_at > bindparam("now")
    )
    .values(next_at=bindparam("due")),
    "due", "partner", "now",
)  # fmt: skip
_SET_DUE = compiled(
    update(t.outbox)
    .where(o.jti == bindparam("key"), o.state == fixed("queued"))
    .values(next_at=bindparam("due")),
    "due", "key",
)  # fmt: skip
_NEXT_DUE = compiled(
    select(func.min(o.next_at)).where(
        o.recipient == bindparam("recipient"), o.state == fixed("queued"), t.OPEN_STATES, o.next_at > bindparam("now")
    ),
    "recipient", "now",
)  # fmt: skip
_SENT = (
    o.jti, o.recipient, o.subject, o.case_ref, o.case_seq, o.stream_seq, o.urgency, o.state, o.held_for, o.attempts,
    o.digest, o.expires_at, o.reason, o.void, o.account, o.effect, o.leaf,
)  # fmt: skip
_OVERDUE = limited(
    select(*_SENT).where(
        o.recipient == bindparam("recipient"),
        o.state.in_([fixed("queued"), fixed("held")]),
        t.OPEN_STATES,
        o.expires_at <= bindparam("now"),
    ),
    "recipient", "now",
)  # fmt: skip
_DIED_EARLY = limited(
    select(*_SENT).where(
        o.recipient == bindparam("recipient"),
        t.VOID_DUE,
        o.state == fixed("dead"),
        o.reason == fixed("expired"),
        o.expires_at > bindparam("now"),
    ),
    "recipient", "now",
)  # fmt: skip
_PASSED = (
    "SELECT max(id) FROM (SELECT id, created_at FROM outbox WHERE id > ? ORDER BY id LIMIT ?) WHERE created_at <= ?"
)
_UNANSWERED = compiled(
    select(*_SENT)
    .where(o.id > bindparam("after"), o.id <= bindparam("last"), o.urgency == bindparam("wanted"), t.OPEN_STATES)
    .order_by(o.id),
    "after", "last", "wanted",
)  # fmt: skip
_FIND = compiled(select(*_SENT).where(o.jti.in_(values_of("jtis"))), "jtis")
_VOIDS_DUE = limited(
    select(*_SENT).where(o.recipient == bindparam("recipient"), t.VOID_DUE).order_by(o.stream_seq),
    "recipient",
)
_VOID_DUE = compiled(update(t.outbox).where(o.jti == bindparam("key")).values(void=fixed("due")), "key")
_VOIDS_TOLD = compiled(
    update(t.outbox)
    .where(o.jti.in_(values_of("jtis")))
    .values(void=bindparam("told"), void_jti=bindparam("message")),
    "told", "message", "jtis",
)  # fmt: skip
_SETTLE = compiled(
    update(t.outbox)
    .where(o.jti == bindparam("key"))
    .values(
        state=bindparam("new_state"),
        held_for=null(),
        attempts=o.attempts + bindparam("more"),
        fence=null(),
        lease_until=null(),
        eid=func.coalesce(bindparam("envelope"), o.eid),
        reason=bindparam("reason"),
        errors=bindparam("errors"),
        settled_at=bindparam("settled_at"),
        received_at=bindparam("received_at"),
        partner_leaf=bindparam("partner_leaf"),
        void=null(),
    ),
    "new_state", "more", "envelope", "reason", "errors", "settled_at", "received_at", "partner_leaf", "key",
)  # fmt: skip
_RETELL = compiled(
    update(t.outbox).where(o.void_jti == bindparam("message")).values(void=fixed("due"), void_jti=null()), "message"
)
_CONTRADICT = compiled(update(t.outbox).where(o.jti == bindparam("key")).values(contradicted=fixed(1)), "key")
_RESTORE = compiled(
    update(t.outbox)
    .where(o.jti == bindparam("key"))
    .values(state=bindparam("new_state"), held_for=bindparam("held_for"), fence=null(), lease_until=null()),
    "new_state", "held_for", "key",
)  # fmt: skip
_MOVE = compiled(
    update(t.outbox)
    .where(o.jti == bindparam("key"))
    .values(
        state=bindparam("new_state"),
        held_for=bindparam("held_for"),
        next_at=bindparam("next_at"),
        reason=bindparam("reason"),
        settled_at=bindparam("settled_at"),
        void=bindparam("void"),
        fence=null(),
        lease_until=null(),
    ),
    "new_state", "held_for", "next_at", "reason", "settled_at", "void", "key",
)  # fmt: skip
_ATTEMPT = ("jti", "at", "eid", "result", "reason", "next_at")
_ADD_ATTEMPT = compiled(insert(t.attempts).values(bound(_ATTEMPT)), *_ATTEMPT)
_HEAD = compiled(select(t.stream_heads.c.sent).where(t.stream_heads.c.partner == bindparam("p")), "p")
_SET_HEAD = (
    "INSERT INTO stream_heads (partner, sent, high) VALUES (?, ?, 0) "
    "ON CONFLICT (partner) DO UPDATE SET sent = excluded.sent"
)

_HANDLING = compiled(
    select(o.handling).where(
        o.recipient == bindparam("party"), o.jti == bindparam("jti"),
        o.account == func.coalesce(bindparam("owner"), o.account),
    ),
    "party", "jti", "owner",
)  # fmt: skip


class OutboxRows:
    """`ports.Outbox` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._run = connection.execute

    def next_stream_seq(self, recipient: PartyId) -> int:
        """Allot the next gapless `streamseq` towards `recipient`."""
        number = self.stream_sent(recipient) + 1
        self._run(_SET_HEAD, (recipient, number))
        return number

    def stream_sent(self, recipient: PartyId) -> int:
        """Return the last `streamseq` allotted towards `recipient`."""
        row = self._run(_HEAD, (recipient,)).fetchone()
        return row[0] if row else 0

    def raise_stream_sent(self, recipient: PartyId, number: int) -> None:
        """Have numbering go on above `number`, where it is not there yet."""
        self._run(_SET_HEAD, (recipient, max(number, self.stream_sent(recipient))))

    def add(self, messages: Sequence[NewMessage]) -> None:
        """Store messages as queued, bodies included."""
        first = (self._run("SELECT max(id) FROM bodies").fetchone()[0] or 0) + 1
        self._connection.executemany(_ADD_BODY, [(first + place, m.event) for place, m in enumerate(messages)])
        self._connection.executemany(
            _ADD,
            [
                (
                    m.jti, m.recipient, m.subject, m.case_ref, m.case_seq, m.stream_seq, m.urgency, m.rank,
                    len(m.event), m.handling, m.digest, m.schema_version, m.in_reply_to, m.supersedes, m.effect,
                    m.account,
                    m.created_at, m.expires_at, first + place, m.leaf, "queued",
                    m.created_at if m.not_before is None else m.not_before,
                )
                for place, m in enumerate(messages)
            ],
        )  # fmt: skip

    def due(self, recipient: PartyId, *, rank: int, now_ms: int, limit: int) -> Sequence[Waiting]:
        """Return queued messages of one rank whose time has come, oldest first."""
        return [Waiting(*row) for row in self._run(_DUE, (recipient, rank, now_ms, now_ms, now_ms, now_ms, limit))]

    def open_in_cases(self, recipient: PartyId, refs: Sequence[str]) -> Sequence[Waiting]:
        """Return every message of these cases with a partner that still has to move, by case and `caseseq`."""
        return [Waiting(*row) for row in self._run(_OPEN_IN_CASES, (json_list(refs), recipient))]

    def claimed(self, ids: Sequence[int]) -> Sequence[Claimed]:
        """Return messages with their bytes, in that order."""
        rows = {row[0]: Claimed(*row[1:]) for row in self._run(CLAIMED, (json_list(ids),))}
        return [rows[key] for key in ids]

    def lease(self, ids: Sequence[int], *, eid: str, fence: int, lease_until: int) -> None:
        """Move queued messages to sending under our lease."""
        self._connection.executemany(_LEASE, [(fence, lease_until, eid, key) for key in ids])

    def restore(self, jti: MessageId, state: OutboxState) -> None:
        """Give a message back the state that the log says it is in, and nothing else."""
        self._run(_RESTORE, (state, "operator" if state == "held" else None, jti))

    def renew(self, eid: str, *, fence: int, lease_until: int) -> None:
        """Prolong our lease on the messages of an envelope."""
        self._run(_RENEW, (lease_until, eid, fence))

    def requeue(self, rows: Sequence[tuple[MessageId, int, str]], *, fence: int) -> None:
        """Put messages back, (jti, not before, reason); only those still under our lease."""
        self._connection.executemany(_REQUEUE, [(at, reason, jti, fence) for jti, at, reason in rows])

    def reclaim(self, fence: int, now_ms: int) -> int:
        """Take back what an earlier process of ours was sending when it died; return how many."""
        return self._run(_RECLAIM, (now_ms, fence)).rowcount

    def free_lane(self, recipient: PartyId, now_ms: int, *, fence: int) -> None:
        """Take back what is under our lease towards one partner."""
        self._run(_FREE_LANE, (now_ms, recipient, fence))

    def take_back(self, recipient: PartyId, now_ms: int, *, longest_ms: int) -> int:
        """Queue again what is under a lease, whoever's, that ended; return how many. `longest_ms`: of a lease."""
        return self._run(_TAKE_BACK, (now_ms, recipient, now_ms, now_ms + longest_ms)).rowcount

    def event(self, jti: MessageId) -> bytes:
        """Return the bytes of a message of ours."""
        row = self._run(OURS, (jti,)).fetchone()
        return row[0] if row is not None else b""

    def wake(self, recipient: PartyId, now_ms: int) -> int:
        """Make every queued message due now: the partner was heard of."""
        return self._run(_WAKE, (now_ms, recipient, now_ms)).rowcount

    def set_due(self, jtis: Sequence[MessageId], at: int) -> None:
        """Say when queued messages may go."""
        self._connection.executemany(_SET_DUE, [(at, jti) for jti in jtis])

    def next_due(self, recipient: PartyId, now_ms: int) -> int | None:
        """Return when the next queued message that is not due yet becomes due, or None."""
        value: int | None = self._run(_NEXT_DUE, (recipient, now_ms)).fetchone()[0]
        return value

    def overdue(self, recipient: PartyId, now_ms: int, limit: int) -> Sequence[Sent]:
        """Return open messages past their `expirytime` that are not on their way."""
        return [Sent(*row) for row in self._run(_OVERDUE, (recipient, now_ms, limit))]

    def died_early(self, recipient: PartyId, now_ms: int, limit: int) -> Sequence[Sent]:
        """Return dead letters whose time is not over, and which the partner has not been told of."""
        return [Sent(*row) for row in self._run(_DIED_EARLY, (recipient, now_ms, limit))]

    def unanswered(self, urgency: str, after: int, before_ms: int, limit: int) -> tuple[int, Sequence[Sent]]:
        """Look at the next messages behind a number, up to the last accepted by a time; by number."""
        last = self._run(_PASSED, (after, limit, before_ms)).fetchone()[0]
        if last is None:
            return after, []
        return last, [Sent(*row) for row in self._run(_UNANSWERED, (after, last, urgency))]

    def find(self, jtis: Sequence[str]) -> Mapping[str, Sent]:
        """Return what stands of these messages, by jti."""
        return {row[0]: Sent(*row) for row in self._run(_FIND, (json_list(jtis),))}

    def settle(self, answers: Sequence[tuple[MessageId, Settled]], eid: str | None) -> None:
        """Record verified final answers; `eid` is the envelope whose receipt held them, or None."""
        self._connection.executemany(
            _SETTLE,
            [
                (
                    s.state, 1 if eid else 0, eid, s.reason,
                    orjson.dumps([e.as_dict() for e in s.errors]).decode() if s.errors else None,
                    s.at, s.received_at, s.partner_leaf, jti,
                )
                for jti, s in answers
            ],
        )  # fmt: skip

    def contradict(self, jti: MessageId) -> None:
        """Mark that a second verified answer differs from the first."""
        self._run(_CONTRADICT, (jti,))

    def move(
        self,
        jti: MessageId,
        state: OutboxState,
        *,
        at: int,
        reason: str | None = None,
        void: str | None = None,
        held_for: str | None = None,
    ) -> None:
        """Move a message as `protocol.states` allowed; `at` is when, and when it is due if queued."""
        settled = at if state in {"dead", "cancelled"} else None
        self._run(_MOVE, (state, held_for, at, reason, settled, void, jti))

    def open_count(self) -> int:
        """Return how many messages still have to move."""
        return int(self._run(_OPEN_COUNT).fetchone()[0])

    def retriable(self, since_ms: int, now_ms: int) -> Sequence[MessageId]:
        """Return the messages accepted since then that wait, dead letters that may still go included."""
        return [MessageId(row[0]) for row in self._run(_RETRIABLE, (since_ms, since_ms, now_ms))]

    def handling(self, partner: PartyId, jti: str, owner: str | None = None) -> str | None:
        """Return the handling codes of one message, of this account where one is given; None where there is none."""
        row = self._run(_HANDLING, (partner, jti, owner)).fetchone()
        return row[0] if row else None

    def mark_void_due(self, jtis: Sequence[MessageId]) -> None:
        """Note that the partner must be told these numbers stay unused."""
        self._connection.executemany(_VOID_DUE, [(jti,) for jti in jtis])

    def voids_due(self, recipient: PartyId, limit: int) -> Sequence[Sent]:
        """Return given-up messages the partner has not been told of."""
        return [Sent(*row) for row in self._run(_VOIDS_DUE, (recipient, limit))]

    def voids_told(self, jtis: Sequence[str], void_jti: str | None) -> None:
        """Mark given-up messages as told by the `bcx.void` named, or as needing none."""
        self._run(_VOIDS_TOLD, ("told" if void_jti else None, void_jti, json_list(jtis)))

    def retell_voids(self, void_jti: str) -> None:
        """Mark what a `bcx.void` gave up as not told: that message did not arrive."""
        self._run(_RETELL, (void_jti,))

    def add_attempts(self, rows: Sequence[Attempt]) -> None:
        """Record attempts."""
        self._connection.executemany(_ADD_ATTEMPT, [(r.jti, r.at, r.eid, r.result, r.reason, r.next_at) for r in rows])
