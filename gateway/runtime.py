"""The composition root: settings in, a running gateway out; closed in the opposite order.

Only this module joins services to adapters.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.home import hosts
from gateway.inputs import read_agreement, read_codelists, read_schemas
from gateway.keyring.notes import card_notes, log_signers, witness_signer
from gateway.ports.common import SYSTEM
from gateway.primitives import strictjson
from gateway.protocol.delivery import MAX_EVENT_BYTES_AN_ENVELOPE
from gateway.protocol.jwe import MAX_PLAINTEXT_BYTES
from gateway.resources import schemas_path
from gateway.running import BUSY_MESSAGES, DAY_MS, Epoch, Gateway, World
from gateway.screening.clamd import Clamd
from gateway.screening.judge import Judge
from gateway.screening.remake import Remake
from gateway.services.accounts import Accounts
from gateway.services.appraisal import Appraiser
from gateway.services.attachments import Attachments
from gateway.services.casefile import CaseFile
from gateway.services.catalogue import Catalogue
from gateway.services.checkpoints import Checkpointer
from gateway.services.complete import Completer
from gateway.services.contact import Contacts
from gateway.services.directory import Directory
from gateway.services.dispatch import Dispatcher
from gateway.services.disputes import Disputes
from gateway.services.enrol import Enroller
from gateway.services.figures import FigureDesk
from gateway.services.gaps import Gaps
from gateway.services.gate import Gate
from gateway.services.giveup import GiveUp
from gateway.services.identity import Identity, Self
from gateway.services.indexing import Indexer
from gateway.services.integrity import ChangedAlarms
from gateway.services.keyroom import KeyRoom
from gateway.services.lane import Lane
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
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.casework.codelists import CodeLists
    from gateway.config import Settings
    from gateway.keyring.files import FileKeyRing
    from gateway.ports.common import Clock
    from gateway.ports.files import Remaker
    from gateway.ports.partner import Links
    from gateway.ports.store import Transaction
    from gateway.protocol.agreement import Agreement
    from gateway.protocol.ids import PartyId


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
        clock = Timekeeper(store, world.clock, world.held_against)
        await clock.load()
        keys.check_begun(clock())
        # Before anything loads them: a certificate that expired while we were down, or is damaged, is made anew.
        renewed = keys.renew_tls(clock(), hosts(settings))
        remake, judge = Remake(settings.limits.screening_processes), Judge()
        gateway = _compose(settings, keys, world, clock, store, agreement, codelists, lists, observe, remake, judge)
        try:
            await _prepare(gateway, renewed)
            try:
                yield gateway
            finally:
                await gateway.problems.flush()
        finally:
            await remake.close()
            await judge.close()
    finally:
        await store.close()


def _compose(
    settings: Settings, keys: FileKeyRing, world: World, clock: Timekeeper, store: SqliteStore, agreement: Agreement,
    codelists: CodeLists, lists: dict[str, frozenset[str]], observe: Callable[[str, int], None],
    remake: Remake, judge: Judge,
) -> Gateway:  # fmt: skip
    me, entropy = settings.me, world.entropy
    directory, catalogue, cases, gate, epoch = (
        Directory(store, me, clock), Catalogue(lists), CaseFile(me, settings.party.country), Gate(), Epoch(),
    )  # fmt: skip
    appraiser = Appraiser(catalogue, judge)
    rules = Rules(me, settings.party.environment, directory, agreement, catalogue, codelists)
    signers = partial(log_signers, keys, settings.log_origin)
    checkpoints = Checkpointer(
        store, signers, clock, every_s=settings.audit.checkpoint_every_s,
        every_leaves=settings.audit.checkpoint_every_leaves, may_sign=lambda: gate.may_sign,
    )  # fmt: skip
    tls = ExchangeTls(keys.tls, clock)
    links = world.link or _https(settings, directory, tls)
    disputes = Disputes(store, directory, clock)
    contacts = Contacts(store, keys, directory, disputes, clock)
    settler = Settler(store, cases, clock, world.draw)
    give_up = GiveUp(
        store, directory, contacts, settler, clock, entropy, environment=settings.party.environment, sure=clock.sure,
        doubted=clock.alarm,
    )  # fmt: skip
    refusals = Refusals(store, clock)
    attachments = _attachments(
        settings, world, clock, keys, store, codelists, contacts, gate, links, refusals, world.remaker or remake
    )
    submitter = Submitter(
        store, rules, cases, Completer(store, attachments.encloser), clock, entropy,
        most_unanswered=settings.limits.unanswered_messages,
        default_lifetime_ms=settings.delivery.default_expiry_days * DAY_MS, may_take=lambda: _may_take(gate, clock),
    )  # fmt: skip
    witnessing = Witnessing(
        store, directory, contacts, checkpoints, disputes, gate, clock, links=links, log_signers=signers,
        witness_signer=partial(witness_signer, keys),
        alarm_s=settings.audit.unwitnessed_alarm_s, stop_s=settings.audit.unwitnessed_stop_s,
        busy=lambda: submitter.unanswered > BUSY_MESSAGES, fault=world.fault,
    )  # fmt: skip
    identity = Identity(
        store, keys, directory, catalogue, clock,
        me=Self(me, settings.party.name, settings.party.country, settings.party.environment, settings.exchange.url),
        notes=partial(card_notes, keys, settings.log_origin), roots=(keys.roots[0], keys.roots[1]), ca_pem=keys.ca_pem,
    )  # fmt: skip

    def lane(party: PartyId) -> Lane:
        return Lane(
            party, store=store, keys=keys, directory=directory, settler=settler, contacts=contacts, give_up=give_up,
            clock=clock, entropy=entropy, draw=world.draw, fence=epoch.number, observe=observe,
            probe_every_s=settings.delivery.probe_every_s, linger_s=settings.delivery.linger_ms / 1000,
            most=settings.delivery.envelope_events_max,
            # The setting is the plaintext's; the manifest line goes in too.
            most_bytes=MAX_EVENT_BYTES_AN_ENVELOPE - (MAX_PLAINTEXT_BYTES - settings.delivery.envelope_bytes_max),
            fault=world.fault, paused=lambda: gate.closed is not None,
        )  # fmt: skip

    reads, traffic = IndexReads(store.readers, me), StoredTraffic(store.readers, me)
    alarms = ChangedAlarms(store, clock)
    reads.on_changed(alarms.changed)
    traffic.on_changed(alarms.changed)
    indexer = Indexer(store, me, alarms)
    gateway = Gateway(
        settings=settings, keys=keys, store=store, queries=reads, clock=clock, rules=rules, directory=directory,
        registrar=Registrar(store, catalogue, appraiser, clock), appraiser=appraiser,
        rehearsal=Rehearsal(store, traffic, lists, clock),
        accounts=Accounts(store, clock, entropy, token_ttl_ms=settings.access.token_ttl_days * DAY_MS),
        submitter=submitter,
        receiver=Receiver(
            store, keys, rules, cases, checkpoints, attachments.inspector, gate, clock, clock.contradicts, world.fault,
        ), operator=Operator(store, give_up, clock),
        enroller=Enroller(store, directory, contacts, clock, environment=settings.party.environment),
        contacts=contacts, identity=identity,
        keyroom=KeyRoom(
            store, keys, identity, clock, entropy,
            renew_tls=lambda now, force: keys.renew_tls(now, hosts(settings), force=force),
        ), checkpoints=checkpoints,
        refusals=refusals, problems=Problems(store, clock), settler=settler, give_up=give_up,
        dispatcher=Dispatcher(lane, links), tls=tls, link=links, epoch=epoch, witnessing=witnessing,
        timestamping=_timestamping(settings, world, clock, store, checkpoints, witnessing),
        lateness=Lateness(store, clock),
        room=Room(store, store, gate, clock, wal_most=settings.storage.wal_bytes), gaps=Gaps(store, directory, clock),
        leases=Leases(store, directory, clock),
        indexer=indexer, search=CaseSearch(store, reads, indexer, codelists, clock),
        statistics=Statistics(store, reads, indexer, codelists, clock),
        figures=FigureDesk(store, reads, codelists, clock),
        attachments=attachments,
    )  # fmt: skip
    _connect(gateway)
    return gateway


def _connect(g: Gateway) -> None:
    """Say who hears of what."""
    carrier, dispatcher, gate = g.attachments.carrier, g.dispatcher, g.witnessing.gate
    g.store.on_grown(g.checkpoints.grew)
    g.store.writer.crowded.append(g.room.wake)
    g.store.on_erased(g.attachments.look)
    g.store.on_grown(g.witnessing.cosigning.grew)
    if g.timestamping is not None:
        g.store.on_grown(g.timestamping.grew)
    g.directory.on_change(lambda: g.tls.pin(g.directory.pinned()))
    g.keyroom.on_renewed(g.tls.reload)
    g.contacts.use_links(g.link)
    g.contacts.on_time(g.clock.heard)
    for heard in (carrier.heard, dispatcher.heard):
        g.contacts.on_heard(heard)
    # Not all of it: the lane may have had a contact before, and sleeps until what was put off is due.
    g.contacts.on_back(dispatcher.wake)
    for wake in (carrier.wake, dispatcher.wake):
        g.submitter.on_accepted(wake)
    carrier.on_arrived(dispatcher.wake)
    g.operator.on_moved(dispatcher.wake)
    g.leases.on_taken_back(dispatcher.wake)
    g.operator.on_retried(dispatcher.knock)
    g.settler.on_recorded(lambda r: carrier.wake_all() if r.deferred else None)
    g.settler.on_recorded(lambda r: g.submitter.answered(r.closed))
    g.give_up.on_given_up(g.submitter.answered)
    for wake_all in (carrier.wake_all, dispatcher.wake_all):
        gate.on_open(wake_all)


def _may_take(gate: Gate, clock: Timekeeper) -> None:
    """Raise why no new message is taken now, if so: the one question every submission asks first."""
    gate.check_room()
    gate.check_numbers()
    clock.check_stamp()


def _https(settings: Settings, directory: Directory, tls: ExchangeTls) -> Links:
    """Return what opens a link to a partner, at the address of its card."""
    return lambda party: HttpPartner(
        party, lambda: directory.partners[party].card.endpoint, lambda: tls.client(party),
        timeout_s=settings.delivery.request_timeout_s,
    )  # fmt: skip


def _attachments(
    settings: Settings, world: World, clock: Clock, keys: FileKeyRing, store: SqliteStore, codelists: CodeLists,
    contacts: Contacts, gate: Gate, links: Links, refusals: Refusals, remaker: Remaker,
) -> Attachments:  # fmt: skip
    limits = settings.limits
    return Attachments(
        store, FileStore(settings.attachments_path), keys, codelists, remaker,
        Clamd(limits.virus_scanner) if limits.virus_scanner else None, contacts, gate, clock, world.entropy,
        links, refusals, me=settings.me, most_bytes=limits.attachment_bytes, partner_bytes=limits.partner_upload_bytes,
    )  # fmt: skip


def _timestamping(
    settings: Settings,
    world: World,
    clock: Clock,
    store: SqliteStore,
    checkpoints: Checkpointer,
    witnessing: Witnessing,
) -> Timestamping | None:
    """Return what has the log stamped, None where no authority is set. Raises ConfigurationError."""
    audit = settings.audit
    if not audit.timestamp_url:
        return None
    return Timestamping(
        store, checkpoints, witnessing.cosigning.covering,
        world.authority or open_authority(audit.timestamp_url, settings.timestamp_certificates_path),
        witnessing.gate, clock, every_s=audit.timestamp_every_s, alarm_s=audit.untimestamped_alarm_s,
        stop_s=audit.untimestamped_stop_s,
    )  # fmt: skip


async def _prepare(gateway: Gateway, renewed: Sequence[str]) -> None:
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
    await gateway.keyroom.advance(renewed, sure=gateway.clock.sure())
    await gateway.store.write(lambda tx: _note_settings(tx, gateway))
    gateway.submitter.unanswered = await gateway.store.write(lambda tx: tx.outbox.open_count())


def _note_settings(tx: Transaction, gateway: Gateway) -> None:
    """Log a change of settings or agreement: an auditor must see under which rules a message passed."""
    shown = strictjson.dumps(gateway.settings.redacted()) + gateway.rules.agreement.digest
    digest = sha256(shown).hexdigest()
    if tx.state.get("settings") != digest:
        tx.state.put("settings", digest)
        tx.log.append("config.changed", actor=SYSTEM, obj=("settings", digest), at=gateway.clock())
