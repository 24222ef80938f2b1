"""The one place every request of the API passes: who is it, may they, what did they ask; refusals are logged here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import GatewayError, MalformedRequest, NotPermitted, Unauthenticated
from gateway.logs import get_logger
from gateway.ports.people import Account
from gateway.services.accounts import actor_of, permitted
from gateway.web.api.route import Call
from gateway.web.problems import CALLER, STRANGER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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
            account, owner = await _admit(request, route, authenticate, refusals)
            _judge_query(request, route)
            if route.keeps:
                gate.check_taking()
            return await route.handler(Call(request, account, owner))
        except GatewayError as error:
            # Under the trace id its caller got; the code and never the content.
            log.info("request refused", code=error.slug, status=error.status, method=route.method, route=route.path)
            raise

    return handle


async def _admit(
    request: web.Request, route: Route, authenticate: Authenticate, refusals: Refusals
) -> tuple[Account, str | None]:
    if not route.acts:
        return ANYBODY, None
    try:
        account = await authenticate(request)
    except Unauthenticated as error:
        await refusals.note("access.refused", STRANGER, error.slug)
        raise
    request[CALLER] = actor_of(account)
    for act in route.acts:
        if permitted(account, act):
            return account, account.id if act.endswith("-own") else None
    await refusals.note("access.refused", actor_of(account), NotPermitted.slug)
    detail = f"the role {account.role} may not do this"
    raise NotPermitted(detail)


def _judge_query(request: web.Request, route: Route) -> None:
    # A misspelt filter must not show everything; the name is not repeated, it may be a person's.
    if request.query_string and not request.query.keys() <= route.queries:
        known = ", ".join(sorted(route.queries))
        detail = f"unknown query parameter; known here: {known}" if known else "no query parameter is known here"
        raise MalformedRequest(detail)
