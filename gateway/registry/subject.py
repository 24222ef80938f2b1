"""One schema version as the registry, the wire and the log know it.

1. A version is its bytes; its digest is SHA-256 over RFC 8785 (JCS) of the document, as every message
   carries it (protocol.md §4.1), so that blanks and member order change nothing.
2. The name of a version is its `$id`, `urn:bcx:schema:<subject>:<semver>`; where `$id` is absent the
   registry names it, and the document stays as it was given.
3. Nothing becomes a `SchemaVersion` that `lint` refuses.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, cast

import rfc8785

from gateway import errors
from gateway.errors import Finding
from gateway.primitives import strictjson
from gateway.registry import lint

CaseRule = Literal["opens", "required", "optional", "none"]
CASE_RULES: Final[tuple[CaseRule, ...]] = ("opens", "required", "optional", "none")
URGENCIES: Final = ("FLASH", "URGENT", "PRIORITY", "ROUTINE", "INFO")

MAX_SUBJECT_LENGTH: Final = 100
# A schema as text in a JSON body: what escaping makes of it, and room for the rest.
MAX_REQUEST_BYTES: Final = 4 * lint.MAX_SCHEMA_BYTES
# What cards and events can carry (protocol.md §2, §4.1), less what reads badly: no word begins or ends in `-`.
_WORD: Final = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
SUBJECT_NAME: Final = re.compile(rf"{_WORD}(?:\.{_WORD})*")
RESERVED: Final = frozenset({"void", "all"})
"""`bcx.void` is the protocol's own and has no schema (protocol.md §5); `all` stands for every subject."""
VERSION: Final = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")
_URN: Final = re.compile(r"urn:bcx:schema:([^:]+):([^:]+)")


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """A loaded, linted version of a subject's schema; equal when the same bytes carry the same name.

    `text` is what was registered, byte for byte; `document` is its parsed form and must not be changed;
    `digest` is 32 bytes. `case_rule` comes from `x-case`, `is_manifest` from `x-manifest` (event limit
    10 MiB, protocol.md §4.5), `default_urgency` from `x-default-urgency`.
    """

    subject: str
    version: str
    document: dict[str, Any] = field(repr=False, compare=False)
    text: bytes = field(repr=False)
    digest: bytes
    case_rule: CaseRule = "optional"
    is_manifest: bool = False
    default_urgency: str | None = None

    @property
    def opens_case(self) -> bool:
        """Say whether a message of this type without a case opens one."""
        return self.case_rule == "opens"

    @property
    def urn(self) -> str:
        """Return the name on the wire, `urn:bcx:schema:<subject>:<semver>`."""
        return f"urn:bcx:schema:{self.subject}:{self.version}"


def version_key(version: str) -> tuple[int, int, int]:
    """Return the sort key of `major.minor.patch`; ValueError for anything else, pre-releases included."""
    match = VERSION.fullmatch(version)
    if match is None:
        message = "a version is major.minor.patch, decimal numbers without leading zeros"
        raise ValueError(message)
    return int(match[1]), int(match[2]), int(match[3])


def next_version(latest: str | None, *, compatible: bool) -> str:
    """Return the version of a schema without `$id`: next minor, next major on a break, first 1.0.0."""
    if latest is None:
        return "1.0.0"
    major, minor, _ = version_key(latest)
    return f"{major}.{minor + 1}.0" if compatible else f"{major + 1}.0.0"


def is_subject(name: str) -> bool:
    """Say whether `name` can be a subject: lower-case words joined by `.` or `-`, 100 characters, not reserved."""
    return len(name) <= MAX_SUBJECT_LENGTH and name not in RESERVED and SUBJECT_NAME.fullmatch(name) is not None


# The same bytes are checked, registered and used: 40 ms a shipped schema, each time.
@lru_cache(maxsize=32)
def load_schema(raw: bytes, *, subject: str | None = None, version: str | None = None) -> SchemaVersion:
    """Parse, lint and name a schema as it was given.

    `subject` and `version` are what the caller expects: they must agree with `$id`, and must both be
    given where `$id` is absent. Raises TooLarge over `lint.MAX_SCHEMA_BYTES` and SchemaRefused with a
    finding for each fault; both are RequestError.
    """
    document = parse_document(raw)
    found = list(lint.lint(document))
    found += _root_findings(document)
    named = _name(document, subject, version, found)
    if found or named is None:
        detail = f"the schema has {len(found)} fault(s)"
        raise errors.SchemaRefused(detail, errors=tuple(sorted(found, key=lambda f: f.pointer)))
    return _version(raw, document, *named)


def stored_schema(raw: bytes, *, subject: str, version: str) -> SchemaVersion:
    """Read a version that was registered, which no rule refused then, under its name.

    It is not linted again: that takes seconds of some schemas, and was done in a process that has limits.
    """
    return _version(raw, parse_document(raw), subject, version)


def _version(raw: bytes, document: dict[str, Any], subject: str, version: str) -> SchemaVersion:
    return SchemaVersion(
        subject=subject,
        version=version,
        document=document,
        text=raw,
        digest=digest_of(document),
        case_rule=cast("CaseRule", document.get("x-case", "optional")),
        is_manifest=document.get("x-manifest", False),
        default_urgency=document.get("x-default-urgency"),
    )


def digest_of(document: dict[str, Any]) -> bytes:
    """Return SHA-256 over the JCS form of a document: law 1."""
    return hashlib.sha256(rfc8785.dumps(document)).digest()


def parse_document(raw: bytes) -> dict[str, Any]:
    """Read schema bytes as strict JSON, size first: what is too big is never parsed."""
    if len(raw) > lint.MAX_SCHEMA_BYTES:
        detail = f"a schema is at most {lint.MAX_SCHEMA_BYTES} bytes"
        raise errors.TooLarge(detail)
    try:
        document = strictjson.loads(raw, max_depth=lint.MAX_DEPTH, integers_only=False)
    except strictjson.NotStrict as fault:
        detail = f"the schema is not strict JSON: {fault}"
        raise errors.SchemaRefused(detail, errors=(Finding("", str(fault), "schema-json"),)) from None
    if not isinstance(document, dict):
        detail = "a schema is a JSON object"
        raise errors.SchemaRefused(detail, errors=(Finding("", detail, "schema-json"),))
    return document


def _root_findings(document: dict[str, Any]) -> list[Finding]:
    found = []
    if document.get("x-case", "optional") not in CASE_RULES:
        found.append(Finding("/x-case", f"is one of {', '.join(CASE_RULES)}", "schema-root"))
    if not isinstance(document.get("x-manifest", False), bool):
        found.append(Finding("/x-manifest", "is true or false", "schema-root"))
    urgency = document.get("x-default-urgency")
    if urgency is not None and urgency not in URGENCIES:
        found.append(Finding("/x-default-urgency", f"is one of {', '.join(URGENCIES)}", "schema-root"))
    return found


def _name(
    document: dict[str, Any], subject: str | None, version: str | None, found: list[Finding]
) -> tuple[str, str] | None:
    """Settle subject and version from `$id` and the caller's words; faults are added to `found`."""
    identifier = document.get("$id")
    if identifier is not None:
        match = _URN.fullmatch(identifier) if isinstance(identifier, str) else None
        if match is None:
            found.append(Finding("/$id", "is urn:bcx:schema:<subject>:<semver>, or left out", "schema-id"))
            return None
        if subject is not None and subject != match[1]:
            found.append(Finding("/$id", "names another subject than the one asked for", "schema-id"))
        if version is not None and version != match[2]:
            found.append(Finding("/$id", "names another version than the one asked for", "schema-id"))
        subject, version = match[1], match[2]
    if subject is None or version is None:
        found.append(Finding("/$id", "is missing, and no subject and version were given", "schema-id"))
        return None
    if not is_subject(subject):
        found.append(Finding("/$id", "a subject is lower-case words joined by dots", "schema-id"))
        return None
    try:
        version_key(version)
    except ValueError as fault:
        found.append(Finding("/$id", str(fault), "schema-id"))
        return None
    return subject, version
