"""Logs: one JSON object a line on stdout, without personal data by construction.

Laws:
1. Only fields of FIELDS are written; another name is dropped and its name alone is kept in `dropped`.
   A case field can therefore not reach the log by somebody's good intention.
2. Of a foreign log record its template is written, never its arguments; of an exception its class and where
   it happened, and its text only if it is ours (`GatewayError.detail` holds no personal data): drivers and
   parsers quote what they choked on.
3. A value is a number, a truth value or a short text; line feeds and control characters are escaped by JSON,
   so that no value can forge a line.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import math
import resource
import sys
import time
import traceback
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

import structlog
from structlog.contextvars import bound_contextvars

from gateway.errors import GatewayError
from gateway.primitives.times import format_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, MutableMapping
    from contextlib import AbstractContextManager

    from structlog.typing import WrappedLogger

FIELDS: Final = frozenset(
    (
        *("event", "level", "time", "logger", "message", "trace_id", "eid", "partner", "party", "listener"),
        *("url", "file", "subject", "version", "digest", "state", "outcome", "problem", "code", "reason"),
        *("detail", "error", "where", "fix", "attempt", "attempts", "next_try", "retry_after_s", "fence"),
        *("leaf", "size", "origin", "seq", "from_seq", "to_seq", "stream_high", "case", "count", "bytes"),
        *("depth", "limit", "duration_ms", "age_s", "days", "signal", "pid", "method", "route", "status"),
        *("kid", "use", "number", "role", "account", "left_out"),
    )
)
TEXT_MAX: Final = 300  # a reason is a sentence; whatever is longer is content
FRAMES_MAX: Final = 8
_MOST_SORTS: Final = 1000

_PR_SET_DUMPABLE: Final = 4


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Send structlog and stdlib logs to `stream` (stdout) as JSON lines; call again to change the level."""
    number = logging.getLevelNamesMapping()[level.upper()]
    out = sys.stdout if stream is None else stream
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, _finish],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_names: _Lines(out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [held for held in root.handlers if isinstance(held, _Handler)]:
        root.removeHandler(handler)
    root.addHandler(_Handler(out))
    root.setLevel(max(number, logging.INFO))  # libraries' debug output quotes bodies and statements
    logging.getLogger("aiohttp.access").setLevel(logging.CRITICAL + 1)  # our middleware logs by route template
    logging.captureWarnings(capture=True)


def get_logger() -> Any:
    """Return the structured logger: `log.info("envelope received", partner=party, count=n)`."""
    return structlog.get_logger()


def about(*, message: str | None = None, trace_id: str | None = None, **fields: str) -> AbstractContextManager[Any]:
    """Put these ids into every line logged inside the `with`, in tasks started there too."""
    given = {"message": message, "trace_id": trace_id, **fields}
    return bound_contextvars(**{name: value for name, value in given.items() if value is not None})


def harden_process() -> None:
    """Keep case data and keys out of core dumps: none is written, and no other process may attach.

    Takes effect for this process and, for the limit, its children. Outside Linux only the limit applies.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) was refused")


class Seldom:
    """Says which lines of a flood are written: of each sort the first few of a minute."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._minute = 0
        self._seen: Counter[Hashable] = Counter()
        self._left_out = 0

    def admit(self, sort: Hashable) -> int | None:
        """Return None for a line that is left out, else how many were since the last one that was written."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute = minute
            self._seen.clear()
        # Sorts may be callers' ids: a thousand of them are enough for one minute.
        known = sort if sort in self._seen or len(self._seen) < _MOST_SORTS else None
        self._seen[known] += 1
        if self._seen[known] > self._most:
            self._left_out += 1
            return None
        left_out, self._left_out = self._left_out, 0
        return left_out


def _finish(logger: WrappedLogger, method: str, event: MutableMapping[str, Any]) -> str:
    del logger, method
    exception = event.pop("exc_info", None)
    if exception is True:
        exception = sys.exc_info()[1]
    return line(event, exception if isinstance(exception, BaseException) else None)


def line(event: Mapping[str, Any], exception: BaseException | None = None) -> str:
    """Return one log line: allowed fields only, `time` and `event` first."""
    fields = {"time": format_ms(int(datetime.now(UTC).timestamp() * 1000)), **event}
    if exception is not None:
        fields |= _describe(exception)
    shown = {name: _plain(value) for name, value in fields.items() if name in FIELDS and value is not None}
    dropped = sorted(name for name in fields if name not in FIELDS)
    if dropped:
        shown["dropped"] = " ".join(dropped)[:TEXT_MAX]
    # ASCII only: U+2028, C1 controls and writing-direction marks also break or disguise lines in viewers.
    return json.dumps(shown, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> str | int | float | bool:
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, str):
        # A lone surrogate cannot be written as UTF-8; it comes from a damaged name of a file.
        return value[:TEXT_MAX].encode("utf-8", "backslashreplace").decode()
    return f"<{type(value).__name__}>"


def _describe(exception: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(exception.__traceback__)[-FRAMES_MAX:]
    described: dict[str, Any] = {
        "error": type(exception).__qualname__,
        "where": " > ".join(f"{_short(frame.filename)}:{frame.lineno}" for frame in frames),
    }
    if isinstance(exception, GatewayError):
        described["code"] = exception.slug
        described["detail"] = exception.detail
    return described


def _short(filename: str) -> str:
    return "/".join(filename.split("/")[-2:])


class _Lines:
    """Writes each line and never fails: a full log volume must not stop the exchange."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, text: str) -> None:
        """Write one line."""
        with contextlib.suppress(OSError, ValueError):  # full, or closed
            self._stream.write(text + "\n")
            self._stream.flush()

    log = debug = info = warn = warning = error = critical = exception = fatal = failure = err = msg


class _Handler(logging.Handler):
    """Writes stdlib records (aiohttp, asyncio, warnings) as the same JSON lines."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's template and exception; its arguments may be anything and stay out."""
        template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        exception = record.exc_info[1] if record.exc_info else None
        event = {
            **structlog.contextvars.get_contextvars(),
            "event": template,
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        try:
            self._stream.write(line(event, exception) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed or full stdout must not stop the exchange
            self.handleError(record)
