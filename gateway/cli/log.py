"""audit."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli import output
from gateway.cli.common import YesOption, confirm, given, group, home, judge_code, note, now_ms, verb
from gateway.cli.control import API, CONTROL, gateway, segment
from gateway.cli.evidence import TsaOption, read_tsa
from gateway.cli.failure import UNVERIFIED
from gateway.cli.holdings import show_tables, tables_of
from gateway.cli.logkeys import cosigners, earlier_keys, own_keys, read_keys, stored_log
from gateway.cli.prove import VkeyOption, audit_prove, verify_proof
from gateway.errors import Clash, ConfigurationError
from gateway.protocol.reasons import VOUCH_REASONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.x509 import Certificate

    from gateway.cli.logkeys import LogKeys
    from gateway.ledger.verify import Report

audit = group("audit", "The audit log.")

verb(audit, "prove")(audit_prove)

COLUMNS: Final = ("index", "at", "type", "actor", "object", "message", "case", "outcome", "purpose")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(audit)


@verb(audit, "search")
def audit_search(
    *,
    typ: Annotated[str | None, typer.Option("--type", metavar="T", help="Such as message.read.")] = None,
    reads: Annotated[
        bool, typer.Option("--reads", help="Who read what: messages, files, evidence, names searched, figures.")
    ] = False,
    actor: Annotated[str | None, typer.Option(help="Who, by opaque id.")] = None,
    jti: Annotated[str | None, typer.Option("--message", metavar="ID", help="A message id.")] = None,
    case: Annotated[str | None, typer.Option(metavar="REF", help="A case reference.")] = None,
    obj: Annotated[str | None, typer.Option("--object", metavar="ID", help="What it was done to; a trace id.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Such as accepted.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="From then on, such as 2026-11-24 or 2026-11-24T08:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before then.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="All that fit, page after page; for an export.")] = False,
) -> None:
    """List entries, newest first; `--object` with the id in an error finds who got it."""
    query = {
        "type": typ, "actor": actor, "message": jti, "case": case, "object": obj, "outcome": outcome, "since": since,
        "until": until, "limit": limit, "reads": "true" if reads else None,
    }  # fmt: skip
    entries: list[dict[str, Any]] = []
    with gateway() as reached:
        while True:
            page = reached.get(f"{API}/audit/entries", query)
            entries += page["problems"] + page["items"]
            if not everything or not page["has_more"]:
                break
            query = {**query, "cursor": page["next_cursor"], "limit": 200}
    if given.output == "csv":
        from gateway.web.api.render import log_columns

        output.write_csv(log_columns(entries))
        return
    if given.output != "json":
        entries = [_readable(entry) for entry in entries]
    output.show_rows(entries, COLUMNS, empty="no such entries")


def _readable(entry: dict[str, Any]) -> dict[str, Any]:
    actor, obj = entry["actor"], entry["object"]
    return {**entry, "actor": f"{actor['role']} {actor['sub']}", "object": f"{obj['kind']} {obj['id']}"}


@verb(audit, "export")
def audit_export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    *,
    purpose: Annotated[
        str | None, typer.Option(metavar="CODE", help="Why, a code of the list processingPurpose: kept in the log.")
    ] = None,
) -> None:
    """Write the log as tlog-tiles files, `checkpoint` and `tile/…`, and its timestamps; who did is its last entry."""
    from gateway.ledger.note import open_checkpoint

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Clash(f"{folder} exists and is not an empty folder; name another")
    with gateway() as reached:
        found = reached.post(f"{CONTROL}/log/exports", {"purpose": purpose} if purpose else None)
        count = _write(folder, found["checkpoint"], found["size"])
    signed = open_checkpoint(found["checkpoint"], own_keys()).logs[0]
    left_out = found["left_out"]
    output.show({
        "folder": str(folder), "size": found["size"], "files": count, "vkey": signed.vkey, "left_out": left_out,
    })  # fmt: skip
    if left_out:
        note(f"{left_out} entries after the newest cosigned checkpoint are not in it; export again later for those")


def _write(folder: Path, checkpoint: str, size: int) -> int:
    from gateway.ledger.stamps import stamp_files
    from gateway.ledger.tiles import export_files

    with stored_log() as stored:
        stamps = chain.from_iterable(stamp_files(one.size, one.note, one.token) for one in stored.timestamps(size))
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "checkpoint").write_text(checkpoint, "utf-8")
            count = 1
            for path, content in chain(export_files(size, stored.read_entries, stored.read_hashes), stamps):
                target = folder / path
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                target.write_bytes(content)
                count += 1
        except OSError as error:
            raise ConfigurationError(f"{folder}: {error.strerror}; name a folder that can be written") from None
    return count


@verb(audit, "verify")
def audit_verify(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="An export, or one proof; absent: this home's log.")
    ] = None,
    *,
    vkey: VkeyOption = None,
    tsa: TsaOption = None,
) -> None:
    """Check the log offline: every entry, hash and signature; of a home its tables too. Exit 3 names every fault."""
    keys = read_keys(vkey or [])
    if tsa and (folder is None or folder.is_file()):
        raise ConfigurationError("--tsa judges the timestamps of an export; name its folder")
    if folder is not None and folder.is_file():
        verify_proof(folder, keys)
        return
    certificates = read_tsa(tsa)
    report = _verify_home(keys) if folder is None else _verify_folder(folder, keys, certificates)
    tables = tables_of(home()) if folder is None else []
    faults = [
        {"index": fault.index, "path": fault.path, "what": fault.what, "meaning": fault.meaning}
        for fault in (*report.faults, *tables)
    ]
    output.show(
        {
            "verified": report.ok and not tables, "origin": report.origin, "size": report.size,
            "root": report.root.hex() if report.root else None, "first_bad_index": report.first_bad_index,
            "cosigned_by": _cosigned_by(report), "cosigned_size": report.cosigned_size,
            **(
                {"timestamps": _stamps(report)} if folder is not None
                else {"unsigned": report.unsigned, "tables_agree": not tables}
            ),
            **({"faults": faults} if given.output == "json" else {}),
        }
    )  # fmt: skip
    if report.stamps and not certificates:
        note(f"{len(report.stamps)} timestamps are not judged: give the authority's certificates with --tsa FILE.pem")
    _tell_open_ends(report, live=folder is None)
    if not report.ok:
        _tell_faults(report, faults[: len(report.faults)])
    if tables:
        show_tables(tables)
    if tables or not report.ok:
        raise typer.Exit(UNVERIFIED)


def fault_told(fault: Mapping[str, Any]) -> str:
    """Return where a log is wrong and what is, the place said once: some faults name the entries themselves."""
    what: str = fault["what"]
    if what.startswith("entry "):
        return what
    place = f"entry {fault['index']}" if fault["index"] is not None else fault["path"] or "the log"
    return f"{place}: {what}"


def _tell_faults(report: Report, faults: Sequence[Mapping[str, Any]]) -> None:
    if given.output != "json":
        for fault in faults:
            output.line(f"fault: {fault_told(fault)}: {fault['meaning']}")
    if report.changed:
        note("the log does not verify: keep this copy, and compare with the checkpoints your partner holds")
    else:
        note("nothing was changed as far as the keys given can tell: what they do not vouch for is named above")


def _tell_open_ends(report: Report, *, live: bool) -> None:
    """Say calmly what no signature covers yet, and what was not judged."""
    behind = report.size - report.cosigned_size + report.unsigned
    if live and report.cosigned_by and behind:
        note(f"{behind} entries after the newest cosigned checkpoint; a log in use is always a little ahead of it")
    if report.unjudged:
        note(
            f"{report.unjudged} earlier checkpoints are not judged: neither --vkey nor our cards have the keys that "
            "signed them"
        )


@verb(audit, "reconcile")
def audit_reconcile(party: Annotated[str, typer.Argument(metavar="PARTNER")]) -> None:
    """Ask the partner what it holds of ours, and name every difference."""
    with gateway() as reached:
        found = reached.get(f"{API}/partners/{segment(party)}/reconcile")
    output.show(found)


@verb(audit, "vouch")
def audit_vouch(
    *,
    reason: Annotated[str, typer.Option(metavar="CODE", help=f"How you know: {', '.join(VOUCH_REASONS)}.")],
    yes: YesOption = False,
) -> None:
    """Give your word, on record, that this log is the newest, where no partner can be asked."""
    judge_code("--reason", reason, VOUCH_REASONS)
    confirm("Is this database the newest there is? A second history would convict you.", yes=yes)
    with gateway() as reached:
        if not reached.served:
            raise Clash("nothing is held up while `gateway serve` does not run; start it first")
        output.show(reached.post(f"{CONTROL}/log/vouched", {"reason": reason}))


def _cosigned_by(report: Report) -> object:
    found = cosigners(report.cosigned_by)
    return found if given.output == "json" else [f"{one['witness']} at {one['at']}" for one in found]


def _stamps(report: Report) -> object:
    """Return each timestamp for programs, their number for people: there may be one for each day of ten years."""
    from gateway.primitives.times import format_ms

    if given.output != "json":
        return len(report.stamps)
    return [{"size": one.size, "at": None if one.at_ms is None else format_ms(one.at_ms)} for one in report.stamps]


def _verify_folder(folder: Path, keys: LogKeys, certificates: list[Certificate]) -> Report:
    from gateway.ledger.verify import verify_export

    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no such folder; `gateway audit export DIR` writes one")

    def read(path: str) -> bytes | None:
        try:
            return (folder / path).read_bytes()
        except OSError:
            return None

    paths = [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]
    return verify_export(
        read, log_keys=keys.logs, witness_keys=keys.witnesses, paths=paths, certificates=certificates, now_ms=now_ms()
    )


def _verify_home(keys: LogKeys) -> Report:
    from gateway.ledger.verify import verify_rows

    with stored_log() as stored:
        notes = list(stored.checkpoints())
        if not notes and not stored.was_signed():
            raise ConfigurationError("this log has no checkpoint yet; start `gateway serve` once")
        return verify_rows(
            notes[-1] if notes else None, stored.rows(), stored.read_hashes, log_keys=keys.logs,
            witness_keys=keys.witnesses, earlier_keys=earlier_keys(), cosigned=stored.cosigned(), history=notes[:-1],
            misfiled=stored.misfiled(), misfiled_checkpoints=stored.misfiled_checkpoints(),
            cosigned_size=stored.cosigned_size(), now_ms=now_ms(),
        )  # fmt: skip
