"""Cases, and what is remembered in them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from gateway.storage.tables.base import Key, metadata

cases = Table(
    "cases",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True, comment="ours, in the order they came"),
    Column("ref", Text, nullable=False, comment="the opener's word: agencies of one State may use the same"),
    Column("partner", Text, nullable=False),
    Column("opener", Text, nullable=False, comment="party that opened it"),
    Column("status", Text, nullable=False),
    Column("lifecycle", Text, nullable=False, comment="JSON: last move and our unanswered ones"),
    Column("urgency", Text, nullable=False),
    Column("handling", Text, nullable=False, comment="union of the codes seen"),
    Column("opening_handling", Text, nullable=False, comment="of its first message: what names no other inherits it"),
    Column("opened_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("sent", BigInteger, nullable=False, comment="last caseseq we gave out"),
    Column("clocks", Text, nullable=False, comment="JSON: every clock of the case; the one shown is in the columns"),
    Column("clock_from", BigInteger, comment="receivedAt of the signed receipt"),
    Column("acknowledge_by", BigInteger),
    Column("reply_by", BigInteger),
    Column("acknowledged_at", BigInteger),
    Column("replied_at", BigInteger),
    Column("next_by", Text, comment="party whose turn it is, while a clock runs"),
    Index(
        "cases_due",
        "reply_by",
        sqlite_where=text("replied_at IS NULL"),
        postgresql_where=text("replied_at IS NULL"),
    ),
    Index("cases_updated", "updated_at", "id"),
    UniqueConstraint("ref", "partner"),
)

remembered = Table(
    "remembered",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("sender", Text, nullable=False),
    Column("jti", Text, nullable=False),
    Column("partner", Text, nullable=False, comment="with whom it was exchanged"),
    Column("case_ref", Text),
    Column("at", BigInteger, nullable=False, comment="the event's time"),
    Column("supersedes", Text),
    Column("facts", Text, nullable=False, comment="JSON: references, codes and item ids, no names"),
    Column("live", SmallInteger, nullable=False, server_default="1", comment="0 while a message of ours is given up"),
    UniqueConstraint("sender", "jti"),
    Index(
        "remembered_case",
        "case_ref",
        sqlite_where=text("case_ref IS NOT NULL"),
        postgresql_where=text("case_ref IS NOT NULL"),
    ),
    comment="case data: what later messages are judged by, one row a message that has any; erased with its body",
)

remembered_keys = Table(
    "remembered_keys",
    metadata,
    Column("key", Text, primary_key=True, comment="a personRef; claim:, name: or head: and what it is"),
    Column("id", Key, primary_key=True, autoincrement=False, comment="of the remembered message"),
    Index("remembered_keys_id", "id"),
    comment="case data: where a person is spoken of; erased with its message",
    sqlite_with_rowid=False,
)

record_marks = Table(
    "record_marks",
    metadata,
    Column("sender", Text, primary_key=True, comment="whose message"),
    Column("jti", Text, primary_key=True),
    Column("part", Text, primary_key=True, comment="message, attachment:<id>, or part: some of its data"),
    Column("mark", Text, nullable=False, comment="erased, restricted or blocked"),
    Column("reason", Text, nullable=False, comment="code of recordActionReason"),
    Column("by_jti", Text, nullable=False, comment="the record.action that asked"),
    Column("at", BigInteger, nullable=False),
    comment="what record.action did to messages: the tombstone of what is gone, no case data",
)

case_numbers = Table(
    "case_numbers",
    metadata,
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
)
