"""The frozen settings of one gateway: every section, field, unit and bound. `gateway.config` reads them.

Durations and sizes carry their unit in the name; every bound that protocol.md sets is checked here, so that
no configuration can make this gateway break the wire.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.protocol.ids import PartyId, parse_party

_MIB: Final = 1024 * 1024
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


class Address(NamedTuple):
    """Where a listener binds; port 0 lets the system choose."""

    host: str
    port: int


def parse_address(text: str) -> Address:
    """Read `HOST:PORT` or `[IPV6]:PORT`; ValueError otherwise."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = str(ipaddress.IPv6Address(host[1:-1]))
    elif ":" in host or not _HOST_NAME.fullmatch(host):
        colon = ""
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:8443")
    return Address(host, int(port))


def _listen(text: str) -> str:
    parse_address(text)
    return text


def _loopback(text: str) -> str:
    # Health and metrics are plain HTTP without a login: on any other interface they would be public.
    host = parse_address(text).host
    if host != "localhost" and not (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        raise ValueError("must be a loopback address, for example 127.0.0.1:8445")
    return text


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _https(text: str) -> str:
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        host, url = None, urlsplit("")
    if not host or not (_is_address(host) or _HOST_NAME.fullmatch(host)):
        raise ValueError("must be an https address with a host, for example https://gateway.example:8443")
    if _is_address(host) and ipaddress.ip_address(host).is_unspecified:
        raise ValueError("must name a host that others can reach, not every interface")
    if url.scheme != "https" or url.query or url.fragment or "@" in url.netloc:
        raise ValueError("must start with https:// and have no user, query or fragment")
    if text.endswith("/"):
        raise ValueError("must not end with a slash")
    return text


def _endpoint(text: str) -> str:
    if not urlsplit(_https(text)).path:
        raise ValueError("must include the path partners call, for example https://gateway.example:8443/bcx/v1")
    return text


def _origin(text: str) -> str:
    if urlsplit(_https(text)).path:
        raise ValueError("must not have a path: the API fixes its own paths")
    return text


def _storage(text: str) -> str:
    scheme = text.partition("://")[0]
    if scheme in {"postgresql", "postgres"}:
        raise ValueError("this release stores in SQLite only; use sqlite:///data/gateway.db")
    if not re.fullmatch(r"sqlite:///[^?#\0]+", text) or text.endswith("/"):
        raise ValueError("must be sqlite:///PATH, relative to the home, for example sqlite:///data/gateway.db")
    return text


def _stamps(text: str) -> str:
    # A token is signed and carries our nonce: plain HTTP, as most authorities have it, can only be cut.
    if not text:
        return text
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        host, url = None, urlsplit("")
    if not host or url.scheme not in {"http", "https"} or url.fragment or "@" in url.netloc:
        raise ValueError("must be empty, or the http or https address of a timestamp authority, without a user")
    return text


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be one line of printable text without outer spaces")
    return text


def _scanner(text: str) -> str:
    if text and not text.startswith("/"):
        try:
            parse_address(text)
        except ValueError:
            raise ValueError("must be the path of clamd's socket, or HOST:PORT, or empty for none") from None
    return text


Listen = Annotated[str, AfterValidator(_listen)]
Url = Annotated[str, AfterValidator(_origin)]


class Section(BaseModel):
    """A table of `gateway.toml`: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class PartySettings(Section):
    """Who this gateway speaks for; the card says the same, and none of it changes under the same roots."""

    id: Annotated[str, AfterValidator(parse_party)]
    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    environment: Literal["prod", "test"] = "prod"


class ExchangeSettings(Section):
    """The listener partner gateways call: mutual TLS 1.3. `url` is the card's `endpoint`, path included."""

    listen: Listen = "127.0.0.1:8443"
    url: Annotated[str, AfterValidator(_endpoint)] = "https://127.0.0.1:8443/bcx/v1"

    @property
    def address(self) -> Address:
        """Where to bind."""
        return parse_address(self.listen)

    @property
    def host(self) -> str:
        """Host name or IP that partners connect to: goes into the server certificate."""
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """The path prefix of every exchange route, without a trailing slash."""
        return urlsplit(self.url).path


class ApiSettings(Section):
    """The listener of our own clients: REST, registry, audit log. `url` has no path."""

    listen: Listen = "127.0.0.1:8444"
    url: Url = "https://127.0.0.1:8444"

    @property
    def address(self) -> Address:
        """Where to bind."""
        return parse_address(self.listen)

    @property
    def host(self) -> str:
        """Host name or IP in the API's certificate."""
        return urlsplit(self.url).hostname or ""


class OpsSettings(Section):
    """Health and metrics, plain HTTP on loopback, and the level of the log on stdout."""

    listen: Annotated[str, AfterValidator(_loopback)] = "127.0.0.1:8445"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def address(self) -> Address:
        """Where to bind."""
        return parse_address(self.listen)


class StorageSettings(Section):
    """Where messages, cases and the audit log are kept."""

    url: Annotated[str, AfterValidator(_storage)] = "sqlite:///data/gateway.db"
    wal_bytes: Annotated[int, Field(ge=32 * _MIB, le=64 * 1024 * _MIB)] = 512 * _MIB


class DeliverySettings(Section):
    """How messages leave; protocol.md §4.5 and §7 bound most of it."""

    linger_ms: Annotated[int, Field(ge=0, le=1000)] = 2
    request_timeout_s: Annotated[int, Field(ge=1, le=30)] = 30
    probe_every_s: Annotated[int, Field(ge=1, le=60)] = 60
    default_expiry_days: Annotated[int, Field(ge=1, le=30)] = 14
    envelope_events_max: Annotated[int, Field(ge=1, le=100)] = 100
    envelope_bytes_max: Annotated[int, Field(ge=11 * _MIB, le=16 * _MIB)] = 16 * _MIB
    drain_timeout_s: Annotated[int, Field(ge=1, le=30)] = 25


class LimitsSettings(Section):
    """What callers of our own API may ask of us; nothing in the gateway grows without a bound."""

    unanswered_messages: Annotated[int, Field(ge=1, le=10_000_000)] = 200_000
    api_body_bytes: Annotated[int, Field(ge=64 * 1024, le=64 * _MIB)] = 24 * _MIB
    attachment_bytes: Annotated[int, Field(ge=64 * 1024, le=1024 * _MIB)] = 100 * _MIB
    partner_upload_bytes: Annotated[int, Field(ge=64 * _MIB, le=1024 * 1024 * _MIB)] = 2048 * _MIB
    screening_processes: Annotated[int, Field(ge=1, le=16)] = 2
    virus_scanner: Annotated[str, AfterValidator(_scanner)] = ""
    api_connections: Annotated[int, Field(ge=8, le=16384)] = 512
    exchange_connections: Annotated[int, Field(ge=8, le=16384)] = 256
    address_connections: Annotated[int, Field(ge=4, le=16384)] = 256
    partner_connections: Annotated[int, Field(ge=4, le=16384)] = 64
    client_streams: Annotated[int, Field(ge=1, le=200)] = 32
    body_timeout_s: Annotated[int, Field(ge=10, le=3600)] = 60
    calls_per_s: Annotated[int, Field(ge=100, le=1_000_000)] = 20_000


class AuditSettings(Section):
    """When checkpoints are signed and stamped, and how long the log may stand without (protocol.md §6)."""

    checkpoint_every_s: Annotated[int, Field(ge=1, le=60)] = 1
    checkpoint_every_leaves: Annotated[int, Field(ge=1, le=65536)] = 256
    unwitnessed_alarm_s: Annotated[int, Field(ge=1)] = 3600
    unwitnessed_stop_s: Annotated[int, Field(ge=1)] = 86400
    timestamp_url: Annotated[str, AfterValidator(_stamps)] = ""
    timestamp_certificates: str = "tsa.pem"
    timestamp_every_s: Annotated[int, Field(ge=1)] = 86400
    untimestamped_alarm_s: Annotated[int, Field(ge=1)] = 93600
    untimestamped_stop_s: Annotated[int, Field(ge=1)] = 345600
    log_number: Annotated[int, Field(ge=1, le=1000)] = 1
    problems_kept_days: Annotated[int, Field(ge=1, le=36500)] = 400


class AccessSettings(Section):
    """How long credentials of our own people and clients last."""

    token_ttl_days: Annotated[int, Field(ge=1, le=3650)] = 365


class Settings(Section):
    """Everything an operator can set. Durations and sizes carry their unit in the name."""

    home: Path
    party: PartySettings
    exchange: ExchangeSettings = ExchangeSettings()
    api: ApiSettings = ApiSettings()
    ops: OpsSettings = OpsSettings()
    storage: StorageSettings = StorageSettings()
    delivery: DeliverySettings = DeliverySettings()
    limits: LimitsSettings = LimitsSettings()
    audit: AuditSettings = AuditSettings()
    access: AccessSettings = AccessSettings()

    @property
    def me(self) -> PartyId:
        """The party this gateway speaks for."""
        return PartyId(self.party.id)

    @property
    def database_path(self) -> Path:
        """The SQLite file of `storage.url`, absolute."""
        return self.home / self.storage.url.removeprefix("sqlite:///")

    @property
    def attachments_path(self) -> Path:
        """The folder of sealed attachments, on the volume of the database."""
        return self.database_path.parent / "attachments"

    @property
    def keys_path(self) -> Path:
        """The folder of the key ring."""
        return self.home / "keys"

    @property
    def agreement_path(self) -> Path:
        """The file that says who may send what."""
        return self.home / "agreement.toml"

    @property
    def timestamp_certificates_path(self) -> Path:
        """The PEM file of the timestamp authority."""
        return self.home / self.audit.timestamp_certificates

    @property
    def log_origin(self) -> str:
        """The checkpoint origin of this party's log (protocol.md §6)."""
        return self.log_origins[-1]

    @property
    def log_origins(self) -> list[str]:
        """Every origin this log has gone under, the first one first: earlier checkpoints name earlier ones."""
        return [f"{self.party.id}/bcx/log/{number}" for number in range(1, self.audit.log_number + 1)]

    def redacted(self) -> dict[str, Any]:
        """Return the settings for `config show`: JSON types, and no password that stands in a URL."""
        shown = self.model_dump(mode="json")
        shown["storage"]["url"] = _without_password(self.storage.url)
        return shown


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))
