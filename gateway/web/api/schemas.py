"""What a schema would change, break and refuse, before anybody registers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.errors import Finding, MalformedRequest
from gateway.primitives import b64u
from gateway.primitives.times import format_ms
from gateway.registry.compatibility import Mode
from gateway.registry.subject import MAX_REQUEST_BYTES
from gateway.services.accounts import actor_of
from gateway.web.api.answering import json_answer
from gateway.web.api.asking import read_options, refuse
from gateway.web.registry.endpoints import finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from gateway.running import Gateway
    from gateway.services.appraisal import Verdict
    from gateway.services.rehearsal import Rehearsed
    from gateway.web.api.route import Call

MEMBERS = ("document", "subject", "version", "mode", "traffic")


class Schemas:
    """The handler of `/schemas/check`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def post_check(self, call: Call) -> web.Response:
        """POST /schemas/check: verdict, difference, and what stored messages say."""
        given = await read_options(call.request, MAX_REQUEST_BYTES, MEMBERS)
        document = _text(given, "document")
        if document is None:
            detail = "`document` is the schema as text"
            raise MalformedRequest(detail, errors=(Finding("/document", detail),))
        verdict = await self._gateway.appraiser.judge(
            document.encode(), subject=_text(given, "subject"), version=_text(given, "version"), mode=_mode(given),
            explain=True, caller=call.account.id,
        )  # fmt: skip
        tried = None
        if given.get("traffic") is not False:
            tried = await self._gateway.rehearsal.run(verdict.schema, actor_of(call.account))
        return json_answer(_checked(verdict) | {"traffic": tried and _traffic(tried)})


def _text(given: Mapping[str, Any], name: str) -> str | None:
    found = given.get(name)
    if found is not None and not isinstance(found, str):
        raise refuse(name, "is text")
    return found


def _mode(given: Mapping[str, Any]) -> Mode | None:
    found = _text(given, "mode")
    if found is not None and found.upper() not in Mode.__members__:
        raise refuse("mode", f"is one of {', '.join(Mode)}")
    return None if found is None else Mode(found.upper())


def _checked(verdict: Verdict) -> dict[str, Any]:
    schema, held, against = verdict.schema, verdict.held, verdict.against
    changes = verdict.diff.changes if verdict.diff else ()
    return {
        "subject": schema.subject, "version": schema.version, "digest": b64u.encode(schema.digest),
        "registered": held is not None, "taken": verdict.taken, "mode": verdict.mode,
        "against": against.version if against else None, "compatible": not verdict.breaks,
        "verdict": verdict.diff.verdict if verdict.diff else None,
        "breaks": [finding(found) for found in verdict.breaks],
        "changes": [{"what": c.what, "pointer": c.pointer, "old": c.old, "new": c.new} for c in changes],
        "advice": [found.as_dict() for found in verdict.advice],
    }  # fmt: skip


def _traffic(tried: Rehearsed) -> dict[str, Any]:
    return {
        "since": format_ms(tried.since), "messages": tried.messages, "failed": tried.failed, "erased": tried.erased,
        "changed": tried.changed, "whole": tried.whole,
        "places": [
            {"pointer": place[0], "code": place[1], "reason": tried.reasons[place], "messages": count}
            for place, count in tried.places.most_common()
        ],
    }  # fmt: skip
