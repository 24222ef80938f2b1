"""The entry that goes before an export of the audit log; reading it is the API's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.errors import StorageUnavailable
from gateway.services.reading import judge_purpose
from gateway.web.control.bodies import Guarded, actor, answer, members, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.ports.store import Transaction
    from gateway.running import Gateway

# A partner that is there has cosigned by then.
COSIGNED_WITHIN_S = 3.0


def routes(gateway: Gateway) -> Iterable[Guarded]:
    """Return the routes."""

    async def export(request: web.Request) -> web.Response:
        """POST log/exports {"purpose"?}: log who takes a copy; return the checkpoint to write beside it.

        That is one over this very entry, cosigned where there is a witness; where no partner answers, or none may
        be signed now, the newest there is; `left_out` counts the entries behind it.
        """
        purpose = text(await members(request), "purpose", "") or None
        judge_purpose(gateway.rules.codelists, purpose)

        def work(tx: Transaction) -> int:
            return tx.log.append(
                "audit.exported", actor=actor(request), obj=("log", gateway.settings.log_origin), at=gateway.clock(),
                purpose=purpose,
            )  # fmt: skip

        def size(tx: Transaction) -> int:
            return tx.log.head()[0]

        seq = await gateway.store.write(work)
        await gateway.checkpoints.sign()
        within_s = COSIGNED_WITHIN_S if gateway.witnessing.gate.may_sign else 0
        checkpoint = await gateway.witnessing.cosigning.covering(seq, within_s)
        if checkpoint is None:
            raise StorageUnavailable("no checkpoint is signed yet: no partner has answered since the start; try again")
        left_out = max(0, await gateway.store.write(size) - checkpoint.size)
        return answer({"seq": seq, "size": checkpoint.size, "checkpoint": checkpoint.note, "left_out": left_out})

    async def vouch(request: web.Request) -> web.Response:
        """POST log/vouched {"reason"}: an operator's word, on record, that this log is the newest."""
        await gateway.witnessing.guard.vouch(actor(request), text(await members(request), "reason"))
        return answer({"paused": gateway.witnessing.gate.reason})

    async def paused(_request: web.Request) -> web.Response:
        """GET log/state: whether anything is exchanged, and how old the log is that nobody has cosigned."""
        gate, cosigning = gateway.witnessing.gate, gateway.witnessing.cosigning
        return answer({
            "paused": gate.closed, "reason": gate.reason, "unwitnessed_ms": cosigning.unwitnessed_ms(),
            "cosigned_size": cosigning.cosigned_size,
        })  # fmt: skip

    return (
        Guarded(("audit.read",), web.post("/log/exports", export)),
        Guarded(("system.operate",), web.post("/log/vouched", vouch)),
        Guarded(("audit.read",), web.get("/log/state", paused)),
    )
