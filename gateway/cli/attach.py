"""Files beside messages: `submit --attach`, and `attachment get`; progress goes to a terminal's stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final, NamedTuple

import typer

from gateway.cli import output
from gateway.cli.common import PurposeOption, group, note, verb
from gateway.cli.control import API, gateway, segment
from gateway.cli.failure import Misused
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.cli.control import Client

attachment = group("attachment", "Files beside messages.")

PIECE_BYTES: Final = 256 * 1024
OPTIONS: Final = ("type", "personRef", "description", "mediaType", "derivedFrom")
MEDIA_TYPES: Final = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".pdf": "application/pdf",
    ".json": "application/json",
}  # fmt: skip
# What a file is taken for where nobody says: the commonest of its media type.
TYPES: Final = {
    "image/jpeg": "PASSPORT_SCAN", "image/png": "PASSPORT_SCAN", "application/pdf": "TICKET",
    "application/json": "GROUP_MANIFEST",
}  # fmt: skip
OTHER_MEDIA: Final = "application/octet-stream"
OTHER_TYPE: Final = "EVIDENTIAL_ORIGINAL"


class Attached(NamedTuple):
    """A file to upload, and what the catalogue says of it."""

    path: Path
    meta: dict[str, str]
    guessed: bool


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(attachment)


def read_attached(text: str) -> Attached:
    """Read `FILE[;type=CODE][;personRef=…][;description=…]`. Raises Misused, ConfigurationError."""
    name, *options = text.split(";")
    given: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if key not in OPTIONS or not equals:
            raise Misused(f"--attach takes FILE, then ;NAME=VALUE with NAME one of {', '.join(OPTIONS)}")
        given["attachmentType" if key == "type" else key] = value
    path = Path(name)
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigurationError(f"{name}: {reason}; name a readable file") from None
    media_type = given.get("mediaType") or MEDIA_TYPES.get(path.suffix.lower(), OTHER_MEDIA)
    meta = {"attachmentType": TYPES.get(media_type, OTHER_TYPE), "mediaType": media_type, **given}
    if meta["attachmentType"] == OTHER_TYPE:
        meta["mediaType"] = OTHER_MEDIA
    return Attached(path, meta, "attachmentType" not in given)


def upload(reached: Client, files: list[Attached]) -> list[str]:
    """Upload files; return the ids that a message names."""
    ids = []
    with progress() as bar:
        for place, file in enumerate(files, 1):
            advance = bar(f"file {place} of {len(files)}", file.path.stat().st_size)
            ids.append(_upload(reached, file, advance))
    for file, name in zip(files, ids, strict=True):
        if file.guessed:
            kind = file.meta["attachmentType"]
            note(f"{name} goes as {kind}; say otherwise by --attach 'FILE;type=CODE'")
    return ids


def _upload(reached: Client, file: Attached, advance: Callable[[int], None]) -> str:
    import secrets  # slow to load for the commands that need none of it

    boundary = secrets.token_hex(16)
    # The name of the file stays here.
    head = _part(boundary, 'name="meta"', "application/json") + json.dumps(file.meta).encode() + b"\r\n"
    head += _part(boundary, 'name="file"; filename="file"', file.meta["mediaType"])
    tail = f"\r\n--{boundary}--\r\n".encode()
    size = file.path.stat().st_size
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(len(head) + size + len(tail)),
        "Idempotency-Key": str(uuid.uuid4()),
    }

    def body() -> Iterator[bytes]:
        yield head
        left = size
        with file.path.open("rb") as source:
            while left and (piece := source.read(min(PIECE_BYTES, left))):
                left -= len(piece)
                yield piece
                advance(len(piece))
        if left:
            raise ConfigurationError(f"{file.path}: became shorter while it was read; try again")
        yield tail

    found: dict[str, Any] = json.loads(reached.raw("POST", f"{API}/attachments", body(), headers)[1])
    name: str = found["id"]
    return name


def _part(boundary: str, disposition: str, media_type: str) -> bytes:
    return (
        f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {media_type}\r\n\r\n"
    ).encode()


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Yield what begins a bar and returns what moves it; no bar where stderr is no terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda _text, _size: lambda _more: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:

        def begin(text: str, size: int) -> Callable[[int], None]:
            task = shown.add_task(text, total=size)
            return lambda more: shown.update(task, advance=more)

        yield begin


def _write(out: BinaryIO, piece: bytes, file: Path) -> None:
    try:
        out.write(piece)
    except OSError as error:
        raise ConfigurationError(
            f"{file}: {(error.strerror or '').lower()}; make room, or name another place"
        ) from None


@verb(attachment, "get")
def attachment_get(
    name: Annotated[str, typer.Argument(metavar="ID", help="An attachment id, as a message's data names it.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; it must not be there yet.")],
    *,
    partner: Annotated[str | None, typer.Option(metavar="PARTY", help="Whose id it is, where several use it.")] = None,
    purpose: PurposeOption = None,
    original: Annotated[
        bool, typer.Option("--original", help="A PDF as it came, as evidence, not made anew; needs --purpose.")
    ] = False,
) -> None:
    """Fetch a file into a new one of mode 0600, for who may read it; the audit log has the reading first."""
    query = {"partner": partner, "purpose": purpose, "original": "true" if original else None}
    with gateway() as reached:
        size = _get(reached, f"{API}/attachments/{segment(name)}", query, file)
    output.show({"file": str(file), "attachment": name, "bytes": size})


def _get(reached: Client, path: str, query: dict[str, str | None], file: Path) -> int:
    with reached.stream(path, query) as reply, progress() as bar:
        advance = bar("file", reply.length or 0)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{file}: {(error.strerror or '').lower()}; name a new file") from None
        size = 0
        try:
            with os.fdopen(descriptor, "wb") as out:
                while piece := reply.read(PIECE_BYTES):
                    _write(out, piece, file)
                    size += len(piece)
                    advance(len(piece))
        except BaseException:
            file.unlink(missing_ok=True)
            raise
    return size
