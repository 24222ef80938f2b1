"""CPU time held against a piece of work measured in the same moment: what a bound means on a machine that is busy."""

from __future__ import annotations

import json
import time
from typing import Final

QUIET_S: Final = 0.0021
"""CPU of `_piece` on the idle machine on which the bounds of the tests were set."""
_DOCUMENT: Final = json.dumps([{"number": at, "text": f"text {at}", "list": [at] * 5} for at in range(900)])


def _piece() -> float:
    started = time.process_time()
    json.dumps(json.loads(_DOCUMENT), sort_keys=True)
    return time.process_time() - started


def bound(limit_s: float) -> float:
    """Return the CPU seconds that `limit_s` of the idle machine are on this one, now; never less than `limit_s`."""
    return limit_s * max(1.0, sorted(_piece() for _ in range(5))[2] / QUIET_S)
