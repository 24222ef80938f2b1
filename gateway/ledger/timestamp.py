"""RFC 3161 timestamps over a signed checkpoint: somebody outside says that these bytes existed at a time.

Laws:
1. What is stamped is the checkpoint as published: its signature, and the cosignatures it had by then, are covered.
2. A token is kept as received and judged under certificates given beforehand; none comes out of the token alone.
3. Certificates are judged at the token's own time: a stamp stays good after they have expired.

The library is the extra `tsa`: nothing else of the gateway needs it.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from cryptography import x509

from gateway.errors import ConfigurationError, MalformedProof

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE: Final = "rfc3161-client"
_FAULTS: Final = {
    "Mismatch": "it is over other bytes",
    "Error while verifying certificates": "not signed under one of the given certificates",
    "Nonce": "it answers another request",
    "PKIStatus": "it was not granted",
    "Unsupported hash": "it is over another hash than SHA-2",
}
TOKEN_BYTES_MOST: Final = 64 * 1024  # a token with its chain is some kilobytes


def need_library() -> None:
    """Raise ConfigurationError where the extra is not installed."""
    if find_spec("rfc3161_client") is None:
        raise ConfigurationError(f"timestamps need a further package, the extra `tsa`; run `pip install {PACKAGE}`")


def read_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file. Raises ValueError where there is none, or one cannot be read."""
    return tuple(x509.load_pem_x509_certificates(pem))


def make_request(data: bytes) -> tuple[bytes, int]:
    """Return a request for a stamp over SHA-256 of `data`, and its nonce, which the answer must repeat."""
    need_library()
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    made = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()
    assert made.nonce is not None
    return made.as_bytes(), made.nonce


def open_token(token: bytes, data: bytes, certificates: Sequence[x509.Certificate], *, nonce: int | None = None) -> int:
    """Return the time (ms, whole seconds) at which an authority stamped `data`. Raises MalformedProof.

    `token` is the whole answer (TimeStampResp, DER). `certificates` are those of the authority that are trusted:
    its root, and what stands between that and its signer where the answer does not bring it.
    """
    need_library()
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    if len(token) > TOKEN_BYTES_MOST:
        raise MalformedProof("a timestamp is larger than 64 KiB")
    try:
        answer = decode_timestamp_response(token)
        if answer.as_bytes() != token:
            raise MalformedProof("not a timestamp in DER")
        VerifierBuilder(roots=list(certificates), nonce=nonce).build().verify_message(answer, data)
        return int(answer.tst_info.gen_time.timestamp()) * 1000
    except VerificationError as fault:
        raise MalformedProof(f"the timestamp does not verify: {_plain(str(fault))}") from None
    except (ValueError, TypeError, OverflowError):
        raise MalformedProof("not a timestamp (RFC 3161) that was granted") from None


def _plain(said: str) -> str:
    """Say in our words what the library found: its own quote bytes of the answer."""
    return next((ours for theirs, ours in _FAULTS.items() if said.startswith(theirs)), "its signer stamps no times")
