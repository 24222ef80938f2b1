"""The container of a bundle: a zip whose every byte follows from the names and contents of its files.

Nothing is compressed: what a compressor writes differs from one version of it to the next, and a bundle must
be the same bytes wherever it is made. Times, attributes and versions are fixed. Any unzip reads it; a verifier
that reads it writes it again and compares, so a byte changed anywhere in the container shows.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final
from zlib import crc32

from gateway.errors import MalformedProof

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BUNDLE_BYTES: Final = 64 * 1024 * 1024  # an event of 10 MiB with everything around it, several times

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_VERSION: Final = 20
_UNIX: Final = 3 << 8 | _VERSION
_DATE: Final = 1 << 5 | 1  # 1980-01-01, the first day a zip can name
_MODE: Final = 0o100644 << 16


def write(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the zip of (path, content) in this order; paths are ASCII.

    PKWARE APPNOTE 6.3.3: local headers with sizes (no data descriptors), stored, no extra fields, no comments.
    """
    body, directory, count = bytearray(), bytearray(), 0
    for path, content in files:
        name, crc, size = path.encode("ascii"), crc32(content), len(content)
        directory += _CENTRAL.pack(
            b"PK\x01\x02", _UNIX, _VERSION, 0, 0, 0, _DATE, crc, size, size, len(name), 0, 0, 0, 0, _MODE, len(body)
        )
        directory += name
        body += _LOCAL.pack(b"PK\x03\x04", _VERSION, 0, 0, 0, _DATE, crc, size, size, len(name), 0)
        body += name
        body += content
        count += 1
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + end)


def read(raw: bytes) -> list[tuple[str, bytes]]:
    """Return (path, content) of each file by walking the local headers. Raises MalformedProof.

    Lenient on purpose: check sums and the directory are not looked at, so that one flipped byte does not hide
    all other faults. Whoever needs the container intact compares `write` of the result with `raw`.
    """
    if len(raw) > MAX_BUNDLE_BYTES:
        raise MalformedProof("the file is larger than 64 MiB")
    found: list[tuple[str, bytes]] = []
    at = 0
    while raw[at : at + 4] == b"PK\x03\x04" and len(raw) - at >= _LOCAL.size:
        *_, size, name_size, extra_size = _LOCAL.unpack_from(raw, at)
        start = at + _LOCAL.size + name_size + extra_size
        name = raw[at + _LOCAL.size : at + _LOCAL.size + name_size]
        if start + size > len(raw) or not name.isascii() or not name.decode().isprintable():
            raise MalformedProof("the zip is cut off or damaged")
        found.append((name.decode("ascii"), raw[start : start + size]))
        at = start + size
    if not found:
        raise MalformedProof("not a zip of stored files")
    return found
