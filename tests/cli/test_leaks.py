"""Personal data stays in the records: two real processes meet every kind of trouble with a name nobody else has."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tests.cli.terminal import Home, Serving
from tests.cli.test_serve import ask
from tests.support.pair import example

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "ZYXWVQKANARI"
RECORDS = {"gateway.db", "gateway.db-wal", "gateway.db-shm"}


def marked(name: str) -> Any:
    """Return a shipped POST body whose persons and texts all carry the name."""

    def mark(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {member: mark(inner, member) for member, inner in value.items()}
        if isinstance(value, list):
            return [mark(inner, key) for inner in value]
        if key in {"primaryIdentifier", "summary"} and isinstance(value, str):
            return NAME if key == "primaryIdentifier" else f"{value} {NAME}"
        return value

    return mark(example(name))


def left_behind(home: Home, serving: Serving, temporary: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what an outsider might find: name and content of each file, the metrics, each log entry."""
    yield "log", serving.log.read_bytes()
    yield "metrics", ask(serving.ops, "/metrics")[1]
    for path in [*home.path.rglob("*"), *temporary.rglob("*")]:
        yield "file name", str(path).encode()
        if path.is_file() and path.name not in RECORDS:
            yield path.name, path.read_bytes()
    with closing(sqlite3.connect(f"file:{home.path}/data/gateway.db?mode=ro", uri=True)) as db:
        for (data,) in db.execute("SELECT data FROM entries"):
            yield "log entry", data


def test_no_name_leaves_the_records(enrolled: Path, tmp_path: Path) -> None:
    """Taken, refused for its form and for its content, put off by a locked database, sent, answered, rejected."""
    shutil.copytree(enrolled, tmp_path, dirs_exist_ok=True)
    a, b = Home(tmp_path / "id.imigrasi"), Home(tmp_path / "kh.gdi")
    temporary = {home: tmp_path / f"{home.path.name}.tmp" for home in (a, b)}
    for folder in temporary.values():
        folder.mkdir()
    good = marked("case.referral/s1-sumarni")
    assert NAME in json.dumps(good["data"])
    bad = json.loads(json.dumps(good))
    bad["data"][NAME] = NAME
    bad["data"]["persons"][0]["sex"] = NAME

    with a.serve({"TMPDIR": str(temporary[a])}) as serving_a:
        said = [
            a.run("submit", "-", given=json.dumps(good)),
            a.run("submit", "-", given=json.dumps(bad), code=1),
            a.run("submit", "-", given=json.dumps({**good, "in_reply_to": NAME, "urgency": NAME}), code=1),
            a.run("submit", "-", given=json.dumps(good)[:-40], code=1),
        ]
        with closing(sqlite3.connect(a.path / "data" / "gateway.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            said.append(a.run("submit", "-", given=json.dumps(good), code=1))
        with b.serve({"TMPDIR": str(temporary[b])}) as serving_b:
            said.append(a.run("submit", "-", "--wait", given=json.dumps(good)))
            traces = [
                *left_behind(a, serving_a, temporary[a]),
                *left_behind(b, serving_b, temporary[b]),
                *(("command", (result.out + result.err).encode()) for result in said),
            ]
            assert serving_b.stop() == 0
        assert serving_a.stop() == 0

    assert [name for name, raw in traces if NAME.encode() in raw.upper()] == []
    assert {"log", "metrics", "log entry", "gateway.toml"} <= {name for name, _ in traces}
    with closing(sqlite3.connect(f"file:{b.path}/data/gateway.db?mode=ro", uri=True)) as db:
        assert db.execute("SELECT count(*) FROM bodies WHERE instr(event, ?)", (NAME.encode(),)).fetchone()[0] == 2
