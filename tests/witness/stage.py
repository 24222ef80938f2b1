"""Two gateways that witness one another in virtual time, and links between them that can be bent."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from gateway.errors import PartnerError, TransportError
from gateway.ledger.note import TreeHead, read_tree_head
from gateway.primitives import strictjson
from gateway.protocol import jws
from tests.support.checker import check
from tests.support.link import MemoryLink, Process, Two, run_virtual

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

    from gateway.ports.partner import Reply
    from gateway.protocol.ids import MessageId


class BentLink(MemoryLink):
    """A link whose answers a test may replace; `seen` are the answers to add-checkpoint."""

    def __init__(self, bent: Bent) -> None:
        super().__init__(bent.process, bent.partner.party)
        self._bent = bent

    async def post_envelope(self, jwe: bytes) -> Reply:
        """Post, or what the test says."""
        bend = self._bent.envelope
        return await bend(jwe) if bend is not None else await super().post_envelope(jwe)

    async def get_message(self, jti: MessageId) -> Reply:
        """Ask, or what the test says."""
        bend = self._bent.message
        return await bend(jti) if bend is not None else await super().get_message(jti)

    async def post_entries(self, question: bytes) -> Reply:
        """Ask for entries, or what the test says."""
        bend = self._bent.entries
        return await bend(question) if bend is not None else await super().post_entries(question)

    async def add_checkpoint(self, body: bytes) -> Reply:
        """Submit, unless there is no witness."""
        if not self._bent.witnessed:
            raise TransportError("no witness")
        bend = self._bent.cosignature
        reply = await super().add_checkpoint(body) if bend is None else bend(body)
        self._bent.seen.append((self._bent.process.network.clock(), body, reply))
        return reply

    async def get_log(self, path: str) -> Reply:
        """Read the partner's log, or what the test says."""
        bend = self._bent.log
        return await bend(path) if bend is not None else await super().get_log(path)


class Bent:
    """How one process reaches its partner."""

    def __init__(self, process: Process, partner: Process) -> None:
        self.process = process
        self.partner = partner
        self.witnessed = True
        self.seen: list[tuple[int, bytes, Reply]] = []
        self.cosignature: Callable[[bytes], Reply] | None = None
        self.envelope: Callable[[bytes], Awaitable[Reply]] | None = None
        self.message: Callable[[MessageId], Awaitable[Reply]] | None = None
        self.entries: Callable[[bytes], Awaitable[Reply]] | None = None
        self.log: Callable[[str], Awaitable[Reply]] | None = None
        process.links = lambda _party: BentLink(self)

    @property
    def statuses(self) -> list[int]:
        """The answers to add-checkpoint, in order."""
        return [reply.status for _, _, reply in self.seen]


class Stage:
    """Two processes with bent links."""

    def __init__(self) -> None:
        self.two = Two()
        self.a, self.b = self.two.both
        self.a_link, self.b_link = Bent(self.a, self.b), Bent(self.b, self.a)

    async def until(self, holds: Callable[[], Any], within_s: float = 60) -> None:
        """Let virtual time pass until it holds."""
        now = asyncio.get_running_loop().time
        end = now() + within_s
        while not holds():
            assert now() < end, "never came to that"
            await asyncio.sleep(min(1.0, within_s / 100))

    def checked(self) -> None:
        """Run the checker over what both are left with."""
        check(self.a.home, self.b.home, promised={process.party: process.promised for process in self.two.both})

    def shown(self, origin: str) -> set[TreeHead]:
        """Return every head of a log that ever went over the wire: submitted to its witness, or in a receipt."""
        heads = {read_tree_head(note) for note in _notes(self.two.network.seen)}
        return {head for head in heads if head.origin == origin}

    async def restart(self, process: Process) -> None:
        """Stop in order and start again."""
        await process.stop()
        await process.start()


def _notes(wire: Iterable[bytes]) -> Iterator[str]:
    for raw in wire:
        if raw.startswith(b"old "):
            yield raw.partition(b"\n\n")[2].decode()
        elif raw.startswith(b"{"):
            with contextlib.suppress(PartnerError, ValueError):
                payload = strictjson.loads(jws.peek_payload(raw))
                if payload.get("checkpoint"):
                    yield payload["checkpoint"]


def play(story: Callable[[Stage], Awaitable[Any]], stage: Stage | None = None) -> Stage:
    """Start both, play, stop both; the homes are left to look at."""
    stage = stage or Stage()

    async def whole() -> None:
        await stage.two.start()
        await story(stage)
        await stage.two.stop()

    run_virtual(whole())
    return stage


def alarms(process: Process) -> list[str]:
    """Return the outcomes of the alarms in a log."""
    return [row[0] for row in process.look("SELECT outcome FROM entries WHERE typ = 'audit.alarm' ORDER BY seq")]


def states(process: Process) -> list[str]:
    """Return the states of a process's messages, in order."""
    return [row[0] for row in process.look("SELECT state FROM outbox ORDER BY id")]


def cosigned(process: Process) -> int:
    """Return how much of a log a partner cosigned."""
    return process.look("SELECT coalesce(max(size), 0) FROM cosignatures")[0][0]


def signed(process: Process) -> int:
    """Return how much of a log is under a checkpoint."""
    return process.look("SELECT coalesce(max(size), 0) FROM checkpoints")[0][0]


def copied(home: Path, target: Path) -> None:
    """Copy the database of a stopped gateway."""
    with closing(sqlite3.connect(home / "data" / "gateway.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(home / "data" / "gateway.db", target)


def restored(home: Path, source: Path) -> None:
    """Put an older database in the place of the present one."""
    for path in (home / "data").glob("gateway.db*"):
        if not path.name.endswith("lock"):
            path.unlink()
    shutil.copyfile(source, home / "data" / "gateway.db")
