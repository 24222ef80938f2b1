from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from gateway.web.api import models as m
from tests.api.conftest import Api, serve
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFERRAL = "case.referral/s1-sumarni"
NAME = "SUMARNI"


async def submitted(api: Api, role: str = "client", **changes: Any) -> str:
    """Submit a referral; return its id."""
    answer = await api.submit(example(REFERRAL) | changes, role)
    assert answer.status == 202, answer.json
    found: str = answer.json["id"]
    return found


async def test_a_message_is_followed_to_its_receipt(api: Api, pair: Pair) -> None:
    """Accepted, with its attempt, what the partner signed, and the JWS as it came."""
    jti = await submitted(api)
    await pair.settle()

    answer = await api.get(f"/messages/{jti}")

    found = m.MessageWhole.model_validate(answer.json)
    assert (found.state, found.attempts_made, found.next_try, found.actions) == ("accepted", 1, None, [])
    assert [attempt.result for attempt in found.attempts] == ["settled"]
    assert found.receipt is not None
    assert (found.receipt.status, found.receipt.envelope) == ("accepted", found.envelope)
    receipt = await api.get(f"/messages/{jti}/receipt")
    assert receipt.media_type == "application/jose+json"
    assert set(receipt.json) == {"payload", "signatures"}
    assert NAME not in answer.body.decode()


async def test_an_event_is_read_only_after_the_log_has_it(api: Api) -> None:
    """Who, which message, and what for: the entry is there with the answer; an unknown purpose is refused."""
    jti = await submitted(api)

    plain = await api.get(f"/messages/{jti}/event")
    stated = await api.get(f"/messages/{jti}/event?purpose=VICTIM_PROTECTION", "officer")
    by_header = await api.get(f"/messages/{jti}/event", "officer", headers={"Access-Purpose": "INVESTIGATION"})
    refused = await api.get(f"/messages/{jti}/event?purpose={NAME}")

    assert plain.media_type == "application/cloudevents+json"
    assert plain.json["data"]["persons"][0]["names"][0]["fullName"] == NAME
    assert plain.body == stated.body == by_header.body
    assert refused.status == 400
    entries = await api.entries(type="message.read", message=jti)
    assert [(e["actor"]["sub"], e["purpose"]) for e in reversed(entries)] == [
        (api.ids["client"], None), (api.ids["officer"], "VICTIM_PROTECTION"), (api.ids["officer"], "INVESTIGATION"),
    ]  # fmt: skip


async def test_an_event_that_cannot_be_logged_is_not_shown(tmp_path: Path) -> None:
    """With a disk that takes no entry there is no look at case data: 503, and the name stays inside."""
    full = [False]

    def fault(point: str) -> None:
        if full[0] and point == "commit":
            error = sqlite3.OperationalError("full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

    async with Pair(tmp_path, fault=fault) as pair, AsyncExitStack() as stack:
        api = await serve(stack, pair.a)
        jti = await submitted(api)
        await pair.settle()
        full[0] = True
        answer = await api.get(f"/messages/{jti}/event")
        full[0] = False

        assert (answer.status, answer.json["code"]) == (503, "storage-unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert NAME not in answer.body.decode()


async def test_another_clients_message_looks_like_none(api: Api) -> None:
    """Forbidden and unknown are the same 404, on every address of a message."""
    jti = await submitted(api, "client")
    nowhere = "01900000-0000-7000-8000-000000000001"
    for suffix in ("", "/event", "/receipt"):
        hidden = await api.get(f"/messages/{jti}{suffix}", "other")
        unknown = await api.get(f"/messages/{nowhere}{suffix}", "other")
        assert (hidden.status, unknown.status) == (404, 404)
        assert _without_trace(hidden.json) == _without_trace(unknown.json)
    listed = (await api.get("/messages?limit=200", "other")).json["items"]
    assert jti not in {item["id"] for item in listed}
    assert (await api.get(f"/messages/{jti}", "officer")).status == 200
    assert await api.entries(type="message.read", message=jti) == []


async def test_a_message_shows_whether_its_receipt_is_borne_out(api: Api, pair: Pair) -> None:
    """True once its entry was seen in the partner's log, in the list too; false where it was looked for in vain."""
    jti = await submitted(api)
    await pair.settle()
    async with asyncio.timeout(20):
        while (await api.get(f"/messages/{jti}")).json["proved"] is not True:  # noqa: ASYNC110 - as a caller looks
            await asyncio.sleep(0.1)
    [listed] = [item for item in (await api.get("/messages?limit=200")).json["items"] if item["id"] == jti]
    assert listed["proved"] is True
    await api.side.gateway.store.write(
        lambda tx: (tx.witness._run("UPDATE outbox SET proved_at = NULL WHERE jti = ?", (jti,)),
                    tx.witness.set_unproved(jti, "late"))
    )  # fmt: skip
    shown = (await api.get(f"/messages/{jti}")).json
    assert (shown["proved"], shown["receipt"]["unproved"], shown["state"]) == (False, "late", "accepted")


async def test_a_list_pages_through_everything_once(api: Api) -> None:
    """Cursor, Link and has_more lead through all messages, newest first, and none twice while new ones come."""
    for _ in range(5):
        await submitted(api, "other")
    seen: list[str] = []
    path: str | None = "/messages?limit=2&direction=out"
    while path is not None:
        answer = await api.get(path, "other")
        page = m.Messages.model_validate(answer.json)
        seen += [item.id for item in page.items]
        assert len(page.items) <= 2
        assert page.has_more is ("Link" in answer.headers) is (page.next_cursor is not None)
        path = answer.headers["Link"].partition(">")[0].lstrip("<") if page.has_more else None
        if len(seen) == 2:
            await submitted(api, "other")

    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == 5


async def test_a_cursor_of_another_list_or_hand_is_refused(api: Api) -> None:
    """A cursor is signed for its list: it moves to no other and takes no edit."""
    for _ in range(2):
        await submitted(api)
    cursor = (await api.get("/messages?limit=1")).json["next_cursor"]

    assert (await api.get(f"/messages?cursor={cursor}")).status == 200
    assert (await api.get(f"/cases?cursor={cursor}")).status == 400
    assert (await api.get(f"/messages?cursor={cursor[:-2]}AA")).status == 400


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("state=accepted", True), ("state=dead", False), ("state=received", False), ("direction=in", False),
        ("direction=out", True), ("type=case.referral", True), ("type=info.request", False),
        ("since=2026-01-01", True), ("since=2099-01-01T00:00:00Z", False), ("since=2026-01-01T07:00:00%2B07:00", True),
        ("case=XC-ID-2020-000001-A", False),
    ],
)  # fmt: skip
async def test_a_filter_keeps_what_fits(api: Api, pair: Pair, query: str, holds: bool) -> None:
    """Each filter of the list, alone."""
    jti = await submitted(api)
    await pair.settle()

    items = (await api.get(f"/messages?limit=200&{query}")).json["items"]

    assert (jti in {item["id"] for item in items}) is holds


async def test_what_has_not_changed_is_not_sent_again(api: Api, pair: Pair) -> None:
    """ETag and If-None-Match: 304 without a body, until the state changes."""
    jti = await submitted(api)
    await pair.settle()
    first = await api.get(f"/messages/{jti}")
    tag = first.headers["ETag"]

    for sent in (tag, f'"other", W/{tag}', "*"):
        same = await api.get(f"/messages/{jti}", headers={"If-None-Match": sent})
        assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    assert (await api.get(f"/messages/{jti}", headers={"If-None-Match": '"other"'})).status == 200


@pytest.mark.parametrize("path", ["/messages?limit=1", "/cases?limit=1", "/codelists", "/partners", "/inbox?limit=1"])
async def test_a_list_that_has_not_changed_is_not_sent_again(api: Api, pair: Pair, path: str) -> None:
    """Whoever looks every few seconds reads headers alone; `Link` to the next page is among them."""
    await submitted(api)
    await submitted(api)
    await pair.settle()
    first = await api.get(path)
    same = await api.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status, same.status, same.body) == (200, 304, b"")
    assert same.headers.get("Link") == first.headers.get("Link")
    assert "Link" in first.headers or not path.startswith(("/messages", "/cases"))


async def test_an_operator_holds_releases_retries_and_cancels(tmp_path: Path) -> None:
    """While the partner is away each step moves the message; what its state does not allow is 409 and says why."""
    async with Pair(tmp_path) as pair, AsyncExitStack() as stack:
        api = await serve(stack, pair.a)
        await pair.b.listen(False)
        jti = await submitted(api)
        at = f"/messages/{jti}"

        async def step(name: str, **given: Any) -> tuple[int, Any]:
            answer = await api.call("POST", f"{at}/{name}", "operator", **given)
            return answer.status, answer.json

        await pair.a.tried()
        status, shown = await step("hold", json={"reason": "other"})
        assert (status, shown["state"], shown["held_for"]) == (200, "held", "operator")
        assert shown["attempts"][0]["result"] == "unreachable"
        assert (await step("hold"))[1]["code"] == "conflict"
        assert (await step("release"))[1]["state"] == "queued"
        before = (await api.get(at)).json["attempts_made"]
        assert (await step("retry"))[0] == 200
        await pair.a.tried(before + 1)
        assert (await step("cancel", json={"why": "x"}))[0] == 400
        assert (await step("cancel", json={"reason": "Sumarni is safe"}))[0] == 422
        status, shown = await step("cancel", json={"reason": "sent-otherwise"})
        assert (status, shown["state"], shown["reason"]) == (200, "cancelled", "sent-otherwise")
        assert shown["actions"] == []
        again = await api.call("POST", "/messages/retry", "operator", json={"since": "2026-01-01"})
        assert again.json == {"retried": 0}
        assert (await api.call("POST", f"{at}/retry", "client")).status == 403
        assert (await api.call("POST", "/messages/nothing/retry", "operator")).status == 404


async def test_a_rejected_message_shows_the_partners_reasons(tmp_path: Path) -> None:
    """The errors of the signed outcome, with their pointers, are on our side too."""
    pair = Pair(tmp_path)
    agreement = pair.b.home / "agreement.toml"
    agreement.write_text(agreement.read_text().replace('"id.imigrasi"', '"th.imm"'))
    async with pair, AsyncExitStack() as stack:
        api = await serve(stack, pair.a)
        jti = await submitted(api)
        await pair.settle()

        found = m.MessageWhole.model_validate((await api.get(f"/messages/{jti}")).json)

        assert (found.state, found.reason) == ("rejected", "not-agreed")
        assert found.errors
        assert found.receipt is not None
        assert found.receipt.status == "rejected"


def _without_trace(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name not in {"trace_id", "instance"}}
