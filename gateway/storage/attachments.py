"""Attachment rows: files that may be read, and their ciphertexts between gateways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sqlalchemy import and_, bindparam, delete, exists, func, insert, not_, or_, select, union_all, update

from gateway.casework.recordaction import FILE
from gateway.ports.files import Attachment, Transfer
from gateway.protocol.ids import MessageId
from gateway.storage import tables as t
from gateway.storage.statements import bound, compiled, fixed, json_list, limited, values_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from gateway.protocol.attachment import AttachmentId
    from gateway.protocol.ids import PartyId

Direction = Literal["out", "in"]

a, f, n, i, o = t.attachments.c, t.transfers.c, t.enclosures.c, t.inbox.c, t.outbox.c

_NEW = (
    "party", "id", "account", "attachment_type", "media_type", "byte_length", "sha256", "derived_from", "file",
    "details", "at", "leaf",
)  # fmt: skip
_ATTACHMENT = tuple(t.attachments.c[name] for name in _NEW)
_ADD = compiled(insert(t.attachments).values(bound(_NEW)), *_NEW)
_FIND = compiled(select(*_ATTACHMENT).where(a.party == bindparam("party"), a.id == bindparam("key")), "party", "key")
_NAMED = compiled(select(*_ATTACHMENT).where(a.id == bindparam("key")).order_by(a.at), "key")
_REMOVE = compiled(delete(t.attachments).where(a.party == bindparam("party"), a.id == bindparam("key")), "party", "key")

_NEW_TRANSFER = ("direction", "partner", "id", "file", "length", "sha256", "key", "state", "at")
_TRANSFER = tuple(t.transfers.c[name] for name in _NEW_TRANSFER)
_ADD_TRANSFER = compiled(insert(t.transfers).values(bound(_NEW_TRANSFER)), *_NEW_TRANSFER)
_THIS = and_(f.direction == bindparam("way"), f.partner == bindparam("peer"), f.id == bindparam("name"))
_FIND_TRANSFER = compiled(select(*_TRANSFER).where(_THIS), "way", "peer", "name")
_SET_TRANSFER = compiled(
    update(t.transfers).where(_THIS).values(state=bindparam("new_state"), at=bindparam("now")),
    "new_state", "now", "way", "peer", "name",
)  # fmt: skip
_DROP_TRANSFER = compiled(delete(t.transfers).where(_THIS), "way", "peer", "name")
_KEEP = compiled(
    update(t.transfers)
    .where(f.direction == fixed("in"), f.partner == bindparam("peer"), f.id == bindparam("name"))
    .values(state=fixed("kept"), sha256=bindparam("digest"), at=bindparam("now")),
    "digest", "now", "peer", "name",
)  # fmt: skip

_ENCLOSED = ("jti", "party", "id")
_ENCLOSE = compiled(insert(t.enclosures).values(bound(_ENCLOSED)), *_ENCLOSED)
_UNDELIVERED = compiled(
    select(func.count())
    .select_from(t.transfers)
    .where(
        f.direction == fixed("out"), f.partner == bindparam("peer"), f.state == fixed("due"),
        f.id.in_(values_of("names")),
    ),
    "peer", "names",
)  # fmt: skip
# What is held may wait for a release: nothing of it leaves before.
_MOVING = o.state.in_([fixed("queued"), fixed("sending")])
_DUE = limited(
    select(*_TRANSFER)
    .where(f.direction == fixed("out"), f.state == fixed("due"), f.partner == bindparam("peer"))
    .join(t.enclosures, and_(n.id == f.id, n.party == bindparam("mine")))
    .join(t.outbox, and_(o.jti == n.jti, o.recipient == f.partner, _MOVING))
    .group_by(f.direction, f.partner, f.id)
    .order_by(func.min(o.rank), func.min(o.id), f.id),
    "mine", "peer",
)  # fmt: skip
_WAITING_FOR = compiled(
    select(o.jti)
    .join(t.enclosures, n.jti == o.jti)
    .where(n.id == bindparam("name"), n.party == bindparam("mine"), o.recipient == bindparam("peer"), _MOVING)
    .order_by(o.id),
    "name", "mine", "peer",
)  # fmt: skip
_other = t.enclosures.alias("other")
_COMPLETE = compiled(
    select(o.jti)
    .join(t.enclosures, n.jti == o.jti)
    .where(
        n.id == bindparam("name"), n.party == bindparam("mine"), o.recipient == bindparam("peer"), _MOVING,
        not_(
            exists(
                select(_other.c.jti).where(
                    _other.c.jti == o.jti, _other.c.party == n.party,
                    f.direction == fixed("out"), f.partner == o.recipient, f.id == _other.c.id, f.state == fixed("due"),
                )
            )
        ),
    ),
    "name", "mine", "peer",
)  # fmt: skip
_REDO = compiled(
    update(t.transfers)
    .where(
        f.direction == fixed("out"), f.partner == bindparam("peer"),
        f.id.in_(select(n.id).where(n.jti == bindparam("message"), n.party == bindparam("mine"))),
    )
    .values(state=fixed("due")),
    "peer", "message", "mine",
)  # fmt: skip
_UNREFERENCED = compiled(
    select(func.count(), func.coalesce(func.sum(f.length), fixed(0))).where(
        f.direction == fixed("in"), f.partner == bindparam("peer"), f.state.in_([fixed("open"), fixed("whole")])
    ),
    "peer",
)
_STALE_TRANSFERS = limited(
    select(*_TRANSFER).where(
        f.at < bindparam("before"),
        or_(
            and_(f.direction == fixed("in"), f.state.in_([fixed("open"), fixed("whole")])),
            and_(
                f.direction == fixed("out"),
                not_(exists(select(n.jti).where(n.party == bindparam("mine"), n.id == f.id))),
            ),
        ),
    ),
    "before", "mine",
)  # fmt: skip
_derived = t.attachments.alias("derived")
# An original is wanted as long as the copy that was made of it.
_STALE_ATTACHMENTS = limited(
    select(*_ATTACHMENT).where(
        a.party == bindparam("mine"),
        a.at < bindparam("before"),
        not_(exists(select(n.jti).where(n.party == a.party, n.id == a.id))),
        not_(exists(select(_derived.c.id).where(_derived.c.party == a.party, _derived.c.derived_from == a.id))),
    ),
    "mine", "before",
)  # fmt: skip
_ENCLOSED_IN = compiled(
    select(n.id).where(n.jti == bindparam("message"), n.party == bindparam("whose")), "message", "whose"
)
_OPEN_UP = compiled(
    delete(t.enclosures).where(n.jti == bindparam("message"), n.party == bindparam("whose")), "message", "whose"
)
_NAMED_BY = compiled(
    select(func.count()).select_from(t.enclosures).where(n.id == bindparam("name"), n.party == bindparam("whose")),
    "name", "whose",
)  # fmt: skip
# Whoever's id it is sent the message: ours are in the outbox, and no partner has our name.
_ENCLOSING = compiled(
    select(n.jti, func.coalesce(i.digest, o.digest), func.coalesce(i.case_ref, o.case_ref))
    .outerjoin(t.inbox, and_(i.jti == n.jti, i.sender == n.party))
    .outerjoin(t.outbox, and_(o.jti == n.jti, o.recipient != n.party))
    .where(n.id == bindparam("name"), n.party == bindparam("whose"), or_(i.jti.is_not(None), o.jti.is_not(None)))
    .order_by(n.jti),
    "name", "whose",
)  # fmt: skip
_COPIES = compiled(
    select(func.count())
    .select_from(t.attachments)
    .where(a.party == bindparam("whose"), a.derived_from == bindparam("name")),
    "whose", "name",
)  # fmt: skip
_OUTBOUND = compiled(select(f.partner, f.file).where(f.direction == fixed("out"), f.id == bindparam("name")), "name")
_DISCARD = compiled(insert(t.discarded).prefix_with("OR IGNORE").values(file=bindparam("file")), "file")
_DISCARDED = limited(select(t.discarded.c.file))
_GONE = compiled(delete(t.discarded).where(t.discarded.c.file == bindparam("name")), "name")
_mark = t.record_marks.c
_HIDING = _mark.mark.in_([fixed("restricted"), fixed("blocked"), fixed("erased")])
_FILE_MARK = compiled(
    select(func.count())
    .select_from(t.record_marks)
    .join(t.enclosures, and_(n.jti == _mark.jti, n.party == _mark.sender))
    .where(n.id == bindparam("name"), _mark.sender == bindparam("whose"), _mark.part == bindparam("part"), _HIDING),
    "name", "whose", "part",
)  # fmt: skip
# Messages that name it and that may be read.
_READABLE = compiled(
    select(func.count()).select_from(t.enclosures).where(
        n.id == bindparam("name"), n.party == bindparam("whose"),
        not_(
            exists(
                select(_mark.jti).where(
                    _mark.sender == n.party, _mark.jti == n.jti,
                    _mark.part.in_([fixed("message"), fixed("part")]), _HIDING,
                )
            )
        ),
    ),
    "name", "whose",
)  # fmt: skip
_FILES = compiled(union_all(select(a.file), select(f.file)))


class AttachmentRows:
    """`ports.Attachments` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._run = connection.execute
        self.erased = False
        """Whether files wait to be taken off the disk since somebody last looked."""

    # --- files that may be read -------------------------------------------------------------------

    def add(self, attachment: Attachment) -> None:
        """Store a file that may be read from now on."""
        self._run(_ADD, tuple(getattr(attachment, name) for name in _NEW))

    def find(self, party: PartyId, name: str) -> Attachment | None:
        """Return one of a party's attachments, or None."""
        row = self._run(_FIND, (party, name)).fetchone()
        return Attachment(*row) if row else None

    def named(self, name: str) -> Sequence[Attachment]:
        """Return every attachment of this id, whosesoever; the first held first."""
        return [Attachment(*row) for row in self._run(_NAMED, (name,))]

    def remove(self, party: PartyId, name: str) -> None:
        """Forget an attachment; its file is the caller's to remove."""
        self._run(_REMOVE, (party, name))

    def restricted(self, party: PartyId, name: str) -> bool:
        """Say whether record.action keeps a file, or every message that names it, from being read."""
        if self._run(_FILE_MARK, (name, party, FILE + name)).fetchone()[0]:
            return True
        named = self._run(_NAMED_BY, (name, party)).fetchone()[0]
        return bool(named) and not self._run(_READABLE, (name, party)).fetchone()[0]

    # --- erasing ------------------------------------------------------------------------------------

    def erase(self, party: PartyId, name: str) -> None:
        """Forget a file with its key, its ciphertexts and the original it was made from; its bytes go after the commit.

        The id of a partner's upload stays taken: no other file may come in its place.
        """
        row = self.find(party, name)
        if row is None:
            return
        self.remove(party, name)
        files = [row.file]
        if row.account is not None:  # of our own caller
            for partner, file in self._run(_OUTBOUND, (name,)).fetchall():
                files.append(file)
                self.drop_transfer("out", partner, name)
        self._connection.executemany(_DISCARD, [(file,) for file in files])
        self.erased = True
        if row.derived_from is not None and not self._run(_COPIES, (party, row.derived_from)).fetchone()[0]:
            self.erase(party, row.derived_from)

    def erase_enclosed(self, party: PartyId, jti: str) -> None:
        """Erase the files of an erased message, but for those that another one names too."""
        names = [name for (name,) in self._run(_ENCLOSED_IN, (jti, party)).fetchall()]
        self._run(_OPEN_UP, (jti, party))
        for name in names:
            if not self._run(_NAMED_BY, (name, party)).fetchone()[0]:
                self.erase(party, name)

    def encloses(self, party: PartyId, jti: str, name: str) -> bool:
        """Say whether a message names this attachment."""
        return name in {found for (found,) in self._run(_ENCLOSED_IN, (jti, party)).fetchall()}

    def enclosing(self, party: PartyId, name: str) -> Sequence[tuple[str, bytes, str | None]]:
        """Return id, digest and case of each message that names an attachment of its sender."""
        return self._run(_ENCLOSING, (name, party)).fetchall()

    def discarded(self, limit: int) -> Sequence[str]:
        """Return files that are to go from the disk."""
        return [file for (file,) in self._run(_DISCARDED, (limit,))]

    def gone(self, files: Sequence[str]) -> None:
        """Note that files are off the disk."""
        self._connection.executemany(_GONE, [(file,) for file in files])

    def stale_attachments(self, party: PartyId, before: int, limit: int) -> Sequence[Attachment]:
        """Return uploads of our own callers that no message names and no copy was made from."""
        return [Attachment(*row) for row in self._run(_STALE_ATTACHMENTS, (party, before, limit))]

    # --- ciphertexts ------------------------------------------------------------------------------

    def transfer(self, direction: Direction, partner: PartyId, name: str) -> Transfer | None:
        """Return one ciphertext on its way, or None."""
        row = self._run(_FIND_TRANSFER, (direction, partner, name)).fetchone()
        return Transfer(*row) if row else None

    def put_transfer(self, transfer: Transfer) -> None:
        """Store a ciphertext on its way, in place of an earlier one of the same id."""
        self.drop_transfer(transfer.direction, transfer.partner, transfer.id)
        self._run(_ADD_TRANSFER, tuple(getattr(transfer, name) for name in _NEW_TRANSFER))

    def set_transfer(self, direction: Direction, partner: PartyId, name: str, state: str, at: int) -> None:
        """Say how a ciphertext stands."""
        self._run(_SET_TRANSFER, (state, at, direction, partner, name))

    def drop_transfer(self, direction: Direction, partner: PartyId, name: str) -> None:
        """Forget a ciphertext; its file is the caller's to remove."""
        self._run(_DROP_TRANSFER, (direction, partner, name))

    def keep(self, partner: PartyId, name: str, sha256: bytes, at: int) -> None:
        """Hold an upload for good: an accepted message names it."""
        self._run(_KEEP, (sha256, at, partner, name))

    def unreferenced_bytes(self, partner: PartyId) -> tuple[int, int]:
        """Return how many uploads of a partner no accepted message names, and their bytes."""
        count, size = self._run(_UNREFERENCED, (partner,)).fetchone()
        return count, size

    def stale_transfers(self, party: PartyId, before: int, limit: int) -> Sequence[Transfer]:
        """Return ciphertexts, a partner's or ours, that no message came to name."""
        return [Transfer(*row) for row in self._run(_STALE_TRANSFERS, (before, party, limit))]

    # --- with their messages ------------------------------------------------------------------------

    def enclose(self, jti: MessageId, party: PartyId, names: Sequence[AttachmentId]) -> None:
        """Note which attachments a message names."""
        self._connection.executemany(_ENCLOSE, [(jti, party, name) for name in names])

    def undelivered(self, partner: PartyId, names: Sequence[AttachmentId]) -> int:
        """Return how many of these the partner does not hold yet."""
        count: int = self._run(_UNDELIVERED, (partner, json_list(names))).fetchone()[0]
        return count

    def due(self, me: PartyId, partner: PartyId, limit: int) -> Sequence[Transfer]:
        """Return what has to go to a partner: that of the most urgent message first."""
        return [Transfer(*row) for row in self._run(_DUE, (me, partner, limit))]

    def waiting_for(self, me: PartyId, partner: PartyId, name: str) -> Sequence[MessageId]:
        """Return the messages of ours that wait for a ciphertext to arrive."""
        return [MessageId(row[0]) for row in self._run(_WAITING_FOR, (name, me, partner))]

    def complete(self, me: PartyId, partner: PartyId, name: str) -> Sequence[MessageId]:
        """Return the messages of ours that name this attachment and whose attachments have all arrived."""
        return [MessageId(row[0]) for row in self._run(_COMPLETE, (name, me, partner))]

    def redo(self, me: PartyId, jti: MessageId, partner: PartyId) -> int:
        """Have the attachments of a message of ours looked after again; return how many there are."""
        return self._run(_REDO, (partner, jti, me)).rowcount

    def files(self) -> set[str]:
        """Return the name of every file that a row names."""
        return {row[0] for row in self._run(_FILES)}
