"""What changed between two versions, for people: added, removed, changed, and the verdict both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from gateway.registry.compatibility import Incompatibility, can_read
from gateway.registry.vocabulary import escape

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

What = Literal["added", "removed", "changed"]
_SIGNS: Final[dict[What, str]] = {"added": "+", "removed": "-", "changed": "~"}
_SETS: Final = frozenset({"required", "enum", "type"})
_NAMES: Final = frozenset({"$id", "$schema"})
_WIDTH: Final = 80


@dataclass(frozen=True, slots=True)
class Change:
    """One difference at `pointer` (in the version that has it); `old` or `new` is None where absent."""

    what: What
    pointer: str
    old: str | None = None
    new: str | None = None

    def __str__(self) -> str:
        values = {"added": self.new, "removed": self.old, "changed": f"{self.old} -> {self.new}"}
        return f"{_SIGNS[self.what]} {self.pointer or '/'}: {values[self.what]}"


@dataclass(frozen=True, slots=True)
class SchemaDiff:
    """All changes, and who can still read whom: `backward` new reads old, `forward` old reads new."""

    changes: tuple[Change, ...]
    backward: tuple[Incompatibility, ...]
    forward: tuple[Incompatibility, ...]

    @property
    def verdict(self) -> str:
        """Say in one line which way is proved."""
        if not self.backward and not self.forward:
            return "compatible both ways"
        if not self.backward:
            return "backward compatible: the new version reads what the old one wrote, not the other way round"
        if not self.forward:
            return "forward compatible: the old version reads what the new one writes, not the other way round"
        return "incompatible both ways"

    def lines(self) -> Iterator[str]:
        """Yield the text for a terminal: changes, verdict, then the reasons."""
        yield from (str(change) for change in self.changes)
        if not self.changes:
            yield "no changes"
        yield self.verdict
        yield from (f"  new reads old: {why}" for why in self.backward)
        yield from (f"  old reads new: {why}" for why in self.forward)


def diff(
    old: dict[str, Any], new: dict[str, Any], *, codelists: Mapping[str, Collection[str]] | None = None
) -> SchemaDiff:
    """Compare two linted documents; `$id` and `$schema` name the version and are no change of it."""
    changes = sorted(_compare("", _named_off(old), _named_off(new)), key=lambda c: (c.pointer, c.what))
    return SchemaDiff(
        changes=tuple(changes),
        backward=tuple(can_read(new, old, codelists=codelists)),
        forward=tuple(can_read(old, new, codelists=codelists)),
    )


def _named_off(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in _NAMES}


def _compare(pointer: str, old: Any, new: Any) -> Iterator[Change]:
    if _text(old) == _text(new):
        return
    name = pointer.rpartition("/")[2]
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _members(pointer, old, new)
    elif isinstance(old, list) and isinstance(new, list) and name in _SETS:
        yield from _elements(pointer, old, new)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            yield from _members(
                pointer,
                {str(index): old[index]} if index < len(old) else {},
                {str(index): new[index]} if index < len(new) else {},
            )
    else:
        yield Change("changed", pointer, _short(old), _short(new))


def _members(pointer: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    for name in [*old, *(name for name in new if name not in old)]:
        below = f"{pointer}/{escape(name)}"
        if name not in new:
            yield Change("removed", below, old=_short(old[name]))
        elif name not in old:
            yield Change("added", below, new=_short(new[name]))
        else:
            yield from _compare(below, old[name], new[name])


def _elements(pointer: str, old: list[Any], new: list[Any]) -> Iterator[Change]:
    """Compare lists whose order means nothing."""
    before, after = {_text(value): value for value in old}, {_text(value): value for value in new}
    for text, value in before.items():
        if text not in after:
            yield Change("removed", pointer, old=_short(value))
    for text, value in after.items():
        if text not in before:
            yield Change("added", pointer, new=_short(value))


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
