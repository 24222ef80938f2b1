"""A schema version: its bytes, its digest, its name, and what is refused as one."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import rfc8785

from gateway import errors
from gateway.registry.subject import SchemaVersion, is_subject, load_schema, next_version, version_key

URN = "urn:bcx:schema:case.referral:1.2.0"


def raw(**keywords: Any) -> bytes:
    """Return schema bytes, spaced as people write them."""
    return json.dumps(keywords, indent=2).encode()


def refused(data: bytes, **expected: str) -> errors.RequestError:
    """Return the refusal of a schema."""
    with pytest.raises(errors.RequestError) as caught:
        load_schema(data, **expected)
    return caught.value


def test_a_version_keeps_its_bytes_and_takes_its_name_from_its_id() -> None:
    """Text is kept byte for byte; the digest is over JCS; the x- rules are read."""
    text = raw(**{"$id": URN, "type": "object", "x-case": "opens", "x-manifest": True, "x-default-urgency": "URGENT"})
    loaded = load_schema(text)
    assert (loaded.subject, loaded.version, loaded.urn) == ("case.referral", "1.2.0", URN)
    assert loaded.text == text
    assert loaded.digest == hashlib.sha256(rfc8785.dumps(json.loads(text))).digest()
    assert (loaded.case_rule, loaded.opens_case, loaded.is_manifest) == ("opens", True, True)
    assert loaded.default_urgency == "URGENT"


def test_blanks_and_member_order_do_not_change_the_digest() -> None:
    """The digest is of the document, not of its spelling; another keyword changes it."""
    one = load_schema(b'{"type":"object","$id":"' + URN.encode() + b'"}')
    two = load_schema(b'{ "$id": "' + URN.encode() + b'",\n "type": "object" }')
    three = load_schema(b'{"type":"array","$id":"' + URN.encode() + b'"}')
    assert one.digest == two.digest != three.digest
    assert one.text != two.text


def test_defaults_hold_where_the_schema_says_nothing() -> None:
    """A case is optional, the event is of ordinary size and no urgency is set."""
    loaded = load_schema(b"{}", subject="a.b", version="1.0.0")
    assert (loaded.case_rule, loaded.opens_case, loaded.is_manifest) == ("optional", False, False)
    assert loaded.default_urgency is None
    assert isinstance(loaded, SchemaVersion)


@pytest.mark.parametrize(
    ("identifier", "expected", "pointer"),
    [
        (None, {}, "/$id"),
        (None, {"subject": "a.b"}, "/$id"),
        ("https://example.org/a.json", {}, "/$id"),
        ("urn:bcx:schema:a.b", {}, "/$id"),
        ("urn:bcx:schema:a.b:1.0", {}, "/$id"),
        ("urn:bcx:schema:a.b:01.0.0", {}, "/$id"),
        ("urn:bcx:schema:A B:1.0.0", {}, "/$id"),
        (7, {}, "/$id"),
        (URN, {"subject": "case.update"}, "/$id"),
        (URN, {"version": "1.3.0"}, "/$id"),
        (None, {"subject": "a.b", "version": "1.0.0-rc1"}, "/$id"),
    ],
)
def test_a_name_that_is_not_one_or_not_the_expected_one_is_refused(
    identifier: Any, expected: dict[str, str], pointer: str
) -> None:
    """`$id` is a bcx URN that agrees with the caller, or both words come from the caller."""
    document = {"type": "object"} | ({} if identifier is None else {"$id": identifier})
    assert [finding.pointer for finding in refused(raw(**document), **expected).errors] == [pointer]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "strict JSON"),
        (b'{"type":"object","type":"array"}', "strict JSON"),
        (b'\xef\xbb\xbf{"type":"object"}', "strict JSON"),
        (b'{"const":NaN}', "strict JSON"),
        (b"[]", "object"),
        (b"true", "object"),
    ],
)
def test_bytes_that_are_no_strict_json_object_are_refused(data: bytes, words: str) -> None:
    """Duplicate members would mean one thing here and another at the partner."""
    fault = refused(data, subject="a.b", version="1.0.0")
    assert isinstance(fault, errors.MalformedRequest)
    assert words in fault.detail


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("x-case", "sometimes"), ("x-manifest", "yes"), ("x-default-urgency", "SOON"), ("type", "strng")],
)
def test_faults_of_the_root_are_found_at_their_pointer(keyword: str, value: str) -> None:
    """Each x- rule of the root has its few values; lint findings come along."""
    fault = refused(raw(**{"$id": URN, keyword: value}))
    assert [finding.pointer for finding in fault.errors] == [f"/{keyword}"]


def test_versions_sort_as_numbers_and_nothing_else_is_one() -> None:
    """1.10.0 follows 1.9.0; leading zeros, pre-releases and short forms are refused."""
    assert sorted(["1.10.0", "1.9.0", "1.9.10", "0.0.1"], key=version_key) == [
        "0.0.1",
        "1.9.0",
        "1.9.10",
        "1.10.0",
    ]
    for text in ("1.0", "1.0.0-a", "01.0.0", "1.0.0\n", "", "1.0.x", "\u0661.0.0"):
        with pytest.raises(ValueError, match=r"major\.minor\.patch"):
            version_key(text)


def test_the_next_version_depends_on_the_verdict() -> None:
    """A schema without `$id` gets the next minor, on a break the next major, at first 1.0.0."""
    assert next_version(None, compatible=False) == "1.0.0"
    assert next_version("1.4.2", compatible=True) == "1.5.0"
    assert next_version("1.4.2", compatible=False) == "2.0.0"


def test_subjects_are_words_and_dots() -> None:
    """What can stand in a URN, a file name and a card, and nothing that climbs a folder."""
    assert all(map(is_subject, ("case.referral", "identity.verify.request", "test-value", "note-2.test")))
    assert not any(map(is_subject, ("", "Case", "a..b", "../a", "a/b", "a.", ".a", "a b", "a" * 101, "a\n")))
    # No card could carry these, or they stand for something else.
    assert not any(map(is_subject, ("a_b", "a.1b", "a-", "a--b", "void", "all")))
