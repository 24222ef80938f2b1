"""Takes figures in from an authority's own statistics, and leaves a file of them out again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gateway.casework.figures import newest, overlaps, read_csv
from gateway.casework.policies.words import personal_data
from gateway.errors import Clash, IdempotencyKeyReused, NotFound, SchemaViolation, capped
from gateway.services.accounts import actor_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from gateway.casework.codelists import CodeLists
    from gateway.casework.figures import Imported
    from gateway.errors import Finding
    from gateway.ports.common import Clock
    from gateway.ports.people import Account, StoredAnswer
    from gateway.ports.store import Store, Transaction
    from gateway.services.submit import Idempotency

MOST_HELD = 100_000
"""Figures of all imports that count: twenty files of the largest size."""

Write = Callable[[int, int], "StoredAnswer"]


class Held(Protocol):
    """What was brought in before, on a connection that only reads."""

    async def imports_edition(self) -> tuple[int | None, int]:
        """Return what changes with every import and every one withdrawn."""
        ...

    async def imported(self, first: date, last: date) -> Sequence[Imported]:
        """Return the figures with a day between these, of imports not withdrawn, in the order they came."""
        ...


class Fresh(NamedTuple):
    """A file that was read, and what it was compared with."""

    figures: Sequence[Imported]
    digest: bytes
    edition: tuple[int | None, int]
    clashes: tuple[Finding, ...]


class FigureDesk:
    """`bring_in` and `withdraw` are logged: who says that a figure is so is part of the figure."""

    def __init__(self, store: Store, held: Held, codelists: CodeLists, clock: Clock) -> None:
        self._store = store
        self._held = held
        self._codelists = codelists
        self._clock = clock

    async def bring_in(
        self, raw: bytes, account: Account, idempotency: Idempotency, answer: Write
    ) -> tuple[StoredAnswer, bool]:
        """Store the figures of a CSV file, all or none; return the stored answer and whether it is a repetition.

        `answer` writes the number of the import and of its rows. Raises SchemaViolation with every fault by row
        and column.
        """
        figures, faults = await asyncio.to_thread(read_csv, raw, self._codelists, personal_data)
        if faults:
            detail = "places of the file are wrong; pointers are /ROW/COLUMN, the header is row 1"
            raise SchemaViolation(detail, errors=tuple(faults))
        first = min(figure.span.first for figure in figures)
        last = max(figure.span.last for figure in figures)

        while True:
            # Compared beside the traffic, with what is held; where that changed meanwhile, once more.
            edition = await self._held.imports_edition()
            held = await self._held.imported(first, last)
            clashes = await asyncio.to_thread(lambda held=held: capped(overlaps(figures, newest(held))))  # type: ignore[misc]
            found = await self._store.write(
                lambda tx, edition=edition, clashes=clashes: self._bring_in(  # type: ignore[misc]
                    tx, Fresh(figures, sha256(raw).digest(), edition, clashes), account, idempotency, answer
                )
            )
            if found is not None:
                return found

    def _bring_in(
        self, tx: Transaction, fresh: Fresh, account: Account, idempotency: Idempotency, answer: Write
    ) -> tuple[StoredAnswer, bool] | None:
        stored = tx.answers.find(account.id, idempotency.route, idempotency.key)
        if stored is not None:
            if stored.request != idempotency.request:
                detail = "take a new Idempotency-Key for a new file"
                raise IdempotencyKeyReused(detail)
            return stored, True
        if tx.figures.edition() != fresh.edition:
            return None
        figures = fresh.figures
        if tx.figures.count_held() + len(figures) > MOST_HELD:
            detail = f"{MOST_HELD} figures are held at most: withdraw imports that later ones revise"
            raise Clash(detail)
        if fresh.clashes:
            detail = "rows count days that another figure counts too"
            raise SchemaViolation(detail, errors=fresh.clashes)
        now = self._clock()
        number = tx.figures.add_import(figures, at=now, account=account.id, digest=fresh.digest)
        tx.log.append(
            "figures.imported", actor=actor_of(account), obj=("import", str(number)), at=now,
            outcome=f"{len(figures)} rows, sha256 {fresh.digest.hex()}",
        )  # fmt: skip
        result = answer(number, len(figures))
        tx.answers.add(account.id, idempotency.route, idempotency.key, result, now)
        return result, False

    async def withdraw(self, number: int, account: Account) -> None:
        """Leave the figures of one import out from now on. Raises NotFound."""

        def work(tx: Transaction) -> None:
            now = self._clock()
            if not tx.figures.withdraw(number, now):
                detail = "no such import counts; `gateway stats imports` lists them"
                raise NotFound(detail)
            tx.log.append("figures.withdrawn", actor=actor_of(account), obj=("import", str(number)), at=now)

        await self._store.write(work)
