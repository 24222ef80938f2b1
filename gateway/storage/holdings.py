"""Reads the tables beside what the log says of them, for `services.holdings`: page by page, each one snapshot.

Rows and the entries about them are read in one snapshot, so a gateway that works meanwhile is no fault; a page is
short, so that no reader keeps the write-ahead log from being taken over. Memory is that of one page.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import bindparam, func, select

from gateway.errors import ConfigurationError
from gateway.ledger import standing
from gateway.ports.holdings import Columns, HeldAccount, HeldCase, HeldCheckpoints, HeldIn, HeldOut, Lost
from gateway.ports.messages import RECEIPT
from gateway.storage import tables as t
from gateway.storage.cases import COLUMNS as CASE_COLUMNS
from gateway.storage.cases import digest_of
from gateway.storage.log import read_signed
from gateway.storage.statements import blob, compiled, fixed, limited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gateway.ledger.standing import Said

T = TypeVar("T")

o, i, c, e, b, v = t.outbox.c, t.inbox.c, t.cases.c, t.entries.c, t.bodies.c, t.envelopes.c

PAGE: Final = 500
ENTRIES_PAGE: Final = 4 * PAGE
RECEIPTS_KEPT: Final = 64
"""Receipts of one envelope are asked for by up to 100 messages, one after another."""

_OUT = limited(
    select(
        o.id, o.recipient, o.jti, o.subject, o.case_ref, o.case_seq, o.stream_seq, o.urgency, o.handling,
        o.schema_version, o.in_reply_to, o.supersedes, o.expires_at, o.digest, o.leaf, o.state, o.account,
        o.created_at, o.eid, blob(b.event),
    )
    .outerjoin(t.bodies, b.id == o.body_id)
    .where(o.id > bindparam("after"))
    .order_by(o.id),
    "after",
)  # fmt: skip
_IN = limited(
    select(
        i.id, i.sender, i.jti, i.subject, i.case_ref, i.case_seq, i.stream_seq, i.urgency, i.handling,
        i.schema_version, i.in_reply_to, i.supersedes, i.sent_at, i.digest, i.leaf, i.status, i.received_at,
        i.problem, blob(b.event),
    )
    .outerjoin(t.bodies, b.id == i.body_id)
    .where(i.id > bindparam("after"))
    .order_by(i.id),
    "after",
)  # fmt: skip
_ENTRY = compiled(select(e.data).where(e.seq == bindparam("seq")), "seq")
_ABOUT = compiled(
    select(e.data).where(
        e.jti == bindparam("jti"), e.jti.is_not(None), e.typ.in_([fixed(typ) for typ in standing.ABOUT])
    ),
    "jti",
)
_ERASURES = compiled(
    select(e.data).where(e.jti == bindparam("jti"), e.jti.is_not(None), e.typ == fixed(standing.ERASED)), "jti"
)
_RECEIPT = compiled(select(blob(v.receipt)).where(v.eid == bindparam("eid"), v.direction == fixed("out")), "eid")
_ENTRIES = compiled(
    select(e.typ, e.data).where(e.seq >= bindparam("start"), e.seq < bindparam("end")).order_by(e.seq),
    "start", "end",
)  # fmt: skip
_SENT = compiled(select(o.id).where(o.jti == bindparam("jti")), "jti")
_ANSWERED = compiled(
    select(i.id).where(i.sender == bindparam("sender"), i.digest == bindparam("digest")), "sender", "digest"
)
_CASE = compiled(select(c.id).where(c.ref == bindparam("ref"), c.partner == bindparam("partner")), "ref", "partner")
_CASES = limited(
    select(c.id, *(c[name] for name in CASE_COLUMNS)).where(c.id > bindparam("after")).order_by(c.id), "after"
)
_NEWEST_CASES = limited(select(c.id, *(c[name] for name in CASE_COLUMNS)).order_by(c.updated_at.desc(), c.id.desc()))
_OF_CASE = compiled(
    select(e.data).where(e.case_ref == bindparam("ref"), e.case_ref.is_not(None)).order_by(e.seq.desc()), "ref"
)
_RECIPIENT = compiled(select(o.recipient).where(o.jti == bindparam("jti")), "jti")
_NUMBERED = compiled(
    select(func.max(o.case_seq)).where(
        o.case_ref == bindparam("ref"), o.case_ref.is_not(None), o.recipient == bindparam("partner")
    ),
    "ref", "partner",
)  # fmt: skip
a = t.accounts.c
_ACCOUNTS = compiled(select(a.id, a.role, a.disabled_at).order_by(a.id))
_TOKENS = compiled(select(t.tokens.c.account, blob(t.tokens.c.hash)).order_by(t.tokens.c.issued_at))


def _of_types(*types: str) -> str:
    return compiled(select(e.data).where(e.typ.in_([fixed(typ) for typ in types]), t.SEARCHED))


_PEOPLE = _of_types("user.added", "user.changed")
_PARTNERSHIPS = _of_types("partner.added", "partner.suspended", "partner.resumed")
_PARTNERS = compiled(select(t.partners.c.party, t.partners.c.state))
k = t.checkpoints.c
_CHECKPOINTS = compiled(select(func.count(), func.max(k.size)).select_from(t.checkpoints))
_NOTE = compiled(select(k.note).where(k.size == bindparam("size")), "size")
_SIGNED = compiled(select(t.state.c.value).where(t.state.c.name == fixed("signed")))
_HELD_TYPES: Final = frozenset({standing.ACCEPTED, standing.RECEIVED, standing.SETTLED, "case.changed"})


class StoredHoldings:
    """`ports.Holdings` on one SQLite file; `newest` asks for so many of the last rows only."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute
        self._receipts: OrderedDict[str, bytes | None] = OrderedDict()

    def out(self, newest: int | None) -> Iterator[HeldOut]:
        """Yield messages of ours, in the order of acceptance."""
        yield from self._paged(_OUT, self._start("outbox", newest), self._held_out)

    def inward(self, newest: int | None) -> Iterator[HeldIn]:
        """Yield our answers to partners, in the order of arrival."""
        yield from self._paged(_IN, self._start("inbox", newest), self._held_in)

    def lost(self, newest: int | None) -> Iterator[Lost]:
        """Yield the entries of messages, answers and cases whose row is gone, in order."""
        size = (self._run("SELECT max(seq) FROM entries").fetchone()[0] or 0) + 1
        start = 0 if newest is None else max(0, size - newest * (ENTRIES_PAGE // PAGE))
        while start < size:
            with self._snapshot():
                for typ, data in self._run(_ENTRIES, (start, start + ENTRIES_PAGE)):
                    said = standing.read(data) if typ in _HELD_TYPES else None
                    if said is not None:
                        yield from self._lost(said)
            start += ENTRIES_PAGE

    def cases(self, newest: int | None) -> Iterator[HeldCase]:
        """Yield cases, by reference; the newest by their last change."""
        if newest is not None:
            with self._snapshot():
                yield from map(self._held_case, self._run(_NEWEST_CASES, (newest,)))
            return
        yield from self._paged(_CASES, 0, self._held_case)

    def people(self) -> tuple[Sequence[HeldAccount], Sequence[Said]]:
        """Return every account, and what the log says of accounts, in order."""
        with self._snapshot():
            tokens: dict[str, list[bytes]] = {}
            for account, token in self._run(_TOKENS):
                tokens.setdefault(account, []).append(sha256(token).digest())
            accounts = [
                HeldAccount(key, role, disabled is not None, tuple(tokens.pop(key, ())))
                for key, role, disabled in self._run(_ACCOUNTS)
            ]
            return accounts, standing.read_all(data for (data,) in self._run(_PEOPLE))

    def partners(self) -> tuple[Mapping[str, str], Sequence[Said]]:
        """Return the state of each partner, and what the log says of partners, in order."""
        with self._snapshot():
            states = dict(self._run(_PARTNERS).fetchall())
            return states, standing.read_all(data for (data,) in self._run(_PARTNERSHIPS))

    def checkpoints(self) -> HeldCheckpoints:
        """Return how many checkpoints there are, the newest, and what was noted when it was signed."""
        with self._snapshot():
            count, size = self._run(_CHECKPOINTS).fetchone()
            note = self._run(_NOTE, (size,)).fetchone()
            return HeldCheckpoints(count, note[0] if note else None, read_signed(self._run(_SIGNED).fetchone()))

    # --- rows ---

    def _held_out(self, row: tuple[Any, ...]) -> HeldOut:
        _, *columns, digest, leaf, state, account, created_at, eid, event = row
        about = Columns(*columns)
        said = standing.read_all(data for (data,) in self._run(_ABOUT, (about.jti,)))
        # One that came as the answer about this message alone is kept under its id; else it is the envelope's.
        names = (f"{about.jti}{RECEIPT}", eid)
        receipts = [raw for name in names if name is not None and (raw := self._receipt(name)) is not None]
        return HeldOut(about, digest, leaf, state, account, created_at, event, said, receipts)

    def _held_in(self, row: tuple[Any, ...]) -> HeldIn:
        _, *columns, digest, leaf, status, received_at, problem, event = row
        about = Columns(*columns)
        found = self._run(_ENTRY, (leaf,)).fetchone()
        erasures = () if event else standing.read_all(data for (data,) in self._run(_ERASURES, (about.jti,)))
        said = standing.read(found[0]) if found is not None else None
        return HeldIn(about, digest, leaf, status, received_at, problem, event, said, erasures)

    def _held_case(self, row: tuple[Any, ...]) -> HeldCase:
        _, *columns = row
        named = dict(zip(CASE_COLUMNS, columns, strict=True))
        ref, partner = named["ref"], named["partner"]
        logged, leaf = None, None
        for (data,) in self._run(_OF_CASE, (ref,)):
            said = standing.read(data)
            if said is not None and self._with(said) == partner:
                logged, leaf = standing.basis_of(said).case, said.seq
                break
        numbered = self._run(_NUMBERED, (ref, partner)).fetchone()[0] or 0
        return HeldCase(ref, partner, digest_of(columns), leaf, logged, named["sent"], numbered)

    def _with(self, said: Said) -> str | None:
        """Return with whom the case is whose row an entry tells; None where it tells of none."""
        if standing.basis_of(said).case is None:
            return None
        if said.typ in {standing.RECEIVED, standing.SETTLED}:
            return said.sub
        row = self._run(_RECIPIENT, (said.jti,)).fetchone()
        return row[0] if row is not None else None

    def _lost(self, said: Said) -> Iterator[Lost]:
        if said.typ == standing.ACCEPTED and self._run(_SENT, (said.jti,)).fetchone() is None:
            yield Lost("message", said)
        if said.typ == standing.RECEIVED and self._run(_ANSWERED, (said.sub, said.event)).fetchone() is None:
            yield Lost("answer", said)
        partner = self._with(said)
        if partner is not None and self._run(_CASE, (said.case, partner)).fetchone() is None:
            yield Lost("case", said)

    def _receipt(self, eid: str) -> bytes | None:
        if eid not in self._receipts:
            row = self._run(_RECEIPT, (eid,)).fetchone()
            self._receipts[eid] = row[0] if row is not None else None
            if len(self._receipts) > RECEIPTS_KEPT:
                self._receipts.popitem(last=False)
        return self._receipts[eid]

    # --- pages ---

    def _start(self, table: str, newest: int | None) -> int:
        if newest is None:
            return 0
        last: int = self._run(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]  # noqa: S608 - a word of ours
        return max(0, last - newest)

    def _paged(self, statement: str, after: int | str, read: Callable[[tuple[Any, ...]], T]) -> Iterator[T]:
        """Yield what `read` makes of each row behind `after`, whose first column is what pages go by."""
        more = True
        while more:
            count = 0
            with self._snapshot():
                # A receipt may come between two pages.
                self._receipts.clear()
                for row in self._run(statement, (after, PAGE)):
                    after, count = row[0], count + 1
                    yield read(row)
            more = count == PAGE

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        self._run("BEGIN")
        try:
            yield
        finally:
            self._run("COMMIT")


@contextmanager
def stored_holdings(path: Path) -> Iterator[StoredHoldings]:
    """Open a database file for reading, whether a gateway writes there or not. Raises ConfigurationError."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout=2000")
        yield StoredHoldings(connection)
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
        detail = f"{path}: cannot be read ({name}); restore a backup with `gateway db restore`"
        raise ConfigurationError(detail) from None
    finally:
        connection.close()
