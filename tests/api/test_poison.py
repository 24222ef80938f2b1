"""What is made to hurt whoever reads, lints, compiles or validates it: refused within a tenth of a second."""

from __future__ import annotations

import copy
import io
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import PartnerError
from gateway.protocol.event import parse_event
from gateway.registry.subject import load_schema
from gateway.registry.validation import Validator
from tests.support.pace import bound
from tests.support.pair import example

if TYPE_CHECKING:
    from tests.api.conftest import Api

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("own_heap")]

LIMIT_S = 0.1
DEEP = 10_000


def schemas() -> dict[str, str]:
    """Return bodies for the registry."""
    doubled = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(30)}
    texts = {
        "30 MB": "x" * 30_000_000,
        "3 MB": json.dumps({"title": "x" * 3_000_000}),
        "10,000 deep": '{"items":' * DEEP + "true" + "}" * DEEP,
        "a regex bomb": json.dumps({"type": "string", "pattern": "^(a+)+$"}),
        "classes that engines read differently": json.dumps({"pattern": r"^\d\w\s$"}),
        "definitions that double": json.dumps({"$ref": "#/$defs/d0", "$defs": {**doubled, "d30": {"type": "string"}}}),
        "a file": '{"$ref": "file:///etc/passwd"}',
        "an address": '{"items": {"$ref": "http://169.254.169.254/latest"}}',
        "a keyword that is none": '{"maxLenght": 3}',
    }
    return {name: json.dumps({"schema": text}) for name, text in texts.items()} | {
        "a body 10,000 deep": '{"schema":' * DEEP + "1" + "}" * DEEP
    }


def messages() -> dict[str, str]:
    """Return bodies for the API."""
    body = copy.deepcopy(example("case.referral/s1-sumarni"))
    whole = json.dumps(body)
    deep = '{"a":' * DEEP + "1" + "}" * DEEP
    return {
        "30 MB": whole[:-1] + ',"x":"' + "x" * 30_000_000 + '"}',
        "10,000 deep": whole.replace('"data": {', f'"data": {{"x":{deep},', 1),
        "a list 10,000 deep": whole.replace('"data": {', f'"data": {{"x":{"[" * DEEP}{"]" * DEEP},', 1),
        "two hundred thousand faults": json.dumps(
            body | {"data": {**body["data"], "persons": [0] * 200_000}}, separators=(",", ":")
        ),
        "a number of a million digits": whole.replace('"data": {', f'"data": {{"x":{"9" * 1_000_000},', 1),
    }


async def test_a_poison_schema_stops_nothing(api: Api) -> None:
    """Over the real listener; afterwards the registry answers as before."""
    path = "/registry/subjects/poison.test/versions"
    for name, bomb in schemas().items():
        data = io.BytesIO(bomb.encode())
        started = time.process_time()
        answer = await api.call(
            "POST", path, "operator", headers={"Content-Type": "application/vnd.schemaregistry.v1+json"}, data=data
        )
        took = time.process_time() - started
        assert answer.status in {400, 413, 422}, name
        assert took < bound(LIMIT_S), (name, took)
    assert (await api.get(path)).status == 404


async def test_a_poison_message_stops_nothing(api: Api) -> None:
    """The same for what our own clients send; the plain message is taken before and after."""
    for name, bomb in messages().items():
        data = io.BytesIO(bomb.encode())
        headers = {"Idempotency-Key": secrets.token_hex(8), "Content-Type": "application/json"}
        started = time.process_time()
        answer = await api.call("POST", "/messages", headers=headers, data=data)
        took = time.process_time() - started
        assert answer.status in {400, 413, 422}, name
        assert took < bound(LIMIT_S), (name, took)
    assert (await api.submit(example("case.referral/s1-sumarni"))).status == 202


@pytest.mark.parametrize(
    "line",
    [
        b'{"data":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
        b'{"data":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"data":{"a":"' + b"x" * 30_000_000 + b'"}}',
        b'{"data":{' + b",".join(b'"a%d":1' % i for i in range(100_000)) + b"}}",
        b'{"data": [' + b"[[]]," * 2_000_000 + b"1]}",
    ],
    ids=("objects 10,000 deep", "lists 10,000 deep", "30 MB", "100,000 members", "4,000,000 empty lists"),
)
async def test_a_poison_event_of_a_partner_is_refused_at_once(line: bytes) -> None:
    """Whoever signed it: it is an unreadable event, and the next one is judged."""
    started = time.process_time()
    with pytest.raises(PartnerError):
        parse_event(line, is_manifest=lambda _urn: True)
    assert time.process_time() - started < bound(LIMIT_S)


@pytest.mark.parametrize(
    "pattern", ["^.*a.*b$", "^[a-z]+-[a-z]+-[a-z]+$", "^(?:[a-z]{1,8}-)*[a-z]{1,8}$", "^[^@]+@[^@]+$"]
)
async def test_text_made_for_a_pattern_costs_linear_time(pattern: str) -> None:
    """Two megabytes that almost match, against each pattern the lint lets through."""
    raw = json.dumps({"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}).encode()
    validator: Any = Validator(load_schema(raw, subject="note.test", version="1.0.0"))
    for text in ("a" * 2_000_000 + "!", "a-" * 1_000_000, "@" * 2_000_000):
        started = time.process_time()
        assert not validator.is_valid({"a": text})
        assert time.process_time() - started < bound(LIMIT_S), pattern
