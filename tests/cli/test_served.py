"""The same commands while `serve` runs: two gateways on loopback, spoken to by their control sockets."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import sqlite3
import stat
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cli.control import running
from gateway.cli.failure import Refused
from gateway.protocol.reasons import CANCEL_REASONS, REVOKE_REASONS, VOUCH_REASONS
from gateway.screening.pdf import rebuild
from tests.attachments.files import CANARY, jpeg, pdf
from tests.cli.terminal import GATEWAY, LIMIT_S, ROOT, Home, Pair, acting, environment, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFERRAL = "schemas/examples/case.referral/s1-sumarni.json"
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:bcx:schema:note.test:1.0.0",
    "type": "object",
    "x-case": "none",
    "properties": {"text": {"type": "string", "maxLength": 100, "x-sensitivity": "S0"}},
    "required": ["text"],
    "additionalProperties": False,
}


def until(home: Home, jti: str, reached: Callable[[Any], Any]) -> None:
    """Ask for a message again until it is as wanted; the test's time limit ends it else."""
    while not reached(home.json("message", "show", jti)):
        pass


def test_a_case_is_exchanged_and_shown_on_both_sides(pair: Pair) -> None:
    """Submitted and answered while the user waits; message, receipt, case and reconciliation tell the same story."""
    sent = pair.a.json("submit", "--wait", REFERRAL)
    assert (sent["state"], sent["receipt"]["status"]) == ("accepted", "accepted")
    jti, ref = sent["id"], sent["case"]
    assert pair.a.json("message", "show", jti)["attempts"][-1]["result"] == "settled"
    assert pair.a.run("message", "receipt", jti).out.startswith("{")
    [arrived] = [row for row in pair.b.json("message", "list", "--direction", "in") if row["id"] == jti]
    assert arrived["state"] == "received"
    # Once the partner's next checkpoint is cosigned and its log was looked at; each look is a process of its own.
    shown = next(found for _ in range(100) if (found := pair.a.json("message", "show", jti))["proved"] is not None)
    assert shown["proved"] is True
    for home in (pair.a, pair.b):
        stands = home.json("case", "show", ref)
        assert stands["case"] == ref
        # Whose turn it is, and until when, stands in the list too.
        [line] = [line for line in home.run("case", "list").out.splitlines() if line.startswith(ref)]
        assert line.split("\t")[4:7] == ["kh.gdi", stands["next_action"]["by"], "no"]
    assert pair.a.json("audit", "reconcile", "kh.gdi")["agrees"] is True
    assert "gateway queue list" in pair.b.run("queue", "show", jti, code=5).fault


def test_the_type_on_the_command_line_wins_over_the_file(served: Home) -> None:
    """A file may leave the type out."""
    body = json.loads((ROOT / REFERRAL).read_text())
    kind = body.pop("type")
    assert served.run("submit", "--dry-run", "--type", kind, "-", given=json.dumps(body)).code == 0
    assert "/type: is missing" in served.run("submit", "--dry-run", "-", given=json.dumps(body), code=1).err


def test_an_operator_vouches_on_record_and_only_while_it_serves(served: Home, home: Home) -> None:
    """The word is in the log with its reason; without `serve` there is nothing to let go on."""
    assert served.json("audit", "vouch", "--yes", "--reason", "compared")["paused"] is None
    [found] = served.json("audit", "search", "--object", "vouched")
    assert (found["type"], found["outcome"]) == ("config.changed", "compared")
    assert "start it first" in home.run("audit", "vouch", "--yes", "--reason", "compared", code=6).fault


def test_a_search_is_exported_whole_as_csv(served: Home) -> None:
    """`--all` follows the pages to the first entry; every row has the names of the first."""
    rows = list(csv.DictReader(served.run("audit", "search", "--all", "-o", "csv").out.splitlines()))
    newest = int(rows[0]["index"])
    assert [int(row["index"]) for row in rows] == list(range(newest, -1, -1))
    assert {row["type"] for row in rows} >= {"gateway.started", "partner.added"}
    assert rows[0]["hash"]


def test_a_refusal_of_a_command_is_found_by_anybody_who_audits(served: Home) -> None:
    """What the control socket refused is kept too: who, which route, which code."""
    served.run("message", "show", "019c8a52-3b6e-7d10-8c55-1f0a2b3c4d5e", code=5)
    assert served.json("audit", "search", "--object", "0" * 32) == []  # what was told is stored before it is looked for
    with closing(sqlite3.connect(f"file:{served.path}/data/gateway.db?mode=ro", uri=True)) as db:
        found = "SELECT trace_id FROM problems WHERE route LIKE '%/messages/{id}' AND code = 'not-found'"
        [(trace,)] = db.execute(found).fetchall()
    [problem] = served.json("audit", "search", "--object", trace)
    assert (problem["type"], problem["outcome"]) == ("problem", "404 not-found")


def test_a_ping_shows_the_partner_and_its_clock(served: Home) -> None:
    """Signed both ways."""
    found = served.json("partner", "ping", "kh.gdi")
    assert abs(found["clock_ms"]) < 5000


def test_a_list_that_goes_on_says_so_and_is_had_whole(pair: Pair) -> None:
    """A backlog is longer than a page: who reads the first of it is told, and `--all` has the rest."""
    pair.b.run("partner", "suspend", "id.imigrasi", "--yes")
    sent = [pair.a.json("submit", REFERRAL)["id"] for _ in range(2)]
    for noun, name in (("queue", "id"), ("case", "case")):
        one = pair.a.run(noun, "list", "--limit", "1", "-o", "json")
        assert len(json.loads(one.out)) == 1
        assert "--all" in one.err
        whole = pair.a.run(noun, "list", "--limit", "1", "--all", "-o", "json")
        rows = [row[name] for row in json.loads(whole.out)]
        assert len(rows) == len(set(rows)) > 1
        assert noun == "case" or set(sent) <= set(rows)
        assert whole.err == ""
    pair.b.run("partner", "resume", "id.imigrasi")
    pair.b.run("partner", "ping", "id.imigrasi")
    for jti in sent:
        until(pair.a, jti, lambda found: found["state"] == "accepted")


def test_a_held_message_is_released_and_goes(pair: Pair) -> None:
    """A partner that refuses us keeps it waiting; each step only where the state allows it."""
    pair.b.run("partner", "suspend", "id.imigrasi", "--yes")
    jti = pair.a.json("submit", REFERRAL)["id"]
    until(pair.a, jti, lambda found: found["state"] == "queued" and found["attempts"])
    assert pair.a.json("queue", "list", "--state", "queued")[0]["reason"]
    pair.a.run("queue", "hold", jti)
    assert "queued" in pair.a.run("queue", "hold", jti, code=6).fault
    assert [row["id"] for row in pair.a.json("queue", "list", "--state", "held")] == [jti]
    pair.b.run("partner", "resume", "id.imigrasi")
    pair.a.run("queue", "release", jti)
    assert pair.a.json("queue", "retry", "--since", "2026-01-01")["retried"] in {0, 1}
    pair.a.run("partner", "ping", "kh.gdi")
    until(pair.a, jti, lambda found: found["state"] == "accepted")


def test_rotated_certificates_are_used_at_once(pair: Pair) -> None:
    """New certificates from the same CA: the partner needs to do nothing."""
    changed = pair.a.json("keys", "rotate", "--use", "tls")
    assert changed["names"] == ["exchange-server", "exchange-client", "api"]
    assert pair.b.run("partner", "ping", "id.imigrasi").code == 0
    assert pair.a.run("partner", "ping", "kh.gdi").code == 0


def test_the_live_log_verifies_and_is_exported(pair: Pair, tmp_path: Path) -> None:
    """The running log, and its copy under the key another machine was told; the export is its last entry."""
    assert pair.a.json("audit", "verify")["verified"] is True
    made = pair.a.json("audit", "export", str(tmp_path / "log"), "--purpose", "DATA_QUALITY")
    shown = run("audit", "verify", str(tmp_path / "log"), "--vkey", made["vkey"], "-o", "json").json
    assert (shown["verified"], shown["size"]) == (True, made["size"])
    assert made["vkey"] == pair.a.json("card", "show")["log_vkey"]
    [entry] = pair.a.json("audit", "search", "--type", "audit.exported", "--limit", "1")
    assert (entry["index"], entry["purpose"]) == (made["size"] - 1, "DATA_QUALITY")


def test_the_control_socket_is_its_owners_alone(pair: Pair) -> None:
    """Whoever reaches it is the operator."""
    control = pair.serving.control
    assert stat.S_IMODE(control.stat().st_mode) == 0o600
    assert stat.S_IMODE(control.parent.stat().st_mode) == 0o700


def test_metrics_count_what_was_exchanged(pair: Pair) -> None:
    """Attempts and final answers on both sides, commits, and the log's size."""
    ours, theirs = (home.run("metrics").out for home in pair[:2])
    assert 'gateway_outcomes_total{direction="out",status="accepted"}' in ours
    assert 'gateway_attempts_total{result="receipt"}' in ours
    assert 'gateway_outcomes_total{direction="in",status="accepted"}' in theirs
    assert "gateway_log_entries 0.0" not in ours


def test_a_schema_is_checked_registered_approved_and_compared(served: Home, tmp_path: Path) -> None:
    """The life of a version; what breaks its readers is named, and a registered one never changes."""
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(json.dumps(SCHEMA))
    assert served.json("schema", "check", str(first))["compatible"] is True
    assert served.json("schema", "register", str(first))["result"] == "registered"
    assert served.json("schema", "approve", "note.test", "1.0.0")[0]["version"] == "1.0.0"
    assert served.run("schema", "show", "note.test").out == first.read_text()
    breaking = {**SCHEMA, "$id": "urn:bcx:schema:note.test:2.0.0", "required": ["text", "more"]}
    second.write_text(json.dumps(breaking))
    shown = served.run("schema", "check", str(second), code=1).out
    assert 'change: added /required: "more"' in shown
    assert "break: backward 1.0.0 /required (required): the writer may leave out `more`" in shown
    assert "0 message(s) tried, 0 would fail, 0 erased" in shown
    compared = served.json("schema", "diff", "note.test", "1.0.0", str(second))
    assert (compared["backward"], compared["forward"]) == (False, True)
    first.write_text(json.dumps({**SCHEMA, "title": "changed"}))
    assert "other content" in served.run("schema", "register", str(first), code=6).fault


def test_the_mode_in_force_decides_what_is_registered(served: Home, tmp_path: Path) -> None:
    """A break is refused with its places until somebody lets it through; each change of mode is in the log."""
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(json.dumps({**SCHEMA, "$id": "urn:bcx:schema:mode.test:1.0.0"}))
    second.write_text(json.dumps({**SCHEMA, "$id": "urn:bcx:schema:mode.test:2.0.0", "required": ["text", "more"]}))
    served.run("schema", "register", str(first))
    refused = served.run("schema", "register", str(second), code=6)
    assert "is BACKWARD, and this version breaks it in 1 place(s)" in refused.fault
    assert "/required: the new version does not read 1.0.0" in refused.err
    assert served.json("schema", "mode", "mode.test", "forward") == [
        {"subject": "mode.test", "mode": "FORWARD", "own": True}
    ]
    assert served.json("schema", "register", str(second))["version"] == "2.0.0"
    assert served.json("schema", "mode", "mode.test", "--unset")[0]["mode"] == "BACKWARD"
    assert "--unset" in served.run("schema", "mode", "--unset", code=2).fault
    modes = {row["subject"]: (row["mode"], row["own"]) for row in served.json("schema", "mode")}
    assert modes["all"] == modes["mode.test"] == modes["case.referral"] == ("BACKWARD", False)
    found = served.json("audit", "search", "--type", "schema.configured")
    assert [entry["outcome"] for entry in found] == ["none of its own", "FORWARD"]


def test_a_key_is_revoked_only_when_meant(served: Home) -> None:
    """Revoking asks; afterwards the key is gone from use, replaced, and the log says why, in no words of one's own."""
    [kid] = [key["kids"][0] for key in served.json("keys", "list") if key["name"] == "enc-1"]
    assert served.run("keys", "revoke", kid, "--reason", "key-compromise", given="\n", code=1).out == ""
    revoked = served.run("keys", "revoke", kid, "--reason", "key-compromise", "--yes", "-o", "json")
    assert json.loads(revoked.out)["status"] == "revoked"
    assert "revoked already" in served.run("keys", "revoke", kid, "--reason", "superseded", "--yes", code=6).fault
    assert served.run("keys", "revoke", "nokey", "--reason", "superseded", "--yes", code=5).fault
    [entry] = served.json("audit", "search", "--type", "key.revoked")
    assert entry["outcome"] == "key-compromise"


CODES = {
    "keys revoke": (["keys", "revoke", "KID", "--yes", "--reason", "key-compromize"], REVOKE_REASONS),
    "queue cancel": (["queue", "cancel", "JTI", "--yes", "--reason", "wrong-datum"], CANCEL_REASONS),
    "audit vouch": (["audit", "vouch", "--yes", "--reason", "Sumarni told me"], VOUCH_REASONS),
}


@pytest.mark.parametrize(("args", "codes"), CODES.values(), ids=CODES)
def test_a_code_typed_wrong_is_asked_for_again(served: Home, args: list[str], codes: dict[str, str]) -> None:
    """Exit 2 with the list; nothing is done, and no `other` stands in the log for good."""
    control = running(served.path)
    assert control is not None
    newest = control.get("/api/v1/audit/entries", {"limit": 1})["items"]
    refused = served.run(*args, code=2)
    assert refused.fault.endswith("the codes are " + ", ".join(codes))
    assert ("did you mean" in refused.fault) is ("Sumarni" not in " ".join(args))
    assert "Sumarni" not in refused.fault
    assert control.get("/api/v1/audit/entries", {"limit": 1})["items"] == newest


@pytest.mark.parametrize(
    ("path", "body", "lists"),
    [
        ("/control/v1/keys/revoke", {"kid": "x", "reason": "key-compromize"}, "key-compromise"),
        ("/control/v1/keys/rotate", {"use": "tree"}, "witness"),
        ("/control/v1/log/vouched", {"reason": "Sumarni told me"}, "compared"),
        ("/api/v1/messages/x/cancel", {"reason": "other words"}, None),
    ],
)
def test_a_code_typed_wrong_is_422_on_the_control_socket(
    served: Home, path: str, body: dict[str, str], lists: str | None
) -> None:
    """A program gets the same list, at the place that is wrong."""
    control = running(served.path)
    assert control is not None
    with pytest.raises(Refused) as caught:
        control.post(path, body)
    if lists is None:
        assert caught.value.code == "not-found"
        return
    assert (caught.value.http_status, caught.value.code) == (422, "unknown-code")
    assert lists in caught.value.detail
    assert caught.value.errors[0].code == "E-CODE"
    assert "Sumarni" not in caught.value.detail


def test_people_and_systems_come_and_go(served: Home) -> None:
    """A reset gives another token, at once or with an overlap; a name is taken until its account is disabled."""
    first = served.json("user", "add", "sari", "--role", "officer")["token"]
    assert served.json("user", "reset", "sari", "--yes")["token"] != first
    assert "`gateway user reset NAME`" in served.run("client", "add", "sari", code=6).fault
    assert served.json("user", "disable", "sari", "--yes")["state"] == "disabled"
    assert served.json("user", "list")[0]["state"] == "disabled"
    added = served.json("client", "add", "sari")
    assert (added["name"], added["token"][:4]) == ("sari", "bcx_")
    asked = served.run("client", "reset", "sari", "--overlap", "24", given="n\n", code=1)
    assert "The old one goes on for 24 h" in asked.err
    again = served.json("client", "reset", "sari", "--overlap", "24", "--yes")
    assert again["token"] != added["token"]
    [listed] = [row for row in served.json("client", "list") if row["name"] == "sari"]
    assert (listed["state"], listed["old_token_until"]) == ("active", again["old_token_until"])
    assert served.run("client", "reset", "sari", "--overlap", "721", "--yes", code=2).err
    assert served.run("client", "revoke", "nobody", "--yes", code=5).fault.endswith("`gateway client list` shows them")


def test_a_suspended_partner_is_out_of_reach(served: Home) -> None:
    """Suspend asks; ping says to resume it; resume brings it back."""
    served.run("partner", "suspend", "kh.gdi", given="no\n", code=1)
    served.run("partner", "suspend", "kh.gdi", "--yes")
    assert "`gateway partner resume kh.gdi`" in served.run("partner", "ping", "kh.gdi", code=7).fault
    assert served.json("partner", "resume", "kh.gdi")["state"] == "active"


def test_a_dry_run_judges_and_keeps_nothing(served: Home) -> None:
    """The verdict of a real submission; nothing is queued."""
    assert served.json("submit", "--dry-run", "schemas/examples/case.referral/s1-sumarni.json") == {"valid": True}
    refused = served.run("submit", "--dry-run", "-", given='{"recipient":"kh.gdi"}', code=1)
    assert "  /type: is missing" in refused.err
    assert served.json("message", "list", "--type", "info.request") == []


def test_a_forged_card_is_not_adopted(served: Home, tmp_path: Path) -> None:
    """Only the roots of this home make its card."""
    other = served.run("card", "export").out
    forged = other[:40] + ("A" if other[40] != "A" else "B") + other[41:]
    assert "no signed card" in served.run("card", "adopt", _keep(tmp_path / "x", forged), code=1).fault


def _keep(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


# --- statistics and names ------------------------------------------------------------------------------

FOUNDING = "schemas/examples/stats.periodic/founding-figures.csv"
PERIOD = ("--from", "2025-01", "--to", "2025-04")


def test_the_founding_figures_come_in_and_go_out(pair: Pair, tmp_path: Path) -> None:
    """Imported once, shown as table, JSON and CSV, drawn, sent and accepted; the partner sees them beside its own."""
    assert pair.a.json("stats", "import", FOUNDING)["rows"] == 4
    found = pair.a.json("stats", *PERIOD)
    assert [(f["indicator"], f["value"], f["qualifier"]) for f in found["figures"]] == [
        ("DEPARTURES_DEFERRED", 5000, "GT"), ("PASSPORTS_DEFERRED", 303, "EQ"), ("VILLAGES_ACTIVE", 185, "EQ"),
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(pair.a.run("stats", *PERIOD, "-o", "csv").out)))
    assert (rows[0]["value"], rows[0]["qualifier"], rows[0]["to"]) == ("5000", "GT", "2025-04-30")
    assert "Press statement" in rows[1]["source"]
    table = pair.a.run("stats", *PERIOD, "--language", "id", "-o", "table").out
    assert ">5000" in table
    assert "Penerbitan paspor ditunda" in table
    chart, page = tmp_path / "chart.svg", tmp_path / "page.html"
    for file in (chart, page):
        pair.a.run("stats", "chart", str(file), *PERIOD, "--language", "km")
    assert chart.read_text("utf-8").startswith("<svg ")
    assert '<html lang="km">' in page.read_text("utf-8")

    dry = pair.a.json("stats", "send", *PERIOD, "--recipient", "kh.gdi", "--dry-run")
    assert dry["data"]["period"]["grain"] == "OTHER"
    extra = tmp_path / "extra.json"
    extra.write_text(json.dumps({"campaigns": [{"name": "Safe work abroad"}]}))
    sent = pair.a.json("stats", "send", *PERIOD, "--recipient", "kh.gdi", "--final", "--with", str(extra), "--wait")
    assert sent["state"] == "accepted"
    again = pair.a.run("stats", "send", *PERIOD, "--recipient", "kh.gdi", "--final", code=6)
    assert sent["id"] in again.fault
    [departures] = [line for line in pair.b.run("stats", *PERIOD, "-o", "table").out.splitlines() if "5000" in line]
    assert departures.endswith(sent["id"])


def test_what_stats_cannot_do_says_what_to_do(served: Home, tmp_path: Path) -> None:
    """Usage, a wrong file by row and column, a wrong suffix, an unknown import."""
    assert "--from" in served.run("stats", "--from", "2025-01", code=2).fault
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("indicator,from,to,value,source\nNOPE,2025-01,2025-01,x,a\n")
    told = served.run("stats", "import", str(wrong), code=1).err
    assert "/2/value" in told
    assert "/2/indicator" in told
    assert ".svg" in served.run("stats", "chart", "chart.png", *PERIOD, code=2).fault
    assert "gateway stats imports" in served.run("stats", "withdraw", "99", "--yes", code=5).fault
    nothing = served.run("stats", "send", "--from", "2019-01", "--to", "2019-01", "--recipient", "kh.gdi", code=5)
    assert "gateway stats import" in nothing.fault


def test_an_import_is_withdrawn(served: Home, tmp_path: Path) -> None:
    """Listed before and after; it counts no more; a period it lies partly in says that it is left out."""
    file = tmp_path / "figures.csv"
    file.write_text("indicator,from,to,value,source\nEXIT_PERMITS,2021-01,2021-06,1440,Registry\n")
    number = served.json("stats", "import", str(file))["import"]
    assert "left out: EXIT_PERMITS" in served.run("stats", "--from", "2021-01", "--to", "2021-03").err
    assert served.json("stats", "withdraw", str(number), "--yes")["withdrawn"] is True
    assert served.json("stats", "--from", "2021-01", "--to", "2021-06")["figures"] == []
    assert number in [row["import"] for row in served.json("stats", "imports")]


def test_a_case_is_found_by_a_name(pair: Pair) -> None:
    """In the other script too; the log has the search and not the name."""
    ref = pair.a.json("submit", "--wait", "schemas/examples/case.referral/s1-sumarni.json")["case"]
    for home, name in ((pair.a, "sumarni"), (pair.b, "ស៊ូម៉ារនី")):
        with acting(home, "officer") as officer:
            found = officer.json("case", "list", "-q", name, "--purpose", "VICTIM_PROTECTION")
        assert ref in [row["case"] for row in found]
    [entry] = pair.a.json("audit", "search", "--type", "case.searched", "--limit", "1")
    assert "sumarni" not in json.dumps(entry).lower()


# --- files -----------------------------------------------------------------------------------------


def test_files_go_along_and_are_fetched_there(pair: Pair, tmp_path: Path) -> None:
    """Two files by one command; the names they have here stay here; what is fetched is for its owner alone."""
    scan, ticket = tmp_path / f"{CANARY}.jpg", tmp_path / "booking"
    scan.write_bytes(jpeg())
    ticket.write_bytes(pdf())
    words = ("--attach", str(scan), "--attach", f"{ticket};type=TICKET;mediaType=application/pdf;description=seat 12")

    sent = pair.a.run("submit", REFERRAL, *words, "--wait", "-o", "json")

    assert sent.json["state"] == "accepted"
    assert sent.err.count("goes as PASSPORT_SCAN; say otherwise") == 1
    listed = pair.a.json("audit", "search", "--type", "attachment.stored")
    ids = {entry["outcome"]: entry["object"]["id"] for entry in listed}
    assert set(ids) == {"PASSPORT_SCAN", "TICKET", "EVIDENTIAL_ORIGINAL"}
    out = tmp_path / "fetched.pdf"
    get = ("--purpose", "VICTIM_PROTECTION")
    with acting(pair.b, "officer") as officer:
        fetched = officer.json("attachment", "get", ids["TICKET"], str(out), *get)
        assert "name a new file" in officer.run("attachment", "get", ids["TICKET"], str(out), *get, code=2).fault
        officer.run("attachment", "get", ids["EVIDENTIAL_ORIGINAL"], str(tmp_path / "none"), *get, code=5)
    assert fetched == {"file": str(out), "attachment": ids["TICKET"], "bytes": len(rebuild(pdf()))}
    assert (out.read_bytes(), out.stat().st_mode & 0o777) == (rebuild(pdf()), 0o600)
    assert not (tmp_path / "none").exists()
    for home in pair.a, pair.b:
        assert CANARY not in home.path.with_name(home.path.name + ".log").read_text("utf-8")


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("nothing.jpg", 2, "name a readable file"),
        ("script.pdf;kind=TICKET", 2, "with NAME one of type, personRef"),
        ("script.pdf", 1, "/file: the document holds scripts"),
        ("script.pdf;type=PAINTING", 1, "/meta/attachmentType"),
    ],
)
def test_a_file_that_cannot_go_keeps_its_message_back(
    served: Home, tmp_path: Path, what: str, code: int, words: str
) -> None:
    """The reason names the place; no message is left waiting."""
    (tmp_path / "script.pdf").write_bytes(pdf(b"<< /S /JavaScript /JS (x) >>"))
    before = len(served.json("message", "list"))
    assert words in served.run("submit", REFERRAL, "--attach", str(tmp_path / what), code=code).err
    assert len(served.json("message", "list")) == before


def test_a_terminal_shows_how_far_it_is(served: Home, tmp_path: Path) -> None:
    """A bar on stderr; stdout stays data."""
    scan = tmp_path / "scan.jpg"
    scan.write_bytes(jpeg(size=(1200, 900)))
    leader, follower = pty.openpty()
    words = ("submit", REFERRAL, "--attach", str(scan), "-o", "json")
    with subprocess.Popen(
        [*GATEWAY, "--home", str(served.path), *words], stdout=subprocess.PIPE, stderr=follower, cwd=ROOT,
        env=environment({"TERM": "xterm", "COLUMNS": "100"}),
    ) as run:  # fmt: skip
        os.close(follower)
        shown = b""
        try:
            while piece := os.read(leader, 4096):
                shown += piece
        except OSError:  # Linux ends a terminal that way
            pass
        os.close(leader)
        assert run.stdout is not None
        out = run.stdout.read()
        assert run.wait(LIMIT_S) == 0
    assert b"file 1 of 1" in shown
    assert out.startswith(b"{")
