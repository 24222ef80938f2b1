"""The command line as a user meets it: real processes, a home each, an environment without anybody's settings."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = (sys.executable, "-m", "gateway.cli.main")
LIMIT_S = 40
READY = re.compile(
    r"ready exchange=(?P<exchange>\S+) api=(?P<api>\S+) ops=(?P<ops>\S+) control=(?P<control>\S+)\n", re.ASCII
)


class Result(NamedTuple):
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return stdout as JSON."""
        return json.loads(self.out)

    @property
    def fault(self) -> str:
        """Return the one line that says what is wrong."""
        [line] = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return line


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what the command sees of the environment: nothing of whoever runs the tests."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", **(extra or {})}


def run(*args: str, given: str = "", code: int = 0, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> Result:
    """Run one command; its exit code is checked, and that no traceback reached the user."""
    done = subprocess.run(
        [*GATEWAY, *args], input=given, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        env=environment(env), cwd=cwd,
    )  # fmt: skip
    result = Result(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in result.out + result.err, result
    assert result.code == code, result
    return result


@dataclass(slots=True)
class Serving:
    """A running `gateway serve`: where it listens, and its process."""

    process: subprocess.Popen[str]
    exchange: str
    api: str
    ops: str
    control: Path
    log: Path

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)

    def lines(self) -> list[dict[str, Any]]:
        """Return the log so far."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]


class Home:
    """One home, and the commands a user runs on it."""

    def __init__(self, path: Path, env: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.env = dict(env or {})

    def run(self, *args: str, given: str = "", code: int = 0) -> Result:
        """Run a command on this home."""
        return run("--home", str(self.path), *args, given=given, code=code, env=self.env)

    def json(self, *args: str) -> Any:
        """Run a command on this home and return what it prints as JSON."""
        return self.run(*args, "-o", "json").json

    @contextlib.contextmanager
    def serve(self, env: Mapping[str, str] | None = None, *, files: int | None = None) -> Iterator[Serving]:
        """Run `serve` while the block runs; whatever is left of it then is killed.

        `files` is the soft limit of open files it is started with.
        """
        limited = () if files is None else ("prlimit", f"--nofile={files}:")
        log = self.path.with_name(self.path.name + ".log")
        with log.open("a", encoding="utf-8") as out, subprocess.Popen(
            [*limited, *GATEWAY, "serve", "--home", str(self.path)], stdout=out, stderr=subprocess.PIPE, text=True,
            env=environment({**self.env, **(env or {})}),
        ) as process:  # fmt: skip
            assert process.stderr is not None
            try:
                line = process.stderr.readline()
                found = READY.fullmatch(line)
                assert found is not None, line + process.stderr.read()
                yield Serving(process, found["exchange"], found["api"], found["ops"], Path(found["control"]), log)
            finally:
                if process.poll() is None:
                    process.kill()


@contextlib.contextmanager
def acting(home: Home, role: str) -> Iterator[Home]:
    """Yield a home whose commands act as a person of this role, who is gone afterwards."""
    name = f"{role}-{secrets.token_hex(4)}"
    token = home.json("user", "add", name, "--role", role)["token"]
    yield Home(home.path, {**home.env, "GATEWAY_TOKEN": token})
    home.run("user", "disable", name, "--yes")


class Pair(NamedTuple):
    """Two homes that serve, and the process of the first."""

    a: Home
    b: Home
    serving: Serving
