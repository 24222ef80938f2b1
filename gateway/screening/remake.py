"""`ports.Remaker`: images and documents made anew, by workers that see one file each."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from gateway.screening import outcomes
from gateway.screening.pool import Broken, Pool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

_WHAT: Final = {"application/pdf": "document"}
_UNREADABLE: Final = "the {0} cannot be read"
_WORDS: Final = {
    outcomes.UNREADABLE: _UNREADABLE,
    outcomes.CRASHED: _UNREADABLE,
    outcomes.TOO_LARGE: "the {0} has too many pixels, passes or parts: save it smaller",
    outcomes.SLOW: "the {0} takes too long to read: save it smaller",
    outcomes.ACTIVE: "the document holds scripts, actions or other files: print it to a new PDF",
    outcomes.HIDDEN: "parts of the document cannot be looked into: it is encrypted, or packed in a way not read here",
    outcomes.DAMAGED: "the document is damaged: print it to a new PDF",
    outcomes.UNSUPPORTED: "the document holds images packed as JPEG 2000 or JBIG2, or in a way not read here: "
    "print it to a new PDF, or scan it as JPEG",
}


class Remake:
    """`remake` yields the new file, `close` ends the workers."""

    def __init__(self, workers: int) -> None:
        self._pool = Pool("files", workers)

    async def remake(self, media_type: str, pieces: AsyncIterator[bytes], caller: str) -> AsyncGenerator[bytes, None]:
        """Yield the new file. Raises ValueError, StorageUnavailable, TooManyRequests."""
        try:
            async with aclosing(self._pool.run(media_type, pieces, caller)) as made:
                async for piece in made:
                    yield piece
        except Broken as why:
            words = _WORDS.get(why.code, _UNREADABLE)
            raise ValueError(words.format(_WHAT.get(media_type, "image"))) from None

    async def close(self) -> None:
        """End the workers."""
        await self._pool.close()
