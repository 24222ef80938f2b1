"""A log made again after an edit, as a database administrator with the log key could: it verifies by itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.home import open_home
from gateway.keyring.notes import log_signers
from gateway.ledger import entry, note
from gateway.ledger.tiles import Edge
from gateway.primitives import merkle

if TYPE_CHECKING:
    from pathlib import Path

EDITED = 5


def rebuilt(home: Path) -> None:
    """Change what entry 5 of a stopped gateway says, and make all that follows from it again."""
    settings, keys = open_home(home, environ={})
    with closing(sqlite3.connect(home / "data" / "gateway.db", isolation_level=None)) as db:
        db.execute("BEGIN")
        rows = [entry.parse(data) for (data,) in db.execute("SELECT data FROM entries ORDER BY seq")]
        rows[EDITED] = replace(rows[EDITED], outcome="never happened")
        data = [
            entry.build(
                seq=e.seq, at_ms=e.at_ms, typ=e.typ, actor_sub=e.actor_sub, actor_role=e.actor_role,
                obj_kind=e.obj_kind, obj_id=e.obj_id, salt=e.salt, jti=e.jti, event=e.event, case=e.case,
                outcome=e.outcome, purpose=e.purpose, basis=e.basis,
            )
            for e in rows
        ]  # fmt: skip
        leaves = [merkle.leaf_hash(one) for one in data]
        changed = [
            (one, leaf, row.outcome, seq) for seq, (one, leaf, row) in enumerate(zip(data, leaves, rows, strict=True))
        ]
        db.executemany("UPDATE entries SET data = ?, leaf = ?, outcome = ? WHERE seq = ?", changed)
        db.execute("DELETE FROM tiles")
        db.executemany("INSERT INTO tiles VALUES (?, ?, ?)", Edge().grow(leaves)[1])
        signer = log_signers(keys, settings.log_origin)[0]
        size = db.execute("SELECT max(size) FROM checkpoints").fetchone()[0]
        root = merkle.root(leaves[:size])
        text = note.sign_checkpoint(size, root, signer)
        db.execute("UPDATE checkpoints SET root = ?, note = ? WHERE size = ?", (root, text, size))
        db.execute("DELETE FROM cosignatures WHERE size = ?", (size,))
        db.execute("COMMIT")


def rebuilt_head(home: Path, size: int, old: int) -> tuple[bytes, str, list[bytes]]:
    """Return root, signed checkpoint and proof from `old` of a home's log at `size`, as its holder could make them."""
    settings, keys = open_home(home, environ={})
    with closing(sqlite3.connect(f"file:{home}/data/gateway.db?mode=ro", uri=True)) as db:
        leaves = [row[0] for row in db.execute("SELECT leaf FROM entries ORDER BY seq")][:size]
    root = merkle.root(leaves)
    path = merkle.consistency_path(leaves, old) if old < size else []
    return root, note.sign_checkpoint(size, root, log_signers(keys, settings.log_origin)[0]), path
