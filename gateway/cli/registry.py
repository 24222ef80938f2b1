"""schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway.cli import output
from gateway.cli.common import given, group, read_input, verb
from gateway.cli.control import API, CONTROL, gateway, segment
from gateway.cli.failure import FAILURE, Misused
from gateway.errors import MalformedRequest

schema = group("schema", "The schema registry: what messages may say.")

COLUMNS: Final = ("subject", "version", "state", "digest", "registered_at", "approved_at")
MODES: Final = "BACKWARD, FORWARD, FULL, their _TRANSITIVE, or NONE"
ALL: Final = "all"
JSON: Final = {"Content-Type": "application/json"}
_VERSION: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+|latest")

SubjectArgument = Annotated[str, typer.Argument(metavar="SUBJECT", help="Such as case.referral.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(schema)


@verb(schema, "list")
def schema_list(
    *, subject: Annotated[str | None, typer.Option(metavar="SUBJECT", help="Of one message type.")] = None
) -> None:
    """List registered versions."""
    with gateway() as reached:
        output.show_rows(reached.get(f"{CONTROL}/schemas", {"subject": subject})["schemas"], COLUMNS)


@verb(schema, "show")
def schema_show(
    subject: SubjectArgument, version: Annotated[str, typer.Argument(metavar="VERSION")] = "latest"
) -> None:
    """Print a version, byte for byte."""
    with gateway() as reached:
        output.write_bytes(reached.get_bytes(f"{CONTROL}/schemas/{segment(subject)}/{segment(version)}"))


@verb(schema, "template")
def schema_template(subject: SubjectArgument) -> None:
    """Print the CSV to fill in for the rows of a type, such as identity.verify.request."""
    with gateway() as reached:
        output.write_bytes(reached.get_bytes(f"{API}/templates/{segment(subject)}"))


@verb(schema, "check")
def schema_check(
    file: Annotated[str, typer.Argument(metavar="FILE|-")],
    *,
    subject: Annotated[str | None, typer.Option(metavar="SUBJECT", help="Where the file has no $id.")] = None,
    mode: Annotated[str | None, typer.Option(help=f"{MODES}; absent: the one in force.")] = None,
    traffic: Annotated[bool, typer.Option(help="Try it on the stored messages of the last year.")] = True,
) -> None:
    """Say what a schema changes, what it breaks, and which stored messages it would refuse; exit 1 on a break."""
    body = _document(file, subject) | {"traffic": traffic} | ({"mode": mode} if mode else {})
    with gateway() as reached:
        found = reached.post(f"{API}/schemas/check", body)
    output.show(found, leave_out=("breaks", "changes", "advice", "traffic"))
    if given.output != "json":
        for line in _explained(found):
            output.line(line)
    if found["taken"] or not found["compatible"]:
        raise typer.Exit(FAILURE)


def _explained(found: Mapping[str, Any]) -> Iterator[str]:
    for change in found["changes"]:
        yield f"change: {change['what']} {change['pointer'] or '/'}: {_values(change)}"
    for why in found["breaks"]:
        rule = why["rule"] if why["decided"] else f"{why['rule']}, undecided"
        yield f"break: {why['direction']} {why['version']} {why['pointer'] or '/'} ({rule}): {why['words']}"
    for advice in found["advice"]:
        yield f"advice: {advice['pointer'] or '/'} {advice['reason']}"
    tried = found["traffic"]
    if tried is not None:
        yield (
            f"traffic: since {tried['since'][:10]} {tried['messages']} message(s) tried, {tried['failed']} would fail, "
            f"{tried['erased']} erased and {tried['changed']} changed ones not tried"
            + ("" if tried["whole"] else "; time ran out before the end")
        )
        for place in tried["places"]:
            yield f"traffic: {place['messages']} at {place['pointer']} ({place['code']}): {place['reason']}"


def _values(change: Mapping[str, Any]) -> str:
    return " -> ".join(value for value in (change["old"], change["new"]) if value is not None)


@verb(schema, "register")
def schema_register(
    file: Annotated[str, typer.Argument(metavar="FILE|-")],
    *,
    subject: Annotated[str | None, typer.Option(metavar="SUBJECT", help="Where the file has no $id.")] = None,
) -> None:
    """Register a version; it is used once both parties have approved it."""
    with gateway() as reached:
        output.show(reached.post(f"{CONTROL}/schemas", _document(file, subject)))


@verb(schema, "mode")
def schema_mode(
    subject: Annotated[str | None, typer.Argument(metavar="[SUBJECT|all]")] = None,
    mode: Annotated[str | None, typer.Argument(metavar="[MODE]", help=MODES)] = None,
    *,
    unset: Annotated[bool, typer.Option("--unset", help="No mode of its own any more.")] = False,
) -> None:
    """Show or set which versions may be registered: of one subject, or of all that have no mode of their own."""
    if unset and (subject is None or mode is not None):
        raise Misused("give SUBJECT or all with --unset, and no MODE")
    path = "/registry/config" + ("" if subject in {None, ALL} else f"/{segment(subject or '')}")
    with gateway() as reached:
        if mode is not None:
            reached.raw("PUT", path, json.dumps({"compatibility": mode}).encode(), JSON)
        elif unset:
            reached.raw("DELETE", path)
        rows = reached.get(f"{CONTROL}/schemas/modes")["modes"]
    output.show_rows([row for row in rows if subject in {None, row["subject"]}], ("subject", "mode", "own"))


@verb(schema, "approve")
def schema_approve(
    subject: Annotated[str | None, typer.Argument(metavar="SUBJECT")] = None,
    version: Annotated[str | None, typer.Argument(metavar="VERSION")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every registered version.")] = False,
) -> None:
    """Approve a version: our card lists it from now on, and its content never changes."""
    if everything == (subject is not None) or (subject is not None and version is None):
        raise Misused("give SUBJECT VERSION, or --all")
    body = {"all": True} if everything else {"subject": subject, "version": version}
    with gateway() as reached:
        found = reached.post(f"{CONTROL}/schemas/approve", body)
    output.show_rows(found["approved"], ("subject", "version"), empty="nothing was left to approve")


@verb(schema, "diff")
def schema_diff(
    subject: SubjectArgument,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A version, or a file.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A version, or a file.")],
) -> None:
    """Show what changed between two versions, and who can still read whom."""
    with gateway() as reached:
        found = reached.post(f"{CONTROL}/schemas/diff", {"subject": subject, "old": _side(old), "new": _side(new)})
    if given.output == "json":
        output.dump(found)
        return
    output.line("\n".join(found["lines"]))


def _document(file: str, subject: str | None) -> dict[str, Any]:
    raw = read_input(file)
    try:
        body = {"document": raw.decode("utf-8")}
    except UnicodeDecodeError:
        raise MalformedRequest(f"{file}: not UTF-8; a schema is JSON in UTF-8") from None
    return body | ({"subject": subject} if subject else {})


def _side(text: str) -> str:
    return text if _VERSION.fullmatch(text) and not Path(text).exists() else read_input(text).decode("utf-8", "replace")
