"""What everybody who signs in may know: code lists and partners; and the comparison with a partner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from gateway.casework.codelists import LANGUAGES
from gateway.errors import NotFound
from gateway.services.reconcile import Reconciler
from gateway.web.api import render
from gateway.web.api.answering import REVALIDATE, json_answer, page, tagged

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.running import Gateway
    from gateway.web.api.route import Call


class Reference:
    """The handlers of `/codelists` and `/partners`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._reconciler = Reconciler(gateway.queries, gateway.directory, gateway.contacts, gateway.link, gateway.clock)

    async def get_codelists(self, call: Call) -> web.Response:
        """GET /codelists: names and versions."""
        codelists = self._gateway.rules.codelists
        held = [found for name in codelists.names() if (found := codelists.get(name)) is not None]
        items = [
            {"list": found.name, "version": found.version, "closed": found.closed, "codes": len(found.codes)}
            for found in held
        ]
        return page(call.request, items, None, more=False)

    async def get_codelist(self, call: Call) -> web.Response:
        """GET /codelists/{list}: codes with labels in the caller's language and their validity."""
        found = self._gateway.rules.codelists.get(call.request.match_info["list"])
        if found is None:
            detail = "no such code list; `GET /api/v1/codelists` names them"
            raise NotFound(detail)
        language = preferred(call.request.headers.get("Accept-Language", ""))
        return tagged(
            call.request, orjson.dumps(render.code_list(found, language)), cache=REVALIDATE,
            headers={"Content-Language": language, "Vary": "Accept-Language"},
        )  # fmt: skip

    async def get_partners(self, call: Call) -> web.Response:
        """GET /partners: who we exchange with, and how the link to each is."""
        rows = await self._gateway.queries.partners()
        items = [render.partner(row, self._gateway.directory) for row in rows]
        return page(call.request, items, None, more=False)

    async def get_reconciliation(self, call: Call) -> web.Response:
        """GET /partners/{party}/reconcile: they hold N, we sent M, these differ."""
        found = await self._reconciler.compare(call.request.match_info["party"])
        return json_answer(render.reconciliation(found))


def preferred(header: str) -> str:
    """Return the language of ours an Accept-Language header asks for most (RFC 9110 §12.5.4); English else."""
    best, weight = LANGUAGES[0], 0.0
    for part in header.split(","):
        tag, _, parameter = part.strip().partition(";")
        language = tag.partition("-")[0].lower()
        try:
            asked = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            continue
        if language in LANGUAGES and asked > weight:
            best, weight = language, asked
    return best
