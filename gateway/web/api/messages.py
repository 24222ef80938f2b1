"""Messages: submit, list, show, read, and what an operator does to them."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from gateway.errors import (
    Finding,
    NotFound,
    Refusal,
    RequestError,
    SchemaViolation,
)
from gateway.ports.people import StoredAnswer
from gateway.primitives import strictjson
from gateway.protocol.reasons import CANCEL_REASONS
from gateway.protocol.states import State, Step
from gateway.services.accounts import actor_of
from gateway.services.reading import Reader
from gateway.services.request import SubmitRequest, read_request
from gateway.services.submit import LARGE_BYTES, Accepted, Idempotency, aside
from gateway.web.api import asking, render
from gateway.web.api.answering import Cursors, answered, json_answer, page, tagged
from gateway.web.api.budget import Budget
from gateway.web.api.route import PREFIX, Call
from gateway.web.intake import INTAKE
from gateway.web.intake import LARGE_BYTES as INTAKE_LARGE
from gateway.web.problems import document, trace_id_of, traceparent_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from gateway.running import Gateway

    Row = Mapping[str, Any]

PURPOSE_NEEDED: Final[web.AppKey[bool]] = web.AppKey("purpose-needed", bool)
"""In an application: whoever reads a record must say why."""
BATCH_MOST = 100
OPTIONS_BYTES = 4096
# A batch of a hundred records of 4 KB, or single posts enough to fill a commit; more at once is no faster.
PARSED_BYTES = 640 * 1024
# More than a hundred records of 4 KB have: a body of 300 KB may hold two hundred thousand.
MANY_VALUES = 50_000
STATES = frozenset({*(state.value for state in State), "received"})
STEPS = {"retry": Step.RETRY, "hold": Step.HOLD, "release": Step.RELEASE, "cancel": Step.CANCEL}
CASE = re.compile(r"XC-[A-Z]{2}-[0-9]{4}-[0-9]{6}-[0-9A-Z]")
SUBJECT = re.compile(r"[a-z][a-z0-9.-]{0,99}")


class Messages:
    """The handlers of `/messages`."""

    def __init__(self, gateway: Gateway, cursors: Cursors) -> None:
        self._gateway = gateway
        self._cursors = cursors
        self._most = gateway.settings.limits.api_body_bytes
        self._parsed = Budget(PARSED_BYTES)
        self.reader = Reader(gateway.store, gateway.queries, gateway.rules.codelists, gateway.clock)

    # --- submitting -----------------------------------------------------------------------------

    async def post(self, call: Call) -> web.Response:
        """POST /messages: 202, or with `dry_run` what it would have been."""
        try:
            if asking.flag(call.request, "dry_run"):
                raw = await asking.read_body(call.request, self._most)
                async with self._reading(call, raw) as (body, large):
                    del raw
                    await self._gateway.submitter.check(read_request(body), call.account, large=large)
                return json_answer({"valid": True})
            return await self._submit(call, "POST /messages", many=False)
        except RequestError as error:
            await self._note_refused(call, [Refusal.of(error)])
            raise

    async def post_advice(self, call: Call) -> web.Response:
        """POST /messages/advice: the least handling the message must have, and what is worth a second look."""
        raw = await asking.read_body(call.request, self._most)
        async with self._reading(call, raw) as (body, large):
            if isinstance(body, dict):
                body.setdefault("handling", ["H0"])
            found = await self._gateway.submitter.advise(read_request(body), call.account, large=large)
        return json_answer(
            {"handling": list(found.handling), "advice": [finding.as_dict() for finding in found.prompts]}
        )  # fmt: skip

    async def post_batch(self, call: Call) -> web.Response:
        """POST /messages/batch: all that can be accepted commit together; each result in its place."""
        try:
            return await self._submit(call, "POST /messages/batch", many=True)
        except RequestError as error:
            await self._note_refused(call, [Refusal.of(error)])
            raise

    async def _submit(self, call: Call, route: str, *, many: bool) -> web.Response:
        key = asking.idempotency_key(call.request)
        raw = await asking.read_body(call.request, self._most)
        idempotency = Idempotency(route, key, sha256(raw).digest(), many=many)
        async with self._reading(call, raw, many=many) as (body, large):
            del raw
            return await self._submit_body(call, idempotency, body, large=large)

    @asynccontextmanager
    async def _reading(self, call: Call, raw: bytes, *, many: bool = False) -> AsyncIterator[tuple[Any, bool]]:
        """Yield what a body says, and whether it is so large that it is worked on in a thread; one such at a time."""
        # A full batch of records goes the short way: a hand-over for each of its messages costs more than it saves.
        alone = len(raw) > INTAKE_LARGE
        large = alone or (strictjson.most_values(raw) > MANY_VALUES if many else len(raw) > LARGE_BYTES)
        # What is worked on alone is bounded by that, and must not hold up the small ones.
        async with call.request.app[INTAKE].working() if alone else self._parsed.of(len(raw)):
            yield await aside(partial(asking.parse_body, raw), large=large), large

    async def _submit_body(self, call: Call, idempotency: Idempotency, body: Any, *, large: bool) -> web.Response:
        refused: list[Refusal] = []
        trace_id = trace_id_of(call.request)

        def one(results: Sequence[Accepted | Refusal]) -> StoredAnswer:
            [accepted] = results
            assert isinstance(accepted, Accepted)
            location = f"{PREFIX}/messages/{accepted.jti}"
            return StoredAnswer(idempotency.request, 202, orjson.dumps(render.accepted(accepted)), location)

        def several(results: Sequence[Accepted | Refusal]) -> StoredAnswer:
            shown: list[dict[str, Any]] = []
            for result in results:
                if isinstance(result, Accepted):
                    shown.append(render.accepted(result))
                else:
                    refused.append(result)
                    shown.append(document(result.error(), trace_id))
            return StoredAnswer(idempotency.request, 202, orjson.dumps({"results": shown}), None)

        requests = _batch(body) if idempotency.many else [read_request(body)]
        stored, replayed = await self._gateway.submitter.submit(
            requests, call.account, idempotency, several if idempotency.many else one,
            traceparent=traceparent_of(call.request), large=large,
        )  # fmt: skip
        if refused:
            await self._note_refused(call, refused)
        return answered(stored, replayed=replayed)

    async def _note_refused(self, call: Call, refusals: Sequence[Refusal]) -> None:
        """Log what was refused under the id its caller got: one entry a code, however large the batch."""
        codes = dict.fromkeys(r.slug for r in refusals if 400 <= r.kind.status < 500 and r.kind.status != 429)
        actor, obj = actor_of(call.account), ("request", trace_id_of(call.request))
        for code in codes:
            await self._gateway.refusals.note("message.refused", actor, code, obj=obj)

    # --- reading --------------------------------------------------------------------------------

    async def get_list(self, call: Call) -> web.Response:
        """GET /messages: newest first."""
        request = call.request
        limit = asking.limit(request)
        cursor = request.query.get("cursor")
        rows = await self._gateway.queries.messages(
            direction=asking.one_of(request, "direction", ("in", "out")),
            state=asking.one_of(request, "state", STATES),
            case=asking.matching(request, "case", CASE, "is a case reference such as XC-ID-2026-000123-8"),
            subject=asking.matching(request, "type", SUBJECT, "is a message type such as case.referral"),
            since=asking.when(request, "since"),
            account=call.owner,
            partner=asking.partner(request),
            before=int(self._cursors.read("arrivals", cursor)) if cursor else None,
            limit=limit + 1,
        )
        shown = rows[:limit]
        more = len(rows) > limit
        following = self._cursors.write("arrivals", str(shown[-1]["leaf"])) if more else None
        me = self._gateway.settings.me
        return page(request, [render.message(row, me) for row in shown], following, more=more)

    async def get(self, call: Call) -> web.Response:
        """GET /messages/{id}: state, attempts, receipt facts."""
        return await self._show(call, await self._named(call))

    async def _named(self, call: Call) -> Row:
        return await self.reader.message(call.request.match_info["id"], call.owner, asking.sender(call.request))

    async def _show(self, call: Call, row: Row) -> web.Response:
        attempts = await self._gateway.queries.attempts(row["jti"]) if row["direction"] == "out" else ()
        marks = await self.reader.marks(row)
        shown = render.message_whole(row, self._gateway.settings.me, attempts, marks)
        return tagged(call.request, orjson.dumps(shown))

    async def get_event(self, call: Call) -> web.Response:
        """GET /messages/{id}/event: the CloudEvent; the log entry of the reading is committed first."""
        event = await self.reader.event(await self._named(call), call.account, purpose_of(call.request))
        return tagged(call.request, event, media_type="application/cloudevents+json")

    async def get_receipt(self, call: Call) -> web.Response:
        """GET /messages/{id}/receipt: the JWS as received."""
        row = await self._named(call)
        receipt = await self._gateway.queries.receipt(row["id"]) if row["direction"] == "out" else None
        if receipt is None:
            detail = "no receipt is held for this message; one comes with the partner's final answer"
            raise NotFound(detail)
        return tagged(call.request, receipt, media_type="application/jose+json")

    # --- operating ------------------------------------------------------------------------------

    async def post_step(self, call: Call) -> web.Response:
        """POST /messages/{id}/retry, hold, release, cancel."""
        request = call.request
        options = await asking.read_options(request, OPTIONS_BYTES, ("reason",))
        reason = options.get("reason")
        if reason is not None and not isinstance(reason, str):
            raise asking.refuse("reason", f"is one of {', '.join(CANCEL_REASONS)}")
        jti, me = request.match_info["id"], self._gateway.settings.me
        # Nothing is done to what a partner sent, whatever id it chose.
        await self.reader.message(jti, call.owner, me)
        await self._gateway.operator.perform(STEPS[request.path.rpartition("/")[2]], jti, call.account, reason)
        return await self._show(call, await self.reader.message(jti, call.owner, me))

    async def post_retry(self, call: Call) -> web.Response:
        """POST /messages/retry: everything that waits and was accepted since then is due now."""
        options = await asking.read_options(call.request, OPTIONS_BYTES, ("since",))
        since = asking.parse_when(options.get("since"), "since")
        return json_answer({"retried": await self._gateway.operator.retry_since(since, call.account)})


def purpose_of(request: web.Request) -> str | None:
    """Return the purpose a reader states, by query or header.

    None where none is stated; where one must be, the empty text, which is no code and refused with the list.
    """
    stated = request.query.get("purpose") or request.headers.get("Access-Purpose")
    return stated or ("" if request.app.get(PURPOSE_NEEDED) else None)


def _batch(body: object) -> list[SubmitRequest | Refusal]:
    messages = body.get("messages") if isinstance(body, dict) and len(body) == 1 else None
    if not isinstance(messages, list) or not 1 <= len(messages) <= BATCH_MOST:
        detail = f'the body is {{"messages": [1 to {BATCH_MOST} messages]}}'
        raise SchemaViolation(detail, errors=(Finding("/messages", detail),))
    found: list[SubmitRequest | Refusal] = []
    for message in messages:
        try:
            found.append(read_request(message))
        except RequestError as error:
            found.append(Refusal.of(error))
    return found
