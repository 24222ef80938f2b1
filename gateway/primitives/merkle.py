"""RFC 6962 Merkle trees (§2.1): hashes, roots, proofs, and the compact range that makes appending cheap.

Every hash is SHA-256 and 32 bytes. A leaf's domain is `0x00`, a node's `0x01`: without the prefix an
inner node could be passed off as a leaf (RFC 6962 §2.1, second preimages).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: one root per complete subtree, largest first; immutable.

    `peaks` has one hash per set bit of `size`. Appending costs one hash per leaf, amortised; a
    transaction that rolls back simply drops the new value.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise ValueError("a frontier holds one peak for each set bit of its size")
        if len(b"".join(self.peaks)) != HASH_BYTES * len(self.peaks):
            raise ValueError("a peak is 32 bytes")

    def append(self, leaf: bytes) -> Frontier:
        """Return the frontier with one more leaf hash."""
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """Return the frontier with the leaf hashes added in order."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            top, carry = leaf, size
            while carry & 1:
                top = sha256(b"\x01" + peaks.pop() + top).digest()
                carry >>= 1
            peaks.append(top)
            size += 1
        return Frontier(size, tuple(peaks))

    def root(self) -> bytes:
        """Return the root of the whole tree; SHA-256("") when it is empty."""
        if not self.peaks:
            return EMPTY_ROOT
        top = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            top = node_hash(peak, top)
        return top


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf *hashes* in order (RFC 6962 §2.1)."""
    return Frontier().extend(leaves).root()


def range_root(read: Callable[[int, int], bytes], start: int, end: int) -> bytes:
    """Return the root of leaves [start, end), reading only complete subtrees.

    `read(level, index)` gives the hash of the complete subtree over leaves [index·2^level,
    (index+1)·2^level). `start` must be a multiple of the largest power of two below the width, as the
    ranges of RFC 6962 §2.1 are. Raises ValueError for an empty range.
    """
    if start >= end:
        raise ValueError("no leaves in this range")
    parts: list[bytes] = []
    while start < end:
        level = (end - start).bit_length() - 1
        parts.append(read(level, start >> level))
        start += 1 << level
    top = parts.pop()
    while parts:
        top = node_hash(parts.pop(), top)
    return top


def _split(width: int) -> int:
    """Return the largest power of two below `width` (RFC 6962 §2.1, `k`)."""
    return 1 << ((width - 1).bit_length() - 1)


def inclusion_nodes(read: Callable[[int, int], bytes], index: int, size: int) -> list[bytes]:
    """Return the audit path of leaf `index` in the tree of `size`, leaf end first (RFC 6962 §2.1.1).

    `read` as for `range_root`. Raises ValueError unless 0 ≤ index < size.
    """
    if not 0 <= index < size:
        raise ValueError("the index is outside the tree")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_root(read, middle, end))
            end = middle
        else:
            path.append(range_root(read, start, middle))
            start = middle
    path.reverse()
    return path


def consistency_nodes(read: Callable[[int, int], bytes], size1: int, size2: int) -> list[bytes]:
    """Return the consistency proof from `size1` to `size2` (RFC 6962 §2.1.2).

    `read` as for `range_root`. Empty for equal sizes. Raises ValueError unless 0 < size1 ≤ size2.
    """
    if not 0 < size1 <= size2:
        raise ValueError("a consistency proof goes from a non-empty tree to one no smaller")
    path: list[bytes] = []
    start, end = 0, size2
    while size1 != end:
        middle = start + _split(end - start)
        if size1 <= middle:
            path.append(range_root(read, middle, end))
            end = middle
        else:
            path.append(range_root(read, start, middle))
            start = middle
    # The verifier holds root1 already; only an old tree that ends inside a subtree must be shown its part.
    if start:
        path.append(range_root(read, start, end))
    path.reverse()
    return path


def _reader(leaves: Sequence[bytes]) -> Callable[[int, int], bytes]:
    def read(level: int, index: int) -> bytes:
        return root(leaves[index << level : (index + 1) << level])

    return read


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of `index` over leaf hashes held in memory (envelopes: ≤ 256 of them)."""
    return inclusion_nodes(_reader(leaves), index, len(leaves))


def consistency_path(leaves: Sequence[bytes], size1: int) -> list[bytes]:
    """Return the consistency proof from the first `size1` leaf hashes to all of them."""
    return consistency_nodes(_reader(leaves), size1, len(leaves))


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> bool:
    """Tell whether `path` leads from leaf hash `leaf` at `index` to root `expected` (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size or len(expected) != HASH_BYTES or len(leaf) != HASH_BYTES:
        return False
    if any(len(node) != HASH_BYTES for node in path):
        return False
    here, last, top = index, size - 1, leaf
    for node in path:
        if last == 0:
            return False
        if here & 1 or here == last:
            top = node_hash(node, top)
            while here and not here & 1:
                here >>= 1
                last >>= 1
        else:
            top = node_hash(top, node)
        here >>= 1
        last >>= 1
    return last == 0 and top == expected


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, path: Sequence[bytes]) -> bool:
    """Tell whether the tree (size1, root1) is a prefix of (size2, root2) (RFC 9162 §2.1.4.2).

    Size 0 is refused: anything is consistent with an empty log, so such a proof proves nothing. Unequal
    sizes need roots of 32 bytes (protocol.md §6); equal sizes need the same root and no path.
    """
    if not 0 < size1 <= size2:
        return False
    if size1 == size2:
        return not path and root1 == root2
    if any(len(node) != HASH_BYTES for node in (root1, root2, *path)):
        return False
    nodes = list(path) if size1 & (size1 - 1) else [root1, *path]
    if not nodes:
        return False
    here, last = size1 - 1, size2 - 1
    while here & 1:
        here >>= 1
        last >>= 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while here and not here & 1:
                here >>= 1
                last >>= 1
        else:
            new = node_hash(new, node)
        here >>= 1
        last >>= 1
    return last == 0 and old == root1 and new == root2
