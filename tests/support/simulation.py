"""One seed, one story: two gateways on a bad network that lose power, and what must hold once all is well again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError
from gateway.protocol.states import Step
from gateway.services.accounts import LOCAL_OPERATOR
from tests.support.checker import check
from tests.support.link import DRAINED_WITHIN_S, ID, KH, Killed, Process, Two, example, run_virtual

if TYPE_CHECKING:
    import random
    from collections.abc import Coroutine

CANARY = "Zyxwvq Kanarienvogel, held in a guarded building near the border"
LONGEST_STEP = 60
LONGEST_STORY_S = 20_000
# What a receiver defers by a clock that is wrong waits as long as the receiver said, though the clock is right by then.
AFTER_SKEW_S = 1200.0


@dataclass
class Told:
    """What happened in a story, for whoever reads a failure."""

    seed: int
    events: list[str] = field(default_factory=list)
    accepted: int = 0

    def note(self, text: str) -> None:
        """Keep one line, with the virtual time."""
        self.events.append(f"{asyncio.get_running_loop().time():9.3f} {text}")


def body(party: str, chance: random.Random, case: str | None) -> dict[str, Any]:
    """Return something for `party` to send."""
    if party == ID:
        found = example("case.referral/s1-sumarni")
        found["data"]["summary"] = CANARY
        found["urgency"] = chance.choice(("FLASH", "URGENT", "PRIORITY", "ROUTINE"))
        return found
    if case is not None and chance.random() < 0.7:
        return {**example("case.update/s1-accepted"), "case": case}
    return example("info.request/telephone-three-numbers")


class Story:
    """Bad times from a seed, then good ones, then the checker."""

    def __init__(self, seed: int, steps: int = 25) -> None:
        self.two = Two(seed)
        self.chance = self.two.network.chance
        self.steps = steps
        self.told = Told(seed)
        self.skewed = False

    async def run(self) -> None:
        """Live through it; the homes are at rest afterwards."""
        await self.two.start()
        await self._submit(self.two.a)
        for _ in range(self.steps):
            await self.two.revive()
            await self._one_step(self.chance.choice(self.two.both))
            await asyncio.sleep(self.chance.choice((0.0, 0.01, 0.5, 5.0, 60.0)))
        for process in self.two.both:
            process.disarm()
            process.skew_ms = 0
        self.told.note("healed")
        await self.two.revive()
        for process in self.two.both:
            for jti in sorted(process.promised):
                await self._alive(process, process.gateway.operator.perform(Step.RELEASE, jti, LOCAL_OPERATOR))
        await self.two.drained(AFTER_SKEW_S if self.skewed else DRAINED_WITHIN_S)
        await self.two.stop()

    async def _one_step(self, process: Process) -> None:
        name = self.chance.choices(
            ("submit", "operate", "kill", "cut", "one way", "skew", "restart", "fail"),
            (10, 3, 4, 2, 1, 1, 1, 2),
        )[0]
        self.told.note(f"{process.party} {name}")
        if name == "submit":
            await self._submit(process)
        elif name == "operate":
            await self._alive(process, self._operate(process))
        elif name == "kill":
            process.arm(kill_at=self.chance.randint(1, LONGEST_STEP))
        elif name == "fail":
            process.arm(fail_at=self.chance.randint(1, LONGEST_STEP))
        elif name == "cut":
            self.two.network.cut = not self.two.network.cut
        elif name == "one way":
            self.two.network.answers_lost = not self.two.network.answers_lost
        elif name == "skew":
            self.skewed = True
            process.skew_ms = self.chance.choice((-600_000, -90_000, 0, 90_000, 600_000))
        elif name == "restart":
            await process.stop()

    async def _submit(self, process: Process) -> None:
        cases = [row[0] for row in process.look("SELECT ref FROM cases ORDER BY ref")] if process.alive else []
        case = self.chance.choice(cases) if cases else None
        bodies = [body(process.party, self.chance, case) for _ in range(self.chance.choice((1, 1, 2, 5)))]
        if self.chance.random() < 0.15:
            now = process.clock()
            for one in bodies:
                one["expires_at"] = _time(now + self.chance.choice((30_000, 200_000)))
        for one in bodies:
            found = await self._alive(process, process.submit(one))
            self.told.accepted += len(found or ())

    async def _operate(self, process: Process) -> None:
        if not process.promised:
            return
        jti = self.chance.choice(sorted(process.promised))
        step = self.chance.choice((Step.HOLD, Step.RELEASE, Step.RETRY, Step.CANCEL))
        await process.gateway.operator.perform(step, jti, LOCAL_OPERATOR, "tried")

    async def _alive(self, process: Process, work: Coroutine[Any, Any, Any]) -> Any:
        """Do it unless the process dies of it; a refusal is an answer too."""
        if not process.alive:
            work.close()
            return None
        try:
            return await process.until_dead(work)
        except (GatewayError, Killed):
            return None


def _time(ms: int) -> str:
    from gateway.primitives.times import format_ms

    return format_ms(ms)


def play(seed: int, steps: int = 25) -> Told:
    """Play one seed; a failure names it and tells the story."""
    story = Story(seed, steps)
    try:
        run_virtual(asyncio.wait_for(story.run(), LONGEST_STORY_S))
        two = story.two
        check(
            two.a.home, two.b.home, promised={ID: two.a.promised, KH: two.b.promised},
            canaries=[CANARY.encode()], traces=two.network.seen, third_party=seed % 4 == 0,
        )  # fmt: skip
        two.discard()
    except BaseException as error:
        error.add_note(f"replay with --seed {seed}; it went:\n" + "\n".join(story.told.events))
        raise
    return story.told
