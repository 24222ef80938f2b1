"""The outbound queue as its operator works it: dead letters included."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.errors import MalformedRequest, NotFound
from gateway.protocol.states import Step
from gateway.services.accounts import LOCAL_OPERATOR
from gateway.services.operate import steps_offered
from gateway.web.control.bodies import answer, at, members, moment, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.runtime import Gateway

WAITING = ("queued", "sending", "held", "dead")
STATES = (*WAITING, "accepted", "rejected", "cancelled")
STEPS = {"hold": Step.HOLD, "release": Step.RELEASE, "retry": Step.RETRY, "cancel": Step.CANCEL}


def routes(gateway: Gateway) -> Iterable[web.RouteDef]:
    """Return the routes."""
    queries = gateway.queries

    async def waiting(request: web.Request) -> web.Response:
        """GET queue?state=&partner=&after=&limit=: in the order of acceptance."""
        asked = request.query.get("state")
        if asked is not None and asked not in STATES:
            raise MalformedRequest(f"`state` is one of {', '.join(STATES)}")
        rows = await queries.queue(
            states=(asked,) if asked else WAITING,
            partner=request.query.get("partner"),
            after=number(request.query, "after", 0, 2**53) if "after" in request.query else None,
            limit=number(request.query, "limit", 200, 1000),
        )
        return answer({"messages": [told(row) for row in rows]})

    async def one(request: web.Request) -> web.Response:
        """GET queue/{id}: with its attempts and what may be done to it."""
        row = await queries.message(request.match_info["id"])
        if row is None or row["direction"] != "out":
            raise NotFound("no such message of ours; `gateway queue list` shows those that wait")
        attempts = [
            {"at": at(a["at"]), "result": a["result"], "reason": a["reason"], "next_try": at(a["next_at"])}
            for a in await queries.attempts(row["jti"])
        ]
        return answer(told(row) | {"attempts": attempts, "offers": list(steps_offered(row["state"]))})

    async def step(request: web.Request) -> web.Response:
        """POST queue/{id}/{step}: hold, release, retry or cancel."""
        given = await members(request)
        reason = given.get("reason")
        done = await gateway.operator.perform(
            STEPS[request.match_info["step"]],
            request.match_info["id"],
            LOCAL_OPERATOR,
            reason if isinstance(reason, str) else None,
        )
        return answer({"id": done.jti, "state": done.state})

    async def retry_since(request: web.Request) -> web.Response:
        """POST queue/retry {"since"}: what waits and was accepted since then is due now."""
        since = moment(await members(request), "since")
        if since is None:
            raise MalformedRequest("`since` is missing")
        return answer({"retried": await gateway.operator.retry_since(since, LOCAL_OPERATOR)})

    return (
        web.get("/queue", waiting),
        web.post("/queue/retry", retry_since),
        web.get("/queue/{id}", one),
        web.post("/queue/{id}/{step:hold|release|retry|cancel}", step),
    )


def told(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one outbound message: no body."""
    found: dict[str, Any] = {
        "id": row["jti"],
        "state": row["state"],
        "recipient": row["partner"],
        "type": row["subject"],
        "case": row["case_ref"],
        "urgency": row["urgency"],
        "handling": row["handling"].split(),
        "held_for": row["held_for"],
        "attempt_count": row["attempts"],
        "accepted_at": at(row["at"]),
        "expires_at": at(row["expires_at"]),
        "next_try": at(row["next_at"]) if row["state"] == "queued" else None,
        "reason": row["reason"],
        "errors": json.loads(row["errors"]) if row["errors"] else [],
    }
    if "id" in row:
        found["cursor"] = row["id"]
    return found
