"""How a job of the worker ended: one byte, so that no word of a hostile file gets out."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
UNREADABLE: Final = 3
TOO_LARGE: Final = 4
ACTIVE: Final = 5
HIDDEN: Final = 6
DAMAGED: Final = 7
UNSUPPORTED: Final = 8
# Of the worker itself: the child did not come to an end.
SLOW: Final = 10
CRASHED: Final = 11
KILLED: Final = 12


class Refused(Exception):
    """The input is not taken; `code` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
