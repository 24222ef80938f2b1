"""Voids: the numbers of a stream that their sender gave up (protocol.md §5, `bcx.void`).

The data of that one event alone; the event around it is `gateway.protocol.event`'s part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from gateway.primitives import strictjson
from gateway.protocol import members
from gateway.protocol.ids import CaseRef, MessageId, Subject, parse_case_ref

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VOID: Final = Subject("void")
VOID_SCHEMA_VERSION: Final = "1.0.0"
VOID_SCHEMA_DIGEST: Final = sha256(b"{}").digest()  # JCS of {} is its two bytes

MAX_VOIDS: Final = 10_000  # fits an event several times over
_DECIMAL: Final = re.compile(r"[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class Void:
    """One number of a stream that its sender gave up; `case` and `case_seq` where it belonged to a case."""

    seq: int
    jti: MessageId
    reason: str
    case: CaseRef | None = None
    case_seq: int | None = None


def write_voids(voids: Sequence[Void]) -> bytes:
    """Write the `data` of a `bcx.void`."""
    rows: list[dict[str, object]] = []
    for void in voids:
        row: dict[str, object] = {"seq": void.seq, "jti": void.jti, "reason": void.reason}
        if void.case is not None:
            row |= {"case": void.case, "caseseq": void.case_seq}
        rows.append(row)
    return strictjson.dumps({"voids": rows})


def read_voids(data: Mapping[str, Any]) -> tuple[Void, ...]:
    """Read the `data` of a `bcx.void`; `Unfit` with a pointer into the event where it has not that form."""
    rows = members.as_list(data.get("voids"), "/data/voids", least=1, most=MAX_VOIDS)
    return tuple(_void(row, f"/data/voids/{at}") for at, row in enumerate(rows))


def _void(row: object, at: str) -> Void:
    found = members.as_object(row, at)
    case, case_seq = found.get("case"), None
    if (case is None) != (found.get("caseseq") is None):
        raise members.Unfit(f"{at}/caseseq", "stands exactly where `case` does")
    if case is not None:
        case_seq = _void_number(found, "caseseq", at)
        try:
            case = parse_case_ref(case) if isinstance(case, str) else None
        except ValueError:
            case = None
        if case is None:
            raise members.Unfit(f"{at}/case", "not a case reference")
    return Void(
        seq=_void_number(found, "seq", at),
        jti=MessageId(members.matching(found, "jti", members.MESSAGE_ID, at)),
        reason=members.text(found, "reason", at),
        case=case,
        case_seq=case_seq,
    )


def _void_number(found: dict[str, Any], name: str, at: str) -> int:
    """Read a number, or the decimal text the attribute of that name has: the profile says neither."""
    value = found.get(name)
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return members.integer({name: int(value)}, name, at, least=1)
    return members.integer(found, name, at, least=1)
