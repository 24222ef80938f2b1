"""Everything about a stranger's schema that takes long, as one question and one answer of plain JSON.

So it can be asked in another process, which may take no more memory and time than it is given.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import Finding, SchemaRefused, TooLarge
from gateway.primitives import b64u
from gateway.registry.compatibility import Break, Incompatibility, Mode, check_mode
from gateway.registry.diff import Change, SchemaDiff, diff
from gateway.registry.lint import advise, lint
from gateway.registry.subject import digest_of, load_schema, parse_document
from gateway.registry.validation import codelists_of, codes_written_out

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

MAX_CODES: Final = 100_000
"""Codes of all code lists a schema names, each time it names one: the engine has them once for every place."""
MAX_BREAKS: Final = 500
MAX_CHANGES: Final = 1000
MAX_ADVICE: Final = 200

Json = dict[str, Any]


# --- questions ---------------------------------------------------------------------------------------


def naming(raw: bytes, subject: str | None, version: str | None) -> Json:
    """Ask for subject, version and digest of a schema that passes every rule."""
    return {"ask": "name", "raw": b64u.encode(raw), "subject": subject, "version": version}


def weighing(raw: bytes, earlier: Sequence[tuple[str, bytes]], mode: Mode, *, explain: bool) -> Json:
    """Ask what `mode` has against a schema that passed, after these versions, oldest first; `explain`: what changed."""
    texts = [[version, b64u.encode(document)] for version, document in earlier]
    return {"ask": "weigh", "raw": b64u.encode(raw), "earlier": texts, "mode": mode, "explain": explain}


def comparing(old: bytes, new: bytes) -> Json:
    """Ask what changed between two documents."""
    return {"ask": "compare", "old": b64u.encode(old), "new": b64u.encode(new)}


def finding(raw: bytes) -> Json:
    """Ask for the digest of a document, whatever rules it breaks."""
    return {"ask": "find", "raw": b64u.encode(raw)}


# --- answering ---------------------------------------------------------------------------------------


def answer(question: Json, codelists: Mapping[str, Collection[str]]) -> Json:
    """Answer a question; a schema that is refused is an answer too."""
    try:
        return _ANSWERS[question["ask"]](question, codelists)
    except (SchemaRefused, TooLarge) as why:
        errors = [[finding.pointer, finding.reason, finding.code] for finding in why.errors]
        return {"refused": why.detail, "large": isinstance(why, TooLarge), "errors": errors}


def _name(question: Json, codelists: Mapping[str, Collection[str]]) -> Json:
    raw = b64u.decode(question["raw"])
    schema = load_schema(raw, subject=question["subject"], version=question["version"])
    unknown = sorted(codelists_of(schema.document) - set(codelists))
    if unknown:
        detail = f"it uses code lists that are not held here: {', '.join(unknown[:10])}"
        raise SchemaRefused(detail, errors=(Finding("", detail, "schema-codelist"),))
    if codes_written_out(schema.document, codelists) > MAX_CODES:
        detail = f"its code lists are over {MAX_CODES} codes, each list counted as often as it is named"
        raise SchemaRefused(detail, errors=(Finding("", detail, "schema-size"),))
    return {"subject": schema.subject, "version": schema.version, "digest": b64u.encode(schema.digest)}


def _weigh(question: Json, codelists: Mapping[str, Collection[str]]) -> Json:
    document = parse_document(b64u.decode(question["raw"]))
    earlier = [(version, parse_document(b64u.decode(text))) for version, text in question["earlier"]]
    breaks = check_mode(Mode(question["mode"]), document, earlier, codelists=codelists)
    explained = question["explain"]
    changed = diff(earlier[-1][1], document, codelists=codelists) if explained and earlier else None
    return {
        "breaks": [[found.version, found.direction, asdict(found.why)] for found in breaks[:MAX_BREAKS]],
        "diff": changed and _shown(changed),
        "advice": [[f.pointer, f.reason, f.code] for f in advise(document)[:MAX_ADVICE]] if explained else [],
    }


def _compare(question: Json, codelists: Mapping[str, Collection[str]]) -> Json:
    old, new = (parse_document(b64u.decode(question[name])) for name in ("old", "new"))
    for document in (old, new):
        found = lint(document)
        if found:
            raise SchemaRefused(f"one of them has {len(found)} fault(s)", errors=found)
    return {"diff": _shown(diff(old, new, codelists=codelists))}


def _find(question: Json, _codelists: Mapping[str, Collection[str]]) -> Json:
    raw = b64u.decode(question["raw"])
    return {"digest": b64u.encode(digest_of(parse_document(raw)))}


_ANSWERS: Final = {"name": _name, "weigh": _weigh, "compare": _compare, "find": _find}


def _shown(found: SchemaDiff) -> Json:
    changes = [[c.what, c.pointer, c.old, c.new] for c in found.changes[:MAX_CHANGES]]
    left_out = len(found.changes) - len(changes)
    if left_out:
        changes.append(["changed", "", f"{left_out} more changes are not shown", None])
    return {
        "changes": changes,
        "backward": [asdict(why) for why in found.backward[:MAX_BREAKS]],
        "forward": [asdict(why) for why in found.forward[:MAX_BREAKS]],
    }


# --- reading answers ---------------------------------------------------------------------------------


def accepted(found: Json) -> Json:
    """Return an answer. Raises SchemaRefused or TooLarge where it is a refusal."""
    if "refused" in found:
        errors = tuple(Finding(*parts) for parts in found["errors"])
        raise (TooLarge if found["large"] else SchemaRefused)(found["refused"], errors=errors)
    return found


def breaks_of(found: Json) -> tuple[Break, ...]:
    """Return the breaks of an answer."""
    return tuple(Break(version, direction, Incompatibility(**why)) for version, direction, why in found["breaks"])


def advice_of(found: Json) -> tuple[Finding, ...]:
    """Return the advice of an answer."""
    return tuple(Finding(*parts) for parts in found["advice"])


def diff_of(found: Json) -> SchemaDiff | None:
    """Return the difference of an answer, None where none was asked for."""
    told = found["diff"]
    if told is None:
        return None
    return SchemaDiff(
        tuple(Change(*parts) for parts in told["changes"]),
        tuple(Incompatibility(**why) for why in told["backward"]),
        tuple(Incompatibility(**why) for why in told["forward"]),
    )
