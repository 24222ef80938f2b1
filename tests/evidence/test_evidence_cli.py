"""`gateway evidence`: export from a home, verify where there is none."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from gateway.evidence import files as f
from gateway.evidence.bundle import write_bundle
from tests.cli.terminal import Home, run
from tests.evidence.conftest import EXAMPLE, cosigned, fingerprints
from tests.evidence.story import Story, files_of
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from pathlib import Path

STORY = Story()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Write a true bundle."""
    path = tmp_path / "bundle.zip"
    path.write_bytes(write_bundle(STORY.parts()))
    return path


def given() -> list[str]:
    """Return the options with the true fingerprints."""
    return [text for one in STORY.fingerprints for text in ("--fingerprint", one)]


def test_verify_needs_no_home_and_says_what_is_proved(bundle: Path, tmp_path: Path) -> None:
    """In an empty folder, with an environment that names no home."""
    found = run("evidence", "verify", str(bundle), *given(), cwd=tmp_path)
    assert found.out.startswith("verified\tyes")
    assert "proved: kh.gdi accepted it and signed that" in found.out
    shown = run("evidence", "verify", str(bundle), *given(), "-o", "json").json
    assert shown["verified"] is True
    assert shown["trusted"] == ["id.imigrasi", "kh.gdi"]
    assert shown["faults"] == []


def test_without_fingerprints_it_exits_3(bundle: Path) -> None:
    """The rest is checked, and nobody is trusted."""
    found = run("evidence", "verify", str(bundle), code=3)
    assert "trusted by nobody" in found.out
    assert found.out.count("fault: ") == 1
    assert "ask id.imigrasi and kh.gdi" in found.err
    assert "--fingerprint" in found.err
    assert "another copy" not in found.err
    assert "another copy" in run("evidence", "verify", str(bundle), *given()[:2], code=3).err


def test_every_fault_is_printed_with_its_meaning(bundle: Path) -> None:
    """One line each: step, file, what, meaning."""
    raw = bytearray(bundle.read_bytes())
    for path in (f.EVENT, f.RECEIPT):
        at = raw.index(files_of(bytes(raw))[path])
        raw[at + 300] ^= 1
    bundle.write_bytes(raw)
    found = run("evidence", "verify", str(bundle), *given(), code=3)
    for path in (f.EVENT, f.RECEIPT):
        assert any(line.startswith("fault: step") and path in line for line in found.out.splitlines())
    faults = run("evidence", "verify", str(bundle), *given(), "-o", "json", code=3).json["faults"]
    assert all(fault["meaning"] and fault["about"] for fault in faults)


@pytest.mark.parametrize(
    ("options", "says"),
    [(["--fingerprint", "12345"], "eight groups"), (["--vkey", "kh.gdi/bcx/log/1+00"], "--vkey"), ([], "no such file")],
)
def test_what_cannot_be_used_is_told(bundle: Path, options: list[str], says: str) -> None:
    """A mistyped fingerprint or key, a file that is not there: exit 2, and what to do."""
    name = str(bundle) if options else str(bundle) + "x"
    assert says in run("evidence", "verify", name, *options, code=2).fault


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[str]]:
    """Have a message accepted and cosigned, then stop both gateways; return home, id and fingerprints."""
    folder = tmp_path_factory.mktemp("pair")
    async with Pair(folder) as pair:
        [sent] = await pair.a.submit(example(EXAMPLE))
        await pair.settle()
        for side in pair.sides:
            await cosigned(side)
        return folder / "id.imigrasi", sent.jti, fingerprints(pair)


def test_a_recipient_at_rest_signs_no_receipt(home: tuple[Path, str, list[str]], tmp_path: Path) -> None:
    """Nothing runs, so nobody has said that this log is the newest: its entries are proved, the receipt is a gap."""
    path, jti, prints = home
    shutil.copytree(path.with_name("kh.gdi"), tmp_path / "home")
    target = tmp_path / "bundle.zip"
    here = Home(tmp_path / "home")
    here.env["GATEWAY_TOKEN"] = here.json("user", "add", "sri", "--role", "supervisor")["token"]
    shown = here.json("evidence", "export", jti, str(target), "--whole", "--purpose", "INVESTIGATION")
    assert shown["lacking"] == ["no-receipt"]
    trusted = [text for one in prints for text in ("--fingerprint", one)]
    assert run("evidence", "verify", str(target), *trusted).out.startswith("verified\tyes")


@pytest.mark.parametrize("redacted", [False, True])
def test_export_then_verify(home: tuple[Path, str, list[str]], tmp_path: Path, redacted: bool) -> None:
    """From a home on which nothing runs, partner away: redacted or, for a supervisor, whole; never written over."""
    path, jti, prints = home
    shutil.copytree(path, tmp_path / "home")
    here, target = Home(tmp_path / "home"), tmp_path / "bundle.zip"
    options = [] if redacted else ["--whole", "--purpose", "INVESTIGATION"]
    token = None if redacted else here.json("user", "add", "sri", "--role", "supervisor")["token"]
    here.env |= {} if token is None else {"GATEWAY_TOKEN": token}
    shown = here.json("evidence", "export", jti, str(target), *options)
    here.env.clear()
    assert shown["bytes"] == target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600
    assert ("redacted" in shown["lacking"]) is redacted
    assert (f.EVENT in files_of(target.read_bytes())) is not redacted
    trusted = [text for one in prints for text in ("--fingerprint", one)]
    assert run("evidence", "verify", str(target), *trusted).out.startswith("verified\tyes")
    assert here.run("evidence", "export", jti, str(target), code=6).fault
    [entry] = here.json("audit", "search", "--type", "evidence.exported")
    assert (entry["message"], entry["outcome"]) == (jti, "redacted" if redacted else "whole")


def test_a_message_that_is_not_there_is_not_found(home: tuple[Path, str, list[str]], tmp_path: Path) -> None:
    """Exit 5, and no file."""
    path, _, _ = home
    shutil.copytree(path, tmp_path / "home")
    target = tmp_path / "bundle.zip"
    Home(tmp_path / "home").run("evidence", "export", "01935b2c-0000-7000-8000-000000000001", str(target), code=5)
    assert not target.exists()


def test_the_listing_is_readable_by_people(bundle: Path) -> None:
    """`manifest.json` says what the bundle is about in its first lines."""
    listing = json.loads(files_of(bundle.read_bytes())[f.LISTING])
    assert list(listing)[:5] == ["format", "message", "sender", "recipient", "exporter"]
