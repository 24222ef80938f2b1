"""Partners, and the schemas agreed with them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from gateway.storage.tables.base import Key, metadata

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
