"""The rules a message meets, gathered: agreement, catalogue, casework. Asked by sender and receiver alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gateway.casework.handling import missing
from gateway.casework.policies import MessageFacts, review
from gateway.casework.policies.keeping import CLASS_DAYS, class_maximum
from gateway.errors import Finding, NotFound, NotPermitted, PolicyRefused, PolicyViolation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.casework.codelists import CodeLists
    from gateway.protocol.agreement import Agreement
    from gateway.protocol.event import Event
    from gateway.protocol.ids import PartyId
    from gateway.services.catalogue import Catalogue
    from gateway.services.directory import Directory, KnownPartner
    from gateway.services.request import SubmitRequest

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

    def review_outbound(
        self, request: SubmitRequest, data: Mapping[str, Any], urgency: str, partner: PartyId, now_ms: int
    ) -> None:
        """Apply the casework policies before a message leaves. Raises PolicyViolation."""
        found = self._review(
            MessageFacts(
                subject=request.subject, data=dict(data), handling=request.handling, urgency=urgency, sender=self.me,
                recipient=partner, environment=self.environment, time_ms=now_ms, side="sender",
                in_reply_to=request.in_reply_to,
            )
        )  # fmt: skip
        if found:
            raise PolicyViolation(f"{len(found)} rule(s) of casework refuse this message", errors=found)

    def review_inbound(self, event: Event) -> None:
        """Apply the casework policies the receiver must enforce. Raises PolicyRefused."""
        found = self._review(
            MessageFacts(
                subject=event.subject, data=event.data, handling=event.handling, urgency=event.urgency,
                sender=event.source, recipient=self.me, environment=self.environment, time_ms=event.time_ms,
                side="receiver", in_reply_to=event.in_reply_to,
            )
        )  # fmt: skip
        if found:
            raise PolicyRefused("a rule of casework refuses this message", errors=found)

    def weaker_than(self, handling: Sequence[str], answered: Sequence[str]) -> Finding | None:
        """Return why a reply may not have this handling, or None: it inherits all of what it answers (P09)."""
        lacking = missing(handling, answered)
        if not lacking:
            return None
        return Finding("/handling", f"a reply inherits {' '.join(lacking)}", "E-HANDLING")

    def _review(self, message: MessageFacts) -> tuple[Finding, ...]:
        found = review(message, codelists=self.codelists, transfer=self._in_force)
        return tuple(f if f.pointer in ATTRIBUTES else replace(f, pointer="/data" + f.pointer) for f in found)

    def _in_force(self, code: str, reference: str | None, at_ms: int) -> bool:
        return self.agreement.transfer_instrument(code, reference or None, at_ms) is not None
