"""A home whose partner has shown that its log is behind: submit, queue, doctor and /readyz say it in one sentence."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from gateway.home import open_home
from gateway.keyring.notes import log_signers
from gateway.ledger import note
from tests.cli.test_serve import ask

if TYPE_CHECKING:
    from tests.cli.terminal import Home

REFERRAL = "schemas/examples/case.referral/s1-sumarni.json"
REASON = (
    "kh.gdi cosigned a checkpoint of ours at size 1000000 that this log does not reach; restore the newest database"
)


def left_behind(home: Home) -> None:
    """Keep in a home what its guard keeps: a checkpoint of ours that is larger than the log."""
    settings, keys = open_home(home.path, environ={})
    newest = note.sign_checkpoint(10**6, bytes(32), log_signers(keys, settings.log_origin)[0])
    found = {"reason": REASON, "partner": "kh.gdi", "checkpoint": newest, "at": "2026-11-24T02:00:00.000Z", "size": 1}
    with closing(sqlite3.connect(home.path / "data" / "gateway.db")) as db, db:
        db.execute("INSERT OR REPLACE INTO state (name, value) VALUES ('guard', ?)", (json.dumps(found),))


def test_every_way_in_says_why_and_what_next(home: Home) -> None:
    """With `serve` and without it: nothing is taken, one sentence says so, what was there is shown."""
    held = home.json("submit", REFERRAL)["id"]
    left_behind(home)

    assert home.run("submit", REFERRAL, code=1).err.strip() == f"error: {REASON}"
    with home.serve() as serving:
        listed = home.run("queue", "list", "-o", "json")
        assert ([row["id"] for row in json.loads(listed.out)], REASON in listed.err) == ([held], True)
        found = {line["check"]: line for line in home.run("doctor", "-o", "json", code=1).json}
        assert (found["audit log"]["state"], found["audit log"]["finding"]) == ("fail", REASON)
        assert "1 accepted" in found["messages of this log alone"]["finding"]
        status, body = ask(serving.ops, "/readyz")
        assert (status, body["checks"]["log"]) == (503, REASON)
