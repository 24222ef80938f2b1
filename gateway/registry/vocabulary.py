"""The keywords of JSON Schema 2020-12 the registry allows, and the walks every reader of a schema needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MAP_KEYWORDS: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})
LIST_KEYWORDS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
SINGLE_KEYWORDS: Final = frozenset(
    {"items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems"}
    | {"unevaluatedProperties", "not", "if", "then", "else"}
)
ASSERTIONS: Final = frozenset(
    {"type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"}
    | {"maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxContains"}
    | {"minContains", "maxProperties", "minProperties", "required", "dependentRequired", "format"}
)
ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "deprecated", "readOnly", "writeOnly", "examples", "$comment"}
    | {"contentEncoding", "contentMediaType"}
)
# Engines agree on these three; any other `format` is a note to the reader.
ASSERTED_FORMATS: Final = frozenset({"date", "date-time", "uuid"})


def escape(token: str) -> str:
    """Return a member name as a token of a JSON Pointer (RFC 6901 §3)."""
    return token.replace("~", "~0").replace("/", "~1")


def subschemas(node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each direct subschema with its pointer below `node`, in document order."""
    for key, value in node.items():
        if key in MAP_KEYWORDS and isinstance(value, dict):
            for name, sub in value.items():
                yield f"/{escape(key)}/{escape(name)}", sub
        elif key in LIST_KEYWORDS and isinstance(value, list):
            for index, sub in enumerate(value):
                yield f"/{key}/{index}", sub
        elif key in SINGLE_KEYWORDS:
            yield f"/{key}", value


def walk(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield every schema of the document with its pointer, outermost first."""
    todo = [("", document)]
    while todo:
        pointer, node = todo.pop()
        yield pointer, node
        if isinstance(node, dict):
            todo.extend((pointer + below, sub) for below, sub in subschemas(node))


def resolve(document: Any, reference: str) -> Any:
    """Return what the local reference `#` or `#/…` points at; LookupError where there is nothing."""
    node: Any = document
    for token in reference.removeprefix("#").split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        node = node[int(name)] if isinstance(node, list) else node[name]
    return node


def declares(document: Any, *path: str) -> bool:
    """Say whether `properties` has the member of this path, references followed."""
    node = document
    for name in path:
        followed: set[str] = set()
        while isinstance(node, dict) and "properties" not in node and node.get("$ref", "") not in {"", *followed}:
            followed.add(node["$ref"])
            node = resolve(document, node["$ref"])
        properties = node.get("properties") if isinstance(node, dict) else None
        if not isinstance(properties, dict) or name not in properties:
            return False
        node = properties[name]
    return True
