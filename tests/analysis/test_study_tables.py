"""Every table of a study is documented as it is declared, and declared with the columns that are made."""

import re
from pathlib import Path

import pytest

from analysis.notebook import Study
from analysis.study_tables import TABLES


@pytest.fixture(scope="module")
def document(root: Path) -> str:
    return (root / "analysis" / "notebook.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_documented_as_it_is_declared(document: str, table: str) -> None:
    section = document.partition(f"### `{table}`\n")[2].partition("\n###")[0]
    assert [line for line in section.splitlines() if line.startswith("| `")] == [
        f"| `{column.name}` | {column.dtype} | {column.unit or '-'} | {column.meaning} |" for column in TABLES[table]
    ]
    assert section.startswith(f"\n{getattr(Study, table).__doc__}\n")


def test_there_is_a_section_for_every_table_and_no_other(document: str) -> None:
    assert re.findall(r"^### `(\w+)`$", document, re.MULTILINE) == list(TABLES)


@pytest.mark.parametrize(
    ("table", "column", "unit"),
    [
        ("cases", "power_limit_w", "W"),
        ("pairs", "off_tpot_ms", "ms"),
        ("pairs", "gain_low_ratio", "ratio"),
        ("served", "on_ttft_ms_p99", "ms"),
        ("served", "off_output_tok_s", "tokens/s"),
        ("served", "on_goodput_qps", "requests/s"),
        ("capacity", "capture_s", "s"),
        ("capacity", "graph_gib", "GiB"),
        ("windows", "window", ""),
    ],
)
def test_columns_end_in_their_units(table: str, column: str, unit: str) -> None:
    assert [found.unit for found in TABLES[table] if found.name == column] == [unit]


def test_what_is_told_of_both_halves_says_which_it_is_of() -> None:
    meanings = {column.name: column.meaning for column in TABLES["pairs"]}
    assert meanings["off_starts_count"] == "engine starts measured; graphs off"
    assert meanings["on_starts_count"] == "engine starts measured; graphs on"
