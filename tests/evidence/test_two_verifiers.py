"""A second verifier, written from `docs/evidence.md` with `cryptography` alone, says the same."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.evidence import files as f
from gateway.evidence.bundle import write_bundle
from gateway.evidence.container import write
from gateway.evidence.verify import verify_bundle
from tests.evidence.story import DAY_MS, START_MS, Story, again, files_of

SECOND = Path(__file__).resolve().parents[2] / "docs" / "verify_evidence.py"
HOUR_MS = 3_600_000
TRUE = Story()
BUNDLE = write_bundle(TRUE.parts())


def stories() -> dict[str, tuple[bytes, list[str]]]:
    """Return bundles, good and bad, by name, each with the fingerprints given."""
    found = {"true": (BUNDLE, TRUE.fingerprints), "no fingerprint": (BUNDLE, [])}
    found["one fingerprint"] = (BUNDLE, TRUE.fingerprints[:1])
    found["wrong fingerprint"] = (BUNDLE, [TRUE.fingerprints[0], "12345 " * 8])
    found["redacted"] = (write_bundle(replace(TRUE.parts(), event=None, schema=None)), TRUE.fingerprints)
    story = Story()
    story.status, story.problem = "rejected", "expired"
    found["rejected"] = (write_bundle(story.parts()), story.fingerprints)
    found["no receipt"] = (write_bundle(replace(TRUE.parts(), receipt=None)), TRUE.fingerprints)
    found["another answer in the log"] = (
        write_bundle(replace(TRUE.parts(), logs=(TRUE.parts().logs[0], story.parts().logs[1]))), TRUE.fingerprints,
    )  # fmt: skip
    story = Story()
    story.answer_alone = True
    found["an answer asked for later"] = (write_bundle(story.parts()), story.fingerprints)
    for name, at, cosigned_s in (
        ("revoked, seen before", START_MS + HOUR_MS, START_MS // 1000),
        ("revoked, seen after", START_MS + HOUR_MS, START_MS // 1000 + 7200),
        ("revoked, never seen", START_MS + HOUR_MS, None),
        ("signed after the revocation", START_MS - HOUR_MS, START_MS // 1000),
    ):
        story = Story(cards=False)
        story.id.card()
        story.kh.card()
        story.kh.card(2, issued=at, sig_1={"status": "revoked", "revoked_ms": at})
        story.cosigned_s = cosigned_s
        found[name] = (write_bundle(story.parts()), story.fingerprints)
    story = Story(cards=False)
    story.id.card(issued=START_MS - 81 * DAY_MS)
    story.kh.card()
    found["an expired card"] = (write_bundle(story.parts()), story.fingerprints)
    story = Story()
    story.log_number = 2
    found["a strange log key"] = (write_bundle(story.parts()), story.fingerprints)
    held = files_of(BUNDLE)
    for path in held:
        at = len(held[path]) // 2
        bad = held[path][:at] + bytes([held[path][at] ^ 1]) + held[path][at + 1 :]
        found[f"a byte of {path}"] = (write([*{**held, path: bad}.items()]), TRUE.fingerprints)
    for path in (f.EVENT, f.SCHEMA, "cards/kh.gdi-1.jws", "log/kh.gdi/entries.json"):
        found[f"without {path}, made to fit"] = (again(held, {path: None}), TRUE.fingerprints)
    found["another event, made to fit"] = (again(held, {f.EVENT: TRUE.event.replace(b"H2", b"H1")}), TRUE.fingerprints)
    return found


STORIES = stories()


@pytest.mark.parametrize("name", STORIES)
def test_both_verifiers_agree(name: str, tmp_path: Path) -> None:
    """Exit codes 0 and 3 alike, for what is true and for each sort of fault."""
    raw, fingerprints = STORIES[name]
    (tmp_path / "bundle.zip").write_bytes(raw)
    done = subprocess.run(
        [sys.executable, "-I", str(SECOND), str(tmp_path / "bundle.zip"), *fingerprints],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    verdict = verify_bundle(raw, fingerprints=fingerprints)
    assert done.returncode == (0 if verdict.ok else 3), (done.stdout, verdict.faults)


def test_the_stories_are_of_both_sorts() -> None:
    """Agreement on bad bundles alone, or on good ones alone, would show nothing."""
    good = {name for name, (raw, given) in STORIES.items() if verify_bundle(raw, fingerprints=given).ok}
    assert good == {
        "true", "redacted", "rejected", "no receipt", "an answer asked for later", "revoked, seen before",
    }  # fmt: skip
    assert len(STORIES) > 30


def test_it_needs_cryptography_and_nothing_of_the_gateway() -> None:
    """At most 250 lines, one package beside the standard library."""
    source = SECOND.read_text("utf-8")
    assert len(source.splitlines()) <= 250
    tops = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            tops |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            tops.add((node.module or "").partition(".")[0])
    assert tops - set(sys.stdlib_module_names) == {"cryptography"}
