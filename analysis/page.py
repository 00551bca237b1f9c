"""Sections as a page and as a summary: HTML in one file that allows nothing external, and Markdown.

Owns the templates' environment, what they escape, and the page's Content-Security-Policy.
"""

from __future__ import annotations

import base64
import hashlib
import html as escaping
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from analysis import language
from analysis.blocks import Section

# What Text.__html__ writes: both languages, escaped.
_BOTH = re.compile(r'<span lang="en">([^<]*)</span><span lang="zh-Hans">([^<]*)</span>')
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure as files: beside the summary, and as a data: URI that figures.uri gave, of this size in pixels."""

    png: str
    uri: str
    width: int
    height: int


def html(shown: Mapping[str, Any]) -> str:
    """The page of sources, sections, pictures by figure, and cases."""
    sections: Sequence[Section] = shown["sections"]
    styles = [_text("report.css"), _text("language.css"), *(style for one in sections for style in one.styles)]
    scripts = [_text("report.js"), _text("language.js"), *(script for one in sections for script in one.scripts)]
    told = {"styles": styles, "scripts": scripts, "policy": policy(sections, styles, scripts)}
    return _each_once(_environment().get_template("report.html").render({**shown, **told}), shown["language"])


def _each_once(text: str, own: str) -> str:
    """The page with every sentence in its own language alone, and those of the other in a list for language.js.

    Most stand there many times, in tables and cases, of which no more than one language is ever shown.
    """
    places: dict[str, int] = {}

    def numbered(found: re.Match[str]) -> str:
        english, chinese = found.groups()
        shown, other = (chinese, english) if own == "zh" else (english, chinese)
        return f'<span data-said="{places.setdefault(escaping.unescape(other), len(places))}">{shown}</span>'

    body = _BOTH.sub(numbered, text)
    told = json.dumps(list(places), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return body.replace("</main>", f'</main>\n<script type="application/json" id="said">{told}</script>', 1)


def markdown(shown: Mapping[str, Any]) -> str:
    """The same as Markdown, in the one language of its figures, which lie beside it."""
    environment = _environment()
    if shown["language"] == "zh":
        environment.finalize = language.zh
        environment.filters["cell"] = lambda text: markdown_cell(language.zh(text))
    return environment.get_template("report.md").render(shown)


def policy(sections: Sequence[Section], styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Nothing from outside; of styles and scripts those that the page was made with, known by their hashes."""
    style = "'unsafe-inline'" if any(one.inline_styles for one in sections) else " ".join(map(_hashed, styles))
    allowed = [*scripts, *(script for one in sections for script in one.loaded)]
    return (
        f"default-src 'none'; img-src data:; style-src {style}; script-src {' '.join(map(_hashed, allowed))}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=jinja2.select_autoescape(),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    language.install(environment)
    environment.filters["cell"] = markdown_cell
    return environment


def markdown_cell(text: object) -> str:
    """Text that neither ends a Markdown table cell nor starts an element."""
    plain = escaping.escape(" ".join(str(text).split()), quote=False)
    return "".join(f"\\{character}" if character in "\\|`*_[]" else character for character in plain)
