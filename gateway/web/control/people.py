"""Accounts: people, and partner-agency systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.web.control.bodies import OPERATOR, answer, at, members, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.ports.people import Account
    from gateway.running import Gateway

NOUNS = {"users": True, "clients": False}


def routes(gateway: Gateway) -> Iterable[web.RouteDef]:
    """Return the routes: the same for people (`users`) and systems (`clients`)."""
    accounts = gateway.accounts

    async def held(request: web.Request) -> web.Response:
        """GET users or clients."""
        person = _person(request)
        return answer({"accounts": [_told(account) for account in await accounts.all(person=person)]})

    async def add(request: web.Request) -> web.Response:
        """POST users or clients: the token is in this answer and nowhere else."""
        given = await members(request)
        account, token = await accounts.add(
            text(given, "name"), text(given, "role"), person=_person(request), actor=OPERATOR
        )
        return answer(_told(account) | {"token": token}, 201)

    async def disable(request: web.Request) -> web.Response:
        """POST …/{name}/disable."""
        account = await accounts.disable(request.match_info["name"], person=_person(request), actor=OPERATOR)
        return answer({"name": account.name, "state": "disabled"})

    async def reset(request: web.Request) -> web.Response:
        """POST …/{name}/reset: a new token; the old one is refused from now on."""
        account, token = await accounts.reset(request.match_info["name"], person=_person(request), actor=OPERATOR)
        return answer(_told(account) | {"token": token})

    return (
        web.get("/{noun:users|clients}", held),
        web.post("/{noun:users|clients}", add),
        web.post("/{noun:users|clients}/{name}/disable", disable),
        web.post("/{noun:users|clients}/{name}/reset", reset),
    )


def _person(request: web.Request) -> bool:
    return NOUNS[request.match_info["noun"]]


def _told(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "role": account.role,
        "state": "active" if account.disabled_at is None else "disabled",
        "created_at": at(account.created_at),
        "disabled_at": at(account.disabled_at),
    }
