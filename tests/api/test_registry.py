from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, ServerConfig
from confluent_kafka.schema_registry.error import SchemaRegistryError

from gateway.registry.compatibility import Mode
from tests.attachments.test_workers import until
from tests.registry import crowded

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.api.conftest import Answer, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

VENDOR = "application/vnd.schemaregistry.v1+json"
TEXT = {"type": "string", "maxLength": 100, "x-sensitivity": "OP"}


def note(version: str | None = "1.0.0", subject: str = "note.test", **members: Any) -> str:
    """Return a small closed schema as text; `members` replace keywords, `version` None leaves `$id` out."""
    document: dict[str, Any] = {"type": "object", "properties": {"text": TEXT}, "required": ["text"]}
    named = {"$id": f"urn:bcx:schema:{subject}:{version}"} if version else {}
    return json.dumps(named | document | {"additionalProperties": False} | members)


def wider(*names: str) -> dict[str, Any]:
    """Return the members that allow further fields."""
    return {"properties": {"text": TEXT, **dict.fromkeys(names, TEXT)}}


def stock(api: Api, role: str) -> SchemaRegistryClient:
    """Return Confluent's own client, set up as its page says: address, CA, token."""
    return SchemaRegistryClient(
        {
            "url": f"{api.base}/registry",
            "ssl.ca.location": str(api.side.home / "keys" / "ca.pem"),
            "bearer.auth.credentials.source": "STATIC_TOKEN",
            "bearer.auth.token": api.tokens[role],
            "bearer.auth.logical.cluster": "none",
        }
    )


def refused(call: Callable[..., Any], *args: Any) -> tuple[int, int]:
    """Return status and number of the error a call of the stock client raises."""
    with pytest.raises(SchemaRegistryError) as caught:
        call(*args)
    return caught.value.http_status_code, caught.value.error_code


def operated(client: SchemaRegistryClient) -> None:
    """Do with the stock client what an operator does with a registry."""
    first = Schema(note(), "JSON")
    number = client.register_schema("note.test", first)
    assert client.register_schema("note.test", first) == number
    assert client.get_schema(number) == first
    assert "note.test" in client.get_subjects()
    assert client.get_subjects(subject_prefix="note.", offset=0, limit=1) == ["note.test"]
    assert client.get_versions("note.test") == [1]
    assert client.get_schema_types() == ["JSON"]
    assert client.get_subjects_by_schema_id(number) == ["note.test"]
    assert client.get_referenced_by("note.test", 1) == []
    assert refused(client.get_referenced_by, "note.test", 9) == (404, 40402)
    assert [(v.subject, v.version) for v in client.get_schema_versions(number)] == [("note.test", 1)]
    assert client.get_version("note.test", 1).schema == client.get_latest_version("note.test").schema == first
    found = client.lookup_schema("note.test", Schema(json.dumps(json.loads(note()), indent=3), "JSON"))
    assert (found.subject, found.version, found.schema_id) == ("note.test", 1, number)

    second, broken = Schema(note("1.1.0", **wider("more")), "JSON"), Schema(note("1.2.0", required=[]), "JSON")
    assert client.test_compatibility("note.test", second)
    assert client.test_compatibility("note.test", second, version=1, verbose=True)
    assert client.register_schema_full_response("note.test", second).version == 2
    assert client.get_versions("note.test") == [1, 2]
    assert not client.test_compatibility("note.test", broken)
    assert not client.test_compatibility_all_versions("note.test", broken, verbose=True)
    assert refused(client.register_schema, "note.test", broken) == (409, 409)

    assert client.get_compatibility() == "BACKWARD"
    assert refused(client.get_compatibility, "note.test") == (404, 40408)
    for mode in Mode:
        client.set_compatibility("note.test", mode)
        assert client.get_compatibility("note.test") == mode
    client.set_config("note.test", ServerConfig(compatibility=Mode.NONE))
    assert client.register_schema_full_response("note.test", broken).version == 3
    assert client.delete_config("note.test").compatibility_level == "NONE"
    assert refused(client.delete_config, "note.test") == (404, 40408)
    client.set_compatibility(level="FULL")
    assert client.get_compatibility() == "FULL"
    assert client.delete_config().compatibility_level == "FULL"

    assert refused(client.get_versions, "no.such") == (404, 40401)
    assert refused(client.get_version, "note.test", 9) == (404, 40402)
    assert refused(client.get_schema, 999_999) == (404, 40403)
    assert refused(client.lookup_schema, "note.test", Schema(note("7.0.0"), "JSON")) == (404, 40403)
    assert refused(client.lookup_schema, "no.such", first) == (404, 40401)
    assert refused(client.test_compatibility, "no.such", first) == (404, 40401)
    assert refused(client.register_schema, "note.test", Schema('{"type": "strng"}', "JSON")) == (422, 42201)
    assert refused(client.register_schema, "note.test", Schema('"string"', "AVRO")) == (422, 42201)
    assert refused(client.register_schema, "Note", first) == (422, 42208)
    assert refused(client.get_version, "note.test", 0) == (422, 42202)
    assert refused(client.set_compatibility, "note.test", "SOMETIMES") == (422, 42203)
    assert refused(client.delete_subject, "note.test") == (405, 405)


async def test_a_stock_client_registers_reads_tests_and_sets_modes(api: Api) -> None:
    """Confluent's own Python client over TLS with token and CA: everything it offers for schemas, and its errors."""
    before = len(await api.entries(actor=api.ids["operator"], limit="200"))
    with stock(api, "operator") as client:
        await asyncio.to_thread(operated, client)

    entries = await api.entries(actor=api.ids["operator"], limit="200")
    kinds = [(e["type"], e["outcome"]) for e in entries[: len(entries) - before]][::-1]
    assert [kind for kind, _ in kinds].count("schema.registered") == 3
    changes = [outcome for kind, outcome in kinds if kind == "schema.configured"]
    assert changes == [*Mode, "NONE", "none of its own", "FULL", "none of its own"]


async def test_a_stock_client_reads_with_any_role_and_registers_with_none_but_operators(api: Api) -> None:
    """Readers need a role; a stranger gets 401, a reader that writes 403, both in the client's own words."""

    def read(client: SchemaRegistryClient) -> None:
        assert "case.referral" in client.get_subjects()
        text = client.get_latest_version("case.referral").schema
        assert client.test_compatibility("case.referral", text)
        assert refused(client.register_schema, "case.referral", text) == (403, 403)
        assert refused(client.set_compatibility, None, "NONE") == (403, 403)

    for role in ("client", "officer", "auditor"):
        with stock(api, role) as client:
            await asyncio.to_thread(read, client)
    api.tokens["stranger"] = "bcx_wrong"
    with stock(api, "stranger") as client:
        assert await asyncio.to_thread(refused, client.get_subjects) == (401, 401)


async def post(api: Api, path: str, schema: str, role: str = "operator", **body: Any) -> Answer:
    """POST a schema to the registry as curl would."""
    return await api.call("POST", f"/registry{path}", role, json={"schema": schema, "schemaType": "JSON", **body})


async def test_a_version_without_id_is_named_by_what_it_breaks(api: Api) -> None:
    """1.0.0, then a minor for what reads the version before, a major for a break that the mode lets through."""
    path = "/subjects/named.test/versions"
    made = [(await post(api, path, note(None))).json, (await post(api, path, note(None, **wider("more")))).json]
    await api.call("PUT", "/registry/config/named.test", "operator", json={"compatibility": "none"})
    made.append((await post(api, path, note(None))).json)  # held already: no new version
    made.append((await post(api, path, note(None, required=[]))).json)
    made.append((await post(api, path, note("5.0.0", "named.test"))).json)

    assert [(m["version"], m["semver"]) for m in made] == [
        (1, "1.0.0"), (2, "1.1.0"), (1, "1.0.0"), (3, "2.0.0"), (4, "5.0.0"),
    ]  # fmt: skip
    assert {m["approved"] for m in made} == {False}


async def test_a_break_is_told_with_pointer_rule_and_words(api: Api) -> None:
    """409 says what breaks; the verbose verdict has every finding in parts; what is undecided says so."""
    path = "/subjects/broken.test/versions"
    assert (await post(api, path, note(None))).status == 200
    late = note(None, **wider("more"), required=["text", "more"])
    answer = await post(api, path, late)

    assert (answer.status, answer.media_type, answer.json["error_code"]) == (409, VENDOR, 409)
    assert answer.json["errors"] == [
        {
            "pointer": "/required",
            "code": "required",
            "reason": "the new version does not read 1.0.0: the writer may leave out `more`",
        }
    ]
    assert "/required (required) the new version does not read 1.0.0" in answer.json["message"]
    verdict = (await post(api, "/compatibility/subjects/broken.test/versions/latest?verbose=true", late)).json
    [found] = verdict["findings"]
    assert (verdict["is_compatible"], found["direction"], found["version"]) == (False, "backward", "1.0.0")
    assert (found["pointer"], found["rule"], found["decided"]) == ("/required", "required", True)
    assert verdict["messages"] == [f"the new version does not read 1.0.0: /required (required): {found['words']}"]


async def test_what_cannot_be_decided_is_incompatible_and_says_so(api: Api) -> None:
    """Two patterns are not compared: neither proved nor shown to break."""
    path, forms = "/subjects/undecided.test/versions", ("^[a-y]*$", "^[a-z]*$")
    first, second = (note(None, properties={"text": {**TEXT, "pattern": form}}) for form in forms)
    assert (await post(api, path, first)).status == 200
    answer = await post(api, path, second)
    verdict = await post(api, f"/compatibility{path}/1?verbose=True", second, "client")

    assert (answer.status, "may not read 1.0.0: cannot be decided" in answer.json["message"]) == (409, True)
    assert [(f["rule"], f["decided"]) for f in verdict.json["findings"]] == [("pattern", False)]


async def test_each_mode_is_enforced_at_registration(api: Api) -> None:
    """What widens breaks FORWARD, what narrows BACKWARD, either FULL; the transitive ones look further back."""
    wide, narrow = note(None, **wider("more")), note(None)
    table = {
        "BACKWARD": (200, 409), "FORWARD": (409, 200), "FULL": (409, 409), "NONE": (200, 200),
    }  # fmt: skip
    for mode, (grown, shrunk) in table.items():
        for suffix in ("", "_TRANSITIVE") if mode != "NONE" else ("",):
            for first, then, wanted in ((narrow, wide, grown), (wide, narrow, shrunk)):
                subject = f"mode.{mode.lower()}{suffix.lower().replace('_', '-')}.{'a' if first == narrow else 'b'}"
                path = f"/subjects/{subject}/versions"
                await post(api, path, first)
                put = await api.call(
                    "PUT", f"/registry/config/{subject}", "operator", json={"compatibility": mode + suffix}
                )
                assert put.json == {"compatibility": mode + suffix}
                assert (await post(api, path, then)).status == wanted, subject
    # One version on: the latest is as wide as the candidate is narrow, or the other way about.
    for mode, wanted in (("FORWARD", 200), ("FORWARD_TRANSITIVE", 409)):
        subject = f"chain.{mode.lower().replace('_', '-')}"
        path, config = f"/subjects/{subject}/versions", f"/registry/config/{subject}"
        await api.call("PUT", config, "operator", json={"compatibility": "NONE"})
        for text in (narrow, wide):
            assert (await post(api, path, text)).status == 200
        await api.call("PUT", config, "operator", json={"compatibility": mode})
        assert (await post(api, path, note(None, **wider("more"), title="again"))).status == wanted


async def test_a_registered_version_never_changes(api: Api) -> None:
    """Its name with other content is a conflict, whatever the mode; its text comes back byte for byte."""
    path, spaced = "/subjects/fixed.test/versions", note("1.0.0", "fixed.test").replace('": ', '"  :  ')
    await api.call("PUT", "/registry/config/fixed.test", "operator", json={"compatibility": "NONE"})
    assert (await post(api, path, spaced)).status == 200
    answer = await post(api, path, note("1.0.0", "fixed.test", title="changed"))

    assert (answer.status, answer.json["error_code"]) == (409, 409)
    assert "registered with other content" in answer.json["message"]
    verdict = await post(
        api, "/compatibility/subjects/fixed.test/versions?verbose=true", note("1.0.0", "fixed.test", title="changed")
    )
    assert (verdict.json["is_compatible"], "registered with other" in verdict.json["messages"][0]) == (False, True)
    assert (await api.get("/registry/subjects/fixed.test/versions/1/schema")).body.decode() == spaced
    [entry] = await api.entries(object="fixed.test:1.0.0")
    held = (await api.get("/registry/subjects/fixed.test/versions/latest")).json
    assert (entry["type"], entry["event"]) == ("schema.registered", held["digest"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"schema": note(None, "x"), "references": [{"name": "a", "subject": "b", "version": 1}]}, "references"),
        ({"schema": note(None), "metadata": {"properties": {"a": "b"}}}, "metadata"),
        ({"schema": note(None), "ruleSet": {"domainRules": [{"name": "a"}]}}, "ruleSet"),
        ({"schema": {"type": "object"}}, "as text"),
        ({}, "as text"),
        ({"schema": "{"}, "strict JSON"),
        ({"schema": note("1.0.0", "another.test")}, "names another subject"),
        ({"schema": note("1.0")}, "major.minor.patch"),
        ({"schema": note(None, properties={"a": {"$ref": "https://inner.test/a"}})}, "refers outside"),
        ({"schema": note(None, properties={"a": {"type": "string", "x-codelist": "nowhere@1.0.0"}})}, "nowhere@1.0.0"),
    ],
)
async def test_what_cannot_be_kept_is_refused_and_not_dropped(api: Api, body: dict[str, Any], words: str) -> None:
    """42201 with the place; nothing is registered in part."""
    answer = await api.call("POST", "/registry/subjects/whole.test/versions", "operator", json=body)
    assert (answer.status, answer.json["error_code"]) == (422, 42201)
    assert words in answer.json["message"]
    assert (await api.get("/registry/subjects/whole.test/versions")).json["error_code"] == 40401


async def test_a_tangle_is_compared_beside_the_traffic(api: Api) -> None:
    """Two schemas that take seconds to compare hold up no other request."""
    path = "/subjects/tangle.test/versions"
    assert (await post(api, path, json.dumps(crowded.tangle(2, 6)))).status == 200
    asked = asyncio.create_task(post(api, f"/compatibility{path}/1?verbose=true", json.dumps(crowded.tangle(2, 5))))
    served = 0
    while not asked.done():
        assert (await api.get("/registry/mode")).status == 200
        served += 1

    assert [f["decided"] for f in (await asked).json["findings"]].count(False)
    assert served > 3


async def test_a_schema_that_is_refused_for_its_size_costs_nothing_here(api: Api) -> None:
    """Judged by a process that has limits: the one that serves is as large as before, and quick meanwhile."""
    bomb = crowded.spread_patterns(15_000)
    codes = {"type": "object", "properties": {f"a{n}": {"x-codelist": "country@1.0.0"} for n in range(900)}}
    before = psutil.Process().memory_info().rss
    for document, words in ((bomb, "its patterns have over 40000 steps"), (codes, "over 100000 codes")):
        answer = await post(api, "/subjects/bomb.test/versions", json.dumps(document))
        assert (answer.status, words in answer.body.decode()) == (422, True)
    assert psutil.Process().memory_info().rss - before < 64 * 1024 * 1024


async def test_a_judge_that_is_killed_loses_one_answer(api: Api) -> None:
    """503, and the same again is judged by a new process."""
    path = "/compatibility/subjects/tangle.test/versions"
    asked = asyncio.create_task(post(api, path, json.dumps(crowded.tangle(2, 5))))
    await until(lambda: len(psutil.Process().children(recursive=True)) > 1)
    for worker in psutil.Process().children():
        worker.kill()
    answer = await asked
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert (await post(api, path, note(None))).status == 200


async def test_a_changed_row_of_the_database_is_noticed(api: Api) -> None:
    """Stored bytes are held against the digest that log and messages have: nobody slips in other rules."""
    path = "/subjects/tampered.test/versions"
    assert (await post(api, path, note(None))).status == 200
    with closing(sqlite3.connect(api.side.settings.database_path)) as database, database:
        other = note(None, required=[]).encode()
        database.execute("UPDATE schemas SET document = ? WHERE subject = 'tampered.test'", (other,))
    await api.side.gateway.registrar.load()
    answer = await api.get(f"/registry{path}/1")

    assert (answer.status, answer.json["code"], answer.json["error_code"]) == (500, "log-damaged", 500)
