"""The parts of the catalogue's README that are made from code: `python -m tests.docs.catalogue` writes them."""

from __future__ import annotations

import inspect
import re

from gateway.casework.policies import POLICIES
from gateway.registry import pages
from tests.docs.pages import ROOT, page

README = "docs/catalogue/README.md"
CATALOGUE = pages.read(ROOT / "schemas")


def types() -> list[str]:
    """Return the table of types."""
    head = ["| type | what for | urgency | case |", "|---|---|---|---|"]
    rows = [
        f"| [{subject}]({subject}.md) | {found['title']} | {found['x-default-urgency']} | {found['x-case']} |"
        for subject, found in sorted(CATALOGUE.schemas.items())
    ]
    return head + rows


def rules() -> list[str]:
    """Return the table of rules, by what each says of itself."""
    told = [(p.__name__, (inspect.getdoc(p) or "").partition("\n\n")[0].replace("\n", " ")) for p in POLICIES]
    return ["| rule | says |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in told)]


LISTS = {"types": types, "rules": rules}


def current(text: str) -> str:
    """Return the README as it should be."""
    for title, make in LISTS.items():
        block = f"<!-- list: {title} -->\n" + "\n".join(make()) + "\n<!-- end -->"
        text = re.sub(rf"<!-- list: {title} -->\n.*?<!-- end -->", lambda _, b=block: b, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    (ROOT / README).write_text(current(page(README)), encoding="utf-8")
