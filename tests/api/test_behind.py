"""While the log is behind its own cosigned checkpoint nothing is promised that the repair would throw away."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import aiohttp
import pytest

from gateway.settings import Address
from gateway.web.api import ROUTES
from gateway.web.control import STILL, control_app
from gateway.web.problems import middleware
from gateway.web.server import listening
from tests.attachments.files import jpeg
from tests.support.pair import example

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

REASON = "kh.gdi cosigned a checkpoint of ours at size 9 that this log does not reach"
REFERRAL = "case.referral/s1-sumarni"
# Whatever these answer is not kept, or says nothing that a caller relies on later.
PROMISE_NOTHING = {
    *("/api/v1/messages/advice", "/api/v1/statistics/draft", "/api/v1/schemas/check", "/api/v1/cases/search"),
    *("/registry/subjects/{subject}", "/registry/compatibility/subjects/{subject}/versions"),
    "/registry/compatibility/subjects/{subject}/versions/{version}",
}
# Its service decides: a dry run of theirs promises nothing.
DECIDED_LATER = {"/api/v1/messages", "/api/v1/messages/batch"}


@pytest.fixture
async def behind(api: Api) -> AsyncIterator[Api]:
    """Give the API of a gateway that a partner has shown to be behind."""
    gate = api.side.gateway.witnessing.gate
    gate.close("behind", REASON)
    yield api
    gate.open("behind")


async def test_a_submission_gets_the_reason_and_its_repetition_a_202_later(api: Api) -> None:
    """One, a batch, rows: 503 with Retry-After, nothing stored; the same key is good after the repair."""
    gate = api.side.gateway.witnessing.gate
    gate.close("behind", REASON)
    before = await api.side.gateway.queries.log_size()
    one = await api.submit(example(REFERRAL), key="one")
    many = await api.submit({"messages": [example(REFERRAL)]}, key="many", path="/messages/batch")
    for refused in (one, many):
        assert (refused.status, refused.json["code"], refused.json["detail"]) == (503, "paused", REASON)
        assert refused.headers["Retry-After"] == "300"
    assert await api.side.gateway.queries.log_size() == before
    checked = await api.call("POST", "/messages?dry_run=true", json=example(REFERRAL))
    assert (checked.status, checked.json) == (200, {"valid": True})
    gate.open("behind")
    assert (await api.submit(example(REFERRAL), key="one")).status == 202
    again = await api.submit(example(REFERRAL), key="one")
    assert (again.status, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert (await api.submit({"messages": [example(REFERRAL)]}, key="many", path="/messages/batch")).status == 202


async def test_a_file_is_not_taken(behind: Api) -> None:
    """Before its body is read."""
    form = aiohttp.FormData()
    form.add_field("file", jpeg(), content_type="image/jpeg", filename="picture.jpg")
    refused = await behind.call("POST", "/attachments", headers={"Idempotency-Key": "file"}, data=form)
    assert (refused.status, refused.json["detail"]) == (503, REASON)


async def test_a_step_that_would_be_forgotten_is_refused(api: Api) -> None:
    """Who cancels a message must not find it sent after the repair; what was read before can be read."""
    accepted = await api.submit(example(REFERRAL))
    gate = api.side.gateway.witnessing.gate
    gate.close("behind", REASON)
    for step in ("hold", "release", "retry", "cancel"):
        refused = await api.call("POST", f"/messages/{accepted.json['id']}/{step}", "operator")
        assert (refused.status, refused.json["detail"]) == (503, REASON)
    assert (await api.get(f"/messages/{accepted.json['id']}")).status == 200
    gate.open("behind")


async def test_a_stranger_learns_nothing_of_it(behind: Api) -> None:
    """Who may not ask is told that first."""
    assert (await behind.call("POST", "/attachments", None)).status == 401
    assert (await behind.call("POST", "/attachments", "auditor")).status == 403


async def test_each_route_that_writes_is_decided(api: Api) -> None:
    """A new route that writes is refused while behind, or listed here with the reason why not."""
    written = {route.path for route in api.app[ROUTES] if route.method not in {"GET", "HEAD"} and not route.keeps}
    assert written - PROMISE_NOTHING == DECIDED_LATER


async def test_an_operator_may_take_away_and_promise_nothing(behind: Api) -> None:
    """Whoever is added, and whatever key is made, would be forgotten; who is shut out is shut out at once."""
    gateway = behind.side.gateway
    outermost = middleware("control", lambda *_: None, time.monotonic, gateway.problems.note)
    app = control_app(gateway, outermost, _no_numbers)
    served = {
        str(route.resource.canonical).removeprefix("/control/v1"): route.method
        for route in app.router.routes()
        if route.resource is not None and route.method not in {"GET", "HEAD"}
    }
    assert {path.replace("{noun:users|clients}", "{noun}") for path in STILL} <= served.keys()
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(listening(app, "control", Address("127.0.0.1", 0), None, drain_s=1))
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://{address.host}:{address.port}"))
        for path in ("/clients", "/users", "/keys/rotate", "/partners", "/partners/kh.gdi/resume", "/schemas/approve"):
            async with session.post(f"/control/v1{path}", json={}) as refused:
                assert (refused.status, (await refused.json(content_type=None))["detail"]) == (503, REASON), path
        for path, json in (("/clients/other/disable", {}), ("/partners/kh.gdi/suspend", {})):
            async with session.post(f"/control/v1{path}", json=json) as done:
                assert done.status == 200, await done.text()


async def _no_numbers() -> bytes:
    return b""
