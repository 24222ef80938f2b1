"""The tables, one set for every database the gateway will ever run on (SQLAlchemy Core).

Laws:
1. A body (event bytes) lives only in `bodies`, what policies need of it in `remembered` and its keys, what a search
   needs in `names`; every other table may be read by people who may not read cases. What erases a body erases all.
2. State moves only as `protocol.states` allows; the partial index `outbox_open` holds what still has to move.
3. `entries` and `tiles` are append-only; a checkpoint is signed once for a size.
4. Times are integers, milliseconds since 1970-01-01 UTC.
5. Message ids and case references are the other side's words. Nothing is looked up by one alone: a message is its
   direction, partner and id, or our own row; a case is its partner and reference, or our own row.
"""

from __future__ import annotations

from gateway.storage.tables.base import metadata, state
from gateway.storage.tables.cases import case_numbers, cases, record_marks, remembered, remembered_keys
from gateway.storage.tables.figures import figures, imports, names, tallies
from gateway.storage.tables.files import attachments, discarded, enclosures, transfers
from gateway.storage.tables.log import (
    MACHINES,
    NOT_ACCEPTED,
    OBJECT_APART,
    SEARCHED,
    checkpoints,
    cosignatures,
    disputes,
    entries,
    tiles,
    timestamps,
    witnessed,
)
from gateway.storage.tables.messages import (
    DEAD,
    OPEN_STATES,
    UNPROVED,
    VOID_DUE,
    attempts,
    bodies,
    envelopes,
    inbox,
    outbox,
    stream_heads,
)
from gateway.storage.tables.parties import cards, modes, partners, schemas
from gateway.storage.tables.people import accounts, answers, problems, tokens

__all__ = [
    "DEAD",
    "MACHINES",
    "NOT_ACCEPTED",
    "OBJECT_APART",
    "OPEN_STATES",
    "SEARCHED",
    "UNPROVED",
    "VOID_DUE",
    "accounts",
    "answers",
    "attachments",
    "attempts",
    "bodies",
    "cards",
    "case_numbers",
    "cases",
    "checkpoints",
    "cosignatures",
    "discarded",
    "disputes",
    "enclosures",
    "entries",
    "envelopes",
    "figures",
    "imports",
    "inbox",
    "metadata",
    "modes",
    "names",
    "outbox",
    "partners",
    "problems",
    "record_marks",
    "remembered",
    "remembered_keys",
    "schemas",
    "state",
    "stream_heads",
    "tallies",
    "tiles",
    "timestamps",
    "tokens",
    "transfers",
    "witnessed",
]
