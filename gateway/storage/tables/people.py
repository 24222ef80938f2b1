"""Who calls us, and what they were answered."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)

from gateway.storage.tables.base import Key, metadata

_ACTIVE = text("disabled_at IS NULL")

accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True, comment="opaque: what the log names"),
    Column("name", Text, nullable=False, comment="of one account that is not disabled"),
    Column("person", SmallInteger, nullable=False, comment="1 a person, 0 a partner-agency system"),
    Column("role", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Index("accounts_name", "name", unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
)

tokens = Table(
    "tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True, comment="SHA-256 of a 256-bit random token"),
    Column("account", Text, nullable=False, index=True),
    Column("issued_at", BigInteger, nullable=False, comment="its age counts from here"),
    Column("ends_at", BigInteger, comment="earlier than its age says: replaced, with an overlap"),
    comment="those that may be shown; what was replaced or revoked at once has no row",
)

answers = Table(
    "answers",
    metadata,
    Column("account", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True, comment="Idempotency-Key"),
    Column("request", LargeBinary, nullable=False, comment="SHA-256 of the body"),
    Column("status", Integer, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("location", Text),
    Column("at", BigInteger, nullable=False, index=True),
    comment="stored answers to creating POSTs",
)

problems = Table(
    "problems",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("trace_id", Text, nullable=False, comment="in the problem its caller got; the caller may have chosen it"),
    Column("at", BigInteger, nullable=False),
    Column("listener", Text, nullable=False, comment="api, exchange or control"),
    Column("actor", Text, nullable=False, comment="opaque id, party, or stranger"),
    Column("role", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("route", Text, nullable=False, comment="its template, never a path"),
    Column("status", SmallInteger, nullable=False),
    Column("code", Text, nullable=False),
    Index("problems_trace", "trace_id"),
    Index("problems_at", "at"),
    comment="every error a caller got, so that the id in it finds it; no part of the tree",
)
