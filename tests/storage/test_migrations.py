"""Migrations: they make exactly the tables of the code, and nothing newer is touched."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from gateway.errors import ConfigurationError
from gateway.storage import migrations
from gateway.storage.schema import revision, upgrade, upgrade_sql
from gateway.storage.tables import metadata


def test_the_migrations_make_the_tables_of_the_code(tmp_path: Path) -> None:
    """A column added to one and not the other shows here, before it shows in production."""
    upgrade(tmp_path / "gateway.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_partial_indexes_are_made_with_their_conditions(tmp_path: Path) -> None:
    """Alembic does not compare them, and without its WHERE an index of the queue is as large as the archive."""
    made, planned = tmp_path / "made.db", tmp_path / "planned.db"
    upgrade(made)
    engine = create_engine(f"sqlite:///{planned}")
    metadata.create_all(engine)
    engine.dispose()
    assert _indexes(made) == _indexes(planned)


def _indexes(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    return {" ".join(row[0].split()) for row in rows if "alembic" not in row[0]}


def test_the_head_in_the_code_is_the_head_of_the_scripts() -> None:
    """A start compares with the constant and loads no Alembic: the two must not part."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_a_database_of_a_newer_gateway_is_refused_untouched(tmp_path: Path) -> None:
    """The message names both revisions and the fix."""
    path = tmp_path / "gateway.db"
    upgrade(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()
    with pytest.raises(ConfigurationError, match=r"9999.*start the newer gateway"):
        upgrade(path)
    assert revision(path) == "9999"


def test_what_is_no_database_is_refused_with_the_fix(tmp_path: Path) -> None:
    """A wrong file, or a damaged one."""
    path = tmp_path / "gateway.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(ConfigurationError, match=r"SQLITE_NOTADB.*restore a backup"):
        upgrade(path)


def test_the_database_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """It holds case records."""
    path = tmp_path / "data" / "gateway.db"
    upgrade(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_dry_run_prints_the_statements_and_runs_none(tmp_path: Path) -> None:
    """`gateway db upgrade --dry-run`."""
    assert "CREATE TABLE outbox" in upgrade_sql(None)
    assert not list(tmp_path.iterdir())


# --- 0002: messages and cases by partner ------------------------------------------------------------


def _at(path: Path, revision: str) -> None:
    """Make a database as an earlier gateway left it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def _put(db: sqlite3.Connection, table: str, **values: object) -> None:
    marks = ", ".join("?" for _ in values)
    names = ", ".join(f'"{name}"' for name in values)
    db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608 - names of ours


def _sent(db: sqlite3.Connection, number: int, jti: str, recipient: str) -> None:
    _put(
        db, "outbox", id=number, jti=jti, recipient=recipient, subject="case.referral", stream_seq=number,
        urgency="ROUTINE", rank=2, size=2, handling="H0", digest=b"o%d" % number, schema_version="1.0.0", account="acc",
        created_at=1, expires_at=2, body_id=number, leaf=number, state="accepted", next_at=0, case_ref="XC-ID-1",
    )  # fmt: skip


def _received(db: sqlite3.Connection, number: int, jti: str, sender: str, status: str = "accepted") -> None:
    _put(
        db, "inbox", id=number, sender=sender, digest=b"i%d" % number, jti=jti, stream_seq=number, status=status,
        subject="case.referral", received_at=1, leaf=100 + number, body_id=100 + number,
    )  # fmt: skip


def _read(db: sqlite3.Connection, jti: str, direction: str, name: str) -> None:
    _put(db, "tallies", jti=jti, direction=direction, at=1, counts=name, final=0, first="2026-01-01", last="2026-01-02")
    _put(db, "names", jti=jti, case_ref="XC-ID-1", block="k", folded=name, latin=name, sound=name)


def _old_home(path: Path, *, shared: bool) -> None:
    """Fill a database of revision 0001; `shared`: ids that several senders used are in it."""
    _at(path, "0001")
    with closing(sqlite3.connect(path)) as db:
        for number, ref in enumerate(("XC-KH-2", "XC-ID-1", "XC-KH-1")):
            _put(
                db, "cases", ref=ref, partner="kh.gdi", opener="kh.gdi", status="SUBMITTED", lifecycle="{}",
                urgency="FLASH", handling="V1", opening_handling="V1", opened_at=number, updated_at=7, sent=number,
                clocks="[[],[]]", reply_by=number, next_by="kh.gdi",
            )  # fmt: skip
        _sent(db, 1, "ours", "kh.gdi")
        _received(db, 1, "theirs", "kh.gdi")
        _received(db, 2, "given up", "kh.police", "voided")
        _read(db, "ours", "out", "sok")
        _read(db, "theirs", "in", "dara")
        for direction in ("out", "in"):
            _put(db, "state", name=f"indexed-{direction}", value="9")
        if shared:
            _sent(db, 2, "both", "kh.police")
            _received(db, 3, "both", "kh.gdi")
            _received(db, 4, "twice", "kh.police")
            _received(db, 5, "twice", "kh.gdi")
            _read(db, "both", "out", "kim")
            _read(db, "twice", "in", "srey")
        for eid, direction, manifest in (
            ("01990000-0000-7000-8000-000000000001", "out", b"jws"), ("ours", "out", b""), ("ours.entry", "out", b""),
            ("ours.unproved", "out", b""), ("theirs.answer", "in", b""),
        ):  # fmt: skip
            _put(
                db, "envelopes", eid=eid, partner="kh.gdi", direction=direction, at=1, manifest=manifest,
                digests=b"", receipt=eid.encode(),
            )  # fmt: skip
        db.commit()


def _all(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


@pytest.mark.parametrize("shared", [False, True])
def test_an_old_home_keeps_what_it_holds(tmp_path: Path, shared: bool) -> None:
    """Cases keep their order and every column, what was read out of messages its partner, answers their messages."""
    path = tmp_path / "gateway.db"
    _old_home(path, shared=shared)
    columns = (
        "ref, partner, opener, status, lifecycle, urgency, handling, opening_handling, opened_at, updated_at, sent"
    )
    columns += ", clocks, clock_from, acknowledge_by, reply_by, acknowledged_at, replied_at, next_by"
    before = _all(path, f"SELECT {columns} FROM cases ORDER BY rowid")  # noqa: S608 - names of ours

    upgrade(path)

    assert _all(path, f"SELECT {columns} FROM cases ORDER BY id") == before  # noqa: S608 - names of ours
    tallies = _all(path, "SELECT direction, partner, jti, counts, first, last FROM tallies ORDER BY counts")
    days = ("2026-01-01", "2026-01-02")
    own = [("in", "kh.gdi", "theirs", "dara", *days), ("out", "kh.gdi", "ours", "sok", *days)]
    doubled = [("out", "kh.police", "both", "kim", *days), ("in", "kh.police", "twice", "srey", *days)]
    assert sorted(tallies) == sorted(own + (doubled if shared else []))
    names = _all(path, "SELECT direction, partner, jti, folded FROM names ORDER BY id")
    kept = [("out", "kh.gdi", "ours", "sok"), ("in", "kh.gdi", "theirs", "dara")]
    # Whose name a key is of was not said: where ids are shared every message is read again.
    assert names == ([] if shared else kept)
    indexed = _all(path, "SELECT DISTINCT value FROM state WHERE name LIKE 'indexed-%'")
    assert indexed == [("0",) if shared else ("9",)]
    assert _all(path, "SELECT eid, receipt FROM envelopes ORDER BY eid") == [
        ("01990000-0000-7000-8000-000000000001", b"01990000-0000-7000-8000-000000000001"),
        ("kh.gdi/theirs.answer", b"theirs.answer"),
        ("ours.entry", b"ours.entry"), ("ours.receipt", b"ours"), ("ours.unproved", b"ours.unproved"),
    ]  # fmt: skip
    # Two partners' cases of one reference have their places now.
    with closing(sqlite3.connect(path)) as db:
        other = columns.replace("partner", "'kh.police'")
        db.execute(f"INSERT INTO cases ({columns}) SELECT {other} FROM cases WHERE ref = 'XC-KH-1'")  # noqa: S608


def test_an_upgrade_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    """All of it is one transaction: a table made anew is never half of one."""
    path = tmp_path / "gateway.db"
    _old_home(path, shared=False)
    with closing(sqlite3.connect(path)) as db:
        # The last table of the upgrade has a name in its way.
        db.execute("CREATE TABLE names_by_id (x)")
        db.commit()
    before = _all(path, "SELECT name, sql FROM sqlite_master ORDER BY name")
    with pytest.raises(ConfigurationError):
        upgrade(path)
    assert revision(path) == "0001"
    assert _all(path, "SELECT name, sql FROM sqlite_master ORDER BY name") == before
    assert len(_all(path, "SELECT 1 FROM cases")) == 3


# --- 0003: tokens apart from accounts ---------------------------------------------------------------


def test_tokens_of_an_earlier_release_go_on(tmp_path: Path) -> None:
    """Issued when the log says, else with the account; nobody who had access loses it, a revoked token stays away."""
    path = tmp_path / "gateway.db"
    _at(path, "0001")
    with closing(sqlite3.connect(path)) as db:
        db.executemany(
            "INSERT INTO accounts (id, name, person, role, token_hash, created_at, disabled_at) VALUES (?,?,?,?,?,?,?)",
            [
                ("a", "never-reset", 0, "client", b"A", 100, None),
                ("b", "reset-twice", 1, "officer", b"B", 100, None),
                ("c", "revoked", 0, "client", b"C", 100, 150),
                ("d", "without", 0, "client", None, 100, None),
            ],
        )
        db.executemany(
            "INSERT INTO entries (seq, at, typ, actor, obj, outcome, data, leaf) VALUES (?,?,?,'local',?,?,x'',x'')",
            [
                (0, 100, "user.added", "b", "officer"), (1, 200, "user.changed", "b", "token reset"),
                (2, 300, "user.changed", "b", "token reset"), (3, 400, "user.changed", "b", "disabled"),
                (4, 500, "user.changed", "a", "disabled"),
            ],
        )  # fmt: skip
        db.commit()
    upgrade(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT hash, account, issued_at, ends_at FROM tokens ORDER BY account").fetchall() == [
            (b"A", "a", 100, None), (b"B", "b", 300, None),
        ]  # fmt: skip
        kept = db.execute("SELECT id, name, person, role, created_at, disabled_at FROM accounts ORDER BY id").fetchall()
        assert kept[2] == ("c", "revoked", 0, "client", 100, 150)
        assert [row[0] for row in kept] == ["a", "b", "c", "d"]
        db.execute("INSERT INTO accounts VALUES ('e', 'revoked', 0, 'client', 200, NULL)")
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("INSERT INTO accounts VALUES ('f', 'without', 0, 'client', 200, NULL)")
