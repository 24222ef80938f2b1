"""Signs the log's head: once a second or every 256 leaves, stored before anybody sees it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from gateway.errors import GatewayError
from gateway.ledger import note
from gateway.logs import get_logger
from gateway.ports import Clock, SignedCheckpoint, Store, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

log = get_logger()


class Checkpointer:
    """Keeps the latest signed checkpoint; receipts carry it."""

    def __init__(
        self,
        store: Store,
        signer: Callable[[], note.NoteSigner],
        clock: Clock,
        *,
        every_s: float,
        every_leaves: int,
    ) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._every_s = every_s
        self._every_leaves = every_leaves
        self._latest: SignedCheckpoint | None = None
        self._grown = asyncio.Event()
        self._leaves = 0

    @property
    def latest(self) -> SignedCheckpoint | None:
        """The newest checkpoint that is on disk."""
        return self._latest

    def grew(self, leaves: int) -> None:
        """Note that leaves were committed."""
        self._leaves += leaves
        if self._leaves >= self._every_leaves:
            self._grown.set()

    async def sign(self) -> SignedCheckpoint | None:
        """Sign the head unless a checkpoint of its size exists; return the newest one."""
        self._leaves = 0

        def work(tx: Transaction) -> SignedCheckpoint | None:
            size, root = tx.log.head()
            last = tx.log.last_checkpoint()
            if size == 0 or (last is not None and last.size == size):
                # Never a second signature over one size: two would look like a fork.
                return last
            fresh = SignedCheckpoint(size, root, note.sign_checkpoint(size, root, self._signer()), self._clock())
            tx.log.add_checkpoint(fresh)
            return fresh

        self._latest = await self._store.write(work)
        return self._latest

    async def run(self) -> None:
        """Sign until cancelled. A full disk is waited out: nothing is signed that is not stored."""
        while True:
            self._grown.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._grown.wait(), self._every_s)
            if self._leaves:
                try:
                    await self.sign()
                except GatewayError as error:
                    log.warning("checkpoint.failed", code=error.slug)
