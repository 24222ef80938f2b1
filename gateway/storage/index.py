"""Rows for statistics and search: what was read out of messages, and figures an authority brought in."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, delete, func, insert, null, select, update

from gateway.casework.dates import Span
from gateway.casework.figures import Imported
from gateway.casework.recordaction import EXPIRED, MESSAGE, PART
from gateway.ports.figures import Unread
from gateway.storage import tables as t
from gateway.storage.bodies import body_of, changed
from gateway.storage.statements import bound, compiled, fixed, json_list, limited, values_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from gateway.ports.figures import Direction, Indexed

n, f, m, o, i = t.names.c, t.figures.c, t.imports.c, t.outbox.c, t.inbox.c
k, y = t.record_marks.c, t.tallies.c

# What this very transaction accepted has no entry yet: its turn comes.
_LOGGED = select(func.max(t.entries.c.seq)).scalar_subquery()
_UNREAD = {
    "out": limited(
        body_of("out", o.subject, o.case_ref, o.supersedes, o.created_at)
        .where(o.id > bindparam("after"), o.subject != fixed("void"), o.leaf <= _LOGGED)
        .order_by(o.id),
        "after",
    ),
    "in": limited(
        body_of("in", i.subject, i.case_ref, i.supersedes, i.sent_at)
        .where(i.id > bindparam("after"), i.status == fixed("accepted"), i.subject != fixed("void"), i.leaf <= _LOGGED)
        .order_by(i.id),
        "after",
    ),
}

_TALLY = (
    "direction", "partner", "jti", "case_ref", "at", "counts", "first", "last", "final", "supersedes", "target",
    "amends", "person",
)  # fmt: skip
_ADD_TALLY = compiled(insert(t.tallies).prefix_with("OR IGNORE").values(bound(_TALLY)), *_TALLY)
_NAME = ("direction", "partner", "jti", "case_ref", "block", "folded", "latin", "sound")
_ADD_NAME = compiled(insert(t.names).values(bound(_NAME)), *_NAME)
_THIS = ("direction", "partner", "jti")
_FORGET_NAMES = compiled(
    delete(t.names).where(
        n.direction == bindparam("direction"), n.partner == bindparam("partner"), n.jti == bindparam("jti")
    ),
    *_THIS,
)
_FORGET_COUNTS = compiled(
    update(t.tallies)
    .where(y.direction == bindparam("way"), y.partner == bindparam("peer"), y.jti == bindparam("key"))
    .values(counts=fixed("[]"), first=null(), last=null()),
    "way", "peer", "key",
)  # fmt: skip
# A message may be erased while it is read; what was read out of it must not outlive it.
_GONE = compiled(
    select(k.sender, k.jti, (k.mark == fixed("erased")) & (k.reason != fixed(EXPIRED))).where(
        k.jti.in_(values_of("jtis")), k.part.in_([fixed(MESSAGE), fixed(PART)]),
        k.mark.in_([fixed("erased"), fixed("blocked")]),
    ),
    "jtis",
)  # fmt: skip
_IMPORT = ("at", "account", "digest")
_ADD_IMPORT = compiled(insert(t.imports).values(bound(_IMPORT)), *_IMPORT)
_FIGURE = (
    "number", "line", "indicator", "first", "last", "value", "qualifier", "status", "breakdown", "source",
)  # fmt: skip
_ADD_FIGURE = compiled(insert(t.figures).values(bound(_FIGURE)), *_FIGURE)
HELD = (
    select(*(f[name] for name in _FIGURE))
    .join(t.imports, m.number == f.number)
    .where(m.withdrawn_at.is_(None))
    .order_by(f.number, f.line)
)
_COUNT_HELD = compiled(
    select(func.count()).select_from(t.figures).join(t.imports, m.number == f.number).where(m.withdrawn_at.is_(None))
)
EDITION = select(func.max(m.number), func.count(m.withdrawn_at))
_EDITION = compiled(EDITION)
_WITHDRAW = compiled(
    update(t.imports)
    .where(m.number == bindparam("key"), m.withdrawn_at.is_(None))
    .values(withdrawn_at=bindparam("at")),
    "at", "key",
)  # fmt: skip


class IndexRows:
    """`ports.Index` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._many = connection.executemany
        self._run = connection.execute

    def unread(self, direction: Direction, after: int, limit: int, most_bytes: int) -> Sequence[Unread]:
        """Return the next messages in order, as many as fit."""
        found: list[Unread] = []
        size = 0
        for row in self._run(_UNREAD[direction], (after, limit)):
            number, _, partner, jti, digest, subject, case, supersedes, at, event, entry = row
            size += len(event or b"")
            if found and size > most_bytes:
                break
            # Erased bodies are absent or empty.
            what = changed(direction, jti, digest, event, entry) if event else None
            found.append(
                Unread(direction, number, partner, jti, subject, case, supersedes, at, digest,
                       event if what is None else None, what)
            )  # fmt: skip
        return found

    def add(self, rows: Sequence[Indexed], me: str) -> None:
        """Store what was read out of messages."""
        self._many(_ADD_TALLY, [_tally(row) for row in rows if row.counted])
        self._many(
            _ADD_NAME,
            [
                (r.direction, r.partner, r.jti, r.case_ref, x.block, x.folded, x.latin, x.sound)
                for r in rows if r.case_ref for x in r.names
            ],
        )  # fmt: skip
        marked = self._run(_GONE, (json_list([row.jti for row in rows]),)).fetchall()
        gone = {(sender, jti): uncounted for sender, jti, uncounted in sorted(marked)} if marked else {}
        for row in rows if gone else ():
            uncounted = gone.get((me if row.direction == "out" else row.partner, row.jti))
            if uncounted is not None:
                self.forget_names(row.direction, row.partner, row.jti)
            if uncounted:
                self.forget_counts(row.direction, row.partner, row.jti)

    def forget_names(self, direction: Direction, partner: str, jti: str) -> None:
        """Delete the search keys of a message that is gone, or that nobody reads any more."""
        self._run(_FORGET_NAMES, (direction, partner, jti))

    def forget_counts(self, direction: Direction, partner: str, jti: str) -> None:
        """Empty what a message that is gone said of persons, one by one, for statistics."""
        self._run(_FORGET_COUNTS, (direction, partner, jti))


class FigureRows:
    """`ports.Figures` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute
        self._many = connection.executemany

    def add_import(self, figures: Sequence[Imported], *, at: int, account: str, digest: bytes) -> int:
        """Store the figures of one file."""
        number = self._run(_ADD_IMPORT, (at, account, digest)).lastrowid
        assert number is not None
        self._many(
            _ADD_FIGURE,
            [
                (number, g.line, g.indicator, g.span.first.isoformat(), g.span.last.isoformat(), g.value, g.qualifier,
                 g.status, orjson.dumps(dict(g.breakdown)).decode(), g.source)
                for g in figures
            ],
        )  # fmt: skip
        return number

    def edition(self) -> tuple[int | None, int]:
        """Return what changes with every import and every one withdrawn."""
        number, withdrawn = self._run(_EDITION).fetchone()
        return number, withdrawn

    def count_held(self) -> int:
        """Return how many figures there are of imports that were not withdrawn."""
        count: int = self._run(_COUNT_HELD).fetchone()[0]
        return count

    def withdraw(self, number: int, at: int) -> bool:
        """Leave an import out from now on."""
        return self._run(_WITHDRAW, (at, number)).rowcount == 1


def imported_of(row: Mapping[str, Any]) -> Imported:
    """Return the figure in a row of the columns above."""
    span = Span(date.fromisoformat(row["first"]), date.fromisoformat(row["last"]))
    return Imported(
        row["indicator"], span, row["value"], row["qualifier"], row["status"], orjson.loads(row["breakdown"]),
        row["source"], row["number"], row["line"],
    )  # fmt: skip


def _tally(row: Indexed) -> tuple[Any, ...]:
    amendment = row.amendment
    return (
        row.direction, row.partner, row.jti, row.case_ref, row.at, row.counts, row.first, row.last, int(row.final),
        row.supersedes, amendment and amendment.target, amendment and amendment.kind, amendment and amendment.person,
    )  # fmt: skip
