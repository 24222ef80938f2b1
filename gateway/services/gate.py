"""Whether this gateway exchanges with partners now, and why not: one place that all who must stop ask.

Closed or not, it witnesses, and serves its card and its log: two gateways that have stopped free each other
(protocol.md §6). It takes what its own callers submit, but where its log is behind: the repair puts another database
in the place of this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from gateway.errors import Paused, StorageUnavailable
from gateway.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

log = get_logger()

Cause = Literal["start", "behind", "renewed", "unwitnessed", "untimestamped"]
"""start: no partner has said yet what it cosigned last. behind: our log is not the one a partner cosigned.
renewed: our log goes on under a new name, and a partner has not said which of our numbers it holds.
unwitnessed: nobody has cosigned our log for too long. untimestamped: nobody has stamped it for too long."""

RETRY_AFTER_S: Final = {"start": 2, "behind": 300, "renewed": 5, "unwitnessed": 30, "untimestamped": 30}


class Gate:
    """`check` raises Paused while anything keeps it closed."""

    def __init__(self) -> None:
        self._closed: dict[Cause, str] = {}
        self._cleared = False
        self._full: str | None = None
        self._measure: Callable[[], None] = lambda: None
        self._listeners: list[Callable[[], None]] = []

    def on_open(self, listener: Callable[[], None]) -> None:
        """Call `listener` each time nothing keeps it closed any more."""
        self._listeners.append(listener)

    @property
    def closed(self) -> Cause | None:
        """The gravest cause it is closed for, or None."""
        causes: tuple[Cause, ...] = ("behind", "start", "renewed", "unwitnessed", "untimestamped")
        return next((cause for cause in causes if cause in self._closed), None)

    @property
    def reason(self) -> str | None:
        """In words, with what to do; None while it is open."""
        cause = self.closed
        return self._closed[cause] if cause is not None else None

    @property
    def may_sign(self) -> bool:
        """Whether checkpoints may be signed: a log nobody has cosigned for long must be, to be cosigned again."""
        return "behind" not in self._closed and (self._cleared or "start" not in self._closed)

    def clear(self) -> None:
        """Let checkpoints be signed again, before exchange goes on: the first receipt must carry one."""
        self._cleared = True

    @property
    def full(self) -> str | None:
        """Why nothing new is taken for want of room, or None. What was taken goes on to its end."""
        return self._full

    def refuse_new(self, reason: str) -> None:
        """Take nothing new: there is room only for what was taken before."""
        if self._full is None:
            log.warning("nothing new is taken", reason=reason)
        self._full = reason

    def take_new(self) -> None:
        """Take messages again."""
        if self._full is not None:
            log.info("messages are taken again")
        self._full = None

    def measure_by(self, measure: Callable[[], None]) -> None:
        """Take what measures the room, and refuses or takes by it: whoever asks learns of this moment."""
        self._measure = measure

    def check_room(self) -> None:
        """Raise StorageUnavailable while nothing new is taken."""
        self._measure()
        if self._full is not None:
            raise StorageUnavailable(f"{self._full}; nothing was accepted")

    def check(self) -> None:
        """Raise Paused (503 with Retry-After) while it is closed."""
        cause = self.closed
        if cause is not None:
            # The reason is ours to read: a partner learns only that it should come back.
            raise Paused("nothing is exchanged for now; try again", retry_after_s=RETRY_AFTER_S[cause])

    def check_taking(self) -> None:
        """Raise Paused where what is taken now would be thrown away by the repair: a 202 must outlast it.

        Whatever takes something from a caller of ours asks here, before it answers.
        """
        self._check_one_of("behind")

    def check_numbers(self) -> None:
        """Raise Paused while no message may be taken, or numbered: a partner could hold that number already."""
        self._check_one_of("behind", "renewed")

    def _check_one_of(self, *causes: Cause) -> None:
        for cause in causes:
            if cause in self._closed:
                raise Paused(self._closed[cause], retry_after_s=RETRY_AFTER_S[cause])

    def close(self, cause: Cause, reason: str) -> None:
        """Stop exchanging."""
        if cause not in self._closed:
            log.warning("exchange paused", state=cause, reason=reason)
        self._closed[cause] = reason

    def open(self, cause: Cause) -> None:
        """Take one cause away; exchange goes on when none is left."""
        if self._closed.pop(cause, None) is not None and not self._closed:
            log.info("exchange goes on", state=cause)
            for listener in self._listeners:
                listener()
