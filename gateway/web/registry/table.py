"""The routes of `/registry`: paths, parameters and numbers are Confluent's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.web.api.described import Models
from gateway.web.api.route import ETAG, Param, Route
from gateway.web.problems import REGISTRY_PATH, REGISTRY_TYPE

if TYPE_CHECKING:
    from gateway.web.registry.endpoints import Registry

m = Models("gateway.web.registry.models")

READ: Final = ("reference.read",)
OPERATE: Final = ("schema.operate",)
_FLAG: Final = {"type": "boolean"}
_NUMBER: Final = {"type": "integer"}
# Confluent's clients send these; nothing is ever deleted here, and there is one form of each schema.
_IGNORED: Final = tuple(
    Param(name, "taken, and changes nothing")
    for name in (
        *("normalize", "deleted", "deleted_only", "deletedOnly", "format", "referenceFormat", "reference_format"),
        *("fetchMaxId", "latestOnly", "subject"),
    )
)
_PAGE: Final = (Param("offset", "how many to leave out", _NUMBER), Param("limit", "how many at most; -1: all", _NUMBER))
_VERBOSE: Final = Param("verbose", "true: say why", _FLAG)


def registry_routes(of: Registry) -> list[Route]:
    """Return the routes."""
    route = partial(Route, tag="schema registry", media_type=REGISTRY_TYPE, fault=m.RegistryProblem)
    subject = f"{REGISTRY_PATH}/subjects/{{subject}}"
    version = f"{subject}/versions/{{version}}"
    test = f"{REGISTRY_PATH}/compatibility/subjects/{{subject}}/versions"
    ids = f"{REGISTRY_PATH}/schemas/ids/{{number}}"
    config = f"{REGISTRY_PATH}/config"
    got = (*_IGNORED, ETAG)
    return [
        route("GET", f"{REGISTRY_PATH}/subjects", READ, of.get_subjects, "List subjects: message types",
              answer=m.Subjects, params=(*got, *_PAGE, Param("subjectPrefix", "the beginning of their names")),
              problems=(400,)),
        route("GET", f"{subject}/versions", READ, of.get_versions, "List the versions of a subject",
              answer=m.Versions, params=(*got, *_PAGE), problems=(400, 404)),
        route("GET", version, READ, of.get_version, "Show a version", answer=m.RegisteredSchema, params=got,
              problems=(404, 422), text="`latest` is the one registered last."),
        route("GET", f"{version}/schema", READ, of.get_text, "Show the schema of a version, byte for byte",
              params=got, problems=(404, 422)),
        route("GET", ids, READ, of.get_schema, "Show a schema by its id", answer=m.SchemaById, params=got,
              problems=(404,)),
        route("GET", f"{ids}/versions", READ, of.get_schema_versions, "Where an id is used",
              answer=m.SubjectVersions, params=(*got, *_PAGE), problems=(404,)),
        route("GET", f"{ids}/subjects", READ, of.get_schema_subjects, "Which subjects have an id", answer=m.Subjects,
              params=(*got, *_PAGE), problems=(404,)),
        route("GET", f"{version}/referencedby", READ, of.get_referencing, "Ids of the schemas that refer to a version",
              answer=m.SchemaIds, params=(*got, *_PAGE), problems=(404, 422), text="Always none: each stands alone."),
        route("GET", f"{REGISTRY_PATH}/schemas/types", READ, of.get_types, "List types of schema",
              answer=m.SchemaTypes, params=(ETAG,)),
        route("GET", f"{REGISTRY_PATH}/mode", READ, of.get_mode, "Whether versions are taken", answer=m.RegistryMode,
              params=(ETAG,)),
        route("POST", subject, READ, of.post_lookup, "Which version has this content?", answer=m.RegisteredSchema,
              body=m.SchemaRequest, params=_IGNORED, problems=(400, 404, 413, 415, 422),
              text="Blanks and the order of members do not matter."),
        route("POST", f"{subject}/versions", OPERATE, of.post_version, "Register a version", answer=m.Registered,
              body=m.SchemaRequest, params=_IGNORED, problems=(400, 409, 413, 415, 422, 503), keeps=True,
              text="The same content again gets the same answer. Its semver is that of `$id`, or the next one. It is "
                   "used once both authorities have approved it. 409 where the mode in force refuses it."),
        route("POST", f"{test}/{{version}}", READ, of.post_test, "Test a schema against a version",
              answer=m.Compatible, body=m.SchemaRequest, params=(*_IGNORED, _VERBOSE),
              problems=(400, 404, 413, 415, 422)),
        route("POST", test, READ, of.post_test_all, "Test whether a schema would be registered", answer=m.Compatible,
              body=m.SchemaRequest, params=(*_IGNORED, _VERBOSE), problems=(400, 413, 415, 422)),
        route("GET", config, READ, of.get_config, "Show the compatibility mode of all subjects", answer=m.ModeShown,
              params=got),
        route("PUT", config, OPERATE, of.put_config, "Set the compatibility mode of all subjects", answer=m.ModeSet,
              body=m.ModeRequest, problems=(400, 413, 415, 422, 503), keeps=True),
        route("DELETE", config, OPERATE, of.delete_config, "Go back to BACKWARD", answer=m.ModeShown,
              problems=(503,), keeps=True),
        route("GET", f"{config}/{{subject}}", READ, of.get_subject_config, "Show the mode of a subject",
              answer=m.ModeShown, problems=(404, 422),
              params=(*got, Param("defaultToGlobal", "true: that of all subjects where it has none", _FLAG))),
        route("PUT", f"{config}/{{subject}}", OPERATE, of.put_subject_config, "Set the mode of a subject",
              answer=m.ModeSet, body=m.ModeRequest, problems=(400, 413, 415, 422, 503), keeps=True),
        route("DELETE", f"{config}/{{subject}}", OPERATE, of.delete_subject_config,
              "Have a subject follow the mode of all again", answer=m.ModeShown, problems=(404, 422, 503), keeps=True),
    ]  # fmt: skip
