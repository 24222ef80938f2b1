"""Handling codes (§7.1) and the evaluation gate (§7.2).

Codes combine by union. A reply or forward keeps what it inherits; only the originator relaxes. H0 is the absence
of a restriction: it stands alone or not at all, and nothing is weaker for its lack.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ORDER: Final = ("H0", "H1", "H2", "H3", "V1", "V2", "NP", "EO", "OR")
DEFAULT: Final = ("H0",)
_RESTRICTIONS: Final = frozenset(ORDER) - {"H0"}

# §4: least handling per type, whatever the message holds.
BY_SUBJECT: Final[dict[str, frozenset[str]]] = {
    "info.request": frozenset({"H2"}),
    "identity.verify.request": frozenset({"V1", "H2"}),
    "departure.deferral.notice": frozenset({"H2"}),
    "passport.deferral.notice": frozenset({"H2"}),
    "victim.assistance.referral": frozenset({"V1", "H2", "NP"}),
    "repatriation.movement": frozenset({"V1", "H2", "NP"}),
    "subject.alert": frozenset({"H2"}),
}


def unlisted(codes: Sequence[str]) -> Iterator[Finding]:
    """Judge the codes by themselves, whatever the type: each on the list handlingCode, none twice. E-CODE.

    A code that nobody knows would be a restriction that nobody keeps.
    """
    for place, code in enumerate(codes, 1):
        if code not in ORDER:
            yield Finding("/handling", f"code {place} is not one of {' '.join(ORDER)}", "E-CODE")
        elif code in codes[: place - 1]:
            yield Finding("/handling", f"code {place} stands there already", "E-CODE")


@dataclass(frozen=True, slots=True)
class Content:
    """What a message holds, as far as handling depends on it."""

    victim_data: bool = False
    suspect_data: bool = False
    minor: bool = False
    victim: bool = False
    risk_flags: frozenset[str] = frozenset()


def union(*parts: Iterable[str]) -> tuple[str, ...]:
    """Return the combined codes in their fixed order; H0 only when nothing else remains."""
    return _in_order(_RESTRICTIONS.intersection(frozenset().union(*parts))) or DEFAULT


def minimum(subject: str, content: Content) -> tuple[str, ...]:
    """Return the least handling a message of this type and content must have (§4, §7.1)."""
    needed = set(BY_SUBJECT.get(subject, ()))
    if content.victim_data:
        needed |= {"V1", "H2"}
    if content.minor:
        needed |= {"V1", "H1", "H2"}
    if content.victim:
        needed.add("NP")
    if not content.risk_flags.isdisjoint(("RETALIATION", "FAMILY_INVOLVED")):
        needed.add("V2")
    if "OFFICIAL_COMPLICITY" in content.risk_flags:
        needed.add("EO")
    if content.suspect_data:
        needed.add("H2")
    return union(needed)


def missing(codes: Iterable[str], needed: Iterable[str]) -> tuple[str, ...]:
    """Return the needed codes that are not among `codes`."""
    return _in_order(_RESTRICTIONS.intersection(needed).difference(codes))


@cache
def _in_order(codes: frozenset[str]) -> tuple[str, ...]:
    # As many as there are sets of the codes above.
    return tuple(code for code in ORDER if code in codes)


_ALL: Final = frozenset(
    (
        "case.referral",
        "info.request",
        "departure.deferral.notice",
        "passport.deferral.notice",
        "subject.alert",
        "route.bulletin",
    )
)
_REFERRAL_RFI: Final = frozenset(("case.referral", "info.request"))
_REFERRAL_RFI_BULLETIN: Final = _REFERRAL_RFI | {"route.bulletin"}
_RFI_BULLETIN: Final = frozenset(("info.request", "route.bulletin"))

# §7.2, source then information. "All" are the types that must be evaluated (§4); the others are not gated.
GATE: Final[dict[tuple[str, str], frozenset[str]]] = {
    **{(source, info): _ALL for source in "AB" for info in "123"},
    **{(source, "4"): _REFERRAL_RFI_BULLETIN for source in "AB"},
    **{("C", info): _REFERRAL_RFI for info in "123"},
    ("C", "4"): _RFI_BULLETIN,
    **{("X", info): _REFERRAL_RFI_BULLETIN for info in "123"},
    ("X", "4"): _RFI_BULLETIN,
}


def gate(subject: str, source: str | None, information: str | None, pointer: str) -> Finding | None:
    """Judge an evaluation for a type that needs one; an absent evaluation is the weakest. E-EVAL or None."""
    if subject not in _ALL or subject in GATE.get((source or "", information or ""), frozenset()):
        return None
    return Finding(pointer, "this evaluation is too weak for a message of this type", "E-EVAL")


def p10_may_leave(codes: Iterable[str], *, released: bool = False) -> Finding | None:
    """Judge an export or forward beyond the receiving authority (P10).

    H2 and OR need the originator's release; the caller logs a refusal as well as a release.
    """
    if released or {"H2", "OR"}.isdisjoint(codes):
        return None
    return Finding("/handling", "may not leave this authority without the originator's release", "E-HANDLING")
