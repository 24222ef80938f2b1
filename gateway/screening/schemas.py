"""A question about a schema, answered; a job of the worker."""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway.registry import judging
from gateway.registry.compatibility import Mode

_LIST: Final = {"sex@1.0.0": ["F", "M"]}
_EARLIER: Final = (
    b'{"type":"object","properties":{"a":{"type":"string","pattern":"^(a|b)+$"},"b":{"x-codelist":"sex@1.0.0"}}}'
)
_LATER: Final = (
    b'{"type":"object","required":["a"],"properties":{"a":{"enum":["x"]},"b":{"format":"date"},"c":{"$ref":"#"}}}'
)


def set_limits() -> None:
    """Answer one question of each kind, right and wrong: what is loaded for that cannot be loaded by a job."""
    for question in (
        judging.naming(_EARLIER, "a.b", "1.0.0"),
        judging.naming(b"{", None, None),
        judging.naming(b'{"type":7,"pattern":"("}', "a.b", "1.0.0"),
        judging.weighing(_LATER, [("1.0.0", _EARLIER)], Mode.FULL, explain=True),
        judging.comparing(_EARLIER, _LATER),
        judging.finding(_LATER),
    ):
        run(orjson.dumps({"question": question, "codelists": _LIST}))


def run(raw: bytes) -> bytes:
    """Answer a question with the code lists beside it."""
    asked: dict[str, Any] = orjson.loads(raw)
    return orjson.dumps(judging.answer(asked["question"], asked["codelists"]))
