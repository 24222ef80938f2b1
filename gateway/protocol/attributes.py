"""The attributes of an event, each by itself: its name, its form, whether it must be there.

One table and one pass (protocol.md §4.1, CloudEvents 1.0); what ties attributes together is judged in
`gateway.protocol.event`.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import Finding
from gateway.protocol import members

if TYPE_CHECKING:
    from collections.abc import Iterator

URGENCIES: Final = ("FLASH", "URGENT", "PRIORITY", "ROUTINE", "INFO")
ENVIRONMENTS: Final = ("prod", "test")

SOURCE_PREFIX: Final = "urn:bcx:party:"
TYPE_PREFIX: Final = "bcx."

# Every attribute is judged by one pattern over the whole text, in one pass; what a pattern cannot say
# (calendar, check character, one attribute against another) comes after.
_SHAPES: Final = tuple(
    (name, re.compile(pattern).fullmatch, required)
    for name, pattern, required in (
        ("specversion", r"1\.0", True),
        ("id", members.MESSAGE_ID.pattern, True),
        ("source", SOURCE_PREFIX + members.PARTY.pattern, True),
        ("type", r"(?=.{5,104}\Z)bcx(?:\.[a-z][a-z0-9-]*)+", True),
        ("subject", r"XC-[A-Z]{2}-[0-9]{4}-[0-9]{6}-[0-9A-Z]", False),
        ("time", r"[0-9T:.Z-]{24}", True),
        ("expirytime", r"[0-9T:.Z-]{24}", True),
        ("datacontenttype", r"application/json", True),
        (
            "dataschema",
            r"urn:bcx:schema:[a-z0-9.-]+:(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){2}",
            True,
        ),
        # 32 and 16 bytes: the last character may only carry the bits that are left.
        ("schemadigest", r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", True),
        ("salt", r"[A-Za-z0-9_-]{21}[AQgw]", False),
        ("recipient", members.PARTY.pattern, True),
        ("environment", "|".join(ENVIRONMENTS), True),
        ("streamseq", r"[1-9][0-9]{0,15}", True),
        ("caseseq", r"[1-9][0-9]{0,15}", False),
        ("urgency", "|".join(URGENCIES), True),
        ("handling", r"[A-Z][A-Z0-9]{0,15}(?: [A-Z][A-Z0-9]{0,15})*", True),
        ("inreplyto", members.MESSAGE_ID.pattern, False),
        ("supersedes", members.MESSAGE_ID.pattern, False),
    )
)
_KNOWN: Final = frozenset([name for name, _, _ in _SHAPES] + ["data", "traceparent"])
_ATTRIBUTE_NAME: Final = re.compile(r"[a-z0-9]+")
MOST_FINDINGS: Final = 50  # more help nobody, and a partner may send a hundred thousand wrong names
_LONGEST_ATTRIBUTE: Final = 1024  # of those with a pattern; all true ones are far shorter
TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def misshapen(document: dict[str, Any]) -> list[Finding]:
    """Judge each attribute alone; a null is an attribute that is not there (CloudEvents JSON §2.2)."""
    findings = []
    get = document.get
    for name, fits, required in _SHAPES:
        value = get(name)
        if value is None:
            if required:
                findings.append(Finding(f"/{name}", "missing"))
        elif not isinstance(value, str) or len(value) > _LONGEST_ATTRIBUTE or fits(value) is None:
            findings.append(Finding(f"/{name}", "ill-formed"))
    if not isinstance(get("data"), dict):
        findings.append(Finding("/data", "not an object"))
    if not document.keys() <= _KNOWN:
        findings += islice(_strange(document), MOST_FINDINGS - len(findings))
    return findings


def _strange(document: dict[str, Any]) -> Iterator[Finding]:
    """Judge the attributes this profile does not name; a name came from the peer and is not repeated."""
    for name in document.keys() - _KNOWN:
        if _ATTRIBUTE_NAME.fullmatch(name) is None:
            yield Finding("", "an attribute name that is not lower-case letters and digits")
        elif isinstance(document[name], (dict, list)):
            yield Finding("", "an extension attribute that is not a single value")
