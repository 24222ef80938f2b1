"""A receiver with a scripted partner, for tests of what is answered to whom."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import structlog

from gateway.home import open_home
from gateway.ports.common import Actor
from gateway.running import Gateway, World
from gateway.runtime import open_gateway
from tests.support.hostile import Author
from tests.support.link import ID, KH, post_envelope, two_homes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from gateway.ports.partner import Reply
    from gateway.protocol.receipt import Outcome, Receipt
    from tests.support.hostile import Letter


@pytest.fixture(scope="session", autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of refused attempts are what is tried here: nobody reads a line about each."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


class Desk:
    """kh.gdi receives and id.imigrasi is a script, or (`reverse`) the other way. `now` is the receiver's clock, ms."""

    def __init__(self, *, reverse: bool = False) -> None:
        script, self.home, self.now = two_homes()
        if reverse:
            script, self.home = self.home, script
        self.author = Author(script, ID if reverse else KH, lambda: self.now)
        self.gateway: Gateway

    @asynccontextmanager
    async def open(self, elapsed: Callable[[], int] | None = None) -> AsyncIterator[None]:
        """Have the receiver's home open while the block runs; its clock is the truth unless held against `elapsed`."""
        settings, keys = open_home(self.home, environ={})
        async with open_gateway(settings, keys, World(clock=lambda: self.now, elapsed=elapsed)) as self.gateway:
            await self.gateway.witnessing.guard.vouch(Actor("local", "operator"), "other")
            await self.gateway.checkpoints.sign()
            yield

    async def post(self, letter: Letter) -> Reply:
        """Post an envelope; a refused one raises its PartnerError."""
        return await post_envelope(self.gateway, self.author.party, letter.sealed.jwe)

    async def send(self, *events: bytes, iat_ms: int | None = None) -> Receipt:
        """Post events in a new envelope; return the verified receipt."""
        letter = self.author.letter(*events, iat_ms=iat_ms)
        return self.author.read((await self.post(letter)).body, letter)

    async def outcomes(self, *events: bytes, iat_ms: int | None = None) -> list[Outcome]:
        """Post events; return what became of each."""
        return list((await self.send(*events, iat_ms=iat_ms)).outcomes)

    async def outcome(self, event: bytes, iat_ms: int | None = None) -> Outcome:
        """Post one event; return what became of it."""
        return (await self.outcomes(event, iat_ms=iat_ms))[0]

    async def size(self) -> int:
        """Return the number of leaves in the log."""
        return await self.gateway.store.write(lambda tx: tx.log.head()[0])


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Open a receiver."""
    made = Desk()
    async with made.open():
        yield made
