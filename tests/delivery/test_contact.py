"""A contact that comes while a failed attempt is being written down ends the back-off all the same."""

from __future__ import annotations

import asyncio

from tests.support.link import KH, example
from tests.witness.stage import Stage, play, states


def test_a_contact_while_the_loss_is_recorded_is_not_missed() -> None:
    """Lost and heard of in one moment: the partner counts as up, and what waited for it goes at once."""

    async def story(stage: Stage) -> None:
        body = example("case.referral/site-without-names")
        await stage.a.submit(body)
        await stage.until(lambda: states(stage.a) == ["accepted"])
        stage.two.network.cut = True
        await stage.a.submit(body)
        await stage.until(lambda: stage.a.look("SELECT max(attempts) FROM outbox")[0][0] > 2, 600)
        # What hangs on the cut line is no business of a contact.
        await stage.until(lambda: not stage.two.network.under_way)
        contacts = stage.a.gateway.contacts
        stage.two.network.cut = False
        await contacts.heard(KH)
        order: list[str] = []
        contacts.on_back(lambda _party: order.append("woken"))
        await asyncio.gather(contacts.lost(KH, "http-503", lambda _tx: order.append("put off")), contacts.heard(KH))
        assert order == ["put off", "woken"]
        assert stage.a.look("SELECT down_since FROM partners") == [(None,)]
        await stage.until(lambda: states(stage.a) == ["accepted"] * 2, 5)

    play(story)
