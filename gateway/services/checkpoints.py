"""Signs the log's head: once a second or every 256 leaves, stored before anybody sees it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from gateway.errors import GatewayError
from gateway.ledger import note
from gateway.logs import get_logger
from gateway.ports.log import SignedCheckpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.ports.common import Clock
    from gateway.ports.store import Store, Transaction

log = get_logger()


class Checkpointer:
    """Keeps the latest signed checkpoint; receipts carry it."""

    def __init__(
        self,
        store: Store,
        signers: Callable[[], Sequence[note.NoteSigner]],
        clock: Clock,
        *,
        every_s: float,
        every_leaves: int,
        may_sign: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take `signers`: the log key in force, then retiring ones, so that an older card still verifies.

        `may_sign` is false while nobody has said that this log is the newest (protocol.md §6).
        """
        self._store = store
        self._signers = signers
        self._may_sign = may_sign
        self._listeners: list[Callable[[], None]] = []
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

    async def load(self) -> None:
        """Read what was signed before this process: it is shown also where nothing may be signed now."""
        self._latest = await self._store.write(lambda tx: tx.log.last_checkpoint())

    def on_signed(self, listener: Callable[[], None]) -> None:
        """Call `listener` when there is a newer checkpoint on disk."""
        self._listeners.append(listener)

    def grew(self, leaves: int) -> None:
        """Note that leaves were committed."""
        self._leaves += leaves
        if self._leaves >= self._every_leaves:
            self._grown.set()

    async def sign(self) -> SignedCheckpoint | None:
        """Sign the head unless a checkpoint of its size exists; return the newest one."""
        leaves, self._leaves = self._leaves, 0

        def work(tx: Transaction) -> SignedCheckpoint | None:
            size, root = tx.log.head()
            last = tx.log.last_checkpoint()
            # Never a second signature over one size: two would look like a fork.
            if size == 0 or (last is not None and last.size >= size) or not self._may_sign():
                return last
            fresh = SignedCheckpoint(size, root, note.sign_checkpoint(size, root, *self._signers()), self._clock())
            tx.log.add_checkpoint(fresh)
            return fresh

        before = self._latest
        try:
            self._latest = await self._store.write(work)
        except BaseException:
            # They are still there to be signed, however long it takes until the next one comes.
            self._leaves += leaves
            raise
        if self._latest is not None and (before is None or before.size < self._latest.size):
            for listener in self._listeners:
                listener()
        return self._latest

    async def run(self) -> None:
        """Sign until cancelled. A full disk is waited out: nothing is signed that is not stored."""
        while True:
            self._grown.clear()
            with contextlib.suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it loses a cancellation that meets a wake-up.
                async with asyncio.timeout(self._every_s):
                    await self._grown.wait()
            if self._leaves:
                try:
                    await self.sign()
                except GatewayError as error:
                    log.warning("checkpoint.failed", code=error.slug)
