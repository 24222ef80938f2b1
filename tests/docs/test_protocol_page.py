"""docs/protocol.md and the code tell one story: codes, types, endpoints, log entries and limits, both ways."""

from __future__ import annotations

import importlib
import pkgutil
import re
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

import gateway.ledger
import gateway.primitives
import gateway.protocol
from gateway import errors
from gateway.ledger.entry import ENTRY_TYPES
from gateway.protocol import jws
from gateway.web import exchange, problems
from tests.docs.pages import page, rows, words

PAGE = "docs/protocol.md"
LIMIT = re.compile(r"(MAX|LONGEST|DEFAULT|FIRST|CLOCK)_[A-Z0-9_]+|OTHER_CEILING_S|PROBE_EVERY_S|STREAM_MOST")


def classes(root: type[errors.GatewayError]) -> set[type[errors.GatewayError]]:
    """Return the errors that can reach a wire: those of gateway.errors and of the one writer of problems."""
    found = {root}
    for kind in root.__subclasses__():
        found |= classes(kind)
    return {kind for kind in found if kind.__module__ in {errors.__name__, problems.__name__}}


def constants() -> dict[str, set[int]]:
    """Return every limit of the wire's code by name, with the values it has."""
    found: dict[str, set[int]] = {}
    modules = [exchange]
    for package in (gateway.primitives, gateway.protocol, gateway.ledger):
        modules += [
            importlib.import_module(f"{package.__name__}.{module.name}")
            for module in pkgutil.iter_modules(package.__path__)
            if module.name != "verify"  # how long an offline verifier searches is no matter between two gateways
        ]
    for module in modules:
        for name, value in vars(module).items():
            if LIMIT.fullmatch(name) and isinstance(value, int | float) and not isinstance(value, bool):
                found.setdefault(name, set()).add(int(value))
    return found


def test_each_error_code_stands_in_the_page_and_each_listed_one_exists() -> None:
    """A code nobody explains, or one nobody sends, is a fault of page or code."""
    listed = [words(row[0])[0] for title in ("wire codes", "own codes") for row in rows(PAGE, title)]
    assert sorted(listed) == sorted({kind.slug for kind in classes(errors.GatewayError)})


def test_each_wire_code_has_the_status_the_page_gives() -> None:
    """Whoever judges an answer by its status reads it here."""
    status = {kind.slug: kind.status for kind in classes(errors.RequestError)}
    status |= {kind.slug: kind.status for kind in classes(errors.GatewayError) - classes(errors.RequestError)}
    for code, _, where, number in rows(PAGE, "wire codes"):
        if number != "\N{EN DASH}":
            assert status[words(code)[0]] == int(number), code
        else:
            assert "event" in where or where == "never sent", code


def test_each_signed_type_stands_in_the_page() -> None:
    """The list of `typ` is the list of constants that sign and verify."""
    listed = {words(row[0])[0] for row in rows(PAGE, "types")}
    assert listed == {value for name, value in vars(jws).items() if name.endswith("_TYP")}


def test_each_endpoint_stands_in_the_page() -> None:
    """What the exchange listener answers is what the page promises."""

    @web.middleware
    async def outermost(request: web.Request, handler: Any) -> Any:
        return await handler(request)

    app = exchange.exchange_app(cast("Any", SimpleNamespace(intake=None)), "", outermost)
    served = {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None and route.method != "*"  # that is the 405 of each path
    }
    assert {words(row[0])[0] for row in rows(PAGE, "endpoints")} == served


def test_each_type_of_log_entry_stands_in_the_page() -> None:
    """An auditor's reader finds every type explained."""
    text = page(PAGE).partition("<!-- list: entries -->")[2].partition("<!-- end -->")[0]
    assert sorted(words(text)) == sorted(ENTRY_TYPES)


def test_each_limit_stands_in_the_page_with_its_value() -> None:
    """A limit of one gateway is a fact for the other one."""
    listed = {words(row[2])[0]: {int(row[1].replace(",", ""))} for row in rows(PAGE, "limits")}
    assert listed == constants()


@pytest.mark.parametrize("name", ["docs/protocol.md"])
def test_each_section_a_link_names_exists(name: str) -> None:
    """A reader who follows a reference arrives."""
    text = page(name)
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
