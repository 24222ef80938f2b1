"""A log that is lost goes on as the next one (protocol.md §6): nothing is numbered before the partner was asked.

The newest database is gone and a backup is in its place. Its log, as far as it goes, is continued under a new origin
(`audit.log_number`), which no partner has cosigned anything of. What a partner holds of ours beyond it is asked, and
our numbers go on above it. A suspended partner holds nobody up: it is asked when it is taken back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import PartnerError, TransportError
from gateway.ledger.note import read_tree_head
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM
from gateway.protocol.stream import read_stream

if TYPE_CHECKING:
    from gateway.ports.common import Clock
    from gateway.ports.partner import PartnerLink
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.directory import Directory
    from gateway.services.gate import Gate

log = get_logger()

STATE: Final = "log"
"""The name under which `state` keeps the origin of this log; with a party behind it, the origin it was asked for."""
PAGE: Final = 1000
CASES_SKIPPED: Final = 1000
"""References of cases that may have been given out since the backup: the partner shows numbers, not cases."""
CASE_MESSAGES_SKIPPED: Final = 100
WAITING = (
    "the log goes on under a new name; until each partner has said which of our numbers it holds, none is given; "
    "`gateway partner suspend` leaves one out that is gone for long"
)


class Renewal:
    """`begin` finds out whether this log is a new one, `follow` who is to be asked, `catch_up` asks one partner."""

    def __init__(self, store: Store, directory: Directory, gate: Gate, clock: Clock, origin: str) -> None:
        self._store = store
        self._directory = directory
        self._gate = gate
        self._clock = clock
        self._origin = origin
        self._unasked: set[PartyId] = set()

    @property
    def pending(self) -> set[PartyId]:
        """Who has to be asked before any message is numbered."""
        return {party for party in self._unasked if (known := self._directory.partner(party)) and known.active}

    async def begin(self) -> None:
        """Close the gate where partners have to be asked. Called once, when the home is opened."""
        known = list(self._directory.partners)
        self._unasked.update(await self._store.write(lambda tx: self._find(tx, known)))
        self.follow()

    def follow(self) -> None:
        """Look at the partners again: one may have been suspended, or taken back."""
        if self.pending:
            self._gate.close("renewed", WAITING)
        else:
            self._gate.open("renewed")

    def _find(self, tx: Transaction, known: list[PartyId]) -> list[PartyId]:
        last, held = tx.log.last_checkpoint(), tx.state.get(STATE)
        before = held or (read_tree_head(last.note).origin if last is not None else self._origin)
        if before != self._origin:
            tx.cases.skip_numbers(CASES_SKIPPED, CASE_MESSAGES_SKIPPED)
            tx.log.append("config.changed", actor=SYSTEM, obj=("log", self._origin), at=self._clock(),
                          outcome=f"after {before}")  # fmt: skip
            for party in known:
                tx.state.put(f"{STATE} {party}", before)
        if held != self._origin:
            tx.state.put(STATE, self._origin)
        return [party for party in known if tx.state.get(f"{STATE} {party}") not in {None, self._origin}]

    async def catch_up(self, party: PartyId, link: PartnerLink) -> None:
        """Have our numbers towards a partner go on above all it holds. Raises TransportError where it does not say."""
        high = await self._store.write(lambda tx: tx.outbox.stream_sent(party))
        while (last := await self._highest(party, link, high + 1)) is not None:
            high = last

        def work(tx: Transaction) -> None:
            tx.outbox.raise_stream_sent(party, high)
            tx.state.put(f"{STATE} {party}", self._origin)
            tx.log.append("config.changed", actor=SYSTEM, obj=("stream", party), at=self._clock(),
                          outcome=f"goes on above {high}")  # fmt: skip

        await self._store.write(work)
        log.warning("numbers go on above what the partner holds", partner=party, number=high)
        self._unasked.discard(party)
        self.follow()

    async def _highest(self, party: PartyId, link: PartnerLink, start: int) -> int | None:
        """Return the highest number of a page of what the partner holds of ours from `start` on; None beyond it."""
        reply = await link.get_stream(start, PAGE)
        if reply.status != 200:
            raise TransportError(f"answered {reply.status} to the question what it holds")
        try:
            stream = read_stream(
                reply.body, iss=party, aud=self._directory.me, from_seq=start,
                key_for=lambda kid, alg: self._directory.verify_key(party, kid, alg),
            )  # fmt: skip
        except PartnerError as error:
            raise TransportError(f"the list does not verify: {error.detail}") from None
        return max((item.seq for item in stream.items), default=None)
