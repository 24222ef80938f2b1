"""The API of our own clients: REST under `/api/v1`, the schema registry, the log's tiles, and the page for them all."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway.primitives import b64u
from gateway.web.api import table
from gateway.web.api.answering import Cursors, secure
from gateway.web.api.attachments import Attachments
from gateway.web.api.audit import Audit
from gateway.web.api.bulk import Bulk
from gateway.web.api.cases import Cases
from gateway.web.api.evidence import EvidenceOf
from gateway.web.api.guard import Guard, bearer
from gateway.web.api.inbox import Inbox
from gateway.web.api.messages import Messages
from gateway.web.api.reference import Reference
from gateway.web.api.schemas import Schemas
from gateway.web.api.statistics import StatisticsOf
from gateway.web.audit import TileLog
from gateway.web.docs import docs_routes
from gateway.web.intake import INTAKE, Intake
from gateway.web.rates import Rates
from gateway.web.registry.endpoints import Registry
from gateway.web.registry.table import registry_routes
from gateway.web.server import DRAIN, close_methods

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.ports.store import Store, Transaction
    from gateway.running import Gateway
    from gateway.web.api.guard import Authenticate
    from gateway.web.api.route import Route

__all__ = ["HEARTBEAT_S", "ROUTES", "api_app", "bearer"]

HEARTBEAT_S: Final = 15.0
ROUTES: Final[web.AppKey[Sequence[Route]]] = web.AppKey("routes")
"""In the application: its table of routes."""

_CURSOR_KEY = "cursor-key"


def api_app(
    gateway: Gateway,
    outermost: Any,
    authenticate: Authenticate,
    *,
    heartbeat_s: float = HEARTBEAT_S,
    local: bool = False,
    refused: Callable[[str], None] = lambda _cap: None,
    tidy: Callable[[], None] = lambda: None,
) -> web.Application:
    """Return the application. `authenticate` tells whose request it is, or raises Unauthenticated.

    `local`: its one caller is the operator of this machine, who may ask for as much as they like. `refused` hears by
    which cap a body was refused, `tidy` is called in a thread after work on a large one.
    `app[DRAIN]()` ends the event streams; it also happens when the application shuts down.
    """
    cursors = Cursors()
    messages = Messages(gateway, cursors)
    inbox = Inbox(gateway, messages.reader, cursors, authenticate, heartbeat_s=heartbeat_s)
    audit = Audit(gateway, cursors)
    routes = [
        *table.message_routes(messages),
        *table.attachment_routes(Attachments(gateway)),
        *table.case_routes(Cases(gateway, cursors, messages.reader)),
        *table.bulk_routes(Bulk(gateway, messages.reader)),
        *table.inbox_routes(inbox),
        *table.reference_routes(Reference(gateway)),
        *table.statistics_routes(StatisticsOf(gateway)),
        *table.audit_routes(audit),
        *table.evidence_routes(EvidenceOf(gateway, messages.reader)),
        *table.schema_routes(Schemas(gateway)),
        *TileLog(audit.log).routes(),
        *registry_routes(Registry(gateway)),
    ]
    routes += docs_routes(routes)
    limits = gateway.settings.limits
    app = web.Application(middlewares=[outermost], client_max_size=limits.api_body_bytes)
    app[INTAKE] = Intake(most_bytes=limits.api_body_bytes, total_s=limits.body_timeout_s, refused=refused, tidy=tidy)
    guard = Guard(authenticate, gateway.refusals, None if local else Rates(limits.calls_per_s), gateway.witnessing.gate)
    for route in routes:
        app.router.add_route(route.method, route.path, guard.guarded(route))
    close_methods(app)
    app.on_response_prepare.append(secure)
    app[ROUTES] = routes
    app[DRAIN] = inbox.drain
    app.on_shutdown.append(_draining(inbox.drain))
    app.on_startup.append(_keyed(gateway.store, cursors))
    return app


def _draining(drain: Callable[[], None]) -> Callable[[web.Application], Any]:
    async def stop(_app: web.Application) -> None:
        drain()

    return stop


def _keyed(store: Store, cursors: Cursors) -> Callable[[web.Application], Any]:
    async def start(_app: web.Application) -> None:
        cursors.use(await store.write(_cursor_key))

    return start


def _cursor_key(tx: Transaction) -> bytes:
    """Return the key cursors are signed with, made once for a home: callers keep cursors over restarts."""
    found = tx.state.get(_CURSOR_KEY)
    if found is None:
        found = b64u.encode(secrets.token_bytes(32))
        tx.state.put(_CURSOR_KEY, found)
    return b64u.decode(found)
