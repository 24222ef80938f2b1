"""Ed25519 points that identify nobody: keys and notes both refuse them."""

from __future__ import annotations

from typing import Final

_FIELD: Final = 2**255 - 19
# y of the eight points whose order divides 8: 0 and ±1, and the two of order 8. The sign bit of x and
# spellings of y beyond the field prime are folded before looking here.
_ORDER_8_Y: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_LOW_ORDER_Y: Final = frozenset({0, 1, _FIELD - 1, _ORDER_8_Y, _FIELD - _ORDER_8_Y})


def low_order_ed25519(public: bytes) -> bool:
    """Tell whether the 32 bytes encode a point of small order, in any spelling.

    Under such a key one signature fits many messages, so it identifies nobody (protocol.md §2).
    """
    y = int.from_bytes(public, "little") & (2**255 - 1)
    return y % _FIELD in _LOW_ORDER_Y
