"""Takes files from our own callers: sealed as they come, judged, images and PDFs made anew, and logged.

What is served and sent of an image is a new one of its pixels, of a PDF a new one of its pages; what came is kept as
a sealed original beside it (P20). A file that is refused leaves nothing behind but a log entry.
"""

from __future__ import annotations

import contextlib
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from gateway.casework import media
from gateway.errors import (
    Clash,
    Finding,
    IdempotencyKeyReused,
    PolicyViolation,
    RequestError,
    TooLarge,
)
from gateway.ports.files import Attachment
from gateway.ports.people import StoredAnswer
from gateway.primitives import b64u, strictjson
from gateway.protocol.attachment import AttachmentId, context
from gateway.protocol.ids import uuid7
from gateway.services.accounts import actor_of
from gateway.services.slots import Slots
from gateway.services.vault import AT_REST, bounded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.casework.codelists import CodeLists
    from gateway.ports.common import Clock, Entropy
    from gateway.ports.files import Remaker, Scanner
    from gateway.ports.people import Account
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.attach_request import AttachmentMeta
    from gateway.services.refusals import Refusals
    from gateway.services.submit import Idempotency
    from gateway.services.vault import Kept, Vault

UPLOADS_MOST = 24
"""Uploads taken side by side: each holds a few pieces in memory."""
UPLOADS_EACH = 4
"""Of them, those of one account."""


@dataclass(slots=True)
class Draft:
    """A file that came whole and is not judged yet."""

    kept: Kept | None = None
    head: media.Head = field(default_factory=media.Head)
    files: list[str] = field(default_factory=list)
    """Removed again unless a row names them."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What was taken: the file that is served and sent, the original it was made from, and how they rest."""

    served: Attachment
    original: Attachment | None
    digests: dict[AttachmentId, bytes]
    """SHA-256 of the sealed file, by attachment: random to whoever has no key, so the log may hold it."""


class Attacher:
    """`receiving` yields a draft; `fill` takes its bytes, `accept` judges and stores it."""

    def __init__(
        self, store: Store, vault: Vault, codelists: CodeLists, remaker: Remaker, scanner: Scanner | None, clock: Clock,
        entropy: Entropy, refusals: Refusals, may_take: Callable[[], None], *, me: PartyId, most_bytes: int,
    ) -> None:  # fmt: skip
        self._may_take = may_take
        self._store = store
        self._refusals = refusals
        self._vault = vault
        self._codelists = codelists
        self._remaker = remaker
        self._scanner = scanner
        self._clock = clock
        self._entropy = entropy
        self._me = me
        self._most_bytes = most_bytes
        self._about = context(me, me, AT_REST)
        self._slots = Slots("uploads", total=UPLOADS_MOST, each=UPLOADS_EACH)

    @contextlib.asynccontextmanager
    async def receiving(self, account: Account) -> AsyncIterator[Draft]:
        """Yield a draft; what is not accepted by the end of the block is removed. Raises TooManyRequests."""
        self._may_take()
        with self._slots.hold(account.id):
            draft = Draft()
            try:
                yield draft
            finally:
                for name in draft.files:
                    self._vault.remove(name)

    async def fill(self, draft: Draft, pieces: AsyncIterator[bytes]) -> None:
        """Take the bytes of a file. Raises TooLarge."""
        detail = f"a file is at most {self._most_bytes} bytes"
        # The id it will have is not known yet, so that a retried request gets the first one's.
        over = TooLarge(detail, errors=(Finding("/file", detail, "E-SIZE"),))
        draft.kept = await self._vault.keep(bounded(pieces, self._most_bytes, over), self._about, draft.head.feed)
        draft.files.append(draft.kept.file)

    async def accept(
        self, draft: Draft, meta: AttachmentMeta, account: Account, once: Idempotency, answer: Callable[[Stored], bytes]
    ) -> tuple[StoredAnswer, bool]:
        """Judge a file and store it, with its answer beside it; return that and whether it is a repetition.

        Raises PolicyViolation naming each fault, NotFound, Clash, IdempotencyKeyReused.
        """
        assert draft.kept is not None
        found = await self._store.write(lambda tx: _answered(tx, account, once))
        if found is not None:
            return found, True
        try:
            stored = await self._judged(draft, draft.kept, meta, account)
            result = await self._store.write(lambda tx: self._commit(tx, stored, account, once, answer))
        except RequestError as error:
            await self._note_refused(account, error)
            raise
        if not result[1]:
            draft.files.clear()
        return result

    # --- judging ------------------------------------------------------------------------------------

    async def _judged(self, draft: Draft, kept: Kept, meta: AttachmentMeta, account: Account) -> Stored:
        media_type = meta.media_type
        faults = media.type_faults(self._codelists, meta.attachment_type, media_type, kept.length)
        content = draft.head.fault(media_type) if not faults else None
        if content is not None:
            faults.append(Finding("/file", content, "E-MEDIA"))
        if kept.length == 0:
            faults.append(Finding("/file", "is empty", "E-SIZE"))
        for name, said, is_ in (
            ("byteLength", meta.byte_length, kept.length), ("sha256", meta.sha256, kept.sha256),
        ):  # fmt: skip
            if said is not None and said != is_:
                faults.append(Finding(f"/meta/{name}", "is not that of the file that came", "E-HASH"))
        if faults:
            raise PolicyViolation(f"{len(faults)} rule(s) refuse this file", errors=tuple(faults))
        await self._scan(kept)
        name = meta.id or AttachmentId(uuid7(self._clock(), self._entropy))
        if media_type not in media.REMADE:
            served = self._row(name, kept, meta, account, meta.derived_from)
            return Stored(served, None, {name: kept.sealed_sha256})
        copy = await self._remade(kept, media_type, account.id)
        draft.files.append(copy.file)
        faults = media.type_faults(self._codelists, meta.attachment_type, media_type, copy.length)
        if faults:
            raise PolicyViolation("the file is too large once it is made anew", errors=tuple(faults))
        source = AttachmentId(uuid7(self._clock(), self._entropy))
        original = replace(
            self._row(source, kept, meta, account, meta.derived_from), attachment_type=media.ORIGINAL,
            media_type=media.ORIGINAL_MEDIA,
        )  # fmt: skip
        digests = {name: copy.sealed_sha256, source: kept.sealed_sha256}
        return Stored(self._row(name, copy, meta, account, source), original, digests)

    async def _scan(self, kept: Kept) -> None:
        if self._scanner is None:
            return
        if not await self._scanner.scan(self._vault.plain(kept.file, kept.key, self._about)):
            detail = "the virus scanner refuses this file"
            raise PolicyViolation(detail, errors=(Finding("/file", detail, "E-MEDIA"),))

    async def _remade(self, kept: Kept, media_type: str, caller: str) -> Kept:
        plain = self._vault.plain(kept.file, kept.key, self._about)
        over = TooLarge(f"the file made anew is over {self._most_bytes} bytes")
        try:
            async with aclosing(self._remaker.remake(media_type, plain, caller)) as made:
                return await self._vault.keep(bounded(made, self._most_bytes, over), self._about)
        except ValueError as error:
            detail = "the file cannot be made anew"
            raise PolicyViolation(detail, errors=(Finding("/file", str(error), "E-MEDIA"),)) from None

    def _row(
        self, name: AttachmentId, kept: Kept, meta: AttachmentMeta, account: Account, derived_from: str | None
    ) -> Attachment:
        return Attachment(
            party=self._me, id=name, account=account.id, attachment_type=meta.attachment_type,
            media_type=meta.media_type, byte_length=kept.length, sha256=kept.sha256, derived_from=derived_from,
            file=kept.file, details=self._vault.lock(kept.key, meta.details, context(self._me, self._me, name)),
            at=self._clock(), leaf=0,
        )  # fmt: skip

    # --- storing ------------------------------------------------------------------------------------

    def _commit(
        self, tx: Transaction, stored: Stored, account: Account, once: Idempotency, answer: Callable[[Stored], bytes]
    ) -> tuple[StoredAnswer, bool]:
        found = _answered(tx, account, once)
        if found is not None:
            return found, True
        served = stored.served
        if tx.attachments.find(self._me, served.id) is not None:
            detail = "this attachmentId is taken: leave it out, and the answer names a new one"
            raise Clash(detail, errors=(Finding("/meta/attachmentId", "is taken"),))
        named = (stored.original or served).derived_from
        if named is not None:
            source = tx.attachments.find(self._me, named)
            if source is None or source.account != account.id:
                detail = "derivedFrom names no upload of yours"
                raise PolicyViolation(detail, errors=(Finding("/meta/derivedFrom", detail, "E-REF"),))
        for row in (stored.original, served):
            if row is not None:
                leaf = tx.log.append(
                    "attachment.stored", actor=actor_of(account), obj=("attachment", row.id), at=row.at,
                    event=stored.digests[row.id], outcome=row.attachment_type,
                )  # fmt: skip
                tx.attachments.add(replace(row, leaf=leaf))
        result = StoredAnswer(once.request, 201, answer(stored), f"/api/v1/attachments/{served.id}")
        tx.answers.add(account.id, once.route, once.key, result, served.at)
        return result, False

    async def _note_refused(self, account: Account, error: RequestError) -> None:
        codes = " ".join(sorted({finding.code or error.slug for finding in error.errors})) or error.slug
        await self._refusals.note("attachment.refused", actor_of(account), codes, obj=("attachment", "refused"))


def request_digest(kept: Kept, meta: Any) -> bytes:
    """Return what makes two uploads the same request: the file's bytes and what was said of it."""
    return sha256(kept.sha256 + strictjson.dumps(meta)).digest()


def _answered(tx: Transaction, account: Account, once: Idempotency) -> StoredAnswer | None:
    found = tx.answers.find(account.id, once.route, once.key)
    if found is not None and found.request != once.request:
        detail = "take a new Idempotency-Key for a new request"
        raise IdempotencyKeyReused(detail)
    return found


def described(stored: Stored) -> dict[str, Any]:
    """Return what an answer says of a stored file. Answers are kept as they are: no word of the caller's is in them."""
    row = stored.served
    return {
        "attachmentId": row.id, "attachmentType": row.attachment_type, "mediaType": row.media_type,
        "byteLength": row.byte_length, "sha256": b64u.encode(row.sha256), "derivedFrom": row.derived_from,
    }  # fmt: skip
