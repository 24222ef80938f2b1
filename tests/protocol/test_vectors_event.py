"""The golden events of the profile: read as it says, refused as it says, rebuilt byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.errors import PartnerError
from gateway.primitives import b64u, times
from gateway.protocol.event import build_event, check_addressing, check_clock, parse_event
from gateway.protocol.ids import PartyId

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "bcx-1.json").read_bytes())
NOW_MS = times.parse_ms(VECTORS["now"])
MANIFEST_IAT_MS = times.parse_ms("2026-11-24T02:00:01.000Z")


def steps_5_6_8(line: bytes) -> None:
    """Take a line through the steps that need neither stored state nor agreement nor schema."""
    event = parse_event(line)
    check_addressing(event, iss=PartyId("id.imigrasi"), me=PartyId("kh.gdi"), environment="test")
    check_clock(event, now_ms=NOW_MS, manifest_iat_ms=MANIFEST_IAT_MS)


@pytest.mark.parametrize("case", VECTORS["refuse_event"], ids=lambda case: case["name"])
def test_a_refused_event_gives_the_problem_it_names(case: dict[str, str]) -> None:
    """Every refusal of the vectors falls in steps (5), (6) and (8), and under the right code."""
    with pytest.raises(PartnerError) as refused:
        steps_5_6_8(b64u.decode(case["event"]))
    assert refused.value.slug == case["problem"]


@pytest.mark.parametrize("case", VECTORS["accept_event"], ids=lambda case: case["name"])
def test_an_accepted_event_passes(case: dict[str, str]) -> None:
    """Boundaries that an over-strict reader would refuse."""
    steps_5_6_8(b64u.decode(case["event"]))


@pytest.mark.parametrize("line", VECTORS["events"], ids=["first", "second", "third"])
def test_a_golden_event_is_rebuilt_byte_for_byte(line: str) -> None:
    """What the reader takes apart the writer puts together again: one order, one spelling."""
    event = parse_event(line.encode())
    assert build_event(event, orjson.dumps(event.data)) == line.encode()


def test_the_vectors_are_all_here() -> None:
    """A vector file cut short would make the tests above pass by testing nothing."""
    assert [len(VECTORS[part]) for part in ("events", "refuse_event", "accept_event")] == [3, 33, 7]
