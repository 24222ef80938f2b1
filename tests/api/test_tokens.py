"""A token ends by its own age: issue, overlap, reset, revocation and expiry under a clock of the test's own."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from gateway.errors import Clash, MalformedRequest, Unauthenticated
from gateway.running import World, wall_clock
from gateway.services.accounts import DAY_MS, HOUR_MS, Accounts
from gateway.storage.store import SqliteStore
from tests.api.conftest import serve
from tests.support.pair import TEST_OPERATOR, Side

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

YEAR_MS = 365 * DAY_MS


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = wall_clock()

    def __call__(self) -> int:
        """Return the time it was put to, ms."""
        return self.now


class Desk:
    """Accounts over a database of their own, a year per token."""

    def __init__(self, store: SqliteStore, clock: Clock) -> None:
        self.clock = clock
        self.accounts = Accounts(store, clock, os.urandom, token_ttl_ms=YEAR_MS)

    async def add(self, name: str = "border-system", role: str = "client") -> str:
        """Return the token of a new system."""
        return (await self.accounts.add(name, role, person=False, actor=TEST_OPERATOR))[1]

    async def reset(self, name: str = "border-system", overlap_h: int = 0) -> str:
        """Return another token of a system."""
        found = await self.accounts.reset(name, person=False, actor=TEST_OPERATOR, overlap_h=overlap_h)
        return found[1]

    async def counts(self, token: str) -> bool:
        """Say whether a token is taken."""
        try:
            await self.accounts.authenticate(token)
        except Unauthenticated:
            return False
        return True


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Accounts over an empty database."""
    store = SqliteStore.open(tmp_path / "data" / "gateway.db")
    yield Desk(store, Clock())
    await store.close()


@pytest.mark.asyncio
async def test_the_end_of_a_token_counts_from_its_own_issue(desk: Desk) -> None:
    """An account older than a year gets tokens that last a year; the last millisecond decides."""
    first = await desk.add()
    desk.clock.now += YEAR_MS - 1
    assert await desk.counts(first)
    desk.clock.now += 1
    assert not await desk.counts(first)
    second = await desk.reset()
    assert await desk.counts(second)
    desk.clock.now += YEAR_MS - 1
    assert await desk.counts(second)
    desk.clock.now += 1
    assert not await desk.counts(second)


@pytest.mark.asyncio
async def test_the_old_token_goes_on_for_the_stated_time_and_no_longer(desk: Desk) -> None:
    """A system changes its token without a gap; a reset without overlap ends all of them at once."""
    first = await desk.add()
    second = await desk.reset(overlap_h=24)
    desk.clock.now += 24 * HOUR_MS - 1
    assert [await desk.counts(token) for token in (first, second)] == [True, True]
    third = await desk.reset(overlap_h=48)
    desk.clock.now += 1
    assert [await desk.counts(token) for token in (first, second, third)] == [False, True, True]
    fourth = await desk.reset()
    assert [await desk.counts(token) for token in (first, second, third, fourth)] == [False, False, False, True]


@pytest.mark.asyncio
async def test_an_overlap_prolongs_nothing(desk: Desk) -> None:
    """A token that ends in an hour ends in an hour, whatever overlap is asked for; what is no overlap is refused."""
    first = await desk.add()
    desk.clock.now += YEAR_MS - HOUR_MS
    await desk.reset(overlap_h=720)
    desk.clock.now += HOUR_MS
    assert not await desk.counts(first)
    for wrong in (-1, 721):
        with pytest.raises(MalformedRequest, match="0 to 720"):
            await desk.reset(overlap_h=wrong)


@pytest.mark.asyncio
async def test_a_reset_takes_a_revoked_account_back_and_none_of_its_old_tokens(desk: Desk) -> None:
    """What was revoked because it was stolen stays dead, also under an overlap."""
    first = await desk.add()
    await desk.accounts.disable("border-system", person=False, actor=TEST_OPERATOR)
    assert not await desk.counts(first)
    second = await desk.reset(overlap_h=24)
    assert [await desk.counts(token) for token in (first, second)] == [False, True]


@pytest.mark.asyncio
async def test_the_name_of_a_revoked_account_is_free(desk: Desk) -> None:
    """The new account is another one: its id, its messages and its tokens are its own; a name in force is taken."""
    first = await desk.add()
    old = await desk.accounts.authenticate(first)
    with pytest.raises(Clash, match="client reset"):
        await desk.add()
    await desk.accounts.disable("border-system", person=False, actor=TEST_OPERATOR)
    new = await desk.accounts.authenticate(await desk.add())
    assert (new.name, new.id != old.id) == ("border-system", True)
    reset = await desk.accounts.authenticate(await desk.reset())
    assert reset.id == new.id
    await desk.accounts.disable("border-system", person=False, actor=TEST_OPERATOR)
    assert {one.account.disabled_at is None for one in await desk.accounts.standings(person=False)} == {False}


@pytest.mark.asyncio
async def test_what_is_no_text_is_an_unknown_token(desk: Desk) -> None:
    """Bytes that are no Unicode reach us as surrogates: 401, and no fault of ours."""
    assert not await desk.counts("bcx_\udcff")


@pytest.mark.asyncio
async def test_the_list_says_until_when(desk: Desk) -> None:
    """The newest token, and the one that still overlaps."""
    began = desk.clock.now
    await desk.add()
    await desk.reset(overlap_h=24)
    [one] = await desk.accounts.standings(person=False)
    assert (one.token_until, one.old_token_until) == (began + YEAR_MS, began + 24 * HOUR_MS)
    desk.clock.now += 25 * HOUR_MS
    [one] = await desk.accounts.standings(person=False)
    assert one.old_token_until is None


@pytest.mark.asyncio
async def test_only_the_holder_of_a_token_learns_that_it_expired(tmp_path: Path) -> None:
    """401 says when and how to get another; a wrong token and a revoked one get one answer."""
    clock = Clock()
    side = Side(tmp_path / "home", "id.imigrasi", "ID", World(clock=clock))
    async with AsyncExitStack() as stack:
        await side.open()
        stack.push_async_callback(side.close)
        api = await serve(stack, side)
        _, revoked = await side.gateway.accounts.add("gone", "client", person=False, actor=TEST_OPERATOR)
        await side.gateway.accounts.disable("gone", person=False, actor=TEST_OPERATOR)
        api.tokens |= {"gone": revoked, "wrong": "bcx_" + "A" * 43}
        clock.now += YEAR_MS
        expired = await api.get("/messages", "client")
        others = [await api.get("/messages", role) for role in ("gone", "wrong")]

    assert (expired.status, expired.json["code"]) == (401, "unauthenticated")
    assert "expired at" in expired.json["detail"]
    assert "`gateway client reset NAME`" in expired.json["detail"]
    assert {(one.status, one.json["detail"]) for one in others} == {
        (401, "the bearer token is unknown or revoked; `gateway client add` gives a new one")
    }
