"""The clock the gateway goes by, and an operator's word that it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.primitives.times import format_ms
from gateway.web.control.bodies import Guarded, actor, answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.running import Gateway


def routes(gateway: Gateway) -> Iterable[Guarded]:
    """Return the routes."""
    clock = gateway.clock

    def state() -> dict[str, Any]:
        return {"now": format_ms(clock()), "doubt": clock.doubt, "reason": clock.reason}

    async def show(_request: web.Request) -> web.Response:
        """GET clock: the time gone by, and why it is in doubt (null: it is not)."""
        return answer(state())

    async def confirm(request: web.Request) -> web.Response:
        """POST clock/confirmed: an operator's word, on record, that the machine's clock is right."""
        await clock.confirm(actor(request))
        return answer(state())

    acts = ("system.operate",)
    return Guarded(acts, web.get("/clock", show)), Guarded(acts, web.post("/clock/confirmed", confirm))
