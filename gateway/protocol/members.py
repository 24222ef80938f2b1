"""Read the members of a signed payload: a value of the right form, or `Unfit` with pointer and reason.

The readers of receipts, cards, pings and streams share these, so that each keeps one law: any bytes
give a value or a `PartnerError`. A reason never repeats what stood there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from gateway.errors import Finding
from gateway.primitives import b64u, strictjson, times

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.errors import PartnerError

MAX_INTEGER = 2**53 - 1  # protocol.md §1: what every JSON reader holds exactly
MESSAGE_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
PARTY = re.compile(r"[a-z]{2}\.[a-z0-9-]{1,40}")
CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")
"""A code of protocol.md §4.4, known or not."""
SHA256_BYTES = 32


class Unfit(ValueError):
    """A member that is missing or ill-formed; `finding` says where and why, never what stood there."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"{pointer or '/'}: {reason}")
        self.finding = Finding(pointer, reason)

    def as_error(self, error: type[PartnerError]) -> PartnerError:
        """Return it as the `error` the reader of this document speaks in."""
        return error(str(self), errors=(self.finding,))


def document(raw: bytes) -> dict[str, Any]:
    """Read a payload: strict JSON (protocol.md §1) whose outermost value is an object."""
    try:
        value = strictjson.loads(raw)
    except strictjson.NotStrict as error:
        raise Unfit("", f"not strict JSON: {error}") from None
    return as_object(value, "")


def as_object(value: object, at: str) -> dict[str, Any]:
    """Return `value` when it is a JSON object."""
    if not isinstance(value, dict):
        raise Unfit(at, "not an object")
    return cast("dict[str, Any]", value)


def as_list(value: object, at: str, *, most: int, least: int = 0) -> list[Any]:
    """Return `value` when it is an array of `least` to `most` items."""
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise Unfit(at, f"not an array of {least} to {most} items")
    return value


def exactly(found: Mapping[str, Any], at: str, required: Collection[str], optional: Collection[str] = ()) -> None:
    """Refuse a missing member and one the profile does not name ("exactly" of protocol.md §1)."""
    for name in required:
        if name not in found:
            raise Unfit(f"{at}/{name}", "missing")
    if len(found) > len(required) and any(name not in required and name not in optional for name in found):
        raise Unfit(at, "a member this profile does not name")


def text(found: Mapping[str, Any], name: str, at: str = "", *, longest: int = 200) -> str:
    """Return a string of 1 to `longest` characters."""
    value = found.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise Unfit(f"{at}/{name}", f"not a text of 1 to {longest} characters")
    return value


def matching(found: Mapping[str, Any], name: str, pattern: re.Pattern[str], at: str = "") -> str:
    """Return a string the whole of which has the form `pattern`."""
    value = found.get(name)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise Unfit(f"{at}/{name}", "missing or ill-formed")
    return value


def one_of(found: Mapping[str, Any], name: str, choices: Collection[str], at: str = "") -> str:
    """Return a string that is one of `choices`."""
    value = found.get(name)
    if not isinstance(value, str) or value not in choices:
        raise Unfit(f"{at}/{name}", "not one of the values the profile names")
    return value


def integer(found: Mapping[str, Any], name: str, at: str = "", *, least: int = 0) -> int:
    """Return a whole number from `least` to 2^53-1; a JSON true is not the number 1."""
    value = found.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_INTEGER:
        raise Unfit(f"{at}/{name}", f"not a whole number from {least}")
    return value


def time_ms(found: Mapping[str, Any], name: str, at: str = "") -> int:
    """Return a time (RFC 3339, UTC, `Z`, milliseconds) as ms since the epoch."""
    value = found.get(name)
    if isinstance(value, str):
        try:
            return times.parse_ms(value)
        except ValueError:
            pass
    raise Unfit(f"{at}/{name}", "not a time in UTC with milliseconds")


def octets(found: Mapping[str, Any], name: str, at: str = "", *, exact: int | None = None, most: int = 4096) -> bytes:
    """Return the bytes of a base64url text: `exact` many, or 1 to `most`."""
    value = found.get(name)
    if not isinstance(value, str):
        raise Unfit(f"{at}/{name}", "not base64url")
    return unpacked(value, f"{at}/{name}", exact=exact, most=most)


def unpacked(value: object, at: str, *, exact: int | None = None, most: int = 4096) -> bytes:
    """Return the bytes of one base64url text: `exact` many, or 1 to `most`."""
    longest = most if exact is None else exact
    # Length first: a long text is refused without decoding it.
    if not isinstance(value, str) or len(value) > (longest * 4 + 2) // 3:
        raise Unfit(at, "not base64url of the length the profile names")
    try:
        raw = b64u.decode(value)
    except ValueError:
        raise Unfit(at, "not base64url") from None
    if not raw or (exact is not None and len(raw) != exact):
        raise Unfit(at, "not base64url of the length the profile names")
    return raw
