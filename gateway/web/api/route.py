"""What a route of the API is: path, who may, what it takes and gives. Routing, guard and OpenAPI read one table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.ports.people import Account
    from gateway.web.api.described import Named

PREFIX = "/api/v1"

Endpoint = Callable[["Call"], Awaitable["web.StreamResponse"]]


def anchored(pattern: str) -> str:
    """Return a pattern over a whole text, as JSON Schema writes it."""
    return f"^(?:{pattern})$"


@dataclass(frozen=True, slots=True)
class Call:
    """One request that passed the guard."""

    request: web.Request
    account: Account
    owner: str | None
    """The account a caller is bound to: it sees its own messages only. None: no such bound."""


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter or header: its name, JSON Schema and what it does."""

    name: str
    text: str
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})
    where: str = "query"
    required: bool = False


ETAG = Param("If-None-Match", "the ETag you hold: 304 where nothing changed", where="header")


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table.

    `acts` name what a caller must be permitted, the first that fits counts; one that ends in `-own` binds the
    caller to what is its own. No acts: public, and then nothing of a message, case or person is in the answer.
    """

    method: str
    path: str
    acts: tuple[str, ...]
    handler: Endpoint
    summary: str
    tag: str
    answer: Named | None = None
    body: Named | None = None
    status: int = 200
    media_type: str = "application/json"
    body_type: str = "application/json"
    params: tuple[Param, ...] = ()
    problems: tuple[int, ...] = ()
    text: str = ""
    keeps: bool = False
    """Its answer promises something that is kept in the database: refused while a repair would throw that away."""
    fault: Named | None = None
    """What an error looks like here; absent: RFC 9457."""

    @property
    def queries(self) -> frozenset[str]:
        """The query parameters this route knows; another one is refused, so that no misspelt filter shows all."""
        return frozenset(param.name for param in self.params if param.where == "query")
