"""How urgent a message is where its sender does not say (§4): by its type, and sooner where its content asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.casework.shapes import obj, rows, text, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONFINED: Final = frozenset(("STILL_CONFINED",))
_CONFINED_OR_ILL: Final = _CONFINED | {"MEDICAL_URGENT"}
_AT_ONCE: Final = frozenset(("ERASE", "RESTRICT", "WRONG_PERSON", "SENT_TO_WRONG_RECIPIENT"))


def default_urgency(subject: str, data: Mapping[str, Any], usual: str) -> str:
    """Return the urgency of a message that names none; `usual` is its type's."""
    match subject:
        case "case.referral":
            people = [*rows(data, "persons"), *(obj(row, "person") for row in rows(data, "manifest"))]
            sooner = any(not _CONFINED.isdisjoint(texts(person, "riskFlags")) for person in people)
            return "FLASH" if sooner else usual
        case "victim.assistance.referral":
            flags = (texts(obj(data, "person"), "riskFlags"), texts(obj(data, "riskAssessment"), "flags"))
            return "FLASH" if not _CONFINED_OR_ILL.isdisjoint((*flags[0], *flags[1])) else usual
        case "departure.deferral.notice":
            return "URGENT" if obj(data, "onwardGroup") else usual
        case "record.action":
            return "URGENT" if not _AT_ONCE.isdisjoint((text(data, "action"), text(data, "reason"))) else usual
    return usual
