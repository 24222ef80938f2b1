"""Compares, number by number, what we sent a partner with what it says it holds, under its signature."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from gateway.errors import NotFound, PartnerError, TransportError
from gateway.protocol.states import OPEN, State
from gateway.protocol.stream import read_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from gateway.ports.common import Clock
    from gateway.ports.partner import Reply
    from gateway.protocol.ids import PartyId
    from gateway.protocol.stream import Stream, StreamItem
    from gateway.services.contact import Contacts
    from gateway.services.directory import Directory

    Row = Mapping[str, Any]

PAGE = 1000
DIFFERENCES_MOST = 1000

Fault = Literal["lost", "bytes", "answer", "strange", "unaccounted"]
"""lost: we hold its receipt, it holds no message. bytes: another digest. answer: accepted here and rejected
there, or the reverse. strange: it holds what we never sent. unaccounted: given up, and it was not told."""


class _Reads(Protocol):
    """The questions asked here."""

    async def stream(self, recipient: str, start: int, end: int) -> Sequence[Row]: ...
    async def arrived(self, sender: str) -> tuple[int, int]: ...


class _Link(Protocol):
    """The question asked of the partner."""

    async def get_stream(self, start: int, limit: int) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """One number on which the two sides do not agree; `ours` and `theirs` are states, None where unknown."""

    seq: int
    jti: str
    fault: Fault
    ours: str | None
    theirs: str | None


@dataclass(slots=True)
class Reconciliation:
    """What came out: they hold `held` of the `sent` we sent, `waiting` have no answer yet, these differ."""

    partner: PartyId
    at: int
    sent: int = 0
    held: int = 0
    rejected: int = 0
    voided: int = 0
    waiting: int = 0
    arrived: int = 0
    arrived_high: int = 0
    differences: list[Difference] = field(default_factory=list)
    more: bool = False

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


class Reconciler:
    """`compare` asks the partner and compares."""

    def __init__(
        self,
        reads: _Reads,
        directory: Directory,
        contacts: Contacts,
        link: Callable[[PartyId], AbstractAsyncContextManager[_Link]],
        clock: Clock,
    ) -> None:
        self._reads = reads
        self._directory = directory
        self._contacts = contacts
        self._link = link
        self._clock = clock

    async def compare(self, party: str) -> Reconciliation:
        """Return how our outbox and the partner's inbox differ.

        Raises NotFound for a party that is no active partner, TransportError where no verified answer came.
        """
        known = self._directory.partner(party)
        if known is None or not known.active:
            detail = "no such active partner; `gateway partner list` or `GET /api/v1/partners` shows them"
            raise NotFound(detail)
        found = Reconciliation(known.party, self._clock())
        found.arrived, found.arrived_high = await self._reads.arrived(known.party)
        start = 1
        async with self._link(known.party) as link:
            while True:
                # Ours first: what is answered between the two looks then shows as waiting, not as lost.
                ours = await self._reads.stream(known.party, start, start + PAGE)
                theirs = [item for item in await self._ask(link, known.party, start) if item.seq < start + PAGE]
                _compare(found, ours, theirs)
                if not ours:
                    return found
                start += PAGE

    async def _ask(self, link: _Link, party: PartyId, start: int) -> Sequence[StreamItem]:
        try:
            reply = await link.get_stream(start, PAGE)
        except TransportError as error:
            detail = f"{party} is not reached: {error.detail}; `gateway partner ping {party}` shows when it is back"
            raise TransportError(detail) from None
        if reply.status != 200:
            detail = f"{party} answered {reply.status} to the question what it holds; try again later"
            raise TransportError(detail, retry_after_s=reply.retry_after_s)
        try:
            stream = await self._contacts.reading(party, lambda: self._read(party, start, reply.body))
        except PartnerError:
            detail = f"the list {party} sent does not verify under its card; see `gateway partner show {party}`"
            raise TransportError(detail) from None
        self._contacts.told_time(party, stream.iat_ms)
        await self._contacts.heard(party)
        return stream.items

    def _read(self, party: PartyId, start: int, raw: bytes) -> Stream:
        return read_stream(
            raw, iss=party, aud=self._directory.me, from_seq=start,
            key_for=lambda kid, alg: self._directory.verify_key(party, kid, alg),
        )  # fmt: skip


def _compare(found: Reconciliation, ours: Sequence[Row], theirs: Sequence[StreamItem]) -> None:
    held = {item.seq: item for item in theirs}
    for row in ours:
        item = held.pop(row["stream_seq"], None)
        found.sent += 1
        _count(found, row, item)
        fault = _judge(row, item)
        if fault is not None:
            _add(found, row["stream_seq"], row["jti"], fault, row["state"], item.status if item else None)
    for item in held.values():
        _add(found, item.seq, item.jti, "strange", None, item.status)


def _count(found: Reconciliation, row: Row, item: StreamItem | None) -> None:
    if item is None:
        found.waiting += State(row["state"]) in OPEN
    else:
        found.held += item.status == "accepted"
        found.rejected += item.status == "rejected"
        found.voided += item.status == "voided"


def _judge(row: Row, item: StreamItem | None) -> Fault | None:
    state = State(row["state"])
    if item is None:
        if state in {State.ACCEPTED, State.REJECTED}:
            # A rejection that took no number there (protocol.md §4.4) is accounted for by the bcx.void that follows.
            return None if state is State.REJECTED else "lost"
        return "unaccounted" if state not in OPEN and row["void_jti"] is None else None
    if item.event is not None and item.event != row["digest"]:
        return "bytes"
    if state in {State.ACCEPTED, State.REJECTED} and item.status in {"accepted", "rejected"}:
        return None if state == item.status else "answer"
    return None


def _add(found: Reconciliation, seq: int, jti: str, fault: Fault, ours: str | None, theirs: str | None) -> None:
    if len(found.differences) < DIFFERENCES_MOST:
        found.differences.append(Difference(seq, jti, fault, ours, theirs))
    else:
        found.more = True
