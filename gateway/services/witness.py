"""Witnesses partners' logs: `add-checkpoint` exactly as C2SP tlog-witness v1.0.0 (protocol.md §6).

What is cosigned is durable before the cosignature leaves, and decided in the same transaction: two requests
that overlap cannot roll the record back, and a crash cannot make us forget what we said. No log entry is
written for it: two logs would feed each other for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import MalformedProof
from gateway.ledger import note
from gateway.ledger.witness import Answer, Evidence, decide, grant, origin_id, parse_request
from gateway.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ledger.witness import Request, Witnessed
    from gateway.ports.common import Clock, FaultPoint
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.contact import Contacts
    from gateway.services.directory import Directory
    from gateway.services.disputes import Disputes, Reason

log = get_logger()


class Witness:
    """`add_checkpoint` judges and cosigns; `checkpoint` gives what was cosigned last."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        contacts: Contacts,
        disputes: Disputes,
        signer: Callable[[], note.NoteSigner],
        clock: Clock,
        fault: FaultPoint | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._contacts = contacts
        self._disputes = disputes
        self._signer = signer
        self._clock = clock
        self._fault = fault
        self._listeners: list[Callable[[PartyId, str | None], None]] = []

    def on_witnessed(self, listener: Callable[[PartyId, str | None], None]) -> None:
        """Call `listener(party, suspect)` after a checkpoint was cosigned, or one (`suspect`) came with a bad proof."""
        self._listeners.append(listener)

    async def add_checkpoint(self, party: PartyId, body: bytes) -> Answer:
        """Answer one request of a partner about its own log; raise nothing of the wire."""
        try:
            request = parse_request(body)
        except MalformedProof as error:
            log.warning("checkpoint not readable", partner=party, detail=error.detail)
            return Answer(400)
        answer = await self._judge(party, request, body)
        if answer.status in {403, 404} and await self._contacts.fetch_card(party):
            # Signed with a key, or for a log, that a newer card of the partner names.
            answer = await self._judge(party, request, body)
        if answer.record is not None:
            if self._fault is not None:
                self._fault("witnessed")
            answer = grant(answer, self._signer(), self._clock() // 1000)
        else:
            log.warning("checkpoint not cosigned", partner=party, status=answer.status)
        if answer.record is not None or answer.evidence is Evidence.BAD_PROOF:
            for listener in self._listeners:
                listener(party, request.note if answer.evidence is not None else None)
        return answer

    async def checkpoint(self, log_id: str) -> str | None:
        """Return the newest checkpoint cosigned of a log, with our cosignature, or None where there is none.

        `log_id` is the hex SHA-256 of its origin.
        """

        def find(tx: Transaction) -> Witnessed | None:
            known = (origin for origin in tx.witness.origins() if origin_id(origin) == log_id)
            origin = next(known, None)
            return tx.witness.witnessed(origin) if origin is not None else None

        found = await self._store.write(find)
        if found is None:
            return None
        body = found.note[: found.note.rindex("\n\n") + 1]
        return note.add_lines(found.note, note.cosign(body, self._signer(), self._clock() // 1000))

    async def _judge(self, party: PartyId, request: Request, body: bytes) -> Answer:
        known = self._directory.partner(party)
        # A partner's own log and no other: its signature there is its own affair, its memory here is ours.
        keys = {known.log_key.name: [known.log_key]} if known is not None else {}

        def work(tx: Transaction) -> tuple[Answer, Reason | None]:
            stored = tx.witness.witnessed(request.head.origin)
            answer = decide(request, stored, keys)
            if answer.record is not None:
                tx.witness.set_witnessed(request.head.origin, party, answer.record, self._clock())
            if answer.evidence is None or stored is None:
                return answer, None
            reason: Reason = "fork" if answer.evidence is Evidence.FORK else "bad-proof"
            kept = self._disputes.keep(tx, party, reason, stored.note, request.note, body)
            return answer, reason if kept else None

        answer, kept = await self._store.write(work)
        if kept is not None:
            await self._disputes.told(party, kept)
        return answer
