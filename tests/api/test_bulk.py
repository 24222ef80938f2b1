"""A manifest of 500 persons in one message: by CSV, with all its errors, answered in parts, and how far it is."""

from __future__ import annotations

import copy
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from gateway.casework import tabular
from gateway.errors import RequestError
from gateway.services.accounts import LOCAL_OPERATOR
from gateway.services.request import read_request
from gateway.web.api import models as m
from gateway.web.api import models_views as v
from tests.api.conftest import Api, serve
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.services.request import SubmitRequest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("own_heap")]

GROUP = "identity.verify.request/s2-group-of-thirty"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kh(pair: Pair) -> AsyncIterator[Api]:
    """Serve the API of kh.gdi, who asks."""
    async with AsyncExitStack() as stack:
        yield await serve(stack, pair.b)


def group(count: int) -> dict[str, Any]:
    """Return the request about a group of so many persons, each somebody else."""
    body = example(GROUP)
    rows = body["data"]["items"]
    body["data"]["items"] = made = [copy.deepcopy(rows[at % len(rows)]) for at in range(count)]
    for at, row in enumerate(made):
        row["itemId"] = str(at + 1)
        row["person"]["personRef"] = f"P-5a00ff00-0000-4000-8000-{at:012d}"
    body["data"]["declaredCount"] = count
    return body


def as_csv(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with its rows as CSV."""
    schema = api.side.gateway.rules.catalogue.version("identity.verify.request", "1.0.0")
    text = tabular.write(schema.document, "items", body["data"].pop("items"))
    return body | {"rows": text}


def answer(
    case: str, request: str, items: list[int], done: int, total: int, result: str = "CONFIRMED"
) -> dict[str, Any]:
    """Return a response to some rows; `done` of `total` are answered with it."""
    body = example("identity.verify.response/s2-partial-1") | {"case": case, "in_reply_to": request}
    due = {"fieldCheckDue": "2027-01-15"} if result == "PENDING" else {}
    body["data"]["results"] = [{"itemId": str(at), "result": result, **due} for at in items]
    body["data"]["counts"] = {"confirmed": done, "notFound": 0, "notNational": 0, "pending": 0}
    body["data"]["final"] = done == total
    return body


async def test_five_hundred_persons_from_a_sheet_answered_in_parts(api: Api, kh: Api) -> None:
    """Sent by CSV, delivered whole, read back as CSV; the case tells `answered 27 of 30`, row by row, on both sides."""
    sent = await kh.submit(as_csv(kh, group(500)))
    assert sent.status == 202, sent.json
    await kh.side.settle()
    ref, jti = sent.json["case"], sent.json["id"]

    received = await api.get(f"/messages/{jti}/rows", "officer")
    assert received.media_type == "text/csv"
    assert received.body.count(b"\r\n") == 501
    assert [e["actor"]["role"] for e in await api.entries(type="message.read", message=jti)] == ["officer"]

    seen = []
    for items, done in ((range(1, 301), 300), (range(301, 487), 486), (range(487, 501), 500)):
        reply = await api.submit(answer(ref, jti, list(items), done, 500), "officer")
        assert reply.status == 202, reply.json
        await api.side.settle()
        for side in (api, kh):
            whole = v.CaseWhole.model_validate((await side.get(f"/cases/{ref}", "officer")).json)
            seen.append((whole.progress[0].summary, whole.progress[0].complete))
    assert seen == [
        pair for pair in (("answered 300 of 500", False), ("answered 486 of 500", False), ("answered 500 of 500", True))
        for _ in range(2)
    ]  # fmt: skip
    [asked] = v.Progress.model_validate((await kh.get(f"/cases/{ref}/progress", "officer")).json).requests
    assert (asked.ours, len(asked.rows)) == (True, 500)
    assert asked.rows[0].answer != asked.rows[-1].answer == reply.json["id"]
    assert (await kh.get(f"/cases/{ref}/progress", "other")).status == 404


async def test_a_pending_row_is_not_answered_yet(api: Api, kh: Api) -> None:
    """PENDING leaves a row open, a later response answers it; the whole is complete only with the final one."""
    sent = (await kh.submit(group(30))).json
    await kh.side.settle()
    for items, done, result, expected in (
        (range(1, 29), 28, "CONFIRMED", 28), ([28, 29], 29, "PENDING", 27), ([28, 29, 30], 30, "NOT_FOUND", 30),
    ):  # fmt: skip
        reply = await api.submit(answer(sent["case"], sent["id"], list(items), done, 30, result), "officer")
        assert reply.status == 202, reply.json
        await api.side.settle()
        [asked] = (await kh.get(f"/cases/{sent['case']}/progress", "officer")).json["requests"]
        assert asked["summary"] == f"answered {expected} of 30"


async def test_every_fault_of_a_sheet_is_named_by_line_and_column(kh: Api) -> None:
    """Five hundred wrong sexes are five hundred findings, each where it stands; nothing of the sheet is repeated."""
    body = group(500)
    for row in body["data"]["items"]:
        row["person"]["sex"] = "Kanarienvogel"
    refused = await kh.submit(as_csv(kh, body))

    problem = m.Problem.model_validate(refused.json)
    assert (refused.status, problem.errors and len(problem.errors)) == (422, 500)
    assert problem.errors is not None
    assert problem.errors[41].pointer == "/data/items/41/person/sex"
    assert problem.errors[41].reason.startswith("line 43, column person.sex: ")
    assert "Kanarienvogel" not in refused.body.decode()

    body = group(30)
    body["data"]["items"][6]["person"].pop("guardian")
    policy = await kh.submit(as_csv(kh, body))
    assert [(e["code"], e["reason"].partition(":")[0]) for e in policy.json["errors"]] == [
        ("E-MINOR", "line 8, column person.personRef"),
    ]  # fmt: skip


@pytest.mark.parametrize("sheet", [False, True], ids=["rows", "sheet"])
@pytest.mark.parametrize("fault", [None, "sex", "birth"])
async def test_five_hundred_rows_are_judged_within_a_quarter_of_a_second(
    kh: Api, fault: str | None, sheet: bool
) -> None:
    """The fastest of three, with every finding: faultless, each row against the schema, each row against a policy.

    As rows of the message, and as CSV that is read first.
    """
    body = group(500)
    for row in body["data"]["items"]:
        if fault == "sex":
            row["person"]["sex"] = "Q"
        elif fault == "birth":
            row["person"]["birth"] = {"value": "2031-05-01", "precision": "DAY"}
    request = read_request(as_csv(kh, body) if sheet else body)
    took = []
    for _ in range(3):
        started = time.process_time()
        found = await _findings(kh, request)
        took.append(time.process_time() - started)
        assert (found >= 500) if fault else (found == 0)
    assert min(took) < 0.25, took


async def _findings(api: Api, request: SubmitRequest) -> int:
    try:
        await api.side.gateway.submitter.check(request, LOCAL_OPERATOR)
    except RequestError as error:
        return len(error.errors)
    return 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rows": "itemId\n1\n"}, "give `rows` or `data.items`, not both"),
        ({"type": "case.update", "rows": "itemId\n1\n"}, "this type has no rows"),
        ({"rows": 7}, "is CSV as a text"),
    ],
)
async def test_rows_go_where_rows_belong(kh: Api, change: dict[str, Any], reason: str) -> None:
    """Not beside the same rows in `data`, not in a type without any, and only as text."""
    refused = await kh.submit(example(GROUP) | change)
    assert refused.status == 422
    [error] = refused.json["errors"]
    assert error["pointer"] == "/rows"
    assert error["reason"].startswith(reason)


async def test_templates_are_for_types_with_rows(kh: Api) -> None:
    """The first line of the CSV, by type; another type is a 404 that names those that have rows."""
    found = await kh.get("/templates/identity.verify.request")
    assert (found.status, found.media_type) == (200, "text/csv")
    assert found.body.startswith(b'"itemId","person.personRef","person.role",')
    missing = await kh.get("/templates/case.update")
    assert (missing.status, "identity.verify.request" in missing.json["detail"]) == (404, True)
    bulletin = (await kh.submit(example("route.bulletin/s6-batam-johor-bavet"))).json["id"]
    assert (await kh.get(f"/messages/{bulletin}/rows", "client")).status == 404


async def test_the_persons_of_a_case_are_shown_to_officers_and_the_reading_is_logged(api: Api, kh: Api) -> None:
    """Each body's opinion and the way home; clients and auditors have no right to it; the restricted are left out."""
    opened = (await api.submit(example("case.referral/s1-sumarni"), "officer")).json
    await api.side.settle()
    ref = opened["case"]
    shown = await kh.get(f"/cases/{ref}/persons?purpose=VICTIM_PROTECTION", "officer")
    [person] = v.Persons.model_validate(shown.json).persons
    assert (person.status, person.milestone) == ("PossibleVictimOfTrafficking", None)
    assert [(o.body, o.status) for o in person.opinions] == [("Immigration", "PossibleVictimOfTrafficking")]
    [entry] = await kh.entries(type="message.read", case=ref)
    assert (entry["object"], entry["purpose"]) == ({"kind": "case", "id": ref}, "VICTIM_PROTECTION")
    for role in ("client", "auditor", "operator"):
        assert (await kh.get(f"/cases/{ref}/persons", role)).status == 403
    assert (await kh.get("/cases/XC-ID-2026-999999-X/persons", "officer")).status == 404
    body = example("record.action/s7-restrict-photograph") | {"case": ref}
    body["data"]["target"] = {"messageId": opened["id"]}
    await api.submit(body, "officer")
    await api.side.settle()
    assert (await kh.get(f"/cases/{ref}/persons", "officer")).json == {"persons": []}


async def test_the_least_handling_is_shown_before_a_message_is_sent(api: Api) -> None:
    """By content, by what is answered, by the case; with advice on a fine; nothing is accepted."""
    body = example("case.referral/s1-sumarni")
    body.pop("handling")
    shown = await api.call("POST", "/messages/advice", "officer", json=body)
    assert m.Advice.model_validate(shown.json).handling == ["H2", "V1", "NP"]
    opened = (
        await api.submit(example("case.referral/s1-sumarni") | {"handling": ["V1", "H1", "H2", "NP"]}, "officer")
    ).json
    report = example("case.update/s1-accepted") | {"case": opened["case"], "recipient": "kh.gdi"}
    shown = await api.call("POST", "/messages/advice", "officer", json=report)
    assert shown.json == {"handling": ["H1", "H2", "V1", "NP"], "advice": []}
    child = example("victim.assistance.referral/s5-child-khmer-script")
    child["data"]["immigrationStatus"] = {"fineAmount": {"amount": "1", "currency": "IDR"}}
    shown = await api.call("POST", "/messages/advice", "officer", json=child)
    assert [a["pointer"] for a in shown.json["advice"]] == ["/data/immigrationStatus/waiverRequested"]
    assert (await api.call("POST", "/messages/advice", "auditor", json=child)).status == 403
