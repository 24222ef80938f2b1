"""Who can still read whom: JSON Schema 2020-12 versions compared, and the registry's modes.

`can_read(reader, writer)` proves that every instance valid under the writer's schema is valid under the
reader's. It is sound: never "compatible" where an instance breaks it. What it cannot decide counts as
incompatible and says so (`Incompatibility.decided`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal

from gateway.registry.compatibility import rules_parts as parts
from gateway.registry.compatibility import rules_values as values
from gateway.registry.compatibility.places import Root, Schema
from gateway.registry.compatibility.prover import Incompatibility, Prover
from gateway.registry.compatibility.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["Break", "Incompatibility", "Mode", "can_read", "check_mode"]

_RULES: Final = {
    "type": values.type_,
    "enum": values.listed,
    "const": values.listed,
    "x-codelist": values.codelist,
    "minimum": values.bound("minimum"),
    "exclusiveMinimum": values.bound("exclusiveMinimum"),
    "maximum": values.bound("maximum"),
    "exclusiveMaximum": values.bound("exclusiveMaximum"),
    "multipleOf": values.multiple_of,
    "minLength": values.length("minLength", "string", "characters"),
    "maxLength": values.length("maxLength", "string", "characters"),
    "minProperties": values.length("minProperties", "object", "members"),
    "maxProperties": values.length("maxProperties", "object", "members"),
    "pattern": values.pattern,
    "format": values.format_,
    "$ref": values.reference,
    "allOf": values.all_of,
    "anyOf": values.any_of,
    "oneOf": values.one_of,
    "not": values.not_,
    "if": values.condition,
    "required": parts.required,
    "dependentRequired": parts.dependent_required,
    "dependentSchemas": parts.dependent_schemas,
    "properties": parts.properties,
    "patternProperties": parts.pattern_properties,
    "additionalProperties": parts.additional_properties,
    "propertyNames": parts.property_names,
    "unevaluatedProperties": parts.unevaluated_properties,
    "minItems": parts.min_items,
    "maxItems": parts.max_items,
    "uniqueItems": parts.unique_items,
    "prefixItems": parts.prefix_items,
    "items": parts.items,
    "contains": parts.contains,
    "unevaluatedItems": parts.unevaluated_items,
}
# Read with their partner: `then` and `else` with `if`, the counts with `contains`.
READ_WITH_OTHERS: Final = frozenset({"then", "else", "minContains", "maxContains", "$defs"})


class Mode(StrEnum):
    """The registry's compatibility modes (Confluent's names)."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"


@dataclass(frozen=True, slots=True)
class Break:
    """One incompatibility against one earlier version; `direction` says which mode it breaks."""

    version: str
    direction: Literal["backward", "forward"]
    why: Incompatibility

    @property
    def reads(self) -> str:
        """Say who does not read whom, or may not."""
        reader, writer = "the new version", self.version
        if self.direction == "forward":
            reader, writer = writer, reader
        return f"{reader} {'does' if self.why.decided else 'may'} not read {writer}"

    def __str__(self) -> str:
        return f"{self.reads}: {self.why}"


def can_read(
    reader: Schema,
    writer: Schema,
    *,
    codelists: Mapping[str, Collection[str]] | None = None,
) -> list[Incompatibility]:
    """Return why instances of `writer` may be invalid under `reader`; empty when proved that none is.

    Both schemas have passed `lint`. `codelists` maps `name@version` to its codes; two versions of a list
    are compared only when both are there.
    """
    prover = Prover(_RULES)
    faults = prover.under(Shape([Root(writer, codelists).place()]), Root(reader, codelists).place())
    return list(dict.fromkeys(faults))


def check_mode(
    mode: Mode,
    candidate: dict[str, Any],
    earlier: Sequence[tuple[str, dict[str, Any]]],
    *,
    codelists: Mapping[str, Collection[str]] | None = None,
) -> list[Break]:
    """Return what `mode` has against `candidate`, given the `(version, document)` pairs, oldest first.

    BACKWARD: the candidate reads what the latest wrote. FORWARD: the latest reads what the candidate
    writes. FULL: both. `_TRANSITIVE`: with every earlier version. NONE, or nothing earlier: no breaks.
    """
    against = list(earlier) if mode.endswith("_TRANSITIVE") else list(earlier)[-1:]
    breaks: list[Break] = []
    for version, document in against:
        if mode.startswith(("BACKWARD", "FULL")):
            found = can_read(candidate, document, codelists=codelists)
            breaks += [Break(version, "backward", why) for why in found]
        if mode.startswith(("FORWARD", "FULL")):
            found = can_read(document, candidate, codelists=codelists)
            breaks += [Break(version, "forward", why) for why in found]
    return breaks
