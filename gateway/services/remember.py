"""What is known of a case while a message is judged in it, and what the message leaves for those that follow.

Read once a unit of work, inside its transaction: the records of the case, and by key what other cases hold of the
same persons. How the records are put together is `gateway.casework.remembered`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.casework import remembered
from gateway.casework.names import keys_in
from gateway.casework.policies.words import searched_text
from gateway.casework.shapes import obj, text
from gateway.ports.cases import NewRecord
from gateway.protocol.ids import PartyId
from gateway.services.casefile import handling_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.casework.policies import CaseFacts, Context, MessageFacts, Review
    from gateway.casework.remembered import Record, Remembered
    from gateway.ports.cases import Case
    from gateway.ports.store import Transaction

ALERT = "subject.alert"
ACTION = "record.action"
UPDATE = "case.update"
# Types whose texts may name nobody who is known from a case (P21).
NAMELESS = frozenset({"route.bulletin", "stats.periodic", ALERT})
# Records of one person that are looked at, newest first.
NEWEST = 50


@dataclass(frozen=True, slots=True)
class Judgement:
    """A message judged by itself, before anything stored is asked for; the rest follows in the transaction."""

    review: Review
    leaves: Remembered | None
    heads: frozenset[str]

    @property
    def message(self) -> MessageFacts:
        """Return what is judged."""
        return self.review.context.message


class CaseMemory:
    """`known` before a message is accepted, `keep` once it is."""

    def __init__(self, me: PartyId) -> None:
        self.me = me

    def known(
        self, tx: Transaction, judged: Judgement, case: Case | None, records: Sequence[Record], owner: str | None = None
    ) -> CaseFacts:
        """Return what this side holds of the case, of the message answered, and of the persons spoken of.

        `records` are those of the case; `owner` is the client that submits, whose own messages are all it may
        know of. As receiver we look only at what we exchanged with the sender: a refusal
        must not tell it what another partner wrote.
        """
        message, ctx = judged.message, judged.review.context
        partner = _partner(message)
        within = None if message.side == "sender" else partner
        elsewhere = self._elsewhere(tx, ctx, within)
        found = remembered.gather(
            [*records, *elsewhere], in_case=case is not None, inherited=self._inherited(tx, message, case, owner),
            in_reply_to=message.in_reply_to, owners=self._owners(tx, message, owner),
            known_names=self._names(tx, judged, case, partner),
        )  # fmt: skip
        if not elsewhere:
            return found
        # Other cases tell who claims protection, whose nationals they are and whom an alert would hit; no more.
        own = remembered.gather(records, in_case=case is not None)
        return replace(
            own, inherited=found.inherited, owners=found.owners, known_names=found.known_names,
            requested=found.requested, protection_claims=found.protection_claims, nationalities=found.nationalities,
            deferred=found.deferred, statuses=found.statuses if message.subject == ALERT else own.statuses,
        )  # fmt: skip

    def keep(
        self, tx: Transaction, judged: Judgement, *, jti: str, case: str | None, supersedes: str | None
    ) -> Record | None:
        """Keep what an accepted message leaves behind; return its record."""
        left, message = judged.leaves, judged.message
        if left is None:
            return None
        tx.memory.add(
            NewRecord(
                sender=message.sender, jti=jti, partner=_partner(message), case_ref=case, at=message.time_ms,
                supersedes=supersedes, facts=left.facts, keys=left.keys,
            )
        )  # fmt: skip
        return remembered.Record(message.sender, jti, message.time_ms, supersedes, left.facts)

    def _elsewhere(self, tx: Transaction, ctx: Context, within: PartyId | None) -> list[Record]:
        refs = ctx.references.union(person.ref for person in ctx.persons if person.ref is not None)
        if not refs:
            return []
        keys = tx.memory.held([remembered.claim_key(ref) for ref in sorted(refs)], within)
        if ctx.subject == ALERT:
            keys = [*keys, *refs]
        return [record for key in keys for record in tx.memory.of_key(key, within, NEWEST)]

    def _inherited(
        self, tx: Transaction, message: MessageFacts, case: Case | None, owner: str | None
    ) -> tuple[str, ...]:
        """Return the handling of what is answered; of a report or record action the case's, as it was opened (§4)."""
        partner = _partner(message)
        if message.in_reply_to is not None:
            return handling_of(tx, partner, message.in_reply_to, owner) or ()
        target = text(obj(message.data, "target"), "messageId") if message.subject == ACTION else None
        if target is not None and (found := handling_of(tx, partner, target, owner)) is not None:
            return found
        return tuple(case.opening_handling.split()) if case is not None and message.subject in {UPDATE, ACTION} else ()

    def _owners(self, tx: Transaction, message: MessageFacts, owner: str | None) -> Mapping[str, str] | None:
        partner = _partner(message)
        target = text(obj(message.data, "target"), "messageId") if message.subject == ACTION else None
        if target is None:
            return None
        if tx.outbox.handling(partner, target, owner) is not None:
            return {target: self.me}
        return {target: partner} if tx.inbox.handling(partner, target) is not None else {}

    def _names(self, tx: Transaction, judged: Judgement, case: Case | None, partner: PartyId) -> tuple[str, ...]:
        subject = judged.message.subject
        if judged.heads:
            heads = tx.memory.held([remembered.HEAD + head for head in sorted(judged.heads)], partner)
            begun = frozenset(head.removeprefix(remembered.HEAD) for head in heads)
            if not begun:
                return ()
            keys = keys_in(searched_text(judged.review.context), begun)
            held = tx.memory.held([remembered.NAME + key for key in sorted(keys)], partner)
            return tuple(key.removeprefix(remembered.NAME) for key in held)
        if subject == "case.referral" and case is not None:
            return tuple(tx.memory.keys_of(case.partner, case.ref, remembered.NAME))
        return ()


def _partner(message: MessageFacts) -> PartyId:
    return PartyId(message.recipient if message.side == "sender" else message.sender)
