"""Stopping: whatever happens in the same moment, the process ends, and what it knows is written down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StorageUnavailable
from tests.support.checker import check
from tests.support.link import ID, KH, Two, example, run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.running import Gateway

AT_ONCE: dict[str, Callable[[Gateway], None]] = {
    "a wake-up": lambda gateway: gateway.dispatcher.wake(KH),
    "a contact": lambda gateway: gateway.dispatcher.heard(KH),
    "a full page of leaves": lambda gateway: gateway.checkpoints.grew(10_000),
}


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_stop_that_meets_something_else_still_stops(name: str) -> None:
    """A cancellation that is lost would leave SIGTERM without effect."""

    async def story(two: Two) -> None:
        await two.start()
        await asyncio.sleep(10.5)
        AT_ONCE[name](two.a.gateway)
        async with asyncio.timeout(60):
            await two.a.stop()
        await two.b.stop()

    two = Two()
    run_virtual(story(two))
    two.discard()


@pytest.mark.parametrize("full", [False, True])
def test_an_answer_that_came_is_recorded_by_a_process_that_is_stopping(full: bool) -> None:
    """Also where the disk refuses it: the process ends, and the next one gets the stored answer again."""

    async def story(two: Two) -> None:
        await two.start()
        stopping: list[asyncio.Task[None]] = []
        begun = asyncio.Event()

        def meet(step: str) -> None:
            if step == "verified" and not stopping:
                stopping.append(asyncio.ensure_future(two.a.stop()))
                begun.set()
            elif step == "commit" and stopping and full:
                raise StorageUnavailable

        two.a.gateway.dispatcher._lanes[KH]._fault = meet
        two.a.gateway.store.writer._fault = meet
        [message] = await two.a.submit(example("case.referral/s1-sumarni"))
        async with asyncio.timeout(60):
            await begun.wait()
            await stopping[0]
        [(state,)] = two.a.look(f"SELECT state FROM outbox WHERE jti = '{message.jti}'")  # noqa: S608 - an id of our own
        assert state == ("sending" if full else "accepted")
        await two.drained()
        await two.stop()

    two = Two()
    run_virtual(story(two))
    check(two.a.home, two.b.home, promised={ID: two.a.promised})
    two.discard()
