"""Real TLS 1.3 connections on loopback: who gets in, who is told apart, and who is turned away."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.errors import ConfigurationError, MalformedCard, TransportError
from gateway.keyring.files import FileKeyRing, Hosts, create_keys, open_keys
from gateway.protocol.ids import PartyId
from gateway.transport.partner import HttpPartner
from gateway.transport.tls import (
    ExchangeTls,
    api_server_context,
    exchange_client_context,
    peer_party,
    read_cas,
    reload_api,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

ID, KH, VN = PartyId("id.imigrasi"), PartyId("kh.gdi"), PartyId("vn.bca")
HOSTS = Hosts("127.0.0.1", "127.0.0.1")
DAY = timedelta(days=1)


def now_ms() -> int:
    """Return the real time: OpenSSL knows no other."""
    return int(datetime.now(UTC).timestamp() * 1000)


# --- certificates of people who do not keep to the rules -------------------------------------------


@dataclass
class Authority:
    """A CA that signs whatever it is asked to."""

    key: Any
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """The certificate as a card carries it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def make_authority(name: str, key: Any = None, *, days: int = 10, ca: bool = True) -> Authority:
    """Make a self-signed CA valid from ten days ago for `days` from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .issuer_name(subject)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    return Authority(key, certificate)


@dataclass
class Leaf:
    """What to put into a certificate; the defaults are a valid client of id.imigrasi."""

    uris: tuple[str, ...] = ("urn:bcx:party:id.imigrasi",)
    usage: tuple[x509.ObjectIdentifier, ...] | None = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    key: Any = None
    start: timedelta = -DAY
    end: timedelta = DAY
    ca: bool | None = False

    def issue(self, authority: Authority) -> tuple[Any, x509.Certificate]:
        """Return key and certificate."""
        key = self.key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .issuer_name(authority.certificate.subject)
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + self.start)
            .not_valid_after(now + self.end)
        )
        if self.uris:
            names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in self.uris])
            builder = builder.add_extension(names, critical=False)
        if self.usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.usage), critical=False)
        if self.ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(ca=self.ca, path_length=None), critical=True)
        digest = None if isinstance(authority.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return key, builder.sign(authority.key, digest)

    def der(self, authority: Authority) -> bytes:
        """Return the certificate as a TLS stack gives it."""
        return self.issue(authority)[1].public_bytes(serialization.Encoding.DER)

    def write(self, authority: Authority, folder: Path) -> Files:
        """Write key and certificate, and use them for everything."""
        key, certificate = self.issue(authority)
        folder.mkdir()
        (folder / "c.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "c.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return Files(folder / "c.pem", folder / "c.key")


@dataclass
class Files:
    """One certificate for every part a gateway plays."""

    certificate: Path
    key: Path

    def __getattr__(self, name: str) -> Path:
        return self.key if name.endswith("_key") else self.certificate


# --- two gateways ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the keys of three parties; copied, never changed, by the tests."""
    folder = tmp_path_factory.mktemp("made")
    for party in (ID, KH, VN):
        create_keys(folder / party, party, HOSTS, now_ms=now_ms() - 60_000)
    return folder


@pytest.fixture
def rings(made: Path, tmp_path: Path) -> dict[PartyId, FileKeyRing]:
    """Return the key rings of three parties."""
    shutil.copytree(made, tmp_path / "parties")
    return {party: open_keys(tmp_path / "parties" / party, party) for party in (ID, KH, VN)}


@asynccontextmanager
async def serving(context: ssl.SSLContext, peer_of: Callable[[bytes | None], PartyId | None]) -> AsyncIterator[str]:
    """Serve one route that says who called, 403 for nobody, as the exchange does."""

    async def who(request: web.Request) -> web.Response:
        assert request.transport is not None
        connection = request.transport.get_extra_info("ssl_object")
        assert connection.version() == "TLSv1.3"
        party = peer_of(connection.getpeercert(binary_form=True))
        return web.Response(text=party) if party else web.Response(status=403)

    app = web.Application()
    app.router.add_get("/who", who)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}/who"
    finally:
        await runner.cleanup()


async def ask(url: str, context: ssl.SSLContext) -> tuple[int, str]:
    """Call once on a fresh connection; raises what aiohttp raises."""
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as reply:
        answer = reply.status, await reply.text()
    await asyncio.sleep(0)  # let the closed transport go before the loop does
    return answer


def exchange(ring: FileKeyRing, *partners: FileKeyRing) -> ExchangeTls:
    """Return the TLS side of one gateway with its partners' CAs pinned."""
    tls = ExchangeTls(ring.tls, now_ms)
    tls.pin({partner.party: [partner.ca_pem] for partner in partners})
    return tls


async def test_partners_meet_and_know_each_other(rings: dict[PartyId, FileKeyRing]) -> None:
    """Mutual TLS 1.3: the server learns the client's party from its certificate."""
    server = exchange(rings[KH], rings[ID], rings[VN])
    async with serving(server.server, server.peer_of) as url:
        for party in (ID, VN):
            client = exchange(rings[party], rings[KH])
            assert await ask(url, client.client(KH)) == (200, party)


async def test_no_certificate_fails_the_handshake(rings: dict[PartyId, FileKeyRing]) -> None:
    """Whoever shows nothing never reaches a handler."""
    server = exchange(rings[KH], rings[ID])
    bare = ssl.create_default_context(cafile=str(rings[KH].tls.ca_certificate))
    async with serving(server.server, server.peer_of) as url:
        with pytest.raises(aiohttp.ClientError):
            await ask(url, bare)


async def test_a_stranger_fails_the_handshake(rings: dict[PartyId, FileKeyRing]) -> None:
    """A certificate of a CA nobody pinned is no better than none, whatever name it claims."""
    server = exchange(rings[KH], rings[ID])
    async with serving(server.server, server.peer_of) as url:
        with pytest.raises(aiohttp.ClientError):
            await ask(url, exchange(rings[VN], rings[KH]).client(KH))


@pytest.mark.parametrize(
    "leaf",
    [
        Leaf(),
        Leaf(uris=("urn:bcx:party:vn.bca", "urn:bcx:party:id.imigrasi")),
        Leaf(uris=()),
        Leaf(uris=("urn:bcx:party:xx.nobody",)),
        Leaf(uris=("urn:bcx:party:vn.bca",), usage=None),
    ],
    ids=["another-partys-name", "two-names", "no-name", "unknown-name", "no-usage"],
)
async def test_a_pinned_partner_cannot_be_somebody_else(
    rings: dict[PartyId, FileKeyRing], tmp_path: Path, leaf: Leaf
) -> None:
    """OpenSSL trusts all pinned CAs alike and lets these in; `peer_of` names nobody, so they get 403."""
    rogue = make_authority("VN")
    server = exchange(rings[KH], rings[ID])
    server.pin({ID: [rings[ID].ca_pem], VN: [rogue.pem]})
    files = leaf.write(rogue, tmp_path / "rogue")
    async with serving(server.server, server.peer_of) as url:
        assert await ask(url, exchange_client_context(files, KH, [rings[KH].ca_pem], now_ms)) == (403, "")
        honest = Leaf(uris=("urn:bcx:party:vn.bca",)).write(rogue, tmp_path / "honest")
        assert await ask(url, exchange_client_context(honest, KH, [rings[KH].ca_pem], now_ms)) == (200, VN)


@pytest.mark.parametrize(
    "leaf",
    [
        Leaf(start=-3 * DAY, end=-2 * DAY),
        Leaf(start=2 * DAY, end=3 * DAY),
        Leaf(usage=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    ],
    ids=["expired", "not-yet-valid", "a-servers"],
)
async def test_an_unfit_certificate_fails_the_handshake(
    rings: dict[PartyId, FileKeyRing], tmp_path: Path, leaf: Leaf
) -> None:
    """Dates and EKU are checked by OpenSSL before any handler runs."""
    authority = make_authority("ID")
    server = exchange(rings[KH])
    server.pin({ID: [authority.pem]})
    files = leaf.write(authority, tmp_path / "unfit")
    async with serving(server.server, server.peer_of) as url:
        with pytest.raises(aiohttp.ClientError):
            await ask(url, exchange_client_context(files, KH, [rings[KH].ca_pem], now_ms))


async def test_tls_1_2_is_refused(rings: dict[PartyId, FileKeyRing]) -> None:
    """Both listeners and the client speak TLS 1.3 or nothing."""
    server = exchange(rings[KH], rings[ID])
    old = ssl.create_default_context(cafile=str(rings[KH].tls.ca_certificate))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    for context in (server.server, api_server_context(rings[KH].tls)):
        async with serving(context, server.peer_of) as url:
            with pytest.raises(aiohttp.ClientConnectorError):
                await ask(url, old)
    assert exchange(rings[ID], rings[KH]).client(KH).minimum_version is ssl.TLSVersion.TLSv1_3


async def test_a_partner_enrolled_while_serving_gets_in(rings: dict[PartyId, FileKeyRing]) -> None:
    """`pin` works on a listener that is up; a suspended partner is nobody from then on, and may come back."""
    server = exchange(rings[KH], rings[ID])
    client = exchange(rings[VN], rings[KH]).client(KH)
    async with serving(server.server, server.peer_of) as url:
        with pytest.raises(aiohttp.ClientError):
            await ask(url, client)
        server.pin({ID: [rings[ID].ca_pem], VN: [rings[VN].ca_pem]})
        assert await ask(url, client) == (200, VN)
        server.pin({ID: [rings[ID].ca_pem]})
        assert await ask(url, client) == (403, "")
        with pytest.raises(KeyError):
            server.client(VN)
        server.pin({VN: [rings[VN].ca_pem]})
        assert await ask(url, client) == (200, VN)


async def test_two_cas_count_while_one_replaces_the_other(rings: dict[PartyId, FileKeyRing], tmp_path: Path) -> None:
    """Both the CA that goes and the one that comes vouch for their own party, in one PEM or two."""
    old, new = make_authority("ID old"), make_authority("ID new")
    server = exchange(rings[KH])
    server.pin({ID: [old.pem + new.pem]})
    async with serving(server.server, server.peer_of) as url:
        for name, authority in (("old", old), ("new", new)):
            files = Leaf().write(authority, tmp_path / name)
            assert await ask(url, exchange_client_context(files, KH, [rings[KH].ca_pem], now_ms)) == (200, ID)


@pytest.mark.parametrize(
    "leaf",
    [
        Leaf(uris=("urn:bcx:party:id.imigrasi",), usage=(ExtendedKeyUsageOID.SERVER_AUTH,)),
        Leaf(uris=(), usage=(ExtendedKeyUsageOID.SERVER_AUTH,)),
        Leaf(uris=("urn:bcx:party:kh.gdi",), usage=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
        Leaf(uris=("urn:bcx:party:kh.gdi",), usage=None),
        Leaf(uris=("urn:bcx:party:kh.gdi",), usage=(ExtendedKeyUsageOID.SERVER_AUTH,), end=timedelta(0)),
    ],
    ids=["another-party", "no-name", "a-clients", "no-usage", "expired"],
)
async def test_a_wrong_server_hears_nothing(rings: dict[PartyId, FileKeyRing], tmp_path: Path, leaf: Leaf) -> None:
    """The client's handshake fails before a request is sent, even under the right CA."""
    authority = make_authority("KH")
    heard: list[bytes | None] = []

    def nobody(der: bytes | None) -> None:
        heard.append(der)

    files = leaf.write(authority, tmp_path / "server")
    impostor = ExchangeTls(files, now_ms)
    impostor.pin({ID: [rings[ID].ca_pem]})
    client = exchange_client_context(rings[ID].tls, KH, [authority.pem], now_ms)
    async with serving(impostor.server, nobody) as url:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(url, client)
    assert heard == []


async def told(url: str, party: PartyId, context: ssl.SSLContext) -> str:
    """Return what an operator reads of a failed exchange with the server at `url`."""
    async with HttpPartner(party, lambda: url.removesuffix("/who"), lambda: context, timeout_s=5) as link:
        with pytest.raises(TransportError) as failed:
            await link.get_card()
    await asyncio.sleep(0)  # let the closed transport go before the loop does
    return failed.value.detail


@pytest.mark.parametrize(
    ("leaf", "words"),
    [
        (Leaf(uris=("urn:bcx:party:kh.gdi",), usage=(ExtendedKeyUsageOID.SERVER_AUTH,), end=timedelta(0)),
         "has expired; compare both clocks"),
        (Leaf(uris=("urn:bcx:party:kh.gdi",), usage=(ExtendedKeyUsageOID.SERVER_AUTH,), start=timedelta(hours=2)),
         "is not valid yet; compare both clocks"),
        (Leaf(uris=("urn:bcx:party:vn.bca",), usage=(ExtendedKeyUsageOID.SERVER_AUTH,)), "not one of the partner's"),
    ],
    ids=["expired", "two-hours-ahead", "another-party"],
)  # fmt: skip
async def test_a_failed_handshake_says_whose_certificate_or_clock_it_is(
    rings: dict[PartyId, FileKeyRing], tmp_path: Path, leaf: Leaf, words: str
) -> None:
    """Expired, of a clock ahead, or of somebody else: each has another fix."""
    authority = make_authority("KH")
    server = ExchangeTls(leaf.write(authority, tmp_path / "server"), now_ms)
    server.pin({ID: [rings[ID].ca_pem]})
    context = exchange_client_context(rings[ID].tls, KH, [authority.pem], now_ms)
    async with serving(server.server, lambda _der: None) as url:
        assert words in await told(url, KH, context)


async def test_another_partners_server_is_not_this_partner(rings: dict[PartyId, FileKeyRing]) -> None:
    """A client trusts one partner's CA only: a redirected address ends in a failed handshake."""
    other = exchange(rings[VN], rings[ID])
    client = exchange(rings[ID], rings[KH], rings[VN])
    async with serving(other.server, other.peer_of) as url:
        assert await ask(url, client.client(VN)) == (200, ID)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(url, client.client(KH))


async def test_renewed_certificates_are_shown_at_once(rings: dict[PartyId, FileKeyRing]) -> None:
    """After `reload` new handshakes carry the new certificates, on a listener that stayed up."""
    server, client = exchange(rings[KH], rings[ID]), exchange(rings[ID], rings[KH])
    seen: list[bytes | None] = []

    def remember(der: bytes | None) -> PartyId | None:
        seen.append(der)
        return server.peer_of(der)

    async with serving(server.server, remember) as url:
        for _ in range(2):
            assert await ask(url, client.client(KH)) == (200, ID)
            host, port = url.split("/")[2].split(":")
            _, writer = await asyncio.open_connection(host, int(port), ssl=client.client(KH))
            seen.append(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
            writer.close()
            await writer.wait_closed()
            for ring in (rings[ID], rings[KH]):
                ring.renew_tls(now_ms(), HOSTS, force=True)
            client.reload()
            server.reload()
    assert len({der for der in seen if der}) == 4, "two certificates of each side"


async def test_the_api_shows_its_certificate_to_anybody(rings: dict[PartyId, FileKeyRing]) -> None:
    """Clients need `keys/ca.pem` and no certificate; the host is checked as browsers do."""
    ring = rings[ID]
    context = api_server_context(ring.tls)
    client = ssl.create_default_context(cafile=str(ring.tls.ca_certificate))

    def nobody(der: bytes | None) -> PartyId | None:
        return ID if der is None else None

    async with serving(context, nobody) as url:
        assert await ask(url, client) == (200, ID)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(url.replace("127.0.0.1", "localhost"), client)
        ring.renew_tls(now_ms(), Hosts("127.0.0.1", "localhost"))
        reload_api(context, ring.tls)
        assert await ask(url.replace("127.0.0.1", "localhost"), client) == (200, ID)


def test_a_damaged_certificate_is_named_with_its_fix(rings: dict[PartyId, FileKeyRing]) -> None:
    """A listener that cannot show its certificate does not start."""
    rings[ID].tls.server_key.write_text("nothing")
    with pytest.raises(ConfigurationError, match=r"exchange-server\.pem: .*keys rotate --use tls"):
        ExchangeTls(rings[ID].tls, now_ms)


# --- peer_party alone -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leaf", "party"),
    [
        (Leaf(), ID),
        (Leaf(key=ed25519.Ed25519PrivateKey.generate()), ID),
        (Leaf(uris=("urn:bcx:party:id.imigrasi", "https://other.example")), ID),
        (Leaf(ca=None), ID),
        (Leaf(usage=(ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)), ID),
        (Leaf(key=rsa.generate_private_key(65537, 2048)), None),
        (Leaf(key=ec.generate_private_key(ec.SECP384R1())), None),
        (Leaf(ca=True), None),
        (Leaf(usage=(ExtendedKeyUsageOID.SERVER_AUTH,)), None),
        (Leaf(usage=None), None),
        (Leaf(usage=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)), None),
        (Leaf(uris=()), None),
        (Leaf(uris=("urn:bcx:party:ID.IMIGRASI",)), None),
        (Leaf(uris=("URN:bcx:party:id.imigrasi",)), None),
        (Leaf(uris=("urn:bcx:party:kh.gdi",)), None),
        (Leaf(uris=("urn:bcx:party:id.imigrasi", "urn:bcx:party:id.imigrasi")), None),
        (Leaf(start=-3 * DAY, end=-DAY), None),
        (Leaf(start=DAY, end=3 * DAY), None),
    ],
)
def test_a_leaf_stands_for_its_party_or_nobody(leaf: Leaf, party: PartyId | None) -> None:
    """One SAN URI, its own CA, the right use, P-256 or Ed25519, valid now."""
    authority, other = make_authority("ID"), make_authority("KH")
    pinned = {ID: [authority.pem], KH: [other.pem]}
    assert peer_party(leaf.der(authority), pinned, role="client", now_ms=now_ms()) == party
    assert peer_party(leaf.der(other), pinned, role="client", now_ms=now_ms()) != ID


def test_a_namesake_ca_vouches_for_nobody() -> None:
    """The signature counts, not the issuer's name."""
    real, namesake = make_authority("ID"), make_authority("ID")
    der = Leaf().der(namesake)
    assert peer_party(der, {ID: [real.pem]}, role="client", now_ms=now_ms()) is None
    assert peer_party(der, {ID: [real.pem, namesake.pem]}, role="client", now_ms=now_ms()) == ID


@pytest.mark.parametrize("issuer", [make_authority("ID", days=-1), make_authority("ID", ca=False)])
def test_an_unfit_ca_vouches_for_nobody(issuer: Authority) -> None:
    """A pinned CA that expired, or that is none, counts no more."""
    assert peer_party(Leaf().der(issuer), {ID: [issuer.pem]}, role="client", now_ms=now_ms()) is None


@pytest.mark.parametrize("der", [None, b"", b"0", b"\x30\x82\xff\xff", bytes(300)])
def test_rubbish_stands_for_nobody(der: bytes | None) -> None:
    """Whatever is no certificate is answered like a stranger's."""
    assert peer_party(der, {ID: [make_authority("ID").pem]}, role="client", now_ms=now_ms()) is None


# A flipped sign of the serial number makes the library warn before the signature is looked at.
@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_no_flipped_bit_of_a_certificate_stands_for_anybody() -> None:
    """The CA's signature covers all a leaf says; a damaged one is nobody's and never raises."""
    authority = make_authority("ID")
    good, now = Leaf().der(authority), now_ms()
    signed = len(x509.load_der_x509_certificate(good).tbs_certificate_bytes) + 4  # after the outer header
    passed: list[int] = []
    for position in range(len(good) * 8):
        der = bytearray(good)
        der[position // 8] ^= 1 << position % 8
        if peer_party(bytes(der), {ID: [authority.pem]}, role="client", now_ms=now) is not None:
            passed.append(position // 8)
    # Beyond the signed part only the count of unused bits of the signature has more than one spelling.
    assert [position for position in passed if position < signed] == []
    assert peer_party(good, {ID: [authority.pem]}, role="client", now_ms=now) == ID


def test_nobody_is_known_where_nobody_is_pinned() -> None:
    """Closed when empty."""
    assert peer_party(Leaf().der(make_authority("ID")), {}, role="client", now_ms=now_ms()) is None


# --- a card's CAs ---------------------------------------------------------------------------------


def test_one_or_two_cas_are_read() -> None:
    """P-256 or Ed25519."""
    first = make_authority("a")
    second = make_authority("b", ed25519.Ed25519PrivateKey.generate())
    assert len(read_cas(first.pem)) == 1
    assert len(read_cas(first.pem + second.pem, others=[make_authority("c").pem])) == 2


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        ("", "cannot be read"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        ("é", "cannot be read"),
        (make_authority("a", ca=False).pem, "not a CA"),
        (make_authority("a", rsa.generate_private_key(65537, 2048)).pem, "cannot be read"),
        ("".join(make_authority(name).pem for name in "abc"), "or two while it changes"),
        (make_authority("Taken").pem, "same name as another party's"),
    ],
)
def test_a_cards_ca_is_checked_at_enrolment(pem: str, reason: str) -> None:
    """What cannot serve as a pin never reaches OpenSSL; a borrowed name could lock others out."""
    with pytest.raises(MalformedCard, match=reason):
        read_cas(pem, others=[make_authority("Taken").pem])
