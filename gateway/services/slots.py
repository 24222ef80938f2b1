"""Places for work that takes long, a few for each caller: nobody keeps the others out."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.errors import TooManyRequests

if TYPE_CHECKING:
    from collections.abc import Iterator


class Slots:
    """`hold` takes one while a block runs."""

    def __init__(self, what: str, *, total: int, each: int, retry_after_s: int = 1) -> None:
        """Take what is done in them, in the plural, how many there are, and how many one caller may hold."""
        self._what = what
        self._total = total
        self._each = each
        self._retry_after_s = retry_after_s
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, caller: str) -> Iterator[None]:
        """Hold a place while the block runs. Raises TooManyRequests."""
        self.check(caller)
        self._held[caller] += 1
        try:
            yield
        finally:
            self._held[caller] -= 1
            if not self._held[caller]:
                del self._held[caller]

    def check(self, caller: str) -> None:
        """Raise TooManyRequests where the caller would get none."""
        if self._held[caller] >= self._each:
            detail = f"{self._each} {self._what} of yours are under way; end one of them first"
            raise TooManyRequests(detail, retry_after_s=self._retry_after_s)
        if self._held.total() >= self._total:
            detail = f"{self._total} {self._what} are under way; try again"
            raise TooManyRequests(detail, retry_after_s=self._retry_after_s)
