"""Personal data where none is allowed: small cells (P18), texts and names (P19, P21), hidden characters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.casework.names import mentions
from gateway.casework.persons import text_fault
from gateway.casework.policies.keeping import BY_SUBJECT
from gateway.casework.shapes import obj, rows, text, walk
from gateway.casework.statistics import small_cells
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.casework.policies.facts import Context

_NO_PERSONS: Final = frozenset(("route.bulletin", "stats.periodic"))
# Where a text says what happened and persons are named by reference only (§4.1, §4.11, §3.8).
_REFERENCES_ONLY: Final = {"case.referral": ("", "summary"), "subject.alert": ("grounds", "facts")}
# Types whose texts the partner must read, and where: the catalogue has them in English (§3.1, §4).
_ENGLISH: Final[dict[str, tuple[str, str | None]]] = {
    "case.referral": ("summary", None),
    "info.request": ("questions", "text"),
    "info.response": ("answers", "text"),
    "route.bulletin": ("title", None),
}
_UUID: Final = re.compile(r"(?:P-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BREAK: Final = r"(?<![0-9A-Za-z])"
_PATTERNS: Final = (
    ("a 16-digit identity number", re.compile(_BREAK + r"[0-9]{16}(?![0-9A-Za-z])")),
    ("a document number", re.compile(_BREAK + r"(?:[A-Z]{1,2}[0-9]{6,8}|TEST[0-9]{4,})(?![0-9A-Za-z])")),
    (
        "a telephone number",
        re.compile(_BREAK + r"(?:\+|00|0)[1-9](?:[ .()-]{0,2}[0-9]){7,13}(?![0-9A-Za-z])"),
    ),
    ("an e-mail address", re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}\.[A-Za-z]{2,}")),
)


def p18_small_cells(ctx: Context) -> Iterator[Finding]:
    """P18: no statistical cell of 1 to 9 persons, nor one that can be computed from its neighbours. E-SMALLCELL."""
    if ctx.subject == "stats.periodic":
        yield from small_cells(rows(ctx.data, "figures"))


def p19_attachments_nameless(ctx: Context) -> Iterator[Finding]:
    """P19: file names are not transmitted and descriptions name nobody. E-PII."""
    names = tuple(_names_in(ctx))
    for i, attachment in enumerate(rows(ctx.data, "attachments")):
        description = text(attachment, "description")
        if description is not None and (personal_data(description) or mentions(description, names)):
            yield Finding(f"/attachments/{i}/description", "a description names nobody", "E-PII")


def p21_no_personal_text(ctx: Context) -> Iterator[Finding]:
    """P21: texts of messages without personal data hold no number, address or name of a person. E-PII.

    So whatever has no field of VI or SU has none in words either. Names are those of the message's own persons; a
    referral's summary uses references instead of names.
    """
    names = tuple(_names_in(ctx))
    if ctx.subject in _NO_PERSONS or not ctx.personal:
        for pointer, value in _texts(ctx):
            what = personal_data(value) or ("a person's name" if mentions(value, names) else None)
            if what is not None:
                yield Finding(pointer, f"{what} in a message without personal data", "E-PII")
    elif ctx.subject == "case.referral":
        yield from _named(ctx, names)


def p21_no_known_name(ctx: Context) -> Iterator[Finding]:
    """P21: nor the name of a person known from exchanged cases; an alert's facts use references as well. E-PII."""
    names = ctx.case.known_names
    if names and ctx.subject in _NO_PERSONS:
        for pointer, value in _texts(ctx):
            if mentions(value, names):
                yield Finding(pointer, "a person's name in a message without personal data", "E-PII")
    elif names:
        yield from _named(ctx, names)


def searched_text(ctx: Context) -> str:
    """Return the texts in which no known person may be named (P21), to ask an index of names for."""
    if ctx.subject in _NO_PERSONS:
        return "\n".join(value for _, value in _texts(ctx))
    return _free_text(ctx)[1] or ""


def _texts(ctx: Context) -> Iterator[tuple[str, str]]:
    for pointer, _, value in walk(ctx.data):
        if isinstance(value, str) and not pointer.startswith("/meta/") and not _UUID.fullmatch(value):
            yield pointer, value


def _free_text(ctx: Context) -> tuple[str, str | None]:
    holder, key = _REFERENCES_ONLY.get(ctx.subject, ("", ""))
    return (f"/{holder}/{key}" if holder else f"/{key}"), text(obj(ctx.data, holder) if holder else ctx.data, key)


def _named(ctx: Context, names: Iterable[str]) -> Iterator[Finding]:
    pointer, value = _free_text(ctx)
    if value is not None and mentions(value, names):
        yield Finding(pointer, "names a person: use the reference", "E-PII")


def hidden_characters(ctx: Context) -> Iterator[Finding]:
    """§10 #9: no text anywhere holds control, hidden or bidi characters. E-SCRIPT."""
    # Control characters stand in JSON by their escapes, but for one.
    if ctx.raw.isascii() and b"\\" not in ctx.raw and b"\x7f" not in ctx.raw:
        return
    for pointer, _, value in walk(ctx.data):
        if not isinstance(value, str) or (value.isascii() and value.isprintable()):
            continue
        if (fault := text_fault(value)) is not None:
            yield Finding(pointer, fault, "E-SCRIPT")


def english_texts(ctx: Context) -> Iterator[Finding]:
    """§3.1: a message says the language of its texts, and what the partner must read is in English. E-SCHEMA."""
    language = text(ctx.meta, "language")
    key, member = _ENGLISH.get(ctx.subject, ("", None))
    must = key in ctx.data if member is None else any(text(row, member) for row in rows(ctx.data, key))
    # A type added later may have no language to say.
    if language is None and ctx.subject in BY_SUBJECT:
        yield Finding("/meta/language", "missing", "E-SCHEMA")
    elif must and language != "eng":
        yield Finding("/meta/language", "the texts of this type are in English: eng", "E-SCHEMA")


def no_hit_no_data(ctx: Context) -> Iterator[Finding]:
    """§4.4: NO_HIT returns no data. E-PII."""
    outcomes = {text(answer, "outcome") for answer in rows(ctx.data, "answers")}
    if ctx.subject == "info.response" and outcomes and outcomes <= {"NO_HIT", "NOT_COMPETENT", "REFUSED"}:
        for key in ("persons", "crossings", "candidates"):
            if rows(ctx.data, key):
                yield Finding(f"/{key}", "nothing was found or given, so nothing is sent", "E-PII")


def personal_data(value: str) -> str | None:
    """Return what personal data a text holds by its form, in words, or None (P21)."""
    return next((what for what, pattern in _PATTERNS if pattern.search(value)), None)


def _names_in(ctx: Context) -> Iterable[str]:
    for person in ctx.persons:
        for name in rows(person.data, "names"):
            value = text(name, "fullName")
            if value:
                yield value
