"""One exchange with a fault at its Nth step, for as many N as there are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from gateway.errors import StorageUnavailable
from tests.support.checker import check
from tests.support.link import ID, KH, Killed, Process, Two, example, run_virtual

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any


CANARY = "Zyxwvq Kanarienvogel, held in a guarded building near the border"


async def _tried(process: Process, work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await process.until_dead(work)
    except (Killed, StorageUnavailable):
        return None


async def _exchange(two: Two) -> None:
    """Do what the steps are counted in: a case goes over, an update comes back, a message is cancelled and voided."""
    for _ in range(3):  # a caller whose 202 did not come asks again
        await two.revive()
        if two.a.promised:
            break
        body = example("case.referral/s1-sumarni")
        body["data"]["summary"] = CANARY
        await _tried(two.a, two.a.submit(body))
    await two.drained()
    case = two.b.look("SELECT ref FROM cases")[0][0]
    await _tried(two.b, two.b.submit({**example("case.update/s1-accepted"), "case": case}))
    await two.drained()


async def exchange_with_fault(
    two: Two, victim: str, kind: Literal["kill", "fail"], at: int
) -> tuple[str | None, list[str]]:
    """Exchange with one fault; return the step it met, or None where the run was over before it."""
    await two.start()
    process = two.a if victim == ID else two.b
    process.arm(**{f"{kind}_at": at})
    await _exchange(two)
    steps = process.steps
    met = steps[at - 1] if len(steps) >= at or (kind == "kill" and process.kill_at is None) else None
    process.disarm()
    await two.drained()
    await asyncio.sleep(2)
    await two.stop()
    return met, steps


def sweep(victim: str, kind: Literal["kill", "fail"], start: int, stride: int) -> set[str]:
    """Try steps `start`, `start + stride` and so on until a run meets none; return the names of those met."""
    met: set[str] = set()
    at = start
    while True:
        two = Two()
        step, _ = run_virtual(exchange_with_fault(two, victim, kind, at))
        check(
            two.a.home, two.b.home, promised={ID: two.a.promised, KH: two.b.promised}, canaries=[CANARY.encode()],
            traces=two.network.seen, third_party=(at - start) // stride % 4 == 0,
        )  # fmt: skip
        two.discard()
        if step is None:
            return met
        met.add(step)
        at += stride
