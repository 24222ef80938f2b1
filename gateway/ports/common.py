"""What every use case is given: time, chance, who acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], int]
"""Milliseconds since 1970-01-01 UTC."""


Entropy = Callable[[int], bytes]
"""n unpredictable bytes, as os.urandom."""


FaultPoint = Callable[[str], None]
"""Called at each step by name, so that a test can fail or stop the process there; None when it is off."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, as the log names them: an opaque id and a role, never a name."""

    sub: str
    role: str


SYSTEM = Actor("gateway", "system")
"""The gateway itself: what no person and no partner did."""
