"""The interactive timeline of a report: which traces it shows, graphs off above graphs on, and what a page needs of it.

`page` reads the traces once more and gives the HTML, scripts and style of the timeline. What is
drawn of a trace is decided in timeline_data.py, how it is drawn in timeline_figure.py and templates/timeline.js.
"""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from analysis import shown, tables, timeline_data, timeline_figure, workers
from analysis.evidence import TRACE_KEYS, Evidence, Job
from analysis.figures import SWEEP, layout_title
from analysis.language import both, join, say
from analysis.timeline_pack import packed_text
from analysis.workers import Given

# Of the scripts, the styles, the words, the names of pairs in both languages and the empty document.
_OWN_BYTES = 95_000
MOST_BYTES = 500_000
"""Of all pairs together, packed: some ten, of eight GPUs too, which take a second each to read."""
# The engines that it is asked of.
_ASKED = ("vllm", "sglang")
_WORDS = {
    "classes": timeline_data.CLASSES, "callClasses": timeline_data.CALL_CLASSES, "causes": tables.CAUSES,
}  # fmt: skip
_SCRIPTS = ("timeline_data.js", "timeline_draw.js", "timeline_tell.js", "timeline.js")
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two traces of one configuration, graphs off and on: what to call them, where they come from, where they lie."""

    label: str
    mark: str
    off: Path
    on: Path


@dataclass(frozen=True, kw_only=True)
class Block:
    """The timeline as a page takes it: its HTML with all its data, and its scripts, to run after it, and styles.

    loaded: scripts that are packed in the HTML. The page's Content-Security-Policy must allow both kinds of scripts,
    and style elements that scripts put there.
    """

    html: Markup
    scripts: tuple[str, ...]
    loaded: tuple[str, ...]
    styles: tuple[str, ...]


def chosen(jobs: Sequence[Job], found: Sequence[Evidence], marks: Mapping[str, str]) -> list[Pair]:
    """The pairs that a timeline can show: node by node, both halves proving their labels.

    In the order in which they are asked for, as not all may have room: every engine at every TP once before any twice,
    vLLM and SGLang before others; of those what the sweep made, what leaves torch.compile to graphs' switch, and the
    smallest batches.
    """
    halves: dict[tuple[Any, ...], dict[str, Job]] = {}
    for job, one in zip(jobs, found, strict=True):
        about = dict(job.about)
        if one.proof == "proven" and not one.left_out and about["tracing"] == "node":
            key = tuple(about[name] for name in TRACE_KEYS if name not in ("case", "graphs"))
            halves.setdefault(key, {}).setdefault(about["graphs"], job)
    whole = [pair for pair in halves.values() if pair.keys() == {"off", "on"}]
    studies = {dict(pair["off"].about)["study"] for pair in whole}
    return [_pair(pair, marks, several=len(studies) > 1) for pair in _in_turn(whole)]


def _in_turn(whole: Sequence[dict[str, Job]]) -> list[dict[str, Job]]:
    """The best of each engine and TP by _rank, then the second best of each, and so on."""
    turns: Counter[tuple[str, int]] = Counter()
    ranked = []
    for pair in sorted(whole, key=_rank):
        about = dict(pair["off"].about)
        kind = about["engine"], about["tp"]
        ranked.append((turns[kind], pair))
        turns[kind] += 1
    return [pair for _, pair in sorted(ranked, key=lambda one: (one[0], _rank(one[1])))]


def _rank(pair: Mapping[str, Job]) -> tuple[bool | int, ...]:
    about = dict(pair["off"].about)
    place = [*_ASKED, about["engine"]].index(about["engine"])
    made, compiled, served = about["made_by"] != SWEEP, about["compile"] != "engine", about["batch"] == shown.SERVED
    return place == len(_ASKED), made, compiled, served, about["batch"], place, about["tp"]


def _pair(halves: Mapping[str, Job], marks: Mapping[str, str], *, several: bool) -> Pair:
    about = dict(halves["off"].about)
    batch = shown.batch(about) if about["batch"] == shown.SERVED else say("batch {batch}", batch=about["batch"])
    parts = [shown.engine(about), about["model"], layout_title(about["tp"], about["split"]), batch]
    label = join(say(", "), [*parts, *([about["study"]] if several else [])])
    return Pair(label=label, mark=marks[about["study"]], off=halves["off"].path, on=halves["on"].path)


def most_bytes() -> int:
    """What all of it may come to take of a page: the data of pairs, the library and the scripts."""
    return MOST_BYTES + len(_library()) + _OWN_BYTES


@cache
def _library() -> str:
    return packed_text(timeline_figure.library())


def page(
    pairs: Sequence[Pair], room_bytes: int | None = None, begun: Iterator[str | None] | None = None
) -> Block | None:
    """What a page needs to show these pairs, the first at once; from the first that has no room on they are only named.

    room_bytes: what all of it may take, library and scripts too; None where there is nothing else in the page.
    begun: what `begin` gave of them, if it was called before.
    """
    kept: list[dict[str, Any]] = []
    left_out: Sequence[Pair] = ()
    library = _library()
    room = MOST_BYTES if room_bytes is None else min(MOST_BYTES, room_bytes - len(library) - _OWN_BYTES)
    for place, (pair, data) in enumerate(zip(pairs, begun or begin(pairs), strict=False)):
        if data is None:
            continue
        room -= len(data)
        if room < 0:
            # What is not read takes no time either: of a study of many traces most have no room.
            left_out = pairs[place:]
            break
        kept.append({"label": both(pair.label), "mark": both(pair.mark), "data": data})
    if not kept:
        return None
    content = {"pairs": kept, "left_out": [both(pair.label) for pair in left_out], "words": _WORDS}
    messages = json.loads(_own("timeline.messages.json"))
    html = _template().render(
        messages=_json(messages), document=_json(timeline_figure.document()), pairs=_json(content), library=library
    )
    return Block(
        html=Markup(html), scripts=(_script(),), loaded=(timeline_figure.library(),), styles=(_own("timeline.css"),)
    )


def begin(pairs: Sequence[Pair]) -> Iterator[str | None]:
    """Every pair's data in order, None of one that cannot be read; as many as there are processors are begun ahead."""
    rest = iter(pairs)
    ahead = deque(workers.give(_data, pair) for pair in islice(rest, os.cpu_count() or 1))
    return _each(ahead, rest)


def _each(ahead: deque[Given[str | None]], rest: Iterator[Pair]) -> Iterator[str | None]:
    while ahead:
        data = ahead.popleft().result()
        ahead.extend(workers.give(_data, pair) for pair in islice(rest, 1))
        yield data


def _data(pair: Pair) -> str | None:
    return timeline_data.pair(pair.off, pair.on)


def _script() -> str:
    """The timeline's own scripts as one, out of the way of the page's others."""
    parts = "\n".join(_own(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


def _template() -> jinja2.Template:
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_own("timeline.html"))


def _own(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _json(content: Any) -> Markup:
    """JSON that may stand in an element: nothing in it can end one."""
    return Markup(json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))
