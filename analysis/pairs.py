"""Predictions beside what was measured: every recorded pair of graphs off and on, each predicted from all the others.

A pair is one configuration of one study (engine, model, TP, batch, and what else sets cases apart): a trace with
graphs off, untraced iteration times of both halves, and a trace with graphs on where there is one. Left out is always a
whole configuration, with all studies that hold it, so that no pair is predicted from its twin.

Pairs that claims.py does not claim, by their engine or model, are predicted and shown with the error that this makes;
nothing is learnt from them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import calibrations, claims, extract, iterations, paired, predict, replay, weights
from analysis.calibrations import TORCH, Calibration
from analysis.errors import TraceError
from analysis.estimates import error_at, least, within
from analysis.language import Text
from analysis.predict import Model
from analysis.recordings import VARIANT, open_study
from analysis.replay import NODE_US, Graph
from analysis.typical import Typical

RATE = 0.9
KEYS = ("engine", "model", "tp", "batch", *VARIANT)
ALONE, ANOTHER, SAME = "recordings", "another configuration", "same configuration"
"""By what the launches of a host are known to left_out_off."""
# Where the host takes so much longer than the GPUs, the iteration with graphs off is the host's.
_LAUNCH_BOUND = 1.2
_GAPS_US = np.linspace(0, 2, 2001)
# The same by measured times: below it other things than the host may be the longer side.
_GAINS = 1.3
COLUMNS = (
    "study", *KEYS, "predicted_on_ms", "predicted_low_ms",
    "predicted_high_ms", "measured_on_ms", "error_ratio", "covered", "predicted_bound", "predicted_ratio",
    "predicted_low_ratio", "predicted_high_ratio", "measured_ratio", "claimed",
)  # fmt: skip
OFF_COLUMNS = (
    "study", *KEYS, "known", "predicted_off_ms", "predicted_low_ms",
    "predicted_high_ms", "measured_off_ms", "error_ratio", "covered", "claimed",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """One configuration of one study; the times are medians over starts of medians over windows of untraced cases.

    What study.sweep made had no profiler attached; another maker's may have.
    """

    study: str
    key: tuple[Any, ...]
    """engine, model, tp, batch, and what else sets cases apart: recordings.VARIANT."""
    off: Typical
    on: Typical | None
    off_ms: float
    on_ms: float
    gain_ratio: float
    """Graphs off over on, over pairs of starts where there are some: of paired.gains, not off_ms over on_ms."""
    torch_us: float | None
    """What a launch takes torch alone on the host, where the study holds a calibration."""
    made_by: str = "study.sweep"

    @property
    def experts(self) -> bool:
        """Whether its model is a mixture of experts, by its configuration or by its kernels."""
        return self.off.experts or weights.experts(self.key[KEYS.index("model")])

    @property
    def why_not(self) -> Text | None:
        """Why nothing that is predicted of it is claimed; None where it is."""
        return claims.why_not(self.key[KEYS.index("engine")], self.experts)

    @property
    def claimed(self) -> bool:
        """Whether what is predicted of it counts, and it has a part in what others are predicted by."""
        return self.why_not is None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Left:
    """A pair left out, the constants of the others, and its measured values over what they predict."""

    pair: Pair
    model: Model
    on: float
    off: float | None
    launch: float | None
    torch: float | None


def recorded(folder: Path) -> tuple[list[Pair], list[str]]:
    """The pairs of a study folder, in the order of its traces, and why traces of it could not be used."""
    study = open_study(folder)
    times_ms, gains = paired.times_ms(study.windows, KEYS), paired.gains(study.windows, KEYS)["gain_ratio"]
    # Of several traces the first that is there counts; of a configuration whose trace was left out that is said.
    there = study.traces.sort_values("left_out", kind="stable")
    nodes = there[there["tracing"] == "node"].iloc[::-1].to_dict("records")
    traced = {(*(row[key] for key in KEYS), row["graphs"]): row["path"] for row in nodes}
    made_by = ", ".join(sorted(set(study.cases["made_by"].dropna())))
    file = folder / calibrations.NAME
    calibration = calibrations.read(file) if file.exists() else None
    torch_us = calibration.launch_us.value if calibration and calibration.of == TORCH else None
    found: list[Pair] = []
    refused: list[str] = []
    for key in dict.fromkeys(key[:-1] for key in reversed(traced)):
        halves = [(*key, graphs) for graphs in ("off", "on")]
        if halves[0] not in traced or not all(half in times_ms.index for half in halves):
            continue
        off, on = (_facts(traced.get(half), half[-1], refused) for half in halves)
        off_ms, on_ms = (float(times_ms[half]) for half in halves)
        if off is not None:
            found.append(
                Pair(study=folder.name, key=key, off=off, on=on, off_ms=off_ms, on_ms=on_ms,
                     gain_ratio=float(gains[key]), torch_us=torch_us, made_by=made_by)
            )  # fmt: skip
    return found, refused


def fit(pairs: Sequence[Pair]) -> Model:
    """The model that the pairs give, with errors as leaving out each configuration makes them.

    Raises TraceError where there are too few for errors at RATE.
    """
    claimed = [pair for pair in pairs if pair.claimed]
    return _with_errors(_constants(claimed), _each_left_out(claimed))


def left_out(pairs: Sequence[Pair]) -> pd.DataFrame:
    """Graphs on from each trace with graphs off, by a model that its configuration had no part in, in COLUMNS.

    error_ratio is predicted over measured less 1; covered whether the interval, which rests on the errors of the other
    configurations, holds the measured time. measured_ratio is gain_ratio: what `bound` is to foretell.
    """
    rows = []
    for pair, model in _models_without_each(pairs):
        on = predict.graphs_on_ms(pair.off, model)
        r = predict.ratio(pair.off, predict.host_ms(pair.off, model), model)
        rows.append(
            (pair.study, *pair.key, on.value, on.low, on.high, pair.on_ms, on.value / pair.on_ms - 1,
             on.holds(pair.on_ms), predict.bound(r), r.value, r.low, r.high, pair.gain_ratio, pair.claimed)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def left_out_off(pairs: Sequence[Pair]) -> pd.DataFrame:
    """Graphs off from each trace with graphs on, by what is known of the host, in OFF_COLUMNS.

    known: ALONE, as recorded of the engine in other configurations; SAME, t_launch from a traced run without graphs of
    that very configuration; ANOTHER, of the one that another() gives, where there is one; `torch`, from study.calibrate
    on that host, for studies that hold one.
    """
    rows = []
    for pair, model in _models_without_each(pairs):
        if pair.on is None:
            continue
        known: dict[str, Calibration | None] = {ALONE: None, SAME: predict.calibration(pair.off, model)}
        if (other := another(pair, pairs)) is not None:
            known[ANOTHER] = predict.calibration(other.off, model)
        if pair.torch_us is not None:
            known["torch"] = Calibration(of=TORCH, launch_us=within(pair.torch_us, 0.0))
        for word, calibration in known.items():
            off = predict.graphs_off_ms(pair.on, predict.host_ms(pair.on, model, calibration), model)
            error, covered = off.value / pair.off_ms - 1, off.holds(pair.off_ms)
            rows.append(
                (pair.study, *pair.key, word, off.value, off.low, off.high, pair.off_ms, error, covered, pair.claimed)
            )
    return pd.DataFrame(rows, columns=list(OFF_COLUMNS))


def another(pair: Pair, pairs: Sequence[Pair]) -> Pair | None:
    """The configuration of the same study, engine and kind of TP (1 or several) that is nearest in batch.

    Of equally near ones that of the same model, then the nearest TP; None where there is none. A claimed pair takes
    claimed ones alone.
    """
    others = [
        one
        for one in pairs
        if (one.study, one.key[0], predict.kind(one.off)) == (pair.study, pair.key[0], predict.kind(pair.off))
        and one.key != pair.key
        and (one.claimed or not pair.claimed)
    ]
    model, tp, batch = pair.key[1:4]
    return min(
        others, key=lambda one: (abs(one.key[3] - batch), one.key[1] != model, abs(one.key[2] - tp)), default=None
    )


def _facts(path: Path | None, graphs: str, refused: list[str]) -> Typical | None:
    """The typical iteration of a half; None, with the reason noted, where it is not what its label says."""
    if path is None:
        return None
    try:
        found = predict.facts(iterations.find(extract.read(path)))
    except TraceError as error:
        refused.append(str(error) if str(path) in str(error) else f"{path}: {error}")
        return None
    if found.graphs != (graphs == "on"):
        refused.append(f"{path}: labelled graphs {graphs}, traced otherwise")
        return None
    return found


def _others(left: Pair, pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.claimed and pair.key != left.key]


def _each_left_out(pairs: Sequence[Pair]) -> list[_Left]:
    return _left_out_of(tuple(pairs))


@lru_cache(maxsize=1)
def _left_out_of(pairs: tuple[Pair, ...]) -> list[_Left]:
    """Kept for who asks for the fit and for what it is worth: it plays every pair as often as there are pairs."""
    return [_left(pair, _constants(_others(pair, pairs))) for pair in pairs]


def _left(pair: Pair, model: Model) -> _Left:
    key = predict.kind(pair.off)
    launch_us = took_us(pair) if host_decides(pair) else None
    return _Left(
        pair=pair,
        model=model,
        on=pair.on_ms / predict.graphs_on_ms(pair.off, model).value,
        off=pair.off_ms / predict.host_ms(pair.off, model).value if _launch_bound(pair) else None,
        launch=launch_us / predict.launch_us(pair.off, model).value if launch_us else None,
        torch=launch_us / pair.torch_us / model.over_torch[key]
        if launch_us and pair.torch_us and key in model.over_torch
        else None,
    )


def _models_without_each(pairs: Sequence[Pair]) -> list[tuple[Pair, Model]]:
    """Each pair with the model of the other configurations; its errors are of them alone."""
    every = _each_left_out(pairs)
    return [
        (left.pair, _with_errors(left.model, [one for one in every if one.pair in _others(left.pair, pairs)]))
        for left in every
    ]


def _constants(pairs: Sequence[Pair]) -> Model:
    """The constants, without errors: by least squares of relative errors, geometric mean, medians."""
    if not pairs:
        raise TraceError("no pairs of graphs off and on, traced and untraced; give study folders that hold some")
    host_ratio = _geometric([pair.off_ms * 1e3 / pair.off.host_us for pair in pairs if _launch_bound(pair)])
    launches = [(predict.kind(pair.off), took_us(pair), pair.torch_us) for pair in pairs if host_decides(pair)]
    return Model(
        rate=RATE,
        pairs=len(pairs),
        gap_us=_gap_us(pairs, host_ratio),
        host_ratio=host_ratio,
        launch_us=_medians([(key, us) for key, us, _ in launches]),
        over_torch=_medians([(key, us / torch_us) for key, us, torch_us in launches if torch_us]),
        on_error=0.0, off_error=0.0, launch_error=0.0, torch_error=0.0,
        shortest_on_ms=min(pair.on_ms for pair in pairs),
    )  # fmt: skip


def _with_errors(model: Model, left: Sequence[_Left]) -> Model:
    """The model with the errors of pairs, each by the model that it had no part in."""
    on, off, launch, torch = (
        [ratio for one in left if (ratio := getattr(one, name)) is not None]
        for name in ("on", "off", "launch", "torch")
    )
    enough = len(torch) >= least(RATE)
    return replace(
        model,
        on_error=error_at(RATE, on),
        off_error=error_at(RATE, off),
        launch_error=error_at(RATE, launch),
        torch_error=error_at(RATE, torch) if enough else 0.0,
        over_torch=model.over_torch if enough else {},
    )


def _launch_bound(pair: Pair) -> bool:
    return pair.off.host_us > _LAUNCH_BOUND * pair.off.gpu_us


def host_decides(pair: Pair) -> bool:
    """Whether graphs gain so much that the iteration without them is the host's."""
    return pair.off_ms > _GAINS * pair.on_ms


def took_us(pair: Pair) -> float:
    """What a launch took the host, untraced, where it is the longer side."""
    return pair.off_ms * 1e3 / pair.off.launches


def _gap_us(pairs: Sequence[Pair], host_ratio: float) -> float:
    """The gap with which iterations with graphs are what they were measured to be, with the host as the other bound."""
    gpu_us, host_us, nodes = np.array([_sides(pair) for pair in pairs]).T
    measured_us = np.array([pair.on_ms * 1e3 for pair in pairs])
    bound_us = host_us * host_ratio + NODE_US * nodes
    expected_us = np.maximum(gpu_us + _GAPS_US[:, None] * nodes, bound_us)
    return float(_GAPS_US[((expected_us / measured_us - 1) ** 2).sum(axis=1).argmin()])


@lru_cache(maxsize=256)
def _sides(pair: Pair) -> tuple[float, float, int]:
    """Of the iteration as a graph: what the GPUs take without gaps in it, the host without its nodes; and the nodes."""
    free = Graph(gap_us=0.0, node_us=0.0)
    nodes = max(int((strand.body & ~strand.staged).sum()) for strand in pair.off.strands)
    host_us = max(replay.host_us(strand, free) for strand in pair.off.strands)
    return replay.iteration_us(replay.with_host(pair.off, 0), graph=free), host_us, nodes


def _geometric(ratios: Sequence[float]) -> float:
    if not ratios:
        raise TraceError("no pair in which the host is the longer side; expected some, to know what tracing costs it")
    return float(np.exp(np.mean(np.log(ratios))))


def _medians(rows: Sequence[tuple[str, float]]) -> dict[str, float]:
    found = {key: float(np.median([us for own, us in rows if own == key])) for key in sorted({key for key, _ in rows})}
    return found | ({"any": float(np.median([us for _, us in rows]))} if rows else {})


def variant(row: Mapping[Any, Any]) -> str:
    """What sets a configuration apart beside engine, model, TP and batch, in words; empty for what is usual."""
    compiled = "" if row["compile"] == "engine" else f" compile {row['compile']}"
    settings = "" if row["settings"] == "pinned" else f" {row['settings']}"
    return f"{compiled}{settings} {row['split']}".rstrip()
