"""The verifiers alone: what a machine that only checks evidence needs, and what it never does."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.evidence.bundle import write_bundle
from gateway.ledger import entry, note, tiles
from gateway.primitives.merkle import leaf_hash, root
from tests.cli.terminal import ROOT, environment
from tests.evidence.story import START_MS, Story, seed

if TYPE_CHECKING:
    from pathlib import Path

STORY = Story()
ALLOWED = {
    *("gateway", "cryptography", "orjson", "pybase64", "rfc8785", "stdnum"),
    # Of the command line: typer, and what it looks for by itself.
    *("typer", "shellingham", "annotated_doc", "annotated_types", "pydantic", "pydantic_core", "typing_extensions"),
    *("typing_inspection", "_cffi_backend", "_distutils_hack"),
}
WATCHED = """
import sys
told = []
sys.addaudithook(lambda name, _: told.append(name) if name.split(".")[0] in {"socket", "sqlite3", "urllib"} else None)
sys.argv[0] = "gateway"
from gateway.cli.main import _run
code = _run()
import json
found = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
packages = {name.partition(".")[0] for name, file in found.items() if file and "-packages" in file}
print(json.dumps({"code": code, "packages": sorted(packages | {"gateway"}), "told": told}), file=sys.stderr)
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


@pytest.mark.parametrize("what", ["evidence", "audit"])
def test_verifying_loads_no_more_than_it_needs_and_asks_nobody(what: str, tmp_path: Path) -> None:
    """No HTTP, no database, no schema engine in the process; no socket and no database opened; no home named."""
    (tmp_path / "bundle.zip").write_bytes(write_bundle(STORY.parts()))
    folder, vkey = log_folder(tmp_path / "log")
    arguments = {
        "evidence": [str(tmp_path / "bundle.zip"), *(x for one in STORY.fingerprints for x in ("--fingerprint", one))],
        "audit": [str(folder), "--vkey", vkey],
    }[what]
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, what, "verify", *arguments], cwd=tmp_path / "empty", capture_output=True,
        text=True, check=True, env={"PATH": "/nowhere", "PYTHONPATH": str(ROOT), "LANG": environment()["LANG"]},
    )  # fmt: skip
    told = json.loads(done.stderr.splitlines()[-1])
    assert done.stdout.startswith("verified\tyes")
    assert (told["code"], told["told"]) == (0, [])
    assert set(told["packages"]) <= ALLOWED
    assert "cryptography" in told["packages"]
    assert list((tmp_path / "empty").iterdir()) == []
