"""Rows that come as CSV beside the data of a message: put where they belong, and found again when one is at fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from gateway.casework import tabular
from gateway.errors import Finding, SchemaViolation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.ports.common import Entropy
    from gateway.registry.subject import SchemaVersion
    from gateway.services.request import SubmitRequest


def with_rows(
    request: SubmitRequest, schema: SchemaVersion, entropy: Entropy
) -> tuple[Mapping[str, Any], tabular.Table | None]:
    """Return `data` with the rows that came as CSV, and where each of them came from. Raises SchemaViolation."""
    if request.rows is None:
        return request.data, None
    key = tabular.ROWS.get(request.subject)
    if key is None or key not in schema.document.get("properties", {}):
        detail = f"this type has no rows; those that have: {', '.join(tabular.ROWS)}"
        raise SchemaViolation(detail, errors=(Finding("/rows", detail, "E-SCHEMA"),))
    if key in request.data:
        detail = f"give `rows` or `data.{key}`, not both"
        raise SchemaViolation(detail, errors=(Finding("/rows", detail, "E-SCHEMA"),))
    table = tabular.read(
        schema.document, key, request.rows, lambda: f"P-{UUID(bytes=entropy(16), version=4)}"
    )  # fmt: skip
    if not isinstance(table, tabular.Table):
        raise SchemaViolation("the rows cannot be read as CSV of this type", errors=table)
    return {**request.data, key: table.rows}, table


def located(table: tabular.Table | None, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings with the line and column each is about, where the rows came as CSV."""
    return tuple(findings if table is None else map(table.located, findings))
