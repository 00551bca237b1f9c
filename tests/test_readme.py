"""The figures in the README are those of the recordings, recomputed."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import report

ENGINES = {"vllm": "vLLM", "sglang": "SGLang"}
PROBE = " *"


@pytest.fixture(scope="module")
def gathered(root: Path) -> report.Gathered:
    return report.gather(sorted(path.parent for path in (root / "data" / "recordings").glob("*/recording.json")))


def test_every_row_of_the_answer_is_what_the_recordings_give(root: Path, gathered: report.Gathered) -> None:
    shown = re.findall(r"^\| (?:vLLM|SGLang) TP.*\|$", (root / "README.md").read_text(), re.MULTILINE)
    assert shown == [
        _row(gathered, engine, tp) for engine in ENGINES for tp in sorted(gathered.pairs["tp"].unique().tolist())
    ]


def test_vllms_switches_set_apart_are_what_the_recording_gives(root: Path, gathered: report.Gathered) -> None:
    pairs = gathered.pairs[(gathered.pairs["batch"] == 1) & (gathered.pairs["tp"] == 1)].set_index("compile")
    off, on = (
        {compiled: f"{pairs.loc[compiled, f'{graphs}_tpot_ms']:.3g}" for compiled in ("on", "off")}
        for graphs in ("off", "on")
    )
    compiled, eager = (f"{off[corner]} and {on[corner]} ms" for corner in ("on", "off"))
    said = f"graphs off and on take {compiled} compiled, {eager} not compiled"
    assert said in " ".join((root / "README.md").read_text().split())


def _row(gathered: report.Gathered, engine: str, tp: int) -> str:
    found = gathered.pairs[lambda row: (row["engine"] == engine) & (row["tp"] == tp) & (row["batch"] == 1)]
    found = found[found["compile"] == "engine"]
    own = found[found["made_by"] == "study.sweep"]
    pair = (own if len(own) else found).iloc[0]
    traces = {about["graphs"]: trace for about, trace in _traces(gathered) if _same(about, pair)}
    off, on = traces["off"], traces["on"]
    work = " / ".join(f"{_work_ms(trace):.2f}" for trace in (off, on))
    waiting = " / ".join(f"{trace['critical_path_us']['launch_idle'] / 1e3:.2f}" for trace in (off, on))
    launches = " / ".join(f"{max(rank['launches'] for rank in trace['ranks']):.0f}" for trace in (off, on))
    return (
        f"| {ENGINES[engine]} TP{tp}{'' if len(own) else PROBE} | {_interval(pair, 'off')} | {_interval(pair, 'on')} "
        f"| {pair['gain_ratio']:.1f} | {pair['off_starts_count']} | {launches} | {work} | {waiting} |"
    )


def _traces(gathered: report.Gathered) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(dict(found.about), found.summary) for found in gathered.evidence if found.summary]


def _same(about: dict[str, Any], pair: "pd.Series[float]") -> bool:
    return all(about[key] == pair[key] for key in ("study", "engine", "tp"))


def _work_ms(trace: dict[str, Any]) -> float:
    return (trace["critical_path_us"]["compute"] + trace["critical_path_us"]["collective"]) / 1e3


def _interval(pair: "pd.Series[float]", side: str) -> str:
    middle, low, high = (f"{pair[f'{side}_{what}_ms']:#.3g}".rstrip(".") for what in ("tpot", "low", "high"))
    return f"{middle} [{low}, {high}]"
