"""Takes a partner's ciphertexts: PUT begins one, HEAD tells how far it is, PATCH goes on (protocol.md §5).

What is here is the length of the file, so that a process killed in the middle knows it too. An upload is nothing
by itself: a message must name it, within a day.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.errors import Clash, MalformedRequest, TooManyRequests
from gateway.ports.common import Actor
from gateway.ports.files import Transfer
from gateway.protocol.attachment import Upload, encrypted_length, judge_patch, judge_put

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.ports.common import Clock
    from gateway.ports.files import Sink
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.attachment import AttachmentId
    from gateway.protocol.ids import PartyId
    from gateway.services.gate import Gate
    from gateway.services.vault import Vault

PARTNER_ROLE: Final = "partner"
UPLOADS_MOST: Final = 1000
"""Uploads of a partner that no message names yet."""
UNDER_WAY_MOST: Final = 24
UNDER_WAY_EACH: Final = 4
"""Requests taken side by side, and those of one partner: our own gateway carries one file at a time to a partner."""
FULL_RETRY_S: Final = 3600


class Deposits:
    """`state`, `put`, `patch`: a partner's uploads by its own ids."""

    def __init__(
        self, store: Store, vault: Vault, gate: Gate, clock: Clock, *, most_bytes: int, partner_bytes: int
    ) -> None:
        self._store = store
        self._vault = vault
        self._gate = gate
        self._clock = clock
        self._most = encrypted_length(most_bytes)
        self._partner_bytes = partner_bytes
        # One request at a time is let in: two for one upload must not both find it free.
        self._admission = asyncio.Lock()
        self._writing: dict[tuple[PartyId, AttachmentId], asyncio.Task[Upload]] = {}

    async def state(self, party: PartyId, name: AttachmentId) -> Upload | None:
        """Return how far an upload has come, None where none has begun; one still under way ends here.

        Its sender asks because it lost the connection. What is left of it here must not move the offset that it is
        told.
        """
        async with self._admission:
            await self._end(party, name)
            held = await self._store.write(lambda tx: tx.attachments.transfer("in", party, name))
            return await self._upload(held)

    async def put(self, party: PartyId, name: AttachmentId, length: int, pieces: AsyncIterator[bytes]) -> Upload:
        """Begin an upload, anew where one was cut. Raises Clash, TooLarge, MalformedRequest, TooManyRequests."""
        self._gate.check()
        self._gate.check_room()
        async with self._admission:
            held = await self._alone(party, name)
            judge_put(await self._upload(held), length, self._most)
            fresh = Transfer("in", party, name, self._vault.new_name(), length, None, None, "open", self._clock())
            sink = await asyncio.to_thread(self._vault.files.create, fresh.file)
            try:
                await self._store.write(lambda tx: self._begin(tx, fresh, held))
            except BaseException:
                sink.close()
                self._vault.remove(fresh.file)
                raise
            if held is not None:
                await asyncio.to_thread(self._vault.remove, held.file)
            task = self._start(fresh, sink, 0, pieces)
        return await self._outcome(fresh, task)

    async def patch(self, party: PartyId, name: AttachmentId, offset: int, pieces: AsyncIterator[bytes]) -> Upload:
        """Go on with an upload. Raises NotFound, Clash where it stands elsewhere, MalformedRequest."""
        self._gate.check()
        self._gate.check_room()
        async with self._admission:
            held = await self._alone(party, name)
            judge_patch(await self._upload(held), offset)
            assert held is not None
            await self._store.write(lambda tx: tx.attachments.set_transfer("in", party, name, "open", self._clock()))
            sink = await asyncio.to_thread(self._vault.files.resume, held.file, offset)
            task = self._start(held, sink, offset, pieces)
        return await self._outcome(held, task)

    def busy(self, party: PartyId, name: AttachmentId) -> bool:
        """Say whether an upload is under way just now."""
        return (party, name) in self._writing

    def drain(self) -> None:
        """End what is under way: its sender goes on from there."""
        for task in self._writing.values():
            task.cancel()

    async def _upload(self, held: Transfer | None) -> Upload | None:
        if held is None:
            return None
        if held.state != "open":
            return Upload(held.length, held.length)
        size = await asyncio.to_thread(self._vault.files.size, held.file)
        # All bytes may be here and the word of it lost with the process: then the last one is asked for again.
        return Upload(held.length, min(size or 0, held.length - 1))

    async def _alone(self, party: PartyId, name: AttachmentId) -> Transfer | None:
        """End an earlier request for the same upload: its connection may be dead without our knowing."""
        if not await self._end(party, name):
            if sum(writer == party for writer, _ in self._writing) >= UNDER_WAY_EACH:
                detail = f"{UNDER_WAY_EACH} uploads of yours are under way"
                raise TooManyRequests(detail, retry_after_s=1)
            if len(self._writing) >= UNDER_WAY_MOST:
                raise TooManyRequests("too many uploads are under way", retry_after_s=1)
        return await self._store.write(lambda tx: tx.attachments.transfer("in", party, name))

    async def _end(self, party: PartyId, name: AttachmentId) -> bool:
        """End a request for an upload; return whether there was one."""
        earlier = self._writing.pop((party, name), None)
        if earlier is None:
            return False
        earlier.cancel()
        await asyncio.wait({earlier})
        return True

    def _begin(self, tx: Transaction, fresh: Transfer, held: Transfer | None) -> None:
        count, size = tx.attachments.unreferenced_bytes(fresh.partner)
        if held is not None:
            count, size = count - 1, size - held.length
        if count >= UPLOADS_MOST or size + fresh.length > self._partner_bytes:
            detail = "too many uploads wait for the messages that name them"
            raise TooManyRequests(detail, retry_after_s=FULL_RETRY_S)
        tx.attachments.put_transfer(fresh)

    def _start(self, held: Transfer, sink: Sink, offset: int, pieces: AsyncIterator[bytes]) -> asyncio.Task[Upload]:
        task = asyncio.create_task(self._fill(held, sink, offset, pieces), name=f"upload {held.partner}")
        self._writing[held.partner, held.id] = task
        return task

    async def _outcome(self, held: Transfer, task: asyncio.Task[Upload]) -> Upload:
        try:
            return await task
        except asyncio.CancelledError:
            if not task.cancelled():
                task.cancel()
                raise
            raise Clash("the upload was taken over, or the gateway stops: ask by HEAD, go on from there") from None
        finally:
            if self._writing.get((held.partner, held.id)) is task:
                del self._writing[held.partner, held.id]

    async def _fill(self, held: Transfer, sink: Sink, offset: int, pieces: AsyncIterator[bytes]) -> Upload:
        try:
            async for piece in pieces:
                offset += len(piece)
                if offset > held.length:
                    await self._drop(held)
                    raise MalformedRequest("more came than was announced: the upload is dropped")
                await asyncio.to_thread(sink.write, piece)
            if offset == held.length:
                await asyncio.to_thread(sink.sync)
                await self._store.write(lambda tx: self._finish(tx, held))
        finally:
            sink.close()
        return Upload(held.length, offset)

    def _finish(self, tx: Transaction, held: Transfer) -> None:
        now = self._clock()
        tx.attachments.put_transfer(replace(held, state="whole", at=now))
        tx.log.append(
            "attachment.stored", actor=Actor(held.partner, PARTNER_ROLE), obj=("upload", held.id), at=now,
            outcome="upload",
        )  # fmt: skip

    async def _drop(self, held: Transfer) -> None:
        await self._store.write(lambda tx: tx.attachments.drop_transfer("in", held.partner, held.id))
        await asyncio.to_thread(self._vault.remove, held.file)
