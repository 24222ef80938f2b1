"""Logs: JSON lines that no value can forge and no personal data can enter."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from gateway import logs
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "Sok Dara"


class Lines(io.StringIO):
    """What was logged, line by line."""

    def all(self) -> list[dict[str, Any]]:
        """Return each line as JSON."""
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def last(self) -> dict[str, Any]:
        """Return the newest line."""
        return self.all()[-1]


@pytest.fixture
def out() -> Iterator[Lines]:
    """Log to a string, and put the process's logging back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = Lines()
    logs.configure("info", stream)
    yield stream
    logging.captureWarnings(capture=False)
    root.handlers, root.level = handlers, level
    logging.getLogger("aiohttp.access").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def test_a_line_is_one_json_object(out: Lines) -> None:
    """Event, level, time and the fields given."""
    logs.get_logger().info("envelope received", partner="kh.gdi", count=3, duration_ms=1.5)
    line = out.last()
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "envelope received",
        "level": "info",
        "partner": "kh.gdi",
        "count": 3,
        "duration_ms": 1.5,
    }


def test_fields_off_the_list_are_dropped(out: Lines) -> None:
    """A case field cannot reach the log; its name shows whoever added it."""
    logs.get_logger().info("stored", familyName=CANARY, data={"x": CANARY}, leaf=4)
    line = out.last()
    assert CANARY not in out.getvalue()
    assert (line["dropped"], line["leaf"]) == ("data familyName", 4)


@pytest.mark.parametrize("value", [{"name": CANARY}, [CANARY], CANARY.encode(), ValueError(CANARY), float("nan")])
def test_only_plain_values_are_written(out: Lines, value: object) -> None:
    """Objects in an allowed field show their type and nothing else."""
    logs.get_logger().info("stored", reason=value)
    assert CANARY not in out.getvalue()
    assert out.last()["reason"] == f"<{type(value).__name__}>"


@pytest.mark.parametrize(
    "text",
    ['x\n{"event":"forged"}', "x\r\ny", "\x1b[31mred", "\u2028", "\x9b31m", "\u202e"],
    ids=["line", "crlf", "escape", "separator", "c1", "direction"],
)
def test_no_value_forges_a_line(out: Lines, text: str) -> None:
    """Line feeds, escapes and broken text stay inside their JSON string."""
    logs.get_logger().warning("refused", reason=text)
    logging.getLogger("aiohttp.server").error(text)
    assert out.getvalue().count("\n") == 2
    assert all(sign == "\n" or " " <= sign <= "~" for sign in out.getvalue())
    assert [line["level"] for line in out.all()] == ["warning", "error"]


def test_broken_text_is_written_all_the_same() -> None:
    """A lone surrogate, from a damaged file name, is spelt out."""
    assert json.loads(logs.line({"event": "x", "file": "a\ud800b"}))["file"] == "a\\ud800b"


def test_long_text_is_cut(out: Lines) -> None:
    """A reason is a sentence; a body is not."""
    logs.get_logger().info("x", reason="a" * 5000)
    assert len(out.last()["reason"]) == 300


def test_ids_follow_the_work_into_tasks(out: Lines) -> None:
    """Message and trace ids are bound by context: seen in tasks started inside, gone outside."""

    async def work() -> None:
        logs.get_logger().info("inside")

    async def story() -> None:
        with logs.about(message="m1", trace_id="t1", partner="kh.gdi"):
            await asyncio.create_task(work())
            logging.getLogger("aiohttp").warning("foreign")
            with logs.about(message="m2"):
                logs.get_logger().info("inner")
        logs.get_logger().info("outside")

    asyncio.run(story())
    inside, foreign, inner, outside = out.all()
    assert (inside["message"], inside["trace_id"], inside["partner"]) == ("m1", "t1", "kh.gdi")
    assert foreign["message"] == "m1"
    assert (inner["message"], inner["trace_id"]) == ("m2", "t1")
    assert "message" not in outside


def test_foreign_records_show_their_template_only(out: Lines) -> None:
    """Servers and drivers put what they met into arguments; those stay out."""
    logging.getLogger("sqlalchemy").error("could not store %s", CANARY)
    line = out.last()
    assert (line["event"], line["logger"], line["level"]) == ("could not store %s", "sqlalchemy", "error")
    assert CANARY not in out.getvalue()


def raise_and_log(error: Exception) -> None:
    """Log an exception the way a handler does, by both roads."""
    try:
        raise error
    except type(error):
        logs.get_logger().exception("failed")
        logging.getLogger("x").exception("failed %s", CANARY)


def test_foreign_exceptions_show_class_and_place(out: Lines) -> None:
    """A parser quotes what it choked on: its text stays out, where it happened comes in."""
    raise_and_log(ValueError(CANARY))
    assert CANARY not in out.getvalue()
    for line in out.all():
        assert line["error"] == "ValueError"
        assert "infra/test_logs.py:" in line["where"]
        assert "detail" not in line


def test_our_own_exceptions_show_their_detail(out: Lines) -> None:
    """Details of our tree hold no personal data and help whoever reads them."""
    raise_and_log(ConfigurationError("keys/kek: missing; restore it"))
    for line in out.all():
        assert (line["code"], line["detail"]) == ("configuration", "keys/kek: missing; restore it")


def test_the_level_can_change_at_run_time(out: Lines) -> None:
    """Configuring again replaces, never doubles; libraries' debug output stays off."""
    logs.get_logger().debug("unseen")
    logs.configure("debug", out)
    logs.get_logger().debug("seen")
    logging.getLogger("asyncio").debug("unseen")
    logging.getLogger("asyncio").warning("once")
    logs.configure("error", out)
    logs.get_logger().warning("unseen")
    logging.getLogger("asyncio").warning("unseen")
    assert [line["event"] for line in out.all()] == ["seen", "once"]


def test_access_lines_of_the_server_are_off(out: Lines) -> None:
    """They hold paths with ids as callers sent them."""
    logging.getLogger("aiohttp.access").info("GET /api/v1/cases?q=%s", CANARY)
    assert out.getvalue() == ""


def test_warnings_become_lines(out: Lines) -> None:
    """A deprecation in production is a log line, not noise on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # What an earlier owner of the process's warnings left behind: it would be taken for done already.
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert out.last()["logger"] == "py.warnings"


def test_a_hardened_process_leaves_no_core() -> None:
    """The limit is 0 and others may not read its memory: /proc shows it as root's."""
    program = (
        "import os, resource, ctypes, signal\n"
        "from gateway.logs import harden_process\n"
        "before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        "harden_process()\n"
        "print(before, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0", "0", "0"]
