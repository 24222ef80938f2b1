"""What a message does to its case: alike on both sides, in the transaction that accepts or settles it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from gateway.casework import clocks, lifecycle
from gateway.casework.lifecycle import CaseStatus
from gateway.casework.remembered import REQUESTS
from gateway.errors import Clash, Finding, NotFound, PolicyViolation
from gateway.ports.cases import Case
from gateway.primitives.times import parse_ms
from gateway.protocol.ids import CaseRef, PartyId, make_case_ref

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.ports.store import Transaction

LEFT_OUT = 100
"""References in a row that other cases have and we leave out: looked up one by one, while others wait to write."""
CASES_A_YEAR = 999_999
"""Six digits (protocol.md §1)."""

UPDATE = "case.update"
"""The type whose `fromStatus` and `toStatus` move a case (domain rules §6.1)."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a message does to the service clocks of its case once it is accepted.

    It is worked out where the data is at hand and kept beside the message, so that settling reads no body.
    """

    sent_at: int
    urgency: str
    starts: bool
    request: bool
    acknowledges: bool
    final: bool
    ends: bool
    answers: str | None
    reply_by: int | None


@dataclass(frozen=True, slots=True)
class CaseMessage:
    """What the case file needs to know of a message."""

    jti: str
    subject: str
    opens: bool
    sender: PartyId
    urgency: str
    handling: Sequence[str]
    sent_at: int
    data: Mapping[str, Any]
    in_reply_to: str | None = None

    @property
    def effect(self) -> Effect:
        """Return what it does to the clocks.

        A message of a type that opens cases, or a request, starts them (§4); so does submitting a declined case
        again (§6.1), for it asks anew.
        """
        data = dict(self.data)
        request = self.subject in REQUESTS
        starts = self.opens or request or _move(self) == (CaseStatus.DECLINED, CaseStatus.SUBMITTED)
        return Effect(
            sent_at=self.sent_at, urgency=self.urgency, starts=starts, request=request,
            acknowledges=clocks.acknowledges(self.subject), final=clocks.final(self.subject, data),
            ends=clocks.ends(self.subject, data), answers=self.in_reply_to, reply_by=_reply_by(data),
        )  # fmt: skip


class CaseFile:
    """Applies messages to cases; `me` decides which side of a case we are."""

    def __init__(self, me: PartyId, country: str) -> None:
        self.me = me
        self._country = country

    def allot(self, tx: Transaction, partner: PartyId, now_ms: int) -> CaseRef:
        """Give out the next case reference of ours, for a case with `partner`. Raises Clash where none is left.

        Another agency of our State numbers for itself and comes upon the same references. What a case with anybody
        has is left out, so that people need not ask which one is meant; but only so far: whoever uses up numbers
        must not take ours from us, since a reference is one case with each partner.
        """
        year = datetime.fromtimestamp(now_ms / 1000, UTC).year
        first = tx.cases.last_number(year) + 1
        near = range(first, min(first + LEFT_OUT, CASES_A_YEAR) + 1)
        far = range(first, CASES_A_YEAR + 1)
        free = (number for number in near if not tx.cases.used(make_case_ref(self._country, year, number)))
        ours = (n for n in far if tx.cases.find(partner, make_case_ref(self._country, year, n)) is None)
        number = next(free, None) or next(ours, None)
        if number is None:
            detail = f"every case reference of {year} is used up: write in an open case, or open one next year"
            raise Clash(detail, errors=(Finding("/case", detail, "E-REF"),))
        tx.cases.set_last_number(year, number)
        return make_case_ref(self._country, year, number)

    def open(self, ref: CaseRef, partner: PartyId, opener: PartyId, message: CaseMessage, at: int) -> Case:
        """Return a new case that came `at` this time of ours, not stored yet: lists do not go by a partner's clock."""
        return Case(
            ref=ref, partner=partner, opener=opener, lifecycle=lifecycle.opened(message.sent_at),
            urgency=message.urgency, handling=" ".join(message.handling),
            opening_handling=" ".join(message.handling), opened_at=message.sent_at, updated_at=at,
        )  # fmt: skip

    def shared(self, tx: Transaction, ref: str, partner: PartyId, owner: str | None) -> Case:
        """Return a case we share with `partner`; `owner` binds it to the cases of one client.

        Raises NotFound, alike for what is unknown, another partner's and another client's.
        """
        case = tx.cases.find(partner, ref)
        if case is None or not (owner is None or tx.cases.open_to(partner, ref, owner)):
            detail = "no case of this reference is shared with the recipient; leave `case` out to open one"
            raise NotFound(detail, errors=(Finding("/case", "unknown case", "E-REF"),))
        return case

    def propose(self, case: Case, message: CaseMessage) -> None:
        """Judge our own message before it is sent. Raises PolicyViolation with E-STATE."""
        move = _move(message)
        if move is None:
            return
        try:
            case.lifecycle = lifecycle.propose(
                case.lifecycle, jti=message.jti, actor=self._actor(case, self.me),
                from_status=move[0], to_status=move[1], at_ms=message.sent_at,
            )  # fmt: skip
        except lifecycle.IllegalMove as error:
            raise PolicyViolation("the case cannot make this move", errors=(_in_data(error.finding),)) from None

    def settled(
        self, tx: Transaction, partner: PartyId, ref: str, jti: str, effect: Effect, *, accepted: bool, received_at: int
    ) -> bytes | None:
        """Take the partner's final answer to our message into the case; return the digest of its row."""
        case = tx.cases.find(partner, ref)
        if case is None:
            return None
        case.lifecycle = lifecycle.settle(case.lifecycle, jti=jti, accepted=accepted)
        if accepted:
            self._delivered(case, self.me, jti, effect, received_at)
        return tx.cases.save(case)

    def opening_given_up(self, tx: Transaction, partner: PartyId, ref: str, at: int) -> bytes | None:
        """Close a case of ours whose opening was cancelled or died: the other side never heard of it.

        Returns the digest of its row.
        """
        case = tx.cases.find(partner, ref)
        if case is None or case.opener != self.me:
            return None
        case.lifecycle = lifecycle.unheard(case.lifecycle, at)
        case.updated_at = max(case.updated_at, at)
        return tx.cases.save(case)

    def opening_taken_back(self, tx: Transaction, partner: PartyId, ref: str) -> bytes | None:
        """Open a case of ours again whose opening goes on after all; return the digest of its row."""
        case = tx.cases.find(partner, ref)
        if case is None or case.opener != self.me:
            return None
        case.lifecycle = lifecycle.tried_again(case.lifecycle)
        return tx.cases.save(case)

    def arrive(self, case: Case, message: CaseMessage, received_at: int) -> Finding | None:
        """Take a partner's message into the case; return why not, or None. The caller stores the case."""
        move = _move(message)
        if move is not None:
            try:
                case.lifecycle = lifecycle.apply_update(
                    case.lifecycle, actor=self._actor(case, message.sender),
                    from_status=move[0], to_status=move[1], at_ms=message.sent_at,
                )  # fmt: skip
            except lifecycle.IllegalMove as error:
                return _in_data(error.finding)
        inherit(case, message.handling)
        self._delivered(case, message.sender, message.jti, message.effect, received_at)
        return None

    def _delivered(self, case: Case, sender: PartyId, jti: str, effect: Effect, received_at: int) -> None:
        case.lifecycle = lifecycle.received(case.lifecycle)
        case.updated_at = max(case.updated_at, received_at)
        if effect.acknowledges or effect.final or effect.ends:
            case.clocks = case.clocks.hear(
                clocks.Heard(effect.sent_at, sender, effect.acknowledges, effect.final, effect.ends, effect.answers)
            )
        if effect.starts:
            turn = case.partner if sender == self.me else self.me
            clock = clocks.start(effect.urgency, received_at, effect.reply_by)
            case.clocks = case.clocks.started(clocks.Timed(jti, turn, effect.request, received_at, clock))

    def _actor(self, case: Case, party: PartyId) -> Literal["O", "R"]:
        return "O" if party == case.opener else "R"


def _move(message: CaseMessage) -> tuple[CaseStatus, CaseStatus] | None:
    if message.subject != UPDATE:
        return None
    try:
        return CaseStatus(message.data["fromStatus"]), CaseStatus(message.data["toStatus"])
    except (KeyError, ValueError):
        # A later schema version may leave them out: then it is a report without a move.
        return None


def inherit(case: Case, handling: Sequence[str]) -> None:
    """Add a message's handling codes to the case's: later messages inherit them."""
    case.handling = " ".join(dict.fromkeys([*case.handling.split(), *handling]))


def handling_of(tx: Transaction, partner: PartyId, jti: str, owner: str | None = None) -> tuple[str, ...] | None:
    """Return the handling of a message we exchanged with `partner`, whoever sent it; None where there is none.

    For a client (`owner`) there is none that another client sent.
    """
    text = tx.inbox.handling(partner, jti) or tx.outbox.handling(partner, jti, owner)
    return tuple(text.split()) if text is not None else None


def _reply_by(data: Mapping[str, Any]) -> int | None:
    meta = data.get("meta")
    value = meta.get("replyBy") if isinstance(meta, dict) else None
    try:
        return parse_ms(value) if isinstance(value, str) else None
    except ValueError:
        # The catalogue lets an offset stand where the wire has Z; then the service level alone counts.
        return None


def _in_data(finding: Finding) -> Finding:
    return replace(finding, pointer="/data" + finding.pointer)
