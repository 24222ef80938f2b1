"""Registered schemas, kept envelopes, and small facts about the process."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from sqlalchemy import bindparam, delete, insert, select, update

from gateway.ports.parties import StoredSchema
from gateway.storage import tables as t
from gateway.storage.statements import bound, compiled

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from gateway.protocol.ids import PartyId

s, e, v, m = t.schemas.c, t.envelopes.c, t.state.c, t.modes.c

_SCHEMA = (s.id, s.subject, s.ordinal, s.version, s.digest, s.document, s.registered_at, s.approved_at)
_ALL = compiled(select(*_SCHEMA).order_by(s.id))
_NEW = ("subject", "ordinal", "version", "digest", "document", "registered_at", "approved_at")
_ADD = compiled(insert(t.schemas).values(bound(_NEW)), *_NEW)
_APPROVE = compiled(
    update(t.schemas)
    .where(s.subject == bindparam("name"), s.version == bindparam("number"))
    .values(approved_at=bindparam("at")),
    "at", "name", "number",
)  # fmt: skip
_MODES = compiled(select(m.subject, m.mode))
_DROP_MODE = compiled(delete(t.modes).where(m.subject == bindparam("name")), "name")
_ADD_MODE = compiled(insert(t.modes).values(bound(("subject", "mode", "at"))), "subject", "mode", "at")
_ENVELOPE = ("eid", "partner", "direction", "at", "manifest", "digests", "leaf")
_ADD_ENVELOPE = compiled(insert(t.envelopes).prefix_with("OR IGNORE").values(bound(_ENVELOPE)), *_ENVELOPE)
_KEPT = compiled(select(e.partner, e.direction, e.manifest).where(e.eid == bindparam("key")), "key")
_USED = compiled(select(e.eid).where(e.eid == bindparam("key")), "key")
_SET_RECEIPT = compiled(
    update(t.envelopes).where(e.eid == bindparam("key")).values(receipt=bindparam("jws")), "jws", "key"
)
_GET = compiled(select(v.value).where(v.name == bindparam("key")), "key")
_PUT = "INSERT INTO state (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class RegistrationRows:
    """`ports.Registrations` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def all(self) -> Sequence[StoredSchema]:
        """Return every registered version, in the order of registration."""
        return [StoredSchema(*row) for row in self._run(_ALL)]

    def add(self, schema: StoredSchema) -> int:
        """Register a version; return its global id. `schema.id` is ignored."""
        number = self._run(
            _ADD,
            (
                schema.subject, schema.ordinal, schema.version, schema.digest, schema.document,
                schema.registered_at, schema.approved_at,
            ),
        ).lastrowid  # fmt: skip
        assert number is not None
        return number

    def approve(self, subject: str, version: str, at: int) -> None:
        """Mark a version as one we approved."""
        self._run(_APPROVE, (at, subject, version))

    def modes(self) -> Mapping[str, str]:
        """Return the compatibility modes that were set, by subject; `""` is that of all others."""
        return dict(self._run(_MODES).fetchall())

    def set_mode(self, subject: str, mode: str | None, at: int) -> None:
        """Set a compatibility mode, or with None forget it."""
        self._run(_DROP_MODE, (subject,))
        if mode is not None:
            self._run(_ADD_MODE, (subject, mode, at))


class EnvelopeRows:
    """`ports.Envelopes` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def add(
        self,
        *,
        eid: str,
        partner: PartyId,
        direction: Literal["out", "in"],
        at: int,
        manifest: bytes,
        digests: Sequence[bytes],
        leaf: int | None,
    ) -> str:
        """Keep a signed manifest; return the id it is kept under. A second copy changes nothing.

        That is `eid`, unless another manifest has it already: whoever sends an envelope chooses its id, and
        must not make evidence against itself disappear by choosing one twice.
        """
        row = self._run(_KEPT, (eid,)).fetchone()
        if row is not None and row != (partner, direction, manifest):
            eid = f"{eid}.{sha256(manifest).hexdigest()[:16]}"
        self._run(_ADD_ENVELOPE, (eid, partner, direction, at, manifest, b"".join(digests), leaf))
        return eid

    def used(self, eid: str) -> bool:
        """Say whether anything is kept under this id."""
        return self._run(_USED, (eid,)).fetchone() is not None

    def set_receipt(self, eid: str, receipt: bytes) -> None:
        """Keep the verified receipt of an envelope."""
        self._run(_SET_RECEIPT, (receipt, eid))


class StateRows:
    """`ports.State` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def get(self, name: str) -> str | None:
        """Return a fact, or None."""
        row = self._run(_GET, (name,)).fetchone()
        return row[0] if row else None

    def put(self, name: str, value: str) -> None:
        """Set a fact."""
        self._run(_PUT, (name, value))
