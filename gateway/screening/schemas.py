"""A question about a schema, answered; a job of the worker."""

from __future__ import annotations

import orjson

from gateway.registry import judging


def run(raw: bytes) -> bytes:
    """Answer a question with the code lists beside it."""
    asked = orjson.loads(raw)
    return orjson.dumps(judging.answer(asked["question"], asked["codelists"]))
