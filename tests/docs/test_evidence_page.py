"""`docs/evidence.md` and the code name the same files, gaps, steps."""

from __future__ import annotations

import re

from gateway.evidence import chain, facts, findings
from gateway.evidence import files as f
from tests.docs.pages import listed, rows, words

PAGE = "docs/evidence.md"


def test_the_files_of_a_bundle_are_those_of_the_code() -> None:
    """Each path of the page has its role in the code, and no role is left out."""
    told = {}
    for path, role, *_ in rows(PAGE, "files"):
        [name] = words(path)
        told[name.replace("<party>", "kh.gdi").replace("<version>", "1")] = (words(role) or [None])[0]
    assert told.pop(f.LISTING) is None
    assert {path: f.role_of(path) for path in told} == told
    assert set(told.values()) == {*f.ROLES.values(), "card", *f.LOG_ROLES.values()}


def test_the_gaps_are_those_of_the_code() -> None:
    """In the order in which they are told."""
    assert tuple(words(code)[0] for code, _ in rows(PAGE, "gaps")) == facts.GAPS + facts.UNJUDGED


def test_the_steps_of_the_chain_are_those_of_the_code() -> None:
    """Each step with the entry that means it."""
    told = {words(step)[0]: words(entry)[0] for step, entry, _ in rows(PAGE, "steps") if words(entry)}
    known = {step: typ for typ, step in chain.STEPS.items()}
    known |= {step: typ for (typ, _), step in chain.BY_OUTCOME.items()}
    assert told == known


def test_the_steps_of_the_verifier_are_those_of_the_code() -> None:
    """Numbers and names."""
    told = re.findall(r"^(\d+)\. \*\*([^*]+)\*\*", listed(PAGE, "verifier"), re.MULTILINE)
    assert {int(number): name for number, name in told} == findings.STEPS
