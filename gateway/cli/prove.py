"""audit prove: one entry of the log, with what it takes to believe it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.common import given, note
from gateway.cli.control import API, gateway
from gateway.cli.failure import UNVERIFIED
from gateway.cli.logkeys import LogKeys, cosigners, read_keys, witness_keys
from gateway.errors import Clash, ConfigurationError, MalformedProof, NotFound

if TYPE_CHECKING:
    from gateway.ledger.tlogproof import EntryProof


VkeyOption = Annotated[
    list[str] | None,
    typer.Option("--vkey", metavar="V", help="A log's or witness's verifier key; may be given again."),
]


def audit_prove(
    index: Annotated[int, typer.Argument(metavar="INDEX", min=0, help="Number of the entry.")],
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A new file; absent: standard output.")] = None,
    *,
    vkey: VkeyOption = None,
) -> None:
    """Prove that an entry is in the log: itself, its path and the cosigned checkpoint (C2SP tlog-proof), checked."""
    from gateway.ledger.tlogproof import write_proof

    if file is not None and file.exists():
        raise Clash(f"{file} exists; name another")
    proof = _fetched(index)
    text = write_proof(proof)
    keys = read_keys(vkey or [])
    shown = _checked(proof, keys)
    if shown["verified"] and not keys.witnesses:
        shown = _checked(proof, LogKeys(keys.logs, witness_keys(shown["unknown_signers"])))
    if not shown["verified"]:
        _refuse(shown)
    if file is not None:
        _write(file, text)
        output.show({"file": str(file), **_plain(shown)})
    elif given.output == "json":
        output.dump(shown | {"proof": text})
    else:
        output.write_bytes(text.encode())
        note(f"entry {index} stands in {shown['origin']} at size {shown['size']}, cosigned by {_by(shown)}")


def verify_proof(file: Path, keys: LogKeys) -> None:
    """Check a file that `audit prove` wrote: no home, no network. Exit 3 where it proves nothing."""
    from gateway.ledger.tlogproof import MOST_BYTES, read_proof

    try:
        with file.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{file}: {(error.strerror or 'cannot be read').lower()}; name a proof") from None
    try:
        proof = read_proof(raw)
    except MalformedProof as error:
        shown: dict[str, Any] = {"verified": False, "fault": error.detail}
    else:
        shown = _checked(proof, keys)
    if not shown["verified"]:
        _refuse(shown)
    output.show(_plain(shown))


def _fetched(index: int) -> EntryProof:
    """Return the entry under the newest cosigned checkpoint, the newest signed one where nobody ever cosigned."""
    from gateway.ledger.note import read_tree_head
    from gateway.ledger.tlogproof import EntryProof
    from gateway.primitives import b64u

    with gateway() as reached:
        checkpoint = reached.get_bytes("/audit/log/checkpoint").decode()
        size = read_tree_head(checkpoint).size
        if not index < size:
            newest = reached.get(f"{API}/audit/checkpoint")["size"]
            ahead = f"not under a cosigned checkpoint yet, the newest covers {size} entries; try again in a moment"
            raise NotFound(f"entry {index}: {ahead if index < newest else f'the log has {newest} entries'}")
        found = reached.get(f"{API}/audit/proof", {"index": index, "size": size})
    path = tuple(b64u.decode(node) for node in found["path"])
    return EntryProof(index, b64u.decode(found["data"]), path, checkpoint)


def _checked(proof: EntryProof, keys: LogKeys) -> dict[str, Any]:
    """Return what the proof shows under these keys; where a witness is among them, one must have cosigned."""
    from gateway.ledger.tlogproof import check_proof

    try:
        opened = check_proof(proof, keys.logs, keys.witnesses)
    except MalformedProof as error:
        return {"verified": False, "index": proof.index, "fault": error.detail}
    shown = {
        "verified": True, "origin": opened.origin, "size": opened.size, "root": opened.root.hex(),
        "index": proof.index, "entry": _entry(proof.data), "cosigned_by": cosigners(opened.cosignatures),
        "unknown_signers": list(opened.unknown),
    }  # fmt: skip
    if keys.witnesses and not opened.cosignatures:
        return shown | {"verified": False, "fault": "no given witness has cosigned the checkpoint"}
    return shown


def _entry(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return base64.b64encode(data).decode()


def _plain(shown: dict[str, Any]) -> dict[str, Any]:
    return shown if given.output == "json" else shown | {"cosigned_by": _by(shown)}


def _by(shown: dict[str, Any]) -> str:
    return ", ".join(f"{one['witness']} at {one['at']}" for one in shown["cosigned_by"]) or "nobody we know"


def _refuse(shown: dict[str, Any]) -> None:
    output.show(shown)
    note("the proof does not hold: keep it, and compare with the checkpoints your partner holds")
    raise typer.Exit(UNVERIFIED)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
        file.chmod(0o600)
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}; name a file that can be written") from None
