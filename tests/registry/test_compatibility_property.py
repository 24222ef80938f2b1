"""Random related pairs: what is proved holds for every instance tried, and most refusals can be shown."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from gateway.registry.compatibility import can_read
from gateway.registry.growth import growth_findings
from gateway.registry.lint import lint
from gateway.registry.validation import compile_schema
from tests.registry import crowded, generators

PAIRS = 600
INSTANCES = 250
SEED = 20_261_124


def _break(rng: Random, reader: dict[str, Any], writer: dict[str, Any]) -> tuple[Any, int]:
    """Return an instance of the writer that breaks the reader, if one is met, and how many were tried."""
    writes, reads = compile_schema(writer), compile_schema(reader)
    valid = 0
    for turn in range(INSTANCES):
        leaning = reader if turn % 3 == 0 else writer
        value = generators.instance(rng, leaning, leaning)
        if writes.is_valid(value):
            valid += 1
            if not reads.is_valid(value):
                return (value,), valid
    return None, valid


def test_verdicts_agree_with_instances() -> None:
    """No proved pair is broken by an instance; a third are proved, half of the others are shown broken."""
    rng = Random(SEED)
    proved = shown = refused = tried = untried = 0
    while proved + refused < PAIRS:
        old = generators.document(rng)
        new = generators.changed(rng, old)
        if new == old:
            continue  # proved without a look: it would count for nothing
        reader, writer = (new, old) if rng.random() < 0.5 else (old, new)
        found = can_read(reader, writer)
        broken, valid = _break(rng, reader, writer)
        if found:
            refused += 1
            shown += broken is not None
        else:
            proved += 1
            tried += valid
            untried += not valid
            assert broken is None, json.dumps({"reader": reader, "writer": writer, "instance": broken})
    assert (proved - untried) * 3 >= PAIRS, "a pair counts as proved where an instance could have broken it"
    assert shown * 2 >= refused > PAIRS // 10
    assert tried >= 20 * proved, "the proved pairs were not really tried"


def test_unrelated_pairs_are_not_proved_wrongly() -> None:
    """Two schemas that have nothing to do with each other: few are proved, none of those is broken."""
    rng = Random(SEED + 1)
    for _ in range(200):
        reader, writer = generators.document(rng), generators.document(rng)
        if not can_read(reader, writer):
            broken, _ = _break(rng, reader, writer)
            assert broken is None, json.dumps({"reader": reader, "writer": writer, "instance": broken})


def test_crowded_schemas_hide_no_break_in_a_universe_of_small_values() -> None:
    """Every combinator beside every other: no proved pair is broken by any small value; most refusals show."""
    rng = Random(SEED + 2)
    proved = shown = refused = 0
    while proved + refused < 3000:
        reader, writer = crowded.pair(rng)
        if reader == writer or list(growth_findings(reader)) or list(growth_findings(writer)):
            continue
        writes, reads = compile_schema(writer), compile_schema(reader)
        broken = [v for v in crowded.UNIVERSE if writes.is_valid(v) and not reads.is_valid(v)]
        if can_read(reader, writer):
            refused += 1
            shown += bool(broken)
        else:
            proved += 1
            assert not broken, json.dumps({"reader": reader, "writer": writer, "instance": broken[0]})
    assert proved > 1000
    assert shown * 2 >= refused > 500


@pytest.mark.parametrize("seed", range(3))
def test_generated_schemas_are_ones_the_registry_takes(seed: int) -> None:
    """The generator stays inside the vocabulary, so the property speaks of registrable schemas."""
    rng = Random(seed)
    for _ in range(50):
        document = generators.document(rng)
        assert lint(document) == ()
        assert lint(generators.changed(rng, document)) == ()
