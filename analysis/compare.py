"""What differs between a trace with graphs off and one with graphs on, and how much of it is the graphs.

Graphs take away waiting for launches; they do not change what a kernel does. Yet engines change more than graphs
between the two (torch.compile, other kernels, other splits), and that shows as other work. Of the difference in
iteration time the two parts are told apart on the critical path, and the work kernel by kernel. All times are traced.

The JSON of a comparison (`Comparison.to_json`), times in us per decode iteration, null where not known; `saved_us` and
`saved` are always off less on:

    off, on        name, path, nsys_version, gpus (a name per rank), tp, batch (sequences decoded at once), iterations
    warnings       texts: why the two are not the same experiment but for graphs; empty where nothing says so
    separation     saved_us by parts that add up to `iteration`: idle (= launch_idle + graph_gap + other_gap), work
                   (= compute + collective), residual; all of them along the critical path over ranks
    work           useful time of the kernels, mean over ranks, as off_us, on_us and saved_us, by `change`: only_off,
                   only_on, variant, count, time, same; and all
    measures       a list of quantity, off, on, saved: iteration time, parts of the critical path, launches, host
    groups         a list of group, off_per_iteration, on_per_iteration, off_us, on_us, saved_us, a row a group
    kernels        a list of change, group, kind, off_name, on_name (null where it did not run), off_per_iteration,
                   on_per_iteration, off_us, on_us, saved_us, a row a kernel, greatest difference first
    sentence       the separation in words

Where a capture is unfit, separation and work are null, and the sentence says why. Where graphs were recorded whole,
groups and kernels are empty: what ran in them would show as work that only one trace has. What `change` says of a
kernel is told in differences.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import differences, kernels
from analysis.account import rounded
from analysis.comparable import refuse, voided, warnings
from analysis.given import apart
from analysis.iterations import Trace
from analysis.summary import stem, summarise_trace

_IDLE, _WORK = ("launch_idle", "graph_gap", "other_gap"), ("compute", "collective")
_TYPICAL = ("operations", "launches", "graph_launches", "launch_call_us", "t_launch_us")


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One trace of a pair: its summary and its kernels, as kernels.table gives them."""

    summary: Mapping[str, Any]
    kernels: pd.DataFrame
    path: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Two traces side by side. kernels, groups: as differences.py gives them; measures: quantity, off, on, saved."""

    off: Side
    on: Side
    kernels: pd.DataFrame
    groups: pd.DataFrame
    measures: pd.DataFrame
    separation: Mapping[str, float | None]
    warnings: tuple[str, ...]

    @property
    def work(self) -> dict[str, dict[str, float | None]]:
        """The useful time of the kernels by how they differ, and of all; None where a capture is unfit."""
        times = self.kernels.groupby("change", observed=False)[["off_us", "on_us", "saved_us"]].sum()
        times.loc["all"] = self.kernels[["off_us", "on_us", "saved_us"]].sum()
        if self.voided:
            times[:] = np.nan
        rows = times.to_dict("index").items()
        return {str(change): {str(key): rounded(us) for key, us in row.items()} for change, row in rows}

    @property
    def voided(self) -> tuple[str, ...]:
        """Why no verdict rests on the two, a text each; empty where both are fit."""
        return voided(self.off.summary, self.on.summary)

    @property
    def sentence(self) -> str:
        """How much of the difference is idle time and how much other work; or why that is not known."""
        return _sentence(self.separation, self.measures.set_index("quantity"), self.work, self.voided)

    def to_json(self) -> dict[str, Any]:
        """The comparison ready for JSON, in the keys that the module describes."""
        return {
            "off": _about(self.off),
            "on": _about(self.on),
            "warnings": list(self.warnings),
            "separation": dict(self.separation),
            "work": self.work,
            "measures": _records(self.measures),
            "groups": _records(self.groups),
            "kernels": _records(self.kernels),
            "sentence": self.sentence,
        }


def compare(off: Trace, on: Trace, *, names: tuple[str, str] | None = None) -> Comparison:
    """Set a trace with graphs off beside one with graphs on.

    Raises TraceError where `off` launched graphs, `on` launched none in some iteration, or they differ in ranks.
    """
    paths = off.activity.path, on.activity.path
    off_name, on_name = names or apart((stem(paths[0]), stem(paths[1])), paths)
    return between(side(off, off_name), side(on, on_name))


def side(trace: Trace, name: str) -> Side:
    """What a comparison needs of a trace."""
    path = str(trace.activity.path)
    return Side(summary=summarise_trace(trace, name), kernels=kernels.table(trace), path=path)


def between(off: Side, on: Side) -> Comparison:
    """Set two sides beside each other. Raises TraceError as `compare` does."""
    refuse(off.summary, on.summary)
    found = differences.between(off.kernels, on.kernels)
    if "graph" in (off.summary["graph_tracing"], on.summary["graph_tracing"]):
        found = found.iloc[:0]
    return Comparison(
        off=off,
        on=on,
        kernels=found,
        groups=differences.by_group(found),
        measures=_measures(off.summary, on.summary),
        separation=separation(off.summary, on.summary),
        warnings=warnings(off.summary, on.summary, off.kernels, on.kernels),
    )


def _measures(off: Mapping[str, Any], on: Mapping[str, Any]) -> pd.DataFrame:
    """Quantities of both sides, in the unit that the name ends in: quantity, off, on, saved.

    Of a side that is unfit no part of the iteration was saved or lost.
    """
    sides = [_quantities(summary) for summary in (off, on)]
    rows = pd.DataFrame({"off": sides[0], "on": sides[1]}, dtype="float64").rename_axis("quantity").reset_index()
    parts = rows["quantity"].str.startswith("path_") | (rows["quantity"] == "useful_us")
    return rows.assign(saved=(rows["off"] - rows["on"]).mask(parts & bool(voided(off, on))))


def _quantities(summary: Mapping[str, Any]) -> dict[str, float]:
    ranks = pd.DataFrame(summary["ranks"])[[*_TYPICAL, "useful_ms", "host_ms"]].astype("float64")
    thousand = {key: 1e3 * float(value) for key, value in summary["iter_ms"].items()}
    path = summary["critical_path_us"].items()
    return {
        **{f"iteration_{key}_us": value for key, value in thousand.items()},
        **{f"path_{part}_us": np.nan if us is None else float(us) for part, us in path},
        "useful_us": 1e3 * ranks["useful_ms"].mean(),
        **{name: ranks[name].median() for name in _TYPICAL},
        # The slowest host sets the pace of all ranks.
        "host_us": 1e3 * ranks["host_ms"].max(),
    }


def separation(*summaries: Mapping[str, Any]) -> dict[str, float | None]:
    """What graphs saved, by parts of the critical path that add up; None where a path is not known or a side unfit."""
    parts, (off, on) = (*_IDLE, *_WORK), (summary["critical_path_us"] for summary in summaries)
    if voided(*summaries) or any(path[part] is None for path in (off, on) for part in ("wall", *parts)):
        return dict.fromkeys(("iteration", "idle", *_IDLE, "work", *_WORK, "residual"))
    saved = {part: off[part] - on[part] for part in ("wall", *parts)}
    idle, work = sum(saved[part] for part in _IDLE), sum(saved[part] for part in _WORK)
    found = {"iteration": saved["wall"], "idle": idle, **{part: saved[part] for part in _IDLE}}
    found |= {"work": work, **{part: saved[part] for part in _WORK}, "residual": saved["wall"] - idle - work}
    return {part: rounded(us) for part, us in found.items()}


def _sentence(
    saved: Mapping[str, Any], measures: pd.DataFrame, work: Mapping[str, Any], voided: tuple[str, ...]
) -> str:
    off_us, on_us = measures.loc["iteration_median_us", ["off", "on"]].astype("float64")
    times = f"An iteration takes {off_us:.0f} us with graphs off and {on_us:.0f} us with graphs on (traced)"
    if voided:
        return f"{times}. No verdict on what the difference is made of: {'. '.join(voided)}."
    if saved["iteration"] is None:
        return f"{times}; what the difference is made of is not known, because a trace has no critical path."
    total = saved["iteration"]

    shares = [f" ({round(100 * saved[part] / total)} %)" if total > 0 else "" for part in ("idle", "work")]
    return (
        f"{times}. Of the {total:.0f} us between them on the critical path, {saved['idle']:.0f} us{shares[0]} are time "
        f"in which the GPU stood idle (waiting for launches {saved['launch_idle']:.0f}, gaps inside graphs "
        f"{saved['graph_gap']:.0f}, other gaps {saved['other_gap']:.0f}), {saved['work']:.0f} us{shares[1]} are other "
        f"work (compute {saved['compute']:.0f}, collectives {saved['collective']:.0f}), {saved['residual']:.0f} us are "
        f"residual. Kernels that ran only with graphs off took {work['only_off']['off_us']:.0f} us, those that ran "
        f"only with graphs on {work['only_on']['on_us']:.0f} us."
    )


def _about(one: Side) -> dict[str, Any]:
    keys = ("name", "nsys_version", "gpus", "tp", "iterations")
    return {**{key: one.summary[key] for key in keys}, "batch": one.summary["steps"]["sequences"], "path": one.path}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows for JSON: no NaN, no empty name."""
    return [
        {str(key): rounded(value) if isinstance(value, float) else value or None for key, value in row.items()}
        for row in frame.astype(dict.fromkeys(frame.select_dtypes("category"), "object")).to_dict("records")
    ]
