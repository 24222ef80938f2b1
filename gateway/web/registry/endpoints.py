"""The handlers of `/registry`: parse, ask one service, render as Confluent's Schema Registry does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.errors import (
    Finding,
    InvalidMode,
    InvalidSubject,
    InvalidVersion,
    MalformedRequest,
    NoModeOfItsOwn,
    SchemaRefused,
    UnknownSubject,
    UnknownVersion,
    UnregisteredSchema,
)
from gateway.primitives import b64u
from gateway.registry.compatibility import Mode
from gateway.registry.subject import MAX_REQUEST_BYTES, is_subject
from gateway.services.accounts import actor_of
from gateway.services.catalogue import ALL_SUBJECTS, DEFAULT_MODE
from gateway.web.api.answering import REVALIDATE, tagged
from gateway.web.api.asking import JSON, parse_body, read_body
from gateway.web.problems import REGISTRY_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiohttp import web

    from gateway.ports.parties import StoredSchema
    from gateway.registry.compatibility import Break
    from gateway.running import Gateway
    from gateway.web.api.route import Call

SCHEMA_TYPE: Final = "JSON"
TAKEN_TYPES: Final = (JSON, REGISTRY_TYPE, "application/vnd.schemaregistry+json")
CONFIG_BYTES: Final = 4096
# What Confluent knows beside the schema and this registry does not: dropped unseen, it would be missed later.
NOT_KEPT: Final = ("references", "metadata", "ruleSet")
# What Confluent's clients may send beside a mode where they mean nothing by it: null.
UNSET: Final = (
    "compatibilityLevel", "compatibilityGroup", "alias", "normalize", "validateFields", "validateNames",
    "defaultMetadata", "overrideMetadata", "defaultRuleSet", "overrideRuleSet",
)  # fmt: skip
LATEST: Final = ("latest", "-1")


class Registry:
    """The handlers."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._catalogue = gateway.rules.catalogue

    # --- reading ------------------------------------------------------------------------------------

    async def get_subjects(self, call: Call) -> web.Response:
        """GET /subjects."""
        prefix = call.request.query.get("subjectPrefix", "")
        names = sorted({stored.subject for stored in self._catalogue.stored})
        return _answer(call, _page(call, [name for name in names if name.startswith(prefix)]))

    async def get_versions(self, call: Call) -> web.Response:
        """GET /subjects/{subject}/versions."""
        return _answer(call, _page(call, [stored.ordinal for stored in self._versions(call)]))

    async def get_version(self, call: Call) -> web.Response:
        """GET /subjects/{subject}/versions/{version}."""
        return _answer(call, self._whole(self._version(call)))

    async def get_text(self, call: Call) -> web.Response:
        """GET /subjects/{subject}/versions/{version}/schema: the schema itself."""
        text = self._text(self._version(call)).encode()
        return tagged(call.request, text, media_type=REGISTRY_TYPE, cache=REVALIDATE)

    async def get_schema(self, call: Call) -> web.Response:
        """GET /schemas/ids/{number}."""
        return _answer(call, {"schema": self._text(self._by_id(call)), "schemaType": SCHEMA_TYPE})

    async def get_schema_versions(self, call: Call) -> web.Response:
        """GET /schemas/ids/{number}/versions."""
        stored = self._by_id(call)
        return _answer(call, [{"subject": stored.subject, "version": stored.ordinal}])

    async def get_schema_subjects(self, call: Call) -> web.Response:
        """GET /schemas/ids/{number}/subjects."""
        return _answer(call, [self._by_id(call).subject])

    async def get_referencing(self, call: Call) -> web.Response:
        """GET /subjects/{subject}/versions/{version}/referencedby: none ever, each schema stands alone."""
        self._version(call)
        return _answer(call, [])

    async def get_types(self, call: Call) -> web.Response:
        """GET /schemas/types."""
        return _answer(call, [SCHEMA_TYPE])

    async def get_mode(self, call: Call) -> web.Response:
        """GET /mode: what consoles ask before they offer to register."""
        return _answer(call, {"mode": "READWRITE"})

    async def post_lookup(self, call: Call) -> web.Response:
        """POST /subjects/{subject}: the version that has this content."""
        self._versions(call)
        found = await self._gateway.appraiser.find(
            await _schema(call), _subject(call), caller=call.account.id
        )  # fmt: skip
        if found is None:
            detail = "no version of this subject has this content"
            raise UnregisteredSchema(detail)
        return _answer(call, self._whole(found))

    # --- registering --------------------------------------------------------------------------------

    async def post_version(self, call: Call) -> web.Response:
        """POST /subjects/{subject}/versions: the same content again gets the same answer."""
        raw = await _schema(call)
        stored, _ = await self._gateway.registrar.propose(raw, actor_of(call.account), subject=_named(call))
        return _answer(call, _numbers(stored))

    async def post_test(self, call: Call) -> web.Response:
        """POST /compatibility/subjects/{subject}/versions/{version}: against one version, by the mode in force."""
        stored = self._version(call)
        mode = self._catalogue.mode(stored.subject)
        return _verdict(call, await self._gateway.appraiser.compare(
            await _schema(call), [stored], mode, caller=call.account.id
        ))  # fmt: skip

    async def post_test_all(self, call: Call) -> web.Response:
        """POST /compatibility/subjects/{subject}/versions: whether it would be registered."""
        verdict = await self._gateway.appraiser.judge(
            await _schema(call), subject=_named(call), caller=call.account.id
        )  # fmt: skip
        return _verdict(call, verdict.breaks, taken=verdict.taken)

    # --- modes --------------------------------------------------------------------------------------

    async def get_config(self, call: Call) -> web.Response:
        """GET /config: the mode of all subjects that have none of their own."""
        return _answer(call, {"compatibilityLevel": self._catalogue.mode(ALL_SUBJECTS)})

    async def get_subject_config(self, call: Call) -> web.Response:
        """GET /config/{subject}; `defaultToGlobal=true`: the mode in force, whosever it is."""
        subject = _named(call)
        if _flag(call, "defaultToGlobal"):
            return _answer(call, {"compatibilityLevel": self._catalogue.mode(subject)})
        return _answer(call, {"compatibilityLevel": self._own_mode(subject)})

    async def put_config(self, call: Call) -> web.Response:
        """PUT /config."""
        return await self._set_mode(call, ALL_SUBJECTS)

    async def put_subject_config(self, call: Call) -> web.Response:
        """PUT /config/{subject}."""
        return await self._set_mode(call, _named(call))

    async def delete_config(self, call: Call) -> web.Response:
        """DELETE /config: back to where it began."""
        held = self._catalogue.own_mode(ALL_SUBJECTS) or DEFAULT_MODE
        await self._gateway.registrar.set_mode(ALL_SUBJECTS, None, actor_of(call.account))
        return _answer(call, {"compatibilityLevel": held})

    async def delete_subject_config(self, call: Call) -> web.Response:
        """DELETE /config/{subject}: back to the mode of all; answers with what it was."""
        subject = _named(call)
        held = self._own_mode(subject)
        await self._gateway.registrar.set_mode(subject, None, actor_of(call.account))
        return _answer(call, {"compatibilityLevel": held})

    async def _set_mode(self, call: Call, subject: str) -> web.Response:
        body = await _body(call, CONFIG_BYTES)
        given = body.pop("compatibility", None)
        # A text, and nothing that could be read as one: `null` would be NONE, and nothing judged any more.
        wanted = given.upper() if isinstance(given, str) else ""
        if wanted not in Mode.__members__:
            detail = f"compatibility is one of {', '.join(Mode)}"
            raise InvalidMode(detail, errors=(Finding("/compatibility", detail),))
        if any(value is not None or name not in UNSET for name, value in body.items()):
            detail = "nothing is set here but `compatibility`: leave the other members out"
            raise InvalidMode(detail)
        await self._gateway.registrar.set_mode(subject, Mode(wanted), actor_of(call.account))
        return _answer(call, {"compatibility": wanted})

    # --- what a version says ------------------------------------------------------------------------

    def _whole(self, stored: StoredSchema) -> dict[str, Any]:
        return _numbers(stored) | {"schema": self._text(stored)}

    def _text(self, stored: StoredSchema) -> str:
        # By the catalogue, which holds the bytes against the digest in the log.
        return self._catalogue.version(stored.subject, stored.version).text.decode()

    # --- what a path names --------------------------------------------------------------------------

    def _own_mode(self, subject: str) -> Mode:
        held = self._catalogue.own_mode(subject)
        if held is None:
            detail = "this subject has no compatibility mode of its own: that of all subjects is in force"
            raise NoModeOfItsOwn(detail)
        return held

    def _versions(self, call: Call) -> Sequence[StoredSchema]:
        found = self._catalogue.versions(_subject(call))
        if not found:
            detail = "no version of this subject is registered; `GET /registry/subjects` names those that are"
            raise UnknownSubject(detail)
        return found

    def _version(self, call: Call) -> StoredSchema:
        text = call.request.match_info["version"]
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if text not in LATEST and number < 1:
            detail = "a version is a number from 1 on, or `latest`"
            raise InvalidVersion(detail)
        found = self._versions(call)
        if text in LATEST:
            return found[-1]
        if number > len(found):
            detail = "this subject has no such version"
            raise UnknownVersion(detail)
        return found[number - 1]

    def _by_id(self, call: Call) -> StoredSchema:
        text = call.request.match_info["number"]
        found = next((stored for stored in self._catalogue.stored if str(stored.id) == text), None)
        if found is None:
            detail = "no schema has this id"
            raise UnregisteredSchema(detail)
        return found


def _subject(call: Call) -> str:
    return call.request.match_info["subject"]


def _named(call: Call) -> str:
    """Return the subject of a path that may be new. Raises InvalidSubject."""
    name = _subject(call)
    if not is_subject(name):
        detail = "a subject is lower-case words joined by dots, such as case.referral"
        raise InvalidSubject(detail)
    return name


async def _body(call: Call, most: int) -> dict[str, Any]:
    found = parse_body(await read_body(call.request, most, TAKEN_TYPES))
    if not isinstance(found, dict):
        detail = "the body is a JSON object"
        raise MalformedRequest(detail)
    return found


async def _schema(call: Call) -> bytes:
    """Return the schema of a body, as it will be kept."""
    body = await _body(call, MAX_REQUEST_BYTES)
    if body.get("schemaType", SCHEMA_TYPE) != SCHEMA_TYPE:
        detail = f"schemaType is {SCHEMA_TYPE}: no other is kept here"
        raise SchemaRefused(detail, errors=(Finding("/schemaType", detail),))
    _keep_nothing_else(body, NOT_KEPT)
    text = body.get("schema")
    if not isinstance(text, str):
        detail = "`schema` is the schema as text"
        raise SchemaRefused(detail, errors=(Finding("/schema", detail),))
    return text.encode()


def _keep_nothing_else(body: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if body.get(name):
            detail = f"`{name}` cannot be kept here: leave it out"
            raise SchemaRefused(detail)


def _flag(call: Call, name: str) -> bool:
    # Confluent's clients write True as well as true.
    return call.request.query.get(name, "").lower() == "true"


def _page(call: Call, items: Sequence[Any]) -> Sequence[Any]:
    try:
        start, most = (int(call.request.query.get(name, least)) for name, least in (("offset", "0"), ("limit", "-1")))
    except ValueError:
        detail = "`offset` and `limit` are numbers"
        raise MalformedRequest(detail) from None
    return items[max(start, 0) :][: most if most >= 0 else None]


def _verdict(call: Call, breaks: Sequence[Break], *, taken: bool = False) -> web.Response:
    found: dict[str, Any] = {"is_compatible": not breaks and not taken}
    if _flag(call, "verbose"):
        name_taken = ["this version is registered with other content: raise the version of $id"] if taken else []
        found["messages"] = [*name_taken, *map(str, breaks)]
        found["findings"] = [finding(b) for b in breaks]
    return _answer(call, found)


def finding(found: Break) -> dict[str, Any]:
    """Return a break as answers show it: pointer, rule, plain words."""
    why = found.why
    return {
        "version": found.version, "direction": found.direction, "pointer": why.pointer, "rule": why.rule,
        "words": why.words, "decided": why.decided,
    }  # fmt: skip


def _numbers(stored: StoredSchema) -> dict[str, Any]:
    return {
        "id": stored.id, "subject": stored.subject, "version": stored.ordinal, "schemaType": SCHEMA_TYPE,
        "semver": stored.version, "digest": b64u.encode(stored.digest), "approved": stored.approved_at is not None,
    }  # fmt: skip


def _answer(call: Call, value: Any) -> web.Response:
    return tagged(call.request, orjson.dumps(value), media_type=REGISTRY_TYPE, cache=REVALIDATE)
