"""A new type of message is a new file on both sides, and nothing else."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from tests.api.conftest import serve
from tests.support.pair import Pair

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
        "topic": {"enum": ["AGENDA", "DATE"], "x-sensitivity": "operational"},
        "on": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "x-sensitivity": "operational"},
    },
    "required": ["topic"],
    "additionalProperties": False,
}


async def test_adding_a_type_is_adding_a_file(tmp_path: Path) -> None:
    """The file in both homes, and it is listed, enforced, exchanged, shown; where one side lacks it, it is refused."""
    async with AsyncExitStack() as stack:
        pair = Pair(tmp_path)
        for side in pair.sides:
            folder = side.home / "schemas" / "meeting.note"
            folder.mkdir(parents=True)
            (folder / "1.0.0.json").write_text(json.dumps(SCHEMA), "utf-8")
        await stack.enter_async_context(pair)
        a, b = await serve(stack, pair.a), await serve(stack, pair.b)
        note = {"recipient": "kh.gdi", "type": "meeting.note", "handling": ["V1", "H2"], "data": {"topic": "DATE"}}

        wrong = await a.submit({**note, "data": {"topic": "LUNCH"}})
        sent = await a.submit(note)
        await pair.settle()
        ended = await a.get(f"/messages/{sent.json['id']}")
        [arrived] = (await b.get("/messages?direction=in", "officer")).json["items"]

    assert (wrong.status, wrong.json["errors"][0]["pointer"]) == (422, "/data/topic")
    assert (sent.status, ended.json["state"]) == (202, "accepted")
    assert (arrived["type"], arrived["urgency"]) == ("meeting.note", "PRIORITY")
