"""The tables, one set for every database the gateway will ever run on (SQLAlchemy Core).

Laws:
1. A body (event bytes) lives only in `bodies`, and what policies need of it in `remembered` and its keys; every
   other table may be read by people who may not read cases. Whatever erases a body erases all three.
2. State moves only as `protocol.states` allows; the partial index `outbox_open` holds what still has to move.
3. `entries` and `tiles` are append-only; a checkpoint is signed once for a size.
4. Times are integers, milliseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives a rowid only to INTEGER, PostgreSQL needs 8 bytes.
Key = BigInteger().with_variant(Integer(), "sqlite")

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
# An index costs each entry 0.5 to 0.9 µs: what a machine writes of each message, and nobody searches by type or
# actor, has none of these.
MACHINES = ("message.received", "message.settled", "message.sent")
SEARCHED = text(" AND ".join(f"typ <> '{typ}'" for typ in MACHINES))
NOT_ACCEPTED = text("outcome <> 'accepted'")
OBJECT_APART = text("obj IS NOT jti")
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
    Column("leaf", BigInteger, nullable=False, comment="our log entry message.accepted"),
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
    Column("eid", Text, primary_key=True),
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
    Column("leaf", BigInteger, nullable=False),
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

cases = Table(
    "cases",
    metadata,
    Column("ref", Text, primary_key=True),
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
    Index("cases_updated", "updated_at"),
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

cards = Table(
    "cards",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("party", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("jws", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("disputed", SmallInteger, nullable=False, server_default="0", comment="same version, other bytes"),
    UniqueConstraint("party", "version", "digest"),
    comment="our cards and the partners', kept for ever",
)

partners = Table(
    "partners",
    metadata,
    Column("party", Text, primary_key=True),
    Column("state", Text, nullable=False, comment="active or suspended"),
    Column("card_id", Key, nullable=False),
    Column("enrolled_at", BigInteger, nullable=False),
    Column("contact_at", BigInteger, comment="last verified contact"),
    Column("down_since", BigInteger),
    Column("problem", Text, comment="why the last attempt failed"),
    Column("checkpoint", Text, comment="newest checkpoint of theirs that we verified"),
    Column("checkpoint_size", BigInteger),
)

schemas = Table(
    "schemas",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("subject", Text, nullable=False),
    Column("ordinal", Integer, nullable=False, comment="n-th registered version of the subject"),
    Column("version", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("registered_at", BigInteger, nullable=False),
    Column("approved_at", BigInteger),
    UniqueConstraint("subject", "ordinal"),
    UniqueConstraint("subject", "version"),
)

modes = Table(
    "modes",
    metadata,
    Column("subject", Text, primary_key=True, comment="empty: of all subjects that have none of their own"),
    Column("mode", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    comment="compatibility modes as set; what was never set is BACKWARD",
)

attachments = Table(
    "attachments",
    metadata,
    Column("party", Text, primary_key=True, comment="whose id it is: ours for uploads of our callers"),
    Column("id", Text, primary_key=True),
    Column("account", Text, comment="opaque id of who uploaded it; absent where a partner sent it"),
    Column("attachment_type", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("byte_length", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False, comment="of the plaintext"),
    Column("derived_from", Text, comment="id of the sealed original"),
    Column("file", Text, nullable=False, comment="name in data/attachments"),
    Column("details", LargeBinary, nullable=False, comment="key and description, under the key-encryption key"),
    Column("at", BigInteger, nullable=False, index=True),
    Column("leaf", BigInteger, nullable=False),
    comment="files that may be read; their bytes are sealed, each under a key of its own",
)

transfers = Table(
    "transfers",
    metadata,
    Column("direction", Text, primary_key=True, comment="out or in"),
    Column("partner", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("file", Text, nullable=False, comment="the ciphertext, in data/attachments"),
    Column("length", BigInteger, nullable=False, comment="of the ciphertext, as announced"),
    Column("sha256", LargeBinary, comment="of the ciphertext; of an upload once its message is accepted"),
    Column("key", LargeBinary, comment="outbound: under the key-encryption key"),
    Column("state", Text, nullable=False, comment="out: due, delivered; in: open, whole, kept"),
    Column("at", BigInteger, nullable=False),
    Index("transfers_waiting", "direction", "state", "partner"),
    comment="ciphertexts between two gateways",
)

enclosures = Table(
    "enclosures",
    metadata,
    Column("jti", Text, primary_key=True),
    Column("party", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Index("enclosures_attachment", "id", "party"),
    comment="which message names which attachment",
)

discarded = Table(
    "discarded",
    metadata,
    Column("file", Text, primary_key=True),
    comment="files of erased attachments, until they are off the disk",
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True, comment="opaque: what the log names"),
    Column("name", Text, nullable=False, unique=True),
    Column("person", SmallInteger, nullable=False, comment="1 a person, 0 a partner-agency system"),
    Column("role", Text, nullable=False),
    Column("token_hash", LargeBinary, unique=True, comment="SHA-256 of a 256-bit random token"),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
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

tallies = Table(
    "tallies",
    metadata,
    Column("jti", Text, primary_key=True),
    Column("direction", Text, nullable=False, comment="out or in"),
    Column("case_ref", Text),
    Column("at", BigInteger, nullable=False, comment="when it was sent"),
    Column("counts", Text, nullable=False, comment="JSON: what it adds to the statistics; ids of persons, no names"),
    Column("first", Text, comment="first and last day counted, YYYY-MM-DD; absent where nothing is"),
    Column("last", Text),
    Column("final", SmallInteger, nullable=False, comment="1: a final answer to a request or referral"),
    Column("supersedes", Text),
    Column("target", Text, comment="message it amends"),
    Column("amends", Text, comment="correct or drop"),
    Column("person", Text, comment="personRef, where it takes out one person only"),
    Index("tallies_last", "last"),
    comment="what exchanged messages add to the statistics; messages that add and change nothing are not here",
)

names = Table(
    "names",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("jti", Text, nullable=False, index=True),
    Column("case_ref", Text, nullable=False),
    Column("block", Text, nullable=False, comment="first consonant: names are compared within it"),
    Column("folded", Text, nullable=False),
    Column("latin", Text, nullable=False),
    Column("sound", Text, nullable=False),
    Index("names_block", "block", "id"),
    comment="search keys of persons' names: personal data; gone with the body they were read from",
)

imports = Table(
    "imports",
    metadata,
    Column("number", Key, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("account", Text, nullable=False, comment="opaque id of who brought it in"),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the file"),
    Column("withdrawn_at", BigInteger),
    comment="files of figures",
)

figures = Table(
    "figures",
    metadata,
    Column("number", Key, primary_key=True, autoincrement=False, comment="of the import"),
    Column("line", Integer, primary_key=True, autoincrement=False, comment="row of its file, the header being 1"),
    Column("indicator", Text, nullable=False),
    Column("first", Text, nullable=False, comment="YYYY-MM-DD"),
    Column("last", Text, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("qualifier", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("breakdown", Text, nullable=False, comment="JSON"),
    Column("source", Text, nullable=False),
    comment="figures an authority brought in; small ones too, so they leave through suppression only",
)

state = Table(
    "state",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="epoch (fencing number), digest of the settings last seen, what the start found out about the log",
)
