"""Read members of a JSON object without trusting its shape, and walk it with JSON Pointers (RFC 6901).

A member of the wrong type reads as absent: the schema says so elsewhere, and a policy must not fall over it.
Types are compared exactly: parsed JSON has no others, and every policy asks many times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]


def obj(holder: Any, key: str) -> Json:
    """Return the object at `key`, or an empty one."""
    found = holder.get(key) if type(holder) is dict else None
    return found if type(found) is dict else {}


def rows(holder: Any, key: str) -> list[Any]:
    """Return the array at `key`, or an empty one."""
    found = holder.get(key) if type(holder) is dict else None
    return found if type(found) is list else []


def text(holder: Any, key: str) -> str | None:
    """Return the string at `key`, or None."""
    found = holder.get(key) if type(holder) is dict else None
    return found if type(found) is str else None


def number(holder: Any, key: str) -> int | None:
    """Return the integer at `key`, or None; a boolean is no number."""
    found = holder.get(key) if isinstance(holder, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def texts(holder: Any, key: str) -> list[str]:
    """Return the strings of the array at `key`."""
    return [item for item in rows(holder, key) if isinstance(item, str)]


def step(pointer: str, token: str | int) -> str:
    """Return `pointer` with one more token, escaped as RFC 6901 §3 says."""
    return f"{pointer}/{str(token).replace('~', '~0').replace('/', '~1')}"


def walk(value: Any, pointer: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (pointer, member name, value) of every value below `value`; an array's items carry its name.

    Iterative: depth comes from a partner and must not be the interpreter's.
    """
    stack: list[tuple[str, str, Any]] = [(pointer, "", value)]
    while stack:
        where, name, found = stack.pop()
        if where != pointer:
            yield where, name, found
        if isinstance(found, dict):
            stack.extend((step(where, key), key, found[key]) for key in reversed(found))
        elif isinstance(found, list):
            stack.extend((step(where, i), name, found[i]) for i in range(len(found) - 1, -1, -1))
