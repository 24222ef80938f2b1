"""Reader keywords on one value: type, listed values, numbers, text, code lists, and the combinators."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from gateway.registry.compatibility.places import same, same_references
from gateway.registry.compatibility.shape import NUMBERS, Shape, atoms_of

if TYPE_CHECKING:
    from gateway.registry.compatibility.places import Place
    from gateway.registry.compatibility.prover import Faults, Prover, Rule


def type_(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`type`: every type the writer may send is one the reader takes; integer is a number."""
    extra = sorted(writer.types - atoms_of(reader.node["type"]))
    if not extra:
        return []
    names = ", ".join("a number with a fraction" if atom == "fraction" else atom for atom in extra)
    return [prover.fault(reader, "type", f"the writer may send {names}")]


def listed(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`enum`, `const`: met here only when the writer's values cannot be listed."""
    keyword = "enum" if "enum" in reader.node else "const"
    if writer.values is not None:
        return [prover.undecided(reader, keyword, "the reader uses a code list that is not known here")]
    return [prover.fault(reader, keyword, "the writer may send values that are not listed")]


def codelist(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`x-codelist`: the same list and version; lists that are known have become `enum` and are compared."""
    named = reader.node["x-codelist"]
    if named in reader.root.codelists or named in writer.each("x-codelist"):
        return []
    if not writer.types & {"string", "array"}:
        return []
    words = f"the writer does not keep to the list {named}, or to another version of it"
    return [prover.undecided(reader, "x-codelist", words)]


def bound(keyword: str) -> Rule:
    """Return the rule of one of the four bounds on numbers."""
    low_end, strict = keyword.lower().endswith("minimum"), keyword.startswith("exclusive")

    def rule(prover: Prover, writer: Shape, reader: Place) -> Faults:
        limit = reader.node[keyword]
        sent = writer.lower if low_end else writer.upper
        if not writer.types & NUMBERS:
            return []
        if sent is not None:
            inside = sent[0] > limit if low_end else sent[0] < limit
            if inside or (sent[0] == limit and (sent[1] or not strict)):
                return []
        side = "less" if low_end else "more"
        return [prover.fault(reader, keyword, f"the writer may send {side} than {limit} allows")]

    return rule


def multiple_of(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`multipleOf`: a whole multiple of the reader's; fractions only when equal, since engines round."""
    wanted = reader.node["multipleOf"]
    if not writer.types & NUMBERS:
        return []
    if wanted == 1 and "fraction" not in writer.types:
        return []
    if any(_divides(wanted, step) for step in writer.each("multipleOf")):
        return []
    return [prover.fault(reader, "multipleOf", f"the writer may send numbers that are no multiple of {wanted}")]


def _divides(wanted: Any, step: Any) -> bool:
    if step == wanted:
        return True
    both_whole = isinstance(wanted, int) and isinstance(step, int)
    return both_whole and Fraction(step, wanted).denominator == 1


def length(keyword: str, atom: str, noun: str) -> Rule:
    """Return the rule of a `min…` or `max…` keyword on text or on the number of members."""

    def rule(prover: Prover, writer: Shape, reader: Place) -> Faults:
        limit = int(reader.node[keyword])
        if atom not in writer.types:
            return []
        if keyword.startswith("min"):
            least = writer.least(keyword)
            if atom == "object":
                least = max(least, len(writer.required))
            kept = least >= limit
            words = f"the writer may send fewer than {limit} {noun}"
        else:
            most = _most_members(prover, writer) if atom == "object" else writer.most(keyword)
            kept = most is not None and most <= limit
            words = f"the writer may send more than {limit} {noun}"
        return [] if kept else [prover.fault(reader, keyword, words)]

    return rule


def _most_members(prover: Prover, writer: Shape) -> int | None:
    stated = writer.most("maxProperties")
    if any(not prover.empty(shape) for shape in writer.unknown()):
        return stated
    named = sum(not prover.empty(writer.known(name)) for name in writer.possible_names)
    return named if stated is None else min(named, stated)


def pattern(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`pattern`: only an equal pattern is known to imply it."""
    wanted = reader.node["pattern"]
    if "string" not in writer.types or wanted in writer.each("pattern"):
        return []
    if not any(True for _ in writer.each("pattern")):
        return [prover.fault(reader, "pattern", "the writer may send text of any form")]
    return [prover.undecided(reader, "pattern", "two different patterns are not compared")]


def format_(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`format`: the same one."""
    wanted = reader.node["format"]
    if "string" not in writer.types or wanted in writer.each("format"):
        return []
    return [prover.fault(reader, "format", f"the writer may send text that is no {wanted}")]


# --- combinators ------------------------------------------------------------------------------------


def reference(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`$ref`: what it leads to."""
    return prover.under(writer, reader.target())


def all_of(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`allOf`: each of them."""
    return [fault for branch in reader.children("allOf") for fault in prover.under(writer, branch)]


def any_of(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`anyOf`: the whole writer, or each of its alternatives, is under one branch."""
    if _same_keyword(writer, reader, "anyOf"):
        return []
    branches = reader.children("anyOf")
    if any(prover.holds(writer, branch) for branch in branches):
        return []
    if len(branches) == 1:
        return prover.under(writer, branches[0])
    return [prover.undecided(reader, "anyOf", "no branch is seen to take all that the writer may send")]


def one_of(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`oneOf`: one branch takes all, and the others surely take nothing of it."""
    if _same_keyword(writer, reader, "oneOf"):
        return []
    branches = reader.children("oneOf")
    for branch in branches:
        others = [other for other in branches if other is not branch]
        if prover.holds(writer, branch) and all(prover.empty(writer.also(other)) for other in others):
            return []
    words = "the writer is not seen to stay under exactly one branch"
    return [prover.undecided(reader, "oneOf", words)]


def not_(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`not`: the writer and what is ruled out have nothing in common."""
    ruled_out = reader.child("not")
    if prover.empty(writer.also(ruled_out)) or _denied(prover, writer, ruled_out):
        return []
    return [prover.undecided(reader, "not", "the writer may send what the reader rules out")]


def condition(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`if`, `then`, `else`: each side for the part of the writer it is about."""
    question = reader.child("if")
    faults: Faults = []
    if "then" in reader.node and not _denied(prover, writer, question):
        yes = writer.also(question)
        faults += [] if prover.empty(yes) else prover.under(yes, reader.child("then"))
    if "else" in reader.node and not prover.holds(writer, question):
        faults += prover.under(writer.also(denied=(question,)), reader.child("else"))
    return faults


def _denied(prover: Prover, writer: Shape, question: Place) -> bool:
    """Say whether the writer is known to exclude all that fits `question`."""
    asked = Shape([question])
    return any(same(known, question) or prover.holds(asked, known) for known in writer.denied)


def _same_keyword(writer: Shape, reader: Place, keyword: str) -> bool:
    """Say whether the writer has an equal list of branches beside other keywords."""
    wanted = [branch.canonical() for branch in reader.children(keyword)]
    for place in writer.nodes:
        branches = place.children(keyword)
        if [branch.canonical() for branch in branches] == wanted:
            references = {r for branch in branches for r in branch.references()}
            if place.root is reader.root or same_references(references, place.root, reader.root):
                return True
    return False
