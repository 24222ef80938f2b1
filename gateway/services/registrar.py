"""Registers schema versions, approves them, and keeps the compatibility modes: an approved version never changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.errors import Clash, Finding, Incompatible, MalformedRequest, NotFound
from gateway.ports.parties import StoredSchema
from gateway.protocol.card_payload import MAX_SCHEMAS
from gateway.registry.subject import is_subject, version_key
from gateway.services.catalogue import ALL_SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.ports.common import Actor, Clock
    from gateway.ports.store import Store, Transaction
    from gateway.registry.compatibility import Mode
    from gateway.registry.subject import SchemaVersion
    from gateway.services.appraisal import Appraiser, Verdict
    from gateway.services.catalogue import Catalogue

MOST_BYTES = 32 * 1024 * 1024
"""Of all versions together: they are kept in memory, and a version is never removed."""


class Registrar:
    """The one writer of the registry."""

    def __init__(self, store: Store, catalogue: Catalogue, appraiser: Appraiser, clock: Clock) -> None:
        self._store = store
        self._catalogue = catalogue
        self._appraiser = appraiser
        self._clock = clock
        self._one = asyncio.Lock()

    async def load(self) -> None:
        """Read what is stored into the catalogue."""
        self._catalogue.take(*await self._store.write(lambda tx: (tx.registrations.all(), tx.registrations.modes())))
        for subject, version in self._catalogue.unread_large():
            # To read one takes as long as a hundred messages: not where messages wait for it.
            await asyncio.to_thread(self._catalogue.version, subject, version)

    async def propose(
        self, raw: bytes, actor: Actor, *, subject: str | None = None, version: str | None = None
    ) -> tuple[StoredSchema, bool]:
        """Register a schema if the mode in force allows it; return its version, and whether that is new.

        Raises SchemaRefused or TooLarge for what is no schema, Clash where its version is taken, Incompatible
        with a finding for each break.
        """
        async with self._one:  # what it is judged against stays what it is registered after
            verdict = await self._appraiser.judge(
                raw, subject=subject, version=version, caller=actor.sub
            )  # fmt: skip
            if verdict.held is not None:
                return verdict.held, False
            if verdict.breaks and not verdict.taken:
                raise _incompatible(verdict)
            await self.register([verdict.schema], actor)
        versions = self._catalogue.versions(verdict.schema.subject)
        return next(s for s in versions if s.version == verdict.schema.version), True

    async def register(
        self, schemas: Iterable[SchemaVersion], actor: Actor, *, approve: bool = False
    ) -> Sequence[StoredSchema]:
        """Register versions that are not held yet, lower ones first, whatever they break; return what was new.

        Raises Clash where a version is held with other bytes: what was approved and used cannot change.
        """
        given = sorted(schemas, key=lambda s: (s.subject, version_key(s.version)))

        def work(tx: Transaction) -> list[StoredSchema]:
            held = tx.registrations.all()
            known = {(s.subject, s.version): s for s in held}
            count: dict[str, int] = {}
            size = sum(len(s.document) for s in held)
            for s in held:
                count[s.subject] = max(count.get(s.subject, 0), s.ordinal)
            fresh: list[StoredSchema] = []
            for schema in given:
                before = known.get((schema.subject, schema.version))
                if before is not None:
                    if before.digest != schema.digest:
                        detail = (
                            f"{schema.subject} {schema.version} is registered with other content: raise its version"
                        )
                        raise Clash(detail, errors=(Finding("/$id", "this version is taken"),))
                    continue
                size += len(schema.text)
                if size > MOST_BYTES:
                    detail = f"the registry holds {MOST_BYTES} bytes of schemas at most: it is full"
                    raise Clash(detail)
                now = self._clock()
                count[schema.subject] = count.get(schema.subject, 0) + 1
                stored = StoredSchema(
                    0, schema.subject, count[schema.subject], schema.version, schema.digest, schema.text, now,
                    now if approve else None,
                )  # fmt: skip
                tx.registrations.add(stored)
                self._log(tx, "schema.registered", stored, actor)
                if approve:
                    self._log(tx, "schema.approved", stored, actor)
                fresh.append(stored)
            return fresh

        fresh = await self._store.write(work)
        self._catalogue.keep(given)
        await self.load()
        return fresh

    async def approve(self, subject: str, version: str, actor: Actor) -> None:
        """Approve a version: from then on the card lists it. Raises NotFound, or Clash where the card is full."""

        def work(tx: Transaction) -> None:
            held = tx.registrations.all()
            stored = next((s for s in held if (s.subject, s.version) == (subject, version)), None)
            if stored is None:
                detail = f"no schema {subject} {version} is registered; `gateway schema list` shows them"
                raise NotFound(detail)
            if stored.approved_at is not None:
                return
            approved = {s.subject for s in held if s.approved_at is not None}
            if subject not in approved and len(approved) >= MAX_SCHEMAS:
                # One more, and no partner could read our card.
                detail = f"a card lists at most {MAX_SCHEMAS} message types"
                raise Clash(detail)
            tx.registrations.approve(subject, version, self._clock())
            self._log(tx, "schema.approved", stored, actor)

        await self._store.write(work)
        await self.load()

    async def set_mode(self, subject: str, mode: Mode | None, actor: Actor) -> None:
        """Set the compatibility mode of a subject or of `ALL_SUBJECTS`; None: none of its own any more.

        Raises MalformedRequest for what can be no subject.
        """
        if subject != ALL_SUBJECTS and not is_subject(subject):
            detail = "a subject is lower-case words joined by dots"
            raise MalformedRequest(detail, errors=(Finding("/subject", detail),))

        def work(tx: Transaction) -> None:
            now = self._clock()
            if tx.registrations.modes().get(subject) == mode:
                return
            tx.registrations.set_mode(subject, mode, now)
            tx.log.append("schema.configured", actor=actor, obj=("compatibility", subject or "all"), at=now,
                          outcome=mode or "none of its own")  # fmt: skip

        async with self._one:
            await self._store.write(work)
            await self.load()

    def _log(self, tx: Transaction, typ: str, stored: StoredSchema, actor: Actor) -> None:
        tx.log.append(typ, actor=actor, obj=("schema", f"{stored.subject}:{stored.version}"), at=self._clock(),
                      event=stored.digest)  # fmt: skip


def _incompatible(verdict: Verdict) -> Incompatible:
    detail = (
        f"the compatibility mode of {verdict.schema.subject} is {verdict.mode}, and this version breaks it in "
        f"{len(verdict.breaks)} place(s); `gateway schema check` shows them, `gateway schema mode` changes it"
    )
    return Incompatible(
        detail, errors=tuple(Finding(b.why.pointer, f"{b.reads}: {b.why.words}", b.why.rule) for b in verdict.breaks)
    )
