"""What an engine resolved beside what was asked: by hand, and in every case that is recorded."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from study.agreement import disagreements
from study.spec import Case, Serving
from tests.cases import CASE

TOLD = {"graphs": "on", "compile": "on", "tp": 1, "pp": 1, "dp": 1, "max_num_seqs": 16, "capture_sizes": [8, 1]}


def test_an_engine_that_did_as_asked_agrees() -> None:
    assert disagreements(CASE, TOLD) == ()


def test_what_an_engine_does_not_tell_is_not_compared() -> None:
    assert disagreements(CASE, {"graphs": None, "tp": None}) == ()


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"graphs": "off"}, "graphs on was asked, but the engine resolved graphs off"),
        ({"tp": 2}, "tp 1 was asked, but the engine resolved tp 2"),
        ({"pp": 2}, "pp 1 was asked, but the engine resolved pp 2"),
        ({"dp": 2}, "dp 1 was asked, but the engine resolved dp 2"),
        ({"max_num_seqs": 256}, "sequences 16 was asked, but the engine resolved sequences 256"),
        ({"capture_sizes": [1, 2]}, "captured 1,8 was asked, but the engine resolved captured 1,2"),
    ],
)
def test_every_lie_is_told(lie: dict[str, Any], said: str) -> None:
    assert disagreements(CASE, TOLD | lie) == (said,)


def test_fair_cases_are_compared_as_the_pinned_ones_and_as_shipped_ones_have_nothing_to_compare() -> None:
    lie = TOLD | {"max_num_seqs": 256}
    assert [len(disagreements(replace(CASE, settings=word), lie)) for word in ("pinned", "fair", "as-shipped")] == [
        1,
        1,
        0,
    ]


def test_sglang_has_its_own_names() -> None:
    told = {"graphs": "on", "tp": 1, "max_running_requests": 8, "capture_sizes": None}
    assert disagreements(replace(CASE, engine="sglang"), told) == (
        "sequences 16 was asked, but the engine resolved sequences 8",
    )


def test_compilation_is_compared_where_it_was_asked_for_by_itself() -> None:
    assert disagreements(replace(CASE, compile="off"), TOLD) == (
        "compile off was asked, but the engine resolved compile on",
    )


def test_as_shipped_an_engine_may_choose_sizes_and_sequences() -> None:
    shipped = replace(CASE, settings="as-shipped")
    assert disagreements(shipped, TOLD | {"max_num_seqs": 1024, "capture_sizes": [1, 2, 4]}) == ()
    assert disagreements(shipped, TOLD | {"graphs": "off"}) != ()


def test_every_recorded_case_agrees(root: Path) -> None:
    records = [json.loads(path.read_text()) for path in (root / "data" / "recordings").glob("*/cases/*/case.json")]
    own = [record for record in records if record["made_by"] == "study.sweep"]
    assert len(own) >= 52
    for record in own:
        asked, resolved = record["asked"], dict(record["resolved"])
        if asked["tracing"] != "off" and "captured" not in asked:
            # Recorded before every case had room for as many sequences: what the engine was told is in its command.
            told = json.loads(record["argv"][record["argv"].index("--engine-args") + 1])
            assert resolved.pop("max_num_seqs", None) in (None, told.get("max_num_seqs")), record["name"]
        assert disagreements(_case(asked), resolved) == (), record["name"]


def _case(asked: dict[str, Any]) -> Case:
    lists = {key: tuple(value) if isinstance(value, list) else value for key, value in asked.items()}
    if asked.get("serving"):
        serving = {key: tuple(v) if isinstance(v, list) else v for key, v in asked["serving"].items()}
        lists["serving"] = Serving(**serving)
    return Case(**lists)
