"""Every refusal with exactly its code and place: at POST, and by the receiver of a sender who checks nothing."""

from __future__ import annotations

import copy
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from gateway.errors import PolicyViolation, SchemaViolation
from tests.api.conftest import Api, serve
from tests.attachments.files import pdf
from tests.attachments.parties import attached
from tests.delivery.conftest import Desk
from tests.delivery.refusals import FURTHER, GROUP, ODD, POLICIES, S1, SCAN, TWENTY, Row
from tests.support.hostile import filled
from tests.support.link import ID
from tests.support.pair import Pair, example, submitted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from gateway.errors import Finding
    from gateway.protocol.ids import CaseRef
    from gateway.protocol.receipt import Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSED = (*TWENTY, *FURTHER, *POLICIES)
SHIPPED = (Path(__file__).resolve().parents[2] / "config" / "agreement.toml").read_text("utf-8")
OTHER = {"kh.gdi": "id.imigrasi", "id.imigrasi": "kh.gdi"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Api]]:
    """Serve the API of both sides, by party."""
    async with Pair(tmp_path_factory.mktemp("pair")) as pair, AsyncExitStack() as stack:
        yield {side.party: await serve(stack, side) for side in pair.sides}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desks() -> AsyncIterator[dict[str, Desk]]:
    """Open a receiver on each side, by party."""
    there, here = Desk(), Desk(reverse=True)
    async with there.open(), here.open():
        yield {"kh.gdi": there, "id.imigrasi": here}


def to_whom(row: Row) -> str:
    """Return the party that gets the spoilt message."""
    recipient: str = example(row.name)["recipient"]
    return OTHER[recipient] if row.own else recipient


def body_of(row: Row) -> dict[str, Any]:
    """Return the spoilt POST body."""
    body = example(row.name) | copy.deepcopy(row.body) | {"recipient": to_whom(row)}
    row.spoil(body["data"])
    return body


def event_of(desk: Desk, row: Row, case: CaseRef | None = None, case_seq: int = 1, **changes: Any) -> bytes:
    """Return the spoilt message as an event of a sender without checks."""
    data = filled(row.name)
    row.spoil(data)
    opens = row.name.partition("/")[0] not in {"route.bulletin", "stats.periodic", "record.action"}
    ref = case or (desk.author.new_case() if opens else None)
    handling = {name: tuple(value) for name, value in row.body.items()}
    return desk.author.event(row.name, data=data, case=ref, case_seq=case_seq, **{**handling, **changes})


def places(errors: Iterable[Finding]) -> tuple[set[str | None], set[str]]:
    """Return the codes and the pointers of findings."""
    found = list(errors)
    return {finding.code for finding in found}, {finding.pointer for finding in found}


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.what)
async def test_it_is_refused_at_post(apis: dict[str, Api], row: Row) -> None:
    """422 with exactly that code at that place, and no message."""
    answer = await apis[OTHER[to_whom(row)]].submit(body_of(row))

    assert answer.status == 422, answer.json
    assert {error["code"] for error in answer.json["errors"]} == {row.code}, answer.json
    assert row.pointer in {error["pointer"] for error in answer.json["errors"]}, answer.json


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.what)
async def test_it_is_refused_over_the_wire(desks: dict[str, Desk], row: Row) -> None:
    """A signed rejection with exactly that code at that place, from a receiver whose sender checked nothing."""
    desk = desks[to_whom(row)]

    outcome = await desk.outcome(event_of(desk, row))

    assert (outcome.status, outcome.problem in {"schema-invalid", "policy-refused"}) == ("rejected", True)
    codes, pointers = places(outcome.errors)
    assert codes == {row.code}, outcome.errors
    assert row.pointer in pointers, outcome.errors


@pytest.mark.parametrize("row", ODD, ids=lambda row: row.what)
async def test_odd_but_legal_input_passes_both(apis: dict[str, Api], desks: dict[str, Desk], row: Row) -> None:
    """What is messy in life is accepted at POST and over the wire."""
    answer = await apis[OTHER[to_whom(row)]].submit(body_of(row))
    outcome = await desks[to_whom(row)].outcome(event_of(desks[to_whom(row)], row))

    assert answer.status == 202, answer.json
    assert outcome.status == "accepted", outcome.errors


async def test_every_code_of_the_list_is_answered_somewhere(apis: dict[str, Api]) -> None:
    """The code list of refusals and these tests name the same codes; the files' own are tried with the files."""
    listed = (await apis[ID].get("/codelists/nackReason")).json["codes"]
    tried = {row.code for row in REFUSED} | ELSEWHERE
    assert {code["code"] for code in listed} == tried


# Tried below (19, 20), in the tests of the wire (signature and key of an envelope), and with attachments.
ELSEWHERE = {"E-STATE", "E-REPLAY", "E-CLOCK", "E-RECIPIENT", "E-VERSION", "E-SIG", "E-MEDIA", "E-HASH"}


# --- what only a story can show ---------------------------------------------------------------------


async def opened(desk: Desk, name: str = "case.referral/s1-sumarni") -> CaseRef:
    """Open a case with an example; return its reference."""
    case = desk.author.new_case()
    assert (await desk.outcome(desk.author.event(name, case=case))).status == "accepted"
    return case


def refused(outcome: Outcome, code: str, pointer: str) -> None:
    """Assert a signed rejection with one code at one place."""
    assert (outcome.status, [(f.code, f.pointer) for f in outcome.errors]) == ("rejected", [(code, pointer)]), outcome


async def test_12_a_scan_too_large_and_files_too_many(desks: dict[str, Desk], apis: dict[str, Api]) -> None:
    """E-SIZE at the length of 5.1 MiB and at the list of 21, told by the message before any file is looked for."""
    many = [f"0a000000-0000-4000-8000-0000000000{at:02}" for at in range(21)]
    for files, pointer in (
        ([SCAN | {"byteLength": 5_347_738}], "/data/attachments/0/byteLength"),
        ([SCAN | {"attachmentId": name} for name in many], "/data/attachments"),
    ):
        event = desks["kh.gdi"].author.event(S1, data=filled(S1) | {"attachments": files})
        refused(await desks["kh.gdi"].outcome(event), "E-SIZE", pointer)
    gateway = apis["id.imigrasi"].side.gateway
    uploads = [await attached(gateway, pdf()) for _ in many]
    with pytest.raises(SchemaViolation) as caught:
        await submitted(gateway, example(S1) | {"attachments": uploads})
    assert [(f.code, f.pointer) for f in caught.value.errors] == [("E-SIZE", "/data/attachments")]


async def test_18_an_alert_on_a_victim_of_the_case(desks: dict[str, Desk], apis: dict[str, Api]) -> None:
    """E-NONPUNISH at the person, on either side, in the victim's case and outside of it."""
    desk, api = desks["id.imigrasi"], apis["kh.gdi"]
    referral, alert = example("case.referral/s1-sumarni"), "subject.alert/s6-two-nationalities"
    [ours] = await submitted(desk.gateway, referral)
    theirs = (await apis["id.imigrasi"].submit(referral)).json["case"]
    await apis["id.imigrasi"].side.settle()
    data = filled(alert)
    data["subject"]["protectionScreened"] = True  # her own State is told: that alone must not be the reason
    data["subject"]["personRef"] = referral["data"]["persons"][0]["personRef"]
    for case in (ours.case, None):
        event = desk.author.event(alert, data=data, case=case or desk.author.new_case(), case_seq=1)
        refused(await desk.outcome(event), "E-NONPUNISH", "/data/subject/personRef")
        answer = await api.submit(example(alert) | {"data": data} | ({"case": theirs} if case else {}))
        assert (answer.status, [(e["code"], e["pointer"]) for e in answer.json["errors"]]) == (
            422, [("E-NONPUNISH", "/data/subject/personRef")],
        )  # fmt: skip


async def test_19_the_same_id_with_another_payload(desks: dict[str, Desk]) -> None:
    """E-REPLAY at the id; the first one stays as it was accepted."""
    desk = desks["kh.gdi"]
    first = desk.author.event()
    assert (await desk.outcome(first)).status == "accepted"
    jti = (await desk.outcome(first)).jti
    refused(await desk.outcome(desk.author.event(id=jti)), "E-REPLAY", "/id")


async def test_19_a_clock_that_is_wrong(desks: dict[str, Desk]) -> None:
    """E-CLOCK: twenty minutes ahead is deferred, past its time is refused."""
    desk = desks["kh.gdi"]
    ahead = await desk.outcome(desk.author.event(time_ms=desk.now + 20 * 60_000, expiry_ms=desk.now + 10**9))
    assert (ahead.status, [(f.code, f.pointer) for f in ahead.errors]) == ("deferred", [("E-CLOCK", "/time")])
    over = await desk.outcome(desk.author.event(time_ms=desk.now - 10**7, expiry_ms=desk.now - 1))
    refused(over, "E-CLOCK", "/expirytime")


async def test_19_a_message_for_somebody_else(desks: dict[str, Desk]) -> None:
    """E-RECIPIENT: signed for another party, it is not ours."""
    desk = desks["kh.gdi"]
    refused(await desk.outcome(desk.author.event(recipient="id.imigrasi")), "E-RECIPIENT", "/recipient")


async def test_a_schema_that_nobody_approved(desks: dict[str, Desk], apis: dict[str, Api]) -> None:
    """E-VERSION on the wire and at POST."""
    desk = desks["kh.gdi"]
    refused(await desk.outcome(desk.author.event(schema_version="9.9.9")), "E-VERSION", "/dataschema")
    answer = await apis["id.imigrasi"].submit(example("case.referral/s1-sumarni") | {"type": "case.unheard-of"})
    assert [(e["code"], e["pointer"]) for e in answer.json["errors"]] == [("E-VERSION", "/type")]


async def test_20_a_victims_name_in_a_bulletin(desks: dict[str, Desk], apis: dict[str, Api]) -> None:
    """E-PII where the name of a person of an exchanged case stands, in any script; others' names do not matter."""
    text = "A woman, Sumarni, told how passports are collected."
    desk = desks["kh.gdi"]
    data = filled("route.bulletin/s6-batam-johor-bavet")
    data["documentsPattern"] = text.replace("Sumarni", "Surtini")
    assert (
        await desk.outcome(desk.author.event("route.bulletin/s6-batam-johor-bavet", data=data))
    ).status == "accepted"
    await opened(desk)
    data["documentsPattern"] = text
    event = desk.author.event("route.bulletin/s6-batam-johor-bavet", data=data)
    refused(await desk.outcome(event), "E-PII", "/data/documentsPattern")

    api = apis["id.imigrasi"]
    await api.submit(example("case.referral/s1-sumarni"))
    body = example("route.bulletin/s6-batam-johor-bavet") | {"recipient": "kh.gdi"}
    body["data"]["documentsPattern"] = text
    answer = await api.submit(body)
    assert [(e["code"], e["pointer"]) for e in answer.json["errors"]] == [("E-PII", "/data/documentsPattern")]


async def test_20_a_reply_weaker_than_its_request(desks: dict[str, Desk]) -> None:
    """E-HANDLING: an answer without a code of its question, a report without one of its case; more codes are fine."""
    desk = desks["id.imigrasi"]
    # What kh.gdi, a script here, will answer is a question of ours, marked H1 beyond what it must have.
    question = example("info.request/s7-crossing-history") | {"handling": ["V1", "H1", "H2", "NP"]}
    [asked] = await submitted(desk.gateway, question)

    def answer(seq: int, *handling: str) -> bytes:
        return desk.author.event(
            "info.response/s7-final", case=asked.case, in_reply_to=asked.jti, case_seq=seq, handling=handling
        )

    def report(seq: int, *handling: str) -> bytes:
        data = filled("case.update/s1-accepted") | {"fromStatus": "RECEIVED", "toStatus": "RECEIVED"}
        return desk.author.event("case.update/s1-accepted", data=data, case=asked.case, case_seq=seq, handling=handling)

    refused(await desk.outcome(answer(1, "V1", "H2", "NP")), "E-HANDLING", "/handling")
    assert (await desk.outcome(answer(2, "V1", "H1", "H2", "NP", "EO"))).status == "accepted"
    refused(await desk.outcome(report(3, "H0")), "E-HANDLING", "/handling")
    assert (await desk.outcome(report(4, "V1", "H1", "H2", "NP"))).status == "accepted"


async def test_20_a_move_that_the_table_does_not_hold(desks: dict[str, Desk], apis: dict[str, Api]) -> None:
    """E-STATE: CLOSED to ACTION directly, from either side."""
    desk = desks["kh.gdi"]
    case = await opened(desk)
    data = filled("case.update/s1-accepted") | {"fromStatus": "CLOSED", "toStatus": "ACTION"}
    event = desk.author.event("case.update/s1-accepted", data=data, case=case, case_seq=2)
    refused(await desk.outcome(event), "E-STATE", "/data/fromStatus")

    api = apis["id.imigrasi"]
    ours = (await api.submit(example(S1))).json["case"]
    answer = await api.submit(example("case.update/s1-accepted") | {"recipient": "kh.gdi", "case": ours, "data": data})
    assert (answer.status, [(e["code"], e["pointer"]) for e in answer.json["errors"]]) == (
        422, [("E-STATE", "/data/fromStatus")],
    )  # fmt: skip


async def test_p22_a_data_subjects_request_that_is_answered_too_late(
    desks: dict[str, Desk], apis: dict[str, Api]
) -> None:
    """E-DATE on the wire and at POST: due on the fourth day after its receipt."""
    name, request = "record.action/s7-subject-request", {"right": "ACCESS", "receivedOn": "2026-11-20"}
    desk = desks["id.imigrasi"]
    data = filled(name) | {"subjectRequest": request | {"dueBy": "2026-11-24"}}
    refused(await desk.outcome(desk.author.event(name, data=data)), "E-DATE", "/data/subjectRequest/dueBy")
    in_time = filled(name) | {"subjectRequest": request | {"dueBy": "2026-11-23"}}
    assert (await desk.outcome(desk.author.event(name, data=in_time))).status == "accepted"
    refusal = await apis["kh.gdi"].submit(example(name) | {"data": data})
    found = {(error["code"], error["pointer"]) for error in refusal.json["errors"]}
    # The message it is about was not exchanged here, which is told beside it.
    assert found == {("E-DATE", "/data/subjectRequest/dueBy"), ("E-REF", "/data/target/messageId")}


async def test_p02_the_agreement_that_ships_lets_no_personal_data_pass() -> None:
    """E-TRANSFER at the sender and at the receiver until an instrument is named; a bulletin without persons goes."""
    desk = Desk()
    (desk.home / "agreement.toml").write_text(SHIPPED, "utf-8")
    async with desk.open():
        refused(await desk.outcome(desk.author.event(S1)), "E-TRANSFER", "/data/meta/transferBasis")
        bulletin = desk.author.event("route.bulletin/s6-batam-johor-bavet")
        assert (await desk.outcome(bulletin)).status == "accepted"
        with pytest.raises(PolicyViolation) as caught:
            await submitted(desk.gateway, example(GROUP))
        assert {f.code for f in caught.value.errors} == {"E-TRANSFER"}


async def test_a_code_on_no_list_is_told_as_such_where_the_agreement_lists_others() -> None:
    """The agreement is judged before casework; what is wrong is all the same the code, and not what was agreed."""
    desk = Desk()
    (desk.home / "agreement.toml").write_text(SHIPPED, "utf-8")
    async with desk.open():
        for codes in (("H0", "XX"), ("H9",), ("H0", "H0", "XX")):
            outcome = await desk.outcome(desk.author.event("route.bulletin/s6-batam-johor-bavet", handling=codes))
            found = {(finding.pointer, finding.code) for finding in outcome.errors}
            assert (outcome.status, found) == ("rejected", {("/handling", "E-CODE")}), codes
