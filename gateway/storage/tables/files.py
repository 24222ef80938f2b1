"""Files beside messages."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    Table,
    Text,
)

from gateway.storage.tables.base import metadata

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
