"""Errors as RFC 9457 problem+json: the only place that writes an error body."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import orjson
from aiohttp import web

from gateway.errors import (
    AuthenticationFailed,
    Finding,
    GatewayError,
    InvalidMode,
    InvalidSubject,
    InvalidVersion,
    LedgerError,
    MalformedRequest,
    NoModeOfItsOwn,
    NotFound,
    RecordChanged,
    RequestError,
    SchemaRefused,
    TooLarge,
    Unauthenticated,
    UnknownSubject,
    UnknownVersion,
    UnregisteredSchema,
    UnsupportedMediaType,
    capped,
)
from gateway.logs import Seldom, about, get_logger
from gateway.ports.common import Actor
from gateway.services.problems import STRANGER as NOBODY
from gateway.web.connections import CONNECTIONS, judge_head
from gateway.web.intake import let_go

log = get_logger()

MEDIA_TYPE = "application/problem+json"
REGISTRY_PATH = "/registry"
REGISTRY_TYPE = "application/vnd.schemaregistry.v1+json"
TYPE_PREFIX = "urn:bcx:problem:"
REQUEST_PREFIX = "urn:bcx:request:"
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

_NOT_AUTHENTIC = Finding("", "a signature or a key does not hold", "E-SIG")

TRACE_ID = web.RequestKey("trace_id", str)
CALLER = web.RequestKey("caller", Actor)
"""Who it is, once that is known."""
STRANGER = Actor(NOBODY, "client")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Observe = Callable[[str, str, int, float], None]


class Keep(Protocol):
    """Takes every problem that was answered."""

    def __call__(
        self, *, trace_id: str, listener: str, actor: Actor, method: str, route: str, status: int, code: str
    ) -> None:
        """Keep it."""
        ...


def forget(**_problem: object) -> None:
    """Keep nothing: for listeners whose callers look up no errors."""


class MethodNotAllowed(RequestError):
    """The path exists, the method does not."""

    slug, title, status = "method-not-allowed", "Method not allowed", 405


class InternalFault(GatewayError):
    """A bug of ours; the trace id finds it in the log."""

    slug, title, status = "internal", "Internal error", 500


_HTTP: dict[int, type[GatewayError]] = {
    400: MalformedRequest, 401: Unauthenticated, 404: NotFound, 405: MethodNotAllowed, 413: TooLarge,
    415: UnsupportedMediaType,
}  # fmt: skip
# Confluent's numbers: an HTTP status, or one with two digits behind it. What is not here is its status.
_NUMBERS: dict[type[GatewayError], int] = {
    UnknownSubject: 40401, UnknownVersion: 40402, UnregisteredSchema: 40403, NoModeOfItsOwn: 40408,
    SchemaRefused: 42201, InvalidVersion: 42202, InvalidMode: 42203, InvalidSubject: 42208,
}  # fmt: skip
# What breaks a rule that has no code of its own breaks the form (domain rules: the default).
UNCODED = "E-SCHEMA"
_FINDINGS_SAID = 20
# Of one code a minute: the log has no room for what somebody may have us say ten thousand times.
MOST_LINES = 60
_DETAIL = {
    404: "nothing is found under this path",
    405: "this path does not take this method",
    413: "the body is over the size limit",
}


def caller_of(request: web.Request) -> str:
    """Return whose request it is, by the id of an account or partner."""
    caller: Actor = request.get(CALLER, STRANGER)
    return caller.sub


def trace_id_of(request: web.Request) -> str:
    """Return the id that ties this request to log lines and, if refused, to a log entry."""
    return request[TRACE_ID]


def traceparent_of(request: web.Request) -> str | None:
    """Return the W3C `traceparent` the caller sent, or None where it sent no valid one."""
    found = request.headers.get("traceparent")
    return found if found is not None and _TRACEPARENT.fullmatch(found) else None


def document(error: GatewayError, trace_id: str) -> dict[str, Any]:
    """Return the members of the problem."""
    found: dict[str, Any] = {
        "type": TYPE_PREFIX + error.slug,
        "title": error.title,
        "status": error.status,
        "instance": f"{REQUEST_PREFIX}{trace_id}",
        "code": error.slug,
        "trace_id": trace_id,
    }
    if isinstance(error, AuthenticationFailed):
        # Every crypto failure looks alike to the peer: its reason stays in our log.
        return found | {"errors": [_NOT_AUTHENTIC.as_dict()]}
    if error.detail and (isinstance(error, RecordChanged) or not isinstance(error, LedgerError)):
        found["detail"] = error.detail
    if error.errors:
        found["errors"] = [{"code": UNCODED, **finding.as_dict()} for finding in capped(error.errors)]
    return found


def numbered(error: GatewayError, trace_id: str) -> dict[str, Any]:
    """Return the problem with the members Confluent's clients read: `error_code` and `message`, all said in words."""
    found = document(error, trace_id)
    number = _NUMBERS.get(type(error), error.status)
    found["status"] = number if number < 1000 else number // 100
    said = [f"{f.pointer or '/'} {f'({f.code}) ' if f.code else ''}{f.reason}" for f in error.errors[:_FINDINGS_SAID]]
    message = found.get("detail", error.title)
    return found | {"error_code": number, "message": f"{message}: {'; '.join(said)}" if said else message}


def response(error: GatewayError, trace_id: str, path: str = "") -> web.Response:
    """Return the problem as an answer, with Retry-After where the error knows one; `path` is what was asked for."""
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == Unauthenticated.status:
        headers["WWW-Authenticate"] = 'Bearer realm="gateway"'
    registry = path.startswith(REGISTRY_PATH + "/")
    found = numbered(error, trace_id) if registry else document(error, trace_id)
    return web.Response(
        status=found["status"],
        body=orjson.dumps(found),
        content_type=REGISTRY_TYPE if registry else MEDIA_TYPE,
        headers=headers,
    )


def middleware(listener: str, observe: Observe, clock_s: Callable[[], float], keep: Keep = forget) -> Any:
    """Return the outermost middleware: trace id, errors to problems, and what the request held is given back."""
    seldom = Seldom(MOST_LINES)

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        found = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
        trace_id = found[1] if found else secrets.token_hex(16)
        request[TRACE_ID] = trace_id
        started = clock_s()
        with about(trace_id=trace_id):
            try:
                answer, code = await _answer(request, handler, trace_id, seldom)
            finally:
                let_go(request)
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        observe(listener, route, answer.status, clock_s() - started)
        if code is not None:
            keep(trace_id=trace_id, listener=listener, actor=request.get(CALLER, STRANGER), method=request.method,
                 route=route, status=answer.status, code=code)  # fmt: skip
        return answer

    return handle


def _unread(request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
    """Return an answer there is room for until it is read. Raises TooManyRequests."""
    if isinstance(answer, web.Response) and CONNECTIONS in request.app:
        request.app[CONNECTIONS].answer(request, answer.content_length or 0)
    return answer


async def _answer(
    request: web.Request, handler: Handler, trace_id: str, seldom: Seldom
) -> tuple[web.StreamResponse, str | None]:
    """Return the answer, and the code of the problem where it is one."""
    try:
        judge_head(request)
        return _unread(request, await handler(request)), None
    except GatewayError as error:
        if error.status >= InternalFault.status and seldom.admit(error.slug) is not None:
            log.error("request failed", code=error.slug, detail=error.detail, method=request.method)  # noqa: TRY400 - the error is ours and says all in its detail
        return response(error, trace_id, request.path), error.slug
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kind = _HTTP.get(error.status, MalformedRequest)
        refused = response(kind(_DETAIL.get(error.status, "")), trace_id, request.path)
        if isinstance(error, web.HTTPMethodNotAllowed):
            refused.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return refused, kind.slug
    except Exception:
        if seldom.admit(InternalFault.slug) is not None:
            log.exception("request failed", method=request.method)
        fault = InternalFault(f"a fault of the gateway; its log has it under {trace_id}")
        return response(fault, trace_id, request.path), fault.slug
