"""clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli import output
from gateway.cli.common import YesOption, confirm, group, verb
from gateway.cli.control import CONTROL, gateway

if TYPE_CHECKING:
    import typer

clock = group("clock", "The clock by which messages expire.")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(clock)


@verb(clock, "show")
def clock_show() -> None:
    """Show the time the gateway goes by, and why it is in doubt."""
    with gateway() as reached:
        output.show(reached.get(f"{CONTROL}/clock"))


@verb(clock, "confirm")
def clock_confirm(*, yes: YesOption = False) -> None:
    """Give your word, on record, that this machine's clock is right: what is over by it may be given up."""
    confirm("Have you compared this machine's clock with another one? What it calls expired is given up.", yes=yes)
    with gateway() as reached:
        output.show(reached.post(f"{CONTROL}/clock/confirmed", {}))
