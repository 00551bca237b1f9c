"""From a trace with graphs off the iteration time with graphs on, the other way round, and which side is the longer.

Predicted are iterations that no profiler watches. The typical iteration of the trace is played again (replay.py): as a
graph, or launched one by one by a host that takes L for it. R = L / G tells which side is the longer, where G is what
the GPUs alone take. What a trace cannot tell is fitted on recorded pairs (pairs.py) and kept in fitted.json; the
intervals are those within which the measured times of other recorded configurations lay, at the model's `rate`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from analysis import causes, claims, collectives, fitness, replay, typical
from analysis.calibrations import ENGINE, Calibration
from analysis.errors import TraceError
from analysis.estimates import Estimate, within
from analysis.iterations import Trace
from analysis.replay import Graph
from analysis.typical import Typical

LAUNCH, GPU, UNDECIDED = "launch", "gpu", "undecided"
FITTED = Path(__file__).with_name("fitted.json")


@dataclass(frozen=True, kw_only=True)
class Model:
    """The constants fitted on recorded pairs. Errors are ratios of measured to predicted, as logarithms, at `rate`."""

    rate: float
    """Share of the left-out configurations whose measured time lies in the interval, by construction."""
    pairs: int
    """How many recorded pairs it rests on."""
    gap_us: float
    """Between two nodes of a graph, untraced."""
    host_ratio: float
    """Host time without a profiler over host time in the trace: tracing costs about 2 us a call, and more around it."""
    launch_us: Mapping[str, float]
    """Untraced host time for each launch, by engine and whether there are several ranks; `any` where not known."""
    over_torch: Mapping[str, float]
    """The same over that of torch alone on the host (study.calibrate); empty while no recording has both."""
    on_error: float
    off_error: float
    """Where the host is the longer side and was traced."""
    launch_error: float
    """Where launch_us is all that is known of the host."""
    torch_error: float
    """Where over_torch is; 0 while that is empty."""
    shortest_on_ms: float
    """No recorded iteration with graphs was shorter: that a host can keep up with a shorter one is not shown."""

    def to_json(self) -> dict[str, Any]:
        """As fitted.json holds it, rounded to what the recordings can tell."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def read(path: Path) -> Model:
    """A model as Model.to_json gives it."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return Model(**{field.name: found[field.name] for field in fields(Model)})


@cache
def recorded() -> Model:
    """The model of the project's recordings."""
    return read(FITTED)


def facts(trace: Trace) -> Typical:
    """The typical iteration of a trace. Raises TraceError where what ran on the GPUs is not known."""
    return typical.find(trace, collectives.match(trace), causes.law(trace))


def graphs_on_ms(found: Typical, model: Model) -> Estimate:
    """The untraced iteration with graphs on, in ms, from a trace with graphs off.

    Its high end is never below the shortest iteration with graphs on record, for that a host keeps up with.
    """
    value_us = on_us(found, model.host_ratio, model.gap_us)
    expected = within(value_us / 1e3, model.on_error)
    return Estimate(value=expected.value, low=expected.low, high=max(expected.high, model.shortest_on_ms))


def on_us(found: Typical, host_ratio: float, gap_us: float) -> float:
    """The iteration as a graph with gap_us between its nodes, on a host that takes host_ratio of what was traced."""
    return replay.iteration_us(replay.with_host(found, host_ratio), graph=Graph(gap_us=gap_us))


def calibration(found: Typical, model: Model) -> Calibration:
    """What a launch takes the engine on this host, by a short traced run without graphs; of that the typical iteration.

    Raises TraceError for one with graphs, which holds no launches.
    """
    if found.graphs or found.host_us <= 0:
        raise TraceError("no launches to calibrate by; expected a trace with graphs off; record a few seconds of one")
    return Calibration(of=ENGINE, launch_us=host_ms(found, model).scaled(1e3 / found.launches))


def host_ms(found: Typical, model: Model, calibration: Calibration | None = None) -> Estimate:
    """L, untraced, in ms: as calibrated, else as traced with graphs off, else as recorded of the engine."""
    if calibration is not None or found.graphs or found.host_us <= 0:
        return launch_us(found, model, calibration).scaled(found.launches / 1e3)
    return within(found.host_us / 1e3 * model.host_ratio, model.off_error)


def launch_us(found: Typical, model: Model, calibration: Calibration | None = None) -> Estimate:
    """The host time for each launch, in us, that a calibration or the recordings give.

    What torch alone takes is a lower bound of what an engine does; it tells more where recordings hold both.
    """
    key = kind(found)
    known = within(model.launch_us.get(key, model.launch_us["any"]), model.launch_error)
    if calibration is None:
        return known
    if calibration.of == ENGINE:
        return calibration.launch_us
    if key in model.over_torch:
        ratio = within(model.over_torch[key], model.torch_error)
        return Estimate(
            value=calibration.launch_us.value * ratio.value,
            low=calibration.launch_us.low * ratio.low,
            high=calibration.launch_us.high * ratio.high,
        )
    return known.at_least(calibration.launch_us)


def kind(found: Typical) -> str:
    """The key of Model.launch_us: hosts of several ranks take longer for a launch than one alone."""
    return f"{found.engine or 'any'} TP{'1' if len(found.strands) == 1 else '>1'}"


def graphs_off_ms(found: Typical, host: Estimate, model: Model) -> Estimate:
    """The untraced iteration with graphs off, in ms, with a host that takes what host_ms says."""
    gpu_us = replay.iteration_us(replay.with_launches(found, 0))
    return host.at_least(within(gpu_us / 1e3, model.on_error))


def ratio(found: Typical, host: Estimate, model: Model) -> Estimate:
    """R = L / G; of G the interval is that of the iteration with graphs on, which is nearly all G."""
    return host.over(within(found.gpu_us / 1e3, model.on_error))


def bound(found: Estimate) -> str:
    """Which side is the longer, by R; undecided where its interval holds 1."""
    if found.low > 1:
        return LAUNCH
    return GPU if found.high < 1 else UNDECIDED


def predict(trace: Trace, name: str, calibration: Calibration | None = None) -> dict[str, Any]:
    """What the trace foretells, ready for JSON: `predicted` apart from `traced`, which was measured."""
    found, model = facts(trace), recorded()
    host = host_ms(found, model, calibration)
    other = graphs_off_ms(found, host, model) if found.graphs else graphs_on_ms(found, model)
    r = ratio(found, host, model)
    iter_ms = (trace.iterations["end_ns"] - trace.iterations["start_ns"]).median() / 1e6
    return {
        "name": name,
        "mark": "PREDICTED",
        **claims.of(found.engine, found.experts),
        "graphs": "on" if found.graphs else "off",
        "engine": found.engine or None,
        "tp": len(found.strands),
        f"graphs_{'off' if found.graphs else 'on'}_ms": other.to_json(),
        "bound": bound(r),
        "ratio": r.to_json(),
        "host_ms": host.to_json(),
        "host_known_by": known_by(found, model, calibration),
        "rate": model.rate,
        "pairs": model.pairs,
        "doubts": [check.reason for check in fitness.check(trace).unfit],
        "traced": {"iter_ms": round(float(iter_ms), 6), "gpu_ms": round(found.gpu_us / 1e3, 6)},
    }


def known_by(found: Typical, model: Model, calibration: Calibration | None) -> str:
    """What tells how long the host takes, in words."""
    key = kind(found)
    recordings = f"recorded launches of {key}" if key in model.launch_us else "recorded launches of other engines"
    if calibration is None:
        return recordings if found.graphs or found.host_us <= 0 else "the launches in the trace"
    if calibration.of == ENGINE or key in model.over_torch:
        return f"calibration with {'the engine' if calibration.of == ENGINE else 'torch alone'}"
    return f"{recordings}, torch alone as the least"


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    return value if isinstance(value, int) or not math.isfinite(value) else float(f"{value:.4g}")
