"""The entry that goes before an export of the audit log; reading it is the API's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.errors import StorageUnavailable
from gateway.web.control.bodies import OPERATOR, answer, members, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.ports import Transaction
    from gateway.runtime import Gateway

PURPOSE_MOST = 200


def routes(gateway: Gateway) -> Iterable[web.RouteDef]:
    """Return the routes."""

    async def export(request: web.Request) -> web.Response:
        """POST log/exports {"purpose"?}: log who takes a copy, sign a checkpoint over that; return it."""
        purpose = text(await members(request), "purpose", "")

        def work(tx: Transaction) -> int:
            return tx.log.append(
                "audit.exported", actor=OPERATOR, obj=("log", gateway.settings.log_origin), at=gateway.clock(),
                purpose=purpose[:PURPOSE_MOST] or None,
            )  # fmt: skip

        seq = await gateway.store.write(work)
        checkpoint = await gateway.checkpoints.sign()
        if checkpoint is None or checkpoint.size <= seq:
            raise StorageUnavailable("no checkpoint covers the entry of this export yet; try again")
        return answer({"seq": seq, "size": checkpoint.size, "checkpoint": checkpoint.note})

    return (web.post("/log/exports", export),)
