"""Rows of persons as CSV: the template to fill in, and the rows of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.casework import tabular
from gateway.errors import NotFound
from gateway.primitives import strictjson
from gateway.web.api import asking
from gateway.web.api.answering import REVALIDATE, tagged
from gateway.web.api.messages import purpose_of

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.registry.subject import SchemaVersion
    from gateway.running import Gateway
    from gateway.services.reading import Reader
    from gateway.web.api.route import Call

CSV = "text/csv"


class Bulk:
    """The handlers of CSV out; CSV in is the member `rows` of POST /messages."""

    def __init__(self, gateway: Gateway, reader: Reader) -> None:
        self._gateway = gateway
        self._reader = reader

    async def get_template(self, call: Call) -> web.Response:
        """GET /templates/{subject}: the first line of a CSV of its rows."""
        subject = call.request.match_info["subject"]
        versions = self._gateway.rules.catalogue.approved().get(subject, ())
        key = tabular.ROWS.get(subject)
        if key is None or not versions:
            detail = f"no approved type of this name has rows; those that may: {', '.join(tabular.ROWS)}"
            raise NotFound(detail)
        schema = self._gateway.rules.catalogue.version(subject, versions[-1])
        text = tabular.template(schema.document, key)
        return tagged(call.request, text.encode(), media_type=CSV, cache=REVALIDATE)

    async def get_rows(self, call: Call) -> web.Response:
        """GET /messages/{id}/rows: the rows of a message; the log entry of the reading is committed first."""
        row = await self._reader.message(call.request.match_info["id"], call.owner, asking.sender(call.request))
        key = tabular.ROWS.get(row["subject"])
        if key is None:
            detail = f"a message of this type has no rows; those that have: {', '.join(tabular.ROWS)}"
            raise NotFound(detail)
        raw = await self._reader.event(row, call.account, purpose_of(call.request))
        schema: SchemaVersion = self._gateway.rules.catalogue.version(row["subject"], row["schema_version"])
        data = strictjson.loads(raw)["data"]
        text = tabular.write(schema.document, key, data.get(key, []))
        return tagged(call.request, text.encode(), media_type=CSV)
