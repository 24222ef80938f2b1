"""What every command shares: the global options, before the noun or after the verb, and where the home is."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
import re
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from gateway.errors import ConfigurationError
from gateway.primitives.visible import LINES, visible

Output = Literal["table", "json", "csv"]
ENV_HOME: Final = "GATEWAY_HOME"
ENV_TOKEN: Final = "GATEWAY_TOKEN"  # noqa: S105 - the name of a variable
ENV_TRACEBACK: Final = "GATEWAY_TRACEBACK"
PANEL: Final = "Options of every command"


TOKEN_MOST: Final = 1024
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,256}")


@dataclass(slots=True)
class Given:
    """The global options of this run; those after the verb win over those before the noun."""

    home: Path | None = None
    output: Output | None = None
    no_color: bool = False
    token_file: Path | None = None

    def take(self, home: Path | None, output: Output | None, *, no_color: bool, token_file: Path | None = None) -> None:
        """Lay what one place gave over what is known."""
        self.home = home or self.home
        self.token_file = token_file or self.token_file
        self.output = output or self.output
        self.no_color = no_color or self.no_color


given = Given()


def judge_code(option: str, value: str, codes: Collection[str]) -> None:
    """Raise ConfigurationError with the codes unless the value of an option is one of them.

    The log keeps it for good and takes no free text: a code that was mistyped is asked for again, never guessed.
    """
    if value in codes:
        return
    near = difflib.get_close_matches(value, codes, 1, 0.6)
    meant = f", did you mean {near[0]}?" if near else ""
    raise ConfigurationError(f"{option}: no such code{meant}; the codes are {', '.join(codes)}")


HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help=f"The gateway's home; or ${ENV_HOME}.", rich_help_panel=PANEL, show_default=False),
]
OutputOption = Annotated[
    Output | None,
    typer.Option("-o", "--output", help="table, json or csv.", rich_help_panel=PANEL, show_default=False),
]
ColorOption = Annotated[
    bool, typer.Option("--no-color", help="No colours; or $NO_COLOR.", rich_help_panel=PANEL, show_default=False)
]
SenderOption = Annotated[
    str | None, typer.Option(metavar="PARTY", help="Whose message is meant, where several parties used the id.")
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file", metavar="FILE", help=f"Act as whose token is in this file of mode 0600; or ${ENV_TOKEN}.",
        rich_help_panel=PANEL, show_default=False,
    ),
]  # fmt: skip
PurposeOption = Annotated[
    str | None, typer.Option("--purpose", metavar="CODE", help="Why it is read: kept in the audit log.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_GLOBALS: Final = (
    ("home", HomeOption, None), ("output", OutputOption, None), ("no_color", ColorOption, False),
    ("token_file", TokenFileOption, None),
)  # fmt: skip


def group(name: str, text: str) -> typer.Typer:
    """Return the noun `name`; its verbs are added with `verb`."""
    return typer.Typer(name=name, help=text, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def verb(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a command to `app`, with the global options among its own."""
    return _adding(app.command(name))


def alone(app: typer.Typer) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of the noun itself, for when no verb follows it; its function takes the typer.Context too."""
    return _adding(app.callback(invoke_without_command=True))


def _adding(add: Callable[[Callable[..., None]], object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)

        @functools.wraps(function)
        def run(**options: Any) -> None:
            taken = {key: options.pop(f"global_{key}") for key, _, _ in _GLOBALS}
            given.take(taken["home"], taken["output"], no_color=taken["no_color"], token_file=taken["token_file"])
            function(**options)

        extra = [
            inspect.Parameter(f"global_{key}", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for key, kind, default in _GLOBALS
        ]
        own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.parameters.values()]
        run.__signature__ = signature.replace(parameters=[*own, *extra])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in (*own, *extra)} | {"return": None}
        add(run)
        return function

    return decorate


def home() -> Path:
    """Return the home this command is about. Raises ConfigurationError where none is named."""
    named = given.home or (Path(os.environ[ENV_HOME]) if os.environ.get(ENV_HOME) else None)
    if named is None:
        raise ConfigurationError(f"no home is named; give --home DIR, or set {ENV_HOME}")
    return named.absolute()


def token() -> str | None:
    """Return the token this command acts by, None for the local operator. Raises ConfigurationError; it is never shown.

    There is no option for the token itself: everybody on the machine may read the arguments of a process.
    """
    if given.token_file is not None:
        return _judged(_read_token(given.token_file), f"--token-file {given.token_file}")
    named = os.environ.get(ENV_TOKEN)
    return None if named is None else _judged(named, ENV_TOKEN)


def _read_token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigurationError(
                    f"--token-file {path}: readable by others; run `chmod 600 {path}`, and reset the token if anybody "
                    "may have read it"
                )
            return file.read(TOKEN_MOST).decode("ascii", "replace")
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigurationError(f"--token-file {path}: {reason}; name a file that holds a token") from None


def _judged(text: str, where: str) -> str:
    found = text.strip()
    if not _TOKEN.fullmatch(found):
        # Also where it is empty: who meant to act as somebody must not act as the operator instead.
        raise ConfigurationError(f"{where}: holds no token; it is one word, as `gateway user add` printed it")
    return found


def home_if_named() -> Path | None:
    """Return the home, or None for the commands that can do without."""
    return home() if given.home or os.environ.get(ENV_HOME) else None


def colored() -> bool:
    """Say whether stdout may carry colours (NO_COLOR, CLICOLOR_FORCE, TERM=dumb)."""
    if given.no_color or os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def note(text: str) -> None:
    """Tell the user something that is no data."""
    print(visible(text, keep=LINES), file=sys.stderr, flush=True)


def now_ms() -> int:
    """Return the time now, ms since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone; raises typer.Exit(1) unless the answer is yes."""
    if yes:
        return
    sys.stderr.write(visible(f"{question} [y/N] ", keep=LINES))
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        note("nothing was done; answer y, or give --yes")
        raise typer.Exit(1)


def ask(question: str) -> str:
    """Ask for one line; empty where there is nobody to answer."""
    sys.stderr.write(visible(question + " ", keep=LINES))
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def read_input(file: str) -> bytes:
    """Read FILE or, for `-`, stdin. Raises ConfigurationError with the fix."""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigurationError(f"{file}: {reason}; name a readable file") from None
