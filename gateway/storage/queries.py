"""What pages, the REST API and the CLI read: on read-only connections, never the writer's.

Every row is a plain dictionary of columns as stored (times in ms); bodies are not among them. A message is named by
its direction and `id`, its row in the outbox or the inbox: its message id is the sender's word, and another sender may
have used the same.
"""

from __future__ import annotations

from operator import eq, ge, gt, lt
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, Text, cast, func, literal, not_, null, or_, select, tuple_, union_all

from gateway.casework.recordaction import MESSAGE, PART
from gateway.casework.remembered import Record
from gateway.errors import Conflict
from gateway.ports.messages import RECEIPT
from gateway.storage import tables as t
from gateway.storage.bodies import BodyReads, body_of
from gateway.storage.log_reads import LogReads
from gateway.storage.reads import Condition, Row, filtered

if TYPE_CHECKING:
    from collections.abc import Sequence

o, i, c, e = t.outbox.c, t.inbox.c, t.cases.c, t.entries.c

_OUT = (
    o.id, o.jti, literal("out").label("direction"), o.recipient.label("partner"), o.subject, o.case_ref, o.case_seq,
    o.stream_seq, o.urgency, o.handling, o.schema_version, o.state, o.held_for, o.created_at.label("at"),
    o.expires_at, o.attempts, o.next_at, o.reason, o.errors, o.received_at, o.settled_at, o.in_reply_to,
    o.supersedes, o.account, o.eid, o.leaf, o.partner_leaf, o.digest,
    o.proved_at, o.unproved,
)  # fmt: skip
_IN = (
    i.id, i.jti, literal("in").label("direction"), i.sender.label("partner"), i.subject, i.case_ref, i.case_seq,
    i.stream_seq, i.urgency, i.handling, i.schema_version, literal("received").label("state"),
    cast(null(), Text).label("held_for"), i.received_at.label("at"), null().label("expires_at"),
    literal(0).label("attempts"), null().label("next_at"), i.problem.label("reason"), i.errors, i.received_at,
    i.received_at.label("settled_at"), i.in_reply_to, i.supersedes, cast(null(), Text).label("account"), i.eid,
    i.leaf, null().label("partner_leaf"), i.digest, null().label("proved_at"), cast(null(), Text).label("unproved"),
)  # fmt: skip


class Queries(LogReads, BodyReads):
    """Read-only questions; each one snapshot."""

    async def messages(
        self,
        *,
        direction: str | None = None,
        state: str | None = None,
        case: str | None = None,
        subject: str | None = None,
        since: int | None = None,
        account: str | None = None,
        partner: str | None = None,
        before: int | None = None,
        limit: int,
    ) -> Sequence[Row]:
        """Return messages, the last to come first; `before` is the `leaf` where the last page ended.

        The entry that says a message came is one number for both directions, given out by us, in the order of arrival.

        `account` leaves out what others submitted; received messages are nobody's own.
        """
        sides: list[Select[Any]] = []
        if direction in {None, "out"} and state != "received":
            out = select(*_OUT).where(o.subject != "void")
            asked: list[Condition] = [
                (state, o.state, eq), (case, o.case_ref, eq), (subject, o.subject, eq),
                (since, o.created_at, ge), (account, o.account, eq), (partner, o.recipient, eq),
                (before, o.leaf, lt),
            ]  # fmt: skip
            sides.append(filtered(out, asked).order_by(o.leaf.desc()).limit(limit))
        if direction in {None, "in"} and state in {None, "received"}:
            inward = select(*_IN).where(i.status == "accepted", i.subject != "void")
            asked = [
                (case, i.case_ref, eq), (subject, i.subject, eq), (since, i.received_at, ge),
                (partner, i.sender, eq), (before, i.leaf, lt),
            ]  # fmt: skip
            sides.append(filtered(inward, asked).order_by(i.leaf.desc()).limit(limit))
        if not sides:
            return ()
        wanted = union_all(*(select(side.subquery()) for side in sides)).subquery()
        return await self._all(select(wanted).order_by(wanted.c.leaf.desc()).limit(limit))

    async def under(self, jti: str, sender: str | None = None) -> Sequence[Row]:
        """Return every message held under a message id, ours first; `sender` leaves one at most."""
        found: list[Row] = []
        if sender in {None, self._me}:
            found += await self._all(select(*_OUT).where(o.jti == jti))
        if sender != self._me:
            inward = select(*_IN).where(i.jti == jti, i.status == "accepted").order_by(i.id)
            found += await self._all(inward if sender is None else inward.where(i.sender == sender))
        return found

    async def attempts(self, jti: str) -> Sequence[Row]:
        """Return the recorded attempts of a message of ours, oldest first."""
        a = t.attempts.c
        return await self._all(select(a.at, a.eid, a.result, a.reason, a.next_at).where(a.jti == jti).order_by(a.id))

    async def event(self, direction: str, number: int) -> Row | None:
        """Return the body of one message with what it is held as: id, direction, partner, jti, digest, event.

        None where it was erased or its use is restricted. Raises RecordChanged where it is not what was logged.
        """
        statement = body_of(direction)
        if direction == "out":
            return await self._body(statement.where(o.id == number, not_(_marked(self._me, o.jti))))
        return await self._body(statement.where(i.id == number, not_(_marked(i.sender, i.jti))))

    async def receipt(self, number: int) -> bytes | None:
        """Return the receipt JWS that ended one of our messages."""
        v = t.envelopes.c
        # One that came as the answer about this message alone is kept under its id; else it is the envelope's.
        row = await self._one(
            select(v.receipt)
            .join(t.outbox, or_(v.eid == o.eid, v.eid == o.jti + RECEIPT))
            .where(
                o.id == number, o.state.in_(["accepted", "rejected"]), v.receipt.is_not(None),
                v.direction == "out", v.partner == o.recipient,
            )
            .order_by((v.eid == o.jti + RECEIPT).desc())
        )  # fmt: skip
        return row["receipt"] if row else None

    async def envelope(self, eid: str, direction: str, partner: str) -> Row | None:
        """Return what is kept of an envelope to or from a partner: manifest, digests, our entry, receipt."""
        v = t.envelopes.c
        kept = select(v.eid, v.manifest, v.digests, v.leaf, v.receipt)
        return await self._one(kept.where(v.eid == eid, v.direction == direction, v.partner == partner))

    async def envelopes_of(self, number: int, limit: int) -> Sequence[Row]:
        """Return number and data of the entry of each envelope that carried one of our messages, newest first."""
        v, a = t.envelopes.c, t.attempts.c
        tried = select(a.eid).join(t.outbox, a.jti == o.jti).where(o.id == number)
        carried = v.eid.in_(tried.union(select(o.eid).where(o.id == number)))
        to = select(o.recipient).where(o.id == number).scalar_subquery()
        sent = select(e.seq, e.data).join(t.envelopes, v.leaf == e.seq)
        sent = sent.where(carried, v.direction == "out", v.partner == to)
        return await self._all(sent.order_by(e.seq.desc()).limit(limit))

    async def story(self, row: Row, limit: int, often: int) -> Sequence[Row]:
        """Return the entries under the id of a message, oldest first, but those of sending it.

        A message is sent, read and exported any number of times, and the rest must not drown in that: of readings and
        exports the first `often` are given. Nor in what others sent under its id: of arrivals only its own is given,
        and no alarm about another's. Who asks still has to hold each against the message: homes may have two of an id.
        """
        asked = (
            select(e.seq, e.data)
            .where(e.jti == row["jti"], or_(e.typ != "message.received", e.seq == row["leaf"]))
            .where(or_(e.typ != "audit.alarm", e.outcome != Conflict.slug))
            .order_by(e.seq)
        )
        frequent = ("message.read", "evidence.exported")
        rest = await self._all(asked.where(e.typ.not_in(("message.sent", *frequent))).limit(limit))
        found = [one for typ in frequent for one in await self._all(asked.where(e.typ == typ).limit(often))]
        return sorted([*rest, *found], key=lambda one: one["seq"])

    async def cards(self, party: str) -> Sequence[bytes]:
        """Return every undisputed card of a party, by version."""
        k = t.cards.c
        rows = await self._all(select(k.jws).where(k.party == party, k.disputed == 0).order_by(k.version, k.id))
        return [row["jws"] for row in rows]

    async def answers_to(self, jti: str, case: str, partner: str) -> Sequence[Row]:
        """Return the messages of a case that answer one of its messages, with the entry each was accepted by."""
        out = select(o.jti, o.leaf).where(o.case_ref == case, o.recipient == partner, o.in_reply_to == jti)
        inward = select(i.jti, i.leaf).where(
            i.case_ref == case, i.sender == partner, i.in_reply_to == jti, i.status == "accepted"
        )
        return await self._all(union_all(out, inward))

    async def cases(
        self,
        *,
        text: str | None = None,
        keys: Sequence[tuple[str, str]] | None = None,
        status: str | None = None,
        urgency: str | None = None,
        due_before: int | None = None,
        partner: str | None = None,
        account: str | None = None,
        before: tuple[int, int] | None = None,
        limit: int,
    ) -> Sequence[Row]:
        """Return cases, last changed first; `text` is a reference or its start, `keys` are (partner, reference).

        `account` leaves out cases its messages are not in, unless the partner opened them.
        """
        statement = select(t.cases)
        if account is not None:
            statement = statement.where(_case_of(account))
        conditions = (
            (text, c.ref, _starts), (keys, tuple_(c.partner, c.ref), _among), (status, c.status, eq),
            (urgency, c.urgency, eq), (partner, c.partner, eq),
            (due_before, _due(), _runs_out),
        )  # fmt: skip
        statement = filtered(statement, conditions)
        if before is not None:
            at, number = before
            statement = statement.where(or_(c.updated_at < at, (c.updated_at == at) & (c.id < number)))
        return await self._all(statement.order_by(c.updated_at.desc(), c.id.desc()).limit(limit))

    async def case(self, ref: str, account: str | None = None, partner: str | None = None) -> Sequence[Row]:
        """Return the cases of a reference, one a partner; for `account` only those that would be in its list."""
        statement = filtered(select(t.cases).where(c.ref == ref), ((partner, c.partner, eq),))
        return await self._all(statement if account is None else statement.where(_case_of(account)))

    async def case_bodies(self, ref: str, partner: str, subject: str) -> Sequence[Row]:
        """Return the bodies of a case's messages of one type, both sides', for what the gateway shows of them.

        Each as `event` gives it; those that were erased, or are not what was logged, are left out.
        """
        out = body_of("out").where(o.case_ref == ref, o.recipient == partner, o.subject == subject)
        inward = body_of("in").where(i.case_ref == ref, i.sender == partner, i.subject == subject)
        return await self._bodies(union_all(out, inward))

    async def remembered(self, ref: str, partner: str, *, readable: bool = False) -> Sequence[Record]:
        """Return what is kept of the messages of a case for those that follow; `readable`: of those people may read."""
        r = t.remembered.c
        kept = select(r.sender, r.jti, r.at, r.supersedes, r.facts).where(
            r.case_ref == ref, r.partner == partner, r.live == 1
        )
        rows = await self._all(kept.where(not_(_marked(r.sender, r.jti))) if readable else kept)
        return [Record(row["sender"], row["jti"], row["at"], row["supersedes"], row["facts"]) for row in rows]

    async def marks(self, jti: str, sender: str | None) -> Sequence[Row]:
        """Return what record.action did to a message and its files; `sender` None for one of ours."""
        m = t.record_marks.c
        statement = select(m.part, m.mark, m.reason, m.by_jti, m.at)
        return await self._all(statement.where(m.jti == jti, m.sender == (sender or self._me)).order_by(m.at, m.part))

    async def stream(self, recipient: str, start: int, end: int) -> Sequence[Row]:
        """Return what we sent a partner under the numbers [start, end), bcx.void included."""
        statement = select(o.stream_seq, o.jti, o.digest, o.state, o.void_jti)
        wanted = (o.recipient == recipient, o.stream_seq >= start, o.stream_seq < end)
        return await self._all(statement.where(*wanted).order_by(o.stream_seq))

    async def arrived(self, sender: str) -> tuple[int, int]:
        """Return how many numbers of a partner's stream are accounted for here, and the highest of them."""
        row = await self._one(
            select(func.count(i.stream_seq).label("count"), func.max(i.stream_seq).label("high")).where(
                i.sender == sender, i.stream_seq.is_not(None)
            )
        )
        return (row["count"], row["high"] or 0) if row else (0, 0)

    async def queue(
        self, *, states: Sequence[str], partner: str | None, after: int | None, limit: int
    ) -> Sequence[Row]:
        """Return outbound messages that wait or were given up, in the order of acceptance."""
        statement = select(*_OUT).where(o.state.in_(states), o.subject != "void")
        statement = filtered(statement, ((partner, o.recipient, eq), (after, o.id, gt)))
        return await self._all(statement.order_by(o.id).limit(limit))

    async def depth(self) -> Sequence[Row]:
        """Return count and oldest acceptance of what waits, by urgency."""
        return await self._all(
            select(o.urgency, func.count().label("count"), func.min(o.created_at).label("oldest_at"))
            .where(t.OPEN_STATES)
            .group_by(o.urgency)
        )

    async def dead(self) -> int:
        """Return the number of dead letters."""
        row = await self._one(select(func.count().label("count")).select_from(t.outbox).where(t.DEAD))
        return int(row["count"]) if row else 0

    async def inbox(self, after: int, limit: int) -> Sequence[Row]:
        """Return accepted messages that may be read, in the order of arrival, with their inbox number as `id`."""
        statement = select(*_IN).where(
            i.id > after, i.status == "accepted", i.subject != "void", not_(_marked(i.sender, i.jti))
        )
        return await self._all(statement.order_by(i.id).limit(limit))

    async def partners(self) -> Sequence[Row]:
        """Return partners with what we know of the link, and what waits for each."""
        p = t.partners.c
        waiting = select(func.count()).where(o.recipient == p.party, t.OPEN_STATES).scalar_subquery().label("waiting")
        return await self._all(select(t.partners, waiting).order_by(p.party))


_NEVER = 2**53


def _case_of(account: str) -> Any:
    """Return the condition that a case is a client's: a message of its own is in it, or the partner opened it."""
    own = select(o.id).where(o.case_ref == c.ref, o.recipient == c.partner, o.account == account).exists()
    return (c.opener == c.partner) | own


def _marked(sender: Any, jti: Any) -> Any:
    """Return the condition that a message as a whole may not be read: erased, blocked or restricted."""
    m = t.record_marks.c
    return select(m.jti).where(m.sender == sender, m.jti == jti, m.part.in_([MESSAGE, PART])).exists()


def _due() -> Any:
    """Return when the clock of a case runs out next: acknowledging, until it is done, then replying."""
    acknowledge = func.iif(c.acknowledged_at.is_(None), func.coalesce(c.acknowledge_by, _NEVER), _NEVER)
    reply = func.iif(c.replied_at.is_(None), func.coalesce(c.reply_by, _NEVER), _NEVER)
    return func.min(acknowledge, reply)


def _runs_out(due: Any, before: int) -> Any:
    return c.next_by.is_not(None) & (due <= before)


def _among(column: Any, values: Sequence[Any]) -> Any:
    return column.in_(values)


def _starts(column: Any, text: str) -> Any:
    return column.startswith(text, autoescape=True)
