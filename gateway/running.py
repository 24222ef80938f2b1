"""One gateway as it runs: its services, its jobs, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gateway.errors import GatewayError
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM, Clock, Entropy, FaultPoint
from gateway.services import leases

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.config import Settings
    from gateway.keyring.files import FileKeyRing
    from gateway.ports.files import Remaker
    from gateway.ports.log import TimestampAuthority
    from gateway.ports.partner import Links
    from gateway.ports.store import Transaction
    from gateway.services.accounts import Accounts
    from gateway.services.appraisal import Appraiser
    from gateway.services.attachments import Attachments
    from gateway.services.checkpoints import Checkpointer
    from gateway.services.contact import Contacts
    from gateway.services.directory import Directory
    from gateway.services.dispatch import Dispatcher
    from gateway.services.enrol import Enroller
    from gateway.services.figures import FigureDesk
    from gateway.services.gaps import Gaps
    from gateway.services.giveup import GiveUp
    from gateway.services.identity import Identity
    from gateway.services.indexing import Indexer
    from gateway.services.keyroom import KeyRoom
    from gateway.services.lateness import Lateness
    from gateway.services.leases import Leases
    from gateway.services.operate import Operator
    from gateway.services.problems import Problems
    from gateway.services.receive import Receiver
    from gateway.services.refusals import Refusals
    from gateway.services.registrar import Registrar
    from gateway.services.rehearsal import Rehearsal
    from gateway.services.room import Room
    from gateway.services.rules import Rules
    from gateway.services.search import CaseSearch
    from gateway.services.settle import Settler
    from gateway.services.statistics import Statistics
    from gateway.services.submit import Submitter
    from gateway.services.timekeeper import Timekeeper
    from gateway.services.timestamping import Timestamping
    from gateway.services.witnessing import Witnessing
    from gateway.storage.index_reads import IndexReads
    from gateway.storage.store import SqliteStore
    from gateway.transport.tls import ExchangeTls

log = get_logger()

DAY_MS = 86_400_000
ANSWERS_KEPT_MS = 7 * DAY_MS
HOUSEKEEPING_EVERY_S = 3600
LOOK_EVERY_S = 60
AGAIN_AFTER_S = 60
# With more messages than that on their way, receipts are proved at leisure.
BUSY_MESSAGES = 50


def wall_clock() -> int:
    """Return the time now, ms since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def elapsed_clock() -> int:
    """Return the time since the machine started, asleep or not, in ms: nobody can set it."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1_000_000


@dataclass(frozen=True, slots=True)
class World:
    """Time, chance and the network, as this gateway meets them; tests bring their own."""

    clock: Clock = wall_clock
    elapsed: Clock | None = None
    """What `clock` is held against; None with a clock of a test's own, which is then the truth."""
    entropy: Entropy = os.urandom
    draw: Callable[[], float] = random.SystemRandom().random
    link: Links | None = None
    fault: FaultPoint | None = None
    authority: TimestampAuthority | None = None
    remaker: Remaker | None = None

    @property
    def held_against(self) -> Clock | None:
        """What the clock is held against: this machine's own, for this machine's clock."""
        return elapsed_clock if self.elapsed is None and self.clock is wall_clock else self.elapsed


@dataclass(slots=True)
class Gateway:
    """Everything a front end needs: services, and what is true of the process."""

    settings: Settings
    keys: FileKeyRing
    store: SqliteStore
    queries: IndexReads
    clock: Timekeeper
    rules: Rules
    directory: Directory
    registrar: Registrar
    appraiser: Appraiser
    rehearsal: Rehearsal
    accounts: Accounts
    submitter: Submitter
    receiver: Receiver
    operator: Operator
    enroller: Enroller
    contacts: Contacts
    identity: Identity
    keyroom: KeyRoom
    checkpoints: Checkpointer
    refusals: Refusals
    problems: Problems
    settler: Settler
    give_up: GiveUp
    dispatcher: Dispatcher
    tls: ExchangeTls
    link: Links
    epoch: Epoch
    witnessing: Witnessing
    timestamping: Timestamping | None
    lateness: Lateness
    room: Room
    gaps: Gaps
    leases: Leases
    indexer: Indexer
    search: CaseSearch
    statistics: Statistics
    figures: FigureDesk
    attachments: Attachments

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Send, sign and keep house while the block runs; then stop in order."""
        await self._started()
        self.directory.on_change(self._follow)
        self._follow()
        tasks = [asyncio.create_task(_kept_up(name, job), name=name) for name, job in self._jobs().items()]
        try:
            yield
        finally:
            await self.dispatcher.stop()
            await self.witnessing.stop()
            await self.attachments.carrier.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._stopped()

    def _jobs(self) -> dict[str, Callable[[], Awaitable[None]]]:
        jobs: dict[str, Callable[[], Awaitable[None]]] = {
            "checkpoints": self.checkpoints.run,
            "refusals": self.refusals.run,
            "problems": self.problems.run,
            "discarding": self.attachments.discarding,
            "unwitnessed": self.witnessing.watch,
            "clock": self.clock.run,
            "room": self.room.run,
            "second source": self._ask_the_time,
        }
        for name, period_s, work in (
            ("housekeeping", HOUSEKEEPING_EVERY_S, self._keep_house),
            ("lateness", LOOK_EVERY_S, self.lateness.look),
            ("gaps", LOOK_EVERY_S, self.gaps.look),
            ("leases", leases.LOOK_EVERY_S, self.leases.look),
        ):
            jobs[name] = partial(_every, name, period_s, work)
        if self.timestamping is not None:
            jobs["timestamps"] = self.timestamping.run
        return jobs

    def _follow(self) -> None:
        active = [p.party for p in self.directory.partners.values() if p.active]
        # The lane of one that is suspended sends nothing, but gives up what is past its time.
        self.dispatcher.follow(self.directory.partners)
        self.attachments.carrier.follow(active)
        self.witnessing.follow()

    async def _started(self) -> None:
        def work(tx: Transaction) -> int:
            now = self.clock()
            tx.log.append("gateway.started", actor=SYSTEM, obj=("epoch", str(self.epoch.number)), at=now)
            for partner in tx.parties.partners():
                # What the old process planned is not knowable now: everything is tried again, one probe a lane.
                tx.outbox.wake(partner.party, now)
                if partner.down_since is not None:
                    self.contacts.remember([partner.party])
            return tx.outbox.reclaim(self.epoch.number, now)

        taken = await self.store.write(work)
        if taken:
            log.info("messages of a stopped process taken back", count=taken)
        await self.attachments.sweep()
        await self.checkpoints.sign()

    async def _stopped(self) -> None:
        with contextlib.suppress(Exception):
            await self.refusals.flush()
            await self.clock.keep()
            await self.store.write(
                lambda tx: tx.log.append(
                    "gateway.stopped", actor=SYSTEM, obj=("epoch", str(self.epoch.number)), at=self.clock()
                )
            )
            await self.checkpoints.sign()

    async def _ask_the_time(self) -> None:
        """Ask every partner for its time while ours is in doubt."""
        while True:
            await self.clock.doubted.wait()
            try:
                for party in [partner.party for partner in self.directory.partners.values() if partner.active]:
                    async with self.link(party) as link:
                        await self.contacts.ping(party, link)
                if self.clock.sure():
                    # What a start put off for the doubt.
                    await self.keyroom.advance()
            except GatewayError as error:
                log.warning("the time is not asked for", code=error.slug, detail=error.detail)
            if not self.clock.sure():
                await asyncio.sleep(LOOK_EVERY_S)

    async def _keep_house(self) -> None:
        now = self.clock()
        await self.indexer.catch_up()
        if self.clock.sure():
            # What is forgotten or removed by a wrong clock does not come back.
            problems_kept_ms = self.settings.audit.problems_kept_days * DAY_MS
            await self.store.write(partial(_forget, answers=now - ANSWERS_KEPT_MS, problems=now - problems_kept_ms))
            if self.witnessing.gate.closed != "behind":
                # A card signed now would be one of two of its version once the newest database is back.
                await self.keyroom.advance()
            await self.attachments.tidy()
        for partner in list(self.directory.partners.values()):
            if partner.active and now - partner.card.issued_ms > DAY_MS:
                async with self.link(partner.party) as link:
                    await self.contacts.refresh_card(partner.party, link)


async def _every(name: str, period_s: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do work once a period, until cancelled."""
    while True:
        await asyncio.sleep(period_s)
        try:
            await work()
        except GatewayError as error:
            # A full disk passes; whoever looks must still be there afterwards.
            log.warning("job put off", where=name, code=error.slug, detail=error.detail)


async def _kept_up(name: str, job: Callable[[], Awaitable[None]]) -> None:
    """Run a job that ends by being cancelled; one that a bug stopped is told of and begun again."""
    while True:
        try:
            await job()
        except Exception:
            # A log that nobody signs any more, or an alarm that nobody raises, would be noticed by nobody.
            log.exception("job failed", where=name)
        await asyncio.sleep(AGAIN_AFTER_S)


def _forget(tx: Transaction, *, answers: int, problems: int) -> None:
    tx.answers.drop_before(answers)
    tx.problems.drop_before(problems)


class Epoch:
    """The fencing number of this process: one more than any before it in this home."""

    number = 0
