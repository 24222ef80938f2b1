"""The first five minutes of two authorities, as commands on homes that nobody serves: a dozen processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.terminal import Home
from tests.support.pair import free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_two_new_homes_become_partners(tmp_path: Path) -> None:
    """init, card export, the fingerprint read aloud and typed, a client with its token: the first five minutes."""
    homes = {party: Home(tmp_path / party) for party in ("id.imigrasi", "kh.gdi")}
    for party, home in homes.items():
        url = f"https://127.0.0.1:{free_port()}/bcx/v1"
        made = home.json(
            "init", "--party", party, "--name", party, "--country", party[:2].upper(), "--environment", "test",
            "--exchange-url", url, "--exchange-listen", url.split("/")[2],
        )  # fmt: skip
        assert made["exchange_url"] == url
    a, b = homes.values()
    b.run("card", "export", str(tmp_path / "kh.card"))
    fingerprint = b.run("card", "fingerprint").out.strip()
    asked = a.run("partner", "add", str(tmp_path / "kh.card"), given=fingerprint + "\n")
    # Shown here, the fingerprint could be copied from the screen and would prove nothing.
    assert "kh.gdi" in asked.err
    assert fingerprint not in asked.err
    wrong = a.run("partner", "add", str(tmp_path / "kh.card"), "--fingerprint", "12345 " * 8, code=3)
    assert "fingerprint differs" in wrong.fault
    [partner] = a.json("partner", "list")
    assert (partner["party"], partner["state"], partner["fingerprint"]) == ("kh.gdi", "active", fingerprint)
    token = a.json("client", "add", "registry")
    assert (token["name"], token["role"]) == ("registry", "client")
    assert token["token"].startswith("bcx_")
    assert a.run("audit", "verify").out.startswith("verified\tyes")
