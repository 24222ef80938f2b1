from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from gateway.casework.clocks import CaseClocks, Clock, Timed
from gateway.casework.lifecycle import CaseState, CaseStatus
from gateway.ports.cases import Case
from gateway.protocol.ids import CaseRef, PartyId
from gateway.services.caseview import next_action, overdue
from gateway.web.api import models_views as v
from tests.api.conftest import Api, serve
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")

ID, KH = PartyId("id.imigrasi"), PartyId("kh.gdi")
DAY = 86_400_000


async def opened(api: Api, role: str = "client") -> str:
    """Open a case with a referral; return its reference."""
    answer = await api.submit(example("case.referral/s1-sumarni"), role)
    ref: str = answer.json["case"]
    return ref


def update(name: str, ref: str) -> dict[str, Any]:
    """Return a case.update of the examples for this case."""
    return example(f"case.update/{name}") | {"case": ref}


async def test_a_case_tells_its_story_to_both_sides(tmp_path: Path) -> None:
    """Referral, acknowledged by the partner's update: status, clocks, whose turn, and one timeline on each side."""
    async with Pair(tmp_path) as pair, AsyncExitStack() as stack:
        a, b = await serve(stack, pair.a), await serve(stack, pair.b)
        ref = await opened(a)
        await pair.settle()
        before = v.CaseWhole.model_validate((await a.get(f"/cases/{ref}")).json)
        [update_sent] = await pair.b.submit(update("s1-accepted", ref))
        await pair.settle()
        ours = v.CaseWhole.model_validate((await a.get(f"/cases/{ref}")).json)
        theirs = v.CaseWhole.model_validate((await b.get(f"/cases/{ref}")).json)

    assert (before.status, before.role, before.allowed) == ("RECEIVED", "opener", ["WITHDRAWN"])
    assert before.next_action is not None
    assert (before.next_action.party, before.next_action.action, before.next_action.ours) == (
        "kh.gdi", "acknowledge", False,
    )  # fmt: skip
    assert before.next_action.by == before.clock.acknowledge_by
    assert (ours.status, theirs.status) == ("ACCEPTED", "ACCEPTED")
    assert ours.clock == theirs.clock
    assert ours.clock.acknowledged_at is not None
    assert ours.next_action is not None
    assert theirs.next_action is not None
    assert (ours.next_action.action, ours.next_action.ours, theirs.next_action.ours) == ("reply", False, True)
    assert [(s.direction, s.type, s.state) for s in ours.timeline] == [
        ("out", "case.referral", "accepted"), ("in", "case.update", "received"),
    ]  # fmt: skip
    assert [(s.direction, s.message) for s in theirs.timeline] == [
        ("in", ours.timeline[0].message), ("out", update_sent.jti),
    ]  # fmt: skip
    move = ours.timeline[1].move
    assert move is not None
    assert (move.from_status, move.to) == ("RECEIVED", "ACCEPTED")
    assert "CLOSED_REFERRED" in theirs.allowed
    assert ours.allowed == []


async def test_a_case_page_holds_no_case_data(api: Api, pair: Pair) -> None:
    """Neither list nor page needs the right to case data, so neither has any."""
    ref = await opened(api)
    await pair.settle()
    for path in ("/cases", f"/cases/{ref}"):
        assert "SUMARNI" not in (await api.get(path, "officer")).body.decode()


async def test_another_clients_case_looks_like_none(api: Api) -> None:
    """A client has the cases its messages are in; forbidden and unknown are one 404."""
    ref = await opened(api, "client")

    hidden, unknown = await api.get(f"/cases/{ref}", "other"), await api.get("/cases/XC-ID-2026-999999-X", "other")

    assert (hidden.status, unknown.status) == (404, 404)
    assert hidden.json["detail"] == unknown.json["detail"]
    assert ref not in {item["case"] for item in (await api.get("/cases?limit=200", "other")).json["items"]}
    assert ref in {item["case"] for item in (await api.get("/cases?limit=200", "client")).json["items"]}
    assert (await api.get(f"/cases/{ref}", "officer")).status == 200


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("status=RECEIVED", True), ("status=CLOSED", False), ("urgency=FLASH", True), ("urgency=INFO", False),
        ("q=XC-ID", True), ("q=XC-KH", False), ("due_before=2099-01-01", True),
        ("due_before=2020-01-01T00:00:00Z", False),
    ],
)  # fmt: skip
async def test_a_filter_keeps_the_cases_that_fit(api: Api, pair: Pair, query: str, holds: bool) -> None:
    """Each filter of the list, alone."""
    ref = await opened(api)
    await pair.settle()

    answer = await api.get(f"/cases?limit=200&{query}", "officer")

    assert (ref in {item.case for item in v.Cases.model_validate(answer.json).items}) is holds


async def test_cases_page_to_their_end(api: Api, pair: Pair) -> None:
    """Every case once, last changed first."""
    for _ in range(3):
        await opened(api)
    await pair.settle()
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await api.get(f"/cases?limit=2{cursor}", "officer")).json
        seen += [item["case"] for item in page["items"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert len(seen) == len(set(seen)) == len((await api.get("/cases?limit=200", "officer")).json["items"])


def case(status: str, opener: PartyId = ID, partner: PartyId = KH, clock: Clock | None = None) -> Case:
    """Return a case at a status reached at time 0; `clock` waits for kh.gdi."""
    timed = (Timed("m", KH, False, 0, clock),) if clock is not None else ()
    return Case(
        ref=CaseRef("XC-ID-2026-000123-8"), partner=partner, opener=opener,
        lifecycle=CaseState(CaseStatus(status), changed_at_ms=0), urgency="FLASH", handling="H0",
        opening_handling="H0", opened_at=0, updated_at=0, clocks=CaseClocks(timed),
    )  # fmt: skip


RUNNING = Clock(10, 20)


@pytest.mark.parametrize(
    ("held", "me", "expected"),
    [
        (case("RECEIVED", clock=RUNNING), ID, (KH, "acknowledge", 10)),
        (case("RECEIVED", clock=Clock(10, 20, 5)), ID, (KH, "reply", 20)),
        (case("ACCEPTED", clock=Clock(10, None, 5)), ID, (KH, "act", None)),
        (case("NEEDS_INFO", clock=RUNNING), ID, (ID, "supplement", 30 * DAY)),
        (case("SUSPENDED"), ID, (KH, "review", 60 * DAY)),
        (case("MONITORING"), ID, (KH, "monitor", None)),
        (case("RECEIVED", opener=KH), ID, (ID, "decide", None)),
        (case("RECEIVED", partner=ID), KH, (KH, "decide", None)),
        *((case(status, clock=RUNNING), ID, None) for status in ("CLOSED", "CLOSED_REFERRED", "DECLINED", "WITHDRAWN")),
    ],
)
async def test_the_next_action_names_who_what_and_by_when(
    held: Case, me: PartyId, expected: tuple[PartyId, str, int | None] | None
) -> None:
    """Supplement before clocks, clocks before the status, nothing once a case is finished."""
    found = next_action(held, me)

    assert (None if found is None else (found.party, found.action, found.by)) == expected


@pytest.mark.parametrize(
    ("held", "late_from"),
    [
        (case("RECEIVED", clock=RUNNING), 11),
        (case("RECEIVED", clock=Clock(10, 20, 5)), 21),
        (case("CLOSED", clock=Clock(10, 20, 5, 6)), None),
    ],
)
async def test_a_clock_is_overdue_once_its_time_is_over(held: Case, late_from: int | None) -> None:
    """Not at the due time, but the moment after; never where no clock runs."""
    for now in (1, 10, 11, 20, 21, 10**12):
        assert overdue(held, now) is (late_from is not None and now >= late_from)
