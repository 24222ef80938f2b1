"""Whose signature counts for a log: keys that were given, else those of this home and of its cards."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from gateway.cli.common import home, home_if_named
from gateway.errors import ConfigurationError, PartnerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from gateway.ledger.note import Cosignature, NoteKey
    from gateway.protocol.card import Card
    from gateway.settings import Settings
    from gateway.storage.log import LogReader


class LogKeys(NamedTuple):
    """Keys by what they may sign."""

    logs: list[NoteKey]
    witnesses: list[NoteKey]


def read_keys(given: Sequence[str]) -> LogKeys:
    """Read `--vkey`s; where none is a log's, the log is this home's. Raises ConfigurationError."""
    from gateway.ledger.note import ED25519, NoteKey

    try:
        keys = [NoteKey.parse(text.strip()) for text in given]
    except PartnerError as error:
        raise ConfigurationError(f"--vkey: {error.detail}; copy it whole, it reads name+keyid+key") from None
    if not any(key.algorithm == ED25519 for key in keys):
        keys += own_keys()
    return LogKeys([k for k in keys if k.algorithm == ED25519], [k for k in keys if k.algorithm != ED25519])


def own_keys() -> list[NoteKey]:
    """Return the log keys of this home, those of its earlier cards included: a log outlives its keys."""
    where = home_if_named()
    if where is None:
        raise ConfigurationError("nothing says whose log this is; give --vkey V, or --home DIR for its own key")
    from gateway.home import open_home
    from gateway.keyring.notes import log_signers
    from gateway.protocol.card import fingerprint

    settings, keys = open_home(where)
    now = [signer.key for origin in reversed(settings.log_origins) for signer in log_signers(keys, origin)]
    return [*now, *(key for key in _earlier_keys(settings, fingerprint(keys.roots)) if key not in now)]


def earlier_keys() -> list[NoteKey]:
    """Return what `own_keys` does, or none where this home has no keys that can be read."""
    with suppress(ConfigurationError):
        return own_keys()
    return []


def witness_keys(names: Sequence[str]) -> list[NoteKey]:
    """Return the keys of witnesses by name, as the cards say that this home has of them."""
    from gateway.ledger.note import NoteKey

    found: list[NoteKey] = []
    with stored_log() as stored:
        for party in dict.fromkeys(name.partition("/")[0] for name in names):
            for card in _cards(stored.cards(party)):
                with suppress(PartnerError):
                    found.append(NoteKey.parse(card.witness_vkey))
    return [key for key in dict.fromkeys(found) if key.name in names]


def cosigners(cosignatures: Sequence[Cosignature]) -> list[dict[str, str]]:
    """Return who cosigned and when, as shown."""
    from gateway.primitives.times import format_ms

    return [{"witness": one.witness.name, "at": format_ms(one.time_s * 1000)} for one in cosignatures]


def stored_log() -> AbstractContextManager[LogReader]:
    """Open the log of this home as it is stored."""
    from gateway.config import load_settings
    from gateway.storage.log import stored_log as opened

    return opened(load_settings(home()).database_path)


def _earlier_keys(settings: Settings, roots: str) -> Iterator[NoteKey]:
    """Yield the log keys of our own cards. Cards of other roots say nothing of ours."""
    from gateway.ledger.note import NoteKey

    if not settings.database_path.exists():
        return
    with stored_log() as stored:
        cards = stored.cards(settings.me)
    for card in _cards(cards):
        if card.fingerprint == roots:
            with suppress(PartnerError):
                yield NoteKey.parse(card.log_vkey)


def _cards(held: Sequence[bytes]) -> Iterator[Card]:
    from gateway.protocol.card import read_card

    for raw in held:
        # One that was changed by hand: what it named cannot be known any more.
        with suppress(PartnerError):
            yield read_card(raw)
