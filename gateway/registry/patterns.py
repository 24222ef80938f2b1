r"""Read the regular expressions of schemas, and refuse those that hurt some engine.

Ours runs in linear time, a partner's may backtrack, and engines disagree on what `\d`, `\w`, `\s` and
`$` mean: Python's `\d` takes Khmer digits. So only a common core is allowed (literals, sets, groups,
alternation, anchors, counted repeats), and a repeat must be unambiguous: where one text can be cut into
rounds in two ways, a backtracking engine may try all 2^n ways. The proof is the classical one: the
position automaton of the repeated part has no two runs over one word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_LENGTH: Final = 512
MAX_DEPTH: Final = 8
MAX_COUNT: Final = 10_000  # of all nested counts multiplied: what the engines expand
_MAX_POSITIONS: Final = 120
_MAX_STEPS: Final = 60_000
_COPIES: Final = 8
_MANY: Final = 64  # a repeat allowed more often counts as unbounded
_MAX_OVERLAPPING: Final = 3
_LAST: Final = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]
_ANY: Final[Ranges] = ((0, 9), (11, 12), (14, 0x2027), (0x202A, _LAST))
_LITERAL_ESCAPES: Final = frozenset("^$\\.*+?()[]{}|/-")
_CONTROL: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}


class PatternRefused(ValueError):
    """A pattern outside the common core or unsafe to repeat; the argument says why, in plain words."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of sorted, disjoint code point ranges."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Series:
    """Parts one after the other; none of them is the empty text."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part `low` to `high` times; `high` None is without end."""

    part: Node
    low: int
    high: int | None


Node = Chars | Series | Choice | Repeat


def check_pattern(text: str) -> None:
    """Raise PatternRefused unless `text` is in the common core and safe for every engine."""
    if len(text) > MAX_LENGTH:
        message = f"is longer than {MAX_LENGTH} characters"
        raise PatternRefused(message)
    node = _Parser(text).parse()
    if _expanded(node) > MAX_COUNT:
        message = f"repeats more than {MAX_COUNT} times, all counts multiplied"
        raise PatternRefused(message)
    repeats = list(_repeats(node))
    for repeat in repeats:
        if (repeat.high is None or repeat.high > 1) and not isinstance(repeat.part, Chars):
            _check_repeat(repeat)
    endless = [_alphabet(r) for r in repeats if r.high is None or r.high > _MANY]
    crowded = any(sum(_meet(a, b) for b in endless) > _MAX_OVERLAPPING for a in endless)
    if crowded and _Automaton(node).ambiguous():
        message = "has too many long repeats that can share the same characters"
        raise PatternRefused(message)


def steps(text: str) -> int:
    """Return how many steps an engine makes of a pattern, its counts written out; 0 for what is no pattern."""
    if len(text) > MAX_LENGTH:
        return 0
    try:
        return _steps(_Parser(text).parse())
    except PatternRefused:
        return 0


def _steps(node: Node) -> int:
    if isinstance(node, Chars):
        # Beyond ASCII a character is several bytes, and so several steps.
        return sum(1 if high < 0x80 else 4 for _, high in node.ranges)
    if isinstance(node, Repeat):
        return max(node.high if node.high is not None else node.low, 1) * _steps(node.part)
    return sum(map(_steps, node.parts)) + 1


def _check_repeat(repeat: Repeat) -> None:
    automaton = _Automaton(Repeat(repeat.part, 0, None))
    if automaton.empty_round:
        message = "repeats a part that can be empty"
        raise PatternRefused(message)
    if automaton.ambiguous():
        message = "repeats a part in a way that can split one text in two ways (catastrophic in some engines)"
        raise PatternRefused(message)


class _Parser:
    """Recursive descent over the common core."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._choice()
        if self._at < len(self._text):
            message = "has a `)` without its `(`"
            raise PatternRefused(message)
        return node

    def _peek(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            if self._peek() in ("^", "$"):
                self._at += 1
                continue
            parts.append(self._repeat(self._atom()))
        return parts[0] if len(parts) == 1 else Series(tuple(parts))

    def _atom(self) -> Node:
        char = self._peek()
        if char == "(":
            return self._group()
        if char == "[":
            return self._set()
        self._at += 1
        if char == ".":
            return Chars(_ANY)
        if char == "\\":
            code = self._escape()
            return Chars(((code, code),))
        if char in "*+?{}]":
            message = f"has a `{char}` that must be escaped or follows nothing"
            raise PatternRefused(message)
        return Chars(((ord(char), ord(char)),))

    def _group(self) -> Node:
        self._at += 1
        if self._peek() == "?":
            if self._peek(2) != "?:":
                message = "uses look-around, flags or named groups; only ( ) and (?: ) are allowed"
                raise PatternRefused(message)
            self._at += 2
        self._depth += 1
        if self._depth > MAX_DEPTH:
            message = f"nests groups deeper than {MAX_DEPTH}"
            raise PatternRefused(message)
        node = self._choice()
        if self._peek() != ")":
            message = "has a `(` without its `)`"
            raise PatternRefused(message)
        self._at += 1
        self._depth -= 1
        return node

    def _escape(self) -> int:
        char = self._peek()
        self._at += 1
        if char in _LITERAL_ESCAPES and char:
            return ord(char)
        if char in _CONTROL:
            return _CONTROL[char]
        digits = self._peek(4)
        if char == "u" and len(digits) == 4 and all(d in "0123456789abcdefABCDEF" for d in digits):
            self._at += 4
            return int(digits, 16)
        if char and char in "dDwWsS":
            message = f"uses \\{char}, which engines read differently; write the set out, as [0-9]"
            raise PatternRefused(message)
        if char and (char in "bBkpP" or char.isdigit()):
            message = f"uses \\{char}; boundaries, back-references and properties are not allowed"
            raise PatternRefused(message)
        message = "uses an escape outside the common core"
        raise PatternRefused(message)

    def _set(self) -> Node:
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[int, int]] = []
        while self._peek() != "]":
            if self._peek(2) in ("&&", "--", "~~") or self._peek() in ("", "["):
                message = "has a set that does not end, or set operations some engines read into it"
                raise PatternRefused(message)
            low = self._set_char()
            high = low
            if self._peek() == "-" and self._peek(2) not in ("-]", "-"):
                self._at += 1
                high = self._set_char()
            if high < low:
                message = "has a range in a set that runs backwards"
                raise PatternRefused(message)
            ranges.append((low, high))
        self._at += 1
        if not ranges:
            message = "has an empty set"
            raise PatternRefused(message)
        merged = _merge(ranges)
        return Chars(_complement(merged) if negated else merged)

    def _set_char(self) -> int:
        char = self._peek()
        self._at += 1
        return self._escape() if char == "\\" else ord(char)

    def _repeat(self, node: Node) -> Node:
        char = self._peek()
        if char == "{":
            low, high = self._count()
        elif char and char in "*+?":
            self._at += 1
            low, high = int(char == "+"), 1 if char == "?" else None
        else:
            return node
        if self._peek() and self._peek() in "*+?{":
            message = "has a repeat directly after a repeat (lazy and possessive ones are not needed here)"
            raise PatternRefused(message)
        return Repeat(node, low, high)

    def _count(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._at)
        inside = self._text[self._at + 1 : end] if end > 0 else ""
        low, comma, high = inside.partition(",")
        if not _is_count(low) or (high and not _is_count(high)):
            message = "has a `{` that is no count; escape it"
            raise PatternRefused(message)
        self._at = end + 1
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if most is not None and most < least:
            message = "has a count that runs backwards"
            raise PatternRefused(message)
        return least, most


def _is_count(text: str) -> bool:
    return len(text) <= 5 and text.isascii() and text.isdigit()


class _Automaton:
    """The position (Glushkov) automaton of a node: one state per character set, edges by what may follow."""

    def __init__(self, node: Node) -> None:
        self.sets: list[Ranges] = []
        self.follow: list[set[int]] = []
        self.empty_round = False  # some repeated part can be empty
        self._twice = False  # some edge exists for two reasons: the cut between rounds is not unique
        self._first, self._last, _ = self._build(node)

    def _build(self, node: Node) -> tuple[set[int], set[int], bool]:
        if isinstance(node, Chars):
            if len(self.sets) >= _MAX_POSITIONS:
                message = "is too long to be proved safe; split it or count less"
                raise PatternRefused(message)
            self.sets.append(node.ranges)
            self.follow.append(set())
            return {len(self.sets) - 1}, {len(self.sets) - 1}, False
        if isinstance(node, Choice):
            built = [self._build(part) for part in node.parts]
            return (
                set().union(*(f for f, _, _ in built)),
                set().union(*(la for _, la, _ in built)),
                any(n for _, _, n in built),
            )
        if isinstance(node, Series):
            return self._chain(node.parts)
        return self._build_repeat(node)

    def _chain(self, parts: tuple[Node, ...]) -> tuple[set[int], set[int], bool]:
        first: set[int] = set()
        last: set[int] = set()
        nullable = True
        for part in parts:
            f, la, n = self._build(part)
            self._join(last, f)
            if nullable:
                first |= f
            last = last | la if n else la
            nullable = nullable and n
        return first, last, nullable

    def _build_repeat(self, node: Repeat) -> tuple[set[int], set[int], bool]:
        if node.high == 0:
            return set(), set(), True
        if node.high == 1:
            first, last, nullable = self._build(node.part)
            return first, last, nullable or node.low == 0
        if node.high is not None and node.high <= _COPIES:
            optional: Node | None = None
            for _ in range(node.high - node.low):
                optional = Repeat(node.part if optional is None else Series((node.part, optional)), 0, 1)
            parts = [node.part] * node.low + ([optional] if optional is not None else [])
            return self._chain(tuple(parts))
        first, last, nullable = self._build(node.part)
        self.empty_round = self.empty_round or nullable
        self._join(last, first)
        return first, last, nullable or node.low == 0

    def _join(self, sources: set[int], targets: set[int]) -> None:
        for source in sources:
            if self.follow[source] & targets:
                self._twice = True
            self.follow[source] |= targets

    def ambiguous(self) -> bool:
        """Say whether some word has two accepting runs; PatternRefused where that takes too long to find."""
        if self._twice:
            return True
        meets = _meeting(self.sets)
        steps = 0
        seen: set[tuple[int, int]] = set()
        todo = [(-1, -1)]  # equal states: the runs are still one
        while todo:
            p, q = todo.pop()
            after_p = self._first if p < 0 else self.follow[p]
            after_q = self._first if q < 0 else self.follow[q]
            steps += len(after_p) * len(after_q)
            if steps > _MAX_STEPS:
                message = "is too tangled to be proved safe; write it more simply"
                raise PatternRefused(message)
            for a in after_p:
                for b in after_q & meets[a]:
                    if p == q and a > b:
                        continue
                    if a == b and p != q:
                        return True  # two runs parted and met again: every position can still accept
                    if a != b and a in self._last and b in self._last:
                        return True
                    if (a, b) not in seen:
                        seen.add((a, b))
                        todo.append((a, b))
        return False


def _meeting(sets: list[Ranges]) -> list[set[int]]:
    return [{j for j, b in enumerate(sets) if _meet(a, b)} for a in sets]


def _repeats(node: Node) -> list[Repeat]:
    if isinstance(node, Chars):
        return []
    if isinstance(node, Repeat):
        return [node, *_repeats(node.part)]
    return [found for part in node.parts for found in _repeats(part)]


def _expanded(node: Node) -> int:
    if isinstance(node, Chars):
        return 1
    if isinstance(node, Repeat):
        return max(node.high if node.high is not None else node.low, 1) * _expanded(node.part)
    return sum(_expanded(part) for part in node.parts) + 1


def _alphabet(node: Node) -> Ranges:
    if isinstance(node, Chars):
        return node.ranges
    if isinstance(node, Repeat):
        return _alphabet(node.part)
    return _merge([pair for part in node.parts for pair in _alphabet(part)])


def _merge(ranges: list[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _complement(ranges: Ranges) -> Ranges:
    free: list[tuple[int, int]] = []
    start = 0
    for low, high in ranges:
        if low > start:
            free.append((start, low - 1))
        start = high + 1
    if start <= _LAST:
        free.append((start, _LAST))
    return tuple(free)


def _meet(a: Ranges, b: Ranges) -> bool:
    return any(low <= end and start <= high for low, high in a for start, end in b)
