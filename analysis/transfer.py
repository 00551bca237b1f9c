"""An iteration traced on one GPU, on another: PREDICTED by what the two are able to do, never measured.

ASSUMPTIONS says what is taken for granted. Each end of the interval plays the iteration with the assumptions as
favourable, or as unfavourable, as they may be; the error of predictions on the recorded GPU comes on top.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis import claims, predict, replay
from analysis.errors import TraceError
from analysis.estimates import Estimate, within
from analysis.hardware import Peak
from analysis.predict import Model
from analysis.replay import PRODUCT_US
from analysis.typical import Strand, Typical
from analysis.weights import Weights

EFFICIENCY = 0.9
"""Of the peak bandwidth, what recorded matrix products reach on H200s."""
COMPUTE_EFFICIENCY = 0.6
HOST_RATIO = 1.4
"""How much slower or faster another host is: recorded ones of one kind differ by up to 40 %."""
ASSUMPTIONS = (
    f"matrix products stream weights at the share of the peak bandwidth that they reach here, give or take 10 %; where "
    f"a batch makes them compute-bound, at {COMPUTE_EFFICIENCY:.0%} of the peak",
    "all other operations take what they take here, or at worst longer by the ratio of the bandwidths",
    "collectives take a multiple of what they take over NVLink: analysis/hardware.py says which; nobody measured it",
    f"another GPU's host takes what it takes here, {HOST_RATIO:g} times that or a {HOST_RATIO:g}th",
    "the engine launches the same operations",
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an iteration is taken: from a GPU to a GPU, with so many sequences, and from a model to a model."""

    source: Peak
    target: Peak
    batch: int = 1
    models: tuple[Weights, Weights] | None = None


@dataclass(frozen=True, kw_only=True)
class _Side:
    """One end of the interval, or its middle: factors on the time of products, others and collectives."""

    products: float
    others: float
    collectives: float


def transfer(found: Typical, place: Place, model: Model) -> dict[str, Any]:
    """Graphs on and off, R and what bounds, as predict.predict names them, on the other GPU; all PREDICTED.

    `found` is of a trace with graphs off. breakeven_us: the host time for each launch above which launching is the
    longer side. Raises TraceError for a trace with graphs.
    """
    if found.graphs:
        raise TraceError("a trace with graphs; expected one without, which holds launches too; give the other half")
    moved = {side: on_gpu(found, place, side) for side in dict.fromkeys(_sides(place))}
    sides = [moved[side] for side in _sides(place)]
    error = model.off_error if place.source == place.target else float(np.log(HOST_RATIO))
    host = within(sides[1].host_us / 1e3 * model.host_ratio, error)
    graphed = _interval(sides, model, lambda one: predict.on_us(one, model.host_ratio, model.gap_us))
    gpu = _interval(sides, model, lambda one: one.gpu_us)
    off = host.at_least(_interval(sides, model, lambda one: replay.iteration_us(replay.with_launches(one, 0))))
    r = host.over(gpu)
    return {
        "mark": "PREDICTED",
        **claims.of(found.engine, found.experts),
        "from": place.source.key,
        "to": place.target.key,
        "tp": len(found.strands),
        "batch": place.batch,
        "model": place.models[1].name if place.models else None,
        "graphs_on_ms": graphed.to_json(),
        "graphs_off_ms": off.to_json(),
        "bound": predict.bound(r),
        "ratio": r.to_json(),
        "breakeven_us": _interval(sides, model, breakeven_us).scaled(1e3).to_json(),
        "assumptions": list(ASSUMPTIONS),
    }


def on_gpu(found: Typical, place: Place, side: _Side) -> Typical:
    """The typical iteration on the other GPU, by the factors of one side."""
    slower = place.source.bandwidth_gb_s / place.target.bandwidth_gb_s
    # Each weight is read once, 2 bytes, and takes 2 operations for each sequence.
    bytes_per_us = EFFICIENCY * place.source.bandwidth_gb_s * 1e3
    recorded, computing = (
        place.batch * bytes_per_us / (COMPUTE_EFFICIENCY * gpu.tensor_tflops * 1e6)
        for gpu in (place.source, place.target)
    )
    before, after = place.models or (None, None)
    weights = after.streamed / before.streamed if before and after else 1.0
    layers = after.layers / before.layers if before and after else 1.0

    def moved(strand: Strand) -> Strand:
        streaming_us = np.where(strand.product, np.maximum(strand.own_us - PRODUCT_US, 0), 0)
        products_us = streaming_us * weights * max(slower * side.products, computing) / max(1.0, recorded)
        others_us = (strand.own_us - streaming_us) * np.where(strand.meets, side.collectives, side.others) * layers
        return replace(
            strand, own_us=products_us + others_us, gap_us=strand.gap_us * layers,
            think_us=strand.think_us * layers, call_us=strand.call_us * layers,
        )  # fmt: skip

    return replace(found, strands=tuple(moved(strand) for strand in found.strands))


def breakeven_us(found: Typical) -> float:
    """The host time for each launch above which launching makes the iteration longer, by more than a hundredth."""
    alone_us = replay.iteration_us(replay.with_launches(found, 0))
    launches = max(found.launches, 1)
    much_us = 1.25 * alone_us / launches
    # There launching leads and the iteration grows by all launches alike, down to where it no longer leads.
    beyond_us = replay.iteration_us(replay.with_launches(found, much_us)) - 1.01 * alone_us
    return much_us - beyond_us / launches


def _sides(place: Place) -> tuple[_Side, _Side, _Side]:
    """Favourable, expected, unfavourable."""
    if place.source == place.target:
        same = _Side(products=1.0, others=1.0, collectives=1.0)
        return same, same, same
    slower = place.source.bandwidth_gb_s / place.target.bandwidth_gb_s
    value, low, high = place.target.collective
    return (
        _Side(products=EFFICIENCY, others=min(1.0, slower), collectives=low),
        _Side(products=1.0, others=1.0, collectives=value),
        _Side(products=2 - EFFICIENCY, others=max(1.0, slower), collectives=high),
    )


def _interval(sides: list[Typical], model: Model, play_us: Callable[[Typical], float]) -> Estimate:
    """What a replay gives on the three sides, in ms, with the error of predictions beyond."""
    played = {id(side): play_us(side) for side in {id(side): side for side in sides}.values()}
    low, value, high = (within(played[id(side)] / 1e3, model.on_error) for side in sides)
    return Estimate(value=value.value, low=min(low.low, value.low), high=max(high.high, value.high))
