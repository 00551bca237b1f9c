"""No output of any command that foretells mixes what is predicted with what was measured."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis import pairs, whatif
from analysis.__main__ import main
from tests import traces
from tests.analysis import studies
from tests.analysis.test_pairs import made

INTERVAL = {"value", "low", "high"}
PREDICTED_TABLE = re.compile(r"^predicted_")
MEASURED = re.compile(r"^(measured_|published_|traced$|covered$|error_ratio$)")
ARGUMENTS = {
    "predict": ["{off}", "{on}"],
    "explain": ["{off}", "{on}"],
    "transfer": ["{off}", "--to", "rtx4090"],
    "breakeven": ["{study}"],
    "published": ["{study}"],
    "fit": ["{study}"],
}


@pytest.fixture
def shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request: Any
) -> tuple[str, Any]:
    """What a command prints as words and as JSON."""
    studies.write_case(tmp_path, tpot_ms=[4.0])
    studies.write_study(tmp_path)
    # Of a model that is known, so that published figures are foretold by them.
    known = [replace(pair, key=("vllm", "llama3-8b", *pair.key[2:])) for pair in map(made, range(11))]
    monkeypatch.setattr(pairs, "recorded", lambda folder: (known, []))
    given = {"study": tmp_path, **{graphs: traces.recorded("vllm", 1, graphs) for graphs in ("off", "on")}}
    argv = [request.param, *(text.format(**given) for text in ARGUMENTS[request.param])]
    assert main(argv) == 0
    words = capsys.readouterr().out
    assert main([*argv, "--json"]) == 0
    return words, json.loads(capsys.readouterr().out)


def test_every_command_is_looked_at() -> None:
    assert set(ARGUMENTS) == set(whatif.COMMANDS)


@pytest.mark.parametrize("shown", ARGUMENTS, indirect=True)
def test_in_json_an_interval_is_under_a_mark_and_never_under_a_measured_key(shown: tuple[str, Any]) -> None:
    found = list(_intervals(shown[1], ()))
    assert all(marked for _, marked in found)
    assert not [path for path, _ in found if any(MEASURED.match(key) for key in path)]


@pytest.mark.parametrize("shown", ARGUMENTS, indirect=True)
def test_in_words_an_interval_is_on_a_line_or_below_a_heading_that_says_predicted(shown: tuple[str, Any]) -> None:
    heading = ""
    for line in shown[0].splitlines():
        if not line or line.startswith(" " * 30):
            heading = line
        elif re.search(r"\d \[[\d.]", line):
            assert "PREDICTED" in line + heading, line


@pytest.mark.parametrize("shown", ["predict", "explain"], indirect=True)
def test_what_was_traced_is_on_lines_without_a_mark(shown: tuple[str, Any]) -> None:
    for line, found in zip([line for line in shown[0].splitlines() if line[0] != " "], shown[1], strict=True):
        assert f"{found['traced']['iter_ms']:.3f} ms" in line
        assert "PREDICTED" not in line


@pytest.mark.parametrize("shown", ["fit"], indirect=True)
def test_tables_name_what_is_predicted_and_what_is_measured(shown: tuple[str, Any]) -> None:
    for table in ("graphs_on", "graphs_off"):
        numbers = {key for row in shown[1][table] for key, value in row.items() if isinstance(value, float)}
        assert {key for key in numbers if not (PREDICTED_TABLE.match(key) or MEASURED.match(key))} == set()


def _intervals(value: Any, path: tuple[str, ...], marked: bool = False) -> Iterator[tuple[tuple[str, ...], bool]]:
    if isinstance(value, list):
        for one in value:
            yield from _intervals(one, path, marked)
    elif isinstance(value, dict):
        marked = marked or value.get("mark") == "PREDICTED" or any(key.startswith("predicted") for key in path)
        if set(value) == INTERVAL:
            yield path, marked
        for key, one in value.items():
            yield from _intervals(one, (*path, key), marked)
