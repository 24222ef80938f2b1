"""Has our checkpoints cosigned by every partner, and knows how old the log is that nobody has cosigned.

A new checkpoint goes out as soon as it is signed: the newest only, one at a time a partner, with a back-off while
that partner is down. Unwitnessed for long: an alarm; for longer: nothing is exchanged until it is cosigned again.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError, MalformedProof
from gateway.ledger import note, proof
from gateway.ledger.witness import SIZE_TYPE, format_request
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM
from gateway.ports.log import SignedCheckpoint
from gateway.services.perpartner import PerPartner

if TYPE_CHECKING:
    from gateway.ports.common import Clock
    from gateway.ports.log import Cosigned
    from gateway.ports.partner import Links, PartnerLink, Reply
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.checkpoints import Checkpointer
    from gateway.services.contact import Contacts
    from gateway.services.directory import Directory
    from gateway.services.gate import Gate
    from gateway.services.guard import Guard
    from gateway.services.renewal import Renewal

log = get_logger()

STATE: Final = "unwitnessed"
"""The name under which `state` keeps the size from which on the log was alarmed as unwitnessed."""
TRIES: Final = 3
# Under load checkpoints come dozens a second: one submission a second a partner covers them all, and each is
# cosigned within the two seconds of protocol.md §6.
APART_S: Final = 1.0
# A clock that is put right, or a limit that passes, shows at the latest then.
LOOK_EVERY_S: Final = 60.0
# A gateway that was off for days has an old log at its start; it is no alarm until its witness had time to answer.
GRACE_MS: Final = 30_000
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")


class Cosigning:
    """Submits, keeps what comes back, and watches the age of what is not cosigned."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        contacts: Contacts,
        checkpoints: Checkpointer,
        guard: Guard,
        gate: Gate,
        clock: Clock,
        *,
        links: Links,
        alarm_s: int,
        stop_s: int,
    ) -> None:
        self._store = store
        self._directory = directory
        self._contacts = contacts
        self._checkpoints = checkpoints
        self._guard = guard
        self._gate = gate
        self._clock = clock
        self._alarm_ms = alarm_s * 1000
        self._stop_ms = stop_s * 1000
        self._tasks = PerPartner("witness", self._round, links)
        self._old: dict[PartyId, int] = {}
        self._submitted: dict[PartyId, float] = {}
        self._greet: set[PartyId] = set()
        self._renewal: Renewal | None = None
        self._newest: Cosigned | None = None
        self._size = 0
        self._since: int | None = None
        self._started = clock()
        self._alarmed = False
        self._changed = asyncio.Event()
        self._cosigned = asyncio.Event()
        self._published: SignedCheckpoint | None = None
        self._first_ms: int | None = None
        checkpoints.on_signed(self._tasks.wake_all)
        contacts.on_heard(self._tasks.heard)
        gate.on_open(self._opened)

    def before_exchange(self, renewal: Renewal) -> None:
        """Have a partner asked for what it holds of ours, where our log goes on under a new name."""
        self._renewal = renewal

    async def load(self) -> None:
        """Read what was cosigned before this process."""

        def read(tx: Transaction) -> tuple[Cosigned | None, int, int | None, str | None]:
            newest = tx.witness.newest_cosigned()
            covered = newest.size if newest is not None else 0
            return newest, tx.log.head()[0], tx.witness.entry_at(covered), tx.state.get(STATE)

        newest, self._size, self._since, alarmed = await self._store.write(read)
        self._take(newest)
        self._alarmed = alarmed is not None and alarmed == str(self._covered)

    # --- what others ask ---

    @property
    def published(self) -> SignedCheckpoint | None:
        """Our newest cosigned checkpoint, cosignature lines included; where nobody ever cosigned, the newest signed."""
        return self._published or self._checkpoints.latest

    async def covering(self, leaf: int, within_s: float) -> SignedCheckpoint | None:
        """Return `published` once it covers a leaf, or as it stands after `within_s`; None before the first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._witnessed and self._covered <= leaf:
                    await self._cosigned.wait()
        return self.published

    @property
    def cosigned_size(self) -> int | None:
        """How much of our log is under a cosigned checkpoint; None where nothing ever was."""
        return self._newest.size if self._newest is not None else None

    def unwitnessed_ms(self) -> int:
        """Return the age of the oldest entry under no cosigned checkpoint; 0 without one, or without a witness."""
        witnesses = self._witnessed
        if self._since is None or not witnesses:
            return 0
        # Nobody could cosign before there was a partner.
        return max(0, self._clock() - max(self._since, min(witnesses)))

    def grew(self, leaves: int) -> None:
        """Note that leaves were committed."""
        self._size += leaves
        if self._since is None:
            self._since = self._clock()
            self._changed.set()

    # --- life ---

    def follow(self) -> None:
        """Have one task for each active partner."""
        self._tasks.follow(party for party, known in self._directory.partners.items() if known.active)
        self._changed.set()

    async def watch(self) -> None:
        """Raise the alarm, stop and go on as the age says, until cancelled."""
        while True:
            self._changed.clear()
            try:
                wait = await self._look()
            except GatewayError as error:
                log.warning("unwitnessed age not recorded", code=error.slug)
                wait = 1.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    async def stop(self) -> None:
        """Stop submitting."""
        await self._tasks.stop()

    def _opened(self) -> None:
        # Whoever gave up on us while we were closed learns at once that we are back.
        self._greet.update(self._directory.partners)
        self._tasks.wake_all()

    async def _look(self) -> float | None:
        """Act on the age; return in how many seconds to look again, None where nothing is uncovered."""
        age = self.unwitnessed_ms()
        if age >= self._stop_ms:
            self._gate.close(
                "unwitnessed", f"no partner has cosigned our log for {age // 1000} s; it goes on once one does"
            )
        else:
            self._gate.open("unwitnessed")
        started = self._clock() - self._started
        if age >= self._alarm_ms and not self._alarmed and not 0 <= started < min(GRACE_MS, self._alarm_ms):
            self._alarmed = True
            covered = self._covered
            await self._store.write(lambda tx: self._alarm(tx, covered))
            log.error("nobody cosigns our log", age_s=age // 1000, size=covered)
        if self._since is None:
            return None
        ahead = [limit - age for limit in (self._alarm_ms, self._stop_ms) if limit > age]
        return max(0.05, min([LOOK_EVERY_S, *(ms / 1000 for ms in ahead)]))

    def _alarm(self, tx: Transaction, covered: int) -> None:
        tx.state.put(STATE, str(covered))
        tx.log.append("audit.alarm", actor=SYSTEM, obj=("log", str(covered)), at=self._clock(), outcome="unwitnessed")

    # --- one partner ---

    async def _round(self, party: PartyId, link: PartnerLink) -> bool:
        """Do what is due towards one partner; False where it has to be tried again."""
        if not self._guard.asked(party) and not await self._guard.ask(party, link):
            return False
        if self._renewal is not None and party in self._renewal.pending:
            await self._renewal.catch_up(party, link)
        if party in self._greet and self._gate.closed is None:
            self._greet.discard(party)
            await self._contacts.ping(party, link)
        await self._apart(party)
        newest = self._checkpoints.latest
        if newest is None or not self._gate.may_sign:
            return True
        if party not in self._old:
            self._old[party] = await self._store.write(lambda tx: tx.witness.cosigned_by(party) or 0)
        if newest.size <= self._old[party] and newest.size <= self._covered:
            return True
        return await self._submit(party, link, newest)

    async def _apart(self, party: PartyId) -> None:
        """Wait until a second has passed since the last submission: what is signed meanwhile goes with the next."""
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, self._submitted.get(party, now - APART_S) + APART_S - now))

    async def _submit(self, party: PartyId, link: PartnerLink, newest: SignedCheckpoint) -> bool:
        for _ in range(TRIES):
            old = self._old[party]
            if old > newest.size:
                # It says it cosigned more than we ever signed; whether that is true the guard finds out.
                return await self._guard.ask(party, link)
            self._submitted[party] = asyncio.get_running_loop().time()
            path = await self._store.write(partial(_path, old=old, size=newest.size))
            reply = await link.add_checkpoint(format_request(old, path, newest.note))
            if reply.status == 200:
                return await self._keep(party, newest, reply)
            told = _SIZE.fullmatch(reply.body) if reply.media_type == SIZE_TYPE else None
            if reply.status != 409 or told is None:
                break
            self._old[party] = int(told[1])
        log.warning("checkpoint not cosigned", partner=party, status=reply.status, size=newest.size)
        # A refusal may mean that it holds another history of ours: then we must not go on signing this one.
        if reply.status in {409, 422}:
            await self._guard.ask(party, link)
        return False

    async def _keep(self, party: PartyId, newest: SignedCheckpoint, reply: Reply) -> bool:
        body = newest.note[: newest.note.rindex("\n\n") + 1]
        if self._first_ms is None:
            self._first_ms = await self._store.write(lambda tx: tx.witness.entry_at(0))
        lines = self._verified(party, body, reply.body)
        if lines is None and await self._contacts.fetch_card(party):
            # Cosigned with a key that its newer card names.
            lines = self._verified(party, body, reply.body)
        if lines is None:
            log.warning("cosignature does not verify", partner=party, size=newest.size)
            return False

        def work(tx: Transaction) -> tuple[Cosigned | None, int | None]:
            tx.witness.add_cosignature(newest.size, party, lines, self._clock())
            return tx.witness.cosigned(newest.size), tx.witness.entry_at(newest.size)

        cosigned, uncovered = await self._store.write(work)
        self._old[party] = max(newest.size, self._old[party])
        if newest.size >= self._covered:
            self._take(cosigned)
            if self._size <= newest.size:
                self._since = None
            else:
                self._since = uncovered if uncovered is not None else self._clock()
            self._alarmed = False
            self._changed.set()
        return True

    def _take(self, newest: Cosigned | None) -> None:
        self._newest = newest
        if newest is not None:
            text = note.add_lines(newest.note, newest.lines)
            self._published = SignedCheckpoint(newest.size, newest.root, text, newest.at)
        self._cosigned.set()
        self._cosigned = asyncio.Event()

    def _verified(self, party: PartyId, body: str, answer: bytes) -> str | None:
        known = self._directory.partner(party)
        if known is None:
            return None
        try:
            lines, cosignatures = note.read_cosignatures(body, answer, [known.witness_key])
        except MalformedProof:
            return None
        now = self._clock()
        if not all(one.timely(self._first_ms, now) for one in cosignatures):
            log.warning("cosignature of an impossible time; one of the two clocks is wrong", partner=party)
            return None
        return lines

    @property
    def _witnessed(self) -> list[int]:
        return [known.enrolled_at for known in self._directory.partners.values() if known.active]

    @property
    def _covered(self) -> int:
        return self._newest.size if self._newest is not None else 0


def _path(tx: Transaction, *, old: int, size: int) -> list[bytes]:
    return proof.consistency(tx.log.read_hashes, old, size) if 0 < old < size else []
