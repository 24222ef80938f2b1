"""Case rows, and the numbers they are opened under."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, exists, func, or_, select
from sqlalchemy.dialects.sqlite import insert

from gateway.casework.clocks import CaseClocks, Clock, Heard, Timed
from gateway.casework.lifecycle import CaseState, CaseStatus, Move
from gateway.ports.cases import Case
from gateway.storage import tables as t
from gateway.storage.statements import bound, compiled

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from gateway.protocol.ids import PartyId

c, o = t.cases.c, t.outbox.c
COLUMNS = (
    "ref", "partner", "opener", "status", "lifecycle", "urgency", "handling", "opening_handling", "opened_at",
    "updated_at", "sent", "clocks", "clock_from", "acknowledge_by", "reply_by", "acknowledged_at", "replied_at",
    "next_by",
)  # fmt: skip
_FIND = compiled(
    select(*(c[name] for name in COLUMNS)).where(c.partner == bindparam("peer"), c.ref == bindparam("key")),
    "peer", "key",
)  # fmt: skip
_new = insert(t.cases).values(bound(COLUMNS))
_SAVE = compiled(
    _new.on_conflict_do_update(
        index_elements=["ref", "partner"],
        set_={name: _new.excluded[name] for name in COLUMNS if name not in {"ref", "partner"}},
    ),
    *COLUMNS,
)
_OPEN_TO = compiled(
    select(c.ref).where(
        c.partner == bindparam("peer"), c.ref == bindparam("key"),
        or_(
            c.opener == c.partner,
            exists(
                select(o.id).where(
                    o.case_ref == c.ref, o.recipient == c.partner, o.account == bindparam("account")
                )
            ),
        ),
    ),
    "peer", "key", "account",
)  # fmt: skip
_LAST = compiled(select(t.case_numbers.c.last).where(t.case_numbers.c.year == bindparam("of")), "of")
_SET_LAST = "INSERT INTO case_numbers (year, last) VALUES (?, ?) ON CONFLICT (year) DO UPDATE SET last = excluded.last"
_USED = compiled(select(func.count()).select_from(t.cases).where(c.ref == bindparam("key")), "key")

_SKIP_REFERENCES = "UPDATE case_numbers SET last = last + ?"
_SKIP_MESSAGES = "UPDATE cases SET sent = sent + ?"


class CaseRows:
    """`ports.Cases` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def find(self, partner: PartyId, ref: str) -> Case | None:
        """Return a case shared with a partner, or None."""
        row = self._run(_FIND, (partner, ref)).fetchone()
        return case_of(row) if row else None

    def skip_numbers(self, references: int, messages: int) -> None:
        """Leave out so many references of cases, and so many numbers in each case."""
        self._run(_SKIP_REFERENCES, (references,))
        self._run(_SKIP_MESSAGES, (messages,))

    def save(self, case: Case) -> bytes:
        """Store a new case or what has changed of it; return the digest that the entry of the change must name."""
        row = _row(case)
        self._run(_SAVE, row)
        return digest_of(row)

    def digest(self, case: Case) -> bytes:
        """Return the digest of a case that is stored later in this transaction."""
        return digest_of(_row(case))

    def open_to(self, partner: PartyId, ref: str, account: str) -> bool:
        """Say whether a client may know of a case: the partner opened it, or a message of its own is in it."""
        return self._run(_OPEN_TO, (partner, ref, account)).fetchone() is not None

    def used(self, ref: str) -> bool:
        """Say whether a case with any partner has this reference."""
        return bool(self._run(_USED, (ref,)).fetchone()[0])

    def last_number(self, year: int) -> int:
        """Return the last number a case of ours was opened under in a year."""
        row = self._run(_LAST, (year,)).fetchone()
        return row[0] if row else 0

    def set_last_number(self, year: int, number: int) -> None:
        """Note the last number a case of ours was opened under."""
        self._run(_SET_LAST, (year, number))


def _row(case: Case) -> tuple[Any, ...]:
    return (
        case.ref, case.partner, case.opener, case.lifecycle.status, lifecycle_text(case.lifecycle), case.urgency,
        case.handling, case.opening_handling, case.opened_at, case.updated_at, case.sent, clocks_text(case.clocks),
        case.clock_from, case.acknowledge_by, case.reply_by, case.acknowledged_at, case.replied_at, case.next_by,
    )  # fmt: skip


def digest_of(row: Sequence[Any]) -> bytes:
    """Return the SHA-256 of a row of the columns above, by which the log knows it.

    Without the number of messages sent, which a renewed log moves on in all cases at once.
    """
    return sha256(orjson.dumps([value for name, value in zip(COLUMNS, row, strict=True) if name != "sent"])).digest()


def case_of(row: tuple[Any, ...]) -> Case:
    """Return the case in a row of the columns above, in their order."""
    ref, partner, opener, _status, lifecycle, urgency, *others = row
    handling, opening, opened_at, updated_at, sent, clocks = others[:6]
    return Case(
        ref, partner, opener, lifecycle_of(lifecycle), urgency, handling, opening, opened_at, updated_at, sent,
        clocks_of(clocks),
    )  # fmt: skip


def clocks_text(clocks: CaseClocks) -> str:
    """Write the clocks of a case; `clocks_of` reads them."""
    # Member by member: dataclasses.astuple copies deeply, on the path of every message of a case.
    timed = [
        (
            held.message, held.turn, held.request, held.from_ms, held.clock.ack_due_ms, held.clock.reply_due_ms,
            held.clock.acknowledged_at_ms, held.clock.replied_at_ms,
        )
        for held in clocks.timed
    ]  # fmt: skip
    heard = [(h.at_ms, h.party, h.acknowledges, h.final, h.ends, h.answers) for h in clocks.heard]
    return orjson.dumps([timed, heard]).decode()


def clocks_of(text: str) -> CaseClocks:
    """Read what `clocks_text` wrote."""
    timed, heard = orjson.loads(text)
    return CaseClocks(
        tuple(Timed(message, turn, request, at, Clock(*times)) for message, turn, request, at, *times in timed),
        tuple(Heard(*row) for row in heard),
    )


def lifecycle_text(state: CaseState) -> str:
    """Write a case state; `lifecycle_of` reads it."""
    return orjson.dumps(asdict(state)).decode()


def lifecycle_of(text: str) -> CaseState:
    """Read what `lifecycle_text` wrote."""
    found = orjson.loads(text)
    moves = tuple(
        Move(m["jti"], m["actor"], CaseStatus(m["from_status"]), CaseStatus(m["to_status"]), m["at_ms"])
        for m in found["pending"]
    )
    previous = found["previous"]
    return CaseState(
        status=CaseStatus(found["status"]),
        previous=None if previous is None else CaseStatus(previous),
        changed_by=found["changed_by"],
        changed_at_ms=found["changed_at_ms"],
        resubmitted=found["resubmitted"],
        pending=moves,
    )
