"""What is served is what is described: every route of the table, with right and wrong requests, against OpenAPI."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.conftest import Answer, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
UNKNOWN = {
    "id": "019c8a52-3b6e-7d10-8c55-1f0a2b3c4d5e", "ref": "XC-ID-2026-999999-0", "party": "id.nobody", "number": "77",
    "subject": "no.such", "version": "latest", "list": "none", "path": "0/x999",
}  # fmt: skip
ODD = {"version": "first", "subject": "Not%20One", "number": "x", "ref": "x", "id": "x", "party": "KH"}
FOLLOWED = ("/events",)  # answers as long as the caller listens


async def described(api: Api) -> dict[str, Any]:
    """Return the document."""
    found: dict[str, Any] = (await api.get("/openapi.json", None)).json
    return found


def filled(path: str, values: dict[str, str]) -> str:
    """Return a templated path with its members."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], UNKNOWN[found[1]]), path)


async def test_a_wrong_method_is_told_the_right_ones(api: Api) -> None:
    """405 under every path, with the methods described there and no other, and a problem in its own form."""
    for path, item in (await described(api))["paths"].items():
        methods = {method.upper() for method in item}
        for method in {*METHODS, "HEAD", "OPTIONS"} - methods:
            answer = await api.call(method, filled(path, {}), "operator")
            assert (answer.status, answer.headers.get("Allow")) == (405, ", ".join(sorted(methods))), (method, path)
        assert all("Allow" in item[method.lower()]["responses"]["405"]["headers"] for method in methods)


def wrong(path: str, method: str, operation: dict[str, Any]) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Yield requests as they should not be: path, role, what else is sent."""
    unknown, odd = filled(path, {}), filled(path, ODD)
    yield unknown, None, {}
    yield unknown, "client", {}
    for role in ("operator", "officer", "auditor"):
        yield f"{unknown}?surname=x", role, {}
    yield odd, "operator", {}
    yield odd, "auditor", {}
    if method == "GET":
        yield unknown, "auditor", {"headers": {"If-None-Match": "*"}}
    for param in operation["parameters"]:
        if param["in"] == "query":
            yield f"{unknown}?{param['name']}=%00x", "officer", {}
            yield f"{unknown}?{param['name']}=%00x", "auditor", {}
    if "requestBody" in operation:
        key = {"Idempotency-Key": operation["operationId"]}
        for body in (b"", b"{", b"[]", b"null", b"{}", b'{"nothing":1}', b"\xff"):
            for media in ("application/json", "text/plain"):
                for role in ("client", "operator"):
                    yield unknown, role, {"data": body, "headers": key | {"Content-Type": media}}


def fault(operation: dict[str, Any], answer: Answer) -> str | None:
    """Return what of an answer is not described, or None."""
    found = operation["responses"].get(str(answer.status))
    if found is None or answer.status >= 500:
        return f"{answer.status} {answer.body!r}"
    if "content" in found and answer.media_type not in found["content"]:
        return f"{answer.status} as {answer.media_type}"
    return None


async def test_every_answer_to_a_wrong_request_is_described(api: Api) -> None:
    """Nobody's token, no right, unknown and impossible names, queries, bodies and types: documented statuses only."""
    faults, refused = set(), set()
    operations = [
        (method.upper(), path, operation)
        for path, item in (await described(api))["paths"].items()
        for method, operation in item.items()
        if not path.endswith(FOLLOWED)
    ]
    for method, path, operation in operations:
        for where, role, given in wrong(path, method, operation):
            answer = await api.call(method, where, role, **given)
            faults.add((method, path, fault(operation, answer)))
            if answer.status == 400:
                refused.add((method, path))
    assert sorted(found for found in faults if found[2]) == []
    # A query parameter that a route does not know is refused everywhere.
    assert refused == {(method, path) for method, path, _ in operations}


async def test_what_the_handlers_enforce_is_in_the_description(api: Api, pair: Pair) -> None:
    """Values that are refused do not fit their schema, and those that are taken do."""
    sent = (await api.submit(example("case.referral/s1-sumarni"))).json
    await pair.settle()
    document = await described(api)

    def schema(method: str, path: str, name: str) -> Draft202012Validator:
        operation = document["paths"][path][method]
        [found] = [param["schema"] for param in operation["parameters"] if param["name"] == name]
        return Draft202012Validator(found)

    key = schema("post", "/api/v1/messages", "Idempotency-Key")
    for value, fits in (("a" * 255, True), ("a" * 256, False), ("", False), ("a b", False)):
        assert key.is_valid(value) is fits
        answer = await api.call(
            "POST", "/messages", headers={"Idempotency-Key": value}, json=example("case.referral/s1-sumarni")
        )
        assert (answer.status == 202) is fits
    purpose = schema("get", "/api/v1/messages/{id}/event", "purpose")
    listed = {code["code"] for code in (await api.get("/codelists/processingPurpose")).json["codes"]}
    assert set(purpose.schema["enum"]) == listed
    for value in ("INVESTIGATION", "CURIOSITY"):
        answer = await api.get(f"/messages/{sent['id']}/event?purpose={value}", "officer")
        assert (answer.status == 200) is purpose.is_valid(value), answer.json
    for path, role in (("/messages", "client"), ("/audit/entries", "auditor")):
        case = schema("get", f"/api/v1{path}", "case")
        for value in (sent["case"], "XC-1"):
            assert ((await api.get(f"{path}?case={value}", role)).status == 200) is case.is_valid(value)
    version = schema("get", "/registry/subjects/{subject}/versions/{version}", "version")
    for value in ("1", "latest", "-1", "0", "first", "1.0.0"):
        answer = await api.get(f"/registry/subjects/case.referral/versions/{value}", "auditor")
        assert (answer.status == 200) is version.is_valid(value), value
    subject = schema("put", "/registry/config/{subject}", "subject")
    for value in ("case.referral", "Case", "case..referral", "a" * 101):
        answer = await api.call("PUT", f"/registry/config/{value}", "operator", json={"compatibility": "FULL"})
        assert (answer.status == 200) is subject.is_valid(value), value
    parts = document["components"]["schemas"]
    request = Draft202012Validator(parts["MessageRequest"] | {"$defs": parts, "components": {"schemas": parts}})
    for changes in (
        {}, {"case": "x"}, {"handling": ["H9"]}, {"handling": ["V1", "V1"]}, {"handling": []}, {"recipient": "KH"},
        {"type": "Case"}, {"in_reply_to": "1"}, {"urgency": "SOON"},
    ):  # fmt: skip
        body = example("case.referral/s1-sumarni") | changes
        assert request.is_valid(body) is ((await api.submit(body)).status == 202), changes
    receipt = await api.get(f"/messages/{sent['id']}/receipt")
    described_as = document["paths"]["/api/v1/messages/{id}/receipt"]["get"]["responses"]["200"]["content"]
    shape = parts[described_as[receipt.media_type]["schema"]["$ref"].rpartition("/")[2]]
    Draft202012Validator(shape | {"components": {"schemas": parts}}).validate(receipt.json)
    assert shape["type"] == "object"


@pytest.mark.parametrize("path", ["/registry/config", "/registry/config/case.referral"])
@pytest.mark.parametrize(
    "body",
    [
        {"compatibility": None}, {"compatibility": 5}, {"compatibility": True}, {"compatibility": ["NONE"]},
        {"compatibility": {}}, {"compatibility": ""}, {}, {"compatibilityLevel": "NONE"},
        {"compatibility": "FULL", "compatibilty": "NONE"}, {"compatibility": "FULL", "unheard": None},
        {"compatibility": "FULL", "normalize": False}, {"compatibility": "FULL", "alias": "x"},
    ],
)  # fmt: skip
async def test_a_mode_is_set_by_its_name_alone(api: Api, path: str, body: dict[str, Any]) -> None:
    """42203 for everything else, and the mode in force stays: `null` once was NONE, for all subjects."""
    shown = f"{path}?defaultToGlobal=true" if path.endswith("referral") else path
    before = (await api.get(shown, "auditor")).body
    answer = await api.call("PUT", path, "operator", json=body)
    assert (answer.status, answer.json["error_code"]) == (422, 42203), answer.json
    assert (await api.get(shown, "auditor")).body == before


async def test_a_mode_may_come_with_what_a_client_leaves_unset(api: Api) -> None:
    """Members of Confluent's that are null say nothing."""
    body = {"compatibility": "full", "alias": None, "normalize": None}
    answer = await api.call("PUT", "/registry/config/case.referral", "operator", json=body)
    assert (answer.status, answer.json) == (200, {"compatibility": "FULL"})
    await api.call("DELETE", "/registry/config/case.referral", "operator")
