"""What record.action leaves of a message, and what a client may know of another client's cases."""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from gateway.protocol.ids import make_case_ref
from gateway.services.indexing import indexed
from gateway.web.api import models as m
from tests.api.conftest import Api, serve
from tests.support.link import ID, KH
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFERRAL = "case.referral/s1-sumarni"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kh(pair: Pair) -> AsyncIterator[Api]:
    """Serve the API of kh.gdi, who keeps what id.imigrasi sent."""
    async with AsyncExitStack() as stack:
        yield await serve(stack, pair.b)


async def sent(api: Api, body: dict[str, Any], role: str = "officer") -> dict[str, Any]:
    """Submit a message and have it answered; return its 202."""
    answer = await api.submit(body, role)
    assert answer.status == 202, answer.json
    await api.side.settle()
    found: dict[str, Any] = answer.json
    return found


def action(what: str, case: str, **target: Any) -> dict[str, Any]:
    """Return a record.action of id.imigrasi about a message of its own."""
    body = example("record.action/s7-erase-wrong-person") | {"case": case}
    body["data"] |= {"action": what, "target": target}
    return body


def kept(api: Api, needle: bytes) -> bool:
    """Say whether the database file of a side holds some bytes, its journal put back into it first."""
    path = api.side.home / "data" / "gateway.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return needle in path.read_bytes()


async def test_an_erased_message_is_gone_on_both_sides_and_in_the_file(api: Api, kh: Api) -> None:
    """No event, no rows in the inbox, no name found by it, not a byte in the file; a tombstone and a log entry stay."""
    opened = await sent(api, named("Kanarivati"))
    assert all(kept(side, b"Kanarivati") for side in (api, kh))
    for side in (api, kh):
        await side.side.gateway.indexer.catch_up()
        assert (await tally(side, opened["id"]))["counts"] != "[]"
    erased = await sent(api, action("ERASE", opened["case"], messageId=opened["id"]))

    for side in (api, kh):
        assert (await side.get(f"/messages/{opened['id']}/event", "officer")).status == 404
        shown = m.MessageWhole.model_validate((await side.get(f"/messages/{opened['id']}", "officer")).json)
        assert [(r.part, r.mark, r.reason, r.by) for r in shown.record] == [
            ("message", "erased", "WRONG_PERSON", erased["id"]),
        ]  # fmt: skip
        [entry] = await side.entries(type="message.erased", message=opened["id"])
        assert (entry["outcome"], entry["basis"]) == ("erased WRONG_PERSON", erased["id"])
        assert not kept(side, b"Kanarivati")
        assert not kept(side, b"kanarivati")
        assert (await tally(side, opened["id"]))["counts"] == "[]"
    listed = (await kh.get("/inbox?limit=200", "client")).json["items"]
    assert opened["id"] not in {item["id"] for item in listed}
    assert erased["id"] in {item["id"] for item in listed}


async def test_a_restricted_message_is_read_by_nobody_until_its_sender_lifts_it(api: Api, kh: Api) -> None:
    """403 with the way out, absent from the inbox; UNRESTRICT brings it back, byte for byte."""
    opened = await sent(api, example(REFERRAL))
    before = (await kh.get(f"/messages/{opened['id']}/event", "officer")).body
    await sent(api, action("RESTRICT", opened["case"], messageId=opened["id"]))
    refused = await kh.get(f"/messages/{opened['id']}/event", "officer")
    assert (refused.status, "UNRESTRICT" in refused.json["detail"]) == (403, True)
    assert opened["id"] not in {i["id"] for i in (await kh.get("/inbox?limit=200", "client")).json["items"]}
    await sent(api, action("UNRESTRICT", opened["case"], messageId=opened["id"]))
    assert (await kh.get(f"/messages/{opened['id']}/event", "officer")).body == before
    outcomes = [e["outcome"] for e in await kh.entries(type="message.restricted", message=opened["id"])]
    assert outcomes == ["lifted WRONG_PERSON", "restricted WRONG_PERSON"]


async def test_where_a_part_is_to_go_the_whole_is_blocked(api: Api, kh: Api) -> None:
    """A person or pointers: no reading, and no lifting; a file goes without its message."""
    opened = await sent(api, example(REFERRAL))
    ref = example(REFERRAL)["data"]["persons"][0]["personRef"]
    await sent(
        api,
        action("ERASE", opened["case"], messageId=opened["id"], attachmentId="0a000000-0000-4000-8000-000000000002"),
    )
    assert (await kh.get(f"/messages/{opened['id']}/event", "officer")).status == 200
    await sent(api, action("ERASE", opened["case"], messageId=opened["id"], personRef=ref))
    assert (await kh.get(f"/messages/{opened['id']}/event", "officer")).status == 404
    # A restriction of the part is weaker than its block: lifting it must not give the part back.
    for what in ("UNRESTRICT", "RESTRICT", "UNRESTRICT"):
        await sent(api, action(what, opened["case"], messageId=opened["id"], personRef=ref))
    assert (await kh.get(f"/messages/{opened['id']}/event", "officer")).status == 404
    shown = (await kh.get(f"/messages/{opened['id']}", "officer")).json["record"]
    assert [(r["part"], r["mark"]) for r in shown] == [("part", "blocked")], "no file of this id is in the message"
    [entry] = await kh.entries(type="record.not-held", object="0a000000-0000-4000-8000-000000000002")
    assert entry["outcome"].startswith("erased ")


def named(name: str) -> dict[str, Any]:
    """Return a referral of somebody of this name."""
    body = example(REFERRAL)
    body["data"]["persons"][0]["names"][0] |= {"fullName": name, "primaryIdentifier": name}
    body["data"]["persons"][0].pop("documents")
    return body


async def tally(api: Api, jti: str) -> Any:
    """Return what a message of id.imigrasi adds to the statistics of one side."""
    where = ("out", KH) if api.side.party == ID else ("in", ID)
    return await api.side.gateway.queries.tally(*where, jti)


def keys_of(api: Api, jti: str) -> set[str]:
    """Return by what a message is found in what is remembered, without the names themselves."""
    with closing(sqlite3.connect(api.side.home / "data" / "gateway.db")) as db:
        wanted = "SELECT key FROM remembered_keys WHERE id IN (SELECT id FROM remembered WHERE jti = ?)"
        found = db.execute(wanted, (jti,)).fetchall()
    return {key.partition(":")[0] if ":" in key else "ref" for (key,) in found}


async def hits(api: Api, name: str) -> list[str]:
    """Return the cases a search finds by a name."""
    return [c["case"] for c in (await api.get("/cases", "officer", params={"q": name})).json["items"]]


async def test_who_is_blocked_is_found_by_name_no_more_and_stays_protected(api: Api, kh: Api) -> None:
    """Search and the texts that may name nobody forget the name, on both sides; the reference protects on."""
    opened = await sent(api, named("Wiryasaputri"))
    ref = example(REFERRAL)["data"]["persons"][0]["personRef"]
    for side in (api, kh):
        assert opened["case"] in await hits(side, "Wiryasaputri")
        assert keys_of(side, opened["id"]) == {"ref", "name", "head"}
    await sent(api, action("ERASE", opened["case"], messageId=opened["id"], personRef=ref))
    for side in (api, kh):
        assert opened["case"] not in await hits(side, "Wiryasaputri")
        assert keys_of(side, opened["id"]) == {"ref"}


async def test_who_is_restricted_is_found_by_name_once_that_is_lifted(api: Api, kh: Api) -> None:
    """A search is a use; what only rests comes back whole."""
    opened = await sent(api, named("Tresnaningsih"))
    assert opened["case"] in await hits(kh, "Tresnaningsih")
    await sent(api, action("RESTRICT", opened["case"], messageId=opened["id"]))
    assert opened["case"] not in await hits(kh, "Tresnaningsih")
    await sent(api, action("UNRESTRICT", opened["case"], messageId=opened["id"]))
    assert opened["case"] in await hits(kh, "Tresnaningsih")


@pytest.mark.parametrize(("reason", "counted"), [("WRONG_PERSON", False), ("RETENTION_EXPIRED", True)])
async def test_what_is_erased_while_it_is_read_for_search_leaves_nothing(
    api: Api, kh: Api, reason: str, counted: bool
) -> None:
    """The reader held its bytes already: no name is stored behind the erasing, and counts where its time was over."""
    opened = await sent(api, named("Kertanegarawati"))
    gateway = kh.side.gateway
    held = await gateway.store.write(lambda tx: tx.index.unread("in", 0, 1000, 1 << 30))
    [late] = [indexed(message, message.event) for message in held if message.jti == opened["id"] and message.event]
    erase = action("ERASE", opened["case"], messageId=opened["id"])
    erase["data"]["reason"] = reason
    await sent(api, erase)
    await gateway.store.write(lambda tx: tx.index.add([late], KH))
    assert not kept(kh, b"kertanegarawati")
    row = await tally(kh, opened["id"])
    assert (row["counts"] != "[]", row["first"] is not None, row["last"] is not None) == (counted,) * 3


async def test_nobody_erases_the_other_sides_record_nor_what_is_not_answered(api: Api, kh: Api, pair: Pair) -> None:
    """E-REF for the other side's message; E-STATE for one of ours that waits; 4.13 says whose records are whose."""
    opened = await sent(api, example(REFERRAL))
    foreign = action("ERASE", opened["case"], messageId=opened["id"]) | {"recipient": "id.imigrasi"}
    refused = await kh.submit(foreign, "officer")
    assert [(e["code"], e["pointer"]) for e in refused.json["errors"]] == [("E-REF", "/data/target/messageId")]

    await pair.b.listen(False)
    waiting = (await api.submit(example(REFERRAL), "officer")).json
    early = await api.submit(action("ERASE", waiting["case"], messageId=waiting["id"]), "officer")
    assert [(e["code"], e["pointer"]) for e in early.json["errors"]] == [("E-STATE", "/data/target/messageId")]
    await pair.b.listen()
    await api.side.settle()


async def test_a_client_cannot_tell_another_clients_case_from_none(api: Api) -> None:
    """Posting into it, dry or not, replying to its messages, replacing one, acting on one: as if there were none."""
    own = await sent(api, example(REFERRAL), "client")
    nowhere, nothing = make_case_ref("ID", 2026, 999_999), "01900000-0000-7000-8000-000000000001"
    question = example("info.request/s7-crossing-history")
    for path in ("/messages", "/messages?dry_run=true"):
        hidden = await api.submit(question | {"case": own["case"]}, "other", path=path)
        unknown = await api.submit(question | {"case": nowhere}, "other", path=path)
        assert (hidden.status, hidden.json["errors"]) == (unknown.status, unknown.json["errors"]) == (
            404, [{"pointer": "/case", "reason": "unknown case", "code": "E-REF"}],
        )  # fmt: skip
    assert (await api.get(f"/cases/{own['case']}", "other")).status == 404
    for member in ("in_reply_to", "supersedes"):
        answers = [await api.submit(example(REFERRAL) | {member: jti}, "other") for jti in (own["id"], nothing)]
        assert answers[0].status == answers[1].status == 404
        assert answers[0].json["errors"] == answers[1].json["errors"]
    mine = await sent(api, example(REFERRAL), "other")
    targets = [await api.submit(action("ERASE", mine["case"], messageId=jti), "other") for jti in (own["id"], nothing)]
    assert [answer.json["errors"] for answer in targets] == [
        [{"pointer": "/data/target/messageId", "reason": "no such message", "code": "E-REF"}]
    ] * 2
    assert (await api.submit(question | {"case": own["case"]}, "client")).status == 202
    assert (await api.submit(question | {"case": own["case"]}, "officer")).status == 202
