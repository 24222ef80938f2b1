"""Cases: where they stand and whose turn it is; no case data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from gateway.casework.lifecycle import CaseStatus
from gateway.protocol.event import URGENCIES
from gateway.services.caseview import CaseViews
from gateway.web.api import asking, render
from gateway.web.api.answering import Cursors, page, tagged
from gateway.web.api.messages import purpose_of

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.running import Gateway
    from gateway.services.reading import Reader
    from gateway.web.api.route import Call

# What begins like a reference is one; anything else is a name.
_REFERENCE = re.compile(r"XC(?:-[A-Z0-9-]{0,28})?")
STATUSES = frozenset(status.value for status in CaseStatus)


class Cases:
    """The handlers of `/cases`."""

    def __init__(self, gateway: Gateway, cursors: Cursors, reader: Reader) -> None:
        self._gateway = gateway
        self._reader = reader
        self._cursors = cursors
        self._views = CaseViews(gateway.store, gateway.queries, gateway.clock, gateway.settings.me)

    async def get_list(self, call: Call) -> web.Response:
        """GET /cases: last changed first."""
        request = call.request
        limit = asking.limit(request)
        filters: dict[str, Any] = {
            "status": asking.one_of(request, "status", STATUSES),
            "urgency": asking.one_of(request, "urgency", URGENCIES),
            "due_before": asking.when(request, "due_before"),
            "partner": asking.partner(request),
        }
        text = request.query.get("q")
        if text is not None and not _REFERENCE.fullmatch(text):
            return await self._named(call, text, limit, filters)
        rows = await self._gateway.queries.cases(
            text=text, account=call.owner, before=self._before(request), limit=limit + 1, **filters
        )
        shown, more = rows[:limit], len(rows) > limit
        following = None
        if more:
            following = self._cursors.write("changed", f"{shown[-1]['updated_at']} {shown[-1]['id']}")
        now = self._gateway.clock()
        return page(request, [render.case(row, now) for row in shown], following, more=more)

    async def _named(self, call: Call, name: str, limit: int, filters: dict[str, Any]) -> web.Response:
        """Answer a name: the nearest cases first, and no further page of ever worse ones."""
        rows = await self._gateway.search.by_name(
            name, call.account, call.owner, limit=limit, purpose=purpose_of(call.request), **filters
        )
        now = self._gateway.clock()
        return page(call.request, [render.case(row, now) for row in rows], None, more=False)

    def _before(self, request: web.Request) -> tuple[int, int] | None:
        cursor = request.query.get("cursor")
        if not cursor:
            return None
        at, _, number = self._cursors.read("changed", cursor).partition(" ")
        return int(at), int(number)

    async def get(self, call: Call) -> web.Response:
        """GET /cases/{ref}: status, clocks, next action, timeline of both sides."""
        view = await self._views.show(call.request.match_info["ref"], call.owner, asking.partner(call.request))
        shown = render.case_whole(view, self._gateway.settings.me, self._gateway.clock())
        return tagged(call.request, orjson.dumps(shown))

    async def get_progress(self, call: Call) -> web.Response:
        """GET /cases/{ref}/progress: how far each request is answered, row by row."""
        found = await self._views.progress(call.request.match_info["ref"], call.owner, asking.partner(call.request))
        return tagged(call.request, orjson.dumps(render.progress(found, self._gateway.settings.me)))

    async def get_persons(self, call: Call) -> web.Response:
        """GET /cases/{ref}/persons: where each person stands; the log entry of the reading is committed first."""
        case = await self._views.named(call.request.match_info["ref"], call.owner, asking.partner(call.request))
        found = await self._reader.persons(case, call.account, purpose_of(call.request))
        return tagged(call.request, orjson.dumps({"persons": [render.person(state) for state in found]}))
