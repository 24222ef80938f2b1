"""A 100 MiB file through two real gateways: taken, carried, opened, read; each process grows by 16 MiB at most.

The shipped catalogue allows 10 MiB a file, so the two run from a copy of the gateway whose catalogue allows more:
limits of the catalogue are policy on top of what the gateway can carry.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil
import pytest

from tests.support.pair import example, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024
SIZE = 100 * MIB
CATALOGUE_MOST = 256 * MIB
GROWTH_MOST = 16 * MIB
WARM = 2 * MIB
KIND = "EVIDENTIAL_ORIGINAL"


def install(folder: Path) -> None:
    """Copy the gateway, with a catalogue that takes large originals."""
    for name in ("gateway", "schemas", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    codes = folder / "schemas/codelists/attachmentType.json"
    listed = json.loads(codes.read_text("utf-8"))
    for code in listed["codes"]:
        if code["code"] == KIND:
            code["maxBytes"] = CATALOGUE_MOST
    codes.write_text(json.dumps(listed), "utf-8")
    schema = folder / "schemas/case.referral/1.0.0.json"
    document = json.loads(schema.read_text("utf-8"))
    attachment = document["$defs"]["Attachment"]
    for member in ("byteLength", "encryptedLength"):
        attachment["properties"][member]["maximum"] = CATALOGUE_MOST
    for rule in attachment["allOf"]:
        if rule["if"]["properties"]["attachmentType"].get("const") == KIND:
            rule["then"]["properties"]["byteLength"]["maximum"] = CATALOGUE_MOST
    schema.write_text(json.dumps(document), "utf-8")
    [policy] = [
        path for path in (folder / "gateway/casework").rglob("*.py") if "MAX_FILES_BYTES: Final" in path.read_text()
    ]
    text, count = re.subn(r"(MAX_FILES_BYTES: Final = )[^#\n]+", rf"\g<1>{CATALOGUE_MOST}", policy.read_text("utf-8"))
    assert count == 1
    policy.write_text(text, "utf-8")


class Peak:
    """The resident memory of a process and its children apart, looked at while a block runs."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self.before = self.peak = 0

    def __enter__(self) -> Self:
        self.before = self.peak = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self.peak = max(self.peak, self._process.memory_info().rss)

    @property
    def grown(self) -> int:
        """How much it had more at its highest."""
        return self.peak - self.before


class Served:
    """A home and its `serve`, run from the copy."""

    def __init__(self, install_path: Path, home: Path, party: str) -> None:
        self._install = install_path
        self.home = home
        ports = [free_port() for _ in range(3)]
        listen = ("--exchange-listen", "--api-listen", "--ops-listen")
        places = [word for name, port in zip(listen, ports, strict=True) for word in (name, f"127.0.0.1:{port}")]
        self.run("init", "--party", party, "--name", party, "--country", party[:2].upper(), "--environment", "test",
                 *places)  # fmt: skip
        self.process: subprocess.Popen[bytes]

    def _command(self, *args: str) -> dict[str, Any]:
        return {
            "args": [sys.executable, "-m", "gateway.cli.main", "--home", str(self.home), *args],
            "env": {"PATH": os.environ["PATH"], "PYTHONPATH": str(self._install)},
            "cwd": self._install,
        }

    def run(self, *args: str, given: bytes = b"") -> bytes:
        """Run a command; it must succeed."""
        done = subprocess.run(**self._command(*args), input=given, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        """Serve."""
        self.process = subprocess.Popen(**self._command("serve"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert line.startswith(b"ready"), line


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """Serve two gateways that know each other."""
    copy = tmp_path / "copy"
    copy.mkdir()
    install(copy)
    a, b = (Served(copy, tmp_path / party, party) for party in ("id.imigrasi", "kh.gdi"))
    for mine, other in ((a, b), (b, a)):
        card = tmp_path / "card"
        other.run("card", "export", str(card))
        mine.run("partner", "add", str(card), "--fingerprint", other.run("card", "fingerprint").decode().strip())
        card.unlink()
    try:
        for side in (a, b):
            side.start()
        yield a, b
    finally:
        for side in (a, b):
            side.process.terminate()
            side.process.wait(60)
            assert side.process.stderr is not None
            side.process.stderr.close()


def send(a: Served, b: Served, path: Path) -> None:
    """Send a file with a referral, and read it on the other side."""
    sent = a.run(
        "submit", "-", "--attach", f"{path};type={KIND}", "--wait", "-o", "json",
        given=json.dumps(example("case.referral/s1-sumarni")).encode(),
    )  # fmt: skip
    found = json.loads(sent)
    assert found["state"] == "accepted", found
    # The newest inbox event names it; an officer of that side reads it.
    token = path.with_name("token")
    if not token.exists():
        token.touch(0o600)
        token.write_text(json.loads(b.run("user", "add", "reader", "--role", "officer", "-o", "json"))["token"])
    reading = ("--token-file", str(token), "--purpose", "VICTIM_PROTECTION")
    events = json.loads(b.run("message", "list", "-o", "json", "--limit", "1"))
    event = json.loads(b.run("message", "event", events[0]["id"], *reading))
    name = event["data"]["attachments"][0]["attachmentId"]
    out = path.with_name("out")
    b.run("attachment", "get", name, str(out), *reading)
    with path.open("rb") as first, out.open("rb") as second:
        digests = [sha256(), sha256()]
        for digest, file in zip(digests, (first, second), strict=True):
            while piece := file.read(MIB):
                digest.update(piece)
    assert digests[0].digest() == digests[1].digest()
    out.unlink()


@pytest.mark.timeout(600)
def test_a_hundred_mebibytes_add_sixteen_at_most(both: tuple[Served, Served], tmp_path: Path) -> None:
    """To the process that takes and sends it, and to the one that receives, opens and gives it out."""
    a, b = both
    path = tmp_path / "file"
    path.write_bytes(os.urandom(WARM))
    send(a, b, path)  # what the first file loads is not what a large one costs
    with path.open("wb") as file:
        for _ in range(SIZE // MIB):
            file.write(os.urandom(MIB))

    with Peak(a.process.pid) as sender, Peak(b.process.pid) as receiver:
        send(a, b, path)

    shown = {side: round(peak.grown / MIB, 1) for side, peak in (("sender", sender), ("receiver", receiver))}
    assert sender.grown <= GROWTH_MOST, shown
    assert receiver.grown <= GROWTH_MOST, shown
