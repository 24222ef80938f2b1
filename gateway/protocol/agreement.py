"""The agreement: which party may send what to which, on what transfer basis, and what needs a second person.

Read once at start from a TOML document and never changed in memory. It fails closed: an agreement that
names nothing permits nothing, and a key it does not know is an error, since a misspelt restriction
would otherwise be one that is not there (protocol.md §4.4 (9); UU 27/2022 Art. 56).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import rfc8785

from gateway.errors import ConfigurationError, Finding
from gateway.primitives import times
from gateway.protocol.attributes import ENVIRONMENTS, URGENCIES
from gateway.protocol.ids import PartyId, case_state, parse_party

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from gateway.protocol.ids import CaseRef

ANY: Final = "*"
TEST_INSTRUMENT_CODE: Final = "ART56_3_BINDING_INSTRUMENT"
# What leaves Cambodia stands under its own rules (list `transferBasis`).
TEST_INSTRUMENT_CODES: Final = (TEST_INSTRUMENT_CODE, "KH_ORIGIN_MOI_RULES")
TEST_INSTRUMENT_REF: Final = "TEST-INSTRUMENT"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TYPE: Final = re.compile(r"[a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)*")
_HANDLING: Final = re.compile(r"[A-Z][A-Z0-9]{0,15}")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_DAYS: Final = frozenset({"active_from", "active_until"})
_PERMIT_KEYS: Final = frozenset({"sender", "recipient", "types", "urgencies", "handling", "release"})
_INSTRUMENT_KEYS: Final = frozenset({"code", "ref", "title", "test"})


@dataclass(frozen=True, slots=True)
class Period:
    """From `from_ms` (included) to `until_ms` (excluded, none = open); ms since the epoch."""

    from_ms: int
    until_ms: int | None

    def covers(self, at_ms: int) -> bool:
        """Say whether `at_ms` lies in it."""
        return self.from_ms <= at_ms and (self.until_ms is None or at_ms < self.until_ms)


@dataclass(frozen=True, slots=True)
class Choice:
    """A set of texts, or `*` for all; an empty one holds nothing."""

    named: frozenset[str]

    def allows(self, value: str) -> bool:
        """Say whether `value` is among them."""
        return ANY in self.named or value in self.named


@dataclass(frozen=True, slots=True)
class Permit:
    """One direction of traffic; `release` names the types a second person must release before they leave."""

    sender: PartyId
    recipient: PartyId
    types: Choice
    urgencies: Choice
    handling: Choice
    release: Choice
    period: Period


@dataclass(frozen=True, slots=True)
class TransferInstrument:
    """A ground on which personal data may cross the border (`data.meta.transferBasis`), while in force."""

    code: str
    ref: str
    title: str
    test: bool
    period: Period


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two or more parties agreed; `digest` is SHA-256 over its JCS, to compare it with the partner's."""

    granted: tuple[Permit, ...]
    instruments: tuple[TransferInstrument, ...]
    digest: bytes

    @property
    def parties(self) -> frozenset[PartyId]:
        """Return every party it names."""
        return frozenset(party for permit in self.granted for party in (permit.sender, permit.recipient))

    def permits(
        self,
        sender: PartyId,
        recipient: PartyId,
        subject: str,
        urgency: str,
        handling: Sequence[str],
        now_ms: int,
    ) -> Finding | None:
        """Return nothing when one permit allows the message whole, else what stands in its way.

        Two permits never add up: the types of one with the urgencies of another were agreed by nobody.
        """
        between = [
            permit
            for permit in self.granted
            if permit.sender == sender and permit.recipient == recipient and permit.period.covers(now_ms)
        ]
        if not between:
            return Finding("", "no permit in force between these parties", "E-AUTHORITY")
        for_type = [permit for permit in between if permit.types.allows(subject)]
        if not for_type:
            return Finding("/type", "this type is not agreed", "E-AUTHORITY")
        for_urgency = [permit for permit in for_type if permit.urgencies.allows(urgency)]
        if not for_urgency:
            return Finding("/urgency", "this urgency is not agreed for the type", "E-AUTHORITY")
        if not any(handling and all(map(permit.handling.allows, handling)) for permit in for_urgency):
            return Finding("/handling", "a handling code is not agreed for the type", "E-HANDLING")
        return None

    def permits_case(self, case: CaseRef, sender: PartyId, *, shared: bool) -> Finding | None:
        """Return nothing when the case is `shared` with the sender or opens under its own State (step (9)).

        Else one partner could write into the cases of another, or open one in another State's name.
        """
        if shared or case_state(case) == sender.partition(".")[0]:
            return None
        return Finding("/subject", "not a case shared with this party or of its own State", "E-REF")

    def needs_release(self, sender: PartyId, recipient: PartyId, subject: str, now_ms: int) -> bool:
        """Say whether a second person must release a message of this type before it leaves.

        True where any permit in force says so, and where none covers the type.
        """
        covering = [
            permit
            for permit in self.granted
            if permit.sender == sender
            and permit.recipient == recipient
            and permit.period.covers(now_ms)
            and permit.types.allows(subject)
        ]
        return not covering or any(permit.release.allows(subject) for permit in covering)

    def transfer_instrument(self, code: str, ref: str | None, at_ms: int) -> TransferInstrument | None:
        """Return the instrument of that code and reference when it is in force at `at_ms`."""
        for instrument in self.instruments:
            if instrument.code == code and instrument.ref == ref and instrument.period.covers(at_ms):
                return instrument
        return None

    def any_instrument(self, at_ms: int) -> bool:
        """Tell whether any transfer instrument is in force at `at_ms`."""
        return any(instrument.period.covers(at_ms) for instrument in self.instruments)


def parse_agreement(document: Mapping[str, Any], *, environment: str, name: str = "agreement.toml") -> Agreement:
    """Read the TOML document `name` (as `tomllib` gives it) for a gateway of this `environment`.

    Raises:
        ConfigurationError: `detail` names the file, the key and what is wrong with it.

    """
    reader = _Reader(name, environment)
    reader.only(document, "", {"version", "permit", "transfer_instrument"})
    if type(document.get("version")) is not int or document["version"] != 1:
        raise reader.fault("version", "must be 1")
    permits = tuple(reader.permit(table, f"permit[{at}]") for at, table in reader.tables(document, "permit"))
    instruments = tuple(
        reader.instrument(table, f"transfer_instrument[{at}]")
        for at, table in reader.tables(document, "transfer_instrument")
    )
    return Agreement(permits, instruments, sha256(rfc8785.dumps(_plain(document))).digest())


class _Reader:
    """The faults of one file, each named by its key."""

    def __init__(self, name: str, environment: str) -> None:
        self.name = name
        if environment not in ENVIRONMENTS:
            raise self.fault("environment", "of the gateway must be prod or test")
        self.environment = environment

    def fault(self, key: str, reason: str) -> ConfigurationError:
        return ConfigurationError(f"{self.name}: {key}: {reason}")

    def only(self, table: Mapping[str, Any], at: str, known: Collection[str]) -> None:
        unknown = sorted(set(table) - set(known))
        if unknown:
            key = f"{at}.{unknown[0]}" if at else unknown[0]
            raise self.fault(key, f"unknown key; known are {', '.join(sorted(known))}")

    def tables(self, document: Mapping[str, Any], key: str) -> list[tuple[int, Mapping[str, Any]]]:
        value = document.get(key, [])
        if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
            raise self.fault(key, f"write each as a table [[{key}]]")
        return list(enumerate(value))

    def permit(self, table: Mapping[str, Any], at: str) -> Permit:
        self.only(table, at, _PERMIT_KEYS | _DAYS)
        sender, recipient = self.party(table, at, "sender"), self.party(table, at, "recipient")
        if sender == recipient:
            raise self.fault(f"{at}.recipient", "must be another party than the sender")
        types, release = self.choice(table, at, "types", _TYPE), self.choice(table, at, "release", _TYPE)
        stray = sorted(one for one in release.named if one != ANY and not types.allows(one))
        if stray:
            raise self.fault(f"{at}.release", f"{stray[0]} is not among its types")
        urgencies = self.choice(table, at, "urgencies", re.compile("|".join(URGENCIES)))
        handling = self.choice(table, at, "handling", _HANDLING)
        return Permit(sender, recipient, types, urgencies, handling, release, self.period(table, at))

    def instrument(self, table: Mapping[str, Any], at: str) -> TransferInstrument:
        self.only(table, at, _INSTRUMENT_KEYS | _DAYS)
        code, ref = self.text(table, at, "code"), self.text(table, at, "ref")
        if _CODE.fullmatch(code) is None:
            raise self.fault(f"{at}.code", "must be a code of the list transferBasis, in capitals")
        test = table.get("test", False)
        if not isinstance(test, bool):
            raise self.fault(f"{at}.test", "must be true or false")
        if test and self.environment != "test":
            # Personal data of real people must never cross on a paper made for rehearsal.
            raise self.fault(f"{at}.test", "a test instrument has no place in environment prod")
        if "active_from" not in table:
            raise self.fault(f"{at}.active_from", "missing: an instrument counts from a day on")
        return TransferInstrument(code, ref, self.text(table, at, "title"), test, self.period(table, at))

    def text(self, table: Mapping[str, Any], at: str, key: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.fault(f"{at}.{key}", "must be a text")
        return value

    def party(self, table: Mapping[str, Any], at: str, key: str) -> PartyId:
        try:
            return parse_party(self.text(table, at, key))
        except ValueError:
            raise self.fault(f"{at}.{key}", "must be a party such as id.imigrasi") from None

    def choice(self, table: Mapping[str, Any], at: str, key: str, form: re.Pattern[str]) -> Choice:
        value = table.get(key)
        if not isinstance(value, list):
            raise self.fault(f"{at}.{key}", 'must be a list, [] for none, ["*"] for all')
        for one in value:
            if not isinstance(one, str) or (one != ANY and form.fullmatch(one) is None):
                raise self.fault(f"{at}.{key}", "holds a value of the wrong form")
        if ANY in value and len(value) > 1:
            raise self.fault(f"{at}.{key}", '"*" stands alone')
        return Choice(frozenset(value))

    def period(self, table: Mapping[str, Any], at: str) -> Period:
        from_ms, until_ms = self.moment(table, at, "active_from"), self.moment(table, at, "active_until")
        period = Period(0 if from_ms is None else from_ms, until_ms)
        if until_ms is not None and until_ms <= period.from_ms:
            raise self.fault(f"{at}.active_until", "must lie after active_from")
        return period

    def moment(self, table: Mapping[str, Any], at: str, key: str) -> int | None:
        value = table.get(key)
        if value is None:
            return None
        # TOML without an offset means "local time", and whose is what two States would argue about.
        if isinstance(value, datetime) and value.tzinfo is None:
            raise self.fault(f"{at}.{key}", "must end in Z or an offset")
        if not isinstance(value, date):
            raise self.fault(f"{at}.{key}", "must be a date (midnight UTC) or a date-time, without quotes")
        moment = _moment_ms(value)
        if moment < 0:
            raise self.fault(f"{at}.{key}", "must lie after 1970")
        return moment


def _moment_ms(value: date) -> int:
    moment = value if isinstance(value, datetime) else datetime.combine(value, time(), UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _plain(value: Any) -> Any:
    """Turn TOML into what JCS can write: a date becomes the time it stands for."""
    if isinstance(value, date):
        return times.format_ms(_moment_ms(value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def test_agreement(me: PartyId, *partners: PartyId) -> str:
    """Write the `agreement.toml` of `gateway init --environment test`.

    Every type both ways between `me` and each partner, marked test instruments for what leaves either
    State, no release by a second person. `parse_agreement` refuses it in environment prod.
    """
    ways = [way for partner in partners for way in ((me, partner), (partner, me))]
    permits = "".join(
        f'\n[[permit]]\nsender = "{sender}"\nrecipient = "{recipient}"\n'
        'types = ["*"]\nurgencies = ["*"]\nhandling = ["*"]\nrelease = []\n'
        for sender, recipient in ways
    )
    instruments = "".join(
        f'\n[[transfer_instrument]]\ncode = "{code}"\nref = "{TEST_INSTRUMENT_REF}"\n'
        'title = "TEST ONLY: not a legal instrument"\nactive_from = 2020-01-01\ntest = true\n'
        for code in TEST_INSTRUMENT_CODES
    )
    return (
        '# TEST AGREEMENT, for environment "test" only: invented persons, no real case.\n'
        '# The gateway refuses to start with it in "prod". Every key is explained in config/agreement.toml.\n'
        f"version = 1\n{permits}\n"
        f"# TEST instruments, agreed by nobody: they let invented personal data pass in rehearsals.{instruments}"
    )
