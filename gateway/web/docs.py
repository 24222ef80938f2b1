"""The reference of the API: as OpenAPI for programs, and as one page for people that needs no script."""

from __future__ import annotations

import base64
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.primitives.visible import escape
from gateway.web.api.answering import tagged
from gateway.web.api.route import ETAG, PREFIX, Call, Route
from gateway.web.openapi import MEANING, describe, template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aiohttp import web

PUBLIC: Final = "public, no-cache"

STYLE: Final = """
:root{color-scheme:light dark;--line:#8886}
body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}
h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
code,pre{font:0.9em/1.45 ui-monospace,monospace}
pre{overflow:auto;padding:.75rem;border:1px solid var(--line)}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line)}
.method{font-weight:700;margin-right:.5rem}
"""
_STYLE_HASH = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'"


def docs_routes(routes: Sequence[Route]) -> list[Route]:
    """Return the routes that describe `routes` and themselves."""

    @cache  # made when first asked for: it would be a good part of a start
    def made() -> tuple[bytes, bytes]:
        described = [*routes, *ours]
        document = describe(described)
        return orjson.dumps(document), "\n".join(_page(described, document)).encode()

    async def openapi(call: Call) -> web.Response:
        return tagged(call.request, made()[0], cache=PUBLIC)

    async def page(call: Call) -> web.Response:
        return tagged(
            call.request, made()[1], media_type="text/html", cache=PUBLIC,
            headers={"Content-Security-Policy": POLICY},
        )  # fmt: skip

    ours = [
        Route("GET", f"{PREFIX}/openapi.json", (), openapi, "This API as OpenAPI 3.1", "reference", params=(ETAG,)),
        Route("GET", "/docs", (), page, "This API as a page", "reference", media_type="text/html", params=(ETAG,)),
    ]
    return ours


def _page(routes: Sequence[Route], document: dict[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    yield f"<title>{escape(info['title'])}: API</title><style>{STYLE}</style></head><body>"
    yield f"<header><h1>{escape(info['title'])}: API {escape(info['version'])}</h1>"
    yield f"<p>{escape(info['description'])}</p>"
    yield f'<p>For programs: <a href="{PREFIX}/openapi.json">OpenAPI 3.1</a>. Send '
    yield "<code>Authorization: Bearer TOKEN</code>; <code>gateway client add</code> gives a token. Errors are "
    yield "<code>application/problem+json</code> (RFC 9457); their <code>trace_id</code> finds them in the logs.</p>"
    tags = list(dict.fromkeys(route.tag for route in routes))
    yield '<nav aria-label="Sections"><ul>'
    for tag in tags:
        yield f'<li><a href="#{_anchor(tag)}">{escape(tag)}</a></li>'
    yield "</ul></nav></header><main>"
    for tag in tags:
        yield f'<section id="{_anchor(tag)}"><h2>{escape(tag.capitalize())}</h2>'
        for route in routes:
            if route.tag == tag:
                yield from _operation(route)
        yield "</section>"
    yield '<section id="schemas"><h2>Bodies</h2>'
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f'<h3 id="body-{escape(name)}"><code>{escape(name)}</code></h3>'
        yield f"<p>{escape(schema.get('description', ''))}</p>"
        yield from _rows(("member", "type", "meaning"), _members(schema))
    yield "</section></main></body></html>"


def _operation(route: Route) -> Iterator[str]:
    yield f'<article><h3><span class="method">{route.method}</span><code>{escape(template(route.path))}</code></h3>'
    yield f"<p>{escape(route.summary)}. {escape(route.text)}</p>"
    if route.acts:
        yield f"<p>Right: {' or '.join(f'<code>{escape(act)}</code>' for act in route.acts)}</p>"
    if route.params:
        yield from _rows(
            ("parameter", "in", "meaning"),
            [(f"<code>{escape(p.name)}</code>{' (required)' if p.required else ''}", p.where, escape(p.text))
             for p in route.params],
        )  # fmt: skip
    body = f"Body: {_link(route.body.name)}. " if route.body else ""
    answer = _link(route.answer.name) if route.answer else f"<code>{escape(route.media_type)}</code>"
    yield f"<p>{body}Answer {route.status}: {answer}.</p>"
    if route.problems:
        yield "<p>Problems: " + "; ".join(f"{code} {escape(MEANING[code])}" for code in route.problems) + ".</p>"
    yield "</article>"


def _members(schema: dict[str, Any]) -> list[tuple[str, str, str]]:
    needed = set(schema.get("required", ()))
    return [
        (f"<code>{escape(name)}</code>{'' if name in needed else ' (optional)'}", _type(member),
         escape(member.get("description", "")))
        for name, member in schema.get("properties", {}).items()
    ]  # fmt: skip


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " ".join(f"<code>{escape(str(code))}</code>" for code in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(orjson.dumps(schema['const']).decode())}</code>"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(schema.get("type", "any"))


def _rows(head: Iterable[str], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        yield "<table><thead><tr>" + "".join(f'<th scope="col">{name}</th>' for name in head) + "</tr></thead><tbody>"
        for row in rows:
            yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
        yield "</tbody></table>"


def _link(name: str) -> str:
    return f'<a href="#body-{escape(name)}"><code>{escape(name)}</code></a>'


def _anchor(tag: str) -> str:
    return tag.replace(" ", "-")
