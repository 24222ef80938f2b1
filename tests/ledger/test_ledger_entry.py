"""Leaf data: the golden entries, RFC 8785 by differential test, limits, and reading back."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import MalformedProof
from gateway.ledger import entry
from gateway.primitives import b64u, times

PLAIN: dict[str, Any] = {
    "seq": 7,
    "at_ms": 1_795_485_600_123,
    "typ": "message.read",
    "actor_sub": "u-4711",
    "actor_role": "officer",
    "obj_kind": "message",
    "obj_id": "m1",
    "salt": bytes(16),
}
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def test_golden_leaf_data_is_reproduced_byte_for_byte(golden: dict[str, Any]) -> None:
    """Each golden entry parsed and built again."""
    for seq, text in enumerate(golden["leaf_data"]):
        read = entry.parse(text.encode())
        fields = {name: getattr(read, name) for name in entry.Entry.__dataclass_fields__}
        assert entry.build(**fields) == text.encode()
        assert entry.read_seq(text.encode()) == seq == read.seq


@settings(max_examples=300, deadline=None)
@given(
    seq=st.integers(0, 2**53 - 1),
    at_ms=st.integers(0, 253_402_300_799_999),
    texts=st.lists(TEXT, min_size=5, max_size=5),
    optional=st.fixed_dictionaries({}, optional=dict.fromkeys(("jti", "case", "outcome", "purpose", "basis"), TEXT)),
    event=st.none() | st.binary(min_size=32, max_size=32),
    salt=st.binary(min_size=16, max_size=16),
)
def test_an_entry_is_what_a_reference_jcs_writer_writes(
    *, seq: int, at_ms: int, texts: list[str], optional: dict[str, str], event: bytes | None, salt: bytes
) -> None:
    """Any text, controls and astral letters included; and it reads back as it was."""
    typ, sub, role, kind, obj = texts
    fields: dict[str, Any] = {
        "seq": seq, "at_ms": at_ms, "typ": typ, "actor_sub": sub, "actor_role": role,
        "obj_kind": kind, "obj_id": obj, "salt": salt, "event": event, **optional,
    }  # fmt: skip
    members: dict[str, Any] = {
        "v": 1, "seq": seq, "ts": times.format_ms(at_ms), "typ": typ,
        "actor": {"sub": sub, "role": role}, "obj": {"kind": kind, "id": obj},
        "salt": b64u.encode(salt), **optional,
    }  # fmt: skip
    if event is not None:
        members["event"] = b64u.encode(event)
    data = entry.build(**fields)
    assert data == rfc8785.dumps(members)
    assert entry.parse(data) == entry.Entry(**fields)


def test_an_entry_of_4096_bytes_is_built_and_one_more_is_refused() -> None:
    """The limit of protocol.md §6, to the byte, writing and reading."""
    room = entry.MAX_ENTRY_BYTES - len(entry.build(**PLAIN, purpose=""))
    data = entry.build(**PLAIN, purpose="p" * room)
    assert len(data) == 4096
    assert entry.parse(data).purpose == "p" * room
    with pytest.raises(ValueError, match="4096"):
        entry.build(**PLAIN, purpose="p" * (room + 1))
    with pytest.raises(MalformedProof):
        entry.parse(data + b" ")


@pytest.mark.parametrize(
    "wrong",
    [
        {"salt": bytes(15)},
        {"seq": -1},
        {"seq": 2**53},
        {"event": bytes(31)},
        {"purpose": "\ud800"},
        {"typ": b"x"},
    ],
    ids=str,
)
def test_what_no_entry_may_hold_is_refused(wrong: dict[str, Any]) -> None:
    """Lengths, numbers and text; always ValueError, so that a caller has one thing to catch."""
    with pytest.raises(ValueError, match=r"entry|digest"):
        entry.build(**{**PLAIN, **wrong})


def test_reader_keeps_types_and_members_it_does_not_know() -> None:
    """A later version of the protocol may add both."""
    members = json.loads(entry.build(**{**PLAIN, "typ": "moon.landed"})) | {"later": [1]}
    assert entry.parse(json.dumps(members).encode()).typ == "moon.landed"
    assert "moon.landed" not in entry.ENTRY_TYPES


def test_the_list_of_types_is_the_protocols() -> None:
    """Those of the protocol and eight of our own, a few by hand."""
    assert len(entry.ENTRY_TYPES) == 47
    assert {"gateway.started", "access.broken-glass", "audit.alarm", "user.signed-in"} <= entry.ENTRY_TYPES


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"v": None},
        {"seq": "0"},
        {"seq": True},
        {"seq": -1},
        {"ts": "yesterday"},
        {"ts": 1},
        {"typ": 5},
        {"actor": "me"},
        {"actor": {}},
        {"obj": []},
        {"obj": {"id": 1, "kind": "x"}},
        {"salt": "AA"},
        {"salt": "A===" * 5},
        {"salt": "é"},
        {"event": "AA"},
        {"event": None},
        {"jti": 5},
        {"purpose": {}},
    ],
    ids=str,
)
def test_ill_formed_member_is_malformed(change: dict[str, Any]) -> None:
    """One member wrong at a time."""
    members = json.loads(entry.build(**PLAIN)) | change
    with pytest.raises(MalformedProof):
        entry.parse(json.dumps(members).encode())


@pytest.mark.parametrize("name", ["v", "seq", "ts", "typ", "actor", "obj", "salt"])
def test_missing_member_is_malformed(name: str) -> None:
    """Each required member left out."""
    members = json.loads(entry.build(**PLAIN))
    del members[name]
    with pytest.raises(MalformedProof):
        entry.parse(json.dumps(members).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | TEXT.map(str.encode) | st.sampled_from([b"[]", b"null", b'{"v":1,"v":1}', b"\xff"]))
def test_noise_is_malformed_and_nothing_else(raw: bytes) -> None:
    """The fuzz law: a value or MalformedProof."""
    for read in (entry.parse, entry.read_seq):
        with pytest.raises(MalformedProof):
            read(raw)
