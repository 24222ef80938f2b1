"""Registers schema versions and approves them: an approved version never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Clash, Finding, NotFound
from gateway.ports import Actor, Clock, Store, StoredSchema, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.registry.subject import SchemaVersion
    from gateway.services.catalogue import Catalogue


class Registrar:
    """The one writer of the registry."""

    def __init__(self, store: Store, catalogue: Catalogue, clock: Clock) -> None:
        self._store = store
        self._catalogue = catalogue
        self._clock = clock

    async def load(self) -> None:
        """Read what is stored into the catalogue."""
        self._catalogue.take(await self._store.write(lambda tx: tx.registrations.all()))

    async def register(
        self, schemas: Iterable[SchemaVersion], actor: Actor, *, approve: bool = False
    ) -> Sequence[StoredSchema]:
        """Register versions that are not held yet; return those that were new.

        Raises Clash where a version is held with other bytes: what was approved and used cannot change.
        """
        given = list(schemas)

        def work(tx: Transaction) -> list[StoredSchema]:
            held = tx.registrations.all()
            known = {(s.subject, s.version): s for s in held}
            count: dict[str, int] = {}
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
        await self.load()
        return fresh

    async def approve(self, subject: str, version: str, actor: Actor) -> None:
        """Approve a version: from then on the card lists it. Raises NotFound."""

        def work(tx: Transaction) -> None:
            for stored in tx.registrations.all():
                if (stored.subject, stored.version) == (subject, version):
                    if stored.approved_at is None:
                        tx.registrations.approve(subject, version, self._clock())
                        self._log(tx, "schema.approved", stored, actor)
                    return
            detail = f"no schema {subject} {version} is registered; `gateway schema list` shows them"
            raise NotFound(detail)

        await self._store.write(work)
        await self.load()

    def _log(self, tx: Transaction, typ: str, stored: StoredSchema, actor: Actor) -> None:
        tx.log.append(typ, actor=actor, obj=("schema", f"{stored.subject}:{stored.version}"), at=self._clock(),
                      event=stored.digest)  # fmt: skip
