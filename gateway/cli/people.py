"""user, client."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.common import YesOption, confirm, given, group, note, verb
from gateway.cli.control import CONTROL, gateway, segment

user = group("user", "People who sign in.")
client = group("client", "Systems of partner agencies that call the API.")

_COLUMNS = ("name", "role", "state", "created_at", "disabled_at")


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
    """Refuse a person from now on; names are never used twice."""
    _disable("users", name, yes=yes)


@verb(client, "revoke")
def client_revoke(name: Annotated[str, typer.Argument(metavar="NAME")], *, yes: YesOption = False) -> None:
    """Refuse a system from now on; names are never used twice."""
    _disable("clients", name, yes=yes)


@verb(user, "reset")
def user_reset(name: Annotated[str, typer.Argument(metavar="NAME")], *, yes: YesOption = False) -> None:
    """Give a person a new token, shown once; the old one is refused from now on."""
    confirm(f"Give {name} a new token? The old one is refused from now on.", yes=yes)
    with gateway() as reached:
        _show_token(reached.post(f"{CONTROL}/users/{segment(name)}/reset"))


def _add(noun: str, name: str, role: str) -> None:
    with gateway() as reached:
        _show_token(reached.post(f"{CONTROL}/{noun}", {"name": name, "role": role}))


def _show_token(found: dict[str, Any]) -> None:
    output.show({member: found[member] for member in ("name", "token", "role")})
    if given.output != "json":
        note("the token is shown this once; keep it where only its owner reads it")


def _list(noun: str) -> None:
    with gateway() as reached:
        output.show_rows(reached.get(f"{CONTROL}/{noun}")["accounts"], _COLUMNS)


def _disable(noun: str, name: str, *, yes: bool) -> None:
    confirm(f"Refuse {name} from now on?", yes=yes)
    with gateway() as reached:
        output.show(reached.post(f"{CONTROL}/{noun}/{segment(name)}/disable"))
