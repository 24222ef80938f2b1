"""What the registry says of a schema somebody gives it: its name, whether it is held, and what it breaks.

1. It is read, linted and named; what lacks `$id` gets the next version of its subject.
2. Every code list it names is held here, or nobody could ever use it.
3. The same content under the same subject is the same version, whatever blanks it has.
4. Another content under a name that is taken is no version.
5. The compatibility mode in force is asked, about versions in the order of their registration.

Linting and proofs take up to seconds of a processor and much memory: `judging` does them in another process, within
its limits, and here is only what was registered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gateway.primitives import b64u
from gateway.registry import judging
from gateway.registry.compatibility import Break, Mode
from gateway.registry.subject import SchemaVersion, next_version, parse_document, stored_schema, version_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.errors import Finding
    from gateway.ports.parties import SchemaJudge, StoredSchema
    from gateway.registry.diff import SchemaDiff
    from gateway.services.catalogue import Catalogue

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
    """Judges schemas against what the catalogue holds; `caller` is whose turn a question takes."""

    def __init__(self, catalogue: Catalogue, judge: SchemaJudge) -> None:
        self._catalogue = catalogue
        self._judge = judge

    async def judge(
        self,
        raw: bytes,
        *,
        caller: str,
        subject: str | None = None,
        version: str | None = None,
        mode: Mode | None = None,
        explain: bool = False,
    ) -> Verdict:
        """Return the verdict on a schema; `mode` absent is the one in force for its subject.

        Raises SchemaRefused or TooLarge for what could never be registered, TooManyRequests, StorageUnavailable.
        """
        # (1) Read, lint, name; (2) code lists.
        schema, named = await self._load(raw, subject, version, caller)
        # (3) Content, (4) name.
        versions = self._catalogue.versions(schema.subject)
        held = self._held(schema.digest, versions)
        earlier = [s for s in versions if held is None or s.ordinal < held.ordinal]
        mode = mode or self._catalogue.mode(schema.subject)
        # (5) Compatibility.
        told = await self._weigh(raw, earlier if held is None or explain else (), mode, caller, explain=explain)
        breaks = () if held else judging.breaks_of(told)
        if not named:
            name = held.version if held else await self._next(raw, versions, mode, breaks, caller)
            schema = replace(schema, version=name)
        against = earlier[-1] if earlier else None
        taken = held is None and any(s.version == schema.version for s in versions)
        return Verdict(
            schema, held, taken, against, mode, breaks, judging.diff_of(told), judging.advice_of(told)
        )  # fmt: skip

    async def compare(self, raw: bytes, earlier: Sequence[StoredSchema], mode: Mode, *, caller: str) -> Sequence[Break]:
        """Return what `mode` has against a schema that follows these versions of one subject, oldest first."""
        await self._load(raw, earlier[-1].subject, None, caller)
        return judging.breaks_of(await self._weigh(raw, earlier, mode, caller))

    async def find(self, raw: bytes, subject: str, *, caller: str) -> StoredSchema | None:
        """Return the version of a subject that has this content, or None. Raises SchemaRefused for no JSON object."""
        found = await self._ask(judging.finding(raw), caller)
        return self._held(b64u.decode(found["digest"]), self._catalogue.versions(subject))

    async def diff(self, old: bytes, new: bytes, *, caller: str) -> SchemaDiff:
        """Return what changed between two documents. Raises SchemaRefused where one could not be registered."""
        found = judging.diff_of(await self._ask(judging.comparing(old, new), caller))
        assert found is not None
        return found

    async def _ask(self, question: Mapping[str, Any], caller: str) -> dict[str, Any]:
        return judging.accepted(await self._judge.ask(question, self._catalogue.codelists, caller))

    async def _load(
        self, raw: bytes, subject: str | None, version: str | None, caller: str
    ) -> tuple[SchemaVersion, bool]:
        """Return the schema, and whether it has a name already; else `FIRST_VERSION` stands for it."""
        named = version is not None or subject is None or "$id" in await asyncio.to_thread(parse_document, raw)
        found = await self._ask(judging.naming(raw, subject, version if named else FIRST_VERSION), caller)
        name, number = found["subject"], found["version"]
        return await asyncio.to_thread(stored_schema, raw, subject=name, version=number), named

    def _held(self, digest: bytes, versions: Sequence[StoredSchema]) -> StoredSchema | None:
        return next((s for s in versions if s.digest == digest), None)

    async def _next(
        self, raw: bytes, versions: Sequence[StoredSchema], mode: Mode, breaks: Sequence[Break], caller: str
    ) -> str:
        """Return the next minor version, or major one where readers of the version before would be left behind."""
        highest = max((s.version for s in versions), key=version_key, default=None)
        if mode is Mode.NONE:
            breaks = judging.breaks_of(await self._weigh(raw, versions, Mode.BACKWARD, caller))
        return next_version(highest, compatible=not breaks)

    async def _weigh(
        self, raw: bytes, earlier: Sequence[StoredSchema], mode: Mode, caller: str, *, explain: bool = False
    ) -> dict[str, Any]:
        # Only what the mode asks about is read: a subject may have many versions.
        asked = earlier if mode.endswith("_TRANSITIVE") else earlier[-1:]
        if not explain and (mode is Mode.NONE or not asked):
            return {"breaks": [], "diff": None, "advice": []}
        documents = [(s.version, s.document) for s in asked]
        return await self._ask(judging.weighing(raw, documents, mode, explain=explain), caller)
