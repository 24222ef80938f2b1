"""Fuzz law, its second half: whatever bytes come, the readers answer in bounded time and memory.

Bytes are made of one piece repeated up to the limit of what is read, which is what hurts parsers: nesting, empty
containers, escapes, digits, separators. Small fuzz is in `test_fuzz_envelope.py` and `test_fuzz_event.py`.
"""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.errors import PartnerError
from gateway.protocol import jwe
from gateway.protocol.card import MAX_CARD_BYTES
from gateway.protocol.event import MAX_MANIFEST_EVENT_BYTES, parse_event
from gateway.protocol.receipt import MAX_RECEIPT_BYTES
from gateway.protocol.stream import MAX_PING_BYTES, MAX_STREAM_BYTES
from tests.protocol.test_fuzz_envelope import AUD, EID, ISS, JWE, OPEN_KEY, opened
from tests.protocol.test_fuzz_event import EVENT, READERS

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
# Of CPU time, for the largest input: a receiver has one loop, and others wait for it.
LONGEST_S = 1.0
# Beside the input: its text, one decoded copy, and as many values as strict JSON may hold.
MOST_TIMES, MOST_EXTRA = 5, 96 * MIB

PIECES = st.sampled_from(
    [b"[", b"{", b'{"a":', b"[],", b"{},", b"[[]],", b'"a",', b"1,", b"1e5,", b'"\\ud800",', b'"\\u0041",', b'"a":1,',
     b'"A":{},', b"0", b" ", b"\\", b'"', b"A", b"_", b"=", b".", b"\n", b"\xff", b"\x00", "\u1780".encode()]
)  # fmt: skip


def as_manifest_event(raw: bytes) -> object:
    """Read an event of a type that may have 10 MiB."""
    return parse_event(raw, is_manifest=lambda _urn: True)


def sealed(raw: bytes) -> object:
    """Open what a partner sealed well, whatever it is."""
    return opened(jwe.encrypt(raw, iss=ISS, aud=AUD, eid=EID, recipient=OPEN_KEY.public(), entropy=bytes))


HEAD, _, REST = JWE.partition(b".")
WHOLE: dict[str, tuple[Callable[[bytes], object], int, list[tuple[bytes, bytes]]]] = {
    "event": (
        as_manifest_event, MAX_MANIFEST_EVENT_BYTES,
        [(b"", b""), (b"[", b"1]"), (b"[ ", b"1]"), (EVENT[:-1] + b',"x": [', b"1]}"), (EVENT[:-1] + b",", b'"x":1}')],
    ),
    "envelope": (
        opened, jwe.MAX_REQUEST_BYTES, [(b"", b""), (b"", b"." + REST), (HEAD + b".", b""), (JWE + b".", b""),
                                        (HEAD + b".AAAA.AAAA.", b".AAAA")],
    ),
    "plaintext": (sealed, jwe.MAX_PLAINTEXT_BYTES, [(b"", b""), (b"", b"\n"), (b'{"payload":"', b'"}\n\n')]),
    "receipt": (READERS["receipt"], MAX_RECEIPT_BYTES, [(b"", b""), (b"[ ", b"1]"), (b'{"payload":"', b'"}')]),
    "card": (READERS["card"], MAX_CARD_BYTES, [(b"", b""), (b"[ ", b"1]"), (b'{"payload":"', b'"}')]),
    "stream": (READERS["stream"], MAX_STREAM_BYTES, [(b"", b""), (b"[ ", b"1]"), (b'{"payload":"', b'"}')]),
    "ping": (READERS["ping"], MAX_PING_BYTES, [(b"", b""), (b"[ ", b"1]"), (b'{"payload":"', b'"}')]),
}  # fmt: skip


class Large(NamedTuple):
    """An input for a reader: a piece many times within a frame; shown by its parts, which are short."""

    name: str
    head: bytes
    piece: bytes
    times: int
    tail: bytes

    @property
    def raw(self) -> bytes:
        """The bytes; a `%d` in the piece counts, so that names differ."""
        middle = b"".join(self.piece % at for at in range(self.times)) if b"%d" in self.piece else None
        return self.head + (self.piece * self.times if middle is None else middle) + self.tail


@st.composite
def largest(draw: st.DrawFn) -> Large:
    """Draw a reader and the largest input it looks at, or one piece more than that."""
    name = draw(st.sampled_from(sorted(WHOLE)))
    _, limit, frames = WHOLE[name]
    head, tail = draw(st.sampled_from(frames))
    piece = draw(PIECES)
    return Large(name, head, piece, (limit - len(head) - len(tail)) // len(piece) + draw(st.booleans()), tail)


@pytest.mark.usefixtures("own_heap")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(largest(), st.booleans())
@example(Large("event", b"[ ", b"[[]],", 2 * MIB, b"1]"), True)  # it took 3 seconds and 700 MiB
@example(Large("event", EVENT[:-1], b',"A%d":1', 190_000, b"}"), False)
@example(Large("event", EVENT[:-1] + b',"x": {', b'"a%d":1,', 190_000, b'"z":1}}'), False)
@example(Large("event", EVENT[:-1] + b',"x": {', b'"a%d":1,', 190_000, b'"z":1}}'), True)
def test_the_largest_input_costs_bounded_time_and_memory(large: Large, traced: bool) -> None:
    """A value or a `PartnerError`; CPU time is measured, or (tracing makes it slow) memory."""
    read, raw = WHOLE[large.name][0], large.raw
    if traced:
        tracemalloc.start()
    try:
        before, started = tracemalloc.get_traced_memory()[0], time.process_time()
        with contextlib.suppress(PartnerError):
            read(raw)
        took, most = time.process_time() - started, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    size = len(raw)
    assert traced or took < LONGEST_S
    assert most <= MOST_TIMES * size + MOST_EXTRA
