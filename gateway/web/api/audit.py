"""The audit log for auditors: entries by filter, the newest checkpoint, a proof for one entry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from gateway.primitives import b64u
from gateway.primitives.merkle import leaf_hash
from gateway.primitives.times import format_ms
from gateway.services.auditlog import AuditLog
from gateway.services.reading import READS
from gateway.web.api import asking, render
from gateway.web.api.answering import REVALIDATE, Cursors, csv_page, page, tagged
from gateway.web.api.messages import CASE
from gateway.web.problems import REQUEST_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

    from gateway.running import Gateway
    from gateway.web.api.route import Call

FORMATS = ("json", "csv")
MOST_PROBLEMS = 200
WORD = re.compile(r"[!-~][ -~]{0,99}")
_WORDS = "is one line of printable ASCII, 100 characters at most"


class Audit:
    """The handlers of `/audit`."""

    def __init__(self, gateway: Gateway, cursors: Cursors) -> None:
        self._gateway = gateway
        self._cursors = cursors
        self.log = AuditLog(gateway.queries, gateway.checkpoints, lambda: gateway.witnessing.cosigning.published)

    async def get_entries(self, call: Call) -> web.Response:
        """GET /audit/entries: newest first."""
        request = call.request
        limit = asking.limit(request)
        cursor = request.query.get("cursor")

        def word(name: str) -> str | None:
            return asking.matching(request, name, WORD, _WORDS)

        # Whoever got an error copies its `trace_id`, or its `instance`, which holds it.
        obj = (word("object") or "").removeprefix(REQUEST_PREFIX) or None
        typ = word("type")
        asked: dict[str, Any] = {
            "actor": word("actor"), "jti": word("message"),
            "case": asking.matching(request, "case", CASE, "is a case reference such as XC-ID-2026-000123-8"),
            "obj": obj, "since": asking.when(request, "since"), "until": asking.when(request, "until"),
            "outcome": word("outcome"), "before": int(self._cursors.read("entries", cursor)) if cursor else None,
        }  # fmt: skip
        if asking.flag(request, "reads"):
            types = [one for one in READS if typ in {None, one}]
            rows = await self._gateway.queries.entries_of(types, limit=limit + 1, **asked)
        else:
            rows = await self._gateway.queries.entries(typ=typ, limit=limit + 1, **asked)
        shown, more = rows[:limit], len(rows) > limit
        following = self._cursors.write("entries", str(shown[-1]["seq"])) if more else None
        entries = [render.log_entry(row) for row in shown]
        problems = [render.problem(row) for row in await self._told(obj)] if cursor is None else []
        if asking.one_of(request, "format", FORMATS) == "csv":
            return csv_page(request, render.log_columns([*problems, *entries]), following)
        return page(request, entries, following, more=more, problems=problems)

    async def _told(self, trace_id: str | None) -> Sequence[Mapping[str, Any]]:
        """Return the errors that were answered under an id: whoever got one may ask about it at once."""
        if trace_id is None:
            return ()
        await self._gateway.problems.flush()
        return await self._gateway.queries.problems(trace_id, MOST_PROBLEMS)

    async def get_checkpoint(self, call: Call) -> web.Response:
        """GET /audit/checkpoint: the newest signed one."""
        found = self.log.checkpoint
        shown = {
            "origin": self._gateway.settings.log_origin, "size": found.size, "root": b64u.encode(found.root),
            "signed_at": format_ms(found.at), "note": found.note,
        }  # fmt: skip
        return tagged(call.request, orjson.dumps(shown), cache=REVALIDATE)

    async def get_proof(self, call: Call) -> web.Response:
        """GET /audit/proof: the inclusion path of one entry in the log at `size`."""
        index = asking.number(call.request, "index")
        if index is None:
            raise asking.refuse("index", "is missing: the number of the entry")
        found = await self.log.inclusion(index, asking.number(call.request, "size"))
        # The cosigned one first: it is believed without us.
        heads = (self.log.published, self.log.checkpoint)
        shown = {
            "index": found.index, "size": found.size, "data": b64u.encode(found.data),
            "hash": b64u.encode(leaf_hash(found.data)), "path": [b64u.encode(node) for node in found.path],
            "root": b64u.encode(found.root),
            "checkpoint": next((head.note for head in heads if head.size == found.size), None),
        }  # fmt: skip
        return tagged(call.request, orjson.dumps(shown), cache=REVALIDATE)
