"""The audit log: its entry types by search, and the entry that goes before an export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.errors import StorageUnavailable
from gateway.primitives.times import format_ms
from gateway.web.control.bodies import OPERATOR, answer, members, moment, number, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.ports import Transaction
    from gateway.runtime import Gateway


def routes(gateway: Gateway) -> Iterable[web.RouteDef]:
    """Return the routes."""

    async def entries(request: web.Request) -> web.Response:
        """GET log/entries?typ=&actor=&jti=&case=&obj=&outcome=&since=&until=&before=&limit=: newest first."""
        asked = request.query
        rows = await gateway.queries.entries(
            typ=asked.get("typ"), actor=asked.get("actor"), jti=asked.get("jti"), case=asked.get("case"),
            obj=asked.get("obj"), outcome=asked.get("outcome"), since=moment(asked, "since"),
            until=moment(asked, "until"),
            before=number(asked, "before", 1, 2**53) if "before" in asked else None,
            limit=number(asked, "limit", 50, 1000),
        )  # fmt: skip
        return answer({"entries": [_told(row) for row in rows]})

    async def export(request: web.Request) -> web.Response:
        """POST log/exports {"purpose"?}: log who takes a copy, sign a checkpoint over that; return it."""
        purpose = text(await members(request), "purpose", "")

        def work(tx: Transaction) -> int:
            return tx.log.append(
                "audit.exported", actor=OPERATOR, obj=("log", gateway.settings.log_origin), at=gateway.clock(),
                purpose=purpose[:200] or None,
            )  # fmt: skip

        seq = await gateway.store.write(work)
        checkpoint = await gateway.checkpoints.sign()
        if checkpoint is None or checkpoint.size <= seq:
            raise StorageUnavailable("no checkpoint covers the entry of this export yet; try again")
        return answer({"seq": seq, "size": checkpoint.size, "checkpoint": checkpoint.note})

    return web.get("/log/entries", entries), web.post("/log/exports", export)


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "seq": row["seq"],
        "at": format_ms(row["at"]),
        "typ": row["typ"],
        "actor": row["actor"],
        "obj": row["obj"],
        "jti": row["jti"],
        "case": row["case_ref"],
        "outcome": row["outcome"],
    }
