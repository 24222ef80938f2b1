from __future__ import annotations

import io
import secrets
from typing import TYPE_CHECKING

import pytest

from gateway.services.accounts import PERMITS
from gateway.web.api import ROUTES
from tests.support.pair import TEST_OPERATOR

if TYPE_CHECKING:
    from gateway.web.api.route import Route
    from tests.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What anybody on the network may read: no message, case or person is in it.
PUBLIC = {
    "/api/v1/openapi.json",
    "/docs",
    "/audit/log/checkpoint",
    "/audit/log/tile/{path:.+}",
}
CANARY = "SUMARNI-KANARI"


def address(route: Route) -> str:
    """Return a path that fits a route."""
    path = route.path
    for member in ("{id}", "{ref}", "{list}", "{party}", "{path:.+}", "{subject}", "{version}", "{number}"):
        path = path.replace(member, "000")
    return path


async def test_every_route_of_the_application_is_in_the_table(api: Api) -> None:
    """No handler is reached but through the guard: the router knows what the table knows, and nothing else."""
    routed = {(route.method, route.resource.canonical) for route in api.app.router.routes() if route.resource}
    # Each path answers 405 for the rest; nothing is behind that.
    routed -= {("*", path) for _, path in routed}
    table = {(route.method, route.path.replace(":.+", "")) for route in api.app[ROUTES]}

    assert routed == table
    assert {route.path for route in api.app[ROUTES] if not route.acts} == PUBLIC


async def test_no_guarded_route_answers_a_stranger(api: Api) -> None:
    """Without a token, with a wrong one, or with another scheme: 401 everywhere, with the way to get in."""
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": "Bearer bcx_wrong"},
        {"Authorization": "Basic Ym9iOmJvYg=="},
        {"Authorization": "Bearer"},
    )
    for route in api.app[ROUTES]:
        for headers in wrong:
            if not route.acts:
                continue
            answer = await api.call(route.method, address(route), None, headers=headers)
            assert (answer.status, answer.json["code"]) == (401, "unauthenticated"), route.path
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_each_role_reaches_its_own_routes_and_no_other(api: Api) -> None:
    """The table of rights decides: 403 exactly where a role has none of the acts a route names."""
    for route in api.app[ROUTES]:
        if not route.acts or route.media_type == "text/event-stream":
            continue
        for role in ("client", "officer", "auditor", "operator"):
            answer = await api.call(route.method, address(route), role)
            may = bool(PERMITS[role] & set(route.acts))
            assert (answer.status != 403) is may, (role, route.method, route.path, answer.status)


async def test_a_public_route_needs_no_token(api: Api) -> None:
    """The reference and the hashes of the log are for everybody."""
    assert (await api.get("/docs", None)).status == 200
    assert (await api.get("/audit/log/checkpoint", None)).status == 200


async def test_refused_strangers_and_roles_are_in_the_log(api: Api) -> None:
    """Who is refused leaves a counted entry: by role and code, a stranger without a name."""
    await api.get("/messages", None)
    await api.get("/audit/entries", "client")
    await api.side.gateway.refusals.flush()

    found = {(e["actor"]["sub"], e["outcome"]) for e in await api.entries(type="access.refused")}

    assert ("stranger", "unauthenticated") in found
    assert (api.ids["client"], "not-permitted") in found


async def test_a_revoked_token_stops_at_once(api: Api) -> None:
    """Disabling an account ends it, although its token was known a moment ago."""
    accounts = api.side.gateway.accounts
    _, token = await accounts.add("short-lived", "client", person=False, actor=TEST_OPERATOR)
    api.tokens["short-lived"] = token
    assert (await api.get("/messages", "short-lived")).status == 200

    await accounts.disable("short-lived", person=False, actor=TEST_OPERATOR)

    assert (await api.get("/messages", "short-lived")).status == 401


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "code"),
    [
        ("GET", "/nothing-here", {}, None, 404, "not-found"),
        ("GET", "/api/v2/messages", {}, None, 404, "not-found"),
        ("DELETE", "/messages", {}, None, 405, "method-not-allowed"),
        ("HEAD", "/messages", {}, None, 405, None),
        ("GET", f"/messages/{CANARY}", {}, None, 404, "not-found"),
        ("GET", f"/cases/{CANARY}", {}, None, 404, "not-found"),
        ("GET", f"/messages?{CANARY}=1", {}, None, 400, "malformed-request"),
        ("GET", f"/messages?state={CANARY}", {}, None, 400, "malformed-request"),
        ("GET", f"/messages?case={CANARY}", {}, None, 400, "malformed-request"),
        ("GET", f"/messages?type={CANARY}", {}, None, 400, "malformed-request"),
        ("GET", f"/messages?since={CANARY}", {}, None, 400, "malformed-request"),
        ("GET", "/messages?since=2026-02-30", {}, None, 400, "malformed-request"),
        ("GET", "/messages?limit=0", {}, None, 400, "malformed-request"),
        ("GET", "/messages?limit=201", {}, None, 400, "malformed-request"),
        ("GET", f"/messages?limit={CANARY}", {}, None, 400, "malformed-request"),
        ("GET", f"/messages?cursor={CANARY}", {}, None, 400, "malformed-request"),
        ("GET", "/inbox?after=AAAA", {}, None, 400, "malformed-request"),
        ("GET", f"/inbox?purpose={CANARY}", {}, None, 400, "malformed-request"),
        ("GET", f"/cases?status={CANARY}", {}, None, 400, "malformed-request"),
        ("GET", f"/cases?q={CANARY * 20}", {}, None, 400, "malformed-request"),
        ("GET", f"/cases?q=Sok&purpose={CANARY}", {}, None, 400, "malformed-request"),
        ("GET", f"/cases?q={CANARY}&status={CANARY}", {}, None, 400, "malformed-request"),
        ("GET", "/events", {"Last-Event-ID": CANARY}, None, 400, "malformed-request"),
        ("GET", f"/codelists/{CANARY}", {}, None, 404, "not-found"),
        ("POST", "/messages", {}, "{}", 415, "unsupported-media-type"),
        ("POST", "/messages", {"Content-Type": "application/json"}, f'{{"{CANARY}":', 400, "malformed-request"),
        ("POST", "/messages", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, "{}", 415,
         "unsupported-media-type"),
        ("POST", "/messages", {"Content-Type": "application/json"}, f'{{"{CANARY}":1,"{CANARY}":2}}', 400,
         "malformed-request"),
        ("POST", "/messages", {"Content-Type": "application/json"}, f'["{CANARY}"]', 400, "malformed-request"),
        ("POST", "/messages", {"Content-Type": "application/json"}, f'{{"{CANARY}":1}}', 422, "schema-invalid"),
        ("POST", "/messages?dry_run=perhaps", {"Content-Type": "application/json"}, "{}", 400, "malformed-request"),
        ("POST", "/messages/batch", {"Content-Type": "application/json"}, "{}", 422, "schema-invalid"),
        ("POST", "/messages/batch", {"Content-Type": "application/json"}, '{"messages":[]}', 422, "schema-invalid"),
        ("POST", "/messages/batch", {"Content-Type": "application/json"},
         f'{{"messages":[{",".join(["{}"] * 101)}]}}',
         422, "schema-invalid"),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_a_problem_without_its_content(
    api: Api, method: str, path: str, headers: dict[str, str], body: str | None, status: int, code: str | None
) -> None:
    """Every refusal is RFC 9457 with code and trace id, and never repeats what it was given."""
    answer = await api.call(method, path, headers={"Idempotency-Key": secrets.token_hex(8), **headers}, data=body)

    assert answer.status == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if code is None:
        return
    assert answer.media_type == "application/problem+json"
    assert answer.json["code"] == code
    assert answer.json["status"] == status
    assert answer.json["type"] == f"urn:bcx:problem:{code}"
    assert len(answer.json["trace_id"]) == 32
    assert CANARY not in answer.body.decode()
    assert CANARY not in str(answer.headers)


async def test_a_method_that_is_not_taken_names_those_that_are(api: Api) -> None:
    """405 has Allow."""
    assert (await api.call("DELETE", "/messages")).headers["Allow"] == "GET, POST"


async def test_a_body_over_the_limit_is_413_however_it_is_sent(api: Api) -> None:
    """Announced or in chunks: never read to its end."""
    most = api.side.settings.limits.api_body_bytes
    headers = {"Idempotency-Key": "large", "Content-Type": "application/json"}

    async def chunks() -> object:
        for _ in range(most // 1024 // 1024 + 1):
            yield b" " * 1024 * 1024

    announced = await api.call("POST", "/messages", headers=headers, data=io.BytesIO(b" " * (most + 1)))
    streamed = await api.call("POST", "/messages", headers=headers, data=chunks())

    assert [announced.status, streamed.status] == [413, 413]
    assert announced.json["code"] == streamed.json["code"] == "too-large"


async def test_every_answer_has_the_security_headers(api: Api) -> None:
    """Errors too: HSTS, nosniff, no referrer, a policy that loads nothing, and no-store unless said otherwise."""
    for answer in (await api.get("/messages"), await api.get("/nothing"), await api.get("/messages", None)):
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "gateway"


async def test_a_traceparent_comes_back_as_trace_id(api: Api) -> None:
    """A caller finds its own trace in the error, in the log lines, and nothing forged in their place."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await api.get("/messages/x", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    forged = await api.get("/messages/x", headers={"traceparent": "00-x-y-z"})

    assert answer.json["trace_id"] == trace
    assert len(forged.json["trace_id"]) == 32


async def test_nothing_a_caller_sent_is_in_the_logs(api: Api, log_lines: object) -> None:
    """The canary of this module went through paths, parameters and bodies; no line and no entry has it."""
    await api.get(f"/messages/{CANARY}")
    await api.call("POST", "/messages", headers={"Idempotency-Key": "canary", "Content-Type": "application/json"},
                   data=f'{{"recipient":"{CANARY}"}}')  # fmt: skip

    lines = log_lines.getvalue()  # type: ignore[attr-defined]
    assert "request refused" in lines
    assert CANARY not in lines
    assert all(CANARY not in str(entry) for entry in await api.entries(limit="200"))
