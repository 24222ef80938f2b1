"""A party's own private CA: P-256 certificates for the exchange and for the API (protocol.md §5).

P-256 throughout: browsers refuse Ed25519 certificates, and the API's certificate comes from the same CA.
A party's identity is the SAN URI `urn:bcx:party:<party>`; only exchange certificates carry it, so that the
API's certificate, which many more machines see, can never stand for the party towards a partner.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Use = Literal["server", "client", "api"]

CA_DAYS: Final = 3652  # a new CA means a new card on the partner's side: once in ten years
EXCHANGE_DAYS: Final = 30  # protocol.md §5: SHOULD last ≤ 30 d; no revocation list is needed at that age
API_DAYS: Final = 397  # browsers refuse more than 398
RENEW_EXCHANGE_DAYS: Final = 10  # a gateway that was down for a long weekend still comes up with a valid one
RENEW_API_DAYS: Final = 30
_BACKDATE: Final = timedelta(minutes=5)  # the partner's clock may run behind ours

_USAGE: Final = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "api": ExtendedKeyUsageOID.SERVER_AUTH,
}


@dataclass(frozen=True, slots=True)
class Credential:
    """A private key with its certificate, both PEM."""

    key: bytes
    certificate: bytes


def make_ca(party: str, now_ms: int) -> Credential:
    """Make a CA that signs leaves and nothing else.

    The serial number in its name keeps two CAs of one party, or of two parties that chose one name, apart:
    OpenSSL looks issuers up by name.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"{party} exchange CA"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:040x}"),
        ]
    )
    start = _moment(now_ms) - _BACKDATE
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Credential(_key_pem(key), certificate.public_bytes(serialization.Encoding.PEM))


def issue(ca: Credential, use: Use, *, party: str, host: str | None, now_ms: int) -> Credential:
    """Issue a leaf with a fresh key; `host` is the name or IP it answers to, None for a client."""
    issuer_key = _ec_key(ca.key)
    issuer = x509.load_pem_x509_certificate(ca.certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    start = max(_moment(now_ms) - _BACKDATE, issuer.not_valid_before_utc)
    days = API_DAYS if use == "api" else EXCHANGE_DAYS
    names: list[x509.GeneralName] = []
    if use != "api":
        names.append(x509.UniformResourceIdentifier(f"urn:bcx:party:{party}"))
    if host is not None:
        names.append(_host_name(host))
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{party} {use}")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(min(start + timedelta(days=days), issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_USAGE[use]]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return Credential(_key_pem(key), certificate.public_bytes(serialization.Encoding.PEM))


def days_left(certificate: bytes, now_ms: int) -> float:
    """Days until a PEM certificate expires; negative when it has."""
    end = x509.load_pem_x509_certificate(certificate).not_valid_after_utc
    return (end - _moment(now_ms)) / timedelta(days=1)


def begun(certificate: bytes, now_ms: int) -> bool:
    """Tell whether a PEM certificate counts already: one made by a clock that ran ahead does not."""
    return x509.load_pem_x509_certificate(certificate).not_valid_before_utc <= _moment(now_ms)


def expires_ms(certificate: bytes) -> int:
    """Return when a certificate ends, in ms."""
    return int(x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp() * 1000)


def answers_to(certificate: bytes, host: str) -> bool:
    """Tell whether `host` (name or IP) stands in the certificate's SAN: false after the URL was changed."""
    names = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return _host_name(host) in names.value


def fault_of(credential: Credential, issuer: bytes) -> str | None:
    """Say what is wrong with a stored key and certificate: unreadable, no pair, of another CA; else None."""
    try:
        certificate = x509.load_pem_x509_certificate(credential.certificate)
        secret = _ec_key(credential.key).private_numbers().private_value
        # Derived anew: a damaged file may hold a scalar beside the point of another.
        if ec.derive_private_key(secret, ec.SECP256R1()).public_key() != certificate.public_key():
            return "key and certificate are not a pair"
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        return "cannot be read"
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(issuer))
    except (InvalidSignature, ValueError, TypeError):
        return "was issued by another CA"
    return None


def _moment(now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms // 1000, UTC)  # certificates count whole seconds


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host.lower())


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _ec_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not a P-256 key")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
