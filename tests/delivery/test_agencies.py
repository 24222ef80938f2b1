"""Three gateways over real mutual TLS: two agencies of one State, and the authority that both write to."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import orjson

from gateway.protocol.agreement import test_agreement as agreement_text
from gateway.protocol.ids import MessageId
from gateway.running import World, wall_clock
from tests.support.hostile import Author, filled
from tests.support.pair import Side, example
from tests.support.parties import GDI, IMIGRASI, POLICE

if TYPE_CHECKING:
    from pathlib import Path

REFERRAL = "case.referral/s1-sumarni"


class Agencies:
    """id.imigrasi with kh.gdi and kh.police, each a gateway of its own."""

    def __init__(self, folder: Path) -> None:
        self.imigrasi, self.gdi, self.police = self.sides = [
            Side(folder / party, party, party[:2].upper(), World()) for party in (IMIGRASI, GDI, POLICE)
        ]
        for side in self.sides:
            (side.home / "agreement.toml").write_text(agreement_text(IMIGRASI, GDI, POLICE), "utf-8")

    async def open(self, stack: AsyncExitStack) -> None:
        """Open and enrol them, until the stack closes."""
        for side in self.sides:
            stack.push_async_callback(side.close)
            await side.open()
            await side.listen()
        for agency in (self.gdi, self.police):
            await agency.enrol(self.imigrasi)
            await self.imigrasi.enrol(agency)
        for side in self.sides:
            await side.work()

    async def settle(self) -> None:
        """Wait until nobody waits for an answer."""
        for side in self.sides:
            await side.settle()


def referral(recipient: str) -> dict[str, Any]:
    """Return a referral about a citizen of neither State."""
    body: dict[str, Any] = orjson.loads(orjson.dumps(example(REFERRAL)).replace(b'"IDN"', b'"VNM"'))
    del body["data"]["persons"][0]["documents"]
    return body | {"recipient": recipient}


async def test_two_agencies_number_alike_and_neither_reaches_the_others_case(tmp_path: Path) -> None:
    """Both open the first case of the year; each is answered in its own, and learns nothing of the other's."""
    async with AsyncExitStack() as stack:
        found = Agencies(tmp_path)
        await found.open(stack)
        opened = [(await side.submit(referral(IMIGRASI)))[0] for side in (found.gdi, found.police)]
        await found.settle()
        [case] = {sent.case for sent in opened}
        for agency, name in ((GDI, "s1-accepted"), (POLICE, "s1-needs-info")):
            update = example(f"case.update/{name}") | {"recipient": agency, "case": case}
            await found.imigrasi.submit(update)
        await found.settle()
        for agency, to in ((found.gdi, "ACCEPTED"), (found.police, "NEEDS_INFO")):
            for side, other in ((agency, IMIGRASI), (found.imigrasi, agency.party)):
                [row] = await side.gateway.queries.case(str(case), partner=other)
                assert (row["partner"], row["status"]) == (other, to)
        assert len(await found.imigrasi.gateway.queries.case(str(case))) == 2

        # An agency that has heard of the other's message takes neither its id nor the place of ours.
        [ours] = await found.imigrasi.submit(referral(POLICE))
        await found.settle()
        author = Author(found.gdi.home, IMIGRASI, wall_clock)
        author.sent = 1
        author.cases = 100
        data = referral(IMIGRASI)["data"] | {"meta": filled(REFERRAL)["meta"]}
        for number, jti in enumerate((ours.jti, opened[1].jti)):
            event = author.event(data=data, id=MessageId(jti), stream_seq=2 + number)
            letter = author.letter(event)
            async with found.gdi.gateway.link(IMIGRASI) as link:
                reply = await link.post_envelope(letter.sealed.jwe)
            [outcome] = author.read(reply.body, letter).outcomes
            assert (outcome.status, outcome.problem) == ("rejected", "conflict")
        [held] = await found.imigrasi.gateway.queries.under(ours.jti)
        assert (held["direction"], held["partner"], held["state"]) == ("out", POLICE, "accepted")
