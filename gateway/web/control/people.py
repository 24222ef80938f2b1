"""Accounts: people, and partner-agency systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.errors import Finding, MalformedRequest
from gateway.web.control.bodies import Guarded, actor, answer, at, members, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.ports.people import Account
    from gateway.running import Gateway
    from gateway.services.accounts import Standing

NOUNS = {"users": True, "clients": False}


def routes(gateway: Gateway) -> Iterable[Guarded]:
    """Return the routes: the same for people (`users`) and systems (`clients`)."""
    accounts = gateway.accounts

    def told(one: Standing) -> dict[str, Any]:
        return _told(one, gateway.clock())

    async def shown(account: Account, token: str) -> dict[str, Any]:
        standings = await accounts.standings(person=account.person)
        return told(next(one for one in standings if one.account.id == account.id)) | {"token": token}

    async def held(request: web.Request) -> web.Response:
        """GET users or clients."""
        return answer({"accounts": [told(one) for one in await accounts.standings(person=_person(request))]})

    async def add(request: web.Request) -> web.Response:
        """POST users or clients: the token is in this answer and nowhere else."""
        given = await members(request)
        account, token = await accounts.add(
            text(given, "name"), text(given, "role"), person=_person(request), actor=actor(request)
        )
        return answer(await shown(account, token), 201)

    async def disable(request: web.Request) -> web.Response:
        """POST …/{name}/disable."""
        account = await accounts.disable(request.match_info["name"], person=_person(request), actor=actor(request))
        return answer({"name": account.name, "state": "disabled"})

    async def reset(request: web.Request) -> web.Response:
        """POST …/{name}/reset {"overlap"?}: a new token; the old one is refused now, or after so many hours."""
        overlap = (await members(request)).get("overlap", 0)
        if type(overlap) is not int:
            raise MalformedRequest("`overlap` is a number", errors=(Finding("/overlap", "is a number of hours"),))
        account, token = await accounts.reset(
            request.match_info["name"], person=_person(request), actor=actor(request), overlap_h=overlap
        )
        return answer(await shown(account, token))

    found = (
        web.get("/{noun:users|clients}", held),
        web.post("/{noun:users|clients}", add),
        web.post("/{noun:users|clients}/{name}/disable", disable),
        web.post("/{noun:users|clients}/{name}/reset", reset),
    )
    return [Guarded(("account.operate",), route) for route in found]


def _person(request: web.Request) -> bool:
    return NOUNS[request.match_info["noun"]]


def _told(one: Standing, now: int) -> dict[str, Any]:
    account = one.account
    state = "active" if account.disabled_at is None else "disabled"
    if state == "active" and one.token_until is not None and one.token_until <= now:
        state = "expired"
    return {
        "id": account.id,
        "name": account.name,
        "role": account.role,
        "state": state,
        "created_at": at(account.created_at),
        "disabled_at": at(account.disabled_at),
        "token_until": at(one.token_until),
        "old_token_until": at(one.old_token_until),
    }
