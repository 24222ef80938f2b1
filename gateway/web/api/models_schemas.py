"""The bodies of `POST /schemas/check`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.registry.compatibility import Mode
from gateway.registry.subject import VERSION
from gateway.web.api.models import Digest, FoundError, Model, Subject, Time
from gateway.web.api.route import anchored
from gateway.web.registry.models import FoundBreak


class SchemaCheck(Model):
    """A schema to judge."""

    document: str = Field(description="JSON Schema 2020-12, as text")
    subject: Subject | None = Field(None, description="where the schema has no `$id`")
    version: str | None = Field(
        None, pattern=anchored(VERSION.pattern), description="where the schema has no `$id`; absent: the next one"
    )
    mode: Mode | None = Field(None, description="absent: the one in force for its subject")
    traffic: bool = Field(default=True, description="false: stored messages are left alone")


class FoundChange(Model):
    """One difference from the version before; `old` or `new` is null where it has none."""

    what: Literal["added", "removed", "changed"]
    pointer: str
    old: str | None
    new: str | None


class FoundPlace(Model):
    """Where stored messages would be refused."""

    pointer: str = Field(description="`*` stands for any item of a list", examples=["/data/persons/*/sex"])
    code: str = Field(examples=["E-CODE"])
    reason: str = Field(description="the first that was met, in words of the schema")
    messages: int


class Traffic(Model):
    """What the stored messages of the type, both directions, say."""

    since: Time
    messages: int = Field(description="tried")
    failed: int
    erased: int = Field(description="not tried: there is no body any more")
    changed: int = Field(description="not tried: what is stored is not what was logged; alarmed")
    whole: bool = Field(description="false: time ran out, and not all were tried")
    places: list[FoundPlace]


class SchemaChecked(Model):
    """The verdict on a schema."""

    subject: str
    version: str
    digest: Digest
    registered: bool = Field(description="this content is registered")
    taken: bool = Field(description="this version is registered with other content")
    mode: Mode
    against: str | None = Field(description="the version registered last before it")
    compatible: bool
    verdict: str | None = Field(description="who can still read whom, it and the version before")
    breaks: list[FoundBreak] = Field(description="what the mode has against it")
    changes: list[FoundChange]
    advice: list[FoundError]
    traffic: Traffic | None
