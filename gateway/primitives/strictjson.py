"""Strict JSON (protocol.md §1): one reading of every document, or none.

UTF-8 without BOM; no duplicate member, NaN or Infinity; numbers written as integers within ±(2^53-1);
at most `max_depth` containers inside one another, the outermost being 1; no lone surrogate; at most MAX_VALUES
commas and opening brackets, wherever they stand. Two parsers
that disagree on one of these let a document mean one thing to whoever checks it and another to whoever
acts on it.

The rule is `_loads_slow`, the standard library's parser with hooks. The fast way reads with orjson,
writes the value again and compares: equal bytes leave no room for a duplicate, a big integer or a
surrogate (all would be written differently). Whatever differs, the rule decides.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

MAX_DEPTH = 64
MAX_INTEGER = 2**53 - 1
MAX_VALUES = 200_000
"""Ten times a group of 500 persons. Three bytes such as `[],` become an object of 60: without it, one document of
10 MiB costs seconds and 700 MiB before anybody has looked at what it says."""
_LONGEST_INTEGER = len(f"-{MAX_INTEGER}")


class NotStrict(ValueError):
    """The bytes are not strict JSON. The text is a plain reason and never quotes the document."""


def loads(raw: bytes, *, max_depth: int = MAX_DEPTH, integers_only: bool = True) -> Any:
    """Return the value of the strict JSON document `raw`.

    `integers_only=False` also admits fractions and exponents that fit a double. Raises NotStrict.
    """
    if len(raw) > MAX_VALUES and most_values(raw) > MAX_VALUES:
        raise NotStrict(f"over {MAX_VALUES:,} commas and brackets, too many values for one document")
    try:
        value = orjson.loads(raw)
        same = orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER) == raw
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        same = False
    if same and _plain(value, max_depth, floats=not integers_only):
        return value
    value = None  # not two readings in memory at once
    return _loads_slow(raw, max_depth=max_depth, integers_only=integers_only)


def dumps(value: Any) -> bytes:
    """Return `value` as compact UTF-8 JSON, members in their own order.

    Raises TypeError for big integers, lone surrogates and foreign types. Floats are not looked for: the
    wire has none, and NaN would be written as null.
    """
    return orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER)


def most_values(raw: bytes) -> int:
    """Return how many values a document can hold at most: each but the first stands behind one of these."""
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def _plain(value: Any, max_depth: int, *, floats: bool) -> bool:
    """Tell whether `value` is no deeper than allowed and (unless `floats`) holds no float; level by level."""
    if type(value) is float:
        return floats
    level: list[Any] = [value] if type(value) is dict or type(value) is list else []
    depth = 0
    while level:
        depth += 1
        if depth > max_depth:
            return False
        inner: list[Any] = []
        for container in level:
            for item in container.values() if type(container) is dict else container:
                shape = type(item)
                if shape is str:
                    continue
                if shape is dict or shape is list:
                    inner.append(item)
                elif shape is float and not floats:
                    return False
        level = inner
    return True


def _loads_slow(raw: bytes, *, max_depth: int, integers_only: bool) -> Any:
    """Apply the rule: the standard library's parser, with a hook for each thing it lets pass."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise NotStrict("not UTF-8") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_members,
            parse_int=_integer,
            parse_float=_no_fraction if integers_only else _fraction,
            parse_constant=_no_constant,
        )
    except json.JSONDecodeError as fault:
        raise NotStrict(f"not JSON at character {fault.pos}") from None
    except RecursionError:  # its guard against 100,000 opening brackets; the depth itself is judged below
        raise NotStrict("nested too deeply") from None
    if not _plain(value, max_depth, floats=True):
        raise NotStrict("nested too deeply")
    if "\\u" in text:
        try:
            # The parser turns the escape of half a pair into a lone surrogate, which no UTF-8 can write.
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise NotStrict("lone surrogate") from None
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrict("duplicate member")
    return found


def _integer(digits: str) -> int:
    # Length first: turning megabytes of digits into a number is quadratic work for the asking.
    if len(digits) > _LONGEST_INTEGER or abs(number := int(digits)) > MAX_INTEGER:
        raise NotStrict("integer beyond 2^53-1")
    return number


def _fraction(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise NotStrict("number beyond a double")
    return number


def _no_fraction(_digits: str) -> NoReturn:
    raise NotStrict("number not written as an integer")


def _no_constant(_name: str) -> NoReturn:
    raise NotStrict("NaN or Infinity")
