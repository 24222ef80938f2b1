"""Errors of the command line: one line that says what to do next, and the exit code, decided in one place."""

from __future__ import annotations

from typing import Any, Final

from gateway.errors import (
    Clash,
    ConfigurationError,
    Finding,
    FingerprintDiffers,
    GatewayError,
    LedgerError,
    MalformedRequest,
    NotFound,
    NotPermitted,
    PartnerError,
    TransportError,
    Unauthenticated,
    UnknownCode,
)

OK: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
UNVERIFIED: Final = 3
NOT_PERMITTED: Final = 4
NOT_FOUND: Final = 5
CONFLICT: Final = 6
UNREACHABLE: Final = 7
INTERRUPTED: Final = 130

FINDINGS_MOST: Final = 20


class VerificationFailed(GatewayError):
    """A log, card or bundle does not verify."""

    slug, title, status = "unverified", "Verification failed", 422


class Misused(GatewayError):
    """Arguments that do not go together."""

    slug, title, status = "misused", "The command was not understood", 400


class Refused(GatewayError):
    """The gateway answered a command with a problem document (RFC 9457)."""

    def __init__(self, problem: dict[str, Any], status: int) -> None:
        """Take the members of the problem; unknown ones are left out."""
        errors = tuple(
            Finding(str(e.get("pointer", "")), str(e.get("reason", "")), e.get("code"))
            for e in problem.get("errors", ())
            if isinstance(e, dict)
        )
        super().__init__(str(problem.get("detail") or problem.get("title") or "refused"), errors=errors)
        self.code = str(problem.get("code", "internal"))
        self.http_status = status


# By HTTP status, which the gateway's own errors carry too: one table for both sides of the socket.
_BY_STATUS: Final = {
    Unauthenticated.status: NOT_PERMITTED,
    NotPermitted.status: NOT_PERMITTED,
    NotFound.status: NOT_FOUND,
    Clash.status: CONFLICT,
    TransportError.status: UNREACHABLE,
}
_BY_SLUG: Final = {
    ConfigurationError.slug: USAGE,
    LedgerError.slug: UNVERIFIED,
    Misused.slug: USAGE,
    UnknownCode.slug: USAGE,
    FingerprintDiffers.slug: UNVERIFIED,
    VerificationFailed.slug: UNVERIFIED,
}


def exit_code(error: BaseException) -> int:
    """Return the exit code the contract gives to an error."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, Refused):
        if error.code == MalformedRequest.slug and _names_a_parameter(error):
            return USAGE
        return _BY_SLUG.get(error.code, _BY_STATUS.get(error.http_status, FAILURE))
    if isinstance(error, PartnerError):
        # Read on the command line, a partner's card or receipt that does not hold is a failed check.
        return UNVERIFIED
    if isinstance(error, GatewayError):
        return _BY_SLUG.get(error.slug, _BY_STATUS.get(error.status, FAILURE))
    return FAILURE


def _names_a_parameter(error: GatewayError) -> bool:
    """Tell an option that was given wrong from a document that cannot be read."""
    return _is_said(error) and error.errors[0].pointer.count("/") == 1


def _is_said(error: GatewayError) -> bool:
    """Tell whether the only finding stands in the detail already."""
    return len(error.errors) == 1 and error.errors[0].reason in (error.detail or error.title)


def lines(error: GatewayError, most: int | None = None) -> list[str]:
    """Return what is printed: the fault with its fix, then each finding on its own line, `most` of them."""
    text = error.detail or error.title
    shown = [f"error: {text}"]
    if not _is_said(error):
        shown += [
            f"  {found.pointer or '/'}: {found.reason}" + (f" [{found.code}]" if found.code else "")
            for found in error.errors[:most]
        ]
    if most is not None and len(error.errors) > most:
        shown.append(f"  and {len(error.errors) - most} more; with `2> faults.txt` all of them are in that file")
    return shown
