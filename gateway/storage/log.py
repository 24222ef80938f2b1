"""The audit log's rows: appended in the transaction that changes state.

Leaves are numbered as units run; entries and tiles are written once a group, just before its COMMIT.
The frontier and the unfilled tiles live in memory as immutable values, so that undoing is forgetting.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, func, insert, select

from gateway.errors import ConfigurationError, LedgerError, MalformedProof
from gateway.ledger import entry, proof, standing
from gateway.ledger.note import read_tree_head
from gateway.ledger.tiles import TILE_WIDTH, Edge, split_hashes
from gateway.ports.log import SignedCheckpoint, Timestamp
from gateway.primitives import times
from gateway.primitives.merkle import leaf_hash
from gateway.storage import tables as t
from gateway.storage.schema import unusable
from gateway.storage.statements import bound, compiled, fixed, json_list

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from gateway.ledger.standing import Said
    from gateway.ports.common import Actor, Entropy
    from gateway.primitives import merkle

e, c, k = t.entries.c, t.checkpoints.c, t.tiles.c

_DECISIVE = (*standing.ABOUT, standing.ALARM)
_ENTRY = ("seq", "at", "typ", "actor", "obj", "jti", "case_ref", "outcome", "data", "leaf")
_ADD_ENTRY = compiled(insert(t.entries).values(bound(_ENTRY)), *_ENTRY)
_ADD_TILE = (
    "INSERT INTO tiles (level, number, hashes) VALUES (?, ?, ?) "
    "ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes"
)
_TILE = compiled(
    select(k.hashes).where(k.level == bindparam("level"), k.number == bindparam("number")), "level", "number"
)
_DATA = compiled(
    select(e.data).where(e.seq >= bindparam("start"), e.seq < bindparam("end")).order_by(e.seq),
    "start",
    "end",
)
_LEAVES = compiled(
    select(e.seq, e.leaf).where(e.seq >= bindparam("start"), e.seq < bindparam("end")).order_by(e.seq), "start", "end"
)
_ROWS = compiled(select(e.seq, e.data).order_by(e.seq))
_FILED = compiled(select(e.seq, e.at, e.typ, e.actor, e.obj, e.jti, e.case_ref, e.outcome, e.data).order_by(e.seq))
_COSIGNED_SIZE = compiled(select(func.max(t.cosignatures.c.size)))
_COSIGNED = compiled(
    select(c.size, c.note, t.cosignatures.c.lines)
    .join(t.cosignatures, t.cosignatures.c.size == c.size)
    .order_by(c.size.desc(), t.cosignatures.c.witness)
)
_FILED_CHECKPOINTS = compiled(select(c.size, c.root, c.note).order_by(c.size))
_CHECKPOINTS = compiled(select(c.note).order_by(c.size))
_CARDS = compiled(
    select(t.cards.c.jws).where(t.cards.c.party == bindparam("party")).order_by(t.cards.c.version), "party"
)
s = t.timestamps.c
_STAMPS = compiled(select(s.size, s.note, s.token, s.at).where(s.size <= bindparam("most")).order_by(s.size), "most")
# Joined from the list, so that each message is one look-up in its index: not a scan by number or type.
_asked = func.json_each(bindparam("jtis")).table_valued("value")
_ABOUT = compiled(
    select(e.data)
    .select_from(_asked.join(t.entries, (e.jti == _asked.c.value) & e.jti.is_not(None)))
    .where(e.typ.in_([fixed(typ) for typ in _DECISIVE])),
    "jtis",
)
_RECEIVED = compiled(
    select(e.data)
    .select_from(_asked.join(t.entries, (e.jti == _asked.c.value) & e.jti.is_not(None)))
    .where(e.typ == fixed(standing.RECEIVED), e.actor == bindparam("sender")),
    "jtis", "sender",
)  # fmt: skip
_SIZE = "SELECT max(seq) FROM entries"
_CHECKPOINT = ("size", "root", "note", "at")
_ADD_CHECKPOINT = compiled(insert(t.checkpoints).values(bound(_CHECKPOINT)), *_CHECKPOINT)
_COUNT_CHECKPOINTS = compiled(select(func.count()).select_from(t.checkpoints))
_SIGNED = "SELECT value FROM state WHERE name = 'signed'"
_SET_SIGNED = (
    "INSERT INTO state (name, value) VALUES ('signed', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_LAST_CHECKPOINT = compiled(select(c.size, c.root, c.note, c.at).order_by(c.size.desc())) + " LIMIT 1"

SALT_BYTES = 16
_SALT_POOL = 256 * SALT_BYTES


class LogReader:
    """The log as it is stored: entries, hashes, checkpoints. One snapshot where its connection holds one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def read_entries(self, start: int, end: int) -> Sequence[bytes]:
        """Return the leaf data of entries [start, end) that are there, in order."""
        return [data for (data,) in self._run(_DATA, (start, end))]

    def read_hashes(self, level: int, number: int) -> Sequence[bytes]:
        """Return the stored hashes of a tile; those of an unfilled level-0 tile stand beside its entries."""
        row = self._run(_TILE, (level, number)).fetchone()
        if row is not None:
            return split_hashes(row[0])
        if level:
            return ()
        start = number * TILE_WIDTH
        found: list[bytes] = []
        for seq, leaf in self._run(_LEAVES, (start, start + TILE_WIDTH)):
            if seq != start + len(found):
                break  # one is gone: those behind it must not be taken for their neighbours
            found.append(leaf)
        return found

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Yield (number, leaf data) of every entry, in order."""
        # An edit by hand may have left text in a column of bytes: the verifier has to see it, not to trip over it.
        yield from ((seq, data.encode() if isinstance(data, str) else data) for seq, data in self._run(_ROWS))

    def misfiled(self) -> Iterator[int]:
        """Yield the number of each entry whose columns are not what it says: a search would not find it."""
        yield from (seq for seq, *columns, data in self._run(_FILED) if tuple(columns) != _filed(data))

    def checkpoints(self) -> Iterator[str]:
        """Yield the signed checkpoints, oldest first."""
        yield from (note for (note,) in self._run(_CHECKPOINTS))

    def was_signed(self) -> bool:
        """Say whether a checkpoint was ever signed here, whatever became of its row."""
        return read_signed(self._run(_SIGNED).fetchone()) is not None

    def cosigned(self) -> Iterator[str]:
        """Yield our checkpoints with their partners' cosignature lines, newest first."""
        for _, rows in groupby(self._run(_COSIGNED), itemgetter(0)):
            [(_, note, lines), *more] = rows
            yield "".join([note, lines, *(row[2] for row in more)])

    def misfiled_checkpoints(self) -> Iterator[int]:
        """Yield the size of each checkpoint whose columns are not what it says: a start would believe the columns."""
        for size, root, note in self._run(_FILED_CHECKPOINTS):
            try:
                head = read_tree_head(note)
            except MalformedProof:
                continue  # the note itself was changed: the verifier names that
            if (head.size, head.root) != (size, root):
                yield size

    def cosigned_size(self) -> int:
        """Return the size of the largest checkpoint of ours that a partner cosigned, 0 where there is none."""
        size: int | None = self._run(_COSIGNED_SIZE).fetchone()[0]
        return size or 0

    def timestamps(self, size: int) -> Iterator[Timestamp]:
        """Yield what an outside authority stamped of the first `size` entries, oldest first."""
        yield from (Timestamp(*row) for row in self._run(_STAMPS, (size,)))

    def cards(self, party: str) -> Sequence[bytes]:
        """Return every card of a party that is held: they name the keys its log ever had."""
        return [jws for (jws,) in self._run(_CARDS, (party,))]


def read_signed(row: tuple[str] | None) -> tuple[int, str] | None:
    """Return how many checkpoints were signed, and the newest; None where an earlier release signed the last one."""
    count, _, note = row[0].partition("\n") if row is not None else ("", "", "")
    return (int(count), note) if count.isdigit() and note else None


def _filed(data: bytes) -> tuple[object, ...] | None:
    """Return what stands beside an entry for searching; None for what is no entry."""
    try:
        said = orjson.loads(data)
        return (
            times.parse_ms(said["ts"]), said["typ"], said["actor"]["sub"], said["obj"]["id"], said.get("jti"),
            said.get("case"), said.get("outcome"),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError):
        return None


@contextmanager
def stored_log(path: Path) -> Iterator[LogReader]:
    """Open the log of a database file for reading, one snapshot, whether a gateway writes there or not."""
    if not path.exists():
        detail = f"{path}: no database yet; start `gateway serve` once"
        raise ConfigurationError(detail)
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            yield LogReader(connection)
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from None


class LogRows(LogReader):
    """`ports.Log` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection, entropy: Entropy) -> None:
        super().__init__(connection)
        self._connection = connection
        self._entropy = entropy
        self._salts = b""
        self._rows: list[tuple[Any, ...]] = []
        self._leaves: list[bytes] = []
        self._mark = 0
        size = self._stored_size()
        self._edge = Edge.load(size, self.read_hashes)
        self._frontier = proof.frontier(self.read_hashes, size)
        self._next: tuple[Edge, merkle.Frontier] | None = None
        self.listeners: list[Callable[[int], None]] = []

    def append(
        self,
        typ: str,
        *,
        actor: Actor,
        obj: tuple[str, str],
        at: int,
        jti: str | None = None,
        event: bytes | None = None,
        case: str | None = None,
        outcome: str | None = None,
        purpose: str | None = None,
        basis: str | None = None,
    ) -> int:
        """Add one entry; return its leaf index. `event` is a digest, 32 bytes."""
        seq = self._frontier.size + len(self._leaves)
        data = entry.build(
            seq=seq, at_ms=at, typ=typ, actor_sub=actor.sub, actor_role=actor.role, obj_kind=obj[0], obj_id=obj[1],
            salt=self._salt(), jti=jti, event=event, case=case, outcome=outcome, purpose=purpose, basis=basis,
        )  # fmt: skip
        leaf = leaf_hash(data)
        self._rows.append((seq, at, typ, actor.sub, obj[1], jti, case, outcome, data, leaf))
        self._leaves.append(leaf)
        return seq

    def head(self) -> tuple[int, bytes]:
        """Return size and root, the entries of this transaction included."""
        frontier = self._frontier.extend(self._leaves)
        return frontier.size, frontier.root()

    def last_checkpoint(self) -> SignedCheckpoint | None:
        """Return the newest checkpoint we signed."""
        row = self._run(_LAST_CHECKPOINT).fetchone()
        return SignedCheckpoint(*row) if row else None

    def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        """Store a signed checkpoint; a second one for its size is refused by the primary key.

        How many there are and the newest of them stand in `state` too: a row that is deleted is missed.
        """
        self._run(_ADD_CHECKPOINT, (checkpoint.size, checkpoint.root, checkpoint.note, checkpoint.at))
        held = read_signed(self._run(_SIGNED).fetchone())
        count = held[0] + 1 if held is not None else self._run(_COUNT_CHECKPOINTS).fetchone()[0]
        self._run(_SET_SIGNED, (f"{count}\n{checkpoint.note}",))

    def data(self, seq: int) -> bytes:
        """Return the leaf data of one committed entry. Raises LedgerError when it is gone."""
        found = self.read_entries(seq, seq + 1)
        if not found:
            detail = f"entry {seq} is missing from the log"
            raise LedgerError(detail)
        return found[0]

    def about(self, jtis: Collection[str]) -> Mapping[str, Sequence[Said]]:
        """Return the entries that decide what stands of these messages, and their alarms, by message, in order.

        Those of this transaction are among them: a message may be claimed in the group that accepted it.
        """
        found: dict[str, list[Said]] = {}
        data = [row[0] for row in self._run(_ABOUT, (json_list(jtis),))]
        data += [row[8] for row in self._rows if row[5] in jtis]
        for one in standing.read_all(data):
            if one.jti is not None and one.typ in _DECISIVE:
                found.setdefault(one.jti, []).append(one)
        return found

    def received(self, sender: str, jtis: Collection[str]) -> Sequence[Said]:
        """Return the entries of answers we gave a sender to these messages."""
        data = [row[0] for row in self._run(_RECEIVED, (json_list(jtis), sender))]
        data += [row[8] for row in self._rows if row[5] in jtis]
        return [one for one in standing.read_all(data) if one.typ == standing.RECEIVED and one.sub == sender]

    def entry(self, seq: int) -> Said | None:
        """Return one entry, this transaction's included; None where it is gone or unreadable."""
        data = self.read_entries(seq, seq + 1) or [row[8] for row in self._rows if row[0] == seq]
        return next(iter(standing.read_all(data)), None)

    def proof(self, seq: int, size: int) -> tuple[bytes, ...]:
        """Return the inclusion path of leaf `seq` in the first `size` committed leaves."""
        return tuple(proof.inclusion(self.read_hashes, seq, size))

    # --- the writer's side ---

    def begin_unit(self) -> None:
        """Remember where this unit's entries start."""
        self._mark = len(self._leaves)

    def undo_unit(self) -> None:
        """Forget this unit's entries."""
        del self._leaves[self._mark :]
        del self._rows[self._mark :]

    def seal_group(self) -> None:
        """Write the group's entries and tiles, before its COMMIT."""
        if not self._leaves:
            self._next = None
            return
        self._connection.executemany(_ADD_ENTRY, self._rows)
        edge, rows = self._edge.grow(self._leaves)
        self._connection.executemany(_ADD_TILE, rows)
        self._next = (edge, self._frontier.extend(self._leaves))

    def group_committed(self) -> None:
        """Take the group's head as committed."""
        if self._next is not None:
            self._edge, self._frontier = self._next
        grown = len(self._leaves)
        self._forget()
        if grown:
            for listener in self.listeners:
                listener(grown)

    def group_undone(self) -> None:
        """Forget the group."""
        self._forget()

    def _forget(self) -> None:
        self._leaves.clear()
        self._rows.clear()
        self._next = None

    def _stored_size(self) -> int:
        last = self._run(_SIZE).fetchone()[0]
        return 0 if last is None else last + 1

    def _salt(self) -> bytes:
        # One system call for many salts: each leaf needs 16 fresh bytes.
        if len(self._salts) < SALT_BYTES:
            self._salts = self._entropy(_SALT_POOL)
        salt, self._salts = self._salts[:SALT_BYTES], self._salts[SALT_BYTES:]
        return salt
