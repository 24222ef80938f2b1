"""What the registry says of a schema somebody gives it: its name, whether it is held, and what it breaks.

1. It is read, linted and named; what lacks `$id` gets the next version of its subject.
2. Every code list it names is held here, or nobody could ever use it.
3. The same content under the same subject is the same version, whatever blanks it has.
4. Another content under a name that is taken is no version.
5. The compatibility mode in force is asked, about versions in the order of their registration.

Linting and proofs take up to seconds of a processor: they run in a thread, one at a time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import Finding, SchemaRefused
from gateway.registry.compatibility import Break, Mode, check_mode
from gateway.registry.diff import SchemaDiff, diff
from gateway.registry.lint import advise
from gateway.registry.subject import SchemaVersion, digest_of, load_schema, next_version, parse_document, version_key
from gateway.registry.validation import codelists_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.ports.parties import StoredSchema
    from gateway.services.catalogue import Catalogue

T = TypeVar("T")

FIRST_VERSION = "1.0.0"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a schema before it is registered."""

    schema: SchemaVersion
    held: StoredSchema | None
    """The version of this content, where it is registered."""
    taken: bool
    """Whether another content has its name."""
    against: StoredSchema | None
    """The version registered last before it."""
    mode: Mode
    breaks: tuple[Break, ...]
    diff: SchemaDiff | None = None
    """From that version, where there is one and an explanation was asked for."""
    advice: tuple[Finding, ...] = ()
    """What nobody must follow; where an explanation was asked for."""


class Appraiser:
    """Judges schemas against what the catalogue holds."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._one = asyncio.Lock()

    async def judge(
        self,
        raw: bytes,
        *,
        subject: str | None = None,
        version: str | None = None,
        mode: Mode | None = None,
        explain: bool = False,
    ) -> Verdict:
        """Return the verdict on a schema; `mode` absent is the one in force for its subject.

        Raises SchemaRefused or TooLarge for what could never be registered.
        """
        return await self._aside(lambda: self._judge(raw, subject, version, mode, explain=explain))

    async def compare(self, raw: bytes, earlier: Sequence[StoredSchema], mode: Mode) -> Sequence[Break]:
        """Return what `mode` has against a schema that follows these versions of one subject, oldest first."""
        return await self._aside(
            lambda: self._breaks(self._load(raw, earlier[-1].subject, None)[0], earlier, mode)
        )  # fmt: skip

    async def find(self, raw: bytes, subject: str) -> StoredSchema | None:
        """Return the version of a subject that has this content, or None. Raises SchemaRefused for no JSON object."""
        digest = await self._aside(lambda: digest_of(parse_document(raw)))
        return self._held(digest, self._catalogue.versions(subject))

    async def _aside(self, work: Callable[[], T]) -> T:
        async with self._one:
            return await asyncio.to_thread(work)

    def _judge(
        self, raw: bytes, subject: str | None, version: str | None, mode: Mode | None, *, explain: bool
    ) -> Verdict:
        # (1) Read, lint, name.
        schema, named = self._load(raw, subject, version)
        # (2) Code lists.
        unknown = sorted(codelists_of(schema.document) - set(self._catalogue.codelists))
        if unknown:
            detail = f"it uses code lists that are not held here: {', '.join(unknown)}"
            raise SchemaRefused(detail, errors=(Finding("", detail, "schema-codelist"),))
        # (3) Content, (4) name.
        versions = self._catalogue.versions(schema.subject)
        held = self._held(schema.digest, versions)
        earlier = [s for s in versions if held is None or s.ordinal < held.ordinal]
        mode = mode or self._catalogue.mode(schema.subject)
        # (5) Compatibility.
        breaks = () if held else tuple(self._breaks(schema, earlier, mode))
        if not named:
            schema = replace(schema, version=held.version if held else self._next(schema, versions, mode, breaks))
        against = earlier[-1] if earlier else None
        taken = held is None and any(s.version == schema.version for s in versions)
        verdict = Verdict(schema, held, taken, against, mode, breaks)
        return self._explained(verdict) if explain else verdict

    def _explained(self, verdict: Verdict) -> Verdict:
        found, document, against = None, verdict.schema.document, verdict.against
        if against is not None:
            before = self._catalogue.version(against.subject, against.version)
            found = diff(before.document, document, codelists=self._catalogue.codelists)
        return replace(verdict, diff=found, advice=advise(document))

    def _load(self, raw: bytes, subject: str | None, version: str | None) -> tuple[SchemaVersion, bool]:
        """Return the schema, and whether it has a name already; else `FIRST_VERSION` stands for it."""
        named = version is not None or subject is None or "$id" in parse_document(raw)
        return load_schema(raw, subject=subject, version=version if named else FIRST_VERSION), named

    def _held(self, digest: bytes, versions: Sequence[StoredSchema]) -> StoredSchema | None:
        return next((s for s in versions if s.digest == digest), None)

    def _next(
        self, schema: SchemaVersion, versions: Sequence[StoredSchema], mode: Mode, breaks: Sequence[Break]
    ) -> str:
        """Return the next minor version, or major one where readers of the version before would be left behind."""
        highest = max((s.version for s in versions), key=version_key, default=None)
        if mode is Mode.NONE:
            breaks = self._breaks(schema, versions, Mode.BACKWARD)
        return next_version(highest, compatible=not breaks)

    def _breaks(self, schema: SchemaVersion, earlier: Sequence[StoredSchema], mode: Mode) -> list[Break]:
        if mode is Mode.NONE:
            return []
        # Only what the mode asks about is read: a subject may have many versions.
        asked = earlier if mode.endswith("_TRANSITIVE") else earlier[-1:]
        documents = [(s.version, self._catalogue.version(s.subject, s.version).document) for s in asked]
        return check_mode(mode, schema.document, documents, codelists=self._catalogue.codelists)
