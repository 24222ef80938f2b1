"""The bodies of `/registry`, as Confluent's Schema Registry has them; members beside its own are marked."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from gateway.registry.compatibility import Mode
from gateway.web.api.models import Digest, Model, Problem

SchemaType = Literal["JSON"]


class RegistryProblem(Problem):
    """An error of the registry: Confluent's two members beside those of RFC 9457."""

    error_code: int = Field(examples=[40401], description="Confluent's number")
    message: str


class Subjects(RootModel[list[str]]):
    """Names of subjects: message types."""


class Versions(RootModel[list[int]]):
    """Numbers of versions: version n is the n-th that was registered."""


class SchemaIds(RootModel[list[int]]):
    """Ids of schemas."""


class SchemaTypes(RootModel[list[SchemaType]]):
    """The only type of schema here."""


class SchemaRequest(BaseModel):
    """A schema. What could not be kept (references, metadata, rules) is refused and not dropped."""

    model_config = ConfigDict(populate_by_name=True)

    text: str = Field(alias="schema", description="JSON Schema 2020-12, as text")
    schema_type: SchemaType = Field("JSON", alias="schemaType")


class ModeRequest(BaseModel):
    """A compatibility mode to set."""

    compatibility: Mode


class ModeSet(Model):
    """The mode as set."""

    compatibility: Mode


class ModeShown(Model):
    """The mode in force."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    level: Mode = Field(alias="compatibilityLevel")


class Registered(Model):
    """A version by its numbers. Ours beside Confluent's: `semver`, `digest`, `approved`."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    id: int
    subject: str
    version: int
    schema_type: SchemaType = Field(alias="schemaType")
    semver: str = Field(examples=["1.0.0"], description="of its `$id`, or as the registry named it")
    digest: Digest = Field(description="SHA-256 of the RFC 8785 form, as every message carries it")
    approved: bool = Field(description="whether we approved it: a version is used once both authorities have")


class RegisteredSchema(Registered):
    """A version with its text, byte for byte."""

    text: str = Field(alias="schema")


class SchemaById(Model):
    """A schema by its id."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    text: str = Field(alias="schema")
    schema_type: SchemaType = Field(alias="schemaType")


class SubjectVersion(Model):
    """Where an id is used."""

    subject: str
    version: int


class SubjectVersions(RootModel[list[SubjectVersion]]):
    """Where an id is used."""


class FoundBreak(Model):
    """One thing an earlier version or its readers would not survive."""

    version: str = Field(description="the earlier version, by its semver")
    direction: Literal["backward", "forward"] = Field(description="backward: the new version is the reader")
    pointer: str = Field(description="into the reader's schema")
    rule: str = Field(description="the keyword that is not met")
    words: str
    decided: bool = Field(description="false: nothing shows a break, but nothing excludes it either")


class Compatible(Model):
    """A verdict; `messages` and `findings` with `verbose=true`."""

    is_compatible: bool
    messages: list[str] | None = None
    findings: list[FoundBreak] | None = None


class RegistryMode(Model):
    """Whether the registry takes versions."""

    mode: Literal["READWRITE"]
