"""Mutual TLS 1.3 between gateways, and TLS 1.3 for our own clients (protocol.md §5).

Who a peer is follows from one rule: its leaf was issued directly by a CA pinned for the party that its one
SAN URI names. OpenSSL alone cannot say that: it trusts all pinned CAs alike, so that one partner's CA could
vouch for another partner's name. `peer_party` therefore judges the leaf again, against that party's CAs only.

A client refuses a wrong server inside the handshake, before a byte of a request leaves. A server answers a
wrong client with 403: in TLS 1.3 the client has finished its handshake before we see its certificate.
"""

from __future__ import annotations

import ssl
from asyncio import sslproto
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.errors import ConfigurationError, MalformedCard
from gateway.protocol.ids import PARTY_URN, PartyId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

Role = Literal["server", "client"]
# Four of the largest records (RFC 8446 §5.1).
TLS_BUFFER_BYTES: Final = 64 * 1024
MAX_CAS: Final = 2  # protocol.md §2: PEM in the card, two while it changes

# All that reading a hostile certificate may raise: several of these share no base class.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_USAGE: Final = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


class TlsFiles(Protocol):
    """The PEM files a context loads; the key ring's `TlsPaths` has them."""

    @property
    def server_certificate(self) -> Path:
        """What we show as the exchange server."""

    @property
    def server_key(self) -> Path:
        """Its private key."""

    @property
    def client_certificate(self) -> Path:
        """What we show to a partner's server."""

    @property
    def client_key(self) -> Path:
        """Its private key."""

    @property
    def api_certificate(self) -> Path:
        """What the API shows."""

    @property
    def api_key(self) -> Path:
        """Its private key."""


# --- who is it ------------------------------------------------------------------------------------


def read_cas(pem: str, *, others: Sequence[str] = ()) -> tuple[x509.Certificate, ...]:
    """Read a card's `tls.ca`: one CA certificate, two while it changes. Raises MalformedCard.

    `others` are the CAs pinned for every other party, our own included. A name they use already is refused:
    OpenSSL looks an issuer up by name, so a CA that borrows a third party's name could lock that party out.
    """
    try:
        found = tuple(x509.load_pem_x509_certificates(pem.encode("ascii")))
        if not 1 <= len(found) <= MAX_CAS:
            raise MalformedCard("tls.ca must hold one certificate, or two while it changes")
        for certificate in found:
            _key_type(certificate)
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            if not constraints.value.ca:
                raise MalformedCard("tls.ca is not a CA certificate")
    except _UNREADABLE:
        raise MalformedCard("tls.ca cannot be read as CA certificates in PEM") from None
    taken = {
        certificate.subject.public_bytes()
        for other in others
        for certificate in x509.load_pem_x509_certificates(other.encode("ascii"))
    }
    if any(certificate.subject.public_bytes() in taken for certificate in found):
        raise MalformedCard("tls.ca has the same name as another party's CA")
    return found


def peer_party(
    der: bytes | None, pinned: Mapping[PartyId, Sequence[str]], *, role: Role, now_ms: int
) -> PartyId | None:
    """Tell which pinned party a leaf certificate stands for; None for nobody, whatever the reason.

    `der` is the peer's leaf as the TLS stack gives it, `pinned` the CA PEM texts of each party's card, `role`
    what the peer is in this connection: a server certificate must not open our door as a client.
    """
    if der is None:
        return None
    try:
        leaf = x509.load_der_x509_certificate(der)
        party = _named_party(leaf)
        fit = _fit(leaf, role, now_ms)
    except _UNREADABLE:
        return None
    if party is None or party not in pinned or not fit:
        return None
    issuers = [ca for pem in pinned[party] for ca in x509.load_pem_x509_certificates(pem.encode("ascii"))]
    return party if any(_issued_by(leaf, issuer, now_ms) for issuer in issuers) else None


def _named_party(leaf: x509.Certificate) -> PartyId | None:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    urns = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith(PARTY_URN)]
    # Two names would let one certificate be whichever party is asked for.
    return PartyId(urns[0].removeprefix(PARTY_URN)) if len(urns) == 1 else None


def _fit(leaf: x509.Certificate, role: Role, now_ms: int) -> bool:
    _key_type(leaf)
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return _USAGE[role] in usage and _valid(leaf, now_ms) and not _is_ca(leaf)


def _issued_by(leaf: x509.Certificate, issuer: x509.Certificate, now_ms: int) -> bool:
    try:
        leaf.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return _valid(issuer, now_ms) and _is_ca(issuer)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _valid(certificate: x509.Certificate, now_ms: int) -> bool:
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def _key_type(certificate: x509.Certificate) -> None:
    """Refuse, with TypeError, what the profile does not know: only Ed25519 and P-256 (protocol.md §5)."""
    key = certificate.public_key()
    p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    if not p256 and not isinstance(key, ed25519.Ed25519PublicKey):
        raise TypeError("neither Ed25519 nor P-256")


# --- contexts -------------------------------------------------------------------------------------


class ExchangeTls:
    """The TLS side of the exchange: one server context, one client context a partner.

    `clock` gives milliseconds. Partners may come and go while we serve: `pin` after each enrolment, card or
    suspension; `reload` after the key ring renewed certificates. New handshakes follow at once.
    """

    def __init__(self, files: TlsFiles, clock: Callable[[], int]) -> None:
        self._files = files
        self._clock = clock
        self._pinned: dict[PartyId, tuple[str, ...]] = {}
        self._clients: dict[PartyId, ssl.SSLContext] = {}
        self.server = exchange_server_context(files, ())

    def pin(self, pinned: Mapping[PartyId, Sequence[str]]) -> None:
        """Take these CAs, and only these, as the partners'.

        OpenSSL cannot forget a CA of a context in use; whoever is no longer here finishes a handshake, and
        `peer_of` names nobody.
        """
        fresh = {party: tuple(pems) for party, pems in pinned.items()}
        for party, pems in fresh.items():
            if self._pinned.get(party) != pems:
                self._clients.pop(party, None)
                for pem in pems:
                    self.server.load_verify_locations(cadata=pem)
        for gone in self._pinned.keys() - fresh.keys():
            self._clients.pop(gone, None)
        self._pinned = fresh

    def client(self, party: PartyId) -> ssl.SSLContext:
        """Return the context for connections to `party`, which must be pinned (KeyError)."""
        if party not in self._clients:
            self._clients[party] = exchange_client_context(self._files, party, self._pinned[party], self._clock)
        return self._clients[party]

    def peer_of(self, der: bytes | None) -> PartyId | None:
        """Tell which partner a client certificate stands for; None: answer 403."""
        return peer_party(der, self._pinned, role="client", now_ms=self._clock())

    def reload(self) -> None:
        """Load our certificates again."""
        _load(self.server, self._files.server_certificate, self._files.server_key)
        for context in self._clients.values():
            _load(context, self._files.client_certificate, self._files.client_key)


def exchange_server_context(files: TlsFiles, cas: Sequence[str]) -> ssl.SSLContext:
    """Return the context of the exchange listener: TLS 1.3 only, a certificate of a pinned CA required."""
    context = _server_context(files.server_certificate, files.server_key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the pinned certificate is the anchor
    for pem in cas:
        context.load_verify_locations(cadata=pem)
    return context


def exchange_client_context(
    files: TlsFiles, party: PartyId, cas: Sequence[str], clock: Callable[[], int]
) -> ssl.SSLContext:
    """Return the context for connections to one partner: TLS 1.3, that partner's CAs and no others.

    The host name is not compared: identity is the party in the SAN URI under its pinned CA "and nothing
    else" (protocol.md §5), so a partner may move its endpoint without a new certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for pem in cas:
        context.load_verify_locations(cadata=pem)
    _load(context, files.client_certificate, files.client_key)
    pinned = {party: tuple(cas)}

    def expected(der: bytes | None) -> bool:
        return peer_party(der, pinned, role="server", now_ms=clock()) == party

    # The documented hook for another SSLObject class: asyncio and aiohttp build their connections through it.
    context.sslobject_class = _connection_to(expected)
    return context


def api_server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the context of the API listener: TLS 1.3, clients show tokens and no certificate."""
    return _server_context(files.api_certificate, files.api_key)


def reload_api(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Load the API's certificate again after it was renewed."""
    _load(context, files.api_certificate, files.api_key)


def _connection_to(expected: Callable[[bytes | None], bool]) -> type[ssl.SSLObject]:
    """Return a connection class whose handshake fails unless the server's leaf is the `expected` one."""

    class PartnerConnection(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            if not expected(self.getpeercert(binary_form=True)):
                raise ssl.SSLCertVerificationError(1, "the server is not the partner this address belongs to")

    return PartnerConnection


def bound_buffers() -> None:
    """Have each TLS connection keep 64 KiB to read into, where asyncio takes 256: clients by the dozen are usual."""
    sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES


def _server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    _load(context, certificate, key)
    # A resumed session would carry a peer's certificate past its expiry and past a CA we no longer pin.
    context.num_tickets = 0
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            f"{certificate}: cannot be loaded with its key; run `gateway keys rotate --use tls`"
        ) from None
