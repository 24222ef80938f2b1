"""What partner-agency systems follow: the inbox by cursor, and changes of state as server-sent events."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from gateway.errors import Draining, GatewayError, RecordChanged
from gateway.services.feed import Feed
from gateway.services.slots import Slots
from gateway.web.api import asking, render
from gateway.web.api.answering import Cursors, page
from gateway.web.api.messages import purpose_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.ports.people import Account
    from gateway.running import Gateway
    from gateway.services.reading import Reader
    from gateway.web.api.route import Call

STREAMS_MOST = 200
RECONNECT_MS = 2000
_ENTRY = re.compile(r"[0-9]{1,15}")


class Inbox:
    """The handlers of `/inbox` and `/events`."""

    def __init__(
        self,
        gateway: Gateway,
        reader: Reader,
        cursors: Cursors,
        authenticate: Callable[[web.Request], Awaitable[Account]],
        *,
        heartbeat_s: float,
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._cursors = cursors
        self._authenticate = authenticate
        self._heartbeat_s = heartbeat_s
        self._feed = Feed(gateway.queries)
        self._places = Slots(
            "event streams", total=STREAMS_MOST, each=gateway.settings.limits.client_streams, retry_after_s=30
        )
        self._streams: set[asyncio.Task[object]] = set()
        self._draining = asyncio.Event()
        gateway.store.on_grown(self._feed.grew)

    def drain(self) -> None:
        """End every stream: an open one would hold a clean stop until its time limit."""
        self._draining.set()
        for task in list(self._streams):
            task.cancel()

    async def get_inbox(self, call: Call) -> web.Response:
        """GET /inbox: received events in the order of arrival, behind the cursor of the last one taken."""
        request = call.request
        after = request.query.get("after")
        place = int(self._cursors.read("inbox", after, "after")) if after else 0
        found, more = await self._reader.inbox(place, asking.limit(request), call.account, purpose_of(request))
        me = self._gateway.settings.me
        items = [
            {
                "cursor": self._cursors.write("inbox", str(item.number)),
                **render.message(item.row, me),
                "event": orjson.Fragment(item.event) if item.event is not None else None,
                "problem": None if item.event is not None else RecordChanged.slug,
            }
            for item in found
        ]
        following = items[-1]["cursor"] if items else after
        return page(request, items, following, more=more)

    async def get_events(self, call: Call) -> web.StreamResponse:
        """GET /events: one server-sent event a change, from `Last-Event-ID` on."""
        if self._draining.is_set():
            detail = "this gateway is stopping; connect again"
            raise Draining(detail)
        last = call.request.headers.get("Last-Event-ID") or call.request.query.get("last_event_id")
        if last is not None and not _ENTRY.fullmatch(last):
            raise asking.refuse("Last-Event-ID", "is the id of an event of this stream")
        with self._places.hold(call.account.id):
            return await self._stream(call, None if last is None else int(last))

    async def _stream(self, call: Call, last: int | None) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        )
        try:
            await self._follow(call, response, last)
        except asyncio.CancelledError:
            if not self._draining.is_set():
                raise
            task.uncancel()
        except ConnectionResetError:
            pass
        finally:
            self._streams.discard(task)
        return response

    async def _follow(self, call: Call, response: web.StreamResponse, last: int | None) -> None:
        with self._feed.following() as grown:
            seq = await self._feed.end() if last is None else last
            await response.prepare(call.request)
            await response.write(b"retry: %d\n\n" % RECONNECT_MS)
            while True:
                grown.clear()
                changes, reached = await self._feed.after(seq, call.owner)
                if changes:
                    await response.write(b"".join(
                        b"id: %d\nevent: %s\ndata: %s\n\n" % (c.seq, c.typ.encode(), orjson.dumps(render.change(c)))
                        for c in changes
                    ))  # fmt: skip
                if reached > seq:
                    seq = reached
                    continue
                try:
                    await asyncio.wait_for(grown.wait(), self._heartbeat_s)
                except TimeoutError:
                    if not await self._still_welcome(call):
                        return
                    await response.write(b": still here\n\n")

    async def _still_welcome(self, call: Call) -> bool:
        """Say whether the token still counts: a revoked one ends its streams too."""
        try:
            return (await self._authenticate(call.request)).id == call.account.id
        except GatewayError:
            return False
