"""What was read out of messages, and figures brought in."""

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
)

from gateway.storage.tables.base import Key, metadata

tallies = Table(
    "tallies",
    metadata,
    Column("direction", Text, primary_key=True, comment="out or in"),
    Column("partner", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
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
    Column("direction", Text, nullable=False, comment="out or in"),
    Column("partner", Text, nullable=False),
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
