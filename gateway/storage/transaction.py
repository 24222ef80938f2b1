"""One unit of work: every table behind its own small door, all on the writer's connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.storage.attachments import AttachmentRows
from gateway.storage.cases import CaseRows
from gateway.storage.inbox import InboxRows
from gateway.storage.index import FigureRows, IndexRows
from gateway.storage.log import LogRows
from gateway.storage.memory import MemoryRows, RecordRows
from gateway.storage.outbox import OutboxRows
from gateway.storage.parties import PartyRows
from gateway.storage.people import AccountRows, AnswerRows
from gateway.storage.problems import ProblemRows
from gateway.storage.registrations import EnvelopeRows, RegistrationRows, StateRows
from gateway.storage.timestamps import TimestampRows
from gateway.storage.witness import WitnessRows

if TYPE_CHECKING:
    import sqlite3

    from gateway.ports.common import Entropy


class SqlTransaction:
    """`ports.Transaction` on SQLite. One object serves every unit: units run one after another."""

    def __init__(self, connection: sqlite3.Connection, entropy: Entropy) -> None:
        self.outbox = OutboxRows(connection)
        self.inbox = InboxRows(connection)
        self.cases = CaseRows(connection)
        self.memory = MemoryRows(connection)
        self.records = RecordRows(connection)
        self.log = LogRows(connection, entropy)
        self.parties = PartyRows(connection)
        self.registrations = RegistrationRows(connection)
        self.accounts = AccountRows(connection)
        self.answers = AnswerRows(connection)
        self.problems = ProblemRows(connection)
        self.envelopes = EnvelopeRows(connection)
        self.state = StateRows(connection)
        self.index = IndexRows(connection)
        self.figures = FigureRows(connection)
        self.witness = WitnessRows(connection)
        self.timestamps = TimestampRows(connection)
        self.attachments = AttachmentRows(connection)
