"""Tables held against the log: a home at rest and at work agrees with it, and each edit by SQL is named."""

# ruff: noqa: S608 - statements of our own

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from gateway.doctor import ROWS_LOOKED_AT, examine
from gateway.ports.common import Actor
from gateway.protocol.states import Step
from gateway.services.accounts import LOCAL_OPERATOR
from gateway.services.holdings import judge_holdings
from gateway.storage.holdings import stored_holdings
from tests.support.link import ID, KH, Two, example, run_virtual

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPERATOR = Actor("local", "operator")


def differences(home: Path, newest: int | None = None) -> list[str]:
    """Return what differs between the tables of a home and its log, one line each."""
    with stored_holdings(home / "data" / "gateway.db") as held:
        return [f"{fault.path}: {fault.what}" for fault in judge_holdings(held, ID, newest)]


def edit(home: Path, script: str) -> None:
    """Do what somebody with a shell on the machine can do."""
    with closing(sqlite3.connect(home / "data" / "gateway.db")) as db:
        db.executescript(script)


async def _busy(two: Two) -> list[str]:
    """Send, refuse, cancel, hold, void, erase, disable: return what tables and log say while it all goes on."""
    await two.start()
    a, b = two.a, two.b
    seen: list[str] = []
    [referral] = await a.submit(example("case.referral/s1-sumarni"))
    await a.gateway.accounts.add("system", "client", person=False, actor=OPERATOR)
    await a.gateway.accounts.add("auditor", "auditor", person=True, actor=OPERATOR)
    await a.gateway.accounts.add("gone", "officer", person=True, actor=OPERATOR)
    await a.gateway.accounts.reset("system", person=False, actor=OPERATOR)
    await a.gateway.accounts.disable("gone", person=True, actor=OPERATOR)
    seen += differences(a.home)
    await two.drained()
    await b.submit({**example("case.update/s1-accepted"), "case": referral.case})
    await b.submit(example("info.request/telephone-three-numbers"))
    await two.drained()
    two.network.cut = True
    waiting = await a.submit(*[example("case.referral/s1-sumarni") for _ in range(4)])
    perform = a.gateway.operator.perform
    await perform(Step.HOLD, waiting[0].jti, LOCAL_OPERATOR)
    await perform(Step.HOLD, waiting[1].jti, LOCAL_OPERATOR)
    await perform(Step.CANCEL, waiting[1].jti, LOCAL_OPERATOR, "other")
    await a.gateway.enroller.set_state(KH, "suspended", OPERATOR)
    await a.gateway.enroller.set_state(KH, "active", OPERATOR)
    seen += differences(a.home)
    two.network.cut = False
    await perform(Step.RELEASE, waiting[0].jti, LOCAL_OPERATOR)
    await two.drained()
    two.network.cut = True
    await a.submit(example("case.referral/s1-sumarni"))
    await asyncio.sleep(3)
    seen += differences(a.home)
    await two.stop()
    return seen


@pytest.fixture(scope="module")
def busy() -> Iterator[tuple[Path, list[str]]]:
    """Give a home with something of everything, and what was found while it worked."""
    two = Two()
    seen = run_virtual(_busy(two))
    yield two.a.home, seen
    two.discard()


@pytest.fixture
def home(busy: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """Give a copy, to be bent."""
    shutil.copytree(busy[0], tmp_path / ID)
    return tmp_path / ID


def test_a_home_agrees_with_its_log_while_it_works_and_at_rest(busy: tuple[Path, list[str]]) -> None:
    """With messages in every state, a void, a reset token and a partner that was suspended: no false alarm."""
    home, seen = busy
    with closing(sqlite3.connect(home / "data" / "gateway.db")) as db:
        states = {row[0] for row in db.execute("SELECT state FROM outbox")}
        statuses = {row[0] for row in db.execute("SELECT status FROM inbox")}
    assert states & {"queued", "sending"}
    assert states >= {"accepted", "cancelled"}
    assert statuses == {"accepted"}
    assert seen == []
    assert differences(home) == []


ACCEPTED = "(SELECT min(id) FROM outbox WHERE state = 'accepted')"
QUEUED = "(SELECT max(id) FROM outbox WHERE state IN ('queued', 'sending'))"
RECEIVED = "(SELECT min(id) FROM inbox WHERE status = 'accepted')"
EDITS: dict[str, tuple[str, str]] = {
    "state to rejected": (f"UPDATE outbox SET state = 'rejected' WHERE id = {QUEUED}", "its state is rejected"),
    "state to queued": (f"UPDATE outbox SET state = 'queued' WHERE id = {ACCEPTED}", "its state is queued"),
    "outbox row deleted": (f"DELETE FROM outbox WHERE id = {ACCEPTED}", "accepted for sending, its row is gone"),
    "inbox row deleted": (f"DELETE FROM inbox WHERE id = {RECEIVED}", "of kh.gdi: accepted, its row is gone"),
    "newest checkpoint row deleted": (
        "DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)", "checkpoints: the newest one",
    ),
    "inbox status": (f"UPDATE inbox SET status = 'rejected' WHERE id = {RECEIVED}", "it is rejected, by the log"),
    "outbound body": (
        (f"UPDATE bodies SET event = replace(event, 'S', 'T') WHERE id = "
        f"(SELECT body_id FROM outbox WHERE id = {QUEUED})"),
        "its bytes are not those that were logged",
    ),
    "inbound body": (
        f"UPDATE bodies SET event = event || ' ' WHERE id = (SELECT body_id FROM inbox WHERE id = {RECEIVED})",
        "its bytes are not those that were logged",
    ),
    "receipt swapped": (
        (f"UPDATE envelopes SET receipt = (SELECT receipt FROM envelopes WHERE receipt IS NOT NULL AND eid <> "
        f"(SELECT eid FROM outbox WHERE id = {ACCEPTED})) WHERE eid = (SELECT eid FROM outbox WHERE id = {ACCEPTED})"),
        "its receipt is not the one that was logged",
    ),
    "case row": ("UPDATE cases SET handling = 'H0'", "its row is not what its last entry says"),
    "role": ("UPDATE accounts SET role = 'operator' WHERE name = 'auditor'", "its role is operator, by the log"),
}  # fmt: skip
NEIGHBOURS: dict[str, tuple[str, str]] = {
    "recipient": (f"UPDATE outbox SET recipient = 'xx.other' WHERE id = {QUEUED}", "its recipient is not what"),
    "account": (f"UPDATE outbox SET account = 'other' WHERE id = {QUEUED}", "account"),
    "expiry": (f"UPDATE outbox SET expires_at = expires_at - 1 WHERE id = {QUEUED}", "its expirytime is not what"),
    "digest and body": (
        (f"UPDATE outbox SET digest = zeroblob(32) WHERE id = {QUEUED}; UPDATE bodies SET event = '{{}}' WHERE id = "
        f"(SELECT body_id FROM outbox WHERE id = {QUEUED})"),
        "digest",
    ),
    "body emptied": (
        f"UPDATE bodies SET event = '' WHERE id = (SELECT body_id FROM inbox WHERE id = {RECEIVED})",
        "its bytes are gone, and its sender had nothing erased",
    ),
    "body deleted": (
        f"DELETE FROM bodies WHERE id = (SELECT body_id FROM outbox WHERE id = {ACCEPTED})",
        "its bytes are gone, and nobody had them erased",
    ),
    "receipt removed": ("UPDATE envelopes SET receipt = NULL WHERE direction = 'out'", "its receipt is not"),
    "state to cancelled": (f"UPDATE outbox SET state = 'cancelled' WHERE id = {QUEUED}", "its state is cancelled"),
    "a message nobody accepted": (
        ("INSERT INTO outbox (jti, recipient, subject, stream_seq, urgency, rank, size, handling, digest, "
        "schema_version, account, created_at, expires_at, body_id, leaf, state, next_at) SELECT 'forged', recipient, "
        "subject, 999, urgency, rank, size, handling, digest, schema_version, account, created_at, expires_at, "
        f"body_id, leaf, 'queued', 0 FROM outbox WHERE id = {QUEUED}"),
        "message forged: no entry accepts it",
    ),
    "a message nobody sent": (
        f"UPDATE inbox SET leaf = 0 WHERE id = {RECEIVED}", "no entry answers it",
    ),
    "sender": (f"UPDATE inbox SET sender = 'xx.other' WHERE id = {RECEIVED}", "no entry answers it"),
    "place in the case": (
        "UPDATE inbox SET case_seq = case_seq + 1 WHERE case_seq IS NOT NULL", "its caseseq is not what its event says",
    ),
    "case deleted": ("DELETE FROM cases", "its row is gone"),
    "case numbers put back": ("UPDATE cases SET sent = 0", "counts 0 messages of ours"),
    "an older checkpoint deleted": (
        "DELETE FROM checkpoints WHERE size = (SELECT min(size) FROM checkpoints)", "are here",
    ),
    "account added": (
        "INSERT INTO accounts (id, name, person, role, created_at) VALUES ('x', 'x', 1, 'operator', 0)",
        "account x: no entry adds it",
    ),
    "account revived": ("UPDATE accounts SET disabled_at = NULL", "by the log it is disabled"),
    "account deleted": ("DELETE FROM accounts WHERE name = 'gone'", "its row is gone"),
    "token swapped": (
        ("UPDATE tokens SET hash = zeroblob(32) WHERE account = (SELECT id FROM accounts WHERE name = 'system')"),
        "its token is not the one it was given",
    ),
    "token added": (
        ("INSERT INTO tokens (hash, account, issued_at) SELECT zeroblob(32), id, 9e12 FROM accounts "
         "WHERE name = 'system'"),
        "its token is not the one it was given",
    ),
    "partner suspended": ("UPDATE partners SET state = 'suspended'", "it is suspended, by the log it is active"),
    "partner deleted": ("DELETE FROM partners", "partner kh.gdi: its row is gone"),
    "partner added": (
        "INSERT INTO partners (party, state, card_id, enrolled_at) VALUES ('xx.other', 'active', 1, 0)",
        "partner xx.other: no entry adds it",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("script", "named"), (EDITS | NEIGHBOURS).values(), ids=EDITS | NEIGHBOURS)
def test_each_edit_is_named(home: Path, script: str, named: str) -> None:
    """Whole or the newest rows only, as `audit verify` and `doctor` look."""
    edit(home, script)
    for newest in (None, ROWS_LOOKED_AT):
        found = differences(home, newest)
        assert any(named in line for line in found), found


def test_one_edit_is_one_difference(home: Path) -> None:
    """And names its message."""
    [jti] = rows(home, f"SELECT jti FROM outbox WHERE id = {QUEUED}")[0]
    edit(home, EDITS["state to rejected"][0])
    assert differences(home) == [f"outbox: message {jti}: its state is rejected, by the log it is queued"]


def rows(home: Path, statement: str) -> list[Any]:
    """Ask a home."""
    with closing(sqlite3.connect(home / "data" / "gateway.db")) as db:
        return db.execute(statement).fetchall()


def test_the_doctor_names_each_of_the_eleven(home: Path) -> None:
    """One check for each table that was changed, with what was changed in it."""
    sound = {check.check: check for check in examine(home)}
    assert sound["tables"].state == "ok"
    for script, named in EDITS.values():
        edit(home, script)
        found = [check for check in examine(home) if check.check.startswith("table ")]
        assert all(check.state == "fail" for check in found)
        assert any(named in f"{check.check.removeprefix('table ')}: {check.finding}" for check in found), (named, found)
