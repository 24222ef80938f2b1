"""The answers a partner gets again: what the log says they were, whatever became of the rows that keep them.

Law 2 of the protocol (same message, same answer) must not rest on a row that somebody can delete or edit: a deleted
one would be taken a second time, an edited one would have us sign another answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gateway.errors import LocalFault, Refusal
from gateway.ledger import standing
from gateway.ports.messages import Taken
from gateway.protocol.ids import MessageId
from gateway.protocol.receipt import Outcome
from gateway.services.integrity import alarm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.errors import Finding
    from gateway.ledger.standing import Said
    from gateway.ports.common import Clock
    from gateway.ports.store import Transaction
    from gateway.protocol.ids import PartyId

# Refused for these, a message has taken no id: another may come under it.
_TOOK_NO_ID = frozenset({"malformed-event", "source-mismatch", "wrong-recipient", "conflict", "voided"})


@dataclass(slots=True)
class Given:
    """What is known of the events of one envelope: answers, ids only the log still holds, and what must wait."""

    outcomes: dict[bytes, Outcome] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    faults: dict[bytes, Refusal] = field(default_factory=dict)


class Answers:
    """`given` looks up the events of an envelope, `one` a message by its id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def given(self, tx: Transaction, sender: PartyId, events: Mapping[bytes, str | None]) -> Given:
        """Return the final answers already given to these events (digest and id), by digest."""
        found = Given()
        for digest, outcome in tx.inbox.outcomes(sender, list(events)).items():
            borne_out = self._borne_out(tx, sender, outcome)
            if borne_out is None:
                # A row that no entry bears out is no answer of ours, and must not become one.
                found.faults[digest] = Refusal(LocalFault, "the answer kept for this message is not in the log")
            else:
                found.outcomes[digest] = borne_out
        unknown = events.keys() - found.outcomes.keys() - found.faults.keys()
        jtis = {jti for digest in unknown if (jti := events[digest]) is not None}
        for said in tx.log.received(sender, jtis) if jtis else ():
            if said.event in unknown:
                found.outcomes[said.event] = self._from_log(tx, said)
            elif said.problem not in _TOOK_NO_ID:
                status: Literal["accepted", "rejected"] = "accepted" if said.status == "accepted" else "rejected"
                found.taken.append(Taken(said.event, said.jti, None, None, None, status))
        return found

    def one(self, tx: Transaction, sender: PartyId, jti: MessageId) -> Outcome | None:
        """Return the final answer given to one message, None where there is none."""
        held = tx.inbox.by_jti(sender, jti)
        if held is not None and (borne_out := self._borne_out(tx, sender, held)) is not None:
            return borne_out
        for said in tx.log.received(sender, {jti}):
            if said.problem not in _TOOK_NO_ID:
                return self._from_log(tx, said)
        return None

    def _borne_out(self, tx: Transaction, sender: PartyId, kept: Outcome) -> Outcome | None:
        """Return a kept answer as its entry has it, with an alarm where the row says otherwise; None without entry."""
        said = tx.log.entry(kept.leaf) if kept.leaf is not None else None
        if said is None or (said.typ, said.sub, said.event) != (standing.RECEIVED, sender, kept.event):
            if kept.jti is not None:
                alarm(tx, kept.jti, "answer", self._clock(), digest=kept.event)
            return None
        if (kept.status, kept.problem, kept.received_at_ms) == (said.status, said.problem, said.at_ms):
            return kept
        if said.jti is not None:
            alarm(tx, said.jti, "answer", self._clock(), digest=said.event)
        return _outcome(said, kept.errors)

    def _from_log(self, tx: Transaction, said: Said) -> Outcome:
        """Return an answer whose row is gone; what was wrong with a refused message is gone with it."""
        assert said.jti is not None
        alarm(tx, said.jti, "gone", self._clock(), digest=said.event)
        return _outcome(said, ())


def _outcome(said: Said, errors: tuple[Finding, ...]) -> Outcome:
    return Outcome(
        event=said.event, jti=None if said.jti is None else MessageId(said.jti),
        status="accepted" if said.status == "accepted" else "rejected", received_at_ms=said.at_ms, leaf=said.seq,
        problem=said.problem, errors=errors,
    )  # fmt: skip
