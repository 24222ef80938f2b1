"""Files made anew here and now: in virtual time nothing waits for a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.screening.outcomes import Refused
from gateway.screening.worker import jobs_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator


class HereAndNow:
    """`ports.Remaker` by the jobs of the worker, in this process."""

    async def remake(self, media_type: str, pieces: AsyncIterator[bytes], caller: str) -> AsyncGenerator[bytes, None]:
        """Yield the new file."""
        raw = b"".join([piece async for piece in pieces])
        try:
            yield jobs_of("files")[media_type].run(raw)
        except Refused as why:
            raise ValueError(str(why.code)) from None
