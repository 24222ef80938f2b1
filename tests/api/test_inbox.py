from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.web.api import models as m
from gateway.web.server import DRAIN
from tests.api.conftest import Api, serve
from tests.support.pair import TEST_OPERATOR, Pair, example

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFERRAL = "case.referral/s1-sumarni"


def to_a() -> dict[str, Any]:
    """Return a message of kh.gdi for id.imigrasi."""
    return example("subject.alert/s6-two-nationalities")


class Stream:
    """An open event stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def block(self) -> dict[str, str]:
        """Return the next block: its fields, or `comment`."""
        found: dict[str, str] = {}
        while True:
            line = (await asyncio.wait_for(self.response.content.readline(), 10)).decode()
            if not line:
                raise EOFError
            if line == "\n":
                return found
            name, _, value = line.rstrip("\n").partition(": ")
            found[name or "comment"] = value

    async def rest(self) -> list[dict[str, str]]:
        """Return the blocks that still come until the stream ends."""
        found: list[dict[str, str]] = []
        try:
            while True:
                found.append(await self.block())
        except EOFError:
            return found

    async def event(self) -> dict[str, Any]:
        """Return the next event, its data read."""
        while True:
            block = await self.block()
            if "data" in block:
                return {**block, "data": json.loads(block["data"])}


@asynccontextmanager
async def following(api: Api, role: str = "client", last: str | None = None) -> AsyncIterator[Stream]:
    """Open the event stream of a caller."""
    headers = {"Authorization": f"Bearer {api.tokens[role]}"}
    if last is not None:
        headers["Last-Event-ID"] = last
    async with api.session.get(f"{api.base}/api/v1/events", headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert response.headers["Cache-Control"] == "no-store"
        stream = Stream(response)
        assert await stream.block() == {"retry": "2000"}
        yield stream


async def test_the_inbox_gives_each_received_event_once_and_in_order(api: Api, pair: Pair) -> None:
    """From the first, page by page, each behind its cursor; a cursor at the end finds what comes later."""
    earlier = (await api.get("/inbox?limit=200")).json["next_cursor"]
    sent = [(await pair.b.submit(to_a()))[0].jti for _ in range(3)]
    await pair.settle()
    begin = f"&after={earlier}" if earlier else ""
    first = m.Inbox.model_validate((await api.get(f"/inbox?limit=2{begin}")).json)
    rest = m.Inbox.model_validate((await api.get(f"/inbox?after={first.next_cursor}")).json)
    empty = m.Inbox.model_validate((await api.get(f"/inbox?after={rest.next_cursor}")).json)
    [later] = await pair.b.submit(to_a())
    await pair.settle()
    fresh = m.Inbox.model_validate((await api.get(f"/inbox?after={empty.next_cursor}")).json)

    assert [item.id for item in (*first.items, *rest.items)] == sent
    assert (first.has_more, rest.has_more, empty.items, empty.has_more) == (True, False, [], False)
    assert [item.id for item in fresh.items] == [later.jti]
    assert first.items[0].cursor != first.next_cursor == first.items[1].cursor
    assert first.items[0].event is not None
    assert (first.items[0].event.id, first.items[0].state, first.items[0].direction) == (sent[0], "received", "in")


async def test_each_reading_of_the_inbox_is_in_the_log(api: Api, pair: Pair) -> None:
    """One entry a message, by whom and what for, for those shown and no others."""
    sent = [(await pair.b.submit(to_a()))[0].jti for _ in range(2)]
    await pair.settle()
    items = (await api.get("/inbox?limit=200")).json["items"]
    before = items[[item["id"] for item in items].index(sent[0]) - 1]["cursor"] if items[0]["id"] != sent[0] else None
    path = "/inbox?limit=1&purpose=INVESTIGATION" + (f"&after={before}" if before else "")

    [shown] = (await api.get(path, "officer")).json["items"]

    assert shown["id"] == sent[0]
    readers = [(e["actor"]["sub"], e["purpose"]) for e in await api.entries(type="message.read", message=sent[0])]
    assert readers == [(api.ids["officer"], "INVESTIGATION"), (api.ids["client"], None)]
    assert len(await api.entries(type="message.read", message=sent[1])) == 1


async def test_a_received_message_is_read_by_its_address_too(api: Api, pair: Pair) -> None:
    """What the inbox shows has an address; it has no receipt of the partner's and nothing to operate."""
    [sent] = await pair.b.submit(to_a())
    await pair.settle()

    found = m.MessageWhole.model_validate((await api.get(f"/messages/{sent.jti}")).json)

    assert (found.direction, found.sender, found.state, found.actions) == ("in", "kh.gdi", "received", [])
    assert (await api.get(f"/messages/{sent.jti}/event")).json["id"] == sent.jti
    assert (await api.get(f"/messages/{sent.jti}/receipt")).status == 404


async def test_changes_of_state_and_arrivals_stream_as_they_happen(api: Api, pair: Pair) -> None:
    """Queued, then accepted; an arrival; each with its number, and no case data."""
    async with following(api) as stream:
        sent = (await api.submit(example(REFERRAL))).json
        queued, settled = await stream.event(), await stream.event()
        [inbound] = await pair.b.submit(to_a())
        arrived = await stream.event()

    assert [queued["event"], settled["event"], arrived["event"]] == [
        "message.accepted", "message.settled", "message.received",
    ]  # fmt: skip
    assert queued["data"] == {
        "id": sent["id"], "case": sent["case"], "type": "case.referral", "state": "queued", "reason": None,
        "at": sent["accepted_at"],
    }  # fmt: skip
    assert (settled["data"]["id"], settled["data"]["state"]) == (sent["id"], "accepted")
    assert (arrived["data"]["id"], arrived["data"]["state"]) == (inbound.jti, "received")
    assert int(queued["id"]) < int(settled["id"]) < int(arrived["id"])


async def test_a_stream_goes_on_where_it_broke_off(api: Api, pair: Pair) -> None:
    """Last-Event-ID: what happened meanwhile is told, nothing twice."""
    await pair.settle()
    async with following(api) as stream:
        first = (await api.submit(example(REFERRAL))).json["id"]
        seen = await stream.event()
    await pair.settle()
    second = (await api.submit(example(REFERRAL))).json["id"]
    await pair.settle()

    async with following(api, last=seen["id"]) as stream:
        told = [(await stream.event())["data"] for _ in range(3)]

    assert seen["data"]["id"] == first
    assert [(t["id"], t["state"]) for t in told] == [(first, "accepted"), (second, "queued"), (second, "accepted")]


async def test_a_client_is_told_of_its_own_messages_only(api: Api, pair: Pair) -> None:
    """Another client's messages pass by in silence; an operator hears of all."""
    await pair.settle()
    async with following(api, "other") as theirs, following(api, "operator") as everything:
        hidden = (await api.submit(example(REFERRAL), "client")).json["id"]
        own = (await api.submit(example(REFERRAL), "other")).json["id"]
        assert (await theirs.event())["data"]["id"] == own
        assert {(await everything.event())["data"]["id"] for _ in range(4)} == {hidden, own}


async def test_a_quiet_stream_shows_life_and_ends_with_its_token(tmp_path: Path) -> None:
    """A comment each heartbeat; a revoked token ends the stream at the next."""
    async with Pair(tmp_path) as pair, AsyncExitStack() as stack:
        api = await serve(stack, pair.a, heartbeat_s=0.05)
        async with following(api) as stream:
            assert await stream.block() == {"comment": "still here"}
            await pair.a.gateway.accounts.disable("client", person=False, actor=TEST_OPERATOR)
            assert all(block == {"comment": "still here"} for block in await stream.rest())


async def test_draining_ends_the_streams_at_once(tmp_path: Path) -> None:
    """An open stream holds no clean stop: it ends, a new one gets 503, and the listener closes in time."""
    async with Pair(tmp_path) as pair, AsyncExitStack() as clients, AsyncExitStack() as listener:
        api = await serve(listener, pair.a, clients=clients)
        stream = await clients.enter_async_context(following(api))
        api.app[DRAIN]()
        with pytest.raises(EOFError):
            await stream.block()
        refused = await api.get("/events")
        assert (refused.status, refused.json["code"]) == (503, "draining")
        assert refused.headers["Retry-After"]


async def test_a_listener_closes_although_a_stream_is_open(tmp_path: Path) -> None:
    """Shutting the application down ends its streams itself: nobody has to ask."""
    async with Pair(tmp_path) as pair, AsyncExitStack() as clients:
        async with AsyncExitStack() as listener:
            api = await serve(listener, pair.a, clients=clients, drain_s=20)
            stream = await clients.enter_async_context(following(api))
            started = time.monotonic()
        assert time.monotonic() - started < 5
        with pytest.raises(EOFError):
            await stream.block()
