"""One gateway and three partners that are scripts: `hub.kh_gdi`, `hub.kh_police`, `hub.id_bp2mi`.

`async with Hub() as hub` opens id.imigrasi; whoever lies here has real keys, and the bytes it likes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from gateway.home import InitOptions, init, open_home
from gateway.protocol.agreement import test_agreement as agreement_text
from gateway.protocol.ids import PartyId
from gateway.running import Gateway, World, wall_clock
from gateway.runtime import open_gateway
from tests.support.hostile import Author
from tests.support.link import post_envelope, scratch
from tests.support.pair import TEST_OPERATOR, submitted

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from gateway.protocol.receipt import Outcome
    from gateway.services.submit import Accepted

IMIGRASI, GDI, POLICE, BP2MI = map(PartyId, ("id.imigrasi", "kh.gdi", "kh.police", "id.bp2mi"))
PARTNERS = (GDI, POLICE, BP2MI)


@lru_cache(maxsize=1)
def template() -> tuple[Path, int]:
    """Return a folder with four homes, three of them enrolled with id.imigrasi, and the time they were made."""
    now, folder = wall_clock(), scratch()

    async def make() -> None:
        cards: dict[str, Any] = {}
        for turn in range(2):
            for party in (IMIGRASI, *PARTNERS):
                if turn == 0:
                    init(folder / party, InitOptions(party, party, party[:2].upper(), "test"), now_ms=now)
                    (folder / party / "agreement.toml").write_text(agreement_text(IMIGRASI, *PARTNERS), "utf-8")
                settings, keys = open_home(folder / party, environ={})
                async with open_gateway(settings, keys, World(clock=lambda: now)) as gateway:
                    cards.setdefault(party, gateway.directory.mine)
                    for other in (PARTNERS if party == IMIGRASI else (IMIGRASI,)) if turn else ():
                        await gateway.enroller.enrol(cards[other].raw, cards[other].fingerprint, TEST_OPERATOR)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, make()).result()
    return folder, now


class Hub:
    """id.imigrasi, open, and its three partners. `now` is everybody's clock, ms; it stands still by itself."""

    party = IMIGRASI

    def __init__(self) -> None:
        folder, self.now = template()
        self.folder = scratch() / "homes"
        shutil.copytree(folder, self.folder)
        self.home = self.folder / IMIGRASI
        self.gateway: Gateway
        self.draws: deque[bytes] = deque()
        """What the next draws of as many bytes give; then chance does."""
        self.kh_gdi, self.kh_police, self.id_bp2mi = (
            Author(self.folder / party, IMIGRASI, lambda: self.now) for party in PARTNERS
        )
        self._stack = AsyncExitStack()

    def _entropy(self, size: int) -> bytes:
        return self.draws.popleft() if self.draws and len(self.draws[0]) == size else os.urandom(size)

    async def __aenter__(self) -> Self:
        settings, keys = open_home(self.home, environ={})
        world = World(clock=lambda: self.now, entropy=self._entropy)
        self.gateway = await self._stack.enter_async_context(open_gateway(settings, keys, world))
        await self.gateway.witnessing.guard.vouch(TEST_OPERATOR, "other")
        await self.gateway.checkpoints.sign()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def restart(self) -> None:
        """Close the gateway and open its home again."""
        await self._stack.aclose()
        self._stack = AsyncExitStack()
        await self.__aenter__()

    async def send(self, author: Author, *events: bytes) -> list[Outcome]:
        """Post events of a partner in one envelope; return what became of each."""
        letter = author.letter(*events)
        reply = await post_envelope(self.gateway, author.party, letter.sealed.jwe)
        return list(author.read(reply.body, letter).outcomes)

    async def take(self, author: Author, *events: bytes) -> None:
        """Post events of a partner that are all accepted."""
        outcomes = await self.send(author, *events)
        assert [(o.status, o.problem, o.errors) for o in outcomes] == [("accepted", None, ())] * len(events)

    async def submit(self, *bodies: dict[str, Any]) -> list[Accepted]:
        """Accept messages of our own as the operator of this machine."""
        return await submitted(self.gateway, *bodies)

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """Ask the database beside the gateway, or change it as an administrator would."""
        with closing(sqlite3.connect(self.home / "data" / "gateway.db")) as db, db:
            return db.execute(statement, values).fetchall()
