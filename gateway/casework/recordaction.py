"""What a record.action asks of whoever keeps the message it names (§4.13), read from its data.

Bodies are kept whole: a message is erased whole, and where a part of it is to go the body as a whole is blocked.
A file lies beside the body, so a file is erased or restricted alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from gateway.casework.shapes import obj, rows, text

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORD_ACTION: Final = "record.action"
MESSAGE: Final = "message"
PART: Final = "part"
FILE: Final = "attachment:"
EXPIRED: Final = "RETENTION_EXPIRED"

Mark = Literal["erased", "blocked", "restricted", "lifted"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which part of which message, what becomes of it, and the code of the reason."""

    target: str
    part: str
    mark: Mark
    reason: str


def asked(subject: str, data: Mapping[str, Any]) -> Asked | None:
    """Return what is to be done to a kept message; None where nothing is (corrections are messages themselves)."""
    if subject != RECORD_ACTION:
        return None
    target = obj(data, "target")
    named, reason = text(target, "messageId"), text(data, "reason")
    if named is None or reason is None:
        return None
    file = text(target, "attachmentId")
    whole = file is None and text(target, "personRef") is None and not rows(target, "jsonPointers")
    part = MESSAGE if whole else PART if file is None else FILE + file
    match text(data, "action"):
        case "ERASE":
            return Asked(named, part, "blocked" if part == PART else "erased", reason)
        case "RESTRICT":
            return Asked(named, part, "restricted", reason)
        case "UNRESTRICT":
            return Asked(named, part, "lifted", reason)
    return None
