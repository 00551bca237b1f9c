"""Published figures beside what was recorded of the same engine and layout: ours, on what, or why there is nothing."""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import pandas as pd

from analysis import published, served
from analysis.recordings import Study

# Of each published metric: the column that measures it, and what its value is multiplied by to have the published unit.
_METRICS = {
    "decode_iteration": ("tpot_ms", 1.0),
    "throughput": ("output_tok_s", 1.0),
    "ttft": ("ttft_ms_p50", 1e-3),
}
ENGINES = ("vllm", "sglang", "hf")
SWEEP = "study.sweep"
_RATE = re.compile(r"at ([\d.]+) req/s")
_KEYS = ["study", "made_by", "gpu", "engine", "model", "parallel", "rate"]
COLUMNS = (*_KEYS, "metric", "starts_count", "off", "on")


def rows(studies: Sequence[tuple[str, Study]]) -> list[dict[str, Any]]:
    """Every published figure of a decode step or of serving by an engine that is measured here.

    published_off, published_on and measured_off, measured_on in `unit`: medians over starts, None where there is
    none. measured_model may be another one of that engine and layout: then `why` says so, as it says why nothing is
    there. Of several recordings that of the same model counts, then one without a profiler, then of most starts.
    """
    found = recorded(studies)
    most = max((_gpus(study) for _, study in studies if (study.cases["made_by"] == SWEEP).any()), default=0)
    theirs = [row for row in published.published_rows() if row["engine"] in ENGINES and row["metric"] in _METRICS]
    return [_beside(row, found, most) for row in theirs]


def recorded(studies: Sequence[tuple[str, Study]]) -> pd.DataFrame:
    """What the studies measured in the published metrics, COLUMNS: rate 0 is a decode step of one sequence."""
    tables = [table for name, study in studies for table in (_decoded(study, name), _served(study, name))]
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(COLUMNS))


def _decoded(study: Study, name: str) -> pd.DataFrame:
    mine = study.windows[(study.windows["batch"] == 1) & ~study.windows["case"].isin(study.mislabelled())]
    starts = mine.groupby(["case", "graphs"], as_index=False)["tpot_ms"].median()
    return _halves(study, name, starts.assign(rate=0.0), ("decode_iteration",))


def _served(study: Study, name: str) -> pd.DataFrame:
    points = served.points(study, name)
    return _halves(study, name, points[points["rate"] > 0], ("throughput", "ttft"))


def _halves(study: Study, name: str, starts: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Graphs off and on beside each other, a row a configuration and metric. starts: a row a start, with case, rate."""
    facts = study.cases[["case", "engine", "model", "tp", "split", "compile", "settings", "made_by"]]
    starts = starts[["case", "graphs", "rate", *(_METRICS[metric][0] for metric in metrics)]].merge(facts, on="case")
    starts = starts[_as_published(starts) & (starts["settings"] == "pinned")]
    parallel = "tp" + starts["tp"].astype(str) + starts["split"]
    gpu = next((record["host"]["gpu_name"] for record in study.records.values()), "")
    starts = starts.assign(study=name, gpu=gpu, parallel=parallel)
    found = []
    for key, group in starts.groupby(_KEYS, sort=True):
        halves = {graphs: group[group["graphs"] == graphs] for graphs in ("off", "on")}
        # Plain generate has no graphs: the one half is all that there is.
        count = min(
            len(half) for graphs, half in halves.items() if graphs == "off" or key[_KEYS.index("engine")] != "hf"
        )
        for metric in metrics if count else ():
            column, unit = _METRICS[metric]
            values = {graphs: float(half[column].median()) * unit for graphs, half in halves.items()}
            found.append({**dict(zip(_KEYS, key, strict=True)), "metric": metric, "starts_count": count, **values})
    return pd.DataFrame(found, columns=list(COLUMNS))


def _as_published(starts: pd.DataFrame) -> "pd.Series[bool]":
    """Which starts are what published halves are: the engine's own switch, which in vLLM brings torch.compile along;
    of transformers generate as it comes."""
    compiled, vllm = starts["compile"], starts["engine"] == "vllm"
    switched = (compiled == "engine") | (vllm & (compiled == starts["graphs"]))
    return switched.where(starts["engine"] != "hf", compiled == "off")


def _beside(row: Mapping[str, Any], found: pd.DataFrame, most: int) -> dict[str, Any]:
    kept = {name: row[name] for name in ("id", "gpu", "engine", "model", "parallel", "workload", "metric", "unit")}
    kept |= {"published_off": row["graphs_off"], "published_on": row["graphs_on"]}
    alike = [found[column] == row[column] for column in ("engine", "parallel", "metric")]
    mine = found[alike[0] & alike[1] & alike[2] & (found["rate"] == _rate(row))]
    if mine.empty:
        nothing = dict.fromkeys(("measured_off", "measured_on", "measured_model", "measured_gpu", "study"))
        return kept | nothing | {"why": _absent(row, most)}
    name = published.plain_name(row["model"])
    order = {"other": mine["model"] != name, "probe": mine["made_by"] != SWEEP, "few": -mine["starts_count"]}
    best = mine.assign(**order).sort_values([*order, "study"], kind="stable").iloc[0]
    off, on = (None if pd.isna(best[half]) else best[half] for half in ("off", "on"))
    return kept | {
        "measured_off": off, "measured_on": on, "measured_model": best["model"],
        "measured_gpu": best["gpu"], "study": best["study"],
        "why": None if best["model"] == name else f"{name} is not recorded",
    }  # fmt: skip


def _rate(row: Mapping[str, Any]) -> float:
    asked = _RATE.search(str(row["workload"]))
    return float(asked[1]) if asked else 0.0


def _absent(row: Mapping[str, Any], most: int) -> str:
    needed = prod(int(size) for size in re.findall(r"\d+", str(row["parallel"])))
    short = f": {row['parallel']} needs {needed} GPUs, recorded hosts had {most}" if needed > most else ""
    return f"not recorded{short}"


def _gpus(study: Study) -> int:
    return max((int(record["host"]["gpu_count"]) for record in study.records.values()), default=0)


def lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each published figure: theirs, ours, on what."""
    for row in found:
        about = f"{row['id']} {row['gpu']} {row['engine']} {row['model']} {row['parallel']}, {row['workload']}"
        yield f"{about}: published off / on {_pair(row, 'published')} {row['unit']} ({row['metric']})"
        if row["study"] is None:
            yield f"    {row['why']}"
        else:
            model = f", {row['measured_model']}" + (f" ({row['why']})" if row["why"] else "")
            yield f"    measured {_pair(row, 'measured')} {row['unit']} on {row['measured_gpu']}{model}: {row['study']}"


def _pair(row: Mapping[str, Any], whose: str) -> str:
    halves = (row[f"{whose}_off"], row[f"{whose}_on"])
    return " / ".join("-" if half is None else f"{float(half):.4g}" for half in halves)
