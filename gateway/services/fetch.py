"""Reads of attachments: who may, and the log entry that precedes every byte.

A PDF leaves for a person made anew, whoever sent it: what a partner signed is kept as it came, and is given out as
evidence only where it is asked for by name and purpose.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.casework import media
from gateway.errors import Clash, Finding, MalformedRequest, NotFound, NotPermitted, PolicyViolation, TooLarge
from gateway.protocol.attachment import AttachmentId, context, parse_attachment_id
from gateway.services.accounts import actor_of
from gateway.services.reading import judge_purpose
from gateway.services.vault import bounded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.casework.codelists import CodeLists
    from gateway.ports.common import Clock
    from gateway.ports.files import Attachment, Remaker
    from gateway.ports.people import Account
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.vault import Kept, Vault

MADE_ANEW = AttachmentId("made-anew")
"""In the context of files that rest only while they are read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """An attachment whose reading is in the log, and the bytes that leave: measured, since they may be made anew."""

    attachment: Attachment
    media_type: str
    byte_length: int
    sha256: bytes
    pieces: AsyncIterator[bytes]
    made_anew: bool
    """Whether they are other bytes than those that a message names."""


class AttachmentReader:
    """`reading` is the one way a file leaves for a caller."""

    def __init__(
        self, store: Store, vault: Vault, remaker: Remaker, codelists: CodeLists, clock: Clock, *, me: PartyId,
        most_bytes: int,
    ) -> None:  # fmt: skip
        self._store = store
        self._vault = vault
        self._remaker = remaker
        self._codelists = codelists
        self._clock = clock
        self._me = me
        self._most_bytes = most_bytes

    @asynccontextmanager
    async def reading(
        self, text: str, partner: str | None, owner: str | None, account: Account, purpose: str | None, *,
        original: bool = False,
    ) -> AsyncIterator[Reading]:  # fmt: skip
        """Yield an attachment. `owner` is the account a client is bound to, None for no bound.

        `original` asks for a PDF as it came, as evidence: not to be opened where it could act. Raises NotFound,
        alike for what is unknown and what is another client's; Clash where `partner` must say whose id it is;
        MalformedRequest for an unknown purpose, or none for an original; NotPermitted where its use is restricted;
        PolicyViolation for a PDF that cannot be made anew; TooManyRequests, StorageUnavailable.
        """
        chosen = await self._chosen(text, partner, owner, purpose)
        if not self._acts(chosen):
            await self._note(chosen, account, purpose, chosen.attachment_type)
            pieces = self._vault.reading(chosen)
            yield Reading(chosen, chosen.media_type, chosen.byte_length, chosen.sha256, pieces, made_anew=False)
            return
        if original:
            if purpose is None:
                detail = "say what the original is read for: it is evidence, and may act where it is opened"
                raise MalformedRequest(detail, errors=(Finding("/purpose", "is missing"),))
            await self._note(chosen, account, purpose, f"{chosen.attachment_type} original")
            pieces = self._vault.reading(chosen)
            yield Reading(chosen, media.ORIGINAL_MEDIA, chosen.byte_length, chosen.sha256, pieces, made_anew=False)
            return
        about = context(self._me, self._me, MADE_ANEW)
        kept = await self._remade(chosen, account, about)
        try:
            await self._note(chosen, account, purpose, chosen.attachment_type)
            pieces = self._vault.plain(kept.file, kept.key, about)
            changed = kept.sha256 != chosen.sha256
            yield Reading(chosen, chosen.media_type, kept.length, kept.sha256, pieces, made_anew=changed)
        finally:
            self._vault.remove(kept.file)

    def _acts(self, chosen: Attachment) -> bool:
        """Say whether a file could act where it is opened: a PDF that was not made anew when it was taken."""
        ours = chosen.party == self._me and chosen.derived_from is not None
        return chosen.media_type == media.PDF and not ours

    async def _remade(self, chosen: Attachment, account: Account, about: bytes) -> Kept:
        over = TooLarge(f"the document made anew is over {self._most_bytes} bytes")
        plain = self._vault.reading(chosen)
        try:
            async with aclosing(self._remaker.remake(chosen.media_type, plain, account.id)) as made:
                return await self._vault.keep(bounded(made, self._most_bytes, over), about)
        except ValueError as error:
            detail = f"{error}; as it came it is had by `original=true`, with a purpose"
            raise PolicyViolation(detail, errors=(Finding("/id", str(error), "E-MEDIA"),)) from None

    async def _chosen(self, text: str, partner: str | None, owner: str | None, purpose: str | None) -> Attachment:
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
        return chosen

    async def _note(self, chosen: Attachment, account: Account, purpose: str | None, outcome: str) -> None:
        now = self._clock()

        def note(tx: Transaction) -> None:
            # One entry for each message that brought it: whoever asks who read that message finds this too.
            brought: Sequence[tuple[str | None, bytes | None, str | None]]
            brought = tx.attachments.enclosing(chosen.party, chosen.id) or [(None, None, None)]
            for jti, event, case in brought:
                tx.log.append(
                    "attachment.read", actor=actor_of(account), obj=("attachment", chosen.id), at=now, jti=jti,
                    event=event, case=case, purpose=purpose, outcome=outcome,
                )  # fmt: skip

        await self._store.write(note)

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
