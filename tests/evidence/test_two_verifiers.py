"""A second verifier, written from `docs/evidence.md` with `cryptography` alone, says the same."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from gateway.evidence import files as f
from gateway.evidence.bundle import write_bundle
from gateway.evidence.container import write
from gateway.evidence.findings import LIST, LOG, OWN_LOG, PAGES, STAMP
from gateway.evidence.verify import verify_bundle
from tests.docs.pages import listed
from tests.evidence.story import DAY_MS, START_MS, Story, again, files_of, unsent
from tests.support.tsa import OpensslAuthority

SECOND = Path(__file__).resolve().parents[2] / "docs" / "verify_evidence.py"
HOUR_MS = 3_600_000
TRUE = Story()
BUNDLE = write_bundle(TRUE.parts())


def strange_receipt() -> bytes:
    """Return a true receipt whose checkpoint is signed by a key that no card names."""
    story = Story()
    story.log_number = 2
    receipt = story.parts().receipt
    assert receipt is not None
    return receipt


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
    found["never sent"] = (write_bundle(unsent(TRUE)), TRUE.fingerprints)
    for name, bent in {
        "never sent, with a receipt": {"receipt": TRUE.parts().receipt},
        "never sent, with a manifest": {"manifest": TRUE.parts().manifest},
        "never sent, without a log": {"logs": ()},
        "never sent, and sent by its log": {"logs": TRUE.parts().logs[:1]},
        "never sent, with a place": {"place": 1},
    }.items():
        found[name] = (write_bundle(replace(unsent(TRUE), **bent)), TRUE.fingerprints)
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
    # Flags, method, sizes of the first directory record: what Python's reader of zips has an error of its own for.
    record = BUNDLE.index(b"PK\x01\x02")
    for at in range(record, record + 46):
        bad = BUNDLE[:at] + bytes([BUNDLE[at] ^ 1]) + BUNDLE[at + 1 :]
        found[f"byte {at - record} of the directory"] = (bad, TRUE.fingerprints)
    found["more behind the end"] = (BUNDLE + b"more", TRUE.fingerprints)
    found["a third party's export"] = (write_bundle(replace(TRUE.parts(), exporter="sg.ica")), TRUE.fingerprints)
    found["a receipt of another history"] = (
        write_bundle(replace(TRUE.parts(), receipt=strange_receipt())), TRUE.fingerprints,
    )  # fmt: skip
    held = files_of(BUNDLE)
    found["another order of files"] = (write(sorted(held.items(), reverse=True)), TRUE.fingerprints)
    compact = json.dumps(json.loads(held[f.LISTING])).encode()
    found["a list in one line"] = (write([*{**held, f.LISTING: compact}.items()]), TRUE.fingerprints)
    found["a file of no role"] = (again(held, {"notes.txt": b"hello"}), TRUE.fingerprints)
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
    verdict = verify_bundle(raw, fingerprints=fingerprints)
    assert second(tmp_path / "bundle.zip", raw, fingerprints) == (0 if verdict.ok else 3), verdict.faults


@pytest.mark.parametrize("name", ["true", "rejected", "a byte of receipt.jws", "more behind the end"])
def test_it_runs_alone(name: str, tmp_path: Path) -> None:
    """As a program, without this folder on its path; what it cannot read is a fault and no traceback."""
    raw, fingerprints = STORIES[name]
    (tmp_path / "bundle.zip").write_bytes(raw)
    done = subprocess.run(
        [sys.executable, "-I", str(SECOND), str(tmp_path / "bundle.zip"), *fingerprints],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    good = name in {"true", "rejected"}
    assert (done.returncode, done.stdout == "verified\n") == (0 if good else 3, good)


CODE = compile(SECOND.read_text("utf-8"), str(SECOND), "exec")


def second(path: Path, raw: bytes, fingerprints: list[str]) -> int:
    """Return the second verifier's exit code, in this process: a fresh module each time, as it keeps what it found."""
    path.write_bytes(raw)
    module: dict[str, Any] = {"__name__": "second"}
    exec(CODE, module)  # noqa: S102 - a file of ours
    with redirect_stdout(StringIO()):
        return module["main"](str(path), *fingerprints)


def test_both_find_every_flipped_byte(tmp_path: Path) -> None:
    """Every 97th byte of a bundle, in every file, header and directory: the first one's corpus; `make faults` has all.

    That the first one finds them, its own test says.
    """
    path = tmp_path / "bundle.zip"
    assert second(path, BUNDLE, TRUE.fingerprints) == 0
    flips = (BUNDLE[:at] + bytes([BUNDLE[at] ^ 1]) + BUNDLE[at + 1 :] for at in range(0, len(BUNDLE), 97))
    assert {second(path, raw, TRUE.fingerprints) for raw in flips} == {3}


def test_a_stamp_is_listed_and_left_to_others(tmp_path: Path) -> None:
    """A bundle with a timestamp verifies with both; the second one judges none of it but that it is as listed."""
    parts = TRUE.parts()
    stamped = TRUE.stamp(TRUE.id, parts.logs[0], OpensslAuthority(tmp_path / "tsa"))
    raw = write_bundle(replace(parts, logs=(stamped, parts.logs[1])))
    assert verify_bundle(raw, fingerprints=TRUE.fingerprints).ok
    assert second(tmp_path / "bundle.zip", raw, TRUE.fingerprints) == 0
    token = files_of(raw)["log/id.imigrasi/timestamp.tsr"]
    at = raw.index(token) + len(token) // 2
    assert second(tmp_path / "bundle.zip", raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :], TRUE.fingerprints) == 3


def left_out(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return forged bundles that the second verifier takes, by what it leaves out, with the step the first finds."""
    parts, held = TRUE.parts(), files_of(BUNDLE)
    ours, theirs = parts.logs
    forked = TRUE.log(TRUE.kh, TRUE.id, [
        TRUE.entry(4, TRUE.received_ms, "message.received", actor_sub="id.imigrasi", outcome="accepted"),
        TRUE.entry(7, TRUE.received_ms, "message.received", outcome="accepted"),
    ])  # fmt: skip
    other = TRUE.log(TRUE.id, TRUE.kh, [TRUE.entry(2, START_MS, "case.changed")])
    stamped = TRUE.stamp(TRUE.id, ours, OpensslAuthority(folder / "tsa"))
    assert stamped.stamp is not None
    backdated = replace(stamped, stamp=replace(stamped.stamp, path=stamped.stamp.path[:-1]))
    compact = json.dumps(json.loads(held[f.PLACE])).encode()
    return {
        "form": (again(held, {f.PLACE: compact}), LIST),
        "the receipt's checkpoint": (
            write_bundle(replace(parts, logs=(ours, replace(forked, entries=forked.entries[:1])))), LOG
        ),
        "types of entries": (write_bundle(replace(parts, logs=(other, theirs))), OWN_LOG),
        "the page and the guide": (again(held, {f.PAGE: b"<p>accepted</p>"}), PAGES),
        "the timestamp": (write_bundle(replace(parts, logs=(backdated, theirs))), STAMP),
    }  # fmt: skip


def test_what_the_second_leaves_out_is_what_the_page_says(tmp_path: Path) -> None:
    """Each forgery that fits itself, found by the first and taken by the second, is named in `docs/evidence.md`."""
    named = re.findall(r"^\* \*\*(.+?)\*\*", listed("docs/evidence.md", "second"), re.MULTILINE)
    forged = left_out(tmp_path)
    assert set(forged) <= set(named)
    assert set(named) - set(forged) == {"keys", "further keys", "the rest"}
    for name, (raw, step) in forged.items():
        assert {fault.step for fault in verify_bundle(raw, fingerprints=TRUE.fingerprints).faults} == {step}, name
        assert second(tmp_path / "bundle.zip", raw, TRUE.fingerprints) == 0, name


def test_the_stories_are_of_both_sorts() -> None:
    """Agreement on bad bundles alone, or on good ones alone, would show nothing."""
    good = {name for name, (raw, given) in STORIES.items() if verify_bundle(raw, fingerprints=given).ok}
    assert good == {
        "true", "redacted", "rejected", "no receipt", "never sent", "an answer asked for later", "revoked, seen before",
    }  # fmt: skip
    assert len(STORIES) > 30


@pytest.mark.parametrize(
    ("args", "code"),
    [([], 2), (["--help"], 0), (["/nowhere.zip"], 2), (["BUNDLE", "12345"], 2), (["BUNDLE", "--fingerprint"], 2)],
    ids=["nothing", "help", "no such file", "no fingerprint", "an option"],
)
def test_it_says_how_it_is_used(tmp_path: Path, args: list[str], code: int) -> None:
    """Exit 2 and the usage, never a traceback; help is asked for and goes to stdout."""
    (tmp_path / "bundle.zip").write_bytes(BUNDLE)
    words = [str(tmp_path / "bundle.zip") if word == "BUNDLE" else word for word in args]
    done = subprocess.run([sys.executable, str(SECOND), *words], capture_output=True, text=True, check=False)
    assert done.returncode == code
    shown, other = (done.stdout, done.stderr) if code == 0 else (done.stderr, done.stdout)
    assert "usage: python3 verify_evidence.py FILE.zip" in shown
    assert other == ""


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
