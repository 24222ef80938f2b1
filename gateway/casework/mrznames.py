"""Names in the machine-readable zone: Latin letters as Doc 9303 part 3 §6 writes them, compared tolerantly.

A name may be written several ways (`Ü` as UE, U or UXX), apostrophes are left out, hyphens become fillers, long
names are cut. So a declared name agrees when one allowed way of writing it does.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import islice, product
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Part 3, §6: recommended transliteration of national characters, first choice first.
_WAYS: Final[dict[str, tuple[str, ...]]] = {
    "Ä": ("AE", "A"),
    "Å": ("AA", "A"),
    "Æ": ("AE",),
    "Ð": ("D",),
    "Đ": ("D",),
    "Ħ": ("H",),
    "Ĳ": ("IJ",),
    "İ": ("I",),
    "\u0131": ("I",),
    "Ł": ("L",),
    "Ŋ": ("N",),
    "Ñ": ("N", "NXX"),
    "Ö": ("OE", "O"),
    "Ø": ("OE",),
    "Œ": ("OE",),
    "ẞ": ("SS",),
    "ß": ("SS",),
    "Þ": ("TH",),
    "Ŧ": ("T",),
    "Ü": ("UE", "U", "UXX"),
    "Ơ": ("O",),
    "Ư": ("U",),
}
_MOST_WAYS: Final = 64  # of writing one name: a name made of umlauts must not cost exponential work
_SEPARATORS: Final = re.compile(r"[\s\-,]+")
_DROPPED: Final = re.compile("['\u2019.]")


def ways(name: str) -> list[tuple[str, ...]]:
    """Return the allowed ways of writing a Latin name in A-Z, each as its words; empty if a letter has none."""
    letters: list[tuple[str, ...]] = []
    for char in unicodedata.normalize("NFC", _DROPPED.sub("", name)):
        upper = char if char in _WAYS else char.upper()
        if "A" <= upper <= "Z":
            letters.append((upper,))
        elif upper in _WAYS:
            letters.append(_WAYS[upper])
        elif _SEPARATORS.fullmatch(char):
            letters.append((" ",))
        else:
            bare = "".join(c for c in unicodedata.normalize("NFD", upper) if not unicodedata.combining(c))
            bare = "".join(_WAYS.get(c, (c,))[0] for c in bare)
            if not (bare.isascii() and bare.isalpha()):
                return []
            letters.append((bare,))
    return [tuple("".join(way).split()) for way in islice(product(*letters), _MOST_WAYS)]


def agrees(name: str, primary: str, secondary: str, *, truncated: bool) -> bool:
    """Tell whether a declared Latin name may be the one in the zone (`primary`, `secondary` as read).

    The order of words is not compared: fullName follows the person's custom, the zone puts the primary
    identifier first. In a cut name each word in the zone need only begin a declared one.
    """
    zone = [*primary.split(), *secondary.split()]
    for words in ways(name):
        if sorted(zone) == sorted(words) or "".join(zone) == "".join(words):
            return True
        if truncated and zone and _begin(zone, words):
            return True
    return False


def any_agrees(names: Iterable[str], primary: str, secondary: str, *, truncated: bool) -> bool:
    """Tell whether one of a person's names agrees with the zone."""
    return any(agrees(name, primary, secondary, truncated=truncated) for name in names)


def _begin(zone: Sequence[str], words: Sequence[str]) -> bool:
    left = sorted(words, key=len)
    for part in sorted(zone, key=len, reverse=True):
        match = next((word for word in left if word.startswith(part)), None)
        if match is None:
            return False
        left.remove(match)
    return True
