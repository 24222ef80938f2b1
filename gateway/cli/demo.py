"""`gateway demo`: two authorities on this machine, real from end to end, and a table of what happened."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import colored, given, note, verb
from gateway.cli.failure import FAILURE, INTERRUPTED, OK
from gateway.errors import Clash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.cli.demo_authority import Authority
    from gateway.cli.demo_steps import Story
    from gateway.cli.demo_story import Step

INDONESIA = ("id.imigrasi", "Direktorat Jenderal Imigrasi (demo)", "ID")
CAMBODIA = ("kh.gdi", "General Department of Immigration (demo)", "KH")
PIPE_COLUMNS = 160


def register(app: typer.Typer) -> None:
    """Add the command."""
    verb(app, "demo")(demo)


def demo(
    *,
    exit_: Annotated[
        bool, typer.Option("--exit", help="End when the table is complete; 0 only if every step held.")
    ] = False,
) -> None:
    """Run two authorities that exchange the sample cases; print what happened.

    `--home DIR` keeps what they made there; without it everything is removed at the end.
    """
    # Only what this command was given: a GATEWAY_HOME of the shell is somebody's real gateway.
    kept = given.home
    if kept is not None and any((kept / party[0]).exists() for party in (INDONESIA, CAMBODIA)):
        raise Clash(f"{kept} holds an earlier demo; remove it, or name another folder with --home")
    import asyncio

    with _folder(kept) as folder:
        code = asyncio.run(_run(folder, stay=not exit_))
    raise typer.Exit(code)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    what: str
    expected: str
    seen: str
    held: bool


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield kept.absolute()
        return
    made = Path(tempfile.mkdtemp(prefix="gateway-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


async def _run(folder: Path, *, stay: bool) -> int:
    """Play the story; return the exit code. Both gateways are stopped on the way out, however that is."""
    import asyncio
    from contextlib import AsyncExitStack

    from gateway.cli.demo_authority import Authority, Place, free_ports
    from gateway.cli.demo_steps import Story
    from gateway.cli.demo_story import STEPS

    interrupted, complete = asyncio.Event(), asyncio.Event()
    me = asyncio.current_task()
    assert me is not None

    def stop() -> None:
        # Once: a second Ctrl-C must not cut short the stopping of what was started.
        if not interrupted.is_set() and not complete.is_set():
            me.cancel()
        interrupted.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    started = time.perf_counter()
    try:
        async with AsyncExitStack() as stack:
            ports = free_ports(6)
            sides = [
                await stack.enter_async_context(Authority(folder, Place(*who, *ports[at * 3 : at * 3 + 3])))
                for at, who in enumerate((INDONESIA, CAMBODIA))
            ]
            story = Story(folder, sides[0], sides[1])
            rows = await _play(story, STEPS)
            complete.set()
            _show(rows, time.perf_counter() - started)
            held = all(row.held for row in rows)
            if stay:
                _invite(story, held=held)
                await interrupted.wait()
                note("stopping both gateways")
    except asyncio.CancelledError:
        if not interrupted.is_set():
            raise
        note("interrupted; both gateways are stopped")
        return INTERRUPTED
    return OK if held else FAILURE


async def _play(story: Story, steps: Sequence[Step]) -> list[Row]:
    from gateway.cli.demo_authority import NotHeldError
    from gateway.errors import GatewayError

    note("making two homes: keys, certificates, settings")
    try:
        await story.make_homes()
    except NotHeldError as error:
        return [Row("Two homes are made", "keys, certificates, settings", str(error), held=False)]
    rows: list[Row] = []
    for number, step in enumerate(steps, 1):
        note(f"{number:2}/{len(steps)}  {step.what}")
        try:
            row = Row(step.what, step.expected, await step.act(story), held=True)
        except (NotHeldError, GatewayError) as error:
            row = Row(step.what, step.expected, str(error), held=False)
        except (KeyError, TypeError, ValueError, OSError) as error:
            # An answer of another shape than the contract's is a step that does not hold, not a crash.
            row = Row(step.what, step.expected, f"not understood: {type(error).__name__} {error}", held=False)
        if not row.held:
            note(f"       DOES NOT HOLD: {row.seen}")
        rows.append(row)
    return rows


def _show(rows: Sequence[Row], seconds: float) -> None:
    if given.output == "json":
        from gateway.cli.output import dump

        dump(
            {"rows": [asdict(row) for row in rows], "held": all(row.held for row in rows), "seconds": round(seconds, 1)}
        )
        return
    from rich.box import ASCII2, ROUNDED
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    console = Console(no_color=not colored(), highlight=False, width=None if terminal else PIPE_COLUMNS)
    table = Table(box=ROUNDED if terminal else ASCII2, header_style="bold", show_lines=True)
    table.add_column("")
    for name, ratio in (("what", 4), ("expected", 4), ("seen", 5)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for row in rows:
        mark = Text("ok", "green") if row.held else Text("NO", "bold red")
        table.add_row(mark, row.what, row.expected, Text(row.seen, "" if row.held else "red"))
    console.print(table)
    held = sum(row.held for row in rows)
    console.print(f"{held} of {len(rows)} steps held, in {seconds:.1f} s")


def _invite(story: Story, *, held: bool) -> None:
    """Say where the two gateways are and what to try."""
    print()
    if not held:
        print("Not every step held; both gateways stay up so that you can look.")
    for authority in story.both:
        _introduce(authority)
    first = story.id
    client, auditor = first.tokens.get("client", "TOKEN"), first.tokens.get("auditor", "TOKEN")
    ca = f"--cacert {first.home}/keys/ca.pem"
    print("Try:")
    print(f"  curl {ca} -H 'Authorization: Bearer {client}' {first.api_url}/api/v1/cases/{story.case}")
    print(
        f"  curl {ca} -H 'Authorization: Bearer {client}' -H 'Content-Type: application/json' "
        f"-H 'Idempotency-Key: my-first' --data @{_sample()} {first.api_url}/api/v1/messages"
    )
    print(f"  curl {ca} -H 'Authorization: Bearer {auditor}' '{first.api_url}/api/v1/audit/entries?limit=5'")
    print(f"  GATEWAY_HOME={first.home} {sys.argv[0]} message list")
    print("\nCtrl-C stops both" + ("." if given.home else " and removes what they made."), flush=True)


def _introduce(authority: Authority) -> None:
    place = authority.place
    print(f"{place.party}  {place.name}")
    print(f"  REST API   {authority.api_url}/api/v1   (documentation: {authority.api_url}/docs)")
    print(f"  partners   https://127.0.0.1:{place.exchange}/bcx/v1   health http://127.0.0.1:{place.ops}/readyz")
    print(f"  home       {authority.home}   log {authority.log_path}")
    for role, token in authority.tokens.items():
        print(f"  token      {role:<9} {token}")
    print()


def _sample() -> Path:
    from gateway.resources import schemas_path

    return schemas_path() / "examples" / "case.referral" / "s1-sumarni.json"
