"""Words that go into the log: codes only, since free text could carry a name into what erases nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Finding, UnknownCode

if TYPE_CHECKING:
    from collections.abc import Collection


def judge_code(member: str, value: str, codes: Collection[str]) -> None:
    """Raise UnknownCode unless the member's value is one of the codes; the value is not repeated."""
    if value not in codes:
        detail = f"`{member}` is one of {', '.join(codes)}"
        raise UnknownCode(detail, errors=(Finding(f"/{member}", detail, "E-CODE"),))
