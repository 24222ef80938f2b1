"""A database changed behind the gateway's back, as its administrator could: the verifier names the first bad entry."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from gateway.home import open_home
from gateway.keyring.notes import log_signers
from gateway.ledger.verify import Report, verify_rows
from gateway.primitives import merkle
from gateway.storage.log import stored_log
from tests.support.link import example
from tests.witness.stage import Stage, cosigned, play, signed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFERRAL = "case.referral/s1-sumarni"


@pytest.fixture(scope="module")
def home() -> Path:
    """Return a stopped home whose log has a full tile and several checkpoints."""

    async def story(stage: Stage) -> None:
        for _ in range(3):
            await stage.a.submit(*[example(REFERRAL) for _ in range(60)])
            await stage.two.drained()
            await stage.until(lambda: cosigned(stage.a) == signed(stage.a))

    stage = play(story)
    stage.checked()
    return stage.a.home


def verified(home: Path, database: Path) -> Report:
    """Verify as `gateway audit verify` does it."""
    settings, keys = open_home(home, environ={})
    with stored_log(database) as log:
        notes = list(log.checkpoints())
        return verify_rows(
            notes[-1], log.rows(), log.read_hashes, log_keys=[s.key for s in log_signers(keys, settings.log_origin)],
            history=notes[:-1], misfiled=log.misfiled(), misfiled_checkpoints=log.misfiled_checkpoints(),
            cosigned_size=log.cosigned_size(),
        )  # fmt: skip


def edit(db: sqlite3.Connection, seq: int) -> None:
    """Change what an entry says."""
    [(data,)] = db.execute("SELECT data FROM entries WHERE seq = ?", (seq,))
    changed = data.replace(b'"role":"', b'"role":"x')
    assert changed != data
    db.execute("UPDATE entries SET data = ? WHERE seq = ?", (changed, seq))


def rehash(db: sqlite3.Connection, seq: int) -> None:
    """Make the hash beside an entry fit it."""
    [(data,)] = db.execute("SELECT data FROM entries WHERE seq = ?", (seq,))
    db.execute("UPDATE entries SET leaf = ? WHERE seq = ?", (merkle.leaf_hash(data), seq))


def swap(db: sqlite3.Connection, one: int, other: int) -> None:
    """Exchange what stands in two places, hashes included."""
    rows = {seq: (data, leaf) for seq, data, leaf in db.execute("SELECT seq, data, leaf FROM entries")}
    db.execute("UPDATE entries SET data = ?, leaf = ? WHERE seq = ?", (*rows[one], other))
    db.execute("UPDATE entries SET data = ?, leaf = ? WHERE seq = ?", (*rows[other], one))


def retile(db: sqlite3.Connection) -> None:
    """Make the first tile and the one above it fit the entries."""
    leaves = [row[0] for row in db.execute("SELECT leaf FROM entries WHERE seq < 256 ORDER BY seq")]
    db.execute("UPDATE tiles SET hashes = ? WHERE level = 0 AND number = 0", (b"".join(leaves),))
    [(above,)] = db.execute("SELECT hashes FROM tiles WHERE level = 1 AND number = 0")
    root = merkle.root(leaves) + above[32:]
    db.execute("UPDATE tiles SET hashes = ? WHERE level = 1 AND number = 0", (root,))


def edit_and_rehash(db: sqlite3.Connection, seq: int) -> None:
    """Change an entry and the hash beside it."""
    edit(db, seq)
    rehash(db, seq)


def flip_tile(db: sqlite3.Connection, place: int) -> None:
    """Change one hash of the first tile."""
    [(hashes,)] = db.execute("SELECT hashes FROM tiles WHERE level = 0 AND number = 0")
    changed = hashes[: place * 32] + bytes([hashes[place * 32] ^ 1]) + hashes[place * 32 + 1 :]
    db.execute("UPDATE tiles SET hashes = ? WHERE level = 0 AND number = 0", (changed,))


def truncate(db: sqlite3.Connection, seq: int) -> None:
    """Cut the log back, and leave what was signed of it."""
    db.execute("DELETE FROM entries WHERE seq >= ?", (seq,))


CHANGES: dict[str, tuple[Callable[[sqlite3.Connection], object], int]] = {
    "an entry edited": (lambda db: edit(db, 100), 100),
    "an entry edited on the right edge": (lambda db: edit(db, 300), 300),
    "an entry and its hash edited": (lambda db: edit_and_rehash(db, 100), 100),
    "an entry deleted": (lambda db: db.execute("DELETE FROM entries WHERE seq = 77"), 77),
    "an entry deleted on the right edge": (lambda db: db.execute("DELETE FROM entries WHERE seq = 290"), 290),
    "two entries exchanged": (lambda db: swap(db, 40, 90), 40),
    "the end cut off": (lambda db: truncate(db, 200), 200),
    "the end cut off on the right edge": (lambda db: truncate(db, 280), 280),
    "a hash of a tile": (lambda db: flip_tile(db, 5), 5),
    "the columns an auditor searches by": (lambda db: db.execute("UPDATE entries SET actor = 'x' WHERE seq = 9"), 9),
    "a time an auditor searches by": (lambda db: db.execute("UPDATE entries SET at = at + 1 WHERE seq = 12"), 12),
    "two far apart": (lambda db: (edit(db, 280), edit(db, 20)), 20),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_database_administrator_changes_is_named(home: Path, tmp_path: Path, name: str) -> None:
    """The first bad index; where nobody changed anything, no fault."""
    change, index = CHANGES[name]
    copy = tmp_path / "gateway.db"
    shutil.copyfile(home / "data" / "gateway.db", copy)
    assert verified(home, copy).faults == ()
    with closing(sqlite3.connect(copy)) as db:
        change(db)
        db.commit()
    assert verified(home, copy).first_bad_index == index


def test_a_log_cut_back_with_its_checkpoints_is_shorter_than_what_a_partner_cosigned(
    home: Path, tmp_path: Path
) -> None:
    """Every hash and signature that is left holds; the cosignature of the longer log stands beside it."""
    copy = tmp_path / "gateway.db"
    shutil.copyfile(home / "data" / "gateway.db", copy)
    with closing(sqlite3.connect(copy)) as db:
        [(size,)] = db.execute("SELECT max(size) FROM checkpoints WHERE size < 256")
        [(cosigned_at,)] = db.execute("SELECT max(size) FROM cosignatures")
        db.execute("DELETE FROM checkpoints WHERE size > ?", (size,))
        db.execute("DELETE FROM tiles")
        truncate(db, size)
        db.commit()
    [fault] = verified(home, copy).faults
    assert (fault.index, fault.what) == (size, f"older than one a partner cosigned at size {cosigned_at}")


def test_an_edit_carried_through_hashes_and_tiles_shows_between_two_signatures(home: Path, tmp_path: Path) -> None:
    """Nothing but the signed roots contradicts it: the range between two of them is named."""
    copy = tmp_path / "gateway.db"
    shutil.copyfile(home / "data" / "gateway.db", copy)
    with closing(sqlite3.connect(copy)) as db:
        sizes = [row[0] for row in db.execute("SELECT size FROM checkpoints ORDER BY size")]
        seq = next(size for size in sizes if size > 100) + 1
        edit_and_rehash(db, seq)
        retile(db)
        db.commit()
    report = verified(home, copy)
    before = max(size for size in sizes if size <= seq)
    after = min(size for size in sizes if size > seq)
    assert report.first_bad_index == before
    assert f"entries {before} to {after - 1} hold the change" in report.faults[0].what
