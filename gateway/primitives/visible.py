"""Text of strangers on our screens: what in it would act on a terminal, hide, or turn what is read; and shown harmless.

A control character moves the cursor or recolours a screen, a bidi override makes a line read otherwise than it is
stored, a line separator forges a line, a character without width makes two names look like one.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

LINES: Final = "\n\t"
"""What a text of several lines may hold all the same."""

_SUSPECT: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
# Zero-width space, non-joiner and joiner: Khmer, Thai and Indic spelling and composed signs need them.
_BETWEEN: Final = frozenset("\u200b\u200c\u200d")
_CARRIERS: Final = frozenset(("Lo", "Mn", "Mc", "So", "Sk"))


def deceives(text: str, *, keep: str = "") -> bool:
    """Tell whether a text holds what hides, turns or steers; the characters of `keep` are none of it."""
    return any(found[0] not in keep and not _spells(text, found.start()) for found in _SUSPECT.finditer(text))


def visible(text: str, *, keep: str = "") -> str:
    r"""Return a text with what `deceives` written out, as `\x1b` or `\u202e`."""

    def shown(found: re.Match[str]) -> str:
        if found[0] in keep or _spells(text, found.start()):
            return found[0]
        code = ord(found[0])
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return _SUSPECT.sub(shown, text)


def in_json(text: str) -> str:
    r"""Return JSON with what `deceives` as the escape that means the same; JSON's own line ends stay."""

    def escaped(found: re.Match[str]) -> str:
        if found[0] in LINES or _spells(text, found.start()):
            return found[0]
        units = found[0].encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))

    return _SUSPECT.sub(escaped, text)


def escape(text: str) -> str:
    """Return a text for HTML and SVG: markup and what `deceives` written out."""
    return html.escape(visible(text, keep=LINES))


def _spells(text: str, at: int) -> bool:
    """Tell whether a character without width stands where a script without case, or a composed sign, has one."""
    if text[at] not in _BETWEEN:
        return False
    around = text[max(0, at - 1) : at] + text[at + 1 : at + 2]
    return any(c > "\x7f" and unicodedata.category(c) in _CARRIERS for c in around)
