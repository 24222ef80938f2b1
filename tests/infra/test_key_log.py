"""Every change of a key or certificate is an entry, whether an operator made it or time did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.home import InitOptions, init
from gateway.ports.common import Actor
from gateway.running import World, wall_clock
from gateway.runtime import open_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.running import Gateway

OPERATOR = Actor("local", "operator")
DAY_MS = 86_400_000


class Calendar:
    """A clock that goes on by days."""

    def __init__(self) -> None:
        self.now_ms = wall_clock()

    def __call__(self) -> int:
        """Return the time now."""
        return self.now_ms


async def told(gateway: Gateway) -> list[tuple[str, str, str]]:
    """Return (type, role, outcome) of the entries about keys, oldest first."""
    rows = [
        row
        for typ in ("key.added", "key.rotated", "key.revoked")
        for row in await gateway.queries.entries(typ=typ, limit=50)
    ]
    return [
        (row["typ"], "operator" if row["actor"] == OPERATOR.sub else row["actor"], row["outcome"])
        for row in sorted(rows, key=lambda row: row["seq"])
    ]


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "while it was down"])
async def test_each_change_of_a_key_is_an_entry(tmp_path: Path, *, running: bool) -> None:
    """Made, activated by time, revoked and replaced; certificates renewed; keys that expired and were forgotten."""
    clock = Calendar()
    settings, keys = init(
        tmp_path / "home", InitOptions(party="id.imigrasi", name="I", country="ID", environment="test"),
        now_ms=clock(),
    )  # fmt: skip
    async with open_gateway(settings, keys, World(clock=clock)) as gateway:
        assert await told(gateway) == []  # the card names the first ones
        await gateway.keyroom.rotate("sig", OPERATOR)
        expected = [("key.added", "operator", "sig next")]
        assert await told(gateway) == expected
        clock.now_ms += 8 * DAY_MS
        await gateway.keyroom.advance()
        await gateway.keyroom.advance()  # nothing is due: nothing is said
        expected += [("key.rotated", "gateway", "sig retiring"), ("key.rotated", "gateway", "sig active")]
        assert await told(gateway) == expected
        [active] = [one for one in gateway.keys.records() if (one.use, one.status) == ("sig", "active")]
        await gateway.keyroom.revoke(active.kids[0], "key-compromise", OPERATOR)
        expected += [("key.revoked", "operator", "key-compromise"), ("key.rotated", "operator", "sig active")]
        assert await told(gateway) == expected
        if running:
            clock.now_ms += 100 * DAY_MS
            await gateway.keyroom.advance()
            later = (await told(gateway))[len(expected) :]
    if not running:
        clock.now_ms += 100 * DAY_MS
        async with open_gateway(settings, keys, World(clock=clock)) as gateway:
            later = (await told(gateway))[len(expected) :]
    assert ("key.rotated", "gateway", "tls") in later
    assert ("key.rotated", "gateway", "sig expired") in later
    assert {one[:2] for one in later} == {("key.rotated", "gateway")}
