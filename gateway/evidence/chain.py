"""The evidence chain of one message: log entries as steps that people follow (as e-CODEX evidences have them)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gateway.errors import MalformedProof
from gateway.ledger import entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.ledger.entry import Entry

STEPS: Final = {
    "message.accepted": "submitted",
    "message.held": "held",
    "message.released": "released",
    "message.sent": "sent",
    "message.cancelled": "cancelled",
    "message.dead": "not-delivered",
    "message.read": "opened",
    "message.erased": "erased",
    "evidence.exported": "exported",
    "audit.alarm": "alarm",
}
"""What each type of entry means for its message; others depend on their outcome, too."""
BY_OUTCOME: Final = {
    ("message.settled", "accepted"): "delivered",
    ("message.settled", "rejected"): "rejected",
    ("message.received", "accepted"): "received",
    ("message.received", "rejected"): "refused",
    ("audit.alarm", "undelivered"): "late",
}
IN_BUNDLE: Final = frozenset({*STEPS, "message.settled", "message.received"}) - {"evidence.exported"}
"""Types of entries a bundle holds. Not the exports: each would change the next bundle."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: in whose log, at which leaf index, what, when, by which role, with what outcome."""

    party: str
    index: int
    step: str
    at_ms: int
    role: str
    actor: str
    outcome: str | None
    message: str | None = None


def step_name(found: Entry) -> str:
    """Return what an entry means for its message; a type we do not know keeps its own name."""
    word = (found.outcome or "").partition(" ")[0]
    return BY_OUTCOME.get((found.typ, word)) or STEPS.get(found.typ, found.typ)


def steps(entries: Iterable[tuple[str, int, bytes]]) -> list[Step]:
    """Return the steps of (party, index, leaf data), oldest first; what is no entry is left out."""
    found: list[Step] = []
    for party, index, data in entries:
        try:
            one = entry.parse(data)
        except MalformedProof:
            continue
        found.append(Step(party, index, step_name(one), one.at_ms, one.actor_role, one.actor_sub, one.outcome, one.jti))
    return sorted(found, key=lambda step: (step.at_ms, step.party, step.index))


def answered(step: Step) -> Step:
    """Return the step that another message answered this one, out of that message's own step."""
    return replace(step, step="answered", outcome=None)
