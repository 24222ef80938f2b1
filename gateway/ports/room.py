"""The room on the data volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Level:
    """Bytes of the volume that are free, and kept; of the WAL, with its bound; and why it was not emptied."""

    free: int
    kept: int
    wal: int
    wal_most: int
    wal_fault: str | None = None


class Watched(Protocol):
    """The store, as far as its room goes."""

    def level(self, wal_most: int) -> Level:
        """Measure. Raises OSError."""
        ...

    def tend(self) -> None:
        """Have the files looked at soon, and the WAL emptied where it grew."""
        ...

    def keep_reserve(self, *, give_up: bool) -> None:
        """Give the reserve up, or make it again where there is room. Raises OSError."""
        ...

    async def cut_readings(self, most_s: float, *, copies: bool) -> int:
        """End readings of our own that last longer, and copies of the whole too if told; return how many."""
        ...

    def holders(self) -> Sequence[str]:
        """Return the other processes that hold the database."""
        ...
