"""Brings a database to the revision this code needs, and refuses one that is ahead of it."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError
from gateway.storage.migrations import HEAD

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

# 16 KiB: a 4 KB record and its row share a page with others (measured: 9.3 against 10.0 µs a row).
PAGE_SIZE = 16384


def revision(path: Path) -> str | None:
    """Return the revision of a database file, or None for a new one. Raises ConfigurationError."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return None
        raise unusable(path, error) from None
    return row[0] if row else None


def upgrade(path: Path) -> None:
    """Create or migrate the database at `path`. The caller holds the home's lock.

    Raises ConfigurationError for a database that a newer gateway made, or that cannot be written.
    """
    found = revision(path)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        detail = (
            f"{path} is at revision {found}, this gateway knows {HEAD}: "
            "start the newer gateway, or restore a backup with `gateway db restore`"
        )
        raise ConfigurationError(detail)
    from alembic import command
    from sqlalchemy import create_engine, event

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        engine = create_engine(f"sqlite:///{path}")

        @event.listens_for(engine, "connect")
        def _prepare(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
            connection.execute("PRAGMA journal_mode=WAL")
            # A table that is made anew leaves its old pages behind, names among them.
            connection.execute("PRAGMA secure_delete=ON")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # Python's driver begins nothing before a CREATE, and an upgrade that is killed must leave what was there.
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        with engine.begin() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)
        engine.dispose()
        path.chmod(0o600)
    except OSError as error:
        detail = f"{path}: {error.strerror}; make the data folder writable for the gateway's user"
        raise ConfigurationError(detail) from None
    except Exception as error:
        if isinstance(getattr(error, "orig", error), sqlite3.Error):
            raise unusable(path, getattr(error, "orig", error)) from None
        raise


def upgrade_sql(found: str | None) -> str:
    """Return the SQL an upgrade from `found` would run: `gateway db upgrade --dry-run`."""
    from alembic import command

    config = _config()
    config.output_buffer = buffer = io.StringIO()
    command.upgrade(config, f"{found}:{HEAD}" if found else HEAD, sql=True)
    return buffer.getvalue()


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def unusable(path: Path, error: BaseException) -> ConfigurationError:
    """Return the error for a database file that SQLite cannot use, with the fix."""
    if path.is_dir():
        return ConfigurationError(f"{path}: is a folder; move it away, and restore a backup with `gateway db restore`")
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    fixes = {
        "SQLITE_READONLY": "make the data volume writable",
        "SQLITE_CANTOPEN": "make the data folder readable and writable for the gateway's user",
        "SQLITE_FULL": "free space on the data volume",
        "SQLITE_NOTADB": "this is no gateway database: restore a backup with `gateway db restore`",
        "SQLITE_CORRUPT": "the file is damaged: restore a backup with `gateway db restore`",
    }
    # Extended codes (SQLITE_READONLY_DIRECTORY, …) share the advice of their family.
    fix = next((text for start, text in fixes.items() if name.startswith(start)), "see `gateway doctor`")
    return ConfigurationError(f"{path}: {name}; {fix}")
