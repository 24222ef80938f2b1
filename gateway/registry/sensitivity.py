"""How sensitive a field is, as its schema says in `x-sensitivity`; what says nothing is the strictest.

VI identifies a victim, SU a suspect or facilitator, OP is operational, AG aggregate or reference; two classes
joined by `/` are both; `*` adds specific personal data (health, biometrics, children).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway.registry.vocabulary import escape, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

STRICTEST: Final = "VI*"
_CLASS: Final = re.compile(r"(?:VI|SU|OP|AG)(?:/(?:VI|SU|OP|AG))*\*?")


def sensitivity(field: Any) -> str:
    """Return the class of one field by its own schema. Fails closed: none, or one nobody knows, is `STRICTEST`."""
    named = field.get("x-sensitivity") if isinstance(field, dict) else None
    return named if isinstance(named, str) and _CLASS.fullmatch(named) else STRICTEST


def unclassified(document: dict[str, Any]) -> Iterator[str]:
    """Yield a pointer to each field that is strictest only because its schema names no class we know."""
    for pointer, node in walk(document):
        fields = node.get("properties", {}) if isinstance(node, dict) else {}
        for name, field in fields.items():
            if not isinstance(field, dict) or sensitivity(field) != field.get("x-sensitivity"):
                yield f"{pointer}/properties/{escape(name)}"
