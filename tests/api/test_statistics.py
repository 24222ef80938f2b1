"""Statistics end to end: counted from exchanged messages, brought in by CSV, shown, drawn and sent."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import pytest_asyncio

from gateway.resources import schemas_path
from gateway.services.accounts import LOCAL_OPERATOR
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from tests.api.conftest import Answer, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOUNDING = (schemas_path() / "examples/stats.periodic/founding-figures.csv").read_text("utf-8")
JAN_APR = {"from": "2025-01", "to": "2025-04"}
YEAR = {"from": "2026-01", "to": "2026-12"}
HEAD = "indicator,from,to,value,source\n"
SVG = "{http://www.w3.org/2000/svg}"


async def bring_in(api: Api, text: str, key: str, role: str = "officer") -> Answer:
    """POST a CSV file."""
    headers = {"Idempotency-Key": key, "Content-Type": "text/csv"}
    return await api.call("POST", "/statistics/figures", role, headers=headers, data=text.encode())


async def figures(api: Api, **query: str) -> dict[str, Any]:
    """Return our figures by indicator and breakdown: value, qualifier."""
    answer = await api.get("/statistics", "officer", params=query)
    assert answer.status == 200, answer.json
    return {
        " ".join((f["indicator"], *f["breakdown"].values())): (f["value"], f["qualifier"])
        for f in answer.json["figures"]
    }


async def send(api: Api, pair: Pair, **draft: Any) -> dict[str, Any]:
    """Draft the message, submit it as it is, and wait for its receipt; return the draft's data."""
    drafted = await api.call("POST", "/statistics/draft", "officer", json={"recipient": "kh.gdi", **draft})
    assert drafted.status == 200, drafted.json
    sent = await api.submit(drafted.json, "officer")
    assert sent.status == 202, sent.json
    await pair.settle()
    assert (await api.get(f"/messages/{sent.json['id']}", "officer")).json["state"] == "accepted"
    data: dict[str, Any] = drafted.json["data"]
    return data | {"id": sent.json["id"]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def founded(api: Api) -> int:
    """Bring the founding figures in once; return the number of the import."""
    answer = await bring_in(api, FOUNDING, "founding")
    assert (answer.status, answer.json["rows"]) == (201, 4), answer.json
    number: int = answer.json["import"]
    return number


async def test_the_founding_figures_name_their_source(api: Api, founded: int) -> None:
    """More than 5,000, 303, 185; a repeated import is the stored answer, another file under its key is refused."""
    answer = await api.get("/statistics", "officer", params=JAN_APR, headers={"Accept-Language": "id"})
    shown = {f["indicator"]: f for f in answer.json["figures"]}
    assert {name: (f["value"], f["qualifier"], f["status"]) for name, f in shown.items()} == {
        "DEPARTURES_DEFERRED": (5000, "GT", "FINAL"),
        "PASSPORTS_DEFERRED": (303, "EQ", "FINAL"),
        "VILLAGES_ACTIVE": (185, "EQ", "FINAL"),
    }
    assert shown["PASSPORTS_DEFERRED"]["label"] == "Penerbitan paspor ditunda"
    assert shown["PASSPORTS_DEFERRED"]["sources"] == [
        {"message": None, "import": founded, "row": 3, "label": "Press statement of 19 May 2025"}
    ]
    assert answer.json["period"] == {"from": "2025-01-01", "to": "2025-04-30", "grain": "OTHER"}
    again = await bring_in(api, FOUNDING, "founding")
    assert (again.status, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert (await bring_in(api, FOUNDING + "\n", "founding")).status == 422
    logged = {e["object"]["id"]: e for e in await api.entries(type="figures.imported")}
    assert logged[str(founded)]["actor"]["sub"] == api.ids["officer"]
    march = (await api.get("/statistics", "officer", params={"from": "2025-03", "to": "2025-03"})).json
    assert (march["figures"], len(march["left_out"])) == ([], 3)


async def test_a_wrong_file_brings_nothing_in(api: Api) -> None:
    """Every fault by row and column, and no value repeated; overlapping periods are refused."""
    answer = await bring_in(api, HEAD + "NOPE,2030-01,2030-01,x,a\nRFI_SENT,2030-02,2030-01,5,a\n", "wrong")
    assert (answer.status, [e["pointer"] for e in answer.json["errors"]]) == (
        422, ["/2/value", "/2/indicator", "/3/to"],
    )  # fmt: skip
    assert "NOPE" not in answer.body.decode()
    assert (await bring_in(api, HEAD + "RFI_SENT,2030-01,2030-03,50,a\n", "quarter")).status == 201
    clash = await bring_in(api, HEAD + "RFI_SENT,2030-03,2030-03,20,a\n", "month")
    assert (clash.status, clash.json["errors"][0]["pointer"]) == (422, "/2")
    assert await figures(api, **{"from": "2030-01", "to": "2030-12"}) == {"RFI_SENT": (50, "EQ")}


async def test_two_files_at_once_are_compared_with_each_other(api: Api) -> None:
    """Each was compared with what was held before: the one that comes second is compared once more."""
    month, quarter = (f"{HEAD}PASSPORTS_DEFERRED,2031-01,{last},3,a\n" for last in ("2031-01", "2031-03"))
    answers = await asyncio.gather(bring_in(api, month, "at-once-1"), bring_in(api, quarter, "at-once-2"))
    assert sorted(answer.status for answer in answers) == [201, 422]
    for answer in answers:
        if answer.status == 201:
            await api.call("POST", f"/statistics/imports/{answer.json['import']}/withdraw", "officer")


async def test_an_import_is_withdrawn(api: Api) -> None:
    """It counts no more, it stays listed, and the log says who took it out."""
    number = (await bring_in(api, HEAD + "RFI_SENT,2031-01,2031-01,50,a\n", "mistake")).json["import"]
    assert (await api.call("POST", f"/statistics/imports/{number}/withdraw", "officer")).json["withdrawn"] is True
    assert await figures(api, **{"from": "2031-01", "to": "2031-01"}) == {}
    assert (await api.call("POST", f"/statistics/imports/{number}/withdraw", "officer")).status == 404
    listed = {row["import"]: row for row in (await api.get("/statistics/imports", "officer")).json["items"]}
    assert listed[number]["withdrawn_at"] is not None
    assert (await api.entries(type="figures.withdrawn"))[0]["object"] == {"kind": "import", "id": str(number)}


async def test_a_changed_case_changes_its_figure(api: Api, pair: Pair) -> None:
    """A notice counts once it is accepted; a correction, a successor and a withdrawal each show at once."""
    first = example("departure.deferral.notice/s3-group-of-four")
    first["data"] |= {
        "personsCount": 40, "ageGroups": [{"ageGroup": "18-24", "count": 28}, {"ageGroup": "25-34", "count": 12}],
        "sexes": [{"sex": "F", "count": 40}],
    }  # fmt: skip
    key = "DEPARTURES_DEFERRED"
    sent = (await api.submit(first, "officer")).json
    assert key not in await figures(api, **YEAR) or (await figures(api, **YEAR))[key] == (40, "EQ")
    await pair.settle()
    assert (await figures(api, **YEAR))[key] == (40, "EQ")
    by_age = await figures(api, **YEAR, by="ageGroup")
    assert (by_age[f"{key} 18-24"], by_age[f"{key} 25-34"]) == ((28, "EQ"), (12, "EQ"))
    [found] = [
        f for f in (await api.get("/statistics", "officer", params=YEAR)).json["figures"] if f["indicator"] == key
    ]
    assert [source["message"] for source in found["sources"]] == [sent["id"]]

    second = example("departure.deferral.notice/s3-group-of-four")
    second["data"] |= {"personsCount": 25, "ageGroups": [{"ageGroup": "18-24", "count": 25}],
                       "sexes": [{"sex": "F", "count": 25}]}  # fmt: skip
    await api.submit(second | {"case": sent["case"], "supersedes": sent["id"]}, "officer")
    await pair.settle()
    assert (await figures(api, **YEAR))[key] == (25, "EQ")

    third = example("departure.deferral.notice/s3-group-of-four")
    third["data"] |= {"personsCount": 13, "ageGroups": [{"ageGroup": "18-24", "count": 13}],
                      "sexes": [{"sex": "F", "count": 13}]}  # fmt: skip
    other = (await api.submit(third, "officer")).json
    await pair.settle()
    assert (await figures(api, **YEAR))[key] == (38, "EQ")
    action = example("record.action/s7-correct-birth")
    action["handling"] = first["handling"]
    action["data"]["meta"]["retention"] = {"class": "RC-DEF"}
    action["data"] |= {
        "target": {"messageId": other["id"], "jsonPointers": ["/personsCount"]},
        "changes": [{"pointer": "/personsCount", "newValue": 31,
                     "oldHash": action["data"]["changes"][0]["oldHash"]}],
    }  # fmt: skip
    corrected = await api.submit(action | {"case": other["case"]}, "officer")
    assert corrected.status == 202, corrected.json
    await pair.settle()
    assert (await figures(api, **YEAR))[key] == (56, "EQ")


async def test_the_message_goes_out_and_is_revised(api: Api, pair: Pair) -> None:
    """Drafted, submitted and accepted like any message; then only what changed, naming what it revises."""
    brought = await bring_in(api, FOUNDING.replace("2025-", "2023-"), "earlier")
    assert brought.status == 201, brought.json
    period = {"from": "2023-01", "to": "2023-04"}
    first = await send(api, pair, **period, extra={"contactRole": "Statistics officer"})
    assert [(f["indicator"], f["value"], f.get("qualifier")) for f in first["figures"]] == [
        ("DEPARTURES_DEFERRED", 5000, "GT"), ("PASSPORTS_DEFERRED", 303, None), ("VILLAGES_ACTIVE", 185, None),
    ]  # fmt: skip
    assert (first["definitionsVersion"], first["contactRole"]) == ("1.0.0", "Statistics officer")
    draft = {"recipient": "kh.gdi", **period}
    unchanged = await api.call("POST", "/statistics/draft", "officer", json=draft)
    assert unchanged.status == 409
    assert first["id"] in unchanged.json["detail"]

    await bring_in(api, HEAD + "PASSPORTS_DEFERRED,2023-01,2023-04,305,Corrected registry\n", "revision")
    revised = await send(api, pair, **period)
    assert [(f["indicator"], f["value"], f["revisionOf"]) for f in revised["figures"]] == [
        ("PASSPORTS_DEFERRED", 305, first["id"])
    ]
    from gateway.casework.dates import Span, span_of
    from gateway.services.statistics import Question

    first_month, last_month = span_of("2023-01"), span_of("2023-04")
    assert first_month is not None
    assert last_month is not None
    theirs = await pair.b.gateway.statistics.report(Question(Span(first_month.first, last_month.last)), LOCAL_OPERATOR)
    [told] = theirs.partners
    assert (told.party, list(told.messages)) == ("id.imigrasi", [first["id"], revised["id"]])
    assert {f.indicator: f.value for f in told.figures} == {
        "DEPARTURES_DEFERRED": 5000, "PASSPORTS_DEFERRED": 305, "VILLAGES_ACTIVE": 185,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("draft", "status"),
    [
        ({"recipient": "kh.gdi", "from": "2019-01", "to": "2019-01"}, 404),
        ({"recipient": "nobody.here", **JAN_APR}, 404),
        ({"recipient": "kh.gdi", "from": "2025-04", "to": "2025-01"}, 400),
        ({"recipient": "kh.gdi", "from": "soon", "to": "2025-01"}, 400),
        ({"recipient": "kh.gdi", **JAN_APR, "by": ["sex", "ageGroup", "channel"]}, 400),
        ({"recipient": "kh.gdi", **JAN_APR, "by": ["shoe"]}, 400),
        ({"recipient": "kh.gdi", **JAN_APR, "by": "sex"}, 400),
        ({"recipient": "kh.gdi", **JAN_APR, "extra": {"figures": []}}, 400),
        ({"recipient": "kh.gdi", **JAN_APR, "final": "yes"}, 400),
        ({**JAN_APR}, 400),
    ],
)
async def test_a_draft_that_cannot_be(api: Api, founded: int, draft: dict[str, Any], status: int) -> None:
    """Each with what to do instead."""
    answer = await api.call("POST", "/statistics/draft", "officer", json=draft)
    assert (answer.status, bool(answer.json["detail"])) == (status, True)


async def test_small_cells_never_leave(api: Api) -> None:
    """Four minors and one more cell, in JSON, in the page and in the chart."""
    rows = "".join(
        f"PRESUMED_VICTIMS,2024-01,2024-03,{value},{age},Registry\n"
        for value, age in ((46, ""), (4, "12-17"), (30, "18-24"), (12, "25-34"))
    )
    await bring_in(api, HEAD.replace("value,", "value,ageGroup,") + rows, "small")
    query = {"from": "2024-01", "to": "2024-03", "by": "ageGroup"}
    assert await figures(api, **query) == {
        "PRESUMED_VICTIMS": (46, "EQ"), "PRESUMED_VICTIMS 12-17": (None, "EQ"),
        "PRESUMED_VICTIMS 18-24": (30, "EQ"), "PRESUMED_VICTIMS 25-34": (None, "EQ"),
    }  # fmt: skip
    text = (await api.get("/statistics/page", "officer", params=query | {"language": "en"})).body.decode()
    cells = re.findall(r'<td class="(?:number|none)">([^<]*)</td>', text)
    assert cells == ["46", "Withheld to protect persons", "30", "Withheld to protect persons"]


@pytest.mark.parametrize(
    ("language", "figure", "label", "mark"),
    [
        ("en", "&gt; 5,000", "Departures postponed/refused at TPI", "Test system"),
        ("id", "&gt; 5.000", "Keberangkatan ditunda di TPI", "Sistem uji"),
        ("km", "&gt; 5.000", "ការពន្យារពេលចេញដំណើរនៅច្រក", "ប្រព័ន្ធសាកល្បង"),
    ],
)
async def test_chart_and_page_in_three_languages(
    api: Api, founded: int, language: str, figure: str, label: str, mark: str
) -> None:
    """The chart has a title and says in words what it shows; the table beside it holds the same figures."""
    query = JAN_APR | {"language": language}
    chart = await api.get("/statistics/chart.svg", "auditor", params=query)
    assert (chart.status, chart.media_type) == (200, "image/svg+xml")
    root = ET.fromstring(chart.body)  # noqa: S314 (made by us, a moment ago)
    assert root.get("role") == "img"
    named = root.get("aria-labelledby", "").split()
    assert [part.tag for part in root if part.get("id") in named] == [f"{SVG}title", f"{SVG}desc"]
    assert label in (root.findtext(f"{SVG}desc") or "")
    assert mark in (root.findtext(f"{SVG}title") or ""), "P24: a rehearsal is marked as one"
    assert root.findall(f"{SVG}polygon"), "more than 5,000 has an open end"
    assert b"style=" not in chart.body
    page = await api.get("/statistics/page", "auditor", params=query)
    text = page.body.decode()
    assert f'<html lang="{language}">' in text
    assert mark in text.partition("<h1>")[2].partition("</h1>")[0]
    assert f'<th scope="row">{label}</th>' in text
    assert f'<td class="number">{figure}</td>' in text
    assert text.count("<svg ") == 1
    assert "style-src 'sha256-" in page.headers["Content-Security-Policy"]
    assert page.headers["Content-Language"] == language


async def test_both_authorities_stand_side_by_side(api: Api, pair: Pair) -> None:
    """What the partner reported of the same period is a column of its own."""
    body = example("stats.periodic/s8-quarter-with-suppressed-cells") | {"recipient": "id.imigrasi"}
    body["data"]["period"] = {"from": "2023-07-01", "to": "2023-09-30", "grain": "QUARTER"}
    [told] = await pair.b.submit(body)
    await pair.settle()
    await bring_in(api, HEAD + "CAMPAIGN_EVENTS,2023-07,2023-09,12,Registry\n", "beside")
    query = {"from": "2023-07", "to": "2023-09", "language": "en"}
    found = (await api.get("/statistics", "officer", params=query)).json
    [partner] = found["partners"]
    assert partner["party"] == "kh.gdi"
    assert {s["message"] for figure in partner["figures"] for s in figure["sources"]} == {told.jti}
    text = (await api.get("/statistics/page", "officer", params=query)).body.decode()
    row = re.search(r'<tr><th scope="row">Public campaign events</th>(.*?)</tr>', text, re.DOTALL)
    assert row is not None
    assert re.findall(r'<td class="(?:number|none)">([^<]*)</td>', row[1]) == ["12", "46"]
    assert "\u2248 9,800" in text
    assert "Withheld to protect persons" in text


async def test_a_client_has_no_statistics(api: Api) -> None:
    """Systems of agencies exchange cases; figures are for people."""
    assert (await api.get("/statistics", "client", params=JAN_APR)).status == 403
    assert (await bring_in(api, FOUNDING, "client", "client")).status == 403
    assert (await bring_in(api, FOUNDING, "auditor", "auditor")).status == 403
