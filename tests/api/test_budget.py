from __future__ import annotations

import asyncio

import pytest

from gateway.web.api.budget import Budget

pytestmark = pytest.mark.asyncio


async def test_what_does_not_fit_waits_its_turn_and_a_giant_goes_alone() -> None:
    """First come first served: a small one does not overtake, and one larger than the budget is not refused."""
    budget = Budget(10)
    order: list[str] = []
    names = ("six", "giant", "small")
    inside = {name: asyncio.Event() for name in names}
    leave = {name: asyncio.Event() for name in names}

    async def hold(name: str, size: int) -> None:
        async with budget.of(size):
            order.append(name)
            inside[name].set()
            await leave[name].wait()
            order.append(f"{name} left")

    tasks = [asyncio.create_task(hold(name, size)) for name, size in zip(names, (6, 99, 1), strict=True)]
    for name in names:
        await inside[name].wait()
        leave[name].set()
    await asyncio.gather(*tasks)

    assert order == ["six", "six left", "giant", "giant left", "small", "small left"]


async def test_whoever_gives_up_takes_nothing_along() -> None:
    """A caller that went away, waiting or under work, leaves the budget as it was."""
    budget = Budget(10)
    started = asyncio.Event()

    async def hold() -> None:
        async with budget.of(10):
            started.set()
            await asyncio.Event().wait()

    working, waiting = asyncio.create_task(hold()), asyncio.create_task(hold())
    await started.wait()
    for task in (waiting, working):
        task.cancel()
    await asyncio.gather(working, waiting, return_exceptions=True)

    async with asyncio.timeout(5), budget.of(10):
        pass
