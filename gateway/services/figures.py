"""Takes figures in from an authority's own statistics, and leaves a file of them out again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.casework.figures import newest, overlaps, read_csv
from gateway.casework.policies.words import personal_data
from gateway.errors import Clash, IdempotencyKeyReused, NotFound, SchemaViolation, capped
from gateway.services.accounts import actor_of

if TYPE_CHECKING:
    from gateway.casework.codelists import CodeLists
    from gateway.ports.common import Clock
    from gateway.ports.people import Account, StoredAnswer
    from gateway.ports.store import Store, Transaction
    from gateway.services.submit import Idempotency

MOST_HELD = 100_000
"""Figures of all imports that count: twenty files of the largest size."""

Write = Callable[[int, int], "StoredAnswer"]


class FigureDesk:
    """`bring_in` and `withdraw` are logged: who says that a figure is so is part of the figure."""

    def __init__(self, store: Store, codelists: CodeLists, clock: Clock) -> None:
        self._store = store
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

        def work(tx: Transaction) -> tuple[StoredAnswer, bool]:
            stored = tx.answers.find(account.id, idempotency.route, idempotency.key)
            if stored is not None:
                if stored.request != idempotency.request:
                    detail = "take a new Idempotency-Key for a new file"
                    raise IdempotencyKeyReused(detail)
                return stored, True
            if tx.figures.count_held() + len(figures) > MOST_HELD:
                detail = f"{MOST_HELD} figures are held at most: withdraw imports that later ones revise"
                raise Clash(detail)
            clashes = capped(overlaps(figures, newest(tx.figures.held(first, last))))
            if clashes:
                detail = "rows count days that another figure counts too"
                raise SchemaViolation(detail, errors=clashes)
            now, digest = self._clock(), sha256(raw)
            number = tx.figures.add_import(figures, at=now, account=account.id, digest=digest.digest())
            tx.log.append(
                "figures.imported", actor=actor_of(account), obj=("import", str(number)), at=now,
                outcome=f"{len(figures)} rows, sha256 {digest.hexdigest()}",
            )  # fmt: skip
            fresh = answer(number, len(figures))
            tx.answers.add(account.id, idempotency.route, idempotency.key, fresh, now)
            return fresh, False

        return await self._store.write(work)

    async def withdraw(self, number: int, account: Account) -> None:
        """Leave the figures of one import out from now on. Raises NotFound."""

        def work(tx: Transaction) -> None:
            now = self._clock()
            if not tx.figures.withdraw(number, now):
                detail = "no such import counts; `gateway stats imports` lists them"
                raise NotFound(detail)
            tx.log.append("figures.withdrawn", actor=actor_of(account), obj=("import", str(number)), at=now)

        await self._store.write(work)
