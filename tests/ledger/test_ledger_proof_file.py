"""C2SP tlog-proof: what we write is read by its specification alone, and nothing else is taken."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedProof
from gateway.ledger import note
from gateway.ledger.tlogproof import EntryProof, check_proof, read_proof, write_proof
from gateway.primitives import merkle

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNER = note.NoteSigner.from_seed("id.imigrasi/bcx/log/1", note.ED25519, bytes(range(32)))
ENTRIES = [f'{{"seq":{at}}}'.encode() for at in range(21)]
LEAVES = [merkle.leaf_hash(data) for data in ENTRIES]


def proof(index: int, size: int = len(ENTRIES)) -> EntryProof:
    """Prove one of the entries."""
    checkpoint = note.sign_checkpoint(size, merkle.root(LEAVES[:size]), SIGNER)
    return EntryProof(index, ENTRIES[index], tuple(merkle.inclusion_path(LEAVES[:size], index)), checkpoint)


def by_the_specification(text: str) -> tuple[int, int, bytes, bytes]:
    """Read a proof as the specification has it: index, size, signed root, and the root that the path leads to."""
    head, _, checkpoint = text.partition("\n\n")
    first, extra, index, *path = head.split("\n")
    assert first == "c2sp.org/tlog-proof@v1"
    at, size = int(index.removeprefix("index ")), int(checkpoint.split("\n")[1])
    node = sha256(b"\0" + base64.b64decode(extra.removeprefix("extra "), validate=True)).digest()
    return at, size, base64.b64decode(checkpoint.split("\n")[2]), climbed(node, at, size, path)


def climbed(node: bytes, at: int, size: int, path: Sequence[str]) -> bytes:
    """Climb from a leaf: RFC 6962 §2.1.1, by recursion over the sizes of subtrees and not as the code does it."""
    if size == 1:
        assert not path
        return node
    *below, sibling = path
    left = 1 << (size - 1).bit_length() - 1
    other = base64.b64decode(sibling)
    if at < left:
        return sha256(b"\1" + climbed(node, at, left, below) + other).digest()
    return sha256(b"\1" + other + climbed(node, at - left, size - left, below)).digest()


@pytest.mark.parametrize("size", [1, 2, 3, 8, 21])
def test_every_entry_of_every_size_is_proved(size: int) -> None:
    """Written, read by us and by the specification, and led to the signed root."""
    for index in range(size):
        made = proof(index, size)
        text = write_proof(made)
        assert read_proof(text.encode()) == made
        assert check_proof(made, [SIGNER.key]).size == size
        at, told, signed, root = by_the_specification(text)
        assert (at, told, signed) == (index, size, root)


@given(st.data())
def test_no_changed_byte_proves_anything_else(data: st.DataObject) -> None:
    """Any one byte changed, left out or doubled: refused, or the same proof of the same entry."""
    raw = bytearray(write_proof(proof(13)).encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    how = data.draw(st.sampled_from(["flip", "drop", "double"]))
    if how == "flip":
        raw[at] ^= data.draw(st.integers(1, 255))
    else:
        raw[at : at + 1] = b"" if how == "drop" else raw[at : at + 1] * 2
    try:
        read = read_proof(bytes(raw))
        check_proof(read, [SIGNER.key])
    except MalformedProof:
        return
    assert (read.index, read.data) == (13, ENTRIES[13])
