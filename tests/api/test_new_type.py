"""A new type of message is a new file on both sides, and nothing else."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from tests.api.conftest import serve
from tests.support.pair import Pair, Side

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:bcx:schema:meeting.note:1.0.0",
    "title": "Note for the next meeting",
    "x-case": "none",
    "x-default-urgency": "PRIORITY",
    "type": "object",
    "properties": {
        "topic": {"enum": ["AGENDA", "DATE"], "x-sensitivity": "OP"},
        "on": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "x-sensitivity": "OP"},
        "guest": {"$ref": "#/$defs/Guest", "x-sensitivity": "OP"},
        "room": {"type": "string", "maxLength": 40},
    },
    "required": ["topic"],
    "additionalProperties": False,
    "$defs": {
        "Guest": {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 40, "x-sensitivity": "VI"}},
            "additionalProperties": False,
        }
    },
}


def install(side: Side) -> None:
    """Put the file where a home keeps its own types."""
    folder = side.home / "schemas" / "meeting.note"
    folder.mkdir(parents=True)
    (folder / "1.0.0.json").write_text(json.dumps(SCHEMA), "utf-8")


async def test_adding_a_type_is_adding_a_file(tmp_path: Path) -> None:
    """The file in both homes, and it is listed, enforced, exchanged, shown; where one side lacks it, it is refused."""
    async with AsyncExitStack() as stack:
        pair = Pair(tmp_path)
        for side in pair.sides:
            install(side)
        await stack.enter_async_context(pair)
        a, b = await serve(stack, pair.a), await serve(stack, pair.b)
        note = {"recipient": "kh.gdi", "type": "meeting.note", "handling": ["V1", "H2"], "data": {"topic": "DATE"}}

        wrong = await a.submit({**note, "data": {"topic": "LUNCH"}})
        coded = [await a.submit({**note, "handling": codes}) for codes in (["H9"], ["V1", "H2", "V1"])]
        coded.append(await a.call("POST", "/messages?dry_run=true", json={**note, "handling": ["XX", "H2"]}))
        batch = await a.call(
            "POST",
            "/messages/batch",
            json={"messages": [note | {"handling": ["H9"]}]},
            headers={"Idempotency-Key": "b"},
        )
        sent = await a.submit(note)
        await pair.settle()
        ended = await a.get(f"/messages/{sent.json['id']}")
        [arrived] = (await b.get("/messages?direction=in", "officer")).json["items"]

    assert (wrong.status, wrong.json["errors"][0]["pointer"]) == (422, "/data/topic")
    refused = [*(answer.json for answer in coded), *batch.json["results"]]
    assert [(e["code"], e["pointer"]) for one in refused for e in one["errors"]] == [("E-CODE", "/handling")] * 4
    assert (sent.status, ended.json["state"]) == (202, "accepted")
    assert (arrived["type"], arrived["urgency"]) == ("meeting.note", "PRIORITY")


async def test_a_new_types_personal_data_waits_for_an_instrument(tmp_path: Path) -> None:
    """P02 by its schema, at the sender and again at the receiver: what is VI anywhere in it, or has no class at all."""
    async with AsyncExitStack() as stack:
        pair = Pair(tmp_path)
        for side in pair.sides:
            install(side)
        agreement = pair.b.home / "agreement.toml"
        agreement.write_text(agreement.read_text("utf-8").partition("# TEST instruments")[0], "utf-8")
        await stack.enter_async_context(pair)
        a, b = await serve(stack, pair.a), await serve(stack, pair.b)

        def note(recipient: str, handling: list[str], **data: object) -> dict[str, object]:
            return {
                "recipient": recipient, "type": "meeting.note", "handling": handling,
                "data": {"topic": "DATE", **data},
            }  # fmt: skip

        guest, room = {"guest": {"name": "Contoh"}}, {"room": "Melati"}
        here = [await b.submit(note("id.imigrasi", ["V1", "H2"], **member)) for member in (guest, room, {})]
        weak = await a.submit(note("kh.gdi", ["H0"], **guest))
        sent = [await a.submit(note("kh.gdi", ["V1", "H2"], **member)) for member in (guest, room, {})]
        await pair.settle()
        there = [(await a.get(f"/messages/{answer.json['id']}")).json for answer in sent]

    assert [answer.status for answer in here] == [422, 422, 202]
    assert {(e["code"], e["pointer"]) for answer in here[:2] for e in answer.json["errors"]} == {
        ("E-TRANSFER", "/data")
    }
    assert [(e["code"], e["pointer"]) for e in weak.json["errors"]] == [("E-HANDLING", "/handling")]
    assert [shown["state"] for shown in there] == ["rejected", "rejected", "accepted"]
    assert {e["code"] for shown in there[:2] for e in shown["errors"]} == {"E-TRANSFER"}
