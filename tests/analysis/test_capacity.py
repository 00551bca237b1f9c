"""What graphs cost, from records written by hand."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import capacity
from analysis.recordings import open_study
from tests.analysis.studies import change_record, write_case, write_study


def study(folder: Path, *, phases_s: float = 30.0, **resolved: dict[str, Any]) -> pd.DataFrame:
    """A start for each half and repeat; `resolved` by graphs and repeat: off_1, on_2."""
    for name, told in resolved.items():
        graphs, _, repeat = name.partition("_")
        case = write_case(folder, graphs=graphs, repeat=int(repeat), tpot_ms=[4.0])
        change_record(case, {"resolved": {"graphs": graphs, **told}, "phases_s": {"starting": phases_s}})
    return capacity.table(open_study(write_study(folder)), "here")


def only(table: pd.DataFrame) -> dict[Any, Any]:
    (row,) = table.to_dict("records")
    return row


def test_tokens_time_and_memory_are_medians_over_starts(tmp_path: Path) -> None:
    row = only(study(
        tmp_path, off_1={"kv_tokens": 1000},
        on_1={"kv_tokens": 900, "capture_s": 2.0, "graph_gib": 0.1},
        on_2={"kv_tokens": 900, "capture_s": 4.0, "graph_gib": 0.3},
    ))  # fmt: skip
    assert (row["off_kv_tokens"], row["on_kv_tokens"], row["kv_ratio"]) == (1000, 900, 0.9)
    assert (row["capture_s"], row["graph_gib"], row["captured"]) == (3.0, 0.2, 1)
    assert (row["off_starts_count"], row["on_starts_count"], row["on_ready_s"]) == (1, 2, 30.0)


def test_blocks_are_counted_in_tokens_and_what_none_told_is_missing(tmp_path: Path) -> None:
    row = only(study(tmp_path, off_1={"kv_blocks": 10, "kv_block_tokens": 16}, on_1={}))
    assert row["off_kv_tokens"] == 160
    assert pd.isna(row["on_kv_tokens"]) and pd.isna(row["kv_ratio"]) and pd.isna(row["capture_s"])


def test_sizes_captured_set_configurations_apart(tmp_path: Path) -> None:
    table = study(tmp_path, on_1={"capture_sizes": [1, 2, 4]}, on_2={"capture_sizes": [1]})
    assert sorted(table["captured"]) == [1, 3]


def test_halves_of_a_served_case_are_one_row_though_only_graphs_on_tells_its_sizes(tmp_path: Path) -> None:
    for graphs, sizes in (("off", []), ("on", [1, 2, 4])):
        case = write_case(tmp_path, graphs=graphs, tpot_ms=[4.0])
        asked = json.loads((case / "case.json").read_text())["asked"]
        resolved = {"graphs": graphs, "kv_tokens": 1000, "capture_sizes": sizes}
        change_record(case, {"asked": {**asked, "batches": []}, "resolved": resolved})
    row = only(capacity.table(open_study(write_study(tmp_path)), "here"))
    assert (row["captured"], row["kv_ratio"], row["off_starts_count"]) == (3, 1.0, 1)


def test_a_profiler_takes_memory_of_its_own_so_traced_starts_do_not_count(tmp_path: Path) -> None:
    write_case(tmp_path, graphs="on", traced_graphs="on")
    assert capacity.table(open_study(write_study(tmp_path)), "here").empty
