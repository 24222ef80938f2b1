"""Reads of attachments: who may, and the log entry that precedes every byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import Clash, NotFound, NotPermitted
from gateway.protocol.attachment import parse_attachment_id
from gateway.services.accounts import actor_of
from gateway.services.reading import judge_purpose

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.casework.codelists import CodeLists
    from gateway.ports.common import Clock
    from gateway.ports.files import Attachment
    from gateway.ports.people import Account
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.vault import Vault


@dataclass(frozen=True, slots=True)
class Reading:
    """An attachment whose reading is in the log, and its bytes."""

    attachment: Attachment
    pieces: AsyncIterator[bytes]


class AttachmentReader:
    """`read` is the one way a file leaves for a caller."""

    def __init__(self, store: Store, vault: Vault, codelists: CodeLists, clock: Clock, *, me: PartyId) -> None:
        self._store = store
        self._vault = vault
        self._codelists = codelists
        self._clock = clock
        self._me = me

    async def read(
        self, text: str, partner: str | None, owner: str | None, account: Account, purpose: str | None
    ) -> Reading:
        """Return an attachment. `owner` is the account a client is bound to, None for no bound.

        Raises NotFound, alike for what is unknown and what is another client's; Clash where `partner` must say
        whose id it is; MalformedRequest for an unknown purpose; NotPermitted where its use is restricted.
        """
        judge_purpose(self._codelists, purpose)
        try:
            name = parse_attachment_id(text)
        except ValueError:
            raise NotFound(UNKNOWN) from None
        found = await self._store.write(lambda tx: tx.attachments.named(name))
        seen = [row for row in found if self._seen(row, owner) and partner in {None, row.party}]
        chosen = self._one(seen)
        if await self._store.write(lambda tx: tx.attachments.restricted(chosen.party, chosen.id)):
            detail = "the use of this file, or of what brought it, is restricted by its sender (record.action)"
            raise NotPermitted(detail)
        now = self._clock()

        def note(tx: Transaction) -> None:
            # One entry for each message that brought it: whoever asks who read that message finds this too.
            brought: Sequence[tuple[str | None, bytes | None, str | None]]
            brought = tx.attachments.enclosing(chosen.party, chosen.id) or [(None, None, None)]
            for jti, event, case in brought:
                tx.log.append(
                    "attachment.read", actor=actor_of(account), obj=("attachment", chosen.id), at=now, jti=jti,
                    event=event, case=case, purpose=purpose, outcome=chosen.attachment_type,
                )  # fmt: skip

        await self._store.write(note)
        return Reading(chosen, self._vault.reading(chosen))

    def _seen(self, row: Attachment, owner: str | None) -> bool:
        return owner is None or row.party != self._me or row.account == owner

    def _one(self, rows: Sequence[Attachment]) -> Attachment:
        if not rows:
            raise NotFound(UNKNOWN)
        own = [row for row in rows if row.party == self._me]
        # Ids are each party's own: one that chose an id of ours must not stand in its place.
        if len(rows) > 1 and not own:
            detail = "several parties use this id: say which by `partner`"
            raise Clash(detail)
        return (own or list(rows))[0]


UNKNOWN = "no such attachment; a message's `data.attachments` names those it brought"
