"""The sender towards one partner: one envelope on its way at a time.

A lane fills envelopes by itself: whatever came while one was on its way goes in the next. One at a time
also keeps each case in order, and makes "one probe at a time" true by construction.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, MalformedReceipt, PartnerError, TransportError, UnknownSigner
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM, Clock, Entropy, FaultPoint
from gateway.ports.messages import Attempt, Claimed
from gateway.primitives import strictjson
from gateway.protocol import delivery, receipt
from gateway.protocol.delivery import FailedAttempt, ReceiptClaimed, Waiting
from gateway.protocol.envelope import Sealed, seal
from gateway.services.fresh_ids import fresh_envelope_id
from gateway.services.integrity import seal_faults
from gateway.services.leases import LEASE_S, RENEW_EVERY_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports.keys import KeyRing
    from gateway.ports.partner import PartnerLink, Reply
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import EnvelopeId, PartyId
    from gateway.services.contact import Contacts
    from gateway.services.directory import Directory
    from gateway.services.giveup import GiveUp
    from gateway.services.settle import Settler

log = get_logger()

# How often a lane looks for messages past their expirytime.
EXPIRY_EVERY_MS = 5_000
# Single messages refused in a row before the fault is the partner's and not the messages'.
POISON_STREAK = 5


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An envelope under our lease, sealed and logged as sent."""

    eid: EnvelopeId
    sealed: Sealed
    messages: tuple[Claimed, ...]
    manifest_sha256: bytes


class Lane:
    """The sender towards one partner."""

    def __init__(
        self,
        party: PartyId,
        *,
        store: Store,
        keys: KeyRing,
        directory: Directory,
        settler: Settler,
        contacts: Contacts,
        give_up: GiveUp,
        clock: Clock,
        entropy: Entropy,
        draw: Callable[[], float],
        fence: int,
        observe: Callable[[str, int], None],
        probe_every_s: int,
        linger_s: float,
        most: int,
        most_bytes: int,
        fault: FaultPoint | None,
        paused: Callable[[], bool],
    ) -> None:
        """Take `most` and `most_bytes`: events, and their bytes, that one envelope holds; a single event always goes.

        `paused`: while it says so, nothing leaves; messages are still given up when their time is over.

        So are those to a partner that is suspended.
        """
        self._fault = fault
        self._paused = paused
        self.party = party
        self._store = store
        self._keys = keys
        self._directory = directory
        self._settler = settler
        self._contacts = contacts
        self._give_up = give_up
        self._clock = clock
        self._entropy = entropy
        self._draw = draw
        self._fence = fence
        self._observe = observe
        self._probe_every_ms = probe_every_s * 1000
        self._linger_s = linger_s
        self._most = most
        self._most_bytes = most_bytes
        self._limit = most
        self._wake = asyncio.Event()
        self._not_before = 0
        self._failures = 0
        self._knocked = 0
        self._poison = 0
        self._looked_for_expired = 0
        self._latest = 0
        self._number = 0
        self._busy = False
        self._unrecorded = False

    def wake(self) -> None:
        """Look again now: something waits, or the partner was heard of."""
        self._wake.set()

    def knock(self) -> None:
        """Try now, once: a person asks for it. The back-off stays as long as it is."""
        self._not_before = 0
        self.wake()

    def heard(self) -> None:
        """Take a verified contact: whatever the partner's back-off was, it is over (protocol.md §7)."""
        if self._failures or self._not_before:
            self._failures = 0
            self._not_before = 0
            self.wake()

    async def run(self, link: PartnerLink) -> None:
        """Send over `link` until cancelled; an answer that came is still recorded (`_exchange`)."""
        while True:
            self._wake.clear()
            try:
                due = await self._round(link)
            except GatewayError as error:
                # Storage is full or locked, or no key is valid: wait and look again; nothing is lost.
                log.warning("delivery paused", partner=self.party, code=error.slug, detail=error.detail)
                due = self._clock() + 1000
            except Exception:
                # A bug must not stop the lane.
                log.exception("delivery failed", partner=self.party)
                due = self._clock() + 5000
            wait = max(0, due - self._clock()) / 1000
            with contextlib.suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it loses a cancellation that meets a wake-up, and we never stop.
                async with asyncio.timeout(min(wait, self._probe_every_ms / 1000)):
                    await self._wake.wait()

    async def _round(self, link: PartnerLink) -> int:
        """Do what is due; return when to look again, in ms."""
        now = self._clock()
        partner = self._directory.partner(self.party)
        if now < self._latest:
            # The clock was put back: what was planned by the old one could lie years ahead.
            self._not_before = min(self._not_before, now)
            self._looked_for_expired = 0
        self._latest = now
        if self._unrecorded:
            # What came of an envelope could not be written, so its messages are still ours to send: the
            # partner gives its stored answer again (protocol.md, law 2).
            await self._store.write(lambda tx: tx.outbox.free_lane(self.party, now, fence=self._fence))
            self._unrecorded = False
        if now - self._looked_for_expired >= EXPIRY_EVERY_MS:
            self._looked_for_expired = now
            await self._give_up.expire(self.party)
        if partner is None or not partner.active or self._paused():
            return now + self._probe_every_ms
        if now < self._not_before:
            return self._not_before
        if self._failures == 0:
            await self._give_up.tell(self.party, link, self._fence)
        if self._busy and self._linger_s and not self._failures:
            # Under load, a moment's wait fills the envelope: one signature then carries more messages.
            await asyncio.sleep(self._linger_s)
        outgoing = await self._claim(link)
        if outgoing is None:
            self._busy = False
            return await self._idle(link, now)
        self._busy = len(outgoing.messages) > 1
        await self._exchange(link, outgoing)
        return self._not_before

    async def _idle(self, link: PartnerLink, now: int) -> int:
        if self._failures:
            # Nothing is due, but the partner is down: knock, at least every 60 s.
            self._knocked = now
            await self._contacts.ping(self.party, link)
            if self._failures:
                self._fail(())
                return self._not_before
        due = await self._store.write(lambda tx: self._next_due(tx, now))
        return now + self._probe_every_ms if due is None else max(due, now + 1)

    def _next_due(self, tx: Transaction, now: int) -> int | None:
        due = tx.outbox.next_due(self.party, now)
        if due is not None and due > now + delivery.MAX_RETRY_AFTER_S * 1000:
            # No wait is that long: it was planned by a clock that has been put right since.
            tx.outbox.wake(self.party, now)
            return now
        return due

    # --- claim and seal ---------------------------------------------------------------------------

    async def _claim(self, link: PartnerLink) -> Outgoing | None:
        partner = self._directory.partner(self.party)
        assert partner is not None
        now = self._clock()
        recipient = partner.card.seal_key(now)
        if recipient is None:
            await self._contacts.refresh_card(self.party, link)
            detail = f"no key in the card of {self.party} counts now; ask for a newer card, `gateway partner add`"
            raise TransportError(detail)
        signer = self._keys.signer(now)
        # While the partner is down one message probes for all.
        limit = 1 if self._failures else self._limit
        self._number += 1
        number = self._number

        def work(tx: Transaction) -> Outgoing | None:
            ids, messages = self._choose(tx, number, now, limit)
            if not ids:
                return None
            eid = fresh_envelope_id(tx, now, self._entropy)
            tx.outbox.lease(ids, eid=eid, fence=self._fence, lease_until=now + LEASE_S * 1000)
            sealed = seal(
                [m.event for m in messages], digests=[m.digest for m in messages], iss=self._directory.me,
                aud=self.party, eid=eid, iat_ms=now, signer=signer, recipient=recipient, entropy=self._entropy,
            )  # fmt: skip
            self._point("sealed")
            # One entry an envelope: its root commits to every event in it (protocol.md, law 7).
            leaf = tx.log.append(
                "message.sent", actor=SYSTEM, obj=("envelope", eid), at=now, event=sealed.root,
                jti=messages[0].jti if len(messages) == 1 else None,
            )  # fmt: skip
            tx.envelopes.add(
                eid=eid, partner=self.party, direction="out", at=now, manifest=sealed.manifest,
                digests=sealed.digests, leaf=leaf,
            )  # fmt: skip
            return Outgoing(eid, sealed, messages, sha256(sealed.manifest).digest())

        return await self._store.write(work)

    def _choose(self, tx: Transaction, number: int, now: int, limit: int) -> tuple[list[int], tuple[Claimed, ...]]:
        """Return what goes into the next envelope: all of it is what the log says, or it is kept back."""
        while True:
            lanes = [tx.outbox.due(self.party, rank=rank, now_ms=now, limit=limit) for rank in range(3)]
            cases = {m.case_ref for lane in lanes for m in lane if m.case_ref is not None}
            by_case: dict[str, list[Waiting]] = {}
            for message in tx.outbox.open_in_cases(self.party, sorted(cases)) if cases else ():
                by_case.setdefault(message.case_ref or "", []).append(message)
            ids = delivery.fill(
                delivery.in_turn(lanes, number), by_case, now_ms=now, limit=limit, max_bytes=self._most_bytes
            )
            messages = tuple(tx.outbox.claimed(ids)) if ids else ()
            # What is kept back leaves the queue, so this ends; what follows it in its case waits with it.
            if not messages or not seal_faults(tx, messages, self._directory.me, self.party, now):
                return ids, messages

    # --- exchange -----------------------------------------------------------------------------------

    async def _exchange(self, link: PartnerLink, outgoing: Outgoing) -> None:
        self._knocked = self._clock()
        renewal = asyncio.create_task(self._renew(outgoing.eid))
        self._unrecorded = True
        try:
            judged = await self._send(link, outgoing)
        finally:
            renewal.cancel()
        # Whatever the answer says is a fact: it is recorded even while we are being stopped.
        recording = asyncio.ensure_future(self._record(outgoing, judged))
        try:
            await asyncio.shield(recording)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await recording
            raise

    async def _renew(self, eid: EnvelopeId) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            # A renewal that a full disk refuses is asked for again ten seconds later.
            with contextlib.suppress(GatewayError):
                await self._store.write(lambda tx: self._prolong(tx, eid))

    def _prolong(self, tx: Transaction, eid: EnvelopeId) -> None:
        tx.outbox.renew(eid, fence=self._fence, lease_until=self._clock() + LEASE_S * 1000)

    async def _send(self, link: PartnerLink, outgoing: Outgoing) -> tuple[receipt.Receipt, bytes] | FailedAttempt:
        try:
            self._point("sending")
            reply = await link.post_envelope(outgoing.sealed.jwe)
            self._point("answered")
        except TransportError as error:
            return FailedAttempt("unreachable", error.detail)
        judged = delivery.judge_reply(reply.status, reply.media_type, _problem(reply), reply.retry_after_s)
        if isinstance(judged, FailedAttempt):
            if judged.refresh_card:
                await self._contacts.refresh_card(self.party, link)
            return judged
        assert isinstance(judged, ReceiptClaimed)
        try:
            return await self._verified(link, outgoing, reply.body), reply.body
        except PartnerError as error:
            # Law 1: an unsigned answer, even a 200, is a failed attempt.
            return FailedAttempt("unverified", f"{error.slug}: {error.detail}")

    async def _verified(self, link: PartnerLink, outgoing: Outgoing, raw: bytes) -> receipt.Receipt:
        def read() -> receipt.Receipt:
            return receipt.read_receipt(
                raw, iss=self.party, aud=self._directory.me, eid=outgoing.eid,
                manifest_sha256=outgoing.manifest_sha256, digests=outgoing.sealed.digests,
                key_for=lambda kid, alg: self._directory.verify_key(self.party, kid, alg),
            )  # fmt: skip

        try:
            found = await self._contacts.reading(self.party, read, link)
        except UnknownSigner as error:
            raise MalformedReceipt("signed with a key we do not hold") from error
        self._contacts.told_time(self.party, found.iat_ms)
        if any(o.jti not in {None, m.jti} for m, o in zip(outgoing.messages, found.outcomes, strict=True)):
            raise MalformedReceipt("an outcome names another message than its event")
        await self._contacts.check_checkpoint(self.party, found.checkpoint)
        return found

    async def _record(self, outgoing: Outgoing, judged: tuple[receipt.Receipt, bytes] | FailedAttempt) -> None:
        if isinstance(judged, FailedAttempt):
            await self._record_failure(outgoing, judged)
            return
        self._point("verified")
        found, raw = judged
        outcomes = [(m.jti, outcome) for m, outcome in zip(outgoing.messages, found.outcomes, strict=True)]
        await self._settler.record(self.party, outcomes, eid=outgoing.eid, receipt=raw, fence=self._fence)
        self._point("recorded")
        self._unrecorded = False
        self._observe("receipt", len(outgoing.messages))
        self._poison = 0
        self._limit = min(self._most, self._limit * 2)
        self._failures = 0
        self._not_before = 0
        await self._contacts.heard(self.party)

    def _point(self, name: str) -> None:
        if self._fault is not None:
            self._fault(name)

    async def _record_failure(self, outgoing: Outgoing, failed: FailedAttempt) -> None:
        now = self._clock()
        split = failed.smaller and len(outgoing.messages) > 1
        rows = [
            (
                m.jti,
                # A poison message must not stop its neighbours: they go again at once, fewer at a time.
                now if split else delivery.retry_at(now, m.urgency, m.attempts, failed.retry_after_s, self._draw),
                failed.reason[:200],
            )
            for m in outgoing.messages
        ]

        def work(tx: Transaction) -> None:
            tx.outbox.requeue(rows, fence=self._fence)
            tx.outbox.add_attempts(
                [Attempt(jti, now, outgoing.eid, failed.result, reason, at) for jti, at, reason in rows]
            )

        poison = failed.smaller and self._poison < POISON_STREAK
        if split or poison:
            await self._store.write(work)
        else:
            # Before the write, as in `lost`: a contact that comes meanwhile ends this back-off too.
            self._fail([m.urgency for m in outgoing.messages], failed.retry_after_s)
            await self._contacts.lost(self.party, failed.reason, work)
        self._unrecorded = False
        self._observe(failed.result, len(outgoing.messages))
        log.warning(
            "attempt failed", partner=self.party, eid=outgoing.eid, outcome=failed.result, reason=failed.reason,
            count=len(outgoing.messages),
        )  # fmt: skip
        if split:
            self._limit = max(1, len(outgoing.messages) // 10)
        elif poison:
            self._poison += 1

    def _fail(self, urgencies: list[str] | tuple[()], retry_after_s: int | None = None) -> None:
        self._failures += 1
        now = self._clock()
        # From the start of the last one: a partner that swallows what is sent takes 30 s of the 60 by itself.
        latest = max(now, self._knocked + self._probe_every_ms)
        self._not_before = min(delivery.probe_at(now, self._failures, urgencies, self._draw), latest)
        if retry_after_s is not None:
            wait = min(retry_after_s, delivery.MAX_RETRY_AFTER_S) * 1000
            self._not_before = max(self._not_before, now + wait)


def _problem(reply: Reply) -> str | None:
    if reply.media_type != "application/problem+json":
        return None
    try:
        found = strictjson.loads(reply.body, integers_only=False)
    except strictjson.NotStrict:
        return None
    kind = found.get("type") if isinstance(found, dict) else None
    return kind.rstrip("/").rpartition("/")[2].rpartition(":")[2] if isinstance(kind, str) else None
