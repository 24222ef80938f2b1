"""How long data stays and who may look: retention (P14, P15), breach (P16), reading (P17), rights (P22)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from gateway.casework.dates import day_of, parse_day
from gateway.casework.shapes import obj, text
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.casework.policies.facts import Context

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000

# List `retentionClass`: days a message may be kept, set where `deleteBy` is absent (None: no end).
CLASS_DAYS: Final[dict[str, int | None]] = {
    "RC-NOHIT": 1,
    "RC-ATT": 90,
    "RC-DEF": 90,
    "RC-MINOR": 180,
    "RC-VI": 365,
    "RC-SU": 1095,
    "RC-OP": 730,
    "RC-AG": None,
    "RC-LOG": 1825,
}
# An adult's year begins at closure, which nobody knows when the message is sent: 1,095 days is the absolute end.
ABSOLUTE_DAYS: Final[dict[str, int | None]] = {**CLASS_DAYS, "RC-VI": 1095}
_CASE: Final = frozenset(("RC-VI", "RC-SU", "RC-MINOR"))
BY_SUBJECT: Final[dict[str, frozenset[str]]] = {
    "case.referral": _CASE | {"RC-OP"},
    "case.update": _CASE | {"RC-DEF", "RC-OP"},
    "info.request": _CASE | {"RC-NOHIT"},
    "info.response": _CASE | {"RC-NOHIT"},
    "identity.verify.request": frozenset(("RC-VI", "RC-MINOR")),
    "identity.verify.response": frozenset(("RC-VI", "RC-MINOR")),
    "departure.deferral.notice": frozenset(("RC-DEF",)),
    "passport.deferral.notice": frozenset(("RC-DEF",)),
    "victim.assistance.referral": frozenset(("RC-VI", "RC-MINOR")),
    "repatriation.movement": frozenset(("RC-VI", "RC-MINOR")),
    "subject.alert": frozenset(("RC-SU",)),
    "route.bulletin": frozenset(("RC-OP",)),
    "record.action": _CASE | {"RC-LOG", "RC-DEF", "RC-OP", "RC-AG"},
    "stats.periodic": frozenset(("RC-AG",)),
}
_IMPERSONAL: Final = frozenset(("RC-OP", "RC-AG", "RC-LOG", "RC-ATT"))

CERTIFICATE_MS: Final = 72 * HOUR_MS  # P15: certificate of erasure
BACKUP_MS: Final = 35 * DAY_MS  # P15: no backup outlives an erasure by more
BREACH_COUNTERPART_MS: Final = 24 * HOUR_MS  # P16
BREACH_AUTHORITY_MS: Final = 3 * 24 * HOUR_MS  # P16: UU 27/2022 Art. 46
SUBJECT_REQUEST_MS: Final = 3 * 24 * HOUR_MS  # P22: access and correction


def class_maximum(retention_class: str, time_ms: int) -> date | None:
    """Return the `deleteBy` the sender's gateway sets where none is given; None where the class has no end."""
    days = CLASS_DAYS[retention_class]
    return None if days is None else day_of(time_ms) + timedelta(days=days)


def p14_retention(ctx: Context) -> Iterator[Finding]:
    """P14: a day of deletion within the class's maximum, and a class that fits what is kept. E-RETENTION."""
    retention = obj(ctx.meta, "retention")
    named, stated = text(retention, "class"), text(retention, "deleteBy")
    if ctx.subject not in BY_SUBJECT and not retention:
        # A type added later without `meta.retention` keeps by its schema alone.
        return
    if named not in BY_SUBJECT.get(ctx.subject, CLASS_DAYS.keys()) or named is None:
        yield Finding("/meta/retention/class", "not a retention class of this type", "E-RETENTION")
        return
    if ctx.personal and named in _IMPERSONAL:
        yield Finding("/meta/retention/class", "personal data in a class for none", "E-RETENTION")
    days = ABSOLUTE_DAYS[named]
    if days is None and stated is None:
        return
    delete_by = parse_day(stated)
    if delete_by is None:
        yield Finding("/meta/retention/deleteBy", "missing, or no such day", "E-RETENTION")
    elif days is not None and delete_by > ctx.today + timedelta(days=days):
        yield Finding("/meta/retention/deleteBy", "beyond the maximum of its class", "E-RETENTION")
    elif delete_by < ctx.today:
        yield Finding("/meta/retention/deleteBy", "lies before the message", "E-RETENTION")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """P15: what remains of an erased message: no content, no personal data."""

    message_id: str
    digest: str
    reason: str
    at_ms: int


def p15_due(delete_by: date, on: date) -> bool:
    """P15: tell whether a message is to be erased on a day (the day named is the last it is kept)."""
    return on > delete_by


def p15_certificate_due_ms(erase_asked_at_ms: int) -> int:
    """P15: return when the certificate of erasure is due."""
    return erase_asked_at_ms + CERTIFICATE_MS


def p16_breach_due_ms(known_at_ms: int) -> dict[str, int]:
    """P16: return by when the counterpart, and the data subjects and authority, must be told of a breach."""
    return {
        "counterpart": known_at_ms + BREACH_COUNTERPART_MS,
        "authority": known_at_ms + BREACH_AUTHORITY_MS,
        "data_subjects": known_at_ms + BREACH_AUTHORITY_MS,
    }


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """P17: one reading of VI or SU data, for the log: who in which role, why, and what, without any value."""

    role: str
    purpose: str
    message_id: str
    pointers: tuple[str, ...]
    at_ms: int


def p17_must_log(ctx: Context) -> bool:
    """P17: tell whether reading this message must be logged."""
    return ctx.personal


def p22_subject_request(ctx: Context) -> Iterator[Finding]:
    """P22: a data subject's request is due within 3x24 hours of its receipt. E-DATE."""
    request = obj(ctx.data, "subjectRequest")
    if not request:
        return
    got, due = parse_day(text(request, "receivedOn")), parse_day(text(request, "dueBy"))
    if got is None or due is None:
        yield Finding("/subjectRequest", "needs the day of receipt and the day it is due", "E-DATE")
    elif not got <= due <= got + timedelta(milliseconds=SUBJECT_REQUEST_MS):
        yield Finding("/subjectRequest/dueBy", "later than 3x24 hours after receipt", "E-DATE")
