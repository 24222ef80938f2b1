"""File descriptors: as many as the system allows, and some of them kept from whoever connects."""

from __future__ import annotations

import resource
from typing import Final

from gateway.errors import ConfigurationError

OWN: Final = 96
"""For ourselves: database and its readers, files on their way, processes that look into images, partners we call."""
LEAST: Final = 192
MOST: Final = 65_536
"""More is of no use here, and some systems allow a thousand million."""


def raise_limit(most: int = MOST) -> int:
    """Raise the soft limit of open files to the hard one; return how many there are. Raises ConfigurationError.

    More than `most` are not counted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    found = most if soft == resource.RLIM_INFINITY else min(soft, most)
    if found < LEAST:
        detail = f"only {found} files may be open at once; give the service {LEAST} at least (LimitNOFILE, ulimit -n)"
        raise ConfigurationError(detail)
    return found


def shared(limit: int, *, ops: int, exchange: int, api: int) -> dict[str, int]:
    """Return how many connections each listener may have, so that all of them leave us our own.

    Where there is not enough, the API gives first: health and partners must be answered.
    """
    ops = min(ops, (limit - OWN) // 4)
    left = limit - OWN - ops
    exchange = min(exchange, left * 2 // 3)
    return {"ops": ops, "exchange": exchange, "api": min(api, left - exchange)}
