"""The report's text in English and Simplified Chinese: one page holds both, numbers and figures are there once.

Python and templates alike say what they show with `say("Graphs gain {gain:.1f} times", gain=4.43)`: a literal English
message with named fields, kept from f-strings, `+` and str methods, which know English alone. It returns a Text:
English wherever a str is expected (terminal, CSV, Markdown), and both languages, each in a span with its `lang`, where
Jinja writes it into HTML as {{ text }}. A field may be a Text; join(say("; "), texts) puts several together;
words("engine", "model") says several; read(text) finds the Chinese of what a table kept as plain English, drawn(text)
of what a figure did. Names, numbers and whatever programs print stay plain str. In templates, after `install`:

    <p>{{ say("Every case") }}</p>   <img {{ attributes(alt=figure.alt) }}>
    <title {{ attributes(text=title) }}>{{ title | english }}</title>
    <style>{% include "language.css" %}</style>   <button type="button" data-language-switch hidden></button>
    <script>{% include "language.js" %}</script>   {{ say("gap") | both | tojson }} for a script: {"en": ..., "zh": ...}

language.js holds data-lang on <html>, tells of a change with the event `languagechange` on document, and gives scripts
inLanguage(both, fields). The Chinese stands in languages/zh.toml; a test holds that both have the same fields, and that
nothing there is unused.
"""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LANGUAGES = {"en": "en", "zh": "zh-Hans"}
"""The languages, by the name that data-lang has, and as the attribute lang tells them to browsers."""
_FIELD = re.compile(r"\{(\w+)[^}]*\}")
# Between the parts of a text, but not of what stands in brackets.
_BETWEEN = re.compile(r"; (?![^()]*\))")


class Text(str):
    """English, and the same in Chinese as `zh`; equal to the English where there is no Chinese."""

    __slots__ = ("zh",)
    zh: str

    def __new__(cls, english: str, zh: str = "") -> Text:
        """The text in both languages; without `zh` it reads the same in both."""
        text = super().__new__(cls, english)
        text.zh = zh or str(english)
        return text

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.zh

    def __html__(self) -> str:
        """Both languages beside each other, of which language.css shows one; once where they are the same."""
        english = html.escape(str(self))
        if self.zh == str(self):
            return english
        return f'<span lang="en">{english}</span><span lang="{LANGUAGES["zh"]}">{html.escape(self.zh)}</span>'


def say(message: str, /, **fields: object) -> Text:
    """The message with its fields filled in, as str.format does; English alone where no Chinese is known."""
    chinese = {name: value.zh if isinstance(value, Text) else value for name, value in fields.items()}
    translated = catalogue()["said"].get(message, message)
    return Text(message.format(**fields), translated.format(**chinese))


def words(*messages: str) -> tuple[Text, ...]:
    """Each message said: the headings of a table."""
    return tuple(say(message) for message in messages)


def pattern(message: str) -> Text:
    """The message with its fields left open, for a script to fill in."""
    return Text(message, catalogue()["said"].get(message, message))


def join(separator: str, texts: Iterable[str]) -> Text:
    """The texts with the separator in between, in each language."""
    parts = list(texts)
    return Text(separator.join(parts), zh(separator).join(map(zh, parts)))


def zh(text: str) -> str:
    """The text in Chinese, where it has any."""
    return text.zh if isinstance(text, Text) else text


def read(text: str) -> Text:
    """Text that was kept as plain English, in Chinese too where a part of it between "; " is known to be read."""
    return join(say("; "), [_recognised(part, "read", read) or Text(part) for part in _BETWEEN.split(text)])


def drawn(text: str) -> Text:
    """Words of a figure, which libraries keep as plain English, in Chinese too, as a whole or line by line."""
    if isinstance(text, Text):
        return text
    for known in catalogue().values():
        if text in known:
            return Text(text, known[text])
    if "\n" in text:
        return join("\n", map(drawn, text.split("\n")))
    return _recognised(text, "drawn", drawn) or Text(text)


def _recognised(text: str, table: str, field: Callable[[str], Text]) -> Text | None:
    for shape, chinese in _shapes(table):
        if found := shape.fullmatch(text):
            return Text(text, chinese.format(**{name: field(value).zh for name, value in found.groupdict().items()}))
    return None


@cache
def _shapes(table: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """What to recognise text by, of a table of the catalogue, the longest message first.

    What begins with a field comes last: the field would take in the beginning of another message.
    """
    messages = sorted(
        catalogue()[table].items(), key=lambda entry: (entry[0].startswith("{"), -len(_FIELD.sub("", entry[0])))
    )
    return tuple((re.compile(_shape(message), re.DOTALL), chinese) for message, chinese in messages)


def _shape(message: str) -> str:
    literal, names = _FIELD.split(message)[::2], _FIELD.findall(message)
    fields = [*(f"(?P<{name}>.+?)" for name in names), ""]
    return "".join(re.escape(text) + field for text, field in zip(literal, fields, strict=True))


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """Chinese by English: `said` for messages of say, `read` for those of read, `drawn` for those of drawn."""
    path = Path(__file__).parent / "languages" / "zh.toml"
    return {"said": {}, "read": {}, "drawn": {}, **tomllib.loads(path.read_text(encoding="utf-8"))}


def attributes(**named: str) -> Markup:
    """Attributes of an element in English, with the Chinese for language.js to put in their place.

    aria_label stands for aria-label; `text` is no attribute but the text of an element that can hold no spans.
    """
    english = {name.replace("_", "-"): str(text) for name, text in named.items() if name != "text"}
    shown = [f'{name}="{html.escape(text)}"' for name, text in english.items()]
    chinese = {name.replace("_", "-"): zh(text) for name, text in named.items() if zh(text) != str(text)}
    if chinese:
        shown.append(f'data-zh="{html.escape(json.dumps(chinese, ensure_ascii=False))}"')
    return Markup(" ".join(shown))


def both(text: str) -> dict[str, str]:
    """The text by language, as scripts take it."""
    return {"en": str(text), "zh": zh(text)}


def install(environment: jinja2.Environment) -> None:
    """Give the templates of an environment say, words, attributes, pattern, and the filters both and english."""
    given: dict[str, Any] = {"say": say, "words": words, "attributes": attributes, "pattern": pattern}
    environment.globals.update(given)
    environment.filters.update({"both": both, "english": str})


def of_locale(environment: Mapping[str, str]) -> str:
    """Which of LANGUAGES the environment variables of a program ask for: the first that is set of those for texts."""
    told = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    return "zh" if told.lower().startswith("zh") else "en"
