"""user, client."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.common import YesOption, confirm, given, group, note, verb
from gateway.cli.control import CONTROL, gateway, segment

user = group("user", "People who sign in.")
client = group("client", "Systems of partner agencies that call the API.")

_COLUMNS = ("name", "role", "state", "created_at", "disabled_at", "token_until", "old_token_until")

OverlapOption = Annotated[
    int, typer.Option("--overlap", metavar="H", min=0, max=720, help="Hours the token before stays good; 0 ends it.")
]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(user)
    app.add_typer(client)


@verb(user, "add")
def user_add(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    role: Annotated[str, typer.Option(help="officer, supervisor, auditor or operator.")],
) -> None:
    """Add a person; the token is shown once."""
    _add("users", name, role)


@verb(client, "add")
def client_add(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    role: Annotated[str, typer.Option(help="client; auditor or operator for tools.")] = "client",
) -> None:
    """Add a system; its bearer token is shown once."""
    _add("clients", name, role)


@verb(user, "list")
def user_list() -> None:
    """List people."""
    _list("users")


@verb(client, "list")
def client_list() -> None:
    """List systems."""
    _list("clients")


@verb(user, "disable")
def user_disable(name: Annotated[str, typer.Argument(metavar="NAME")], *, yes: YesOption = False) -> None:
    """Refuse a person from now on; `reset` takes them back."""
    _disable("users", name, yes=yes)


@verb(client, "revoke")
def client_revoke(name: Annotated[str, typer.Argument(metavar="NAME")], *, yes: YesOption = False) -> None:
    """Refuse a system from now on; `reset` takes it back, `add` gives its name to another."""
    _disable("clients", name, yes=yes)


@verb(user, "reset")
def user_reset(
    name: Annotated[str, typer.Argument(metavar="NAME")], *, overlap: OverlapOption = 0, yes: YesOption = False
) -> None:
    """Give a person a new token, shown once; the old one is refused from now on, or after --overlap hours."""
    _reset("users", name, overlap, yes=yes)


@verb(client, "reset")
def client_reset(
    name: Annotated[str, typer.Argument(metavar="NAME")], *, overlap: OverlapOption = 0, yes: YesOption = False
) -> None:
    """Give a system a new token, shown once; the old one is refused from now on, or after --overlap hours."""
    _reset("clients", name, overlap, yes=yes)


def _reset(noun: str, name: str, overlap: int, *, yes: bool) -> None:
    old = f"goes on for {overlap} h" if overlap else "is refused from now on"
    confirm(f"Give {name} a new token? The old one {old}.", yes=yes)
    with gateway() as reached:
        _show_token(reached.post(f"{CONTROL}/{noun}/{segment(name)}/reset", {"overlap": overlap}))


def _add(noun: str, name: str, role: str) -> None:
    with gateway() as reached:
        _show_token(reached.post(f"{CONTROL}/{noun}", {"name": name, "role": role}))


def _show_token(found: dict[str, Any]) -> None:
    output.show({member: found[member] for member in ("name", "token", "role", "token_until", "old_token_until")})
    if given.output != "json":
        note("the token is shown this once; keep it where only its owner reads it")


def _list(noun: str) -> None:
    with gateway() as reached:
        output.show_rows(reached.get(f"{CONTROL}/{noun}")["accounts"], _COLUMNS)


def _disable(noun: str, name: str, *, yes: bool) -> None:
    confirm(f"Refuse {name} from now on?", yes=yes)
    with gateway() as reached:
        output.show(reached.post(f"{CONTROL}/{noun}/{segment(name)}/disable"))
