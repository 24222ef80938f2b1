"""`gateway audit`: an export that a stranger checks offline, and what it says of one that was changed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from gateway.ledger.note import COSIGNATURE, NoteSigner
from gateway.ledger.tiles import decode_bundle, encode_bundle
from tests.cli.terminal import Home, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.terminal import Pair


@pytest.fixture(scope="module")
def exported(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return an export of a log and the verifier key that came with it on another way."""
    folder = tmp_path_factory.mktemp("export") / "log"
    made = pair.a.json("audit", "export", str(folder))
    return folder, made["vkey"]


def bundle(folder: Path) -> Path:
    """Return the first bundle of entries."""
    return next(path for path in sorted((folder / "tile" / "entries").rglob("*")) if path.is_file())


def edit_entry(folder: Path) -> None:
    """Change who did it in entry 5."""
    path = bundle(folder)
    entries = decode_bundle(path.read_bytes())
    entries[5] = entries[5].replace(b'"role":"system"', b'"role":"sister"')
    path.write_bytes(encode_bundle(entries))


def remove_entry(folder: Path) -> None:
    """Take entry 3 out."""
    path = bundle(folder)
    entries = decode_bundle(path.read_bytes())
    path.write_bytes(encode_bundle(entries[:3] + entries[4:]))


def swap_entries(folder: Path) -> None:
    """Exchange entries 2 and 3."""
    path = bundle(folder)
    entries = decode_bundle(path.read_bytes())
    path.write_bytes(encode_bundle([*entries[:2], entries[3], entries[2], *entries[4:]]))


def sign_nothing(folder: Path) -> None:
    """Claim another size in the checkpoint."""
    path = folder / "checkpoint"
    lines = path.read_text().splitlines(keepends=True)
    lines[1] = "7\n"
    path.write_text("".join(lines))


TAMPERED: dict[str, tuple[Callable[[Path], object], int | None]] = {
    "an edited entry": (edit_entry, 5),
    "a removed entry": (remove_entry, 3),
    "two entries exchanged": (swap_entries, 2),
    "a bundle gone": (lambda folder: bundle(folder).unlink(), 0),
    "another size": (sign_nothing, None),
    "no checkpoint": (lambda folder: (folder / "checkpoint").unlink(), None),
    "a file nobody vouches for": (lambda folder: (folder / "tile" / "0" / "999").write_bytes(b"x" * 32), None),
}


def keys(pair: Pair) -> list[str]:
    """Return `--vkey` for the log of id.imigrasi and for its witness, as its partner was told them."""
    shown = pair.a.json("card", "show")["log_vkey"], pair.b.json("card", "show")["witness_vkey"]
    return [word for vkey in shown for word in ("--vkey", vkey)]


def test_a_healthy_log_in_use_verifies_under_its_key_and_its_witness(exported: tuple[Path, str], pair: Pair) -> None:
    """It is always a little ahead of its witness: exit 0, who cosigned, and calmly how much is behind that."""
    for at in range(3):
        pair.a.run("audit", "export", str(exported[0].with_name(f"again-{at}")))
        shown = pair.a.run("audit", "verify", *keys(pair), "-o", "json")
        assert shown.json["verified"] is True
        assert [one["witness"] for one in shown.json["cosigned_by"]] == ["kh.gdi/bcx/witness/1"]
        assert 0 < shown.json["cosigned_size"] <= shown.json["size"]
        assert "keep this copy" not in shown.err
        behind = shown.json["size"] - shown.json["cosigned_size"] + shown.json["unsigned"]
        assert (f"{behind} entries after the newest cosigned checkpoint" in shown.err) is bool(behind)
    told = pair.a.run("audit", "verify", *keys(pair)).out
    assert "cosigned_by\tkh.gdi/bcx/witness/1 at 20" in told
    assert "NoteKey" not in told


def test_a_witness_that_never_cosigned_is_asked_for_and_nobody_is_blamed(pair: Pair) -> None:
    """Another witness's key: exit 3, for that was asked; but nothing says that the log was changed."""
    stranger = NoteSigner.from_seed("th.imm/bcx/witness/1", COSIGNATURE, bytes(32)).key.vkey
    shown = pair.a.run("audit", "verify", "--vkey", stranger, "-o", "json", code=3)
    assert [fault["what"] for fault in shown.json["faults"]] == ["no given witness has cosigned it"]
    assert "nothing was changed as far as the keys given can tell" in shown.err
    assert "keep this copy" not in shown.err


def test_a_new_log_key_that_signed_nothing_yet_blames_nobody(home: Home) -> None:
    """No partner answers, so the newest checkpoint is of the old key: exit 3, and no word of a change."""
    home.run("keys", "rotate", "--use", "log")
    shown = home.run("audit", "verify", "--vkey", home.json("card", "show")["log_vkey"], "-o", "json", code=3)
    assert [fault["what"] for fault in shown.json["faults"]] == ["a key of our cards signed it, and no given one"]
    assert "keep this copy" not in shown.err
    assert home.run("audit", "verify").code == 0


def test_an_export_says_how_many_entries_it_left_out(home: Home) -> None:
    """No partner runs, so nothing new is cosigned: what is behind the signed or cosigned head is counted."""
    made = home.run("audit", "export", str(home.path.with_name("export")), "-o", "json")
    size = home.json("audit", "search", "--limit", "1")[0]["index"] + 1
    assert made.json["left_out"] == size - made.json["size"]
    assert ("are not in it" in made.err) is bool(made.json["left_out"])


def test_one_entry_is_proved_in_the_form_of_other_tools(exported: tuple[Path, str], pair: Pair, tmp_path: Path) -> None:
    """C2SP tlog-proof: written, checked, refused where anything in it was changed; read back without a home."""
    assert exported
    file = tmp_path / "entry.tlog-proof"
    made = pair.a.run("audit", "prove", "3", str(file), "-o", "json").json
    assert (made["verified"], made["index"], made["entry"]["seq"]) == (True, 3, 3)
    assert [one["witness"] for one in made["cosigned_by"]] == ["kh.gdi/bcx/witness/1"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text("utf-8")
    assert text.startswith("c2sp.org/tlog-proof@v1\nextra ")
    assert pair.a.run("audit", "prove", "3").out.partition("\n\n")[0].splitlines()[2] == "index 3"
    alone = run("audit", "verify", str(file), *keys(pair), "-o", "json").json
    assert (alone["verified"], alone["entry"]) == (True, made["entry"])
    assert "exists" in pair.a.run("audit", "prove", "3", str(file), code=6).fault
    for old, new in (
        ("index 3", "index 4"), ("extra e", "extra f"), ("extra e", "extra "), ("@v1", "@v2"), ("\n\n", "\n"),
        ("id.imigrasi/bcx/log/1\n", "id.imigrasi/bcx/log/2\n"),
    ):  # fmt: skip
        file.write_text(text.replace(old, new, 1), "utf-8")
        assert run("audit", "verify", str(file), *keys(pair), "-o", "json", code=3).json["verified"] is False
    file.write_text(text, "utf-8")
    other = pair.b.json("card", "show")["log_vkey"]
    assert "no trusted key" in run("audit", "verify", str(file), "--vkey", other, code=3).out
    stranger = NoteSigner.from_seed("th.imm/bcx/witness/1", COSIGNATURE, bytes(32)).key.vkey
    assert run("audit", "verify", str(file), *keys(pair)[:2], "--vkey", stranger, code=3).code == 3


def test_an_entry_that_is_not_there_cannot_be_proved(pair: Pair, home: Home) -> None:
    """Exit 5 for no such entry, 2 for no number, 3 where the stored log does not add up."""
    assert "the log has" in pair.a.run("audit", "prove", "900000000", code=5).fault
    pair.a.run("audit", "prove", "--", "-1", code=2)
    pair.a.run("audit", "prove", "first", code=2)
    assert home.run("audit", "prove", "3").out.startswith("c2sp.org/tlog-proof@v1")
    with closing(sqlite3.connect(home.path / "data" / "gateway.db")) as database:
        [data] = database.execute("SELECT data FROM entries WHERE seq = 3").fetchone()
        database.execute("UPDATE entries SET data = ? WHERE seq = 3", (data.replace(b'"system"', b'"sister"'),))
        database.commit()
    shown = home.run("audit", "prove", "3", "-o", "json", code=3)
    assert shown.json["fault"] == "the path does not lead from this entry to the signed root"
    assert "keep it" in shown.err


@pytest.mark.parametrize(("tamper", "index"), TAMPERED.values(), ids=TAMPERED)
def test_a_changed_export_is_refused_and_the_first_bad_index_named(
    exported: tuple[Path, str], tmp_path: Path, tamper: Callable[[Path], object], index: int | None
) -> None:
    """Exit 3; every fault is listed, the first bad index stands for itself."""
    folder, vkey = exported
    shutil.copytree(folder, tmp_path / "log")
    assert run("audit", "verify", str(tmp_path / "log"), "--vkey", vkey).out.startswith("verified\tyes")
    tamper(tmp_path / "log")
    found = run("audit", "verify", str(tmp_path / "log"), "--vkey", vkey, "-o", "json", code=3).json
    assert found["verified"] is False
    assert found["faults"]
    if index is not None:
        assert found["first_bad_index"] == index


def test_the_faults_are_told_to_people_too(exported: tuple[Path, str], tmp_path: Path) -> None:
    """One line a fault: where, what, what it means; and what to do next."""
    folder, vkey = exported
    shutil.copytree(folder, tmp_path / "log")
    edit_entry(tmp_path / "log")
    shown = run("audit", "verify", str(tmp_path / "log"), "--vkey", vkey, code=3)
    assert "fault: entry 5: " in shown.out
    assert "entry 5: entry 5" not in shown.out
    assert "first_bad_index\t5" in shown.out
    assert "keep this copy" in shown.err


def test_an_export_is_nobodys_without_a_key(exported: tuple[Path, str], pair: Pair) -> None:
    """No home and no key: usage. Another party's key: not verified. The home's own: verified."""
    folder, _ = exported
    assert "give --vkey V, or --home DIR" in run("audit", "verify", str(folder), code=2).fault
    other = pair.b.json("card", "show")["log_vkey"]
    assert run("audit", "verify", str(folder), "--vkey", other, code=3).out.startswith("verified\tno")
    assert pair.a.run("audit", "verify", str(folder)).code == 0
    assert pair.b.run("audit", "verify", str(folder), code=3).code == 3


def test_a_database_changed_behind_the_gateways_back_is_found(home: Home) -> None:
    """SQL on the live log: the entry that was changed is named."""
    with closing(sqlite3.connect(home.path / "data" / "gateway.db")) as database:
        [data] = database.execute("SELECT data FROM entries WHERE seq = 4").fetchone()
        database.execute("UPDATE entries SET data = ? WHERE seq = 4", (data.replace(b'"system"', b'"sister"'),))
        database.commit()
    found = json.loads(home.run("audit", "verify", "-o", "json", code=3).out)
    assert found["first_bad_index"] == 4


def test_an_entry_deleted_behind_the_gateways_back_is_named_and_no_other(home: Home) -> None:
    """Those behind it are not blamed: their hashes still stand beside them."""
    with closing(sqlite3.connect(home.path / "data" / "gateway.db")) as database:
        database.execute("DELETE FROM entries WHERE seq = 4")
        database.commit()
    found = json.loads(home.run("audit", "verify", "-o", "json", code=3).out)
    assert found["first_bad_index"] == 4
    assert {fault["index"] for fault in found["faults"]} == {4, None}
    assert "fault: entry 4: missing: " in home.run("audit", "verify", code=3).out  # its place said once


def test_a_checkpoint_kept_under_another_root_is_found(home: Home) -> None:
    """A start believes the column and stops; the verifier must not say that all is well."""
    with closing(sqlite3.connect(home.path / "data" / "gateway.db")) as database:
        [size] = database.execute("SELECT max(size) FROM checkpoints").fetchone()
        database.execute("UPDATE checkpoints SET root = zeroblob(32) WHERE size = ?", (size,))
        database.commit()
    [fault] = json.loads(home.run("audit", "verify", "-o", "json", code=3).out)["faults"]
    assert (fault["path"], fault["what"]) == (
        "checkpoint", f"the one of size {size}: kept under a size or root it does not say",
    )  # fmt: skip


EDITS = {
    "a role": (
        "UPDATE accounts SET role = 'operator' WHERE name = 'reviewer'", "its role is operator, by the log auditor",
    ),
    "a checkpoint": ("DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)", "checkpoints: "),
    "a partner": ("DELETE FROM partners", "partner kh.gdi: its row is gone"),
}  # fmt: skip


def test_a_table_changed_behind_the_gateways_back_is_named(home: Home) -> None:
    """Of a home its tables are judged too: exit 3, each row named, for people and as JSON."""
    home.run("user", "add", "reviewer", "--role", "auditor")
    sound = home.json("audit", "verify")
    assert (sound["verified"], sound["tables_agree"], sound["faults"]) == (True, True, [])
    with closing(sqlite3.connect(home.path / "data" / "gateway.db")) as database:
        database.executescript(";".join(statement for statement, _ in EDITS.values()))
    found = home.run("audit", "verify", "-o", "json", code=3).json
    shown = home.run("audit", "verify", code=3)
    assert (found["verified"], found["tables_agree"]) == (False, False)
    for _, named in EDITS.values():
        assert any(named in f"{fault['path']}: {fault['what']}" for fault in found["faults"]), named
        assert named.removeprefix("checkpoints: ") in shown.out
    assert "docs/operations.md#tables-and-log" in shown.err


def test_a_served_home_agrees_with_its_log(pair: Pair) -> None:
    """While both exchange: what is between two of its own steps is no difference."""
    for name in ("a", "b"):
        found = getattr(pair, name).json("audit", "verify")
        assert (found["tables_agree"], found["faults"]) == (True, [])
