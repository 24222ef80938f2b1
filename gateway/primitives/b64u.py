"""base64url without padding, one text per value (protocol.md §1; RFC 4648 §5, §3.5).

Signatures, key ids and digests are compared as text, so a second spelling of the same bytes (padding,
a line break, stray bits in the last character) would let one object pass under two names.
"""

from __future__ import annotations

import pybase64

_URL = b"-_"
# The last character carries 2 or 4 bits that decode to nothing: they must be zero.
_CLEAN_ENDS = {2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}
_PADDING = (b"", b"", b"==", b"=")


def encode(raw: bytes | memoryview) -> str:
    """Return the base64url text of `raw`, unpadded."""
    return pybase64.b64encode_as_string(raw, _URL).rstrip("=")


def encode_bytes(raw: bytes | memoryview) -> bytes:
    """Return the base64url text of `raw` as ASCII bytes, unpadded."""
    return pybase64.b64encode(raw, _URL).rstrip(b"=")


def decode(text: str | bytes) -> bytes:
    """Return the bytes that `text` encodes.

    Raises ValueError unless encoding the result gives `text` again. The message never quotes it.
    """
    if isinstance(text, str):
        if not text.isascii():
            raise ValueError("not base64url: character outside the alphabet")
        raw = text.encode("ascii")
    else:
        raw = text
    rest = len(raw) & 3
    if rest == 1:
        raise ValueError("not base64url: impossible length")
    # The decoder below knows these three; the alphabet of RFC 4648 §5 without padding does not.
    if b"+" in raw or b"/" in raw or b"=" in raw:
        raise ValueError("not base64url: character outside the alphabet")
    if rest and raw[-1] not in _CLEAN_ENDS[rest]:
        raise ValueError("not base64url: stray bits at the end")
    return pybase64.b64decode(raw + _PADDING[rest], _URL, validate=True)
