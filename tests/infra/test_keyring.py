"""The key ring: made once, read back, rotated, revoked; damaged files are named with their fix."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.errors import Clash, ConfigurationError, NotFound
from gateway.keyring import authority, disk
from gateway.keyring.files import FileKeyRing, Hosts, create_keys, open_keys
from gateway.keyring.records import DAY_MS, plan
from gateway.protocol.ids import Kid, PartyId

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = 1_795_485_605_000
ID = PartyId("id.imigrasi")
HOSTS = Hosts("gw.imigrasi.example", "127.0.0.1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a key folder made at NOW; copied, never changed, by the tests."""
    folder = tmp_path_factory.mktemp("ring") / "keys"
    create_keys(folder, ID, HOSTS, now_ms=NOW)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """Return a copy of the key folder."""
    shutil.copytree(made, tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def ring(folder: Path) -> FileKeyRing:
    """Return the opened ring."""
    return open_keys(folder, ID)


def statuses(ring: FileKeyRing) -> dict[str, str]:
    """Return the status of each key by name."""
    return {record.name: record.status for record in ring.records()}


def active_kid(ring: FileKeyRing, use: str) -> Kid:
    """Return the first kid of the active key of a use."""
    return next(r for r in ring.records() if r.use == use and r.status == "active").kids[0]


def leaf(path: Path) -> x509.Certificate:
    """Return a stored certificate."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_everything_is_private_on_disk(made: Path) -> None:
    """Folder 0700, every file 0600, whatever the umask."""
    assert made.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in made.iterdir()}
    assert set(modes.values()) == {0o600}
    assert {"root.ed25519", "root.mldsa65", "sig-1.ed25519", "enc-1.xwing", "kek", "ca.pem"} <= set(modes)


def test_what_was_made_is_what_is_read(made: Path, tmp_path: Path) -> None:
    """Seeds come from `entropy` in order, and the reopened ring holds the same keys."""
    drawn: list[bytes] = []

    def entropy(length: int) -> bytes:
        drawn.append(bytes([len(drawn) + 1]) * length)
        return drawn[-1]

    new = create_keys(tmp_path / "keys", ID, HOSTS, now_ms=NOW, entropy=entropy)
    again = open_keys(tmp_path / "keys", ID)
    assert new.signer(NOW).kids == again.signer(NOW).kids
    assert new.public_keys() == again.public_keys()
    assert again.kek == drawn[2]
    root = again.root_signer()
    assert root is not None
    assert root.public_jwks() == again.roots
    assert again.log_key().private_bytes_raw() != again.witness_key().private_bytes_raw()
    assert open_keys(made, ID).kek != again.kek


def test_card_members_are_those_of_the_protocol(ring: FileKeyRing) -> None:
    """protocol.md §2: each key with JWK, kid, alg, use, nbf, exp, status; log and witness keys stay out."""
    keys = ring.public_keys()
    assert [(key["alg"], key["use"], key["status"]) for key in keys] == [
        ("Ed25519", "sig", "active"),
        ("ML-DSA-65", "sig", "active"),
        ("HPKE-9-KE", "enc", "active"),
    ]
    assert set(keys[0]) == {"kty", "crv", "x", "alg", "use", "kid", "nbf", "exp", "status"}
    assert set(keys[2]) == {"kty", "pub", "alg", "use", "kid", "nbf", "exp", "status"}
    assert keys[0]["nbf"] == "2026-11-24T02:00:05.000Z"
    assert tuple(key["kid"] for key in keys[:2]) == ring.signer(NOW).kids
    opener = ring.open_key(keys[2]["kid"])
    assert opener is not None
    assert opener.kid == keys[2]["kid"]
    assert ring.open_key(keys[0]["kid"]) is None


def test_root_keys_may_live_offline(folder: Path) -> None:
    """Without the root seeds the ring opens, knows the public roots and signs no card."""
    roots = open_keys(folder, ID).roots
    for name in ("root.ed25519", "root.mldsa65"):
        (folder / name).unlink()
    ring = open_keys(folder, ID)
    assert ring.root_signer() is None
    assert ring.roots == roots
    assert len(ring.roots) == 2


def remove(path: Path) -> None:
    """Lose a file."""
    path.unlink()


def truncate(path: Path) -> None:
    """Cut a file short."""
    path.write_bytes(path.read_bytes()[:-2])


def flip(path: Path) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def loosen(path: Path) -> None:
    """Let the group read it."""
    path.chmod(0o640)


@pytest.mark.parametrize("name", ["root.mldsa65", "sig-1.ed25519", "sig-1.mldsa65", "enc-1.xwing", "log-1.ed25519"])
@pytest.mark.parametrize(
    ("harm", "fix"),
    [
        (remove, "missing; restore it from the backup"),
        (truncate, "damaged; restore it from the backup"),
        (flip, "damaged; restore it from the backup"),
        (loosen, "readable by others; run `chmod 600"),
    ],
)
def test_a_harmed_seed_is_named(folder: Path, name: str, harm: Callable[[Path], None], fix: str) -> None:
    """The ring does not open, and the operator learns which file and what to do."""
    harm(folder / name)
    with pytest.raises(ConfigurationError) as refused:
        open_keys(folder, ID)
    assert refused.value.detail.startswith(f"{folder / name}: {fix}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"v": 1', '"v": 2'),
        ('"status": "active"', '"status": "activ"'),
        ('"use": "log"', '"use": "lag"'),
        ('"kty": "OKP"', '"kty": "RSA"'),
        ("{", "["),
        ("2026-11-24T02:00:05.000Z", "2026-11-24"),
        ('"roots"', '"root"'),
        ('"nbf": "2026-11-24T02:00:05.000Z"', '"nbf": "2026-11-25T02:00:05.000Z"'),
    ],
)
def test_a_damaged_list_of_keys_is_named(folder: Path, old: str, new: str) -> None:
    """keys.json is read strictly."""
    path = folder / "keys.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigurationError, match=r"keys\.json: damaged"):
        open_keys(folder, ID)


def test_a_swapped_seed_is_found(folder: Path) -> None:
    """A whole seed in the wrong file is damage too: it belongs to another public key."""
    shutil.copy(folder / "witness-1.ed25519", folder / "log-1.ed25519")
    with pytest.raises(ConfigurationError, match=r"log-1\.ed25519: damaged"):
        open_keys(folder, ID)


def test_keys_of_another_party_are_refused(folder: Path) -> None:
    """A key folder copied from elsewhere does not make us somebody else."""
    with pytest.raises(ConfigurationError, match="another party"):
        open_keys(folder, PartyId("kh.gdi"))


def test_an_open_folder_is_refused(folder: Path) -> None:
    """Others who may enter the folder could replace files in it."""
    folder.chmod(0o755)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        open_keys(folder, ID)
    with pytest.raises(ConfigurationError, match="gateway init"):
        open_keys(folder / "nowhere", ID)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """Replacement is all or nothing: a value that cannot be written leaves what was there."""
    path = tmp_path / "x"
    disk.write_private(path, b"old")
    with pytest.raises(TypeError):
        disk.write_private(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


# --- rotation and revocation ----------------------------------------------------------------------


@pytest.mark.parametrize("use", ["sig", "enc"])
def test_rotation_announces_switches_and_erases(ring: FileKeyRing, folder: Path, use: str) -> None:
    """Waits as next for 7 days, then active; the old one retires and at last its seeds are gone."""
    assert not ring.advance(NOW)
    old = active_kid(ring, use)
    fresh = ring.rotate(use, NOW, os.urandom)  # type: ignore[arg-type]
    assert statuses(ring)[f"{use}-2"] == "next"
    with pytest.raises(Clash, match="already waits"):
        ring.rotate(use, NOW, os.urandom)  # type: ignore[arg-type]
    assert len(list(folder.glob(f"{use}-*"))) == len(list(folder.glob(f"{use}-[12].*")))
    assert not ring.advance(NOW + 7 * DAY_MS - 1)
    assert ring.advance(NOW + 7 * DAY_MS)
    assert statuses(ring)[f"{use}-1"] == "retiring"
    assert active_kid(ring, use) == fresh.kids[0] != old
    days = {"sig": 7, "enc": 37}[use]
    assert not ring.advance(NOW + (7 + days) * DAY_MS - 1)
    assert (folder / f"{use}-1.{'xwing' if use == 'enc' else 'mldsa65'}").exists()
    assert ring.advance(NOW + (7 + days) * DAY_MS)
    assert list(folder.glob(f"{use}-1.*")) == []
    assert statuses(open_keys(folder, ID)) == statuses(ring)


def test_a_clock_behind_the_keys_is_what_is_mended(ring: FileKeyRing) -> None:
    """A new home on a machine two hours slow: another rotation would not help, and is not advised."""
    with pytest.raises(ConfigurationError, match="set the clock") as behind:
        ring.signer(NOW - 2 * 3_600_000)
    assert "rotate" not in behind.value.detail
    with pytest.raises(ConfigurationError, match="keys rotate --use sig"):
        ring.signer(NOW + 400 * DAY_MS)


def test_signing_moves_when_partners_know_the_key(ring: FileKeyRing) -> None:
    """For two days after the switch the retiring pair signs, so that daily fetched cards can catch up."""
    first = ring.signer(NOW).kids
    fresh = ring.rotate("sig", NOW, os.urandom)
    switch = NOW + 7 * DAY_MS
    ring.advance(switch)
    assert ring.signer(switch).kids == first
    assert ring.signer(switch + 2 * DAY_MS - 1).kids == first
    assert ring.signer(switch + 2 * DAY_MS).kids == fresh.kids


def test_a_retiring_encryption_key_still_opens(ring: FileKeyRing) -> None:
    """What was sealed to it before the switch can be read until it is erased."""
    old = active_kid(ring, "enc")
    ring.rotate("enc", NOW, os.urandom)
    ring.advance(NOW + 7 * DAY_MS)
    assert ring.open_key(old) is not None
    ring.advance(NOW + 44 * DAY_MS)
    assert ring.open_key(old) is None


def test_a_new_log_key_signs_beside_the_old(ring: FileKeyRing) -> None:
    """Checkpoints carry both lines for a while: partners with yesterday's card still verify them."""
    old = ring.log_key().private_bytes_raw()
    ring.rotate("log", NOW, os.urandom)
    keys = [key.private_bytes_raw() for key in ring.log_keys()]
    assert keys == [ring.log_key().private_bytes_raw(), old]
    assert keys[0] != old
    ring.advance(NOW + 30 * DAY_MS)
    assert len(ring.log_keys()) == 1


def test_an_expired_key_is_replaced_at_once(ring: FileKeyRing) -> None:
    """When nothing valid is left, waiting would only lengthen the outage."""
    late = NOW + 365 * DAY_MS
    with pytest.raises(ConfigurationError, match="keys rotate --use sig"):
        ring.signer(late)
    assert any("no valid sig key" in warning for warning in ring.warnings(late))
    ring.rotate("sig", late, os.urandom)
    assert ring.signer(late).kids[0] == active_kid(ring, "sig")


def test_keys_warn_before_they_expire(ring: FileKeyRing) -> None:
    """A month ahead, until a next key waits."""
    assert ring.warnings(NOW + 334 * DAY_MS) == []
    soon = NOW + 340 * DAY_MS
    assert any(warning.startswith("the enc key expires in 25 days") for warning in ring.warnings(soon))
    ring.rotate("enc", soon, os.urandom)
    assert not any("enc" in warning for warning in ring.warnings(soon))


def test_revoking_half_a_pair_revokes_both_and_replaces_them(ring: FileKeyRing, folder: Path) -> None:
    """The ML-DSA half alone is worth nothing; a fresh pair signs at once."""
    old = ring.signer(NOW).kids
    assert ring.revoke(old[1], NOW + 5, os.urandom) == old
    assert not set(ring.signer(NOW + 5).kids) & set(old)
    revoked = [key for key in ring.public_keys() if key["status"] == "revoked"]
    assert [key["kid"] for key in revoked] == list(old)
    assert revoked[0]["revoked"] == "2026-11-24T02:00:05.005Z"
    assert list(folder.glob("sig-1.*")) == []
    assert statuses(open_keys(folder, ID)) == {
        "sig-1": "revoked",
        "sig-2": "active",
        "enc-1": "active",
        "log-1": "active",
        "witness-1": "active",
    }
    with pytest.raises(Clash, match="revoked already"):
        ring.revoke(old[0], NOW + 6, os.urandom)


def test_a_waiting_key_takes_the_place_of_a_revoked_one(ring: FileKeyRing) -> None:
    """What partners know already as next becomes active at once."""
    fresh = ring.rotate("enc", NOW, os.urandom)
    old = active_kid(ring, "enc")
    ring.revoke(old, NOW + DAY_MS, os.urandom)
    assert active_kid(ring, "enc") == fresh.kids[0]
    assert ring.open_key(old) is None


def test_unknown_and_root_keys_cannot_be_revoked(ring: FileKeyRing) -> None:
    """An unknown kid is not found; roots need a new enrolment."""
    with pytest.raises(NotFound, match="keys list"):
        ring.revoke("x" * 43, NOW, os.urandom)
    root = ring.root_signer()
    assert root is not None
    with pytest.raises(Clash, match="enrol anew"):
        ring.revoke(root.kids[0], NOW, os.urandom)


def test_names_of_erased_keys_are_not_used_again(ring: FileKeyRing) -> None:
    """A number counts up even when the newest record is revoked."""
    ring.revoke(active_kid(ring, "enc"), NOW, os.urandom)
    ring.revoke(active_kid(ring, "enc"), NOW, os.urandom)
    assert statuses(ring)["enc-3"] == "active"


def test_the_plan_tells_what_will_happen(ring: FileKeyRing) -> None:
    """`keys rotate --plan` names each step with its time and changes nothing."""
    before = ring.records()
    steps = plan(ring.records(), "sig", NOW)
    assert [step.partition(": ")[0] for step in steps] == [
        "2026-11-24T02:00:05.000Z",
        "2026-12-01T02:00:05.000Z",
        "2026-12-03T02:00:05.000Z",
        "2026-12-08T02:00:05.000Z",
    ]
    assert "sig-1 is erased" in steps[-1]
    assert "active at once" in plan(ring.records(), "log", NOW)[0]
    assert "same CA" in plan(ring.records(), "tls", NOW)[0]
    assert ring.records() == before
    ring.rotate("sig", NOW, os.urandom)
    assert "sig-2 waits already" in plan(ring.records(), "sig", NOW)[0]


# --- certificates ---------------------------------------------------------------------------------


def test_certificates_say_what_the_protocol_asks(ring: FileKeyRing) -> None:
    """protocol.md §5: EKU accordingly, SAN URI, ≤ 30 d; the API's has its host, ≤ 398 d and no party."""
    tls = ring.tls
    expected = {
        tls.server_certificate: (
            ExtendedKeyUsageOID.SERVER_AUTH,
            ["urn:bcx:party:id.imigrasi"],
            ["gw.imigrasi.example"],
            30,
        ),
        tls.client_certificate: (ExtendedKeyUsageOID.CLIENT_AUTH, ["urn:bcx:party:id.imigrasi"], [], 30),
        tls.api_certificate: (ExtendedKeyUsageOID.SERVER_AUTH, [], [], 397),
    }
    ca = leaf(tls.ca_certificate)
    for path, (usage, uris, hosts, days) in expected.items():
        certificate = leaf(path)
        certificate.verify_directly_issued_by(ca)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == uris
        assert names.get_values_for_type(x509.DNSName) == hosts
        assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == days
    api = leaf(tls.api_certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in api.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert ring.ca_pem == tls.ca_certificate.read_text()


def test_certificates_are_renewed_in_time(ring: FileKeyRing) -> None:
    """Exchange certificates with less than ten days, the API's with less than thirty."""
    assert ring.renew_tls(NOW + 19 * DAY_MS, HOSTS) == ()
    assert ring.renew_tls(NOW + 20 * DAY_MS, HOSTS) == ("exchange-server", "exchange-client")
    assert ring.renew_tls(NOW + 20 * DAY_MS, HOSTS) == ()
    assert ring.renew_tls(NOW + 368 * DAY_MS, HOSTS) == ("exchange-server", "exchange-client", "api")
    assert ring.renew_tls(NOW + 368 * DAY_MS, HOSTS, force=True) == (
        "exchange-server",
        "exchange-client",
        "api",
    )


def test_certificates_follow_the_url(ring: FileKeyRing) -> None:
    """A changed host gets a certificate that answers to it; the client's is not touched."""
    assert ring.renew_tls(NOW, Hosts("other.example", "127.0.0.1")) == ("exchange-server",)
    assert ring.renew_tls(NOW, Hosts("other.example", "::1")) == ("api",)


@pytest.mark.parametrize("harm", [remove, flip, truncate])
def test_a_harmed_certificate_is_issued_again(ring: FileKeyRing, harm: Callable[[Path], None]) -> None:
    """A lost or damaged leaf key or certificate is no reason to stop: the CA makes another."""
    harm(ring.tls.client_key)
    assert ring.renew_tls(NOW, HOSTS) == ("exchange-client",)
    harm(ring.tls.api_certificate)
    assert ring.renew_tls(NOW, HOSTS) == ("api",)
    assert ring.renew_tls(NOW, HOSTS) == ()


def test_a_lost_ca_stops(ring: FileKeyRing, folder: Path) -> None:
    """Partners pin the CA, so a new one cannot be made in silence."""
    flip(folder / "ca.key")
    with pytest.raises(ConfigurationError, match=r"ca\.key: damaged"):
        ring.renew_tls(NOW, HOSTS)
    remove(folder / "ca.key")
    with pytest.raises(ConfigurationError, match=r"ca\.key: missing"):
        ring.renew_tls(NOW, HOSTS)


def test_a_leaf_of_another_ca_is_a_fault(made: Path) -> None:
    """A certificate swapped for one of somebody else's CA is found."""
    other = authority.make_ca("kh.gdi", NOW)
    strange = authority.issue(other, "client", party="id.imigrasi", host=None, now_ms=NOW)
    assert authority.fault_of(strange, (made / "ca.pem").read_bytes()) == "was issued by another CA"
    assert authority.fault_of(strange, other.certificate) is None
    mixed = authority.Credential(other.key, strange.certificate)
    assert authority.fault_of(mixed, other.certificate) == "key and certificate are not a pair"


# A flipped sign of the serial number makes the library warn before the signature is looked at.
@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_no_flipped_bit_of_a_certificate_or_key_passes() -> None:
    """Every byte counts, line ends apart: whatever is changed is a fault with a name, never an exception."""
    ca = authority.make_ca("id.imigrasi", NOW)
    good = authority.issue(ca, "server", party="id.imigrasi", host="h", now_ms=NOW)
    passed: list[int] = []
    for position in range(len(good.key) + len(good.certificate)):
        data = bytearray(good.key + good.certificate)
        line_end = data[position] == ord("\n")
        data[position] ^= 1
        harmed = authority.Credential(bytes(data[: len(good.key)]), bytes(data[len(good.key) :]))
        if authority.fault_of(harmed, ca.certificate) is None and not line_end:
            passed.append(position)
    assert passed == []
    assert authority.fault_of(good, ca.certificate) is None


def test_the_metadata_holds_no_private_key(folder: Path) -> None:
    """keys.json can be shown to anybody: none of the seeds stands in it in any usual spelling."""
    text = (folder / "keys.json").read_text()
    json.loads(text)
    for path in folder.glob("*.ed25519"):
        assert path.read_bytes().hex() not in text
    assert "PRIVATE" not in text


def test_a_ring_does_not_show_its_keys(ring: FileKeyRing) -> None:
    """Its repr names keys by number."""
    assert repr(ring).startswith("FileKeyRing(id.imigrasi, sig-1 active")
