"""Messages on their way out and in."""

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
    UniqueConstraint,
    text,
)

from gateway.storage.tables.base import Key, metadata

bodies = Table(
    "bodies",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("event", LargeBinary, nullable=False, comment="the CloudEvent line, without its newline"),
)

# The literal words matter: SQLite uses a partial index only where the query repeats its WHERE.
VOID_DUE = text("void = 'due'")

# Dead letters are counted by every probe and scrape: without an index each would read the whole table.
DEAD = text("state = 'dead'")

OPEN_STATES = text("state IN ('queued', 'sending', 'held')")

UNPROVED = text("partner_leaf IS NOT NULL AND proved_at IS NULL AND coalesce(unproved, 'late') = 'late'")

outbox = Table(
    "outbox",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True, comment="order of acceptance"),
    Column("jti", Text, nullable=False, unique=True),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False, comment="message type, e.g. case.referral"),
    Column("case_ref", Text),
    Column("case_seq", BigInteger),
    Column("stream_seq", BigInteger, nullable=False),
    Column("urgency", Text, nullable=False),
    Column("rank", SmallInteger, nullable=False, comment="0 FLASH, 1 URGENT, 2 the rest"),
    Column("size", Integer, nullable=False, comment="bytes of the event line"),
    Column("handling", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, comment="leaf hash of the event, protocol.md 4.2"),
    Column("schema_version", Text, nullable=False),
    Column("in_reply_to", Text),
    Column("supersedes", Text),
    Column("effect", Text, comment="JSON: what its acceptance does to the clocks of its case"),
    Column("account", Text, nullable=False, comment="opaque id of who submitted it"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("body_id", Key, nullable=False),
    Column("leaf", BigInteger, nullable=False, index=True, comment="our entry message.accepted: its place in lists"),
    Column("state", Text, nullable=False, comment="queued sending held accepted rejected dead cancelled"),
    Column("held_for", Text, comment="release or operator, while state is held"),
    Column("next_at", BigInteger, nullable=False, comment="not before; only while queued"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("fence", BigInteger, comment="epoch of the process that holds the lease while sending"),
    Column("lease_until", BigInteger),
    Column("eid", Text, comment="envelope of the last attempt"),
    Column("reason", Text, comment="why it waits, was refused or given up: a code, never a value"),
    Column("errors", Text, comment="JSON findings of a rejection"),
    Column("settled_at", BigInteger),
    Column("received_at", BigInteger, comment="the partner's receivedAt"),
    Column("partner_leaf", BigInteger, comment="the partner's log entry"),
    Column("proved_at", BigInteger, comment="when that entry was seen under a checkpoint we cosigned"),
    Column("unproved", Text, comment="why it could not be: late, differs, unknown; alarmed once"),
    Column("void", Text, comment="due: the partner must be told; told: jti of the bcx.void is in void_jti"),
    Column("void_jti", Text),
    Column(
        "contradicted",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="two verified answers differ",
    ),
    UniqueConstraint("recipient", "stream_seq"),
    Index(
        "outbox_open",
        "recipient",
        "state",
        "rank",
        "id",
        sqlite_where=OPEN_STATES,
        postgresql_where=OPEN_STATES,
    ),
    Index(
        "outbox_case",
        "case_ref",
        "id",
        sqlite_where=text("case_ref IS NOT NULL"),
        postgresql_where=text("case_ref IS NOT NULL"),
    ),
    Index("outbox_case_open", "case_ref", "case_seq", sqlite_where=OPEN_STATES, postgresql_where=OPEN_STATES),
    Index("outbox_dead", "id", sqlite_where=DEAD, postgresql_where=DEAD),
    Index("outbox_void", "recipient", "stream_seq", sqlite_where=VOID_DUE, postgresql_where=VOID_DUE),
    Index("outbox_unproved", "recipient", "partner_leaf", sqlite_where=UNPROVED, postgresql_where=UNPROVED),
    comment="messages we send; one row each, for ever",
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("jti", Text, nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("eid", Text, nullable=False),
    Column("result", Text, nullable=False, comment="deferred, refused, unreachable, unverified or settled"),
    Column("reason", Text),
    Column("next_at", BigInteger),
    comment="every attempt that did not settle its message, and those that settled it after one",
)

envelopes = Table(
    "envelopes",
    metadata,
    Column("eid", Text, primary_key=True, comment="or `<message id>.receipt`, `<partner>/<message id>.answer`, …"),
    Column("partner", Text, nullable=False),
    Column("direction", Text, nullable=False, comment="out or in"),
    Column("at", BigInteger, nullable=False),
    Column("manifest", LargeBinary, nullable=False, comment="JWS line"),
    Column("digests", LargeBinary, nullable=False, comment="32 bytes an event, in order"),
    Column("leaf", BigInteger, comment="our log entry message.sent"),
    Column("receipt", LargeBinary, comment="JWS as received"),
    comment="what was signed and sealed, and what came back",
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True, comment="order of arrival; the inbox cursor"),
    Column("sender", Text, nullable=False),
    Column("digest", LargeBinary, comment="leaf hash of the event; absent where only a void names it"),
    Column("jti", Text, comment="absent where it could not be read"),
    Column("stream_seq", BigInteger),
    Column("case_ref", Text),
    Column("case_seq", BigInteger),
    Column("status", Text, nullable=False, comment="accepted rejected voided"),
    Column("subject", Text),
    Column("urgency", Text),
    Column("handling", Text),
    Column("schema_version", Text),
    Column("in_reply_to", Text),
    Column("supersedes", Text),
    Column("sent_at", BigInteger, comment="the event's time"),
    Column("received_at", BigInteger, nullable=False),
    Column("leaf", BigInteger, nullable=False, index=True, comment="our log entry of the answer: its place in lists"),
    Column("problem", Text),
    Column("errors", Text),
    Column("eid", Text),
    Column("body_id", Key, comment="accepted messages only"),
    UniqueConstraint("sender", "digest"),
    UniqueConstraint("sender", "jti"),
    UniqueConstraint("sender", "stream_seq"),
    UniqueConstraint("sender", "case_ref", "case_seq"),
    Index(
        "inbox_case",
        "case_ref",
        "id",
        sqlite_where=text("case_ref IS NOT NULL"),
        postgresql_where=text("case_ref IS NOT NULL"),
    ),
    Index("inbox_jti", "jti"),
    comment="every final answer we gave a partner; one row each, for ever",
)

stream_heads = Table(
    "stream_heads",
    metadata,
    Column("partner", Text, primary_key=True),
    Column("sent", BigInteger, nullable=False, comment="last streamseq we gave out"),
    Column("high", BigInteger, nullable=False, comment="highest M with 1..M of theirs all answered or voided"),
)
