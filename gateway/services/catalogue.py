"""The schemas in force, compiled: which version may be used with whom, and whether data fits it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Finding, LedgerError, UnknownSchema, UnknownSchemaRequested
from gateway.registry.compatibility import Mode
from gateway.registry.subject import SchemaVersion, stored_schema, version_key
from gateway.registry.validation import Validator

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from gateway.ports.parties import StoredSchema
    from gateway.protocol.card import Card
    from gateway.protocol.event import Event


DEFAULT_MODE = Mode.BACKWARD
"""Of all subjects, until somebody sets another (Confluent's)."""
ALL_SUBJECTS = ""
LARGE_BYTES = 128 * 1024
"""Of a schema: ours are smaller."""


class Catalogue:
    """Registered schemas by subject and version; validators are built when first needed."""

    def __init__(self, codelists: Mapping[str, Collection[str]]) -> None:
        self._codelists = codelists
        self._stored: dict[tuple[str, str], StoredSchema] = {}
        self._approved: dict[str, tuple[str, ...]] = {}
        self._loaded: dict[tuple[str, str], SchemaVersion] = {}
        self._validators: dict[tuple[str, str], Validator] = {}
        self._modes: dict[str, Mode] = {}

    def take(self, schemas: Sequence[StoredSchema], modes: Mapping[str, str]) -> None:
        """Replace what is known by what is stored; an approved version never changes its bytes."""
        self._modes = {subject: Mode(mode) for subject, mode in modes.items()}
        self._stored = {(s.subject, s.version): s for s in schemas}
        # What was read of other bytes is read again, and held against its digest.
        same = {key for key, s in self._stored.items() if key in self._loaded and self._loaded[key].text == s.document}
        self._loaded = {key: loaded for key, loaded in self._loaded.items() if key in same}
        found: dict[str, list[str]] = {}
        for (subject, version), stored in self._stored.items():
            if stored.approved_at is not None:
                found.setdefault(subject, []).append(version)
        self._approved = {subject: tuple(sorted(found[subject], key=version_key)) for subject in sorted(found)}

    def keep(self, schemas: Iterable[SchemaVersion]) -> None:
        """Take versions that were read already; those that are registered need not be read again."""
        self._loaded |= {(s.subject, s.version): s for s in schemas}

    def unread_large(self) -> list[tuple[str, str]]:
        """Return the versions of many bytes that nobody has read yet."""
        return [key for key, s in self._stored.items() if len(s.document) > LARGE_BYTES and key not in self._loaded]

    @property
    def codelists(self) -> Mapping[str, Collection[str]]:
        """The codes of each list, by `name@version`."""
        return self._codelists

    @property
    def stored(self) -> Sequence[StoredSchema]:
        """Every registered version."""
        return list(self._stored.values())

    def versions(self, subject: str) -> Sequence[StoredSchema]:
        """Return the versions of a subject in the order of their registration."""
        return sorted((s for s in self.stored if s.subject == subject), key=lambda s: s.ordinal)

    def own_modes(self) -> Collection[str]:
        """Return the subjects that have a compatibility mode of their own."""
        return self._modes.keys() - {ALL_SUBJECTS}

    def own_mode(self, subject: str) -> Mode | None:
        """Return the compatibility mode set for one subject, or for `ALL_SUBJECTS`; None where none was."""
        return self._modes.get(subject)

    def mode(self, subject: str) -> Mode:
        """Return the compatibility mode in force for a subject."""
        return self._modes.get(subject) or self._modes.get(ALL_SUBJECTS, DEFAULT_MODE)

    def approved(self) -> dict[str, tuple[str, ...]]:
        """Return the versions we approved, by subject, oldest first: the card's `schemas`."""
        return dict(self._approved)

    def version(self, subject: str, version: str) -> SchemaVersion:
        """Return one registered version, parsed. Raises UnknownSchemaRequested.

        LedgerError where its stored bytes are not those that were registered: the log has their digest.
        """
        key = (subject, version)
        if key not in self._loaded:
            stored = self._stored.get(key)
            if stored is None:
                detail = f"no schema {subject} {version} is registered here; see `gateway schema list`"
                raise UnknownSchemaRequested(detail)
            loaded = stored_schema(stored.document, subject=subject, version=version)
            if loaded.digest != stored.digest:
                detail = f"the stored schema {subject} {version} was changed: restore it from a backup"
                raise LedgerError(detail)
            self._loaded[key] = loaded
        return self._loaded[key]

    def usable(self, subject: str, partner: Card) -> SchemaVersion:
        """Return the highest version both parties approved. Raises UnknownSchemaRequested with the fix."""
        ours, theirs = self._approved.get(subject, ()), partner.schemas.get(subject, ())
        both = [version for version in ours if version in theirs]
        if not both:
            if not any(s == subject for s, _ in self._stored):
                detail = "no schema of this type is registered here; `gateway schema list` shows the types"
            elif not ours:
                detail = f"no version of {subject} is approved here; see `gateway schema approve`"
            else:
                detail = f"{partner.party} has approved no version of {subject} that is approved here"
            raise UnknownSchemaRequested(detail, errors=(Finding("/type", detail, "E-VERSION"),))
        return self.version(subject, both[-1])

    def held(self, event: Event) -> SchemaVersion:
        """Return the approved version an event was written for. Raises UnknownSchema (step 10)."""
        stored = self._stored.get((event.subject, event.schema_version))
        if stored is None or stored.approved_at is None:
            raise UnknownSchema(
                "this version is not approved here", errors=(Finding("/dataschema", "not approved here", "E-VERSION"),)
            )
        if stored.digest != event.schema_digest:
            # Schema substitution: the same name over other rules.
            raise UnknownSchema(
                "another digest", errors=(Finding("/schemadigest", "not the digest held here", "E-VERSION"),)
            )
        return self.version(event.subject, event.schema_version)

    def validator(self, schema: SchemaVersion) -> Validator:
        """Return the compiled validator of a version."""
        key = (schema.subject, schema.version)
        if key not in self._validators:
            self._validators[key] = Validator(schema, self._codelists)
        return self._validators[key]

    def is_manifest(self, schema_urn: str) -> bool:
        """Say whether events of this `dataschema` may be 10 MiB (protocol.md §4.5)."""
        subject, _, version = schema_urn.removeprefix("urn:bcx:schema:").rpartition(":")
        stored = self._stored.get((subject, version))
        return stored is not None and stored.approved_at is not None and self.version(subject, version).is_manifest

    def opens_case(self, subject: str) -> bool:
        """Say whether any registered version of a type opens cases."""
        return any(self.version(s, v).opens_case for s, v in self._stored if s == subject)
