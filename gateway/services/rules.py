"""The rules a message meets, gathered: agreement, catalogue, casework. Asked by sender and receiver alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypedDict

from gateway.casework.handling import missing
from gateway.casework.names import heads_in
from gateway.casework.policies import MessageFacts, Review
from gateway.casework.policies.basis import PURPOSES
from gateway.casework.policies.keeping import CLASS_DAYS, class_maximum
from gateway.casework.policies.words import searched_text
from gateway.casework.remembered import of_message
from gateway.casework.urgency import default_urgency
from gateway.errors import Finding, NotFound, NotPermitted
from gateway.registry.sensitivity import personal_classes
from gateway.registry.vocabulary import declares
from gateway.services.remember import NAMELESS, Judgement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.casework.codelists import CodeLists
    from gateway.casework.policies import CaseFacts
    from gateway.protocol.agreement import Agreement
    from gateway.protocol.event import Event
    from gateway.protocol.ids import PartyId
    from gateway.registry.subject import SchemaVersion
    from gateway.services.catalogue import Catalogue
    from gateway.services.directory import Directory, KnownPartner
    from gateway.services.request import SubmitRequest


class _BySchema(TypedDict, total=False):
    classes: frozenset[str]
    states_basis: bool


@lru_cache(maxsize=256)
def _learnt(schema: SchemaVersion, members: frozenset[str]) -> _BySchema:
    return {
        "classes": personal_classes(schema.document, members - {"meta"}),
        "states_basis": declares(schema.document, "meta", "transferBasis"),
    }


# What a policy names as if it stood in `data` but is an attribute of the message.
ATTRIBUTES = frozenset({"/handling", "/urgency", "/inReplyTo"})


@dataclass(frozen=True, slots=True)
class Rules:
    """What is allowed between us and a partner, now."""

    me: PartyId
    environment: str
    directory: Directory
    agreement: Agreement
    catalogue: Catalogue
    codelists: CodeLists

    def partner(self, party: PartyId) -> KnownPartner:
        """Return an active partner. Raises NotFound, or NotPermitted for a suspended one."""
        known = self.directory.partner(party)
        if known is None:
            detail = "no such partner is enrolled; `gateway partner list` shows them"
            raise NotFound(detail, errors=(Finding("/recipient", "not an enrolled partner"),))
        if not known.active:
            detail = f"{party} is suspended; `gateway partner resume {party}` takes it back"
            raise NotPermitted(detail, errors=(Finding("/recipient", "this partner is suspended"),))
        return known

    def completed(self, data: Mapping[str, Any], now_ms: int) -> Mapping[str, Any]:
        """Return `data` with what a sender's gateway fills in: language, and the class maximum as deleteBy."""
        meta = data.get("meta")
        if not isinstance(meta, dict):
            return data
        filled = {"language": "eng", **meta}
        retention = meta.get("retention")
        if isinstance(retention, dict) and "deleteBy" not in retention:
            named = retention.get("class")
            last = class_maximum(named, now_ms) if isinstance(named, str) and named in CLASS_DAYS else None
            if last is not None:
                filled["retention"] = {**retention, "deleteBy": last.isoformat()}
        return {**data, "meta": filled}

    def urgency(self, subject: str, data: Mapping[str, Any], schema: SchemaVersion) -> str:
        """Return the urgency of a message of ours that names none: its type's, or sooner for its content (§4)."""
        return default_urgency(subject, data, schema.default_urgency or "ROUTINE")

    def judge_outbound(
        self, request: SubmitRequest, schema: SchemaVersion, data: Mapping[str, Any], urgency: str,
        partner: PartyId, now_ms: int,
    ) -> Judgement:  # fmt: skip
        """Judge a message of ours by itself; `refusals` decides once its case is known."""
        return self._judge(
            MessageFacts(
                subject=request.subject, data=dict(data), handling=request.handling, urgency=urgency, sender=self.me,
                recipient=partner, environment=self.environment, time_ms=now_ms, side="sender",
                in_reply_to=request.in_reply_to, **self._by_schema(schema, data),
            )
        )  # fmt: skip

    def judge_inbound(self, event: Event, schema: SchemaVersion) -> Judgement:
        """Judge a partner's message by itself, by the policies the receiver must enforce."""
        return self._judge(
            MessageFacts(
                subject=event.subject, data=event.data, handling=event.handling, urgency=event.urgency,
                sender=event.source, recipient=self.me, environment=self.environment, time_ms=event.time_ms,
                side="receiver", in_reply_to=event.in_reply_to, **self._by_schema(schema, event.data),
            )
        )  # fmt: skip

    def refusals(self, judged: Judgement, case: CaseFacts) -> tuple[Finding, ...]:
        """Return every rule of casework that refuses the message; empty when it may go."""
        found = judged.review.within(case)
        return tuple(f if f.pointer in ATTRIBUTES else replace(f, pointer="/data" + f.pointer) for f in found)

    def advice(self, judged: Judgement, case: CaseFacts) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
        """Return the least handling of a message in its case, and advice that refuses nothing."""
        found = judged.review.prompts
        return judged.review.needed_handling(case), tuple(replace(f, pointer="/data" + f.pointer) for f in found)

    def weaker_than(self, handling: Sequence[str], answered: Sequence[str]) -> Finding | None:
        """Return why a message may not have this handling in place of another's, or None."""
        lacking = missing(handling, answered)
        if not lacking:
            return None
        return Finding("/handling", f"what it stands in for also has {' '.join(lacking)}", "E-HANDLING")

    def _judge(self, message: MessageFacts) -> Judgement:
        review = Review(message, codelists=self.codelists, transfer=self._in_force)
        if review.alone:
            return Judgement(review, None, frozenset())
        heads = heads_in(searched_text(review.context)) if message.subject in NAMELESS else frozenset()
        return Judgement(review, of_message(review.context, message.in_reply_to), heads)

    def _by_schema(self, schema: SchemaVersion, data: Mapping[str, Any]) -> _BySchema:
        """Return what the policies must learn from the schema of a type they have no rules for."""
        return {} if schema.subject in PURPOSES else _learnt(schema, frozenset(data))

    def _in_force(self, code: str, reference: str | None, at_ms: int) -> bool:
        if not code:
            return self.agreement.any_instrument(at_ms)
        return self.agreement.transfer_instrument(code, reference or None, at_ms) is not None
