"""The one place every request of the API passes: who is it, may they, what did they ask; refusals are logged here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import GatewayError, MalformedRequest, NotPermitted, TooManyRequests, Unauthenticated
from gateway.logs import Seldom, get_logger
from gateway.ports.people import Account
from gateway.services.accounts import actor_of, permitted, require
from gateway.web.api.route import Call
from gateway.web.connections import CONNECTIONS
from gateway.web.problems import CALLER, STRANGER
from gateway.web.rates import REFUSED_COST, cost_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiohttp import web

    from gateway.running import Gateway
    from gateway.services.gate import Gate
    from gateway.services.refusals import Refusals
    from gateway.web.api.route import Route
    from gateway.web.problems import Handler
    from gateway.web.rates import Rates

    Authenticate = Callable[[web.Request], Awaitable[Account]]

log = get_logger()

ANYBODY = Account("anybody", "anybody", person=False, role="anybody", created_at=0, disabled_at=None)
"""Who calls a public route; permitted nothing."""
SCHEME = "bearer "
LINES_MOST = 60
"""Lines of the log for one caller and code in a minute."""


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


class Guard:
    """`guarded` puts a route behind it, `admit` judges a caller of any other."""

    def __init__(self, authenticate: Authenticate, refusals: Refusals, rates: Rates | None, gate: Gate) -> None:
        """Take who tells whose request it is, who logs refusals, and how much a caller may ask for; None: anything.

        `gate` is asked where what is promised must be kept.
        """
        self._authenticate = authenticate
        self._refusals = refusals
        self._rates = rates
        self._gate = gate
        self._seldom = Seldom(LINES_MOST)

    def guarded(self, route: Route) -> Handler:
        """Return the handler of a route behind the guard."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                account, owner = await self.admit(request, route.acts)
                _judge_query(request, route)
                if route.keeps:
                    self._gate.check_taking()
                return await self._handled(Call(request, account, owner), route)
            except GatewayError as error:
                self._tell(request, route, error)
                raise

        return handle

    async def _handled(self, call: Call, route: Route) -> web.StreamResponse:
        try:
            return await route.handler(call)
        except NotPermitted as error:
            # What only the content of a request decides (a name to search for, a whole bundle) is noted like the rest.
            await self._refusals.note("access.refused", actor_of(call.account), error.slug)
            raise

    async def admit(self, request: web.Request, acts: Sequence[str]) -> tuple[Account, str | None]:
        """Return who may do one of `acts`, and the account it is bound to.

        Raises Unauthenticated, NotPermitted, and TooManyRequests.
        """
        if not acts:
            return ANYBODY, None
        try:
            account = await self._authenticate(request)
        except Unauthenticated as error:
            await self._refusals.note("access.refused", STRANGER, error.slug)
            raise
        request[CALLER] = actor_of(account)
        if CONNECTIONS in request.app:
            request.app[CONNECTIONS].identify(request, account.id)
        wait_s = None if self._rates is None else self._rates.spend(account.id, cost_of(request))
        if wait_s is not None:
            raise TooManyRequests("more than one caller may ask for; come again", retry_after_s=wait_s)
        try:
            require(account, *acts)
        except NotPermitted as error:
            await self._refusals.note("access.refused", actor_of(account), error.slug)
            raise
        act = next(act for act in acts if permitted(account, act))
        return account, account.id if act.endswith("-own") else None

    def _tell(self, request: web.Request, route: Route, error: GatewayError) -> None:
        caller = request.get(CALLER)
        if caller is not None and self._rates is not None and error.status != TooManyRequests.status:
            self._rates.charge(caller.sub, REFUSED_COST)
        left_out = self._seldom.admit((caller, error.slug))
        if left_out is not None:
            # Under the trace id its caller got; the code and never the content.
            log.info("request refused", code=error.slug, status=error.status, method=route.method, route=route.path,
                     left_out=left_out or None)  # fmt: skip


def _judge_query(request: web.Request, route: Route) -> None:
    # A misspelt filter must not show everything; the name is not repeated, it may be a person's.
    if request.query_string and not request.query.keys() <= route.queries:
        known = ", ".join(sorted(route.queries))
        detail = f"unknown query parameter; known here: {known}" if known else "no query parameter is known here"
        raise MalformedRequest(detail)
