"""The bundle: bytes that depend on nothing but what goes in, and files that people can read."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from gateway.errors import MalformedProof
from gateway.evidence import chain, facts, words
from gateway.evidence import files as f
from gateway.evidence.bundle import write_bundle
from gateway.evidence.container import read, write
from gateway.evidence.guide import climb
from gateway.evidence.verify import verify_bundle
from gateway.primitives import merkle
from tests.docs.pages import ROOT
from tests.evidence.golden import FOLDER, GOLDEN
from tests.evidence.story import CANARY, DAY_MS, SCHEMA, START_MS, Story, again, files_of, seed

if TYPE_CHECKING:
    from pathlib import Path

PARTS = Story().parts()
RAW = write_bundle(PARTS)
FILES = files_of(RAW)


def test_the_same_parts_give_the_same_bytes() -> None:
    """No clock, no chance, no order of a set."""
    assert write_bundle(replace(PARTS)) == RAW


@pytest.mark.parametrize("environment", [{"PYTHONHASHSEED": "1", "TZ": "Asia/Jakarta"}, {"LC_ALL": "C", "TZ": "UTC"}])
def test_another_machine_makes_the_same_bytes(environment: dict[str, str], tmp_path: Path) -> None:
    """Read and written again in another process: other hash seed, time zone and locale."""
    (tmp_path / "bundle.zip").write_bytes(RAW)
    program = (
        "import json, sys; from gateway.evidence import container, files, bundle; from pathlib import Path\n"
        "held = dict(container.read(Path(sys.argv[1]).read_bytes()))\n"
        "parts = files.read_parts(held, json.loads(held[files.LISTING]), [])\n"
        "sys.stdout.buffer.write(bundle.write_bundle(parts))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "bundle.zip")], capture_output=True, check=True,
        env={"PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    assert done.stdout == RAW


@pytest.mark.parametrize("name", GOLDEN)
def test_a_bundle_that_is_out_in_the_world_verifies_for_ever(name: str) -> None:
    """Page and guide are compared word by word: another word is another format (see `golden.py`)."""
    raw = (FOLDER / name).read_bytes()
    verdict = verify_bundle(raw, fingerprints=Story().fingerprints)
    assert verdict.faults == ()
    assert verdict.parts is not None
    assert write_bundle(verdict.parts) == raw


def test_files_and_parts_are_two_forms_of_one_thing() -> None:
    """What is written is read back."""
    faults: list[tuple[str, str]] = []
    assert f.read_parts(FILES, json.loads(FILES[f.LISTING]), faults) == PARTS
    assert faults == []


def test_the_tenth_card_stands_behind_the_ninth() -> None:
    """Files sort by name, cards by number: the page made from what was read is the one that was written."""
    story = Story(cards=False)
    for party in (story.id, story.kh):
        for version in (9, 10, 100):
            party.card(version, issued=START_MS - DAY_MS + version)
    parts = story.parts()
    raw = write_bundle(parts)
    assert verify_bundle(raw, fingerprints=story.fingerprints).faults == ()
    assert write_bundle(replace(parts, cards=parts.cards[::-1], logs=parts.logs[::-1])) == raw


def test_any_unzip_reads_it() -> None:
    """The container is a zip, whole by its own check sums, nothing compressed, no time told."""
    with zipfile.ZipFile(io.BytesIO(RAW)) as archive:
        assert archive.testzip() is None
        assert {one.filename: archive.read(one) for one in archive.infolist()} == FILES
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert [path for path, _ in read(RAW)] == [f.LISTING, *sorted(FILES.keys() - {f.LISTING})]


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", RAW[:200], b"x" + RAW, bytes(64 * 1024 * 1024 + 1)])
def test_what_is_no_container_is_refused(raw: bytes) -> None:
    """With a fault of ours, never an exception of a parser's."""
    with pytest.raises(MalformedProof):
        read(raw)


def test_a_container_of_nothing_is_empty() -> None:
    """The smallest zip there is: the end of its directory."""
    assert write([]) == b"PK\x05\x06" + bytes(18)


def test_the_list_names_each_file_with_its_role_and_digest() -> None:
    """`manifest.json` is the list the issue of a bundle begins with."""
    listing = json.loads(FILES[f.LISTING])
    assert listing["format"] == "bcx-evidence/1"
    assert [row["path"] for row in listing["files"]] == sorted(FILES.keys() - {f.LISTING})
    for row in listing["files"]:
        assert row["sha256"] == sha256(FILES[row["path"]]).hexdigest()
        assert row["role"] == f.role_of(row["path"])


def test_a_redacted_bundle_shows_the_digest_only() -> None:
    """Neither event nor what it says of itself is in any file of it."""
    raw = write_bundle(replace(PARTS, event=None, schema=None))
    assert CANARY.encode() in RAW
    for secret in (CANARY, "XC-ID-2026-000123-8", "case.referral", "URGENT"):
        assert secret.encode() not in raw


# --- the page -----------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Reads the page as a browser would: tags, attributes, text a language."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = dict.fromkeys(words.LANGUAGES, "")
        self._language = "en"
        self.feed(raw.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and its attributes."""
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag == "section":
            self._language = dict(attrs)["lang"] or ""

    def handle_data(self, data: str) -> None:
        """Add to the text of the section."""
        self.text[self._language] += data


def test_the_page_runs_and_loads_nothing() -> None:
    """One file: no script, no image, no address, no handler; its own policy forbids them too."""
    page = Page(FILES[f.PAGE])
    assert not {"script", "img", "link", "iframe", "object", "form"} & set(page.tags)
    assert not any(name.startswith("on") or name in {"src", "srcset"} for name in page.attributes)
    assert b"default-src 'none'" in FILES[f.PAGE]
    assert b"://" not in FILES[f.PAGE]
    assert b"@media print" in FILES[f.PAGE]
    assert page.tags.count("h1") == 1


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_each_language_has_the_whole_story(language: str) -> None:
    """Ids, digests, times and fingerprints stand in each; and the words are that language's own."""
    text = Page(FILES[f.PAGE]).text[language]
    story = Story()
    for part in (
        PARTS.message,
        "XC-ID-2026-000123-8",
        "2026-11-24 02:00:00.050",
        *story.fingerprints,
        "H0 H2",
        words.word("test", language),
    ):
        assert part in text
    for key in ("accepted", "steps", "cosigned", "checking", "delivered", "sent"):
        assert words.word(key, language) in text


def test_the_page_shows_no_case_data() -> None:
    """Type, case reference, urgency and handling are all that comes from the event."""
    assert CANARY.split()[0].encode() not in FILES[f.PAGE]
    assert CANARY.split()[0].encode() not in FILES[f.GUIDE]


def test_every_word_exists_three_times_and_differs() -> None:
    """No language is left with another one's text."""
    for key in words.keys():  # noqa: SIM118 - a function, not a mapping
        texts = [words.word(key, language) for language in words.LANGUAGES]
        assert all(texts)
        assert re.search(r"[\u1780-\u17ff]", texts[2]), key
        assert not re.search(r"[\u1780-\u17ff]", texts[0] + texts[1]), key


def test_every_gap_and_step_has_words() -> None:
    """What a bundle may lack and what a log may say is told in words."""
    assert set(facts.GAPS) <= words.keys()
    for step in {*chain.STEPS.values(), "delivered", "rejected", "received", "refused"} - {"exported"}:
        assert words.step_word(step, "id") != step
    for role in ("system", "partner", "client", "officer", "supervisor", "operator", "auditor"):
        assert words.role_word(role, "km") != role


def test_hostile_text_stays_text() -> None:
    """A party's name is whatever the party wrote."""
    story = Story(cards=False)
    for party in (story.id, story.kh):
        party.card(name="<b onclick=x>&\"'")
    page = files_of(write_bundle(story.parts()))[f.PAGE]
    assert b"<b onclick" not in page
    assert b"&lt;b onclick=x&gt;&amp;" in page


# --- the guide ----------------------------------------------------------------------------------------


def test_the_path_by_hand_leads_where_the_verifier_says() -> None:
    """Every leaf of every tree of 1 to 40: the last value by hand is the root."""
    for size in range(1, 41):
        leaves = [seed(size, at) for at in range(size)]
        for at, leaf in enumerate(leaves):
            path = merkle.inclusion_path(leaves, at)
            steps = climb(leaf, at, size, path)
            assert [step.sibling for step in steps] == path
            assert (steps[-1].result if steps else leaf) == merkle.root(leaves)


# `openssl` before 3.5 knows no ML-DSA: its long keys are judged by `cryptography`, the rest is left to it.
OPENSSL = f"""#!/bin/sh
for word; do case $last in -inkey) key=$word ;; -in) data=$word ;; -sigfile) sig=$word ;; esac; last=$word; done
[ "$(wc -c < "$key")" -gt 1000 ] || exec "$REAL" "$@"
exec {sys.executable} -c '
import sys
from pathlib import Path
from cryptography.hazmat.primitives.serialization import load_der_public_key
key, data, sig = (Path(one).read_bytes() for one in sys.argv[1:])
load_der_public_key(key).verify(sig, data)
print("Signature Verified Successfully")
' "$key" "$data" "$sig"
"""


def by_hand(raw: bytes, folder: Path) -> str:
    """Do every command of a bundle's `VERIFY.md` in one shell, as if pasted; return what is said."""
    (folder / "openssl").write_text(OPENSSL)
    (folder / "openssl").chmod(0o755)
    (folder / "FILE.zip").write_bytes(raw)
    guide = files_of(raw)[f.GUIDE].decode()
    rows = re.findall(r"^    (?![0-9a-f]{64}  )(.*)$", guide, re.MULTILINE)
    done = subprocess.run(
        ["sh"], input="\n".join(rows), text=True, cwd=folder, check=False, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=60, env={
            "PATH": f"{folder}:{os.environ['PATH']}", "REAL": shutil.which("openssl") or "", "TMPDIR": str(folder),
            "LC_ALL": "C.UTF-8",
        },
    )  # fmt: skip
    return done.stdout


def test_the_guide_can_be_followed_by_hand_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    """Every command of `VERIFY.md` is run: all signatures hold, and each value is the one that stands beside it."""
    said = by_hand(RAW, tmp_path)
    guide = FILES[f.GUIDE].decode()
    # Two cards, the manifest and the receipt twice each; the receipt's checkpoint; each log by its owner and a witness.
    assert said.count("Signature Verified Successfully") == 2 * 4 + 1 + 2 * 2, said
    assert said.count(": OK\n") == len(FILES) - 1
    assert "\nsame\n" in said
    beside = re.findall(r"# ([0-9a-f]{64})$", guide, re.MULTILINE)
    assert len(beside) >= 10
    for value in [*beside, PARTS.digest.hex(), sha256(PARTS.manifest).hexdigest(), sha256(SCHEMA).hexdigest()]:
        assert value in said, value
    for wanted in (*Story().fingerprints, "2026-11-24 02:00:02 UTC", '"status":"accepted"', '"leaf":4'):
        assert wanted in said, wanted
    for trouble in ("Failure", "rror", "not found", "FAILED", "< ", "> "):
        assert trouble not in said, said


def test_the_guide_shows_a_signature_that_does_not_hold(tmp_path: Path) -> None:
    """A forger who makes list, page and guide fit still meets the commands that check what was signed."""
    at = FILES[f.RECEIPT].index(b'"payload"') + 200
    bent = FILES[f.RECEIPT][:at] + bytes((FILES[f.RECEIPT][at] ^ 1,)) + FILES[f.RECEIPT][at + 1 :]
    said = by_hand(again(FILES, {f.RECEIPT: bent}), tmp_path)
    assert "Signature Verification Failure" in said
    assert "InvalidSignature" in said
    assert said.count("Signature Verified Successfully") < 13


def test_the_guide_names_no_type_of_entry_that_its_writer_made_up() -> None:
    """What a partner's log says must not put a line into commands that people paste into a shell."""
    story = Story()
    parts = story.parts()
    log = parts.logs[1]
    hostile = story.entry(5, START_MS, "x\n\n    rm -rf ~\n")
    changed = replace(log, entries=(*log.entries, replace(log.entries[0], index=5, data=hostile)))
    guide = files_of(write_bundle(replace(parts, logs=(parts.logs[0], changed))))[f.GUIDE].decode()
    assert "rm -rf" not in guide
    assert "Entry 5, `unknown`" in guide
