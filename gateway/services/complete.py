"""Completes a request before it is judged: files for the ids it names, the urgency of what it answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.casework.remembered import RESPONSES
from gateway.errors import Refusal, RequestError

if TYPE_CHECKING:
    from gateway.ports.people import Account
    from gateway.ports.store import Store
    from gateway.services.enclose import Encloser
    from gateway.services.request import SubmitRequest


class Completer:
    """`complete` before a message is accepted; `preview` for a dry run, which makes no ciphertext."""

    def __init__(self, store: Store, encloser: Encloser) -> None:
        self._store = store
        self._encloser = encloser

    async def complete(self, request: SubmitRequest | Refusal, account: Account) -> SubmitRequest | Refusal:
        """Return the request with its files in `data.attachments`, or why not; most requests need nothing."""
        if isinstance(request, Refusal):
            return request
        request = await self._as_asked(request)
        if not request.attachments and "attachments" not in request.data:
            return request
        try:
            return await self._encloser.enclose(request, account)
        except RequestError as error:
            return Refusal.of(error)

    async def preview(self, request: SubmitRequest, account: Account) -> SubmitRequest:
        """Return the request as its rules will meet it. Raises RequestError."""
        return await self._encloser.preview(await self._as_asked(request), account)

    async def _as_asked(self, request: SubmitRequest) -> SubmitRequest:
        # 4.4, 4.6: an answer that names no urgency is as urgent as the question.
        asked = request.in_reply_to
        if request.urgency is not None or asked is None or request.subject not in RESPONSES:
            return request
        urgency = await self._store.write(lambda tx: tx.inbox.urgency(request.recipient, asked))
        return request if urgency is None else replace(request, urgency=urgency)
