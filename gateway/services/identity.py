"""Our own party card: built from settings, keys and approved schemas; a new version when any of it changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from gateway.errors import Clash, ConfigurationError
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM, Clock
from gateway.ports.parties import StoredCard
from gateway.primitives.times import parse_ms
from gateway.protocol.card import Card, CardDraft, CardKey, make_key, read_card, sign_card

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.protocol.keys import SigningPair
    from gateway.services.catalogue import Catalogue
    from gateway.services.directory import Directory

log = get_logger()

VERSIONS_A_LOG = 1000
CARD_LASTS_MS = 90 * 86_400_000
"""Cards SHOULD last 90 days at most (protocol.md §2)."""
RENEW_BEFORE_MS = 30 * 86_400_000
"""A card that lasts 90 days is signed anew when this much is left: partners fetch it daily."""


class CardKeys(Protocol):
    """What of the key ring goes into a card."""

    def public_keys(self) -> list[dict[str, Any]]:
        """Return the members of the card's `keys`."""
        ...

    def root_signer(self) -> SigningPair | None:
        """Return the root pair, or None where it lives offline."""
        ...


@dataclass(frozen=True, slots=True)
class Self:
    """Who we are, as settings say it."""

    party: PartyId
    name: str
    country: str
    environment: str
    endpoint: str


class Identity:
    """Publishes our card."""

    def __init__(
        self, store: Store, keys: CardKeys, directory: Directory, catalogue: Catalogue, clock: Clock, *, me: Self,
        notes: Callable[[], Mapping[str, str]], roots: tuple[dict[str, str], dict[str, str]], ca_pem: str,
    ) -> None:  # fmt: skip
        """Take `notes`: it gives `origin`, and the `log` and `witness` vkeys in force now."""
        self._store = store
        self._keys = keys
        self._directory = directory
        self._catalogue = catalogue
        self._clock = clock
        self._me = me
        self._notes = notes
        self._roots = roots
        self._ca_pem = ca_pem

    def draft(self, version: int) -> CardDraft:
        """Return our card as it should read now, unsigned."""
        now, notes = self._clock(), self._notes()
        return CardDraft(
            party=self._me.party, name=self._me.name, country=self._me.country, environment=self._me.environment,
            version=version, issued_ms=now, expires_ms=now + CARD_LASTS_MS, endpoint=self._me.endpoint,
            keys=tuple(_card_key(member) for member in self._keys.public_keys()), log_origin=notes["origin"],
            log_vkey=notes["log"], witness_vkey=notes["witness"], tls_ca=self._ca_pem, roots=self._roots,
            schemas=self._catalogue.approved(),
        )  # fmt: skip

    async def publish(self) -> Card | None:
        """Sign and store a new version where the card in force no longer says the truth; return it or None.

        Where the root keys are offline the old card stays, and the log says what to do.
        """
        held = await self._store.write(lambda tx: tx.parties.newest_card(self._me.party))
        current = read_card(held.jws) if held is not None else None
        draft = self.draft(max(current.version + 1 if current else 1, self._least_version()))
        if current is not None and not self._stale(current, draft):
            return None
        root = self._keys.root_signer()
        if root is None:
            log.warning("card is out of date", fix="sign a new one where the root keys live: gateway card sign")
            return None
        card = sign_card(draft, root)
        await self.adopt(card)
        return card

    async def adopt(self, card: Card) -> None:
        """Put our own signed card in force. Raises ConfigurationError where it is not ours."""
        if card.party != self._me.party or [dict(r) for r in card.roots] != [dict(r) for r in self._roots]:
            detail = "this card is not signed by the roots of this home"
            raise ConfigurationError(detail)

        def work(tx: Transaction) -> None:
            now = self._clock()
            held = tx.parties.newest_card(card.party)
            if held is not None and held.version >= card.version:
                # Two cards of one version, or an older one, would be evidence against us at every partner.
                detail = f"version {held.version} is in force: a newer card has a higher version"
                raise Clash(detail)
            tx.parties.add_card(StoredCard(0, card.party, card.version, sha256(card.payload).digest(), card.raw, now))
            tx.log.append("card.published", actor=SYSTEM, obj=("card", str(card.version)), at=now,
                          event=sha256(card.payload).digest())  # fmt: skip

        await self._store.write(work)
        await self._directory.load()

    def _least_version(self) -> int:
        """Return what leaves room for the cards a lost database may have published: a version is signed once."""
        number = int(self._notes()["origin"].rpartition("/")[2])
        return (number - 1) * VERSIONS_A_LOG + 1

    def _stale(self, current: Card, draft: CardDraft) -> bool:
        if current.expires_ms - self._clock() < RENEW_BEFORE_MS:
            return True
        same = replace(draft, version=current.version, issued_ms=current.issued_ms, expires_ms=current.expires_ms)
        return any(
            getattr(same, name) != getattr(current, name)
            for name in (
                "name",
                "country",
                "environment",
                "endpoint",
                "keys",
                "log_vkey",
                "witness_vkey",
                "tls_ca",
            )
        ) or dict(same.schemas) != dict(current.schemas)


def _card_key(member: Mapping[str, Any]) -> CardKey:
    jwk = {name: value for name, value in member.items() if name not in {"nbf", "exp", "status", "revoked"}}
    revoked = member.get("revoked")
    return make_key(
        jwk, nbf_ms=parse_ms(member["nbf"]), exp_ms=parse_ms(member["exp"]), status=member["status"],
        revoked_ms=None if revoked is None else parse_ms(revoked),
    )  # fmt: skip
