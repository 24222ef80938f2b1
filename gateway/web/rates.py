"""How much each caller may ask for in a second: far more than it can use, and less than what would fill the log."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

PER_S: Final = 20_000
UNIT_BYTES: Final = 8192
"""Of a body, what costs as much as a request by itself."""
REFUSED_COST: Final = 10
"""What a refused request costs beside: it is judged to its end, answered at length and counted in the log."""
BURST_S: Final = 2.0
MOST_CALLERS: Final = 10_000


class Rates:
    """A bucket of units a caller, filled by `per_s` a second up to what two seconds give."""

    def __init__(self, per_s: float = PER_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = per_s * BURST_S
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def spend(self, caller: str, cost: float) -> int | None:
        """Take `cost` units; return after how many seconds the caller may come again where it has none left."""
        left = self._filled(caller)
        if left <= 0:
            return max(1, math.ceil(-left / self._per_s))
        self.charge(caller, cost)
        return None

    def charge(self, caller: str, cost: float) -> None:
        """Take what is owed afterwards; the caller may be in debt for as long as a full bucket lasts."""
        left = self._filled(caller)
        if caller not in self._left and len(self._left) >= MOST_CALLERS:
            # Whoever came first of those has a full bucket by now, or soon.
            del self._left[next(iter(self._left))]
        self._left[caller] = max(-self._burst, left - cost), self._clock()

    def _filled(self, caller: str) -> float:
        left, at = self._left.get(caller, (self._burst, self._clock()))
        return min(self._burst, left + (self._clock() - at) * self._per_s)


def cost_of(request: web.Request) -> float:
    """Return what a request costs by what it says of itself."""
    return 1 + (request.content_length or 0) / UNIT_BYTES
