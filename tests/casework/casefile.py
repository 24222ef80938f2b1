"""The shipped examples as the policies see them, and ways to spoil them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.casework.codelists import CodeLists
from gateway.casework.policies import NOTHING_KNOWN, CaseFacts, Context, MessageFacts, review
from gateway.casework.policies.keeping import class_maximum

if TYPE_CHECKING:
    from gateway.errors import Finding

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "schemas"
NOW_MS = 1_795_478_400_000  # 2026-11-24T00:00:00Z
ASKED = "01900000-0000-7000-8000-000000000001"

Spoil = Callable[[dict[str, Any]], object]


@cache
def codelists() -> CodeLists:
    """Return the shipped code lists."""
    return CodeLists.load({path.name: path.read_bytes() for path in (SCHEMAS / "codelists").glob("*.json")})


@cache
def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / "examples" / f"{name}.json").read_bytes())
    return found


def example_names() -> list[str]:
    """Return `type/name` of every shipped example."""
    return sorted(f"{path.parent.name}/{path.stem}" for path in (SCHEMAS / "examples").glob("*/*.json"))


def message(name: str, spoil: Spoil | None = None, **changes: Any) -> MessageFacts:
    """Return a shipped example as a message from the other party, its data spoilt in place, then changed."""
    example = copy.deepcopy(_read(name))
    data = example["data"]
    data["meta"].setdefault("language", "eng")
    retention = data["meta"]["retention"]
    last = class_maximum(retention["class"], NOW_MS)
    if last is not None:
        retention.setdefault("deleteBy", last.isoformat())
    if spoil is not None:
        spoil(data)
    given: dict[str, Any] = {
        "subject": example["type"],
        "data": data,
        "handling": tuple(example["handling"]),
        "urgency": example["urgency"],
        "sender": "id.imigrasi" if example["recipient"] == "kh.gdi" else "kh.gdi",
        "recipient": example["recipient"],
        "environment": "test",
        "time_ms": NOW_MS,
        "in_reply_to": ASKED if example["type"].endswith("response") else None,
    }
    return MessageFacts(**{**given, **changes})


def in_force(code: str, reference: str, at_ms: int) -> bool:
    """Know the instrument of the examples, from its first moment on."""
    known = {("ART56_3_BINDING_INSTRUMENT", "TEST-INSTRUMENT"), ("KH_ORIGIN_MOI_RULES", "TEST-INSTRUMENT")}
    return (code, reference) in known and at_ms >= NOW_MS


def consent_or_instrument(code: str, reference: str, at_ms: int) -> bool:
    """Know any consent beside the instrument of the examples."""
    return (code == "ART56_4_CONSENT" and bool(reference)) or in_force(code, reference, at_ms)


def judge(facts: MessageFacts, case: CaseFacts = NOTHING_KNOWN) -> tuple[Finding, ...]:
    """Review with the shipped lists and the examples' instrument."""
    return review(facts, codelists=codelists(), case=case, transfer=consent_or_instrument)


def context(facts: MessageFacts, case: CaseFacts = NOTHING_KNOWN) -> Context:
    """Return the context of one policy."""
    return Context(facts, case, consent_or_instrument, codelists())


def codes(findings: tuple[Finding, ...]) -> set[str | None]:
    """Return the codes of findings."""
    return {finding.code for finding in findings}


def places(findings: tuple[Finding, ...]) -> set[tuple[str | None, str]]:
    """Return (code, pointer) of findings."""
    return {(finding.code, finding.pointer) for finding in findings}
