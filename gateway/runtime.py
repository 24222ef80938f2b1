"""The composition root: settings in, a running gateway out; closed in the opposite order.

Only this module joins services to adapters.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.errors import GatewayError
from gateway.home import hosts
from gateway.inputs import read_agreement, read_codelists, read_schemas
from gateway.keyring.notes import card_notes, log_signers, witness_signer
from gateway.logs import get_logger
from gateway.ports.common import Actor, Clock, Entropy, FaultPoint
from gateway.primitives import strictjson
from gateway.resources import schemas_path
from gateway.screening.clamd import Clamd
from gateway.screening.images import ImageProcess
from gateway.services.accounts import Accounts
from gateway.services.appraisal import Appraiser
from gateway.services.attachments import Attachments
from gateway.services.casefile import CaseFile
from gateway.services.catalogue import Catalogue
from gateway.services.checkpoints import Checkpointer
from gateway.services.contact import Contacts
from gateway.services.directory import Directory
from gateway.services.dispatch import Dispatcher
from gateway.services.disputes import Disputes
from gateway.services.enrol import Enroller
from gateway.services.figures import FigureDesk
from gateway.services.gate import Gate
from gateway.services.giveup import GiveUp
from gateway.services.identity import Identity, Self
from gateway.services.indexing import Indexer
from gateway.services.keyroom import KeyRoom
from gateway.services.lane import Lane
from gateway.services.lateness import Lateness
from gateway.services.operate import Operator
from gateway.services.problems import Problems
from gateway.services.receive import Receiver
from gateway.services.refusals import Refusals
from gateway.services.registrar import Registrar
from gateway.services.rehearsal import Rehearsal
from gateway.services.rules import Rules
from gateway.services.search import CaseSearch
from gateway.services.settle import Settler
from gateway.services.statistics import Statistics
from gateway.services.submit import Submitter
from gateway.services.timestamping import Timestamping, forget
from gateway.services.witnessing import Witnessing
from gateway.storage.files import FileStore
from gateway.storage.index_reads import IndexReads
from gateway.storage.store import HomeLock, SqliteStore
from gateway.storage.traffic import StoredTraffic
from gateway.transport.partner import HttpPartner
from gateway.transport.tls import ExchangeTls
from gateway.transport.tsa import open_authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.casework.codelists import CodeLists
    from gateway.config import Settings
    from gateway.keyring.files import FileKeyRing
    from gateway.ports.log import TimestampAuthority
    from gateway.ports.partner import Links
    from gateway.ports.store import Transaction
    from gateway.protocol.agreement import Agreement
    from gateway.protocol.ids import PartyId

log = get_logger()

SYSTEM = Actor("gateway", "system")
DAY_MS = 86_400_000
ANSWERS_KEPT_MS = 7 * DAY_MS
HOUSEKEEPING_EVERY_S = 3600
# With more messages than that on their way, receipts are proved at leisure.
BUSY_MESSAGES = 50


def wall_clock() -> int:
    """Return the time now, ms since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class World:
    """Time, chance and the network, as this gateway meets them; tests bring their own."""

    clock: Clock = wall_clock
    entropy: Entropy = os.urandom
    draw: Callable[[], float] = random.SystemRandom().random
    link: Links | None = None
    fault: FaultPoint | None = None
    authority: TimestampAuthority | None = None


@dataclass(slots=True)
class Gateway:
    """Everything a front end needs: services, and what is true of the process."""

    settings: Settings
    keys: FileKeyRing
    store: SqliteStore
    queries: IndexReads
    clock: Clock
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
    epoch: _Epoch
    witnessing: Witnessing
    timestamping: Timestamping | None
    lateness: Lateness
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
        tasks = [
            asyncio.create_task(job, name=name)
            for name, job in (
                ("checkpoints", self.checkpoints.run()),
                ("refusals", self.refusals.run()),
                ("problems", self.problems.run()),
                ("housekeeping", self._keep_house()),
                ("discarding", self.attachments.discarding()),
                ("unwitnessed", self.witnessing.watch()),
                ("lateness", self.lateness.run()),
                *([("timestamps", self.timestamping.run())] if self.timestamping else []),
            )
        ]
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

    def _follow(self) -> None:
        active = [p.party for p in self.directory.partners.values() if p.active]
        self.dispatcher.follow(active)
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
            await self.store.write(
                lambda tx: tx.log.append(
                    "gateway.stopped", actor=SYSTEM, obj=("epoch", str(self.epoch.number)), at=self.clock()
                )
            )
            await self.checkpoints.sign()

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_EVERY_S)
            try:
                await self._keep_house_once()
            except GatewayError as error:
                # A full disk passes; housekeeping must still be there afterwards.
                log.warning("housekeeping put off", code=error.slug, detail=error.detail)

    async def _keep_house_once(self) -> None:
        now = self.clock()
        problems_kept_ms = self.settings.audit.problems_kept_days * DAY_MS
        await self.store.write(partial(_forget, answers=now - ANSWERS_KEPT_MS, problems=now - problems_kept_ms))
        await self.indexer.catch_up()
        await self.keyroom.advance()
        await self.attachments.tidy()
        for partner in list(self.directory.partners.values()):
            if partner.active and now - partner.card.issued_ms > DAY_MS:
                async with self.link(partner.party) as link:
                    await self.contacts.refresh_card(partner.party, link)


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    keys: FileKeyRing,
    world: World | None = None,
    *,
    lock: HomeLock | None = None,
    observe: Callable[[str, int], None] = lambda _result, _count: None,
    on_commit: Callable[[int, float], None] | None = None,
) -> AsyncIterator[Gateway]:
    """Open the home for one process: database, log, registry, card. Raises ConfigurationError."""
    world = world or World()
    agreement = read_agreement(settings)
    codelists, lists = read_codelists(schemas_path())
    store = SqliteStore.open(
        settings.database_path, lock=lock, entropy=world.entropy, fault=world.fault, on_commit=on_commit
    )
    try:
        # Before anything loads them: a certificate that expired while we were down, or is damaged, is made anew.
        keys.renew_tls(world.clock(), hosts(settings))
        gateway = _compose(settings, keys, world, store, agreement, codelists, lists, observe)
        await _prepare(gateway)
        try:
            yield gateway
        finally:
            await gateway.problems.flush()
    finally:
        await store.close()


def _compose(
    settings: Settings, keys: FileKeyRing, world: World, store: SqliteStore, agreement: Agreement,
    codelists: CodeLists, lists: dict[str, frozenset[str]], observe: Callable[[str, int], None],
) -> Gateway:  # fmt: skip
    me, clock = settings.me, world.clock
    directory = Directory(store, me, clock)
    catalogue = Catalogue(lists)
    appraiser = Appraiser(catalogue)
    rules = Rules(me, settings.party.environment, directory, agreement, catalogue, codelists)
    cases = CaseFile(me, settings.party.country)
    gate = Gate()
    signers = partial(log_signers, keys, settings.log_origin)
    checkpoints = Checkpointer(
        store, signers, clock, every_s=settings.audit.checkpoint_every_s,
        every_leaves=settings.audit.checkpoint_every_leaves, may_sign=lambda: gate.may_sign,
    )  # fmt: skip
    store.on_grown(checkpoints.grew)
    disputes = Disputes(store, directory, clock)
    contacts = Contacts(store, keys, directory, disputes, clock)
    settler = Settler(store, cases, clock, world.draw)
    give_up = GiveUp(store, directory, contacts, settler, clock, world.entropy, environment=settings.party.environment)
    tls = ExchangeTls(keys.tls, clock)
    directory.on_change(lambda: tls.pin(directory.pinned()))

    def http(party: PartyId) -> HttpPartner:
        return HttpPartner(
            party, lambda: directory.partners[party].card.endpoint, lambda: tls.client(party),
            timeout_s=settings.delivery.request_timeout_s,
        )  # fmt: skip

    link = world.link or http
    epoch = _Epoch()

    def lane(party: PartyId) -> Lane:
        return Lane(
            party, store=store, keys=keys, directory=directory, settler=settler, contacts=contacts, give_up=give_up,
            clock=clock, entropy=world.entropy, draw=world.draw, fence=epoch.number, observe=observe,
            probe_every_s=settings.delivery.probe_every_s, linger_s=settings.delivery.linger_ms / 1000,
            most=settings.delivery.envelope_events_max, fault=world.fault, paused=lambda: gate.closed is not None,
        )  # fmt: skip

    dispatcher = Dispatcher(lane, link)
    scanner = settings.limits.virus_scanner
    attachments = Attachments(
        store, FileStore(settings.attachments_path), keys, codelists, ImageProcess(),
        Clamd(scanner) if scanner else None, contacts, gate, clock, world.entropy, link, me=me,
        most_bytes=settings.limits.attachment_bytes, partner_bytes=settings.limits.partner_upload_bytes,
    )  # fmt: skip
    submitter = Submitter(
        store, rules, cases, attachments.encloser, clock, world.entropy,
        most_unanswered=settings.limits.unanswered_messages,
        default_lifetime_ms=settings.delivery.default_expiry_days * DAY_MS, may_number=gate.check_numbers,
    )  # fmt: skip
    submitter.on_accepted(attachments.carrier.wake)
    attachments.carrier.on_arrived(dispatcher.wake)
    contacts.on_heard(attachments.carrier.heard)
    settler.on_recorded(lambda r: attachments.carrier.wake_all() if r.deferred else None)
    gate.on_open(attachments.carrier.wake_all)
    store.on_erased(attachments.look)
    operator = Operator(store, give_up, clock)
    submitter.on_accepted(dispatcher.wake)
    operator.on_moved(dispatcher.wake)
    contacts.on_heard(dispatcher.heard)
    # Not all of it: the lane may have had a contact before, and sleeps until what was put off is due.
    contacts.on_back(dispatcher.wake)
    contacts.use_links(link)
    settler.on_recorded(lambda r: submitter.answered(r.closed))
    give_up.on_given_up(submitter.answered)
    identity = Identity(
        store, keys, directory, catalogue, clock,
        me=Self(me, settings.party.name, settings.party.country, settings.party.environment, settings.exchange.url),
        notes=partial(card_notes, keys, settings.log_origin), roots=(keys.roots[0], keys.roots[1]), ca_pem=keys.ca_pem,
    )  # fmt: skip
    keyroom = KeyRoom(
        store, keys, identity, clock, world.entropy,
        renew_tls=lambda now, force: keys.renew_tls(now, hosts(settings), force=force),
    )  # fmt: skip
    keyroom.on_renewed(tls.reload)
    witnessing = Witnessing(
        store, directory, contacts, checkpoints, disputes, gate, clock, links=link, log_signers=signers,
        witness_signer=partial(witness_signer, keys),
        alarm_s=settings.audit.unwitnessed_alarm_s, stop_s=settings.audit.unwitnessed_stop_s,
        busy=lambda: submitter.unanswered > BUSY_MESSAGES, fault=world.fault,
    )  # fmt: skip
    store.on_grown(witnessing.cosigning.grew)
    timestamping = _timestamping(settings, world, store, checkpoints, witnessing)
    gate.on_open(dispatcher.wake_all)
    reads = IndexReads(store.readers, me)
    indexer = Indexer(store)
    return Gateway(
        settings=settings, keys=keys, store=store, queries=reads, clock=clock, rules=rules,
        directory=directory, registrar=Registrar(store, catalogue, appraiser, clock),
        appraiser=appraiser, rehearsal=Rehearsal(store, StoredTraffic(store.readers), lists, clock),
        accounts=Accounts(store, clock, world.entropy, token_ttl_ms=settings.access.token_ttl_days * DAY_MS),
        submitter=submitter,
        receiver=Receiver(
            store, keys, rules, cases, checkpoints, attachments.inspector, gate, clock, world.fault
        ), operator=operator,
        enroller=Enroller(store, directory, contacts, clock, environment=settings.party.environment),
        contacts=contacts, identity=identity, keyroom=keyroom, checkpoints=checkpoints,
        refusals=Refusals(store, clock), problems=Problems(store, clock), settler=settler,
        give_up=give_up, dispatcher=dispatcher, tls=tls, link=link, epoch=epoch,
        witnessing=witnessing, timestamping=timestamping, lateness=Lateness(store, clock),
        indexer=indexer, search=CaseSearch(store, reads, indexer, codelists, clock),
        statistics=Statistics(reads, indexer, codelists), figures=FigureDesk(store, codelists, clock),
        attachments=attachments,
    )  # fmt: skip


def _timestamping(
    settings: Settings, world: World, store: SqliteStore, checkpoints: Checkpointer, witnessing: Witnessing
) -> Timestamping | None:
    """Return what has the log stamped, None where no authority is set. Raises ConfigurationError."""
    audit = settings.audit
    if not audit.timestamp_url:
        return None
    found = Timestamping(
        store, checkpoints, witnessing.cosigning.covering,
        world.authority or open_authority(audit.timestamp_url, settings.timestamp_certificates_path),
        witnessing.gate, world.clock, every_s=audit.timestamp_every_s, alarm_s=audit.untimestamped_alarm_s,
        stop_s=audit.untimestamped_stop_s,
    )  # fmt: skip
    store.on_grown(found.grew)
    return found


def _forget(tx: Transaction, *, answers: int, problems: int) -> None:
    tx.answers.drop_before(answers)
    tx.problems.drop_before(problems)


class _Epoch:
    """The fencing number of this process: one more than any before it in this home."""

    number = 0


async def _prepare(gateway: Gateway) -> None:
    """Bring stored state in line with the code and files of today."""

    def take_epoch(tx: Transaction) -> int:
        number = int(tx.state.get("epoch") or 0) + 1
        tx.state.put("epoch", str(number))
        return number

    gateway.epoch.number = await gateway.store.write(take_epoch)
    await gateway.registrar.load()
    test = gateway.settings.party.environment == "test"
    held = {(s.subject, s.version): s.document for s in gateway.rules.catalogue.stored}
    await gateway.registrar.register(
        [*read_schemas(schemas_path(), held), *read_schemas(gateway.settings.home / "schemas", held)],
        SYSTEM,
        approve=test,
    )
    await gateway.directory.load()
    await gateway.witnessing.load()
    await (gateway.timestamping.load() if gateway.timestamping else gateway.store.write(forget))
    await gateway.keyroom.advance()
    await gateway.store.write(lambda tx: _note_settings(tx, gateway))
    gateway.submitter.unanswered = await gateway.store.write(lambda tx: tx.outbox.open_count())


def _note_settings(tx: Transaction, gateway: Gateway) -> None:
    """Log a change of settings or agreement: an auditor must see under which rules a message passed."""
    shown = strictjson.dumps(gateway.settings.redacted()) + gateway.rules.agreement.digest
    digest = sha256(shown).hexdigest()
    if tx.state.get("settings") != digest:
        tx.state.put("settings", digest)
        tx.log.append("config.changed", actor=SYSTEM, obj=("settings", digest), at=gateway.clock())
