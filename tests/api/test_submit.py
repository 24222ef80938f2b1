from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from gateway.web.api import models as m
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from tests.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFERRAL = "case.referral/s1-sumarni"
CANARY = "KANARI SUMARNI"
JSON = {"Content-Type": "application/json"}


def spoilt(**changes: Any) -> dict[str, Any]:
    """Return the referral with members replaced; None takes one away."""
    body = example(REFERRAL) | changes
    return {name: value for name, value in body.items() if value is not None}


async def test_a_message_gets_its_202_and_the_address_where_it_is_followed(api: Api) -> None:
    """202, Location, id and case; the address answers at once."""
    answer = await api.submit(example(REFERRAL))

    found = m.Accepted.model_validate(answer.json)
    assert answer.status == 202
    assert answer.headers["Location"] == f"/api/v1/messages/{found.id}"
    assert (found.state, found.recipient, found.type) == ("queued", "kh.gdi", "case.referral")
    assert found.case is not None
    assert (await api.get(answer.headers["Location"])).json["id"] == found.id


async def test_the_same_key_and_body_give_the_stored_answer(api: Api) -> None:
    """A repetition changes nothing and says so; another body under the key is 422; another caller's key is its own."""
    first = await api.submit(example(REFERRAL), key="same")
    again = await api.submit(example(REFERRAL), key="same")
    other_body = await api.submit(spoilt(urgency="URGENT"), key="same")
    other_caller = await api.submit(example(REFERRAL), "other", key="same")

    assert (again.status, again.body, again.headers["Location"]) == (202, first.body, first.headers["Location"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert (other_body.status, other_body.json["code"]) == (422, "idempotency-key-reused")
    assert other_caller.json["id"] != first.json["id"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "idempotency-key-missing"),
        ({"Idempotency-Key": ""}, "malformed-request"),
        ({"Idempotency-Key": "x" * 256}, "malformed-request"),
        ({"Idempotency-Key": "a b"}, "malformed-request"),
    ],
)
@pytest.mark.parametrize("path", ["/messages", "/messages/batch"])
async def test_a_creating_post_needs_a_key(api: Api, path: str, headers: dict[str, str], code: str) -> None:
    """Missing or unfit: 400, and nothing is created."""
    await api.side.settle()
    before = (await api.get("/messages")).body

    answer = await api.call("POST", path, headers=headers, json=example(REFERRAL))

    assert (answer.status, answer.json["code"]) == (400, code)
    assert (await api.get("/messages")).body == before


async def test_a_dry_run_judges_and_accepts_nothing(api: Api) -> None:
    """200 valid or the 422 it would have been, without a key and without a message."""
    before = (await api.get("/messages")).body

    fine = await api.call("POST", "/messages?dry_run=true", json=example(REFERRAL))
    faulty = await api.call("POST", "/messages?dry_run=true", json=spoilt(handling=["H0"]))

    assert (fine.status, fine.json) == (200, {"valid": True})
    assert faulty.status == 422
    assert faulty.json == (await api.submit(spoilt(handling=["H0"]))).json | {
        "trace_id": faulty.json["trace_id"], "instance": faulty.json["instance"],
    }  # fmt: skip
    assert (await api.get("/messages")).body == before


@pytest.mark.parametrize(
    ("changes", "status", "code", "pointer"),
    [
        ({"recipient": None}, 422, "schema-invalid", "/recipient"),
        ({"recipient": "KH"}, 422, "schema-invalid", "/recipient"),
        ({"recipient": "th.imm"}, 404, "not-found", "/recipient"),
        ({"type": "case.unheard-of"}, 422, "unknown-schema", "/type"),
        ({"urgency": "SOON"}, 422, "schema-invalid", "/urgency"),
        ({"handling": []}, 422, "schema-invalid", "/handling"),
        ({"handling": ["H0"]}, 422, "policy-refused", "/handling"),
        ({"data": {CANARY: 1}}, 422, "schema-invalid", "/data"),
        ({"data": None}, 422, "schema-invalid", "/data"),
        ({"case": "XC-ID-2026-000001-X"}, 422, "schema-invalid", "/case"),
        ({"expires_at": "2020-01-01T00:00:00.000Z"}, 422, "schema-invalid", "/expires_at"),
        ({"expires_at": CANARY}, 422, "schema-invalid", "/expires_at"),
        ({"in_reply_to": "01900000-0000-7000-8000-000000000001"}, 404, "not-found", "/in_reply_to"),
        ({CANARY: CANARY}, 422, "schema-invalid", ""),
    ],
)
async def test_a_refused_message_names_each_place_and_no_value(
    api: Api, changes: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    """The problem says which rule and where; its id finds the log entry; no value is in either."""
    answer = await api.submit(spoilt(**changes))

    m.Problem.model_validate(answer.json)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert pointer in [error["pointer"] for error in answer.json["errors"]]
    assert CANARY not in answer.body.decode()
    [entry] = await api.entries(type="message.refused", object=answer.json["trace_id"])
    assert entry["outcome"] == code
    assert entry["actor"] == {"sub": api.ids["client"], "role": "client"}


async def test_a_batch_answers_each_message_in_its_place(api: Api) -> None:
    """What is refused keeps its place and stops no other; the rest commits together and is delivered."""
    bodies = [example(REFERRAL), spoilt(urgency="SOON"), example(REFERRAL), spoilt(handling=["H0"]), "no object"]

    answer = await api.submit({"messages": bodies}, path="/messages/batch")

    assert answer.status == 202
    results = answer.json["results"]
    m.BatchAccepted.model_validate(answer.json)
    assert [result.get("code", result.get("state")) for result in results] == [
        "queued", "schema-invalid", "queued", "policy-refused", "malformed-request",
    ]  # fmt: skip
    assert results[0]["id"] != results[2]["id"]
    for at, alone in ((1, bodies[1]), (3, bodies[3])):
        problem = (await api.submit(alone)).json
        assert results[at]["errors"] == problem["errors"]
        assert results[at]["status"] == problem["status"]
    outcomes = {entry["outcome"] for entry in await api.entries(object=results[1]["trace_id"])}
    assert outcomes == {"schema-invalid", "policy-refused", "malformed-request"}


async def test_a_batch_is_repeated_as_one(api: Api) -> None:
    """The same key gives the same results, refused ones too, and creates nothing twice."""
    body = {"messages": [example(REFERRAL), spoilt(urgency="SOON")]}
    first = await api.submit(body, key="batch", path="/messages/batch")
    count = len((await api.get("/messages?limit=200")).json["items"])

    again = await api.submit(body, key="batch", path="/messages/batch")

    assert again.body == first.body
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len((await api.get("/messages?limit=200")).json["items"]) == count


async def test_a_full_queue_says_when_to_come_back(api: Api) -> None:
    """The bound on unanswered work is 429 with Retry-After, and no log entry that would grow it."""
    await api.side.settle()
    submitter = api.side.gateway.submitter
    before, submitter.unanswered = submitter.unanswered, api.side.settings.limits.unanswered_messages
    try:
        answer = await api.submit(example(REFERRAL))
    finally:
        submitter.unanswered = before

    assert (answer.status, answer.headers["Retry-After"]) == (429, "30")
    assert await api.entries(object=answer.json["trace_id"]) == []


async def test_what_there_is_no_room_for_is_refused_with_the_reason(api: Api) -> None:
    """The last of the volume is for messages taken before: 503, by itself again once there is room."""
    room = api.side.gateway.room
    most, room._wal_most = room._wal_most, -1
    try:
        answer = await api.submit(example(REFERRAL))
        ready = room.fault
    finally:
        room._wal_most = most

    assert (answer.status, answer.json["code"]) == (503, "storage-unavailable")
    assert answer.headers["Retry-After"]
    assert "the journal of the database is at" in answer.json["detail"]
    assert ready is not None
    assert (await api.submit(example(REFERRAL))).status == 202


async def test_the_callers_trace_travels_with_the_event(api: Api) -> None:
    """A valid `traceparent` is in the event; an invalid one is left out."""
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for sent, expected in ((parent, parent), ("00-" + CANARY, None)):
        answer = await api.call(
            "POST", "/messages", headers={"Idempotency-Key": sent[-20:].replace(" ", "-"), "traceparent": sent},
            json=example(REFERRAL),
        )  # fmt: skip
        event = await api.get(f"/messages/{answer.json['id']}/event")
        assert event.json.get("traceparent") == expected


async def test_a_reading_auditor_may_not_submit(api: Api, pair: Pair) -> None:
    """Only who has the right to submit creates messages, dry or not."""
    await pair.settle()
    body = copy.deepcopy(example(REFERRAL))
    for role in ("auditor", "operator"):
        assert (await api.submit(body, role)).status == 403
        assert (await api.call("POST", "/messages?dry_run=true", role, json=body)).status == 403


@pytest.mark.parametrize(
    ("flags", "named", "urgency"),
    [(["STILL_CONFINED"], {}, "FLASH"), ([], {}, "PRIORITY"), (["STILL_CONFINED"], {"urgency": "URGENT"}, "URGENT")],
)
async def test_a_message_that_names_no_urgency_has_that_of_its_content(
    api: Api, flags: list[str], named: dict[str, str], urgency: str
) -> None:
    """FLASH where somebody is still confined, else the type's own; what the sender names stands."""
    body = example(REFERRAL)
    body["data"]["persons"][0]["riskFlags"] = flags
    body["data"]["persons"][0]["consent"] |= {
        "consentType": "INFORMED_WRITTEN", "scopes": ["SHARE_IDENTITY"], "informedOfStorageAndRights": True,
    }  # fmt: skip
    del body["urgency"]
    sent = (await api.submit(body | named)).json
    assert (await api.get(f"/messages/{sent['id']}")).json["urgency"] == urgency
