"""Every exception the gateway raises on purpose, sorted by whose fault it is.

`RequestError`        our caller's: becomes problem+json (RFC 9457)
`PartnerError`        the other authority's: a signed rejection or an unsigned problem, and a log entry
`TransportError`      nobody's yet: a failed attempt, tried again
`LedgerError`         tampering or a lost log: stop writing, alarm
`ConfigurationError`  the operator's, at start-up: one line, exit 2
`StorageUnavailable`  the machine's: 503 with Retry-After, nothing lost
`IllegalTransition`   ours: a bug

`detail` helps whoever must mend it and never holds personal data; `errors` are findings with JSON
Pointers, never values.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault in a document: where (RFC 6901 pointer), which rule (code), in plain words; never a value."""

    pointer: str
    reason: str
    code: str | None = None

    def as_dict(self) -> dict[str, str]:
        """Return the wire form `{"pointer","code"?,"reason"}` of protocol.md §5."""
        found = {"pointer": self.pointer, "reason": self.reason}
        if self.code is not None:
            found["code"] = self.code
        return found


FINDINGS_MOST = 1000
"""Of one answer: every row of the largest sheet may have two."""


def capped(findings: Iterable[Finding], most: int = FINDINGS_MOST) -> tuple[Finding, ...]:
    """Return the first findings, and one that says so where there are more: whoever mends those asks again.

    No more than that are ever made: an iterable that makes them one by one is left there.
    """
    found = tuple(islice(findings, most + 1))
    if len(found) <= most:
        return found
    return (*found[:most], Finding("", f"there are more than {most} faults: these are the first", None))


class GatewayError(Exception):
    """The root of the tree. `slug` ends the problem's `type`; `status` is its HTTP status."""

    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500

    def __init__(self, detail: str = "", *, errors: tuple[Finding, ...] = (), retry_after_s: int | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.errors = errors
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an exception said, for whoever keeps it or hands it on.

    An exception that is kept keeps the frames it passed through, and they the request that was refused.
    """

    kind: type[GatewayError]
    detail: str = ""
    errors: tuple[Finding, ...] = ()
    retry_after_s: int | None = None

    @classmethod
    def of(cls, error: GatewayError) -> Refusal:
        """Return what `error` says."""
        return cls(type(error), error.detail, error.errors, error.retry_after_s)

    @property
    def slug(self) -> str:
        """The code of its kind."""
        return self.kind.slug

    def is_a(self, *kinds: type[GatewayError]) -> bool:
        """Say whether it is of one of these kinds."""
        return issubclass(self.kind, kinds)

    def error(self) -> GatewayError:
        """Return a new exception that says it."""
        return self.kind(self.detail, errors=self.errors, retry_after_s=self.retry_after_s)


# --- our caller's -------------------------------------------------------------------------------


class RequestError(GatewayError):
    """The caller of our own API or CLI can mend it."""

    slug, title, status = "bad-request", "Bad request", 400


class MalformedRequest(RequestError):
    """Body, header or parameter that cannot be read."""

    slug, title, status = "malformed-request", "The request cannot be read", 400


class FingerprintDiffers(RequestError):
    """What the officers read is not what the card says."""

    slug, title, status = "fingerprint-differs", "The fingerprint differs", 422


class IdempotencyKeyMissing(RequestError):
    """A creating POST without `Idempotency-Key`."""

    slug, title, status = "idempotency-key-missing", "Idempotency-Key is missing", 400


class IdempotencyKeyReused(RequestError):
    """The same `Idempotency-Key` with another body."""

    slug, title, status = "idempotency-key-reused", "Idempotency-Key was used with another body", 422


class Unauthenticated(RequestError):
    """No credential, or one that is unknown, expired or revoked."""

    slug, title, status = "unauthenticated", "Sign in first", 401


class NotPermitted(RequestError):
    """The caller is known but may not do this."""

    slug, title, status = "not-permitted", "Not permitted", 403


class NotFound(RequestError):
    """Unknown, or hidden from this caller: the two look alike."""

    slug, title, status = "not-found", "Not found", 404


class Clash(RequestError):
    """The thing exists already or is in a state that does not allow this."""

    slug, title, status = "conflict", "Conflict", 409


class SchemaRefused(MalformedRequest):
    """A document that may not be registered as a schema; `errors` name each place and rule."""


class InvalidSubject(MalformedRequest):
    """A name that can be no subject."""


class InvalidVersion(MalformedRequest):
    """No number of a version, and not `latest`."""


class InvalidMode(MalformedRequest):
    """No compatibility mode."""


class UnknownSubject(NotFound):
    """No version of this subject is registered."""


class UnknownVersion(NotFound):
    """The subject has no such version."""


class UnregisteredSchema(NotFound):
    """No schema has this id, or this content under this subject."""


class NoModeOfItsOwn(NotFound):
    """The subject follows the mode of all subjects."""


class Incompatible(Clash):
    """The compatibility mode in force refuses this version; `errors` say what it breaks."""

    slug, title = "incompatible-schema", "This version breaks an earlier one"


class TooLarge(RequestError):
    """Over a limit of protocol.md §4.5 or of the API."""

    slug, title, status = "too-large", "Too large", 413


class SlowBody(RequestError):
    """A body that comes more slowly than anybody who means it sends one."""

    slug, title, status = "slow-body", "The body came too slowly", 408


class HeadersTooLarge(RequestError):
    """All headers together are over the limit."""

    slug, title, status = "headers-too-large", "The headers are too large", 431


class RangeRefused(RequestError):
    """A range that the file does not have."""

    slug, title, status = "range-refused", "Not a range of this file", 416


class UnsupportedMediaType(RequestError):
    """Content-Type or Content-Encoding we do not read."""

    slug, title, status = "unsupported-media-type", "Unsupported media type", 415


class SchemaViolation(RequestError):
    """`data` breaks its schema; `errors` name each place."""

    slug, title, status = "schema-invalid", "The data does not match its schema", 422


class UnknownCode(RequestError):
    """A word that is none of the codes of its place; `detail` lists them, and never repeats the word."""

    slug, title, status = "unknown-code", "No such code", 422


class PolicyViolation(RequestError):
    """A rule of casework refuses the message; `errors` carry the E- codes."""

    slug, title, status = "policy-refused", "A casework rule refuses this message", 422


class UnknownSchemaRequested(RequestError):
    """No such type here, or no version both parties approved."""

    slug, title, status = "unknown-schema", "No usable schema for this type", 422


class AgreementRefuses(RequestError):
    """The agreement does not let us send this."""

    slug, title, status = "not-agreed", "The agreement does not allow this", 422


class TooManyRequests(RequestError):
    """Over the caller's rate or our bound on unanswered work."""

    slug, title, status = "too-many-requests", "Too many requests", 429


# --- the other authority's (protocol.md §4.4, in its order) ---------------------------------------


class PartnerError(GatewayError):
    """What a partner sent is refused. `slug` is the code on the wire."""

    slug, title, status = "malformed-envelope", "Malformed envelope", 400


class UnsupportedProfile(PartnerError):
    """(1) `bcx` is another profile's."""

    slug, title = "unsupported-profile", "Unsupported profile"


class MalformedEnvelope(PartnerError):
    """(1) Size, shape, base64url or header members."""

    slug, title = "malformed-envelope", "Malformed envelope"


class WrongRecipient(PartnerError):
    """(2), (6) Meant for another party or environment."""

    slug, title = "wrong-recipient", "Wrong recipient"


class AuthenticationFailed(PartnerError):
    """(2), (4) Every crypto failure looks alike to the peer: no decryption oracle. `detail` stays here."""

    slug, title = "authentication-failed", "Authentication failed"


class UnknownSigner(AuthenticationFailed):
    """(4) A signing `kid` we do not hold: looks like its parent to the peer; we fetch the card once first."""


class UnknownKey(PartnerError):
    """(3) Sealed to a key that is not ours or no longer decrypts."""

    slug, title = "unknown-key", "Unknown key"


class MalformedEvent(PartnerError):
    """(5) Not strict JSON, or a required attribute missing or ill-formed."""

    slug, title = "malformed-event", "Malformed event"


class SourceMismatch(PartnerError):
    """(6) `source` is not the sender of the envelope."""

    slug, title = "source-mismatch", "Source mismatch"


class Conflict(PartnerError):
    """(7) Id or number already taken by other bytes."""

    slug, title = "conflict", "Conflict"


class Voided(PartnerError):
    """(7) The sender gave this message up."""

    slug, title = "voided", "Voided by its sender"


class ClockSkew(PartnerError):
    """(8) The two clocks disagree: deferred, never final."""

    slug, title = "clock-skew", "Clock skew"


class LocalFault(PartnerError):
    """(5)-(11) Judging it broke something of ours: deferred, never final; its neighbours go on."""

    slug, title = "local-fault", "A fault of the receiver"


class Expired(PartnerError):
    """(8) `expirytime` has passed."""

    slug, title = "expired", "Expired"


class NotAgreed(PartnerError):
    """(9) The agreement does not let the sender send this."""

    slug, title = "not-agreed", "Not agreed"


class UnknownSchema(PartnerError):
    """(10) Version or digest we do not hold."""

    slug, title = "unknown-schema", "Unknown schema"


class SchemaInvalid(PartnerError):
    """(10) `data` breaks its schema; `errors` carry pointers, never values."""

    slug, title = "schema-invalid", "Schema invalid"


class PolicyRefused(PartnerError):
    """(11) A casework rule of the receiver."""

    slug, title = "policy-refused", "Refused by policy"


class AttachmentMissing(PartnerError):
    """(12) An attachment that is not here yet: deferred, never final."""

    slug, title = "attachment-missing", "Attachment not here yet"


class AttachmentInvalid(PartnerError):
    """(12) An attachment that is here and wrong."""

    slug, title = "attachment-invalid", "Attachment invalid"


class UnknownParty(PartnerError):
    """Not enrolled, or suspended."""

    slug, title, status = "unknown-party", "Unknown or suspended party", 403


class MalformedReceipt(PartnerError):
    """An answer that is no receipt for what was asked: a failed attempt."""

    slug, title = "malformed-receipt", "Not a receipt for this envelope"


class MalformedCard(PartnerError):
    """A party card that cannot be accepted."""

    slug, title = "malformed-card", "Malformed party card"


class MalformedProof(PartnerError):
    """A checkpoint, note or Merkle proof that does not hold."""

    slug, title = "malformed-proof", "Malformed checkpoint or proof"


# --- nobody's yet ---------------------------------------------------------------------------------


class TransportError(GatewayError):
    """The exchange did not complete; the outcome is unknown, never failed."""

    slug, title, status = "unreachable", "Partner unreachable", 502


class StorageUnavailable(GatewayError):
    """Disk full, database locked or read-only: nothing was accepted, ask again."""

    slug, title, status = "storage-unavailable", "Storage is unavailable", 503

    def __init__(self, detail: str = "", *, retry_after_s: int = 5) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class Draining(GatewayError):
    """The process is stopping."""

    slug, title, status = "draining", "The gateway is stopping", 503

    def __init__(self, detail: str = "", *, retry_after_s: int = 5) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class Paused(GatewayError):
    """Nothing is exchanged with partners for now (protocol.md §6): our log waits for a witness, or is behind it."""

    slug, title, status = "paused", "This gateway exchanges nothing for now", 503

    def __init__(self, detail: str = "", *, retry_after_s: int = 5) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class ClockInDoubt(GatewayError):
    """Our clock is known, or very likely, to be wrong: what it stamps would be refused or late for days."""

    slug, title, status = "clock-in-doubt", "The clock of this gateway is in doubt", 503

    def __init__(self, detail: str = "", *, retry_after_s: int = 30) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


# --- tampering ------------------------------------------------------------------------------------


class LedgerError(GatewayError):
    """The log does not match its own signed past."""

    slug, title = "log-damaged", "The audit log does not verify"


class RecordChanged(LedgerError):
    """A stored record is not what was logged of it: it is neither sent nor shown. `detail` names the message."""

    slug, title = "record-changed", "A stored record is not what the log says of it"


# --- the operator's -------------------------------------------------------------------------------


class ConfigurationError(GatewayError):
    """Start-up cannot go on; `detail` names the file or key and the fix."""

    slug, title = "configuration", "Configuration"


class KeysNotValid(ConfigurationError):
    """No signing key counts now: the clock is wrong, or they have expired. While it runs, others are asked to wait."""

    slug, title, status = "keys-not-valid", "No signing key is valid now", 503

    def __init__(self, detail: str = "", *, retry_after_s: int = 30) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


# --- ours -----------------------------------------------------------------------------------------


class IllegalTransition(RuntimeError):
    """A state machine was asked for a move its table does not hold: a bug."""
