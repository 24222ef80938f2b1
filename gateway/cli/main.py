"""The command `gateway`: nouns and verbs. What each does is in the modules beside this one."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from typing import Final

import typer

from gateway import __version__
from gateway.cli import attach, bench, clock, demo, evidence, log, party, people, registry, start, stats, traffic
from gateway.cli.common import ENV_TRACEBACK, ColorOption, HomeOption, OutputOption, TokenFileOption, given, note
from gateway.cli.failure import FAILURE, FINDINGS_MOST, INTERRUPTED, OK, USAGE, exit_code, lines
from gateway.errors import GatewayError

COLLECT_AFTER: Final = (100_000, 20, 20)
MORE = "install the whole gateway: `pip install '.[runtime]'` in its folder, or as docs/operations.md has it"

MEND = "put right what stands there or its permissions, or name another place"

app = typer.Typer(
    name="gateway",
    help="Bilateral case-exchange gateway: signed, encrypted case records between two authorities.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        print(f"gateway {__version__}")
        raise typer.Exit


@app.callback()
def globals_first(
    *,
    home: HomeOption = None,
    output: OutputOption = None,
    no_color: ColorOption = False,
    token_file: TokenFileOption = None,
    version: bool = typer.Option(
        False,  # noqa: FBT003 - typer calls it so
        "--version",
        callback=_version,
        is_eager=True,
        help="Print the version.",
    ),
) -> None:
    """Take the global options given before the noun."""
    del version
    given.take(home, output, no_color=no_color, token_file=token_file)


for part in (start, party, people, traffic, attach, registry, stats, log, clock, evidence, demo, bench):
    part.register(app)


def run() -> None:
    """Run the command line; every error is told and mapped to its exit code here."""
    code = _run()
    # What is still there ends with the process: looking through all of it once more took a fifth of a command's time.
    gc.freeze()
    sys.exit(code)


def _run() -> int:
    # A command lives a second, much of it imports, whose objects all stay: looking for garbage there is a tenth of it.
    gc.set_threshold(*COLLECT_AFTER)
    try:
        try:
            app(prog_name="gateway")
        finally:
            sys.stdout.flush()
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else USAGE
    except BrokenPipeError:
        # `gateway … | head`: whoever reads has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        note("interrupted")
        return INTERRUPTED
    except GatewayError as error:
        # Whoever mends a sheet of 500 persons needs every fault; a screen holds so many.
        for line in lines(error, FINDINGS_MOST if sys.stderr.isatty() else None):
            note(line)
        return exit_code(error)
    except Exception as error:
        if os.environ.get(ENV_TRACEBACK):
            raise
        return _unforeseen(error)
    return 0


def _unforeseen(error: Exception) -> int:
    if isinstance(error, ModuleNotFoundError) and not (error.name or "gateway").startswith("gateway"):
        # The package alone brings what verifies (ADR 22).
        note(f"error: only what verifies evidence is installed here, and this needs more ({error.name}); {MORE}")
        return USAGE
    if isinstance(error, OSError) and error.filename is not None:
        # A home that cannot be: a file where a folder belongs, a loop of links, no right to read. Not ours to mend.
        note(f"error: {_shown(error.filename)}: {(error.strerror or '').lower()}; {MEND}")
        return USAGE
    note(f"error: a fault of the gateway's own ({_where(error)}); report it, with what {ENV_TRACEBACK}=1 shows")
    return FAILURE


def _shown(filename: object) -> str:
    return os.fsdecode(filename) if isinstance(filename, str | bytes | os.PathLike) else str(filename)


def _where(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    # The text of a foreign exception may quote what it choked on; its class and place do not.
    return f"{type(error).__name__} at {place.filename.rpartition('/')[2]}:{place.lineno}"


if __name__ == "__main__":
    run()
