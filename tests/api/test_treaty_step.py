from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import UnknownSchemaRequested
from gateway.ports.messages import StoredMessage
from gateway.primitives import b64u
from gateway.resources import schemas_path
from gateway.services.rehearsal import SLICE_BYTES, SLICE_MESSAGES, Rehearsal
from gateway.web.api.models_schemas import SchemaChecked
from tests.support.pair import TEST_OPERATOR, Pair, Side, event_of, example

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.registry.subject import SchemaVersion
    from tests.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFERRAL, ALERT = "case.referral", "subject.alert"
SUBMITTED = ("case.referral/s1-sumarni", "subject.alert/s6-two-nationalities")


def version(subject: str, number: str, **members: Any) -> str:
    """Return the shipped schema of a type as another version, with members of its root replaced."""
    document = json.loads((schemas_path() / subject / "1.0.0.json").read_text("utf-8"))
    return json.dumps(document | {"$id": f"urn:bcx:schema:{subject}:{number}"} | members)


async def approve(side: Side, subject: str, number: str) -> None:
    """Approve a version, publish the card that says so."""
    await side.gateway.registrar.approve(subject, number, TEST_OPERATOR)
    await side.gateway.identity.publish()


async def learn(side: Side, other: Side) -> None:
    """Take the card the other side has now, as the daily fetch does."""
    await side.gateway.enroller.enrol(
        other.gateway.directory.mine.raw, other.gateway.directory.mine.fingerprint, TEST_OPERATOR
    )


async def sent_as(side: Side, pair: Pair) -> tuple[str, str]:
    """Send a referral; return its version, and what became of it."""
    [accepted] = await side.submit(example(SUBMITTED[0]))
    await pair.settle()
    [row] = await side.gateway.queries.under(accepted.jti)
    return row["schema_version"], row["state"]


async def test_a_version_is_used_once_both_have_approved_it(pair: Pair) -> None:
    """The highest both hold, in each direction as soon as the sender knows: and its digest is in message and log."""
    text = version(REFERRAL, "1.1.0", title="Referral, second wording").encode()
    stored = [(await side.gateway.registrar.propose(text, TEST_OPERATOR))[0] for side in pair.sides]
    assert await sent_as(pair.a, pair) == ("1.0.0", "accepted")
    await approve(pair.a, REFERRAL, "1.1.0")
    assert await sent_as(pair.a, pair) == ("1.0.0", "accepted")  # not theirs yet
    await approve(pair.b, REFERRAL, "1.1.0")
    assert await sent_as(pair.a, pair) == ("1.0.0", "accepted")  # theirs, and we have not heard of it
    await learn(pair.a, pair.b)

    [accepted] = await pair.a.submit(example(SUBMITTED[0]))
    await pair.settle()

    [row] = await pair.a.gateway.queries.under(accepted.jti)
    event = json.loads(await event_of(pair.a.gateway, accepted.jti) or b"")
    assert (row["schema_version"], row["state"]) == ("1.1.0", "accepted")
    assert event["dataschema"] == "urn:bcx:schema:case.referral:1.1.0"
    assert event["schemadigest"] == b64u.encode(stored[0].digest) == b64u.encode(stored[1].digest)
    for side in pair.sides:
        entries = await side.gateway.queries.entries(obj="case.referral:1.1.0", limit=5)
        data = [json.loads(entry["data"]) for entry in entries][::-1]
        assert [entry["typ"] for entry in data] == ["schema.registered", "schema.approved"]
        assert {entry["event"] for entry in data} == {event["schemadigest"]}


async def test_a_version_only_one_side_has_approved_is_no_way_to_send(pair: Pair) -> None:
    """The refusal says whose step is missing."""
    text = json.dumps({"$id": "urn:bcx:schema:note.test:1.0.0", "type": "object"}).encode()
    catalogue, card = pair.a.gateway.rules.catalogue, pair.b.gateway.directory.mine
    for words, step in (
        ("no schema of this type is registered here", None),
        ("no version of note.test is approved here", pair.a.gateway.registrar.propose(text, TEST_OPERATOR)),
        ("kh.gdi has approved no version", approve(pair.a, "note.test", "1.0.0")),
    ):
        if step is not None:
            await step
        with pytest.raises(UnknownSchemaRequested, match=words):
            catalogue.usable("note.test", card)


async def test_one_name_over_two_contents_ends_at_the_receiver(pair: Pair) -> None:
    """Both approved an alert 1.1.0, but not the same one: the digest in the message shows it, and it is refused."""
    for side, title in zip(pair.sides, ("Alert, our wording", "Alert, their wording"), strict=True):
        await side.gateway.registrar.propose(version(ALERT, "1.1.0", title=title).encode(), TEST_OPERATOR)
        await approve(side, ALERT, "1.1.0")
    await learn(pair.b, pair.a)

    [accepted] = await pair.b.submit(example(SUBMITTED[1]))
    await pair.settle()

    [row] = await pair.b.gateway.queries.under(accepted.jti)
    assert (row["schema_version"], row["state"], row["reason"]) == ("1.1.0", "rejected", "unknown-schema")
    assert json.loads(row["errors"])[0]["pointer"] == "/schemadigest"


async def check(api: Api, document: str, **body: Any) -> SchemaChecked:
    """Ask what a schema would do; the answer fits its description."""
    answer = await api.call("POST", "/schemas/check", "operator", json={"document": document, **body})
    assert answer.status == 200, answer.json
    assert "SUMARNI" not in answer.body.decode()
    return SchemaChecked.model_validate(answer.json)


def narrower() -> str:
    """Return the referral as a version that takes no woman, nor a referral without its text."""
    document = json.loads((schemas_path() / REFERRAL / "1.0.0.json").read_text("utf-8"))
    properties = document["properties"] | {
        "persons": {"type": "array", "items": {"$ref": "#/$defs/Person", "properties": {"sex": {"enum": ["M", "X"]}}}}
    }
    required = [*document["required"], "iccs", "more"]
    return version(REFERRAL, "9.0.0", properties=properties | {"more": {"type": "string"}}, required=required)


async def test_a_dry_run_counts_what_last_year_would_have_failed(api: Api, pair: Pair) -> None:
    """By place, both directions; erased bodies are counted apart, older messages not at all; the log has who asked."""
    first = await pair.a.submit(*(example(SUBMITTED[0]) for _ in range(4)))
    await pair.settle()
    rows = await pair.a.gateway.queries.messages(subject=REFERRAL, limit=200)
    long_ago, erased = first[0].jti, first[1].jti
    with closing(sqlite3.connect(pair.a.settings.database_path)) as database, database:
        year_ms = 365 * 86_400_000
        database.execute("UPDATE outbox SET created_at = created_at - ? WHERE jti = ?", (year_ms + 1000, long_ago))
        database.execute("DELETE FROM bodies WHERE id = (SELECT body_id FROM outbox WHERE jti = ?)", (erased,))
    tried = len(await api.entries(type="schema.tried"))
    against = pair.a.gateway.rules.catalogue.usable(REFERRAL, pair.a.gateway.directory.mine).version
    found = await check(api, narrower())

    assert found.traffic is not None
    assert (found.traffic.messages, found.traffic.failed, found.traffic.erased) == (len(rows) - 2, len(rows) - 2, 1)
    assert found.traffic.whole
    places = {(place.pointer, place.code): place for place in found.traffic.places}
    assert places["/data", "E-SCHEMA"].reason == "lacks the member `more`"
    assert places["/data/persons/*/sex", "E-CODE"].reason == "is not one of M, X"
    assert {place.messages for place in places.values()} == {len(rows) - 2}
    entry, *older = await api.entries(type="schema.tried")
    assert len(older) == tried
    assert (entry["actor"]["sub"], entry["object"]["id"]) == (api.ids["operator"], f"{REFERRAL}:9.0.0")
    assert (entry["event"], entry["outcome"]) == (
        found.digest, f"{len(rows) - 2} messages {len(rows) - 2} failed 1 erased",
    )  # fmt: skip

    assert (found.compatible, found.registered, found.taken, found.against) == (False, False, False, against)
    assert {("backward", against, "/required")} <= {(b.direction, b.version, b.pointer) for b in found.breaks}
    assert any(change.pointer == "/properties/more" and change.what == "added" for change in found.changes)
    assert found.verdict is not None


async def test_a_dry_run_reads_what_the_partner_sent_too(pair: Pair) -> None:
    """At the receiver the same messages are inbound, and those it rejected are none."""
    await pair.a.submit(*(example(SUBMITTED[0]) for _ in range(4)))
    await pair.settle()
    text = json.loads(narrower())
    verdict = await pair.b.gateway.appraiser.judge(json.dumps(text).encode(), caller="test")
    held = await pair.b.gateway.queries.messages(subject=REFERRAL, direction="in", limit=200)

    tried = await pair.b.gateway.rehearsal.run(verdict.schema, TEST_OPERATOR)

    assert (tried.messages, tried.failed, tried.erased) == (len(held), len(held), 0)
    assert tried.messages > 3


async def test_a_check_can_leave_stored_messages_alone(api: Api) -> None:
    """No body is read, and nothing is in the log; a widened schema is compatible, and what it changes is shown."""
    before = len(await api.entries(type="schema.tried"))
    found = await check(api, version(REFERRAL, "1.2.0", title="Third wording"), traffic=False, mode="full_transitive")

    assert (found.traffic, found.compatible, found.mode) == (None, True, "FULL_TRANSITIVE")
    assert [(c.what, c.pointer) for c in found.changes] == [("changed", "/title")]
    assert len(await api.entries(type="schema.tried")) == before


class Canned:
    """`ports.Traffic` of one event, as often as wanted."""

    def __init__(self, event: bytes, count: int) -> None:
        self.event = event
        self.count = count
        self.slices: list[int] = []

    async def page(
        self, direction: str, _subject: str, *, since: int, after: int, limit: int
    ) -> Sequence[StoredMessage]:
        """Return the next messages."""
        assert since > 0
        last = min(self.count, after + limit) if direction == "out" else 0
        return [StoredMessage(number, len(self.event)) for number in range(after + 1, last + 1)]

    async def events(self, _direction: str, numbers: Sequence[int]) -> Sequence[bytes]:
        """Return their bodies."""
        self.slices.append(len(numbers))
        return [self.event] * len(numbers)


async def test_a_dry_run_holds_nobody_up(pair: Pair) -> None:
    """Bodies are read in bounded slices and judged in a thread: the loop turns all the while."""
    gateway = pair.a.gateway
    schema = (await gateway.appraiser.judge(narrower().encode(), caller="test")).schema
    [accepted] = await pair.a.submit(example(SUBMITTED[0]))
    traffic = Canned(await event_of(gateway, accepted.jti) or b"", 1500)
    rehearsal = Rehearsal(gateway.store, traffic, gateway.rules.catalogue.codelists, gateway.clock)
    asked, turns = asyncio.create_task(rehearsal.run(schema, TEST_OPERATOR)), 0
    # Else each turn waits 5 ms for the thread that judges, and their number tells how fast that is.
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    try:
        while not asked.done():
            await asyncio.sleep(0)
            turns += 1
    finally:
        sys.setswitchinterval(usual)

    assert (await asked).failed == sum(traffic.slices) == 1500
    assert max(traffic.slices) <= SLICE_MESSAGES
    assert turns > 50 * len(traffic.slices)
    large = Canned(traffic.event + b" " * SLICE_BYTES, 3)
    await Rehearsal(gateway.store, large, gateway.rules.catalogue.codelists, gateway.clock).run(schema, TEST_OPERATOR)
    assert large.slices == [1, 1, 1]


async def test_a_dry_run_that_takes_too_long_says_so(pair: Pair) -> None:
    """What was not reached is not counted, and nobody takes the part for the whole."""
    gateway, now = pair.a.gateway, iter(range(10**12, 10**14, 40_000))
    schema = (await gateway.appraiser.judge(narrower().encode(), caller="test")).schema
    traffic = Canned(b'{"data":{}}', 10_000)
    tried = await Rehearsal(gateway.store, traffic, {}, lambda: next(now)).run(_plain(schema), TEST_OPERATOR)

    assert (tried.whole, tried.messages, tried.failed) == (False, 2 * SLICE_MESSAGES, 2 * SLICE_MESSAGES)


def _plain(schema: SchemaVersion) -> SchemaVersion:
    """Return a schema of the same name that refuses everything and uses no code list."""
    return replace(schema, document={"not": {}})


async def test_a_check_that_cannot_be_read_is_refused(api: Api) -> None:
    """With the member at fault."""
    for body, pointer in (
        ({}, "/document"),
        ({"document": 7}, "/document"),
        ({"document": "{}", "mode": "x"}, "/mode"),
    ):
        answer = await api.call("POST", "/schemas/check", "operator", json=body)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (400, pointer)
