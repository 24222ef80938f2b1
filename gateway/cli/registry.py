"""schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway.cli import output
from gateway.cli.common import given, group, read_input, verb
from gateway.cli.control import API, CONTROL, gateway, segment
from gateway.cli.failure import FAILURE
from gateway.errors import MalformedRequest

schema = group("schema", "The schema registry: what messages may say.")

COLUMNS: Final = ("subject", "version", "state", "digest", "registered_at", "approved_at")
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
    mode: Annotated[str, typer.Option(help="BACKWARD, FORWARD, FULL, their _TRANSITIVE, or NONE.")] = "BACKWARD",
) -> None:
    """Say whether a schema could be registered, and what it breaks; exit 1 on a break."""
    with gateway() as reached:
        found = reached.post(f"{CONTROL}/schemas/check", _document(file, subject) | {"mode": mode})
    output.show(found, leave_out=("breaks", "advice"))
    if given.output != "json":
        for line in found["breaks"]:
            print(f"break: {line}")
        for advice in found["advice"]:
            print(f"advice: {advice['pointer'] or '/'} {advice['reason']}")
    if found["taken"] or not found["compatible"]:
        raise typer.Exit(FAILURE)


@verb(schema, "register")
def schema_register(
    file: Annotated[str, typer.Argument(metavar="FILE|-")],
    *,
    subject: Annotated[str | None, typer.Option(metavar="SUBJECT", help="Where the file has no $id.")] = None,
) -> None:
    """Register a version; it is used once both parties have approved it."""
    with gateway() as reached:
        output.show(reached.post(f"{CONTROL}/schemas", _document(file, subject)))


@verb(schema, "approve")
def schema_approve(
    subject: Annotated[str | None, typer.Argument(metavar="SUBJECT")] = None,
    version: Annotated[str | None, typer.Argument(metavar="VERSION")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every registered version.")] = False,
) -> None:
    """Approve a version: our card lists it from now on, and its content never changes."""
    if everything == (subject is not None) or (subject is not None and version is None):
        raise MalformedRequest("give SUBJECT VERSION, or --all")
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
    print("\n".join(found["lines"]))


def _document(file: str, subject: str | None) -> dict[str, Any]:
    raw = read_input(file)
    try:
        body = {"document": raw.decode("utf-8")}
    except UnicodeDecodeError:
        raise MalformedRequest(f"{file}: not UTF-8; a schema is JSON in UTF-8") from None
    return body | ({"subject": subject} if subject else {})


def _side(text: str) -> str:
    return text if _VERSION.fullmatch(text) and not Path(text).exists() else read_input(text).decode("utf-8", "replace")
