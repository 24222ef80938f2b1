from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.web.api import ROUTES
from gateway.web.api import models_views as v
from gateway.web.api.reference import preferred
from gateway.web.openapi import template
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tests.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

VOID_TAGS = {"meta", "link", "br", "hr", "img", "input"}


async def test_the_openapi_document_is_valid_and_complete(api: Api) -> None:
    """OpenAPI 3.1 by an independent validator, with every route of the table and the act it needs."""
    answer = await api.get("/openapi.json", None)
    document = answer.json
    OpenAPIV31SpecValidator(document).validate()

    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(route.method, template(route.path)) for route in api.app[ROUTES]}
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
    for route in api.app[ROUTES]:
        operation = document["paths"][template(route.path)][route.method.lower()]
        assert ("401" in operation["responses"]) is bool(route.acts)
        assert (operation.get("security") == []) is not bool(route.acts)
        for act in route.acts:
            assert act in operation["description"]


async def test_every_answer_fits_the_model_that_describes_it(api: Api, pair: Pair) -> None:
    """The description is no wish: each JSON route is called, its model reads the answer and nothing is left over."""
    sent = (await api.submit(example("case.referral/s1-sumarni"))).json
    await pair.b.submit(example("subject.alert/s6-two-nationalities"))
    await pair.settle()
    given = {"{id}": sent["id"], "{ref}": sent["case"], "{list}": "checkpoint", "{party}": "kh.gdi"}
    given |= {"{subject}": "case.referral", "{version}": "latest", "{number}": "1"}
    called = 0
    for route in api.app[ROUTES]:
        if route.method != "GET" or route.answer is None:
            continue
        path = route.path
        for name, value in given.items():
            path = path.replace(name, value)
        role = {"audit.read": "auditor", "reference.read": "auditor"}.get(route.acts[0], "officer")
        asked = {
            "/proof": "?index=0",
            "/statistics": "?from=2025-01&to=2025-04",
            "/config/case.referral": "?defaultToGlobal=true",
        }
        answer = await api.get(path + next((q for end, q in asked.items() if path.endswith(end)), ""), role)
        assert (answer.status, answer.media_type) == (route.status, route.media_type), path
        _reads(route.answer.load(), answer.json)
        called += 1
    assert called >= 13


def _reads(model: type[BaseModel], value: Any) -> None:
    written = model.model_validate(value).model_dump(by_alias=True)
    if model.model_config.get("extra") == "forbid":
        assert written.keys() == value.keys()


async def test_the_page_needs_no_script_and_links_to_what_is_there(api: Api) -> None:
    """Well-formed, nothing loaded from anywhere, each inner link has its target, every route is on it."""
    answer = await api.get("/docs", None)
    page = answer.body.decode()
    reader = _Page()
    reader.feed(page)

    assert answer.media_type == "text/html"
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]+='; frame-ancestors 'none'; base-uri 'none'",
        answer.headers["Content-Security-Policy"],
    )
    assert reader.open == []
    assert not {"script", "img", "link", "iframe"} & reader.tags
    assert {link[1:] for link in reader.links if link.startswith("#")} <= reader.ids
    assert {link for link in reader.links if not link.startswith("#")} == {"/api/v1/openapi.json"}
    for route in api.app[ROUTES]:
        assert f"<code>{template(route.path)}</code>" in page


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        self.links |= {value for value in [given.get("href")] if value}
        self.ids |= {value for value in [given.get("id")] if value}
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"), ("id", "id"), ("id-ID,id;q=0.9,en;q=0.8", "id"), ("km;q=0.5, id;q=0.4", "km"), ("fr, de", "en"),
        ("fr, km;q=0.1", "km"), ("en;q=0.2, km;q=0.3", "km"), ("*", "en"), ("id;q=x", "en"), ("id;q=0", "en"),
    ],
)  # fmt: skip
async def test_the_language_asked_for_most_is_given(header: str, language: str) -> None:
    """Accept-Language with weights; English where nothing of ours is asked for."""
    assert preferred(header) == language


async def test_a_code_list_has_labels_in_the_callers_language(api: Api) -> None:
    """Labels, language named, validity of dated codes; another version or list is 404."""
    khmer = await api.get("/codelists/urgency", headers={"Accept-Language": "km"})
    english = await api.get("/codelists/urgency@1.0.0")
    dated = v.CodeList.model_validate((await api.get("/codelists/checkpoint")).json)

    assert (khmer.headers["Content-Language"], khmer.headers["Vary"]) == ("km", "Accept-Language")
    assert khmer.json["codes"][0]["label"] == "បន្ទាន់បំផុត"
    assert english.json["codes"][0]["label"] == "Flash"
    assert khmer.headers["ETag"] != english.headers["ETag"]
    assert any(code.valid_to for code in dated.codes)
    assert (await api.get("/codelists/urgency@9.9.9")).status == 404
    names = {item["list"] for item in (await api.get("/codelists")).json["items"]}
    assert {"urgency", "checkpoint", "caseStatus"} <= names


async def test_partners_are_shown_with_their_link(api: Api, pair: Pair) -> None:
    """Card, fingerprint, state, and whether it is reached."""
    await pair.a.submit(example("case.referral/s1-sumarni"))
    await pair.settle()

    [partner] = v.Partners.model_validate((await api.get("/partners")).json).items

    assert (partner.party, partner.state, partner.reachable, partner.waiting) == ("kh.gdi", "active", True, 0)
    assert partner.fingerprint == pair.b.gateway.directory.mine.fingerprint
    assert partner.contact_at is not None
