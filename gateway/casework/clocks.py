"""Service clocks: when an acknowledgement and a reply are due, and what stops each clock.

Both start at `receivedAt` of the signed receipt: the moment both sides can prove. The acknowledge clock stops
at the recipient's first `case.update` or response after it, the reply clock at the first final response or at
DECLINED or CLOSED. Of two requests in one case a response stops the clock of the one it answers.

The two sides hear of messages that cross in another order. So a case keeps what was heard of late, and each
clock is stopped by the times of the messages, never by the order they came in: both sides show the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gateway.casework.shapes import rows, text

if TYPE_CHECKING:
    from collections.abc import Iterable

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS

# List `urgency`: minutes to acknowledge, hours to reply (None: no reply is awaited).
SLA: Final[dict[str, tuple[int, int | None]]] = {
    "FLASH": (30, 4),
    "URGENT": (60, 8),
    "PRIORITY": (240, 72),
    "ROUTINE": (1440, 168),
    "INFO": (1440, None),
}
_RESPONSES: Final = frozenset(("info.response", "identity.verify.response"))
_ENDS: Final = frozenset(("DECLINED", "CLOSED", "CLOSED_REFERRED"))
_OVER: Final = _ENDS | {"WITHDRAWN"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One later message of the recipient in the case: its time, subject and data."""

    at_ms: int
    subject: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks of one message. A due time of None means that none runs."""

    ack_due_ms: int
    reply_due_ms: int | None
    acknowledged_at_ms: int | None = None
    replied_at_ms: int | None = None

    def next_due_ms(self) -> int | None:
        """Return the earliest due time still running, or None."""
        running = [self.ack_due_ms] if self.acknowledged_at_ms is None and self.replied_at_ms is None else []
        if self.replied_at_ms is None and self.reply_due_ms is not None:
            running.append(self.reply_due_ms)
        return min(running, default=None)

    def overdue(self, now_ms: int) -> bool:
        """Tell whether a running clock has passed its due time."""
        due = self.next_due_ms()
        return due is not None and now_ms > due


def start(urgency: str, received_at_ms: int, reply_by_ms: int | None = None) -> Clock:
    """Return the clocks that the receipt at `received_at_ms` starts.

    `reply_by_ms` (`meta.replyBy`) brings the reply forward or sets one where the urgency has none; it never
    puts it off: the service level is agreed, the wish is one-sided.
    """
    minutes, hours = SLA[urgency]
    due = None if hours is None else received_at_ms + hours * HOUR_MS
    if reply_by_ms is not None:
        due = reply_by_ms if due is None else min(due, reply_by_ms)
    return Clock(received_at_ms + minutes * MINUTE_MS, due)


def run(clock: Clock, received_at_ms: int, answers: Iterable[Answer]) -> Clock:
    """Return `clock` stopped by the recipient's later messages, whatever order they are given in."""
    acknowledged, replied = clock.acknowledged_at_ms, clock.replied_at_ms
    for answer in sorted(answers, key=lambda a: a.at_ms):
        if answer.at_ms < received_at_ms:
            continue
        if acknowledged is None and acknowledges(answer.subject):
            acknowledged = answer.at_ms
        if replied is None and final(answer.subject, answer.data):
            replied = answer.at_ms
    return Clock(clock.ack_due_ms, clock.reply_due_ms, acknowledged, replied)


SKEW_MS: Final = 120_000  # what two clocks may differ by (protocol.md 4.4)
_KEPT_STOPPED: Final = 4
_KEPT_HEARD: Final = 16


@dataclass(frozen=True, slots=True)
class Timed:
    """The clocks of one message of a case; `turn` is the party that must act, `request` if a response answers it."""

    message: str
    turn: str
    request: bool
    from_ms: int
    clock: Clock

    @property
    def running(self) -> bool:
        """Tell whether anything is still awaited."""
        return self.clock.next_due_ms() is not None


@dataclass(frozen=True, slots=True)
class Heard:
    """What a message of a case does to its clocks: `answers` names the request, `ends` says the case is over."""

    at_ms: int
    party: str
    acknowledges: bool
    final: bool
    ends: bool
    answers: str | None


@dataclass(frozen=True, slots=True)
class CaseClocks:
    """The clocks of one case, and what was lately heard in it."""

    timed: tuple[Timed, ...] = ()
    heard: tuple[Heard, ...] = ()

    def started(self, timed: Timed) -> CaseClocks:
        """Add the clocks of a message, stopped by what was heard already of what came after it."""
        if any(held.message == timed.message for held in self.timed):
            return self
        for heard in self.heard:
            timed = _stopped(timed, heard)
        return CaseClocks(_kept((*self.timed, timed)), self.heard)

    def hear(self, heard: Heard) -> CaseClocks:
        """Stop what a message stops."""
        kept = sorted((*self.heard, heard), key=lambda h: (h.at_ms, h.party, h.answers or ""))[-_KEPT_HEARD:]
        return CaseClocks(_kept(tuple(_stopped(timed, heard) for timed in self.timed)), tuple(kept))

    @property
    def shown(self) -> Timed | None:
        """Return the clocks that run out first, else those that stopped last; None where none ever ran."""
        running = [timed for timed in self.timed if timed.running]
        if running:
            return min(running, key=lambda t: (t.clock.next_due_ms() or 0, t.message))
        return max(self.timed, key=lambda t: (t.from_ms, t.message), default=None)


def _stopped(timed: Timed, heard: Heard) -> Timed:
    ours = heard.party == timed.turn
    # Who owes the answer stamps both times; the end of the case may carry the other side's clock.
    if heard.at_ms + (0 if ours else SKEW_MS) < timed.from_ms or not (ours or heard.ends):
        return timed
    clock = timed.clock
    acknowledged, replied = clock.acknowledged_at_ms, clock.replied_at_ms
    if heard.acknowledges or heard.ends:
        acknowledged = heard.at_ms if acknowledged is None else min(acknowledged, heard.at_ms)
    if heard.ends or (heard.final and (heard.answers == timed.message or not timed.request)):
        replied = heard.at_ms if replied is None else min(replied, heard.at_ms)
    return replace(timed, clock=replace(clock, acknowledged_at_ms=acknowledged, replied_at_ms=replied))


def _kept(timed: tuple[Timed, ...]) -> tuple[Timed, ...]:
    ordered = sorted(timed, key=lambda t: (t.from_ms, t.message))
    stopped = [t for t in ordered if not t.running][-_KEPT_STOPPED:]
    return tuple(t for t in ordered if t.running or t in stopped)


def ends(subject: str, data: dict[str, Any]) -> bool:
    """Tell whether a message, once accepted, leaves nobody anything to answer in its case."""
    return subject == "case.update" and text(data, "toStatus") in _OVER


def acknowledges(subject: str) -> bool:
    """Tell whether a recipient's message of this subject stops the acknowledge clock."""
    return subject == "case.update" or subject in _RESPONSES


def final(subject: str, data: dict[str, Any]) -> bool:
    """Tell whether a recipient's message stops the reply clock: a response not interim, or the case's end."""
    if subject == "info.response":
        return all(text(answer, "outcome") != "INTERIM" for answer in rows(data, "answers"))
    if subject == "identity.verify.response":
        return data.get("final") is True
    return subject == "case.update" and text(data, "toStatus") in _ENDS
