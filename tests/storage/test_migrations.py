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


def test_tokens_of_an_earlier_release_go_on(tmp_path: Path) -> None:
    """Issued when the log says, else with the account; nobody who had access loses it, a revoked token stays away."""
    path = tmp_path / "gateway.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
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
