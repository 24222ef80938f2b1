"""Names that are written in many ways: search keys, ranking, and finding a known name in a text.

Khmer: one look has several encodings, which NFC does not unify, so comparison is on a normalised order of each
syllable. Romanisation is by habit and not reversible: a computed Latin key ranks candidates, it is no spelling
and is never stored as one.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from anyascii import anyascii

if TYPE_CHECKING:
    from collections.abc import Iterable

_ACCENTS: Final = re.compile("[\u0300-\u036f]+")
_INVISIBLE: Final = re.compile("[\u200b-\u200d\ufeff]")
_COENG: Final = "\u17d2"
_RO: Final = "\u179a"
# What looks alike however typed: split vowels, subscript DA as TA.
_KHMER_ALIKE: Final = (
    ("\u17c1\u17b8", "\u17be"),
    ("\u17c1\u17b6", "\u17c4"),
    ("\u17d2\u178a", "\u17d2\u178f"),
)
_CLUSTER: Final = re.compile("([\u1780-\u17b3])((?:\u17d2[\u1780-\u17b3]|[\u17b6-\u17d1\u17dd])+)")
_PIECE: Final = re.compile("\u17d2[\u1780-\u17b3]|[\u17b6-\u17d1\u17dd]")
# Scripts that are not divided into words, and the dots that Chinese puts between the parts of foreign names.
_UNDIVIDED: Final = re.compile("[\u1780-\u17dd\u3400-\u9fff]+")
_JOINTS: Final = re.compile("[ \u00b7\u30fb]")
_WORD: Final = re.compile(r"[^\W\d_]+")
# Spellings that Khmer romanisation uses for one sound, longest first.
_SOUNDS: Final = (
    ("eau", "o"),
    ("ph", "p"),
    ("th", "t"),
    ("kh", "k"),
    ("ch", "c"),
    ("oeu", "u"),
    ("ou", "u"),
    ("oo", "u"),
    ("ee", "i"),
    ("ea", "ia"),
    ("v", "w"),
    ("b", "p"),
    ("d", "t"),
)
_VOWELS: Final = re.compile("[aeiou]")
_LEAST_WORD: Final = 4  # letters: a shorter single name is a word in some language
# What of a long name is looked for: its first words, or in an undivided script its letters up to there.
_MOST_WORDS: Final = 6
_MOST_LETTERS: Final = 40


@dataclass(frozen=True, slots=True)
class Ranked:
    """One candidate and how near it is (0 to 100)."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class NameKey:
    """What is stored of a name, or of one word of it, for search.

    `block` is its first consonant: names are compared within a block, since however a name is romanised it keeps
    that one (tried with all names of the tests).
    """

    block: str
    folded: str
    latin: str
    sound: str


def fold_khmer(value: str) -> str:
    """Return Khmer text in one encoding: NFC, no zero-width characters, each syllable's parts in a fixed order."""
    folded = _INVISIBLE.sub("", unicodedata.normalize("NFC", value))
    for written, one in _KHMER_ALIKE:
        folded = folded.replace(written, one)
    return _CLUSTER.sub(lambda m: m[1] + "".join(sorted(_PIECE.findall(m[2]), key=_rank)), folded)


def _rank(piece: str) -> int:
    if piece[0] == _COENG:
        return 1 if piece[1] == _RO else 0
    if piece in "\u17c9\u17ca":
        return 2
    return 3 if "\u17b6" <= piece <= "\u17c5" else 4


def fold(value: str) -> str:
    """Return a name for equality: folded, without case or accents, words separated by one space."""
    if value.isascii():
        return " ".join(value.casefold().split())
    decomposed = unicodedata.normalize("NFD", fold_khmer(value)).casefold()
    return " ".join(unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed)).split())


def search_key(value: str) -> str:
    """Return the Latin key of a name in any script, for an index and for ranking."""
    return _bare(anyascii(fold_khmer(value)).casefold())


def sound_key(value: str) -> str:
    """Return the search key with spellings of one sound made one and doubled letters single."""
    key = search_key(value)
    for written, one in _SOUNDS:
        key = key.replace(written, one)
    return re.sub(r"(.)\1+", r"\1", key)


def keys_of(value: str) -> tuple[NameKey, ...]:
    """Return the keys under which a name is stored and sought: the whole name, then each of several words."""
    folded = fold(value)
    words = folded.split()
    parts = [folded, *(word for word in words if len(word) > 1)] if len(words) > 1 else words
    return tuple(dict.fromkeys(key for part in parts if (key := _key_of(part)).sound))


def score(one: str, other: str) -> float:
    """Return how near two names are (0 to 100), whatever scripts they are written in."""
    return key_score(_key_of(fold(one)), _key_of(fold(other)))


def key_score(one: NameKey, other: NameKey) -> float:
    """Return how near the names of two keys are (0 to 100); 100 only for the same name as written."""
    if one.folded == other.folded:
        return 100.0
    # Only a search ranks names: a start need not wait for this.
    from rapidfuzz import fuzz

    exact = fuzz.ratio(_bare(one.latin), _bare(other.latin))
    heard = fuzz.ratio(one.sound, other.sound)
    words = fuzz.token_sort_ratio(one.latin, other.latin)
    bones = fuzz.ratio(_VOWELS.sub("", one.sound), _VOWELS.sub("", other.sound))
    return min(99.0, max((exact + heard + bones) / 3, words))


def _key_of(folded: str) -> NameKey:
    latin, sound = anyascii(folded).casefold(), sound_key(folded)
    return NameKey(_VOWELS.sub("", sound)[:1] or sound[:1], folded, latin, sound)


def _bare(latin: str) -> str:
    return "".join(c for c in latin if c.isascii() and c.isalnum())


def rank(query: str, candidates: Iterable[str], limit: int = 10) -> list[Ranked]:
    """Return the nearest candidates, best first; equal scores keep their order."""
    ranked = [Ranked(candidate, score(query, candidate)) for candidate in candidates]
    return sorted(ranked, key=lambda r: -r.score)[:limit]


def mention_key(name: str) -> str | None:
    """Return the form under which a name is looked for in texts, or None where it is too short to be told.

    Khmer and Chinese are not divided into words: there the key has no spaces. Single Latin names of fewer than
    four letters are passed over, being words of some language.
    """
    wanted = fold(name)
    if _UNDIVIDED.search(wanted):
        joined = _JOINTS.sub("", wanted)[:_MOST_LETTERS]
        return joined if len(joined) > 1 else None
    parts = _WORD.findall(wanted)
    if len(parts) > 1 or (parts and len(parts[0]) >= _LEAST_WORD):
        return " ".join(parts[:_MOST_WORDS])
    return None


def mention_head(key: str) -> str:
    """Return what a `mention_key` begins with: its first word, or its first two letters in an undivided script."""
    return key[:2] if _UNDIVIDED.match(key) else key.partition(" ")[0]


def heads_in(value: str) -> frozenset[str]:
    """Return every head that a name mentioned in this text could have."""
    words, runs = _parts(value)
    return frozenset(words) | {run[at : at + 2] for run in runs for at in range(len(run) - 1)}


def keys_in(value: str, heads: frozenset[str]) -> frozenset[str]:
    """Return the keys that a name with one of these heads could have, mentioned in this text."""
    words, runs = _parts(value)
    found = {
        " ".join(words[start : start + length])
        for start, word in enumerate(words)
        if word in heads
        for length in range(1, min(_MOST_WORDS, len(words) - start) + 1)
    }
    for run in runs:
        found |= {
            run[at : at + length]
            for at in range(len(run) - 1)
            if run[at : at + 2] in heads
            for length in range(2, min(_MOST_LETTERS, len(run) - at) + 1)
        }
    return frozenset(found)


def _parts(value: str) -> tuple[list[str], list[str]]:
    folded = fold(value)
    return _WORD.findall(folded), _UNDIVIDED.findall(_JOINTS.sub("", folded))


def mentions(value: str, names: Iterable[str]) -> bool:
    """Tell whether a text holds one of the names as whole words, in any case, accents and Khmer encoding aside."""
    keys = {key for key in map(mention_key, names) if key is not None}
    if not keys:
        return False
    folded = fold(value)
    words = f" {' '.join(_WORD.findall(folded))} "
    joined = _JOINTS.sub("", folded)
    return any(key in joined if _UNDIVIDED.search(key) else f" {key} " in words for key in keys)
