"""`ports.SchemaJudge`: what strangers' schemas are is found out by workers that have limits."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.errors import Finding, SchemaRefused
from gateway.screening import outcomes
from gateway.screening.pool import Broken, Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

_PIECE_BYTES: Final = 256 * 1024
_WORDS: Final = {
    outcomes.SLOW: "takes too long to judge: make it smaller, or its patterns and conditions simpler",
    outcomes.TOO_LARGE: "takes too much memory to judge: make it smaller, or its patterns and conditions simpler",
}
_OTHER: Final = "cannot be judged"


class Judge:
    """`ask` is the only verb, `close` the end."""

    def __init__(self) -> None:
        self._pool = Pool("schemas", 1)

    async def ask(
        self, question: Mapping[str, Any], codelists: Mapping[str, Collection[str]], caller: str
    ) -> dict[str, Any]:
        """Return the answer of `registry.judging`. Raises SchemaRefused, StorageUnavailable, TooManyRequests."""
        lists = {name: sorted(codes) for name, codes in codelists.items()}
        raw = orjson.dumps({"question": question, "codelists": lists})
        pieces = []
        try:
            async with aclosing(self._pool.run("schema", _pieces(raw), caller)) as made:
                async for piece in made:
                    pieces.append(piece)  # noqa: PERF401 - aclosing wants the loop
        except Broken as why:
            words = _WORDS.get(why.code, _OTHER)
            detail = f"the schema {words}"
            raise SchemaRefused(detail, errors=(Finding("", words, "schema-size"),)) from None
        found: dict[str, Any] = orjson.loads(b"".join(pieces))
        return found

    async def close(self) -> None:
        """End the worker."""
        await self._pool.close()


async def _pieces(raw: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(raw), _PIECE_BYTES):
        yield raw[at : at + _PIECE_BYTES]
