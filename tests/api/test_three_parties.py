"""One gateway with three partners: what a partner does reaches nothing that is between us and another.

The agencies of one State number alike and in good faith; a partner that lies chooses any id it has heard of.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import pytest_asyncio

from gateway.casework.dates import Span, day_of
from gateway.errors import PolicyViolation
from gateway.primitives import b64u
from gateway.primitives.merkle import leaf_hash
from gateway.protocol.ids import CaseRef, MessageId, make_case_ref, uuid7
from gateway.protocol.states import Step
from gateway.protocol.void import Void
from gateway.services.accounts import LOCAL_OPERATOR
from gateway.services.casefile import LEFT_OUT
from gateway.services.statistics import Question
from tests.api.conftest import Api, serve
from tests.support.hostile import Author, filled
from tests.support.pair import example
from tests.support.parties import BP2MI, GDI, IMIGRASI, POLICE, Hub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.ports.store import Transaction
    from gateway.protocol.receipt import Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFERRAL, UPDATE, CLOSED = "case.referral/s1-sumarni", "case.update/s1-accepted", "case.update/s1-closed"
LOWEST, HIGHEST = "00000000-0000-7000-8000-000000000000", "ffffffff-ffff-7fff-bfff-ffffffffffff"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub() -> AsyncIterator[Hub]:
    """Open id.imigrasi with three partners: each test has ids and cases of its own."""
    async with Hub() as found:
        # Agencies of one State number alike; here only where a test is about that.
        found.kh_police.cases = 5000
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(hub: Hub) -> AsyncIterator[Api]:
    """Serve the API of id.imigrasi."""
    async with AsyncExitStack() as stack:
        yield await serve(stack, hub)  # type: ignore[arg-type]


def jti_of(event: bytes) -> str:
    """Return the id of an event."""
    found: str = orjson.loads(event)["id"]
    return found


def said(outcome: Outcome) -> tuple[str, str | None]:
    """Return what became of an event."""
    return outcome.status, outcome.problem


def told(name: str = "", person: str = "") -> dict[str, Any]:
    """Return the data of a referral about a citizen of neither State, so that each party may send it to each."""
    held = example(REFERRAL)["data"]["persons"][0]
    text = orjson.dumps(filled(REFERRAL)).decode().replace('"IDN"', '"VNM"')
    text = text.replace(held["names"][0]["fullName"], name or held["names"][0]["fullName"])
    found: dict[str, Any] = orjson.loads(text.replace(held["personRef"], person or held["personRef"]))
    del found["persons"][0]["documents"]
    return found


def referral(author: Author, name: str = "", person: str = "", **changes: Any) -> bytes:
    """Return a referral of a partner, which opens a case."""
    return author.event(data=told(name, person), **changes)


def to(party: str, **changes: Any) -> dict[str, Any]:
    """Return a referral of ours to a partner."""
    return example(REFERRAL) | {"recipient": party, "data": told()} | changes


def acting(author: Author, target: str, case: str, number: int, what: str = "ERASE") -> bytes:
    """Return the record.action of a partner about a message."""
    name = "record.action/s7-erase-wrong-person"
    data = filled(name) | {"action": what, "target": {"messageId": target}}
    return author.event(name, data=data, case=CaseRef(case), case_seq=number)


async def test_a_partner_cannot_take_an_id_that_we_sent(hub: Hub, api: Api) -> None:
    """Refused as a conflict, with an alarm; nobody is shown the one in place of the other, by any route."""
    ours = (await api.submit(to(POLICE))).json
    stolen = referral(hub.kh_gdi, id=MessageId(ours["id"]))
    [outcome] = await hub.send(hub.kh_gdi, stolen)
    assert said(outcome) == ("rejected", "conflict")
    assert [(f.pointer, f.code) for f in outcome.errors] == [("/id", "E-REPLAY")]
    alarms = await api.entries(type="audit.alarm", message=ours["id"])
    assert [(e["outcome"], e["actor"]["sub"]) for e in alarms] == [("conflict", GDI)]
    # The client that sent nothing sees nothing of it, and its owner sees its own.
    assert (await api.get(f"/messages/{ours['id']}", "other")).status == 404
    assert (await api.get(f"/messages/{ours['id']}/event", "other")).status == 404
    read = await api.get(f"/messages/{ours['id']}/event")
    assert orjson.loads(read.body)["source"] == f"urn:bcx:party:{IMIGRASI}"
    inbox = (await api.get("/inbox?limit=200", "other")).json["items"]
    assert ours["id"] not in {item["id"] for item in inbox}
    # Nor does what was refused stand in the story of ours.
    steps = (await api.get(f"/audit/messages/{ours['id']}", "auditor")).json["steps"]
    assert {step["step"] for step in steps} == {"submitted", "opened"}


async def test_a_partner_cannot_take_an_id_that_another_sent(hub: Hub) -> None:
    """Accepted or refused, the first keeps it; its own repetition still gets the stored answer."""
    first, refused = referral(hub.kh_gdi), hub.kh_gdi.event(data={})
    assert [said(o) for o in await hub.send(hub.kh_gdi, first, refused)] == [
        ("accepted", None), ("rejected", "schema-invalid"),
    ]  # fmt: skip
    for event in (first, refused):
        [outcome] = await hub.send(hub.kh_police, referral(hub.kh_police, id=MessageId(jti_of(event))))
        assert said(outcome) == ("rejected", "conflict")
    assert [o.status for o in await hub.send(hub.kh_gdi, first, refused)] == ["accepted", "rejected"]
    # What is refused for its id takes no number: its sender gives that up, and the stream has no gap.
    void = hub.kh_police.void(
        Void(1, MessageId(jti_of(first)), "rejected"), Void(2, MessageId(jti_of(refused)), "rejected")
    )
    await hub.take(hub.kh_police, void)
    assert await hub.gateway.store.write(lambda tx: tx.inbox.raise_stream_high(POLICE)) == 3


async def test_an_id_that_was_only_given_up_is_nobodys(hub: Hub) -> None:
    """Naming ids in a void costs nothing: it must not keep them from who is about to send them."""
    event = referral(hub.kh_gdi)
    hub.id_bp2mi.sent += 1
    await hub.take(hub.id_bp2mi, hub.id_bp2mi.void(Void(hub.id_bp2mi.sent, MessageId(jti_of(event)), "cancelled")))
    await hub.take(hub.kh_gdi, event)


async def test_of_two_partners_that_race_for_an_id_one_has_it(hub: Hub) -> None:
    """Both in one group of the writer: each looks inside its own transaction, behind the other's."""
    jti = MessageId(uuid7(hub.now, lambda size: b"\x5a" * size))
    events = [(a, referral(a, id=jti)) for a in (hub.kh_gdi, hub.kh_police, hub.id_bp2mi)]
    found = await asyncio.gather(*(hub.send(author, event) for author, event in events))
    assert sorted(said(o)[1] or "" for [o] in found) == ["", "conflict", "conflict"]


async def test_an_id_we_draw_is_one_that_nobody_used(hub: Hub) -> None:
    """A partner used, or gave up, what we were about to draw: we draw again, for messages and for a void of ours."""
    drawn, free = b"\x11" * 10, b"\x33" * 10
    planted = referral(hub.kh_gdi, id=MessageId(uuid7(hub.now, lambda _: drawn)))
    await hub.take(hub.kh_gdi, planted)
    hub.draws.extend([drawn, free])
    [sent] = await hub.submit(to(POLICE))
    assert sent.jti == uuid7(hub.now, lambda _: free)
    assert len(await hub.gateway.queries.under(jti_of(planted))) == 1


async def test_a_home_that_holds_one_id_of_several_tells_them_apart(hub: Hub, api: Api) -> None:
    """As older gateways took them: ours first, each under its sender, read and logged as what left."""
    ours = (await api.submit(to(GDI))).json
    theirs = {party: referral(author) for party, author in ((GDI, hub.kh_gdi), (POLICE, hub.kh_police))}
    for author, event in zip((hub.kh_gdi, hub.kh_police), theirs.values(), strict=True):
        await hub.take(author, event)
        for table in ("inbox", "entries"):
            hub.rows(f"UPDATE {table} SET jti = ? WHERE jti = ?", ours["id"], jti_of(event))  # noqa: S608 - names of ours
        hub.rows(
            "UPDATE entries SET data = CAST(replace(CAST(data AS TEXT), ?, ?) AS BLOB) WHERE jti = ?", jti_of(event),
            ours["id"], ours["id"],
        )  # fmt: skip
    path = f"/messages/{ours['id']}"

    assert (await api.get(path)).json["sender"] == IMIGRASI
    assert (await api.get(path, "officer")).json["sender"] == IMIGRASI
    # Whose message it is not finds what partners sent, of which there are two.
    refused = await api.get(path, "other")
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (409, "/sender")
    assert f"{GDI}, {POLICE}" in refused.json["detail"]
    for party, event in theirs.items():
        shown = await api.get(f"{path}?sender={party}", "other")
        assert (shown.status, shown.json["sender"], shown.json["direction"]) == (200, party, "in")
        read = await api.get(f"{path}/event?sender={party}", "other")
        assert read.body == event
        [logged, *_] = await api.entries(type="message.read", message=ours["id"])
        assert logged["event"] == b64u.encode(leaf_hash(event))
        steps = (await api.get(f"/audit/messages/{ours['id']}?sender={party}", "auditor")).json["steps"]
        assert {step["step"]: step["actor"] for step in steps} == {"received": party, "opened": api.ids["other"]}
        assert (await api.get(f"/evidence/{ours['id']}?sender={party}", "auditor")).status == 200
    assert (await api.get(f"{path}?sender={IMIGRASI}", "other")).status == 404
    assert (await api.get(f"{path}?sender=nobody")).status == 400
    inbox = (await api.get("/inbox?limit=200", "other")).json["items"]
    shown = {item["sender"]: item["event"] for item in inbox if item["id"] == ours["id"]}
    assert shown == {party: json.loads(event) for party, event in theirs.items()}
    # An operator does to ours what is asked of the id, and nothing to theirs.
    assert (await api.call("POST", f"{path}/hold", "operator")).json["sender"] == IMIGRASI
    assert (await api.call("POST", f"/messages/{jti_of(theirs[GDI])}/hold", "operator")).status == 404


async def test_lists_go_by_the_order_of_arrival_whatever_ids_partners_choose(hub: Hub, api: Api) -> None:
    """Both directions in one millisecond, ids that would pin or bury a row: no page drops one, none doubles one."""
    since, sent = hub.now + 1000, []
    hub.now += 1000
    for turn in range(6):
        author = (hub.kh_gdi, hub.kh_police, hub.id_bp2mi)[turn % 3]
        jti = (LOWEST, HIGHEST)[turn % 2][:-1] + f"{turn:x}"
        await hub.take(author, referral(author, id=MessageId(jti)))
        [ours] = await hub.submit(to(POLICE))
        sent += [jti, ours.jti]
    when = datetime.fromtimestamp(since / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for limit in (1, 2, 3, 5, 7, 12, 50):
        seen, cursor = [], ""
        while True:
            page = (await api.get(f"/messages?since={when}&limit={limit}{cursor}", "officer")).json
            seen += [item["id"] for item in page["items"]]
            if not page["has_more"]:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == sent[::-1], limit


async def test_what_a_partner_has_erased_is_its_own(hub: Hub, api: Api) -> None:
    """Naming what is between us and another erases nothing, marks nothing, and the log claims nothing."""
    victim = referral(hub.kh_police, "Kusumaningrum")
    await hub.take(hub.kh_police, victim)
    ours = (await api.submit(to(POLICE))).json
    await hub.gateway.indexer.catch_up()
    before = await api.get(f"/audit/messages/{jti_of(victim)}", "auditor")
    case = hub.kh_gdi.new_case()
    await hub.take(hub.kh_gdi, referral(hub.kh_gdi, case=case))
    for number, target in enumerate((jti_of(victim), ours["id"], HIGHEST), 2):
        await hub.take(hub.kh_gdi, acting(hub.kh_gdi, target, case, number))
        [told] = await api.entries(object=target, type="record.not-held")
        assert (told["outcome"], told["actor"]["sub"]) == ("erased WRONG_PERSON", GDI)
        assert await api.entries(type="message.erased", message=target) == []
    found = (await api.get("/cases?q=Kusumaningrum", "officer")).json["items"]
    assert [item["partner"] for item in found] == [POLICE]
    assert (await api.get(f"/messages/{jti_of(victim)}", "officer")).json["record"] == []
    assert (await api.get(f"/messages/{jti_of(victim)}/event", "officer")).body == victim
    assert (await api.get(f"/messages/{ours['id']}/event")).status == 200
    after = await api.get(f"/audit/messages/{jti_of(victim)}", "auditor")
    assert {s["step"] for s in after.json["steps"]} - {s["step"] for s in before.json["steps"]} == {"opened"}


async def test_a_partner_erases_its_own_message_once(hub: Hub, api: Api) -> None:
    """The entry names the digest that is gone; a second time nothing is held, and no restriction brings it back."""
    event = referral(hub.kh_gdi, "Wijayakusuma")
    case = orjson.loads(event)["subject"]
    await hub.take(hub.kh_gdi, event)
    await hub.gateway.indexer.catch_up()
    for number, what in enumerate(("ERASE", "ERASE", "RESTRICT", "UNRESTRICT"), 2):
        await hub.take(hub.kh_gdi, acting(hub.kh_gdi, jti_of(event), case, number, what))
    [erased] = await api.entries(type="message.erased", message=jti_of(event))
    assert (erased["event"], erased["outcome"]) == (b64u.encode(leaf_hash(event)), "erased WRONG_PERSON")
    told = await api.entries(type="record.not-held", object=jti_of(event))
    assert [e["outcome"].split()[0] for e in told] == ["lifted", "restricted", "erased"]
    shown = await api.get(f"/messages/{jti_of(event)}?sender={GDI}", "officer")
    assert [(r["part"], r["mark"]) for r in shown.json["record"]] == [("message", "erased")]
    assert (await api.get(f"/messages/{jti_of(event)}/event", "officer")).status == 404
    assert (await api.get("/cases?q=Wijayakusuma", "officer")).json["items"] == []


async def test_two_agencies_of_one_state_open_the_same_reference(hub: Hub, api: Api) -> None:
    """Each has its own case, with its own status, persons and story; whoever asks for one is asked which."""
    hub.kh_gdi.cases = hub.kh_police.cases = 100
    opening = {author.party: referral(author) for author in (hub.kh_gdi, hub.kh_police)}
    [ref] = {orjson.loads(event)["subject"] for event in opening.values()}
    for author in (hub.kh_gdi, hub.kh_police):
        await hub.take(author, opening[author.party])

    refused = await api.get(f"/cases/{ref}", "officer")
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (409, "/partner")
    for path in (f"/cases/{ref}/progress", f"/cases/{ref}/persons"):
        assert (await api.get(path, "officer")).status == 409
        assert (await api.get(f"{path}?partner={POLICE}", "officer")).status == 200
    assert (await api.get(f"/cases/{ref}?partner={BP2MI}", "officer")).status == 404
    # We accept the one: the other stands where it stood, and its queue waits for nothing.
    [accepted] = await hub.submit(example(UPDATE) | {"recipient": GDI, "case": ref})
    [other] = await hub.submit(example(UPDATE) | {"recipient": POLICE, "case": ref})
    await hub.gateway.operator.perform(Step.HOLD, accepted.jti, LOCAL_OPERATOR)
    due = await hub.gateway.store.write(
        lambda tx: [w for rank in range(3) for w in tx.outbox.due(POLICE, rank=rank, now_ms=hub.now, limit=100)]
    )
    assert ref in {waiting.case_ref for waiting in due}
    shown = {party: (await api.get(f"/cases/{ref}?partner={party}", "officer")).json for party in (GDI, POLICE)}
    for party, answer in ((GDI, accepted), (POLICE, other)):
        assert [step["message"] for step in shown[party]["timeline"]] == [jti_of(opening[party]), answer.jti]
        assert [p["message"] for p in shown[party]["pending"]] == [answer.jti]
    listed = (await api.get(f"/cases?q={ref}", "officer")).json["items"]
    assert [item["partner"] for item in listed] == [POLICE, GDI], "the last changed first, each once"
    pages = [(await api.get(f"/cases?q={ref}&limit=1", "officer")).json]
    pages.append((await api.get(f"/cases?q={ref}&limit=1&cursor={pages[0]['next_cursor']}", "officer")).json)
    assert [page["items"][0]["partner"] for page in pages] == [POLICE, GDI]
    one = (await api.get(f"/cases?q={ref}&partner={GDI}", "officer")).json["items"]
    assert [item["partner"] for item in one] == [GDI]


async def test_a_case_is_judged_by_what_its_own_partner_told(hub: Hub) -> None:
    """A person of another partner's case of the same reference is unknown in this one, and so is all said of them."""
    hub.kh_gdi.cases = hub.kh_police.cases = 200
    alien = f"P-{uuid.uuid4()}"
    opening = referral(hub.kh_gdi, person=alien)
    ref = orjson.loads(opening)["subject"]
    await hub.take(hub.kh_gdi, opening)
    await hub.take(hub.kh_police, referral(hub.kh_police))
    located = orjson.dumps(example("case.update/s1-located")["data"]).replace(_person().encode(), alien.encode())
    for party, unknown in ((GDI, False), (POLICE, True)):
        with pytest.raises(PolicyViolation) as caught:
            await hub.submit(
                example("case.update/s1-located") | {"recipient": party, "case": ref, "data": orjson.loads(located)}
            )
        assert ("E-REF" in {finding.code for finding in caught.value.errors}) is unknown, party
        records = await hub.gateway.queries.remembered(ref, party)
        assert (alien in "".join(record.facts for record in records)) is not unknown


def _person() -> str:
    ref: str = example(REFERRAL)["data"]["persons"][0]["personRef"]
    return ref


async def test_a_partner_of_our_own_state_takes_no_number_of_ours(hub: Hub, api: Api) -> None:
    """Its cases stay its own, ours get the next reference that nobody uses, and it cannot use them up."""
    year = datetime.fromtimestamp(hub.now / 1000, UTC).year
    last = await hub.gateway.store.write(lambda tx: tx.cases.last_number(year))
    refs = [make_case_ref("ID", year, number) for number in range(last + 1, last + LEFT_OUT + 11)]
    theirs = referral(hub.id_bp2mi, case=refs[0])
    await hub.take(hub.id_bp2mi, theirs)
    before = (await api.get(f"/cases/{refs[0]}", "officer")).json
    [ours] = await hub.submit(to(GDI))
    assert ours.case == refs[1]
    assert (await api.get(f"/cases/{refs[0]}", "officer")).json == before
    # More in a row than we leave out: a reference is a case with each partner, and ours goes on by one.
    held = await hub.gateway.store.write(lambda tx: tx.cases.find(BP2MI, refs[0]))

    def squat(tx: Transaction) -> None:
        for ref in refs[2:]:
            tx.cases.save(replace(held, ref=ref))

    await hub.gateway.store.write(squat)
    [ours] = await hub.submit(to(GDI))
    assert ours.case == refs[2]
    assert (await api.get(f"/cases/{refs[2]}?partner={BP2MI}", "officer")).json["opener"] == BP2MI
    # With the squatter itself the first that is free.
    [with_it] = await hub.submit(to(BP2MI))
    assert with_it.case == make_case_ref("ID", year, last + LEFT_OUT + 11)
    # What it sends in its case moves its case alone.
    moved = filled(CLOSED) | {"fromStatus": "RECEIVED", "toStatus": "WITHDRAWN"}
    await hub.take(hub.id_bp2mi, hub.id_bp2mi.event(CLOSED, case=refs[0], case_seq=2, data=moved))
    for ref, partner, status in (
        (refs[0], BP2MI, "WITHDRAWN"),
        (refs[2], BP2MI, "RECEIVED"),
        (refs[2], GDI, "SUBMITTED"),
    ):
        assert (await api.get(f"/cases/{ref}?partner={partner}", "officer")).json["status"] == status


async def test_a_message_in_place_of_another_partners_changes_no_figure(hub: Hub) -> None:
    """`supersedes` and what a record.action drops count within one partner's messages."""
    day = day_of(hub.now)
    question = Question(Span(day - timedelta(days=90), day))

    async def counted() -> dict[str, tuple[int, str]]:
        report = await hub.gateway.statistics.report(question, LOCAL_OPERATOR)
        return {f.indicator: (f.value, f.qualifier) for f in report.figures if not f.breakdown}

    events = [
        referral(hub.id_bp2mi, person=f"P-{uuid.uuid4()}", case=make_case_ref("ID", 2030, number))
        for number in range(1, 16)
    ]
    await hub.take(hub.id_bp2mi, *events)
    before = await counted()
    own = referral(hub.kh_gdi, person=f"P-{uuid.uuid4()}")
    await hub.take(hub.kh_gdi, own)
    with_own = await counted()
    assert with_own != before
    victim, case = jti_of(events[0]), orjson.loads(own)["subject"]
    moved = filled(CLOSED) | {"fromStatus": "RECEIVED", "toStatus": "WITHDRAWN"}
    for event in (
        acting(hub.kh_gdi, victim, case, 2),
        hub.kh_gdi.event(CLOSED, data=moved, case=case, case_seq=3, supersedes=MessageId(victim)),
    ):
        await hub.take(hub.kh_gdi, event)
        assert await counted() == with_own
    await hub.take(hub.kh_gdi, acting(hub.kh_gdi, jti_of(own), case, 4))
    assert await counted() == before, "its own message it may take back"
