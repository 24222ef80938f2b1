"""The page for people: one HTML file, three languages, no scripts, nothing loaded, made for paper too.

It shows no case data: type, case reference and handling are all that comes from the event. Made again by the
verifier and compared, so it must depend on the parts alone: no clock, no locale, no chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.evidence.words import LANGUAGES, NAMES, role_word, step_word, word
from gateway.primitives import b64u, times
from gateway.primitives.visible import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.evidence.facts import Facts
    from gateway.evidence.parts import Parts

_STYLE: Final = """
:root{color-scheme:light dark;--paper:#fff;--ink:#151b21;--muted:#48535d;--edge:#5d6973;--wash:#f1f4f6}
@media (prefers-color-scheme:dark){:root{--paper:#10161b;--ink:#e9eef2;--muted:#adb8c1;--edge:#8b98a3;--wash:#1a2229}}
body{background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,"Noto Sans Khmer","Khmer UI",sans-serif;
max-width:60rem;margin:2rem auto;padding:0 1rem}
section[lang=km]{line-height:1.8}
h1{font-size:1.6rem}h2{font-size:1.3rem;margin-top:3rem}h3{font-size:1.06rem}
.lead{color:var(--muted)}.state{font-size:1.12rem;font-weight:600;border-left:.3rem solid;padding-left:.75rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--edge)}
td{overflow-wrap:break-word}
th{font-weight:600}tbody th{width:40%}code,pre{font-family:ui-monospace,monospace;font-size:.875rem}
pre{background:var(--wash);padding:.75rem;white-space:pre-wrap;overflow-wrap:anywhere}
nav a{margin-right:1rem;color:inherit}
.mark{border:2px solid;padding:.25rem .5rem;display:inline-block;font-weight:600}
@media (max-width:45rem){table{display:block;overflow-x:auto}h1{overflow-wrap:anywhere}}
@page{size:A4;margin:14mm}
@media print{:root{--paper:#fff;--ink:#000;--muted:#333;--edge:#888;--wash:#f1f4f6}
body{margin:0;padding:0;max-width:none;font-size:8.5pt;line-height:1.35}section[lang=km]{line-height:1.45}nav{display:none}
h1{font-size:13pt;margin:0}h2{font-size:11pt;margin:.6rem 0}h3{font-size:9.5pt;margin:.6rem 0 .2rem;break-after:avoid}
p{margin:.4rem 0}.state{font-size:10pt}pre{font-size:8pt;padding:.4rem}
table{margin:.2rem 0 .6rem}th,td{padding-block:.15rem}
section+section{break-before:page}tr,.check{break-inside:avoid}}
"""


def write_page(parts: Parts, facts: Facts) -> bytes:
    """Return the page, UTF-8."""
    title = escape(f"{word('title', 'en')}: {parts.message}")
    links = " ".join(f'<a href="#{one}" lang="{one}">{NAMES[one]}</a>' for one in LANGUAGES)
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style></head>\n<body>\n<header><h1>{title}</h1>\n"
        f"<nav>{links}</nav></header>\n<main>\n"
        + "\n".join(_section(parts, facts, language) for language in LANGUAGES)
        + "\n</main></body></html>\n"
    )
    return text.encode()


def _section(parts: Parts, facts: Facts, language: str) -> str:
    def say(key: str) -> str:
        return escape(word(key, language))

    gaps = "".join(f"<li>{say(code)}</li>" for code in facts.gaps)
    return "\n".join((
        f'<section id="{language}" lang="{language}"><h2>{say("title")}</h2>',
        f'<p class="lead">{say("lead")}</p>',
        f'<p class="state">{say(facts.status)}</p>',
        _marks(facts, language),
        f"<h3>{say('facts')}</h3>{_pairs(_about(parts, facts), language)}",
        f"<h3>{say('steps')}</h3>{_steps(facts, language)}",
        f"<h3>{say('logs')}</h3>{_logs(facts, language)}",
        f"<h3>{say('cards')}</h3>{_cards(facts, language)}",
        f"<h3>{say('gaps')}</h3>" + (f"<ul>{gaps}</ul>" if gaps else f"<p>{say('whole')}</p>"),
        f'<div class="check"><h3>{say("check")}</h3><p>{say("checking")}</p>',
        '<pre lang="en">gateway evidence verify FILE.zip --fingerprint "…" --fingerprint "…"</pre></div></section>',
    ))  # fmt: skip


def _marks(facts: Facts, language: str) -> str:
    # Whoever holds paper must see how it may be used (handling codes stand on every copy).
    if facts.event is None:
        return ""
    marks = [f"{word('handling', language)}: {' '.join(facts.event.handling)}"]
    if facts.event.environment == "test":
        marks.insert(0, word("test", language))  # P24: nobody may take a rehearsal for a case
    return "\n".join(f'<p class="mark">{escape(mark)}</p>' for mark in marks)


def _about(parts: Parts, facts: Facts) -> list[tuple[str, str | None]]:
    names: dict[str, str] = {card.party: f"{card.name} ({card.party})" for card in facts.cards}
    event = facts.event
    return [
        ("message", parts.message),
        ("sender", names.get(parts.sender, parts.sender)),
        ("recipient", names.get(parts.recipient, parts.recipient)),
        ("type", f"{event.subject} {event.schema_version}" if event else None),
        ("case", event.case if event else None),
        ("urgency", event.urgency if event else None),
        ("handling", " ".join(event.handling) if event else None),
        ("received", None if facts.received_at_ms is None else _moment(times.format_ms(facts.received_at_ms))),
        ("problem", facts.problem),
        ("envelope", facts.envelope),
        ("signed", facts.envelope_signed and _moment(facts.envelope_signed)),
        ("answered", facts.receipt_signed and _moment(facts.receipt_signed)),
        ("digest", b64u.encode(parts.digest)),
        ("exporter", parts.exporter),
    ]


def _pairs(rows: Iterable[tuple[str, str | None]], language: str) -> str:
    return _table((), [(word(key, language), value) for key, value in rows if value is not None], heads=True)


def _steps(facts: Facts, language: str) -> str:
    return _table(
        [word(key, language) for key in ("time", "log", "index", "step", "role")],
        [
            (
                _moment(times.format_ms(one.at_ms)), one.party, str(one.index),
                _step(one.step, one.outcome, language), role_word(one.role, language),
            )
            for one in facts.steps
        ],
    )  # fmt: skip


def _moment(text: str) -> str:
    """Write a time for people; its heading says UTC. What no gateway writes stays as it is."""
    return text.removesuffix("Z").replace("T", " ")


def _step(step: str, outcome: str | None, language: str) -> str:
    reason = (outcome or "").removeprefix("accepted").removeprefix("rejected").strip()
    return step_word(step, language) + (f" ({reason})" if reason else "")


def _logs(facts: Facts, language: str) -> str:
    nobody, stamped = word("nobody", language), any(log.stamped_ms is not None for log in facts.logs)
    return _table(
        [word(key, language) for key in ("log", "size", "cosigned", *(["stamped"] if stamped else []))],
        [
            (
                log.origin or log.party, str(log.size),
                "; ".join(f"{name}, {_moment(times.format_ms(at))}" for name, at in log.cosigned) or nobody,
                *(["-" if log.stamped_ms is None else _moment(times.format_ms(log.stamped_ms))] if stamped else []),
            )
            for log in facts.logs
        ],
    )  # fmt: skip


def _cards(facts: Facts, language: str) -> str:
    return _table(
        [word(key, language) for key in ("party", "version", "fingerprint")],
        [(card.party, str(card.version), card.fingerprint) for card in facts.cards],
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, heads: bool = False) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = ""
    for row in rows:
        cells = [f"<td>{escape(cell)}</td>" for cell in row]
        if heads:
            cells[0] = f'<th scope="row">{escape(row[0])}</th>'
        body += f"<tr>{''.join(cells)}</tr>\n"
    return "<table>" + (f"<thead><tr>{head}</tr></thead>" if columns else "") + f"<tbody>\n{body}</tbody></table>"
