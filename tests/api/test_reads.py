"""Who read what is one question: every way by which content leaves is found by it, and the log had it first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from gateway.services.accounts import LOCAL_OPERATOR, LOCAL_PERMITS, PERMITS, permitted
from gateway.services.reading import READS
from gateway.web.api import ROUTES
from tests.attachments.files import pdf
from tests.support.pair import TEST_OPERATOR, Pair, example

if TYPE_CHECKING:
    from tests.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What shows a record, or what a record adds up to. None of it is an operator's but figures, which name nobody.
CONTENT = {"event.read", "inbox.read", "case.search", "message.read-own"}
FIGURES = "from=2025-01&to=2025-04"


async def reads(api: Api, **query: str) -> list[dict[str, Any]]:
    """Ask the one question."""
    return await api.entries(reads="true", limit="200", **query)


async def a_file(api: Api) -> str:
    """Upload a file; return its id."""
    form = aiohttp.FormData()
    form.add_field("meta", '{"attachmentType":"TICKET","mediaType":"application/pdf"}', content_type="application/json")
    form.add_field("file", pdf(), content_type="application/pdf", filename="file")
    answer = await api.call("POST", "/attachments", headers={"Idempotency-Key": "a-file"}, data=form)
    assert answer.status == 201, answer.json
    name: str = answer.json["id"]
    return name


async def test_every_way_content_leaves_is_found(api: Api, pair: Pair) -> None:
    """Each has one more entry of this reader, with purpose, message and digest where it is about a message."""
    file = await a_file(api)
    sent = await api.submit({**example("case.referral/s1-sumarni"), "attachments": [file]})
    assert sent.status == 202, sent.json
    [asked] = await pair.b.submit(example("identity.verify.request/s2-group-of-thirty"))
    sheet = asked.jti
    jti, case = sent.json["id"], sent.json["case"]
    accounts = api.side.gateway.accounts
    supervisor, token = await accounts.add("reads-supervisor", "supervisor", person=True, actor=TEST_OPERATOR)
    api.tokens["supervisor"], api.ids["supervisor"] = token, supervisor.id
    await pair.settle()
    purpose = "purpose=INVESTIGATION"
    ways = {
        f"/messages/{jti}/event?{purpose}": jti, f"/messages/{sheet}/rows?{purpose}": sheet,
        f"/attachments/{file}?{purpose}": jti, f"/evidence/{jti}?redacted=false&{purpose}": jti,
        f"/evidence/{jti}?{purpose}": jti, f"/cases/{case}/persons?{purpose}": None, f"/inbox?{purpose}": None,
        f"/cases?q=Sumarni&{purpose}": None, f"/statistics?{FIGURES}": None,
        f"/statistics/chart.svg?{FIGURES}": None, f"/statistics/page?{FIGURES}": None,
    }  # fmt: skip
    for path, about in ways.items():
        before = len(await reads(api, actor=supervisor.id))
        answer = await api.get(path, "supervisor")
        assert answer.status == 200, (path, answer.json)
        found = await reads(api, actor=supervisor.id)
        assert len(found) > before, path
        assert found[0]["type"] in READS
        if about is not None:
            assert (found[0]["message"], bool(found[0]["event"])) == (about, True), path
        if purpose in path and "redacted" not in path and "/evidence" not in path:
            assert found[0]["purpose"] == "INVESTIGATION", path
    everything = await reads(api)
    indexes = [entry["index"] for entry in everything]
    assert indexes == sorted(indexes, reverse=True)
    first = await api.get("/audit/entries?reads=true&limit=4", "auditor")
    second = await api.get(f"/audit/entries?reads=true&limit=4&cursor={first.json['next_cursor']}", "auditor")
    assert [entry["index"] for entry in first.json["items"] + second.json["items"]] == indexes[:8]
    assert {entry["type"] for entry in await reads(api, type="case.searched")} == {"case.searched"}
    assert await reads(api, type="key.revoked") == []
    named = await reads(api, message=jti)
    assert {entry["type"] for entry in named} == {"message.read", "attachment.read", "evidence.exported"}
    by_case = await reads(api, case=case)
    assert {"message.read", "attachment.read", "evidence.exported"} <= {entry["type"] for entry in by_case}


async def test_no_route_with_content_is_left_out_above(api: Api) -> None:
    """A new route that shows a record must say so here."""
    known = {
        "/messages/{id}/event", "/messages/{id}/rows", "/attachments/{id}", "/cases/{ref}/persons", "/inbox", "/cases",
        "/evidence/{id}",
    }  # fmt: skip
    found = {
        route.path.removeprefix("/api/v1")
        for route in api.app[ROUTES]
        if {"event.read", "inbox.read", "evidence.export"} & set(route.acts)
    }
    assert found == known - {"/cases"}


async def test_neither_operator_may_see_content() -> None:
    """Over the network or at the server; and what the server's may beyond the other's shows no record."""
    assert not CONTENT & PERMITS["operator"]
    assert not CONTENT & LOCAL_PERMITS
    assert not any(permitted(LOCAL_OPERATOR, act) for act in CONTENT)
    assert PERMITS["operator"] < LOCAL_PERMITS


async def test_a_refused_reading_is_in_the_log_too(api: Api) -> None:
    """What only the content of a request decides is noted like what its route decides."""
    assert (await api.get("/evidence/x?redacted=false", "auditor")).status == 403
    await api.side.gateway.refusals.flush()
    found = [entry for entry in await api.entries(type="access.refused") if entry["actor"]["sub"] == api.ids["auditor"]]
    assert found


async def test_a_truth_value_is_one(api: Api) -> None:
    """`reads=yes` is no question."""
    assert (await api.get("/audit/entries?reads=yes", "auditor")).status == 400
    assert (await api.get("/evidence/x?redacted=no", "auditor")).status == 400
