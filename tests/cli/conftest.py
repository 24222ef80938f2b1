from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest

from gateway.home import InitOptions, init
from gateway.ports.common import Actor
from gateway.running import wall_clock
from gateway.runtime import open_gateway
from tests.cli.terminal import Home, Pair
from tests.support.pair import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.keyring.files import FileKeyRing
    from gateway.settings import Settings


def init_home(path: Path, party: str = "id.imigrasi", now_ms: int | None = None) -> tuple[Settings, FileKeyRing]:
    """Make a `test` home whose listeners are on free ports."""
    exchange, api, ops = (free_port() for _ in range(3))
    options = InitOptions(
        party=party,
        name=f"Authority {party}",
        country=party[:2].upper(),
        environment="test",
        exchange_listen=f"127.0.0.1:{exchange}",
        api_listen=f"127.0.0.1:{api}",
        ops_listen=f"127.0.0.1:{ops}",
    )
    return init(path, options, now_ms=now_ms or wall_clock())


@pytest.fixture(scope="session")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make two homes that have enrolled one another, once; whoever changes them takes a copy."""
    folder = tmp_path_factory.mktemp("enrolled")

    async def make() -> None:
        made = {party: init_home(folder / party, party) for party in ("id.imigrasi", "kh.gdi")}
        cards = {}
        for party, home in made.items():
            async with open_gateway(*home) as gateway:
                cards[party] = gateway.directory.mine
        for party, home in made.items():
            async with open_gateway(*home) as gateway:
                [other] = [card for owner, card in cards.items() if owner != party]
                await gateway.enroller.enrol(other.raw, other.fingerprint, Actor("local", "operator"))
                await gateway.checkpoints.sign()

    asyncio.run(make())
    return folder


@pytest.fixture
def home(enrolled: Path, tmp_path: Path) -> Home:
    """Return a home of id.imigrasi, enrolled with kh.gdi; yours to change; no `serve` runs on it."""
    shutil.copytree(enrolled / "id.imigrasi", tmp_path / "home")
    # Ports of the system's choice: the home this is a copy of may be serving on its own.
    listen = {f"GATEWAY__{name}__LISTEN": "127.0.0.1:0" for name in ("EXCHANGE", "API", "OPS")}
    return Home(tmp_path / "home", listen)


@pytest.fixture(scope="module")
def pair(enrolled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Run id.imigrasi and kh.gdi for one module: other tests serve copies of these homes on the same ports."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(enrolled, folder, dirs_exist_ok=True)
    a, b = Home(folder / "id.imigrasi"), Home(folder / "kh.gdi")
    with a.serve() as first, b.serve() as second:
        yield Pair(a, b, first)
        assert first.stop() == 0
        assert second.stop() == 0


@pytest.fixture
def served(pair: Pair) -> Home:
    """Return the home of id.imigrasi, served."""
    return pair.a
