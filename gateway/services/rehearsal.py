"""Tries a schema on stored traffic: how many messages of the last year it would refuse, and where.

The gateway reads the bodies, nobody else sees them: counts leave, pointers, and the schema's own words. Who
asked is in the log before the answer is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import orjson

from gateway.registry.validation import Validator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

    from gateway.errors import Finding
    from gateway.ports.common import Actor, Clock
    from gateway.ports.messages import StoredMessage, Traffic
    from gateway.ports.store import Store, Transaction
    from gateway.registry.subject import SchemaVersion

    Slice = tuple[Literal["out", "in"], Sequence[int]]

YEAR_MS: Final = 365 * 86_400_000
PAGE: Final = 1000
# Read and judged at once, by a thread: a group of manifests must not fill memory.
SLICE_BYTES: Final = 2 * 1024 * 1024
SLICE_MESSAGES: Final = 200
# Whoever asks waits; what was not reached by then is not counted, and the answer says so.
MOST_MS: Final = 60_000
MOST_PLACES: Final = 200
PLACES_A_MESSAGE: Final = 20


@dataclass(slots=True)
class Rehearsed:
    """What came of it: `messages` were tried, `failed` of them refused.

    `erased` ones have no body to try; the bodies of `changed` ones are not what was logged.
    """

    since: int
    messages: int = 0
    failed: int = 0
    erased: int = 0
    changed: int = 0
    whole: bool = True
    """False: time ran out before the end."""
    places: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Messages by pointer (`*` for any item of a list) and code."""
    reasons: dict[tuple[str, str], str] = field(default_factory=dict)
    """The first reason met at each place."""


class Rehearsal:
    """`run` is the only verb; one at a time."""

    def __init__(
        self, store: Store, traffic: Traffic, codelists: Mapping[str, Collection[str]], clock: Clock
    ) -> None:  # fmt: skip
        self._store = store
        self._traffic = traffic
        self._codelists = codelists
        self._clock = clock
        self._one = asyncio.Lock()

    async def run(self, schema: SchemaVersion, actor: Actor) -> Rehearsed:
        """Hold every stored message of the schema's type against it, both directions."""
        async with self._one:
            started = self._clock()
            found = Rehearsed(started - YEAR_MS)
            validator = await asyncio.to_thread(Validator, schema, self._codelists)
            async with aclosing(self._slices(schema.subject, found)) as slices:
                async for direction, numbers in slices:
                    held = await self._traffic.events(direction, numbers)
                    events = [event for event in held if event is not None]
                    await asyncio.to_thread(_try, validator, events, found)
                    found.erased += len(numbers) - len(held)
                    found.changed += len(held) - len(events)
                    if self._clock() - started > MOST_MS:
                        found.whole = False
                        break
            await self._store.write(lambda tx: self._note(tx, schema, actor, found))
        return found

    async def _slices(self, subject: str, found: Rehearsed) -> AsyncGenerator[Slice, None]:
        directions: tuple[Literal["out", "in"], ...] = ("out", "in")
        for direction in directions:
            after = 0
            while page := await self._traffic.page(direction, subject, since=found.since, after=after, limit=PAGE):
                after = page[-1].number
                found.erased += sum(1 for message in page if not message.size)
                for numbers in _sliced(page):
                    yield direction, numbers

    def _note(self, tx: Transaction, schema: SchemaVersion, actor: Actor, found: Rehearsed) -> None:
        tx.log.append(
            "schema.tried", actor=actor, obj=("schema", f"{schema.subject}:{schema.version}"), at=self._clock(),
            event=schema.digest, outcome=f"{found.messages} messages {found.failed} failed {found.erased} erased",
        )  # fmt: skip


def _sliced(page: Sequence[StoredMessage]) -> list[list[int]]:
    """Return the messages of a page in groups that fit `SLICE_BYTES`, one at least each."""
    groups: list[list[int]] = [[]]
    size = 0
    for message in page:
        if not message.size:
            continue
        size += message.size
        if groups[-1] and (size > SLICE_BYTES or len(groups[-1]) >= SLICE_MESSAGES):
            groups.append([])
            size = message.size
        groups[-1].append(message.number)
    return groups if groups[0] else []


def _try(validator: Validator, events: Sequence[bytes], found: Rehearsed) -> None:
    for event in events:
        data = orjson.loads(event)["data"]
        found.messages += 1
        if validator.is_valid(data):
            continue
        found.failed += 1
        places = {_place(finding): finding.reason for finding in validator.findings(data, limit=PLACES_A_MESSAGE)}
        for place, reason in places.items():
            if place in found.places or len(found.places) < MOST_PLACES:
                found.places[place] += 1
                found.reasons.setdefault(place, reason)


def _place(finding: Finding) -> tuple[str, str]:
    pointer = "/".join("*" if token.isdigit() else token for token in finding.pointer.split("/"))
    return f"/data{pointer}", finding.code or ""
