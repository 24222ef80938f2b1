"""Bodies of the API for statistics."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from gateway.web.api.models import MessageId, Model, Page, Party, Time

Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$", examples=["2025-01-31"])]
Dimension = Literal["sex", "ageGroup", "checkpoint", "subdivision", "destination", "channel"]


class Period(Model):
    """The days a report covers, both included."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    first: Day = Field(alias="from")
    to: Day
    grain: Literal["MONTH", "QUARTER", "OTHER"]


class FigureSource(Model):
    """Where a figure comes from: a message, or a row of an import with what that names as its source."""

    message: MessageId | None
    number: int | None = Field(alias="import")
    row: int | None
    label: str | None

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Figure(Model):
    """One figure; `value` is null where it is suppressed."""

    indicator: str = Field(examples=["DEPARTURES_DEFERRED"])
    label: str
    value: int | None
    suppressed: bool
    qualifier: Literal["EQ", "GT", "LT", "APPROX"]
    breakdown: dict[str, str]
    status: Literal["FINAL", "PROVISIONAL"]
    sources: list[FigureSource]


class PartnerFigures(Model):
    """What a partner reported of the same period, revisions taken in."""

    party: Party
    messages: list[MessageId]
    figures: list[Figure]


class LeftOut(Model):
    """A figure brought in whose days lie only partly in the period."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    indicator: str
    first: Day = Field(alias="from")
    to: Day
    number: int = Field(alias="import")
    row: int


class StatisticsReport(Model):
    """The figures of a period."""

    period: Period
    by: list[Dimension]
    definitions_version: str
    figures: list[Figure]
    partners: list[PartnerFigures]
    left_out: list[LeftOut]


class DraftRequest(Model):
    """Which figures to tell whom; `extra` has outreach, campaigns, meetings and contactRole of stats.periodic."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    recipient: Party
    first: str = Field(alias="from", examples=["2025-01"])
    to: str = Field(examples=["2025-04"])
    by: list[Dimension] = Field(default_factory=list, max_length=2)
    final: bool = False
    extra: dict[str, Any] = Field(default_factory=dict)


class FigureImport(Model):
    """A file of figures."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    number: int = Field(alias="import")
    at: Time
    account: str
    withdrawn_at: Time | None


class FigureImports(Page):
    """Files of figures, newest first."""

    items: list[FigureImport]


class Imported(Model):
    """What was brought in."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    number: int = Field(alias="import")
    rows: int


class Withdrawn(Model):
    """An import that counts no more."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    number: int = Field(alias="import")
    withdrawn: bool
