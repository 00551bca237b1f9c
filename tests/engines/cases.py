"""The kinds of cases that every version of an engine is asked about, and how its answers are kept."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from launch.drivers.sglang_server import _flag as sglang_flag
from launch.drivers.vllm_server import _flag as vllm_flag
from launch.engines import ENGINES
from study.layouts import parse
from study.spec import Case
from tests.cases import CASE

FLAGS = {"vllm": vllm_flag, "sglang": sglang_flag}
COMPILE = {"vllm": ("on", "off"), "sglang": ("engine",)}
# On a second card only what has to come out alike on every card.
CARDS = {"h200": ("pinned", "fair", "as-shipped"), "rtx4090": ("fair",)}
MODEL = "data/models/{}"
# Switches that say less, or other things, than they seem to.
TRAPS: dict[str, dict[str, Any]] = {
    "compile off, graphs not said": {"mode": 0},
    "compile off, graphs in pieces": {"mode": 0, "cudagraph_mode": "PIECEWISE"},
    "compile off, whole graphs": {"mode": 0, "cudagraph_mode": "FULL"},
    "graphs in pieces": {"cudagraph_mode": "PIECEWISE"},
    "whole graphs": {"cudagraph_mode": "FULL"},
    "whole graphs of decode": {"cudagraph_mode": "FULL_DECODE_ONLY"},
}


def of_version(engine: str, version: str) -> dict[str, dict[str, dict[str, Any]]]:
    """What a version is asked: by card, then by label."""
    asked = {
        card: {label(case): question(case, version) for case in kinds(engine) if case.settings in settings}
        for card, settings in CARDS.items()
    }
    if engine == "vllm":
        asked["h200"] |= {f"trap {name}": trap(switches, version) for name, switches in TRAPS.items()}
    return asked


def kinds(engine: str) -> list[Case]:
    """A case of every kind: each corner, graphs on in other layouts, the switch as shipped."""
    base = replace(CASE, engine=engine)
    corners = [
        replace(base, graphs=graphs, compile=compiled, settings=settings, tp=tp)
        for settings, tp in (("pinned", 2), ("fair", 1), ("fair", 2))
        for graphs in ("on", "off")
        for compiled in COMPILE[engine]
    ]
    shipped = [replace(base, graphs=graphs, settings="as-shipped", tp=2) for graphs in ("on", "off")]
    split = [placed(replace(base, settings="fair"), word) for word in ("tp4pp2", "tp4dp2")]
    mixture = placed(replace(base, model="qwen2-57b", settings="fair"), "tp4dpa2")
    return [*corners, *shipped, *split, mixture]


def trap(switches: dict[str, Any], version: str) -> dict[str, Any]:
    """The options of a pinned case with other switches than ours."""
    asked = question(replace(CASE, tp=2), version)
    options = {**asked["options"], "compilation_config": switches}
    return {**asked, "options": options, "flags": flags("vllm", options)}


def placed(case: Case, word: str) -> Case:
    """A case in the layout of a word."""
    layout = parse(word)
    return replace(case, tp=layout.tp, pp=layout.pp, dp=layout.dp, dp_attention=layout.dp_attention)


def label(case: Case) -> str:
    """A case in a table, as in fair tp2 graphs-on compile-off."""
    compiled = "" if case.compile == "engine" else f" compile-{case.compile}"
    return f"{case.settings} {case.layout.label} graphs-{case.graphs}{compiled}"


def question(case: Case, version: str) -> dict[str, Any]:
    """What an engine is given: options, variables, and the server's flags for the same."""
    engine = ENGINES[case.engine]
    options = engine.options(case, MODEL.format(case.model), version)
    environment = engine.environment(case, version)
    return {"options": options, "environment": environment, "flags": flags(case.engine, options)}


def flags(engine: str, options: Mapping[str, Any]) -> list[str]:
    """The server's flags for options."""
    return [word for name, value in options.items() for word in FLAGS[engine](name, value)]


def joined(asked: Mapping[str, Mapping[str, Any]], answers: Mapping[str, Any]) -> dict[str, Any]:
    """Question and answer, by label; the names that a version has no field for are its `unknown`."""
    return {
        name: {
            "given": asked[name]["options"],
            "environment": asked[name]["environment"],
            "unknown": [option for option, known in answer["accepts"].items() if not known],
            **{key: said for key, said in answer.items() if key != "accepts"},
        }
        for name, answer in answers.items()
    }


def shown(table: Mapping[str, Any]) -> str:
    """A table as text: a case's question and answer a line each."""
    lines = json.dumps(table, indent=1).splitlines()
    return "\n".join(_folded(lines)) + "\n"


def _folded(lines: list[str]) -> list[str]:
    # Whatever lies deeper than a case's own keys goes on one line.
    kept: list[str] = []
    for line in lines:
        depth = len(line) - len(line.lstrip(" "))
        if depth <= 4 and not (depth == 4 and line.strip() in ("}", "},", "]", "],")):
            kept.append(line)
        else:
            kept[-1] += (" " if kept[-1][-1] not in "{[" and line.strip()[0] not in "}]" else "") + line.strip()
    return kept


def summary(table: Mapping[str, Any]) -> str:
    """How many cases were taken and refused."""
    answers = [answer for card in table["cards"].values() for answer in card.values()]
    refused = [answer for answer in answers if "refused" in answer]
    other = [answer for answer in answers if answer.get("server", "same") != "same"]
    return f"{len(answers)} cases, {len(refused)} refused, {len(other)} that the server's flags say otherwise"
