"""The README's commands are run, in order, as a reader would: two gateways, an exchanged case, a verified log."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, page


def free_port() -> str:
    """Return a TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def script() -> str:
    """Return the README's shell blocks as one script, on ports of our own."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page("README.md"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    ports: dict[str, str] = {}
    return re.sub(
        r"127\.0\.0\.1:(\d+)",
        lambda found: f"127.0.0.1:{ports.setdefault(found[1], free_port())}",
        "set -eu\n" + "\n".join(blocks),
    )


@pytest.mark.timeout(110)
def test_the_commands_of_the_readme_work_in_their_order(tmp_path: Path) -> None:
    """From two empty homes to a receipt and a verified copy of the log; nothing is left running."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY")}
    env |= {"TMPDIR": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{env['PATH']}"}
    # A session of its own, so that whatever a failed run leaves behind can be ended, and nothing else.
    running = subprocess.Popen(
        ["bash", "-c", script()], cwd=ROOT, env=env, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = running.communicate(timeout=100)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert running.returncode == 0, err
    for line in ("result\tenrolled", "valid\tyes", "state\taccepted", "token", "agrees\tyes", "verified\tyes"):
        assert line in out, line
    assert re.search(r"^XC-ID-\d{4}-000001-[0-9A-Z]\tRECEIVED\t", out, re.MULTILINE)
    assert err.count("ready exchange=") == 2
