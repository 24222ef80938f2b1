"""One real exchange between two gateways, and what each of them exports of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest_asyncio

from gateway.ports.people import Account
from gateway.services.evidence import Evidence
from gateway.services.evidence_partner import PartnerEntries
from gateway.services.reading import Reader
from tests.support.pair import Pair, Side, example

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXAMPLE = "case.referral/s1-sumarni"
SUPERVISOR = Account("sri", "sri", person=True, role="supervisor", created_at=0, disabled_at=None)
"""Who may export the evidence of a message with its content."""


def evidence_of(side: Side) -> Evidence:
    """Return the evidence service of a side, composed as the API does."""
    g = side.gateway
    reader = Reader(g.store, g.queries, g.rules.codelists, g.clock)
    partner = PartnerEntries(g.store, g.queries, g.directory, g.link, g.clock)
    return Evidence(
        g.store, g.queries, reader, g.checkpoints, g.receiver, g.rules.catalogue,
        partner, g.clock, me=side.party,
    )  # fmt: skip


async def export(side: Side, jti: str, *, redacted: bool = False) -> bytes:
    """Export as somebody who may do so with the content."""
    return await evidence_of(side).export(jti, SUPERVISOR, redacted=redacted, purpose="INVESTIGATION")


async def cosigned(side: Side) -> None:
    """Wait until the partner has cosigned everything in the log of a side."""
    log = side.gateway.store
    async with asyncio.timeout(30):
        size = await log.write(lambda tx: tx.log.head()[0])
        covered = 0
        while covered < size:
            newest = await log.write(lambda tx: tx.witness.newest_cosigned())
            covered = newest.size if newest is not None else 0


def fingerprints(pair: Pair) -> list[str]:
    """Return what both authorities would read aloud."""
    return [side.gateway.directory.mine.fingerprint for side in pair.sides]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message that was accepted, the bundles of both sides, and the true fingerprints."""

    pair: Pair
    jti: str
    sender: bytes
    recipient: bytes
    redacted: bytes
    fingerprints: list[str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exchange(tmp_path_factory: object) -> AsyncIterator[Exchange]:
    """Have a referral accepted by kh.gdi, among others in its envelope."""
    async with Pair(tmp_path_factory.mktemp("pair")) as pair:  # type: ignore[attr-defined]
        await pair.b.listen(False)
        first, *_ = await pair.a.submit(*[example(EXAMPLE)] * 5)
        await pair.b.listen()
        await pair.settle()
        for side in pair.sides:
            await cosigned(side)
        yield Exchange(
            pair, first.jti, await export(pair.a, first.jti), await export(pair.b, first.jti),
            await export(pair.a, first.jti, redacted=True), fingerprints(pair),
        )  # fmt: skip
