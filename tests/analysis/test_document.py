"""analysis/README.md names every key of the JSON and every column of the tables as schema and declarations do."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from analysis import compare, explain, predict, published
from analysis.__main__ import main
from analysis.frames import TABLES, Frames
from analysis.gathered import Gathered
from analysis.steps import REASONS
from analysis.summary import summarise
from tests import traces
from tests.traces import Sqlite

REQUIRED_RANK = (
    "rank device busy_ms useful_ms wait_ms idle_ms gap_us.p50 gap_us.p90 gap_us.p99 overlap_ratio operations launches "
    "graph_launches launch_call_us host_ms t_launch_us lead_us straggler_ratio"
)
REQUIRED = (
    "name nsys_version gpus tp graphs iterations iter_ms.median iter_ms.p10 iter_ms.p90 critical_path_us.wall "
    "critical_path_us.compute critical_path_us.collective critical_path_us.launch_idle critical_path_us.graph_gap "
    "critical_path_us.other_gap critical_path_us.residual ranks"
)


@pytest.fixture(scope="module")
def document(root: Path) -> str:
    return (root / "analysis" / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def of_output(root: Path) -> dict[str, Any]:
    """The schema of what is printed."""
    found: dict[str, Any] = json.loads((root / "analysis" / "summary.schema.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def schema(of_output: dict[str, Any]) -> dict[str, Any]:
    """The schema of one trace in it."""
    found: dict[str, Any] = of_output["items"]
    return found


def test_the_schema_is_one(of_output: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(of_output)
    assert all(found.get("description") for _, found in _keys(schema, ""))


def test_the_schema_ships_with_the_package(root: Path) -> None:
    assert re.search(
        r'^analysis = \[.*"summary\.schema\.json".*\]$', (root / "pyproject.toml").read_text(), re.MULTILINE
    )


def test_what_the_command_prints_is_as_the_schema_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], of_output: dict[str, Any]
) -> None:
    paths = [str(traces.decode(ranks=ranks).write(tmp_path / f"{ranks}.sqlite")) for ranks in (1, 2)]
    assert main(["--json", *paths]) == 0
    printed = json.loads(capsys.readouterr().out)
    jsonschema.validate(printed, of_output)
    assert len(printed) == 2
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(printed[0], of_output)


def test_summaries_of_all_recorded_traces_are_as_the_schema_says(
    root: Path, gathered: Gathered, schema: dict[str, Any]
) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    summaries = [(str(dict(found.about)), found.summary) for found in gathered.evidence]
    summaries += [(path.name, summarise(path)) for path in sorted((root / "data" / "traces").rglob("*.sqlite.xz"))]
    shipped = [*(root / "data").rglob("*.sqlite.xz"), *(root / "data" / "recordings").glob("*/cases/*/trace*.json")]
    assert len(summaries) == len(shipped) >= 24
    problems = [
        f"{name}: {error.json_path}: {error.message}"
        for name, summary in summaries
        for error in validator.iter_errors(summary)
    ]
    assert problems == []


@pytest.mark.parametrize("without_calls", [False, True])
def test_summaries_that_know_little_are_as_the_schema_says(
    tmp_path: Path, schema: dict[str, Any], without_calls: bool
) -> None:
    trace = traces.decode(ranks=2)
    if without_calls:
        calls = trace.tables[traces.RUNTIME]
        trace.tables[traces.RUNTIME] = calls[:3]
    jsonschema.validate(summarise(trace.write(tmp_path / "a.sqlite")), schema)


def test_graphs_recorded_whole_and_ranks_that_disagree_are_as_the_schema_says(
    tmp_path: Path, schema: dict[str, Any]
) -> None:
    trace = Sqlite()
    for rank in range(2):
        for step in range(10):
            at = 1000 + 100 * step
            where = {"pid": 101 + rank, "device": rank}
            trace.whole_graph(at, at + 50, at=at - 10, **where)
            for number, name in enumerate(("argmax", "sample", "update", "fill")):
                trace.launch(name, at=at - 5, start=at + 60 + 5 * number, end=at + 64 + 5 * number, **where)
    summary = summarise(trace.write(tmp_path / "a.sqlite"))
    assert summary["critical_path_us"]["wall"] is None
    jsonschema.validate(summary, schema)


def test_graphs_of_which_nothing_was_recorded_are_as_the_schema_says(tmp_path: Path, schema: dict[str, Any]) -> None:
    jsonschema.validate(summarise(traces.unseen(ranks=2).write(tmp_path / "a.sqlite")), schema)


@pytest.mark.parametrize("change", ["a key more", "a key less", "another type"])
def test_what_the_schema_does_not_say_is_found(tmp_path: Path, schema: dict[str, Any], change: str) -> None:
    summary = summarise(traces.decode().write(tmp_path / "a.sqlite"))
    if change == "a key more":
        summary["ranks"][0]["surprise"] = 1
    elif change == "a key less":
        del summary["critical_path_us"]["residual"]
    else:
        summary["tp"] = "1"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(summary, schema)


def test_the_keys_that_readers_count_on_are_required(schema: dict[str, Any]) -> None:
    wanted = [*REQUIRED.split(), *(f"ranks[].{key}" for key in REQUIRED_RANK.split())]
    assert [key for key in wanted if not _required(schema, key)] == []


def test_every_key_of_the_json_is_documented_as_in_the_schema(document: str, schema: dict[str, Any]) -> None:
    rows = _rows(document, "JSON")
    assert rows == [_key_row(key, found) for key, found in _keys(schema, "")]


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_documented_as_it_is_declared(document: str, table: str) -> None:
    assert _rows(document, f"`{table}`") == [
        f"| `{column.name}` | {column.dtype} | {column.unit or '-'} | {column.meaning} |" for column in TABLES[table]
    ]


def test_no_text_names_what_only_the_code_knows(document: str) -> None:
    assert re.findall(r"one of (?:\w+\.)?[A-Z_]{5,}", document) == []


def test_the_reasons_why_steps_are_left_out_are_documented_as_the_code_gives_them(schema: dict[str, Any]) -> None:
    found = schema["properties"]["steps"]["properties"]["dropped"]["properties"]
    assert {reason: of["description"].lower() for reason, of in found.items()} == {
        reason: words.lower() for reason, words in REASONS.items()
    }


def test_time_per_iteration_has_a_unit() -> None:
    units = {column.name: column.unit for column in TABLES["kernels"]}
    assert (units["us_per_iteration"], units["per_iteration"]) == ("us", "")


def test_the_document_has_a_section_for_every_table_and_no_other(document: str) -> None:
    assert re.findall(r"^### `(\w+)`$", document, re.MULTILINE) == list(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_every_table_says_what_a_row_is_as_the_code_does(root: Path, document: str, table: str) -> None:
    code = (root / "analysis" / "frames.py").read_text(encoding="utf-8")
    told = re.search(rf'^    {table}: pd\.DataFrame\n    """(.*?)"""$', code, re.MULTILINE)
    assert told is not None
    assert f"### `{table}`\n\n{told.group(1)}\n" in document
    assert table in Frames.__dataclass_fields__


def test_every_key_of_a_comparison_is_documented(document: str) -> None:
    off, on = (traces.found(traces.recorded("sglang", 1, graphs)) for graphs in ("off", "on"))
    found = compare.compare(off, on).to_json()
    rows = _rows(document, "JSON of a comparison")
    assert [key for row in rows for key in re.findall(r"`(\w+)`", row.split("|")[1])] == list(found)
    table = "\n".join(rows)
    below = [found["off"], found["separation"], found["work"], found["work"]["all"]]
    below += [found[name][0] for name in ("measures", "groups", "kernels")]
    assert [key for part in below for key in part if f"`{key}`" not in table] == []


def test_every_key_of_a_prediction_is_documented(document: str) -> None:
    trace = traces.found(traces.recorded("vllm", 1, "off"))
    found = explain.explain(trace, "")
    section = document.partition("## What was not measured, foretold")[2].partition("### On GPUs")[0]
    table = "\n".join(line for line in section.splitlines() if line.startswith("| `"))
    foretold = predict.predict(trace, "")
    assert [key for key in foretold if f"`{key}`" not in table] == []
    added = [*(found.keys() - foretold.keys()), *found["would_help"][0], *(found["traced"].keys() - {"critical_path"})]
    assert [key for key in added if f"`{key}`" not in section] == []


def test_what_says_that_a_prediction_is_not_claimed_is_documented_for_every_output(document: str) -> None:
    for heading in ("What was not measured, foretold", "On GPUs that nobody traced", "Verdict"):
        section = re.split(rf"^#+ {heading}$", document, maxsplit=1, flags=re.MULTILINE)[1]
        assert "`claimed`" in re.split(r"^#", section, maxsplit=1, flags=re.MULTILINE)[0], heading
    rule = published._rule("", [], 0, 1)
    assert [key for key in ("held_by", "not_held_by", "left_out") if f"`{key}`" not in document] == []
    assert {"held_by", "not_held_by"} <= set(rule)


def _keys(schema: dict[str, Any], above: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key below, with the path to it: `ranks[].iter_ms.p10`."""
    for name, found in schema.get("properties", {}).items():
        key = f"{above}{name}"
        yield key, found
        items = found.get("items", {})
        yield from _keys(found, f"{key}.")
        yield from _keys(items, f"{key}[].")


def _key_row(key: str, found: dict[str, Any]) -> str:
    kinds = found["type"] if isinstance(found["type"], list) else [found["type"]]
    unit = found.get("unit") or found.get("items", {}).get("unit") or "-"
    return f"| `{key}` | {' or '.join(kinds)} | {unit} | {found['description']} |"


def _required(schema: dict[str, Any], key: str) -> bool:
    for part in key.split("."):
        name = part.removesuffix("[]")
        if name not in schema.get("required", ()):
            return False
        schema = schema["properties"][name]
        schema = schema["items"] if part.endswith("[]") else schema
    return True


def _rows(document: str, heading: str) -> list[str]:
    """The rows of the first table below a heading."""
    below = re.split(rf"^#+ {re.escape(heading)}$", document, maxsplit=1, flags=re.MULTILINE)[1]
    section = re.split(r"^#", below, maxsplit=1, flags=re.MULTILINE)[0]
    return [line for line in section.splitlines() if line.startswith("| `")]
