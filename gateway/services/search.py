"""Finds cases by a person's name, however it is written; that somebody searched is in the log before the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.casework.names import NameKey, key_score, keys_of
from gateway.errors import Finding, MalformedRequest
from gateway.services.accounts import actor_of, require
from gateway.services.reading import judge_purpose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.casework.codelists import CodeLists
    from gateway.ports.common import Clock
    from gateway.ports.people import Account
    from gateway.ports.store import Store, Transaction
    from gateway.services.indexing import Indexer

    Row = Mapping[str, Any]

LEAST_SCORE: Final = 50.0
"""Below that a name is another name: the farthest of 57 Khmer names from its own spelling has 51."""
MOST_KEYS: Final = 20_000
"""Newest keys compared: what one question may cost."""
MOST_CASES: Final = 1000
MOST_TEXT: Final = 150


class _Reads(Protocol):
    """The questions asked here."""

    async def names(self, blocks: Sequence[str], limit: int) -> Sequence[Row]: ...
    async def cases(
        self,
        *,
        keys: Sequence[tuple[str, str]] | None = None,
        status: str | None = None,
        urgency: str | None = None,
        due_before: int | None = None,
        partner: str | None = None,
        account: str | None = None,
        limit: int,
    ) -> Sequence[Row]: ...


class CaseSearch:
    """`by_name` is the one reader of search keys."""

    def __init__(self, store: Store, reads: _Reads, indexer: Indexer, codelists: CodeLists, clock: Clock) -> None:
        self._store = store
        self._reads = reads
        self._indexer = indexer
        self._codelists = codelists
        self._clock = clock

    async def by_name(
        self, name: str, account: Account, owner: str | None, *, limit: int, purpose: str | None = None, **filters: Any
    ) -> Sequence[Row]:
        """Return the cases with the nearest names, best first; `owner` binds them to one client's.

        Raises NotPermitted; MalformedRequest for what holds no name, or a purpose that is no code.
        """
        require(account, "case.search")
        judge_purpose(self._codelists, purpose)
        wanted = keys_of(name) if len(name) <= MOST_TEXT else ()
        if not wanted:
            detail = f"is a case reference or its beginning, or a name of at most {MOST_TEXT} characters"
            raise MalformedRequest(f"`q` {detail}", errors=(Finding("/q", detail),))
        await self._indexer.catch_up()
        rows = await self._reads.names(sorted({key.block for key in wanted}), MOST_KEYS)
        nearest = await asyncio.to_thread(best, wanted, rows)
        scores = dict(sorted(nearest.items(), key=lambda item: -item[1])[:MOST_CASES])
        found = await self._reads.cases(keys=list(scores), account=owner, limit=len(scores), **filters)
        shown = sorted(found, key=lambda row: (-scores[row["partner"], row["ref"]], -row["updated_at"], -row["id"]))
        shown = shown[:limit]

        def work(tx: Transaction) -> None:
            # Whom somebody looked for is personal data and stays out; that, when and how much was found does not.
            tx.log.append(
                "case.searched", actor=actor_of(account), obj=("search", "name"), at=self._clock(), purpose=purpose,
                outcome=f"{len(shown)} found",
            )  # fmt: skip

        await self._store.write(work)
        return shown


def best(wanted: Sequence[NameKey], rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """Return the best score of each case (partner, reference) that has one.

    The whole of what is sought is compared with whole names and words; a word of it alone finds at most as well as
    it is a part: "Sok Dara" puts Sok Dara before any other Sok.
    """
    weights = [1.0, *(1 / len(wanted) ** 0.5 for _ in wanted[1:])]
    scores: dict[tuple[str, str], float] = {}
    for row in rows:
        held = NameKey(row["block"], row["folded"], row["latin"], row["sound"])
        near = max(key_score(key, held) * weight for key, weight in zip(wanted, weights, strict=True))
        case = row["partner"], row["case_ref"]
        if near >= LEAST_SCORE and near > scores.get(case, 0):
            scores[case] = near
    return scores
