"""evidence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli import output
from gateway.cli.common import PurposeOption, SenderOption, given, group, note, now_ms, verb
from gateway.cli.control import API, gateway, segment
from gateway.cli.failure import UNVERIFIED
from gateway.errors import Clash, ConfigurationError, PartnerError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from gateway.evidence.verify import Verdict
    from gateway.ledger.note import NoteKey

COLUMNS: Final = ("at", "step", "log", "index", "role", "outcome", "message")

TsaOption = Annotated[
    list[Path] | None,
    typer.Option("--tsa", metavar="FILE.pem", help="Certificates of the timestamp authority; may be given again."),
]

evidence = group("evidence", "Proof of one message that a stranger can check offline.")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(evidence)


@verb(evidence, "export")
def evidence_export(
    message: Annotated[str, typer.Argument(metavar="MESSAGE_ID")],
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="A new file.")],
    *,
    whole: Annotated[
        bool,
        typer.Option("--whole/--redacted", help="With the message's content, for who may read it; else its digest."),
    ] = False,
    sender: SenderOption = None,
    purpose: PurposeOption = None,
) -> None:
    """Write the evidence of a message: digest, signatures, receipt, log entries with their proofs."""
    if file.exists():
        raise Clash(f"{file} exists; name another")
    with gateway() as reached:
        query = {"redacted": "false", "purpose": purpose} if whole else {"redacted": "true"}
        raw = reached.get_bytes(f"{API}/evidence/{segment(message)}", {**query, "sender": sender})
    try:
        # Its owner's alone from the first byte: a whole bundle holds the record.
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
            out.write(raw)
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}; name a file that can be written") from None
    from gateway.evidence.verify import verify_bundle

    verdict = verify_bundle(raw)
    output.show({"file": str(file), "message": message, "bytes": len(raw), "redacted": not whole, **_lacking(verdict)})
    for text in _gap_words(verdict):
        note(f"note: {text}")


@verb(evidence, "chain")
def evidence_chain(
    message: Annotated[str, typer.Argument(metavar="MESSAGE_ID")], *, sender: SenderOption = None
) -> None:
    """Tell what happened to a message, step by step, each with its entry in the log."""
    with gateway() as reached:
        steps = reached.get(f"{API}/audit/messages/{segment(message)}", {"sender": sender})["steps"]
    output.show_rows(steps, COLUMNS, empty="no such entries")


@verb(evidence, "verify")
def evidence_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE.zip")],
    *,
    fingerprint: Annotated[
        list[str] | None,
        typer.Option(metavar="F", help="What an authority told you, not what the file says; once for each of the two."),
    ] = None,
    vkey: Annotated[
        list[str] | None,
        typer.Option(metavar="V", help="A further log's or witness's verifier key; may be given again."),
    ] = None,
    tsa: TsaOption = None,
) -> None:
    """Check a bundle: no home, no network. Names every fault and what it means; exit 3 where there is one."""
    from gateway.evidence.container import MAX_BUNDLE_BYTES
    from gateway.evidence.verify import verify_bundle

    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_BUNDLE_BYTES + 1)  # what is larger is refused by its size, and not read to its end
    except OSError as error:
        raise ConfigurationError(f"{file}: {(error.strerror or 'cannot be read').lower()}; name a bundle") from None
    verdict = verify_bundle(
        raw,
        fingerprints=_fingerprints(fingerprint or []),
        vkeys=_vkeys(vkey or []),
        certificates=read_tsa(tsa),
        now_ms=now_ms(),
    )
    faults = [
        {"step": one.step, "about": _about(one.step), "file": one.file, "what": one.what, "meaning": one.meaning}
        for one in verdict.faults
    ]
    as_json = given.output == "json"
    output.show({
        "verified": verdict.ok, "message": verdict.parts.message if verdict.parts else None,
        "trusted": list(verdict.trusted), **_lacking(verdict),
        **({"proves": list(verdict.proves), "faults": faults} if as_json else {}),
    })  # fmt: skip
    if not as_json:
        for text in verdict.proves:
            output.line(f"proved: {text}")
        for text in _gap_words(verdict):
            output.line(f"lacking: {text}")
        for one in faults:
            where = f"step {one['step']}, {one['about']}: {one['file'] or 'the file'}"
            output.line(f"fault: {where}: {one['what']}: {one['meaning']}")
    if not verdict.ok:
        note(_advice(verdict))
        raise typer.Exit(UNVERIFIED)


def _advice(verdict: Verdict) -> str:
    """Say what to do about a bundle that does not verify: another copy of one that nobody vouches for helps nobody."""
    from gateway.evidence.trust import UNTOLD

    if all(fault.what == UNTOLD for fault in verdict.faults):
        parts = verdict.parts
        whom = f"{parts.sender} and {parts.recipient}" if parts is not None else "both authorities"
        return (
            f"nothing in the bundle is wrong, but nobody vouches for its keys: ask {whom}, by a telephone number you "
            "already have, what `gateway card fingerprint` prints there, and give each with --fingerprint"
        )
    return "the bundle does not verify: keep it as it is, and ask whoever gave it to you for another copy"


def _about(step: int) -> str:
    from gateway.evidence.findings import STEPS

    return STEPS[step]


def _lacking(verdict: Verdict) -> dict[str, Any]:
    return {"lacking": list(verdict.gaps)}


def _gap_words(verdict: Verdict) -> list[str]:
    from gateway.evidence.words import word

    return [word(code, "en") for code in verdict.gaps]


def _fingerprints(texts: list[str]) -> list[str]:
    from gateway.evidence.trust import digits

    for text in texts:
        if digits(text) is None:
            raise ConfigurationError("--fingerprint: not eight groups of five digits; quote it whole")
    return texts


def _vkeys(texts: list[str]) -> list[NoteKey]:
    from gateway.ledger.note import NoteKey

    try:
        return [NoteKey.parse(text.strip()) for text in texts]
    except PartnerError as error:
        raise ConfigurationError(f"--vkey: {error.detail}; copy it whole, it reads name+keyid+key") from None


def read_tsa(paths: list[Path] | None) -> list[Certificate]:
    """Return the certificates of `--tsa`. Raises ConfigurationError naming the file."""
    from gateway.ledger.timestamp import need_library, read_certificates

    found: list[Certificate] = []
    for path in paths or []:
        need_library()
        try:
            found += read_certificates(path.read_bytes())
        except (OSError, ValueError) as error:
            reason = (error.strerror or "cannot be read") if isinstance(error, OSError) else "no certificates in PEM"
            raise ConfigurationError(f"--tsa: {path}: {reason.lower()}; name a PEM file") from None
    return found
