"""A program of its own: one job after another, each in a child that has limits and nothing else.

What reads hostile bytes runs here. This process loads the code once and reads nothing but the name of a job; the
child it forks reads the input, writes the output and ends. A child has bounded memory and processor time, opens no
file and no socket, and dies with this process, which dies with the gateway.

On stdin a job is its name and its input, on stdout its output and one byte, how it ended: each part in frames, a
length of 4 bytes before each piece and a length of 0 at the end. A child that breaks leaves the pipes in the middle
of a frame: then this process ends with the exit code that says what became of the child.

Started as `python -I -m gateway.screening.worker files` or `… schemas`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, Protocol

from gateway.screening.outcomes import CRASHED, DONE, KILLED, SLOW, TOO_LARGE, UNREADABLE, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from io import FileIO

MEMORY_MOST: Final = 1024 * 1024 * 1024
NICE: Final = 3
WALL_S: Final = 60
PIECE_BYTES: Final = 256 * 1024
INPUT_MOST: Final = 1024 * 1024 * 1024
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


class Reader(Protocol):
    """Where a part is read from."""

    def read(self, length: int, /) -> bytes:
        """Return so many bytes, fewer only at the end."""
        ...


class Job(NamedTuple):
    """What is done with an input, and how long a processor may take for it."""

    run: Callable[[bytes], bytes]
    seconds: int


def jobs_of(kind: str) -> Mapping[str, Job]:
    """Load the code of a kind of worker; return its jobs by name."""
    if kind == "schemas":
        from gateway.screening import schemas

        schemas.set_limits()
        return {"schema": Job(schemas.run, 20)}
    from gateway.screening import pdf, reencode

    pdf.set_limits()
    reencode.set_limits()
    return {
        "image/jpeg": Job(reencode.jpeg, 30),
        "image/png": Job(reencode.png, 30),
        "application/pdf": Job(pdf.rebuild, 15),
    }


def die_with_parent() -> None:
    """Ask the kernel to end this process with the one that started it."""
    parent = os.getppid()
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(KILLED)


def confine(seconds: int) -> None:
    """Give up what a job does not need."""
    for kind, soft, hard in (
        (resource.RLIMIT_AS, MEMORY_MOST, MEMORY_MOST),
        # The soft limit says by its signal that it was time; the hard one ends what does not listen.
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_NOFILE, 3, 3),
    ):
        resource.setrlimit(kind, (soft, hard))


def read_frames(source: Reader) -> bytes:
    """Read one part. Raises EOFError."""
    pieces = []
    left = INPUT_MOST
    while length := int.from_bytes(_exactly(source, 4), "big"):
        left -= length
        if left < 0:
            raise EOFError
        pieces.append(_exactly(source, length))
    return b"".join(pieces)


def _exactly(source: Reader, length: int) -> bytes:
    found = source.read(length)
    if len(found) < length:
        raise EOFError
    return found


def write_frames(sink: BinaryIO, content: bytes) -> None:
    """Write one part."""
    view = memoryview(content)
    for at in range(0, len(view), PIECE_BYTES):
        piece = view[at : at + PIECE_BYTES]
        sink.write(len(piece).to_bytes(4, "big"))
        sink.write(piece)
    sink.write(bytes(4))
    sink.flush()


def _child(job: Job, source: Reader, sink: BinaryIO) -> int:
    die_with_parent()
    confine(job.seconds)
    signal.alarm(WALL_S)
    raw = read_frames(source)
    code, made = DONE, b""
    try:
        made = job.run(raw)
    except Refused as why:
        code = why.code
    except MemoryError:
        code = TOO_LARGE
    except Exception:  # noqa: BLE001 - whatever a decoder raises, the input is at fault, and its text may quote it
        code = UNREADABLE
    write_frames(sink, made)
    return code


def main() -> int:
    """Work until stdin ends."""
    die_with_parent()
    os.nice(NICE)
    jobs = jobs_of(sys.argv[1])
    # Unbuffered: a byte read ahead here would be missing in the child.
    source = os.fdopen(0, "rb", buffering=0, closefd=False)
    reader, sink = _Whole(source), os.fdopen(1, "wb", closefd=False)
    while True:
        try:
            job = jobs[read_frames(reader).decode("ascii")]
        except EOFError:
            return 0
        child = os.fork()
        if child == 0:
            code = CRASHED
            try:
                code = _child(job, reader, sink)
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code < 0 or code == CRASHED:
            return {-signal.SIGXCPU: SLOW, -signal.SIGALRM: SLOW, -signal.SIGKILL: KILLED}.get(code, CRASHED)
        sink.write(bytes((code,)))
        sink.flush()


class _Whole:
    """Reads exactly what is asked for, and not a byte ahead."""

    def __init__(self, source: FileIO) -> None:
        self._source = source

    def read(self, length: int) -> bytes:
        pieces = []
        while length and (piece := self._source.read(length)):
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)


if __name__ == "__main__":
    sys.exit(main())
