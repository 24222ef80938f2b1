"""What waits and what was given up, in the order of acceptance; the steps themselves are the API's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.errors import Finding, MalformedRequest
from gateway.protocol.states import State
from gateway.web.api import render
from gateway.web.control.bodies import Guarded, answer, number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.running import Gateway

STATES = frozenset(State)
WAITING = (State.QUEUED, State.SENDING, State.HELD, State.DEAD)


def routes(gateway: Gateway) -> Iterable[Guarded]:
    """Return the routes."""

    async def waiting(request: web.Request) -> web.Response:
        """GET queue?state=&partner=&cursor=&limit=; `notice` says why nothing leaves now."""
        asked = request.query.get("state")
        if asked is not None and asked not in STATES:
            detail = f"`state` is one of {', '.join(State)}"
            raise MalformedRequest(detail, errors=(Finding("/state", detail, "E-CODE"),))
        limit = number(request.query, "limit", 200, 1000)
        rows = await gateway.queries.queue(
            states=(asked,) if asked else WAITING,
            partner=request.query.get("partner"),
            after=number(request.query, "cursor", 0, 2**53) if "cursor" in request.query else None,
            limit=limit + 1,
        )
        me, shown, more = gateway.settings.me, rows[:limit], len(rows) > limit
        return answer(
            {
                "items": [render.message(row, me) for row in shown],
                "next_cursor": shown[-1]["id"] if more else None,
                "has_more": more,
                "notice": gateway.witnessing.gate.reason,
            }
        )

    return (Guarded(("queue.operate", "message.read"), web.get("/queue", waiting)),)
