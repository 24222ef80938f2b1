"""The verifiers alone: what a machine that only checks evidence needs, and what it never does."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, requires
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

from gateway.evidence.bundle import write_bundle
from gateway.ledger import entry, note, tiles
from gateway.primitives.merkle import leaf_hash, root
from tests.cli.terminal import ROOT, environment
from tests.evidence.story import START_MS, Story, seed

if TYPE_CHECKING:
    from pathlib import Path

STORY = Story()
DEPENDENCIES: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
WATCHED = """
import sys
told = []
sys.addaudithook(lambda name, _: told.append(name) if name.split(".")[0] in {"socket", "sqlite3", "urllib"} else None)
sys.path[:0] = [sys.argv.pop(1)]
sys.argv[0] = "gateway"
from gateway.cli.main import _run
code = _run()
import json
packages = sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names)
print(json.dumps({"code": code, "packages": packages, "told": told}), file=sys.stderr)
"""


def log_folder(folder: Path) -> tuple[Path, str]:
    """Write an exported log of three entries; return it with its key."""
    signer = note.NoteSigner.from_seed("id.imigrasi/bcx/log/1", note.ED25519, seed("log"))
    entries = [
        entry.build(
            seq=at, at_ms=START_MS + at, typ="gateway.started", actor_sub="gateway", actor_role="system",
            obj_kind="epoch", obj_id=str(at), salt=bytes(16),
        )
        for at in range(3)
    ]  # fmt: skip
    hashes = [leaf_hash(data) for data in entries]
    folder.mkdir()
    (folder / "checkpoint").write_text(note.sign_checkpoint(3, root(hashes), signer))
    for path, content in tiles.export_files(
        3, lambda start, end: entries[start:end], lambda level, _: [] if level else hashes
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder, signer.key.vkey


def brought(wanted: list[str]) -> set[str]:
    """Return what pip brings for requirements on this machine, what those require included."""
    found: set[str] = set()
    todo = [Requirement(text) for text in wanted]
    while todo:
        one = todo.pop()
        if one.name in found or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(one.name.lower().replace("_", "-"))
        todo += [Requirement(text) for text in requires(one.name) or ()]
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that `pip install .` would fill: the gateway and what it depends on without an extra."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "gateway").symlink_to(ROOT / "gateway")
    for name in brought(DEPENDENCIES):
        one = distribution(name)
        for top in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            (folder / top).symlink_to(str(one.locate_file(top)))
    return folder


def run_alone(alone: Path, here: Path, *arguments: str) -> tuple[str, list[str], dict[str, Any]]:
    """Run the command line on that folder alone; return what it said, and what it loaded and opened."""
    here.mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", WATCHED, str(alone), *arguments], cwd=here, capture_output=True, text=True,
        check=True, env={"PATH": "/nowhere", "LANG": environment()["LANG"]},
    )  # fmt: skip
    assert list(here.iterdir()) == []
    *said, told = done.stderr.splitlines()
    return done.stdout, said, json.loads(told)


def test_pip_brings_nothing_a_verifier_does_not_need() -> None:
    """No HTTP, no database, no schema engine: what is brought is what `requirements/verify.txt` pins."""
    text = (ROOT / "config/requirements/verify.txt").read_text()
    pinned = [Requirement(line.rstrip(" \\")) for line in text.splitlines() if not line.startswith(" ")]
    assert brought(DEPENDENCIES) == {one.name for one in pinned if one.marker is None or one.marker.evaluate()}


@pytest.mark.parametrize("what", ["evidence", "audit"])
def test_verifying_needs_no_more_than_pip_brings_and_asks_nobody(what: str, alone: Path, tmp_path: Path) -> None:
    """Nothing else is on the machine; no socket and no database opened; no home named; nothing written."""
    (tmp_path / "bundle.zip").write_bytes(write_bundle(STORY.parts()))
    folder, vkey = log_folder(tmp_path / "log")
    arguments = {
        "evidence": [str(tmp_path / "bundle.zip"), *(x for one in STORY.fingerprints for x in ("--fingerprint", one))],
        "audit": [str(folder), "--vkey", vkey],
    }[what]
    out, _, told = run_alone(alone, tmp_path / "empty", what, "verify", *arguments)
    assert out.startswith("verified\tyes")
    assert (told["code"], told["told"]) == (0, [])
    if what == "evidence":
        # rich draws tables, for a terminal only.
        assert {"cryptography", "orjson", "pybase64", "rfc8785", "stdnum", "typer"} <= set(told["packages"])


def test_what_needs_a_gateway_says_how_to_install_one(alone: Path, tmp_path: Path) -> None:
    """One line and the fix, where a module is not there."""
    for at, command in enumerate((["serve"], ["doctor"], ["demo", "--exit"])):
        _, said, told = run_alone(alone, tmp_path / str(at), *command, "--home", str(tmp_path / "home"))
        assert told["code"] == 2, command
        assert len(said) == 1
        assert "pip install '.[runtime]'" in said[0]
