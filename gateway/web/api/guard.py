"""The one place every request of the API passes: who is it, may they, what did they ask; refusals are logged here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import GatewayError, MalformedRequest, NotPermitted, Unauthenticated
from gateway.logs import get_logger
from gateway.ports.people import Account
from gateway.services.accounts import actor_of, permitted, require
from gateway.web.api.route import Call
from gateway.web.problems import CALLER, STRANGER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiohttp import web

    from gateway.running import Gateway
    from gateway.services.gate import Gate
    from gateway.services.refusals import Refusals
    from gateway.web.api.route import Route
    from gateway.web.problems import Handler

    Authenticate = Callable[[web.Request], Awaitable[Account]]

log = get_logger()

ANYBODY = Account("anybody", "anybody", person=False, role="anybody", created_at=0, disabled_at=None)
"""Who calls a public route; permitted nothing."""
SCHEME = "bearer "


def bearer(gateway: Gateway) -> Authenticate:
    """Return what reads the account of a request from its bearer token (RFC 6750 §2.1)."""

    async def authenticate(request: web.Request) -> Account:
        header = request.headers.get("Authorization", "")
        token = header[len(SCHEME) :].strip()
        if not header.lower().startswith(SCHEME) or not token:
            detail = "send `Authorization: Bearer TOKEN`; `gateway client add` gives a token"
            raise Unauthenticated(detail)
        return await gateway.accounts.authenticate(token)

    return authenticate


def guarded(route: Route, authenticate: Authenticate, refusals: Refusals, gate: Gate) -> Handler:
    """Return the handler of a route behind its guard."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            account, owner = await admit(request, route.acts, authenticate, refusals)
            _judge_query(request, route)
            if route.keeps:
                gate.check_taking()
            return await _handled(Call(request, account, owner), route, refusals)
        except GatewayError as error:
            # Under the trace id its caller got; the code and never the content.
            log.info("request refused", code=error.slug, status=error.status, method=route.method, route=route.path)
            raise

    return handle


async def _handled(call: Call, route: Route, refusals: Refusals) -> web.StreamResponse:
    try:
        return await route.handler(call)
    except NotPermitted as error:
        # What only the content of a request decides (a name to search for, a whole bundle) is noted like the rest.
        await refusals.note("access.refused", actor_of(call.account), error.slug)
        raise


async def admit(
    request: web.Request, acts: Sequence[str], authenticate: Authenticate, refusals: Refusals
) -> tuple[Account, str | None]:
    """Return who may do one of `acts`, and the account it is bound to. Raises Unauthenticated, NotPermitted."""
    if not acts:
        return ANYBODY, None
    try:
        account = await authenticate(request)
    except Unauthenticated as error:
        await refusals.note("access.refused", STRANGER, error.slug)
        raise
    request[CALLER] = actor_of(account)
    try:
        require(account, *acts)
    except NotPermitted as error:
        await refusals.note("access.refused", actor_of(account), error.slug)
        raise
    act = next(act for act in acts if permitted(account, act))
    return account, account.id if act.endswith("-own") else None


def _judge_query(request: web.Request, route: Route) -> None:
    # A misspelt filter must not show everything; the name is not repeated, it may be a person's.
    if request.query_string and not request.query.keys() <= route.queries:
        known = ", ".join(sorted(route.queries))
        detail = f"unknown query parameter; known here: {known}" if known else "no query parameter is known here"
        raise MalformedRequest(detail)
