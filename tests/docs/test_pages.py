"""README and the pages beside it: their links lead somewhere, their lists are those of the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.casework import handling
from gateway.casework.policies import POLICIES, basis, course, keeping, people, protection
from gateway.casework.policies import words as policy_words
from gateway.cli import demo_story, failure
from gateway.web.metrics import URGENCIES, Metrics
from tests.docs.pages import ROOT, listed, page, rows, words

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "schemas/examples/README.md"]
)


def anchors(text: str) -> set[str]:
    """Return the anchors that headings of a page make."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_each_link_leads_somewhere(name: str) -> None:
    """Files exist, and so do the headings that links name."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page(name)):
        path, _, anchor = target.partition("#")
        found = (ROOT / name).parent / path if path else ROOT / name
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text("utf-8")), target


@pytest.mark.parametrize("name", PAGES)
def test_each_page_stands_by_itself(name: str) -> None:
    """No page sends its reader to an address on the network or a path of somebody's machine."""
    assert re.findall(r"https?://(?!127\.0\.0\.1|localhost)[^\s)`>]+|/(?:home|root|tmp|work)/\S*", page(name)) == []


def test_the_decisions_are_listed_and_numbered_without_gap() -> None:
    """One list of decisions, numbered without gap, each page with context, decision and costs."""
    files = sorted(path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md"))
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1))
    assert re.findall(r"\]\(([^)]+)\)", page("docs/adr/README.md")) == files
    for name in files:
        text = page(f"docs/adr/{name}")
        assert re.match(rf"# {int(name[:4])}\. ", text), name
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Costs"], name


def test_each_threat_has_code_and_test_that_exist() -> None:
    """A rule that points nowhere is a wish."""
    threats = rows("docs/security.md", "threats")
    assert len(threats) >= 17
    for _, _, code, test in threats:
        for path in [*words(code), *words(test)]:
            assert (ROOT / path).is_file(), path


def test_each_fault_experiment_is_named_with_tests_that_exist() -> None:
    """All 25, in order; each says where it is tried, or that it is not."""
    found = rows("docs/reliability.md", "experiments")
    assert [int(row[0]) for row in found] == list(range(1, 26))
    for _, fault, tried in found:
        paths = [word for word in words(tried) if word.startswith("tests/")]
        assert paths or "not tried" in tried or "measured" in tried or tried == "the same", fault
        for path in paths:
            assert (ROOT / path).is_file(), path


def test_each_policy_stands_in_the_page_with_its_function_and_has_a_test() -> None:
    """P01 to P24, none missing; the function exists, and a test is named after the policy."""
    listed_ = rows("docs/casework.md", "policies")
    assert [words(row[0])[0] for row in listed_] == [f"P{number:02}" for number in range(1, 25)]
    modules = [basis, course, handling, keeping, people, protection, policy_words]
    tests = (ROOT / "tests/casework/test_policies.py").read_text("utf-8")
    judging = {policy.__name__ for policy in POLICIES}
    for policy, refuses, function, code in listed_:
        assert (words(function)[0] in judging) == bool(words(code)) != refuses.startswith("nothing"), policy
        assert any(hasattr(module, words(function)[0]) for module in modules), function
        assert f"def test_{words(policy)[0].lower()}_" in tests, policy


def test_each_metric_is_explained() -> None:
    """What /metrics shows is what operators find in their page, labels included."""
    metrics = Metrics()
    metrics.attempt("receipt", 1)
    metrics.outcome("in", "accepted", 1)
    metrics.commit(1, 0.001)
    metrics.request("api", "/", 200, 0.001)
    metrics.refuse("api", "address")
    text = metrics.text({}, 0, 0, {"kh.gdi": True}, 0).decode()
    assert all(urgency in text for urgency in URGENCIES)
    shown = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        if not name.endswith("_created"):
            shown[name] = labels
    assert {words(row[0])[0]: set(words(row[1])) for row in rows("docs/operations.md", "metrics")} == shown


def test_each_exit_code_is_explained() -> None:
    """Scripts rely on these numbers."""
    codes = {value for name, value in vars(failure).items() if name.isupper() and type(value) is int}
    codes.discard(failure.FINDINGS_MOST)
    assert [int(words(row[0])[0]) for row in rows("README.md", "exit codes")] == sorted(codes)


def test_the_readme_shows_the_help_of_today() -> None:
    """Regenerate the block with `gateway --help` when this fails."""
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "GATEWAY_HOME"}}
    command = [str(Path(sys.executable).with_name("gateway")), "--help"]
    shown = subprocess.run(command, env=env | {"TERM": "dumb"}, capture_output=True, text=True, check=True).stdout
    assert listed("README.md", "gateway --help", "output") == f"```text\n{shown.rstrip()}\n```\n"


def test_the_readme_shows_the_steps_of_the_demo() -> None:
    """Take the block from a run of `make demo ARGS=--exit` when this fails."""
    block = listed("README.md", "make demo ARGS=--exit", "output").strip("`\n").splitlines()[1:]
    steps = [re.sub(r"^ *\d+/\d+  ", "", line) for line in block[:-1]]
    assert steps == [step.what for step in demo_story.STEPS]
    assert re.fullmatch(rf"{len(steps)} of {len(steps)} steps held, in [0-9.]+ s", block[-1])
