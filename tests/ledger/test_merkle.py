"""Merkle trees: the public cases, a plain recursive tree to compare with, and the compact range."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.primitives import merkle

LEAVES = [sha256(bytes((at,))).digest() for at in range(70)]
OTHER = sha256(b"other").digest()


def _raw(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def _plain_root(leaves: list[bytes]) -> bytes:
    """Follow RFC 6962 §2.1 to the letter."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + _plain_root(leaves[:split]) + _plain_root(leaves[split:])).digest()


def test_public_inclusion_case_has_the_verdict_it_asks_for(public_inclusion: dict[str, Any]) -> None:
    """98 cases of transparency-dev/merkle."""
    case = public_inclusion
    path = [_raw(node) for node in case["proof"] or []]
    verdict = merkle.verify_inclusion(
        _raw(case["leafHash"]), case["leafIdx"], case["treeSize"], path, _raw(case["root"])
    )
    assert verdict is not case["wantErr"]


def test_public_consistency_case_has_the_verdict_it_asks_for(public_consistency: dict[str, Any]) -> None:
    """98 cases of transparency-dev/merkle."""
    case = public_consistency
    path = [_raw(node) for node in case["proof"] or []]
    verdict = merkle.verify_consistency(case["size1"], case["size2"], _raw(case["root1"]), _raw(case["root2"]), path)
    assert verdict is not case["wantErr"]


def test_a_leaf_and_a_node_are_hashed_in_their_own_domains() -> None:
    """RFC 6962 §2.1: 0x00 before a leaf, 0x01 before two hashes; an empty tree is SHA-256 of nothing."""
    assert merkle.leaf_hash(b"data") == sha256(b"\0data").digest()
    assert merkle.node_hash(LEAVES[0], LEAVES[1]) == sha256(b"\1" + LEAVES[0] + LEAVES[1]).digest()
    assert sha256(b"").digest() == merkle.EMPTY_ROOT


@pytest.mark.parametrize("size", range(len(LEAVES) + 1))
def test_root_is_the_one_of_the_definition(size: int) -> None:
    """Both the batch root and the compact range agree with a plain recursion."""
    expected = _plain_root(LEAVES[:size])
    assert merkle.root(LEAVES[:size]) == expected
    range_ = merkle.Frontier()
    for leaf in LEAVES[:size]:
        range_ = range_.append(leaf)
    assert range_.root() == expected
    assert range_ == merkle.Frontier().extend(LEAVES[:size])


def test_appending_leaves_the_older_frontier_as_it_was() -> None:
    """A rolled-back transaction must find its frontier untouched."""
    before = merkle.Frontier().extend(LEAVES[:5])
    root = before.root()
    before.append(OTHER)
    assert (before.size, before.root()) == (5, root)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 33, 64, 65, 70])
def test_every_inclusion_path_verifies_and_for_no_other_leaf(size: int) -> None:
    """Each index; then another leaf, another index, another root, a longer and a shorter path."""
    root = merkle.root(LEAVES[:size])
    for index in range(size):
        path = merkle.inclusion_path(LEAVES[:size], index)
        leaf = LEAVES[index]
        assert merkle.verify_inclusion(leaf, index, size, path, root)
        assert not merkle.verify_inclusion(OTHER, index, size, path, root)
        assert not merkle.verify_inclusion(leaf, (index + 1) % size, size, path, root) or size == 1
        assert not merkle.verify_inclusion(leaf, index, size, path, OTHER)
        assert not merkle.verify_inclusion(leaf, index, size, [*path, OTHER], root)
        assert not path or not merkle.verify_inclusion(leaf, index, size, path[:-1], root)


@pytest.mark.parametrize("size2", [1, 2, 3, 7, 8, 33, 64, 65, 70])
def test_every_consistency_proof_verifies_and_no_other_does(size2: int) -> None:
    """Each older size; then another old root, another new root, a longer and a shorter path."""
    root2 = merkle.root(LEAVES[:size2])
    for size1 in range(1, size2 + 1):
        root1 = merkle.root(LEAVES[:size1])
        path = merkle.consistency_path(LEAVES[:size2], size1)
        assert merkle.verify_consistency(size1, size2, root1, root2, path)
        assert not merkle.verify_consistency(size1, size2, OTHER, root2, path)
        assert not merkle.verify_consistency(size1, size2, root1, OTHER, path)
        assert not merkle.verify_consistency(size1, size2, root1, root2, [*path, OTHER])
        assert not path or not merkle.verify_consistency(size1, size2, root1, root2, path[:-1])


@pytest.mark.parametrize("size2", [0, 1, 5])
def test_consistency_from_nothing_is_refused(size2: int) -> None:
    """Anything extends an empty log, so such a proof proves nothing."""
    root2 = merkle.root(LEAVES[:size2])
    assert not merkle.verify_consistency(0, size2, merkle.EMPTY_ROOT, root2, [])


@pytest.mark.parametrize(("short", "place"), [(31, 0), (33, 0), (0, 1), (31, 1), (33, 1), (31, 2)])
def test_hash_of_another_length_is_refused(short: int, place: int) -> None:
    """Either root or a node of the path, 31, 33 or 0 bytes long, between unequal sizes."""
    hashes = [merkle.root(LEAVES[:4]), merkle.root(LEAVES[:5]), *merkle.consistency_path(LEAVES[:5], 4)]
    assert merkle.verify_consistency(4, 5, hashes[0], hashes[1], hashes[2:])
    hashes[place] = (hashes[place] + b"\0")[:short]
    assert not merkle.verify_consistency(4, 5, hashes[0], hashes[1], hashes[2:])
    if place != 1:
        leaf, root, path = LEAVES[4], merkle.root(LEAVES[:5]), merkle.inclusion_path(LEAVES[:5], 4)
        assert merkle.verify_inclusion(leaf, 4, 5, path, root)
        assert not merkle.verify_inclusion(leaf, 4, 5, [(path[0] + b"\0")[:short]], root)


def test_bytes_moved_between_leaf_and_path_are_refused() -> None:
    """The pair hashes to the same node when one byte moves over: only the lengths tell."""
    root, path = merkle.root(LEAVES[:2]), [LEAVES[1]]
    assert merkle.verify_inclusion(LEAVES[0], 0, 2, path, root)
    assert not merkle.verify_inclusion(LEAVES[0] + LEAVES[1][:1], 0, 2, [LEAVES[1][1:]], root)


def test_a_32_byte_prefix_of_a_root_is_not_the_root() -> None:
    """A short root equal to a truncated computation must not pass."""
    root = merkle.root(LEAVES[:3])
    assert not merkle.verify_inclusion(LEAVES[2], 2, 3, merkle.inclusion_path(LEAVES[:3], 2), root[:31])


@settings(max_examples=150, deadline=None)
@given(st.integers(-2, 80), st.integers(-2, 80), st.lists(st.binary(min_size=30, max_size=33), max_size=9))
def test_verifiers_answer_false_to_noise_and_never_raise(one: int, two: int, path: list[bytes]) -> None:
    """Sizes, indexes and paths made up at random."""
    assert not merkle.verify_inclusion(LEAVES[0], one, two, path, OTHER)
    assert not merkle.verify_consistency(one, two, OTHER, LEAVES[1], path)


@pytest.mark.parametrize(("size", "peaks"), [(1, ()), (2, (b"x" * 32, b"y" * 32)), (1, (b"x" * 31,)), (-1, ())])
def test_frontier_with_the_wrong_peaks_is_refused(size: int, peaks: tuple[bytes, ...]) -> None:
    """One peak of 32 bytes for each set bit of the size."""
    with pytest.raises(ValueError, match=r"peak"):
        merkle.Frontier(size, peaks)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_path_outside_the_tree_is_refused(index: int, size: int) -> None:
    """Asking for a leaf that is not there is a caller's mistake."""
    with pytest.raises(ValueError, match="outside"):
        merkle.inclusion_path(LEAVES[:size], index)


@pytest.mark.parametrize(("size1", "size2"), [(0, 3), (4, 3), (0, 0)])
def test_proof_between_impossible_sizes_is_refused(size1: int, size2: int) -> None:
    """From nothing, or backwards."""
    with pytest.raises(ValueError, match="non-empty"):
        merkle.consistency_path(LEAVES[:size2], size1)
