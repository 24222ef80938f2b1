"""Statistics for the bilateral meeting: one table of both authorities' figures, and the chart above it."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from gateway.casework.chart import FONTS, Bar, Group, draw
from gateway.primitives.visible import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.casework.codelists import CodeLists
    from gateway.casework.statistics import Figure
    from gateway.services.statistics import Report

STYLE: Final = f"""
body{{font:1rem/1.6 {FONTS[""]};max-width:60rem;margin:0 auto;padding:1rem;color:#1a1a1a;background:#fff}}
:lang(km){{font-family:{FONTS["km"]};line-height:1.8}}
figure{{margin:1rem 0}}
svg{{max-width:100%;height:auto}}
table{{border-collapse:collapse;width:100%}}
caption{{text-align:left;font-weight:600;padding:.5rem 0}}
th,td{{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid #8a8a8a}}
td.number{{text-align:right;white-space:nowrap}}
td.none{{text-align:right}}
th.number{{text-align:right}}
small{{color:#444}}
@media print{{body{{padding:0;max-width:none}} table{{break-inside:auto}} tr,figure{{break-inside:avoid}}}}
"""
_HASH: Final = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'; base-uri 'none'"
SIGNS: Final = {"GT": "> ", "LT": "< ", "APPROX": "\u2248 "}
# How many digits stand together and what parts them, as the readers of each language write figures.
PARTS: Final = {"en": ",", "id": ".", "km": "."}
# The authorities as the code list names them; another party is shown under its id.
AUTHORITIES: Final = {"id.imigrasi": "ID-DJI", "kh.gdi": "KH-GDI"}
LISTS: Final = {
    "sex": "sex",
    "ageGroup": "ageGroup",
    "checkpoint": "checkpoint",
    "destination": "country",
}

_Cell = tuple[str, frozenset[tuple[str, str]]]


class Sheet:
    """The figures of a report in one language: rows of cells, one column for each authority, ours first."""

    def __init__(self, report: Report, me: str, codelists: CodeLists, language: str, *, test: bool) -> None:
        self._test = test
        self._codelists = codelists
        self._report = report
        self.language = language
        self.parties = (me, *(told.party for told in report.partners if told.party != me))
        self._held: list[dict[_Cell, Figure]] = [
            {f.cell: f for f in report.figures},
            *({f.cell: f for f in told.figures} for told in report.partners if told.party != me),
        ]

    def term(self, code: str) -> str:
        """Return a word of the console in this language."""
        return self._codelists.label("uiTerm", code, self.language)

    @property
    def title(self) -> str:
        """The heading: what it is and of when; of a rehearsal, that it is one (P24)."""
        period = self._report.question.period
        title = f"{self.term('STATISTICS')}: {period.first.isoformat()} \u2013 {period.last.isoformat()}"
        return f"{title} ({self.term('TEST_ENVIRONMENT')})" if self._test else title

    @property
    def period(self) -> str:
        """The days, for the table's caption."""
        period = self._report.question.period
        return f"{self.term('PERIOD')}: {period.first.isoformat()} \u2013 {period.last.isoformat()}"

    @property
    def authorities(self) -> list[str]:
        """The parties by their names."""
        return [self._codelists.label("authority", AUTHORITIES.get(p, p), self.language) for p in self.parties]

    @property
    def cells(self) -> list[_Cell]:
        """What the rows are about: indicators in the order of their list, each total before its parts."""
        listed = self._codelists.get("statIndicator")
        order = {code: place for place, code in enumerate(listed.codes if listed else ())}
        every = {cell for held in self._held for cell in held}
        return sorted(every, key=lambda cell: (order.get(cell[0], len(order)), len(cell[1]), sorted(cell[1])))

    def figures(self, cell: _Cell) -> list[Figure | None]:
        """Return each authority's figure."""
        return [held.get(cell) for held in self._held]

    def label(self, cell: _Cell) -> str:
        """Return what a row is about, in words."""
        name = self._codelists.label("statIndicator", cell[0], self.language)
        parts = [self._codelists.label(LISTS.get(key, ""), code, self.language) for key, code in sorted(cell[1])]
        return " \u2013 ".join((name, *parts))

    def shown(self, figure: Figure | None) -> str:
        """Return a figure as it is written here; the signs are explained below the table."""
        if figure is None:
            return self.term("NOT_REPORTED")
        if figure.value is None:
            return self.term("WITHHELD")
        return SIGNS.get(figure.qualifier, "") + f"{figure.value:,}".replace(",", PARTS[self.language])

    def status(self, cell: _Cell) -> str:
        """Return whether the figures of a row are final."""
        final = all(figure is None or figure.status == "FINAL" for figure in self.figures(cell))
        return self.term("FINAL" if final else "PROVISIONAL")

    def sources(self, cell: _Cell) -> str:
        """Return where our figure of a row comes from: what was brought in, and how many messages."""
        ours = self._held[0].get(cell)
        if ours is None:
            return "\u2013"
        brought = {self._report.imported[s].source: None for s in ours.sources if s in self._report.imported}
        messages = sum(source not in self._report.imported for source in ours.sources)
        counted = [f"{self.term('MESSAGES')}: {messages}"] if messages else []
        return "; ".join((*brought, *counted))

    @property
    def signs(self) -> str:
        """The meaning of the signs before figures."""
        named = (
            (sign.strip(), self._codelists.label("figureQualifier", code, self.language))
            for code, sign in SIGNS.items()
        )
        return "; ".join(f"{sign} {meaning}" for sign, meaning in named)

    def chart(self, *, heading: bool = True) -> str:
        """Return the chart of the totals; parts of them are in the table."""
        groups = [
            Group(self.label(cell), tuple(self._bar(figure) for figure in self.figures(cell)))
            for cell in self.cells
            if not cell[1]
        ]
        told = "; ".join(
            f"{group.label}: "
            + ", ".join(
                f"{name} {bar.text if bar else self.term('NOT_REPORTED')}"
                for name, bar in zip(self.authorities, group.bars, strict=True)
            )
            for group in groups
        )
        return draw(
            self.title,
            f"{self.term('BARS_OF_THE_TABLE')}. {told}",
            self.authorities,
            groups,
            self.language,
            heading=heading,
        )

    def _bar(self, figure: Figure | None) -> Bar | None:
        return None if figure is None else Bar(figure.value, self.shown(figure), more=figure.qualifier == "GT")


def page(sheet: Sheet) -> str:
    """Return the page: the chart, and the table that says the same."""
    return "\n".join(_page(sheet))


def _page(sheet: Sheet) -> Iterator[str]:
    yield f'<!doctype html><html lang="{sheet.language}"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    yield f"<title>{escape(sheet.title)}</title><style>{STYLE}</style></head><body><main>"
    yield f"<h1>{escape(sheet.title)}</h1>"
    yield f"<figure>{sheet.chart(heading=False)}</figure>"
    yield f"<table><caption>{escape(sheet.period)}</caption><thead><tr>"
    yield f'<th scope="col">{escape(sheet.term("INDICATOR"))}</th>'
    for name in sheet.authorities:
        yield f'<th scope="col" class="number">{escape(name)}</th>'
    for term in ("STATUS", "SOURCE"):
        yield f'<th scope="col">{escape(sheet.term(term))}</th>'
    yield "</tr></thead><tbody>"
    for cell in sheet.cells:
        yield f'<tr><th scope="row">{escape(sheet.label(cell))}</th>'
        for figure in sheet.figures(cell):
            number = "number" if figure is not None and figure.value is not None else "none"
            yield f'<td class="{number}">{escape(sheet.shown(figure))}</td>'
        yield f"<td>{escape(sheet.status(cell))}</td><td>{escape(sheet.sources(cell))}</td></tr>"
    yield "</tbody></table>"
    yield f"<p><small>{escape(sheet.signs)}</small></p>"
    if sheet.language == "km":
        yield f"<p><small>{escape(sheet.term('KHMER_NEEDS_REVIEW'))}</small></p>"
    yield "</main></body></html>"
