"""Evidence of a message: its chain of steps, and the bundle that anybody can check offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from gateway.services.evidence import Evidence
from gateway.services.evidence_partner import PartnerEntries
from gateway.web.api import asking, render
from gateway.web.api.answering import REVALIDATE, tagged
from gateway.web.api.messages import purpose_of

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.running import Gateway
    from gateway.services.reading import Reader
    from gateway.web.api.route import Call


class EvidenceOf:
    """The handlers of `/evidence` and of one message's chain."""

    def __init__(self, gateway: Gateway, reader: Reader) -> None:
        partner_entries = PartnerEntries(gateway.store, gateway.queries, gateway.directory, gateway.link, gateway.clock)
        self._evidence = Evidence(
            gateway.store, gateway.queries, reader, gateway.checkpoints, gateway.receiver,
            gateway.rules.catalogue, partner_entries, gateway.clock, me=gateway.settings.party.id,
        )  # fmt: skip

    async def get_bundle(self, call: Call) -> web.Response:
        """GET /evidence/{id}: the zip; logged before it leaves."""
        jti = call.request.match_info["id"]
        sender = asking.sender(call.request)
        if asking.one_of(call.request, "redacted", ("true", "false")) == "false":
            purpose = purpose_of(call.request)
            raw = await self._evidence.export(jti, call.account, sender=sender, redacted=False, purpose=purpose)
        else:
            raw = await self._evidence.export(jti, call.account, sender=sender)
        disposition = {"Content-Disposition": f'attachment; filename="{jti}.zip"'}
        return tagged(call.request, raw, media_type="application/zip", headers=disposition)

    async def get_chain(self, call: Call) -> web.Response:
        """GET /audit/messages/{id}: what happened to a message, step by step, each with its log entry."""
        jti = call.request.match_info["id"]
        steps = await self._evidence.chain(jti, call.owner, asking.sender(call.request))
        shown = {"message": jti, "steps": [render.chain_step(step) for step in steps]}
        return tagged(call.request, orjson.dumps(shown), cache=REVALIDATE)
