"""Errors as RFC 9457 problem+json: the only place that writes an error body."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from gateway.errors import (
    AuthenticationFailed,
    GatewayError,
    LedgerError,
    MalformedRequest,
    NotFound,
    RequestError,
    TooLarge,
    Unauthenticated,
    UnsupportedMediaType,
)
from gateway.logs import about, get_logger

log = get_logger()

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:bcx:problem:"
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

TRACE_ID = web.RequestKey("trace_id", str)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Observe = Callable[[str, str, int, float], None]


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
_DETAIL = {
    404: "nothing is found under this path",
    405: "this path does not take this method",
    413: "the body is over the size limit",
}


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
        "instance": f"urn:bcx:request:{trace_id}",
        "code": error.slug,
        "trace_id": trace_id,
    }
    # Every crypto failure looks alike to the peer: its reason stays in our log.
    if error.detail and not isinstance(error, (AuthenticationFailed, LedgerError)):
        found["detail"] = error.detail
    if error.errors:
        found["errors"] = [finding.as_dict() for finding in error.errors]
    return found


def response(error: GatewayError, trace_id: str) -> web.Response:
    """Return the problem as an answer, with Retry-After where the error knows one."""
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == Unauthenticated.status:
        headers["WWW-Authenticate"] = 'Bearer realm="gateway"'
    return web.Response(
        status=error.status,
        body=orjson.dumps(document(error, trace_id)),
        content_type=MEDIA_TYPE,
        headers=headers,
    )


def middleware(listener: str, observe: Observe, clock_s: Callable[[], float]) -> Any:
    """Return the outermost middleware: trace id, one log line by route template, errors to problems."""

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        found = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
        trace_id = found[1] if found else secrets.token_hex(16)
        request[TRACE_ID] = trace_id
        started = clock_s()
        with about(trace_id=trace_id):
            answer = await _answer(request, handler, trace_id)
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        observe(listener, route, answer.status, clock_s() - started)
        return answer

    return handle


async def _answer(request: web.Request, handler: Handler, trace_id: str) -> web.StreamResponse:
    try:
        return await handler(request)
    except GatewayError as error:
        if error.status >= InternalFault.status:
            log.error("request failed", code=error.slug, detail=error.detail, method=request.method)  # noqa: TRY400 - the error is ours and says all in its detail
        return response(error, trace_id)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kind = _HTTP.get(error.status, MalformedRequest)
        answer = response(kind(_DETAIL.get(error.status, "")), trace_id)
        if isinstance(error, web.HTTPMethodNotAllowed):
            answer.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return answer
    except Exception:
        log.exception("request failed", method=request.method)
        return response(InternalFault(f"a fault of the gateway; its log has it under {trace_id}"), trace_id)
