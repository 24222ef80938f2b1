"""card, partner, keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.cli import output
from gateway.cli.common import YesOption, ask, confirm, given, group, home, judge_code, note, read_input, verb
from gateway.cli.control import CONTROL, gateway, segment
from gateway.errors import ConfigurationError, MalformedRequest
from gateway.protocol.reasons import REVOKE_REASONS

card = group("card", "Our party card.")
partner = group("partner", "The authorities we exchange with.")
keys = group("keys", "Our own keys.")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for noun in (card, partner, keys):
        app.add_typer(noun)


# --- card -------------------------------------------------------------------------------------------


@verb(card, "export")
def card_export(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Where to write it; stdout without.")] = None,
    *,
    unsigned: Annotated[
        bool, typer.Option(help="The payload of the next card, for `card sign` where the root keys live.")
    ] = False,
) -> None:
    """Write our card: the JWS bytes a partner gives to `partner add`."""
    with gateway() as client:
        raw = client.get_bytes(f"{CONTROL}/card/unsigned" if unsigned else f"{CONTROL}/card")
    if file is None:
        output.write_bytes(raw)
        return
    write_file(file, raw)
    then = "`gateway card sign`" if unsigned else "send it, and let the partner compare `gateway card fingerprint`"
    note(f"{file}: written; next: {then}")


@verb(card, "show")
def card_show() -> None:
    """Show what our card says, the verifier keys of our log and witness included."""
    with gateway() as client:
        output.show(client.get(f"{CONTROL}/card/summary"))


@verb(card, "fingerprint")
def card_fingerprint() -> None:
    """Print what two officers read to one another before they enrol a card."""
    with gateway() as client:
        found = client.get(f"{CONTROL}/card/summary")
    if given.output == "json":
        output.dump({name: found[name] for name in ("party", "version", "fingerprint")})
        return
    print(found["fingerprint"])
    note(f"{found['party']}, card version {found['version']}: read it to the partner over another channel")


@verb(card, "sign")
def card_sign(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="What `card export --unsigned` wrote.")],
    *,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write the card; stdout without.")] = None,
    keys_folder: Annotated[
        Path | None, typer.Option("--keys", metavar="DIR", help="The folder with the root keys; the home's without.")
    ] = None,
) -> None:
    """Sign a card where the root keys live; needs no database and no network. Take it home with `card adopt`."""
    from gateway.keyring.disk import read_seed
    from gateway.keyring.files import ROOT_FILES
    from gateway.protocol.card import sign_payload
    from gateway.protocol.keys import SigningPair

    folder = keys_folder or home() / "keys"
    pair = SigningPair(*(read_seed(folder / name) for name in ROOT_FILES))
    signed = sign_payload(read_input(file).strip(), pair)
    note(f"{signed.party}, card version {signed.version}, fingerprint {signed.fingerprint}")
    if out is None:
        output.write_bytes(signed.raw)
        return
    write_file(out, signed.raw)
    note(f"{out}: written; next: `gateway card adopt {out}` at the gateway")


@verb(card, "adopt")
def card_adopt(file: Annotated[str, typer.Argument(metavar="FILE|-", help="What `card sign` wrote.")]) -> None:
    """Put our own card in force that was signed where the root keys live; partners fetch it daily."""
    with gateway() as client:
        found = json.loads(client.raw("PUT", f"{CONTROL}/card", read_input(file))[1])
    output.show({name: found[name] for name in ("party", "version", "fingerprint", "expires")})


def write_file(path: Path, raw: bytes) -> None:
    """Write a file of the user's. Raises ConfigurationError with the fix."""
    try:
        path.write_bytes(raw)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; name a file that can be written") from None


# --- partner ----------------------------------------------------------------------------------------

_CARD = ("party", "name", "country", "environment", "version", "issued", "expires", "endpoint")


@verb(partner, "add")
def partner_add(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The partner's card, as `card export` wrote it.")],
    *,
    fingerprint: Annotated[str | None, typer.Option(help="As the partner read it to you; asked for without.")] = None,
) -> None:
    """Enrol a party by its card, or take a later card of one enrolled."""
    raw = read_input(file)
    try:
        text = raw.decode("ascii").strip()
    except UnicodeDecodeError:
        raise MalformedRequest(f"{file}: this is no party card; ask the partner for `gateway card export`") from None
    with gateway() as client:
        found = client.post(f"{CONTROL}/partners/preview", {"card": text})
        if fingerprint is None:
            for name in _CARD:
                note(f"{name:<12} {found[name]}")
            # The fingerprint itself is not shown: whoever could copy it from here would compare it with nothing.
            note("Call the partner on a number you already have; let them read `gateway card fingerprint` to you.")
            fingerprint = ask(f"Fingerprint of {found['party']} (8 groups of 5 digits):")
            if not fingerprint:
                raise ConfigurationError("no fingerprint was given; give --fingerprint, or type it when asked")
        done = client.post(f"{CONTROL}/partners", {"card": text, "fingerprint": fingerprint})
    _say({name: done[name] for name in ("party", "name", "version", "result", "expires", "endpoint")})


def _say(record: dict[str, Any]) -> None:
    output.show(record)


@verb(partner, "list")
def partner_list() -> None:
    """List the partners, with the state of the link and what waits for each."""
    with gateway() as client:
        rows = client.get(f"{CONTROL}/partners")["partners"]
    output.show_rows(
        rows, ("party", "state", "card_version", "card_expires", "contact_at", "down_since", "waiting"),
        empty="no partner is enrolled; `gateway partner add FILE`",
    )  # fmt: skip


@verb(partner, "show")
def partner_show(party: Annotated[str, typer.Argument(metavar="PARTY")]) -> None:
    """Show one partner with its card."""
    with gateway() as client:
        found = client.get(f"{CONTROL}/partners/{segment(party)}")
    output.show(found)


@verb(partner, "suspend")
def partner_suspend(party: Annotated[str, typer.Argument(metavar="PARTY")], *, yes: YesOption = False) -> None:
    """Exchange nothing with a partner until it is resumed; what waits for it waits on."""
    confirm(f"Suspend {party}? Nothing is sent to it or taken from it until `gateway partner resume`.", yes=yes)
    with gateway() as client:
        done = client.post(f"{CONTROL}/partners/{segment(party)}/suspend")
    output.show(done)


@verb(partner, "resume")
def partner_resume(party: Annotated[str, typer.Argument(metavar="PARTY")]) -> None:
    """Exchange with a suspended partner again."""
    with gateway() as client:
        done = client.post(f"{CONTROL}/partners/{segment(party)}/resume")
    output.show(done)


@verb(partner, "ping")
def partner_ping(party: Annotated[str, typer.Argument(metavar="PARTY")]) -> None:
    """Try the whole way to a partner and back, signed on both sides; it reaches no case."""
    with gateway() as client:
        done = client.post(f"{CONTROL}/partners/{segment(party)}/ping")
    output.show(done)


# --- keys -------------------------------------------------------------------------------------------


@verb(keys, "list")
def keys_list() -> None:
    """List our keys and certificates; no private part is shown."""
    with gateway() as client:
        found = client.get(f"{CONTROL}/keys")
    output.show_rows(found["keys"], ("name", "use", "status", "nbf", "exp", "kids"))
    for warning in found["warnings"]:
        note(f"warning: {warning}")


@verb(keys, "rotate")
def keys_rotate(
    *,
    use: Annotated[Literal["sig", "enc", "tls", "log", "witness"], typer.Option(help="Which keys.")],
    plan: Annotated[bool, typer.Option("--plan", "--dry-run", help="Only say what would happen, and when.")] = False,
) -> None:
    """Make a new key; the old one stays for as long as partners may need it."""
    with gateway() as client:
        done = client.post(f"{CONTROL}/keys/rotate", {"use": use, "plan": plan})
    if plan:
        if given.output == "json":
            output.dump(done)
        else:
            output.line("\n".join(done["steps"]))
        return
    output.show(done)
    _tell_card(done)


@verb(keys, "revoke")
def keys_revoke(
    kid: Annotated[str, typer.Argument(metavar="KID", help="As `keys list` shows it.")],
    *,
    reason: Annotated[str, typer.Option(metavar="CODE", help=f"One of {', '.join(REVOKE_REASONS)}.")],
    yes: YesOption = False,
) -> None:
    """Revoke a key at once: what is signed with it from now on counts nowhere."""
    judge_code("--reason", reason, REVOKE_REASONS)
    confirm(f"Revoke {kid}? This cannot be taken back.", yes=yes)
    with gateway() as client:
        done = client.post(f"{CONTROL}/keys/revoke", {"kid": kid, "reason": reason})
    output.show(done)
    _tell_card(done)


def _tell_card(done: dict[str, Any]) -> None:
    if done["card_version"] is not None:
        note(f"card version {done['card_version']} is in force; partners fetch it within a day")
    elif done["card_due"]:
        note("a new card is due: `gateway card export --unsigned`, then `card sign` where the root keys live")
