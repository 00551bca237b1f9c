"""The figures in the README are those of the recordings, recomputed."""

import re
from pathlib import Path

import pandas as pd
import pytest

from analysis import evidence, report

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


def _row(gathered: report.Gathered, engine: str, tp: int) -> str:
    found = gathered.pairs[lambda row: (row["engine"] == engine) & (row["tp"] == tp) & (row["batch"] == 1)]
    own = found[found["made_by"] == "study.sweep"]
    pair = (own if len(own) else found).iloc[0]
    ranks = evidence.rank_table(gathered.evidence)
    ranks = ranks[(ranks["engine"] == engine) & (ranks["tp"] == tp) & (ranks["study"] == pair["study"])]
    idlest = [ranks[ranks["graphs"] == graphs].sort_values("idle_ratio").iloc[-1] for graphs in ("off", "on")]
    idle = " / ".join(f"{rank['idle_ratio']:.0%}" for rank in idlest)
    launches = " / ".join(f"{rank['launches']:.0f}" for rank in idlest)
    return (
        f"| {ENGINES[engine]} TP{tp}{'' if len(own) else PROBE} | {_interval(pair, 'off')} | {_interval(pair, 'on')} "
        f"| {pair['gain_ratio']:.1f} | {pair['off_starts_count']} | {idle} | {launches} |"
    )


def _interval(pair: "pd.Series[float]", side: str) -> str:
    middle, low, high = (f"{pair[f'{side}_{what}_ms']:#.3g}".rstrip(".") for what in ("tpot", "low", "high"))
    return f"{middle} [{low}, {high}]"
