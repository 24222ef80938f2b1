"""The eight sample cases, exchanged between two gateways from their first message to their last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
import pytest_asyncio

from gateway.casework.remembered import gather, persons, progress
from gateway.errors import PolicyViolation
from gateway.services.caseview import CaseViews
from tests.attachments.files import jpeg, pdf
from tests.attachments.parties import attached, held
from tests.support.link import ID, KH
from tests.support.pair import Pair, Side, event_of, example

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.casework.policies import CaseFacts
    from gateway.ports.cases import Case
    from gateway.protocol.ids import PartyId
    from gateway.services.submit import Accepted

pytestmark = pytest.mark.asyncio(loop_scope="module")

JPEG, PDF = b"\xff\xd8\xff\xe0", b"%PDF"
PLACEHOLDER = "01990000-0000-7000-8000-000000000001"


def other(side: Side) -> PartyId:
    """Return with whom a side exchanges."""
    return KH if side.party == ID else ID


class Story:
    """Messages of the examples, sent by the side that is not their recipient."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    async def tell(
        self, name: str, case: str | None = None, reply: str | None = None, about: str | None = None, **changes: Any
    ) -> Accepted:
        """Send an example and have it accepted on the other side; `about` stands in for the example's placeholder."""
        body = example(name) | {"case": case, "in_reply_to": reply} | changes
        text = orjson.dumps({key: value for key, value in body.items() if value is not None})
        body = orjson.loads(text.replace(PLACEHOLDER.encode(), (about or PLACEHOLDER).encode()))
        sender, reader = self.pair.sides if body["recipient"] == KH else reversed(self.pair.sides)
        [sent] = await sender.submit(body)
        await sender.settle()
        [row] = await sender.gateway.queries.under(sent.jti)
        assert (row["state"], row["reason"]) == ("accepted", None), (name, row["errors"])
        arrived = orjson.loads(await event_of(reader.gateway, sent.jti) or b"{}")["data"]
        assert arrived["meta"].pop("language") == "eng"
        arrived["meta"]["retention"].pop("deleteBy", None)
        files = [entry["attachmentId"] for entry in arrived.pop("attachments", [])]
        assert (arrived, files) == (body["data"], body.get("attachments", [])), "letter by letter"
        return sent

    async def files(self, *of: tuple[str, str, bytes]) -> list[str]:
        """Give id.imigrasi files of some kind, media type and bytes."""
        return [await attached(self.pair.a.gateway, raw, kind, media) for kind, media, raw in of]

    async def arrived(self, names: list[str]) -> list[bytes | None]:
        """Return how each file begins at kh.gdi."""
        found = [await held(self.pair.b.gateway, name) for name in names]
        return [raw and raw[:4] for raw in found]

    async def move(self, to: str, case: str) -> None:
        """Have the recipient kh.gdi report the next status."""
        origin = (await self.case(self.pair.b, case)).lifecycle.status
        body = example("case.update/s1-accepted")
        body["data"] |= {"fromStatus": str(origin), "toStatus": to}
        await self.tell("case.update/s1-accepted", case, data=body["data"])

    async def case(self, side: Side, ref: str) -> Case:
        """Return a case as one side holds it."""
        found = await side.gateway.store.write(lambda tx: tx.cases.find(other(side), ref))
        assert found is not None
        return found

    async def both(self, ref: str) -> Case:
        """Return a case on which both sides agree."""
        ours, theirs = [await self.case(side, ref) for side in self.pair.sides]
        assert ours.lifecycle.status == theirs.lifecycle.status
        assert ours.clocks.timed == theirs.clocks.timed
        assert set(ours.handling.split()) == set(theirs.handling.split())
        return ours

    async def known(self, ref: str) -> CaseFacts:
        """Return what both sides remember of a case, the same."""
        records = [await side.gateway.queries.remembered(ref, other(side)) for side in self.pair.sides]
        first, second = (gather(held, in_case=True) for held in records)
        assert first == second
        return first


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    """Let two gateways exchange."""
    async with Pair(tmp_path_factory.mktemp("pair")) as pair:
        yield Story(pair)


async def test_s1_and_s7_from_the_referral_to_its_closing(story: Story) -> None:
    """Needs information, accepted, asked and answered, located, contested by the police, disputed, closed."""
    scans = await story.files(("PASSPORT_SCAN", "image/jpeg", jpeg()), ("TICKET", "application/pdf", pdf()))
    opened = await story.tell("case.referral/s1-sumarni", attachments=scans)
    assert await story.arrived(scans) == [JPEG, PDF]
    ref = str(opened.case)
    await story.tell("case.update/s1-needs-info", ref)
    supplement = example("case.update/s1-needs-info")
    supplement["data"] |= {"fromStatus": "NEEDS_INFO", "toStatus": "RECEIVED"}
    supplement["data"]["meta"]["legalBasis"] = ["ID-UU21-2007"]
    await story.tell("case.update/s1-needs-info", ref, recipient="kh.gdi", data=supplement["data"])
    await story.tell("case.update/s1-accepted", ref)
    asked = await story.tell("info.request/s7-crossing-history", ref)
    assert (await story.known(ref)).unanswered_requests == 1
    await story.tell("info.response/s7-interim", ref, asked.jti)
    assert (await story.known(ref)).unanswered_requests == 1
    await story.tell("info.response/s7-final", ref, asked.jti)
    assert (await story.known(ref)).unanswered_requests == 0
    await story.move("UNDER_ASSESSMENT", ref)
    await story.tell("case.update/s1-located", ref)
    await story.tell("case.update/s7-police-opinion", ref)
    person = example("case.referral/s1-sumarni")["data"]["persons"][0]["personRef"]
    for side in story.pair.sides:
        [state] = [s for s in persons(await side.gateway.queries.remembered(ref, other(side))) if s.ref == person]
        assert (state.status, len(state.opinions)) == ("Contested", 3), "bodies differ, and each opinion stands"
    await story.tell("record.action/s7-dispute-status", ref, about=opened.jti)
    await story.move("MONITORING", ref)
    await story.tell("case.update/s1-closed", ref)

    closed = await story.both(ref)
    assert closed.lifecycle.status == "CLOSED"
    assert [timed.running for timed in closed.clocks.timed] == [False, False]
    assert all(timed.clock.acknowledged_at_ms and timed.clock.replied_at_ms for timed in closed.clocks.timed)


async def test_s7_corrections_and_erasure(story: Story) -> None:
    """Birth and alias corrected, a file erased and restricted, the referral itself erased on both sides at last."""
    opened = await story.tell("case.referral/s7-sumarni-swapped-birth")
    ref = str(opened.case)
    for name in ("correct-birth", "transliteration", "restrict-photograph", "erase-wrong-person", "erase-photograph"):
        await story.tell(f"record.action/s7-{name}", ref, about=opened.jti)
    assert await event_of(story.pair.b.gateway, opened.jti) is not None, "a file goes without its message"
    await story.tell("case.update/s7-erasure-certificate", ref, about=opened.jti)
    late = example("record.action/s7-subject-request")["data"]
    late["target"]["messageId"] = opened.jti
    late["subjectRequest"]["dueBy"] = "2039-01-01"
    with pytest.raises(PolicyViolation) as caught:
        await story.tell("record.action/s7-subject-request", ref, data=late)
    assert [(f.code, f.pointer) for f in caught.value.errors] == [("E-DATE", "/data/subjectRequest/dueBy")]
    await story.tell("record.action/s7-subject-request", ref, about=opened.jti)
    whole = example("record.action/s7-erase-wrong-person")["data"]
    whole["target"] = {"messageId": opened.jti}
    await story.tell("record.action/s7-erase-wrong-person", ref, data=whole)

    for side in story.pair.sides:
        assert await event_of(side.gateway, opened.jti) is None
        assert (await story.known(ref)).known_persons == frozenset()
    await story.both(ref)


async def test_s2_and_s8_a_group_of_thirty_answered_in_three_partials_and_brought_home(story: Story) -> None:
    """Twelve, then more, then all; a wrong total is refused; 27 travel, one misses the transit, all are handed over."""
    opened = await story.tell("identity.verify.request/s2-group-of-thirty")
    ref = str(opened.case)
    seen: list[tuple[int, int, bool]] = []
    for part in (1, 2, 3):
        name = f"identity.verify.response/s2-partial-{part}"
        if part == 3:
            wrong = example(name) | {"case": ref, "in_reply_to": opened.jti}
            wrong["data"]["counts"]["confirmed"] -= 1
            with pytest.raises(PolicyViolation) as caught:
                await story.pair.a.submit(wrong)
            assert [(f.code, f.pointer) for f in caught.value.errors] == [("E-COUNT", "/data/counts")]
        await story.tell(name, ref, opened.jti)
        [request] = progress(await story.pair.b.gateway.queries.remembered(ref, ID))
        seen.append((request.answered, len(request.rows), request.complete))
    assert seen == [(12, 30, False), (21, 30, False), (28, 30, True)], "two wait for a check in the field"
    await story.tell("case.update/s8-three-who-do-not-travel", ref)
    for name in ("s8-departure", "s8-one-misses-the-transit"):
        await story.tell(f"repatriation.movement/{name}", ref)
    assert (await story.known(ref)).open_movements == 27
    await story.tell("repatriation.movement/s8-last-arrival-and-handover", ref)
    known = await story.known(ref)
    assert (known.open_movements, set(known.milestones.values())) == (0, {"HANDED_OVER"})
    [timed] = (await story.both(ref)).clocks.timed
    assert not timed.running


async def test_s3_a_group_that_did_not_leave(story: Story) -> None:
    """A notice that names nobody, and the alert it must not become is not hindered by it."""
    ticket = await story.files(("TICKET", "application/pdf", pdf()))
    opened = await story.tell("departure.deferral.notice/s3-group-of-four", attachments=ticket)
    assert await story.arrived(ticket) == [PDF]
    assert (await story.known(str(opened.case))).deferred == frozenset()


async def test_s4_a_notice_and_the_applicant_who_consents(story: Story) -> None:
    """The second notice stands in for the first; who was deferred is no subject of an alert afterwards."""
    first = await story.tell("passport.deferral.notice/s4-one-week-seven-applications")
    second = await story.tell("passport.deferral.notice/s4-one-applicant-consents", supersedes=first.jti)
    [deferred] = (await story.known(str(second.case))).deferred
    alert = example("subject.alert/s6-two-nationalities")
    alert["data"]["subject"] |= {"personRef": deferred, "protectionScreened": True}
    with pytest.raises(PolicyViolation) as caught:
        await story.pair.b.submit(alert)
    assert [(f.code, f.pointer) for f in caught.value.errors] == [("E-NONPUNISH", "/data/subject/personRef")]


async def test_s5_a_child_whose_name_is_khmer(story: Story) -> None:
    """Her birth certificate goes along; her guardian is a suspect, so V2 goes with whatever follows."""
    certificate = await story.files(("ID_SCAN", "image/jpeg", jpeg()))
    opened = await story.tell("victim.assistance.referral/s5-child-khmer-script", attachments=certificate)
    assert await story.arrived(certificate) == [JPEG]
    report = example("case.update/s1-accepted") | {"case": opened.case}
    with pytest.raises(PolicyViolation) as caught:
        await story.pair.b.submit(report)
    assert [(f.code, f.pointer) for f in caught.value.errors] == [("E-HANDLING", "/handling")]
    await story.tell("case.update/s1-accepted", str(opened.case), handling=opened.handling)


async def test_s6_an_alert_and_a_bulletin(story: Story) -> None:
    """Two nationalities, three scripts, one subject; the route goes without names."""
    opened = await story.tell("subject.alert/s6-two-nationalities")
    [countries] = (await story.known(str(opened.case))).nationalities.values()
    assert countries == {"CHN", "KHM"}
    bulletin = await story.tell("route.bulletin/s6-batam-johor-bavet")
    assert bulletin.case is None


async def test_s6_an_alert_runs_is_hit_and_ends_at_once_with_a_victim(story: Story) -> None:
    """§6.4 on both sides: ACTIVE, HIT by the answer, WITHDRAWN when a body holds its subject to be a victim."""
    alert = example("subject.alert/s6-two-nationalities")["data"]
    ref = "P-5a0000ee-0000-4000-8000-0000000000ee"
    alert["subject"] |= {"personRef": ref}
    opened = await story.tell("subject.alert/s6-two-nationalities", data=alert)
    case = str(opened.case)

    async def shown() -> str:
        gateways = [side.gateway for side in story.pair.sides]
        views = [CaseViews(g.store, g.queries, g.clock, g.settings.me) for g in gateways]
        [ours], [theirs] = [(await view.show(case, None)).alerts for view in views]
        assert ours == theirs
        assert ours.message == opened.jti
        return ours.status

    assert await shown() == "ACTIVE"
    answer = example("info.response/refused-and-ambiguous")
    met = {"qId": "HIT-1", "outcome": "HIT", "text": "Met at the counter."}
    met |= {"evaluation": {"source": "A", "information": "1"}}
    data = {"meta": answer["data"]["meta"], "answers": [met]}
    await story.tell("info.response/refused-and-ambiguous", case, opened.jti, data=data, handling=opened.handling)
    assert await shown() == "HIT"

    referral = example("case.referral/s1-sumarni")["data"]
    for told in (referral["persons"][0], referral["victimContexts"][0]):
        told["personRef"] = ref
    await story.tell("case.referral/s1-sumarni", data=referral)
    assert await shown() == "WITHDRAWN"


async def test_s8_figures_for_the_meeting(story: Story) -> None:
    """Founding figures, their revision, and a quarter with suppressed cells."""
    founding = await story.tell("stats.periodic/s8-founding-figures")
    await story.tell("stats.periodic/s8-revised-figure", about=founding.jti)
    await story.tell("stats.periodic/s8-quarter-with-suppressed-cells")
    # P18: the same quarter with a cell of three persons in it names them to whoever knows the province.
    body = example("stats.periodic/s8-quarter-with-suppressed-cells")
    body["data"]["figures"][2]["value"] = 3
    with pytest.raises(PolicyViolation) as refused:
        await story.pair.sides[0].submit(body)
    assert "E-SMALLCELL" in {finding.code for finding in refused.value.errors}


async def test_what_the_readme_of_the_samples_lists_beside_the_eight(story: Story) -> None:
    """A site without names, three telephone numbers, and an answer that finds, refuses and forwards."""
    await story.tell("case.referral/site-without-names")
    asked = await story.tell("info.request/telephone-three-numbers")
    await story.tell("info.response/refused-and-ambiguous", str(asked.case), asked.jti)


async def test_a_declined_case_that_is_submitted_again_is_asked_anew(story: Story) -> None:
    """Received at once, with clocks by the urgency of the update; declined again it is over for good, on both sides."""
    opened = await story.tell("case.referral/s1-sumarni")
    ref = str(opened.case)

    def report(origin: str, to: str, reason: str) -> dict[str, Any]:
        data = example("case.update/s1-accepted")["data"]
        data |= {"fromStatus": origin, "toStatus": to, "reason": reason}
        review = {"role": "Head of section", "at": "2026-11-23T00:00:00.000Z"}
        data["meta"] |= {"humanReview": review, "legalBasis": ["INT-PALERMO-TIP"]}
        return {"data": data}

    async def decline() -> None:
        no = report("RECEIVED", "DECLINED", "Nobody of that name is known at the place given.")
        await story.tell("case.update/s1-accepted", ref, **no)
        over = await story.both(ref)
        assert (over.lifecycle.status, [t.running for t in over.clocks.timed if t.running]) == ("DECLINED", [])

    await decline()
    again = report("DECLINED", "SUBMITTED", "A second witness names the building.") | {"recipient": KH}
    sent = await story.tell("case.update/s1-accepted", ref, urgency="FLASH", **again)
    asked = await story.both(ref)
    [running] = [timed for timed in asked.clocks.timed if timed.running]
    assert (asked.lifecycle.status, asked.lifecycle.resubmitted) == ("RECEIVED", True)
    assert (running.message, running.turn, running.request) == (sent.jti, KH, False)
    acknowledge, reply = running.clock.ack_due_ms, running.clock.reply_due_ms or 0
    assert (acknowledge - running.from_ms, reply - running.from_ms) == (30 * 60_000, 4 * 3_600_000)

    await decline()
    with pytest.raises(PolicyViolation) as caught:
        await story.pair.a.submit(example("case.update/s1-accepted") | again | {"case": ref})
    assert [(f.code, f.pointer) for f in caught.value.errors] == [("E-STATE", "/data/toStatus")]


async def test_a_case_with_something_open_is_not_closed(story: Story) -> None:
    """An unanswered question blocks the closing at its sender, and a movement on its way as well: E-STATE."""
    opened = await story.tell("case.referral/s1-sumarni")
    ref = str(opened.case)
    await story.tell("info.request/s7-crossing-history", ref)
    for status in ("ACCEPTED", "ACTION", "MONITORING"):
        await story.move(status, ref)
    with pytest.raises(PolicyViolation) as caught:
        await story.pair.b.submit(example("case.update/s1-closed") | {"case": ref})
    assert [(f.code, f.pointer) for f in caught.value.errors] == [("E-STATE", "/data/toStatus")]


async def test_an_answer_that_names_no_urgency_is_as_urgent_as_the_question(story: Story) -> None:
    """4.4: FLASH here, which the type of an answer never has of itself."""
    opened = await story.tell("case.referral/s1-sumarni")
    asked = await story.tell("info.request/s7-crossing-history", opened.case, urgency="FLASH")
    answered = await story.tell("info.response/s7-final", opened.case, reply=asked.jti, urgency=None)
    assert (asked.urgency, answered.urgency) == ("FLASH", "FLASH")
