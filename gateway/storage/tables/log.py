"""The audit log, and who vouches for it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from gateway.storage.tables.base import Key, metadata

# An index costs each entry 0.5 to 0.9 µs: what a machine writes of each message, and nobody searches by type or
# actor, has none of these.
MACHINES = ("message.received", "message.settled", "message.sent")

SEARCHED = text(" AND ".join(f"typ <> '{typ}'" for typ in MACHINES))

NOT_ACCEPTED = text("outcome <> 'accepted'")

OBJECT_APART = text("obj IS NOT jti")

entries = Table(
    "entries",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("typ", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("obj", Text, nullable=False),
    Column("jti", Text),
    Column("case_ref", Text),
    Column("outcome", Text),
    Column("data", LargeBinary, nullable=False, comment="leaf data, RFC 8785"),
    Column("leaf", LargeBinary, nullable=False, comment="its hash: names the entry that was edited"),
    Index("entries_jti", "jti", sqlite_where=text("jti IS NOT NULL"), postgresql_where=text("jti IS NOT NULL")),
    Index(
        "entries_case",
        "case_ref",
        sqlite_where=text("case_ref IS NOT NULL"),
        postgresql_where=text("case_ref IS NOT NULL"),
    ),
    Index("entries_typ", "typ", sqlite_where=SEARCHED, postgresql_where=SEARCHED),
    Index("entries_actor", "actor", sqlite_where=SEARCHED, postgresql_where=SEARCHED),
    Index("entries_at", "at"),
    Index("entries_outcome", "outcome", sqlite_where=NOT_ACCEPTED, postgresql_where=NOT_ACCEPTED),
    Index(
        "entries_obj",
        "obj",
        sqlite_where=OBJECT_APART,
        postgresql_where=text("obj IS DISTINCT FROM jti"),
    ),
)

tiles = Table(
    "tiles",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False, comment="32 bytes each, at most 256"),
    sqlite_with_rowid=False,
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False, comment="C2SP signed note as published"),
    Column("at", BigInteger, nullable=False),
)

cosignatures = Table(
    "cosignatures",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False, comment="of our checkpoint"),
    Column("witness", Text, primary_key=True, comment="party"),
    Column("lines", Text, nullable=False, comment="signature lines, verified"),
    Column("at", BigInteger, nullable=False),
    comment="our checkpoints as partners cosigned them",
)

timestamps = Table(
    "timestamps",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False, comment="of our checkpoint"),
    Column("note", Text, nullable=False, comment="the checkpoint as it was stamped, cosignatures included"),
    Column("token", LargeBinary, nullable=False, comment="RFC 3161 answer as received, verified"),
    Column("at", BigInteger, nullable=False, comment="the authority's time"),
    comment="our checkpoints as an outside authority stamped them; kept for ever",
)

witnessed = Table(
    "witnessed",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("party", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False, comment="as its log signed it"),
    Column("at", BigInteger, nullable=False),
    Column("forked", SmallInteger, nullable=False, server_default="0", comment="1: never believed again"),
    comment="the newest checkpoint we cosigned of each log we watch; stored before the cosignature leaves",
)

disputes = Table(
    "disputes",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("party", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="fork, or bad-proof"),
    Column("held", Text, nullable=False, comment="signed checkpoint we had"),
    Column("shown", Text, nullable=False, comment="signed checkpoint that does not agree with it"),
    Column("proof", LargeBinary, nullable=False, comment="what was shown to join them, as add-checkpoint has it"),
    Column("at", BigInteger, nullable=False),
    UniqueConstraint("origin", "reason", "held", "shown"),
    comment="evidence: checkpoints of one log, signed by it, that contradict each other",
)
