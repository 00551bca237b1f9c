"""From a Spec to what will be run, in order, and what is skipped and why. Pure: nothing is started or looked up.

Order. A round is every configuration once. Rounds alternate: untraced repeat 1, traced repeat 1, untraced repeat 2 ...,
so that an interrupted study has one of everything early. Inside a round, models and TPs come as the study lists them,
and for each the engines and graph modes are neighbours; every other repeat they run backwards, so that slow drift of
the host falls on both sides of each comparison alike. With parallel starts a round goes from large TPs to small ones,
because powers of two then pack onto the GPUs without holes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from launch.engines import ENGINES
from study import models
from study.fit import shortfall
from study.gpus import Gpu
from study.models import Model
from study.spec import Case, Spec


@dataclass(frozen=True, kw_only=True)
class Skip:
    """A configuration that the study asks for and that cannot be run, with the first reason found."""

    engine: str
    model: str
    tp: int
    graphs: str
    reason: str
    compile: str = "engine"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Cases in the order of running, and what is skipped; each configuration asked for is in exactly one of them."""

    cases: tuple[Case, ...]
    skips: tuple[Skip, ...]
    gpu: Gpu
    gpu_count: int


def plan(spec: Spec, gpu: Gpu, gpu_count: int) -> Plan:
    """Decide every engine x model x TP x switches of the study for a host. Raises StudyError for an unknown model."""
    known = {name: models.load(name) for name in spec.models}
    runnable: list[tuple[str, int]] = []
    skips: list[Skip] = []
    for model, tp in product(spec.models, spec.tp):
        reason = obstacle(spec, known[model], tp, gpu, gpu_count)
        if reason is None:
            runnable.append((model, tp))
        for side in sides(spec):
            if why := reason or refusal(side):
                skips.append(
                    Skip(engine=side.engine, model=model, tp=tp, graphs=side.graphs, compile=side.compile, reason=why)
                )
    cases = tuple(case for tracing, repeat in _rounds(spec) for case in _round(spec, runnable, tracing, repeat))
    return Plan(cases=cases, skips=tuple(skips), gpu=gpu, gpu_count=gpu_count)


@dataclass(frozen=True, kw_only=True)
class Side:
    """What is set against its like at one place: an engine and its switches."""

    engine: str
    graphs: str
    compile: str


def sides(spec: Spec) -> list[Side]:
    """Every combination of engine and switches that the study asks for."""
    asked = product(spec.engines, spec.graphs, spec.compile)
    return [Side(engine=engine, graphs=graphs, compile=compiled) for engine, graphs, compiled in asked]


def refusal(side: Side) -> str | None:
    """Why an engine cannot set its switches so, or None; what it cannot do is refused, not translated."""
    refused: Mapping[str, str] = ENGINES[side.engine].REFUSED
    return refused.get(side.compile)


def obstacle(spec: Spec, model: Model, tp: int, gpu: Gpu, gpu_count: int) -> str | None:
    """Why a model cannot be measured at a TP on `gpu_count` GPUs, or None. Asks split, host, length, memory in turn."""
    if reason := model.legal_tp(tp):
        return reason
    if tp > gpu_count:
        return f"TP {tp} needs {tp} GPUs, there {'is' if gpu_count == 1 else 'are'} {gpu_count}"
    if spec.sequence_tokens > model.positions:
        return f"sequences of {spec.sequence_tokens} tokens are longer than the model's {model.positions} positions"
    largest_batch = max(max(spec.batches_of(tracing)) for tracing in spec.tracing)
    return shortfall(model, gpu, tp, largest_batch * spec.sequence_tokens)


def waves(cases: Sequence[Case], gpu_count: int, *, parallel_starts: bool) -> tuple[tuple[Case, ...], ...]:
    """Group neighbours of one round onto disjoint GPUs: cases that may start together; else each case is alone.

    Order is kept and no case is lost, so what remains of an interrupted study can be grouped anew.
    """
    groups: list[list[Case]] = []
    for case in cases:
        if parallel_starts and groups and _joins(case, groups[-1], gpu_count):
            groups[-1].append(case)
        else:
            groups.append([case])
    return tuple(tuple(group) for group in groups)


def devices(wave: Sequence[Case]) -> tuple[tuple[int, ...], ...]:
    """The GPU indices of each case of a wave: disjoint, from 0 on."""
    starts = [sum(case.tp for case in wave[:index]) for index in range(len(wave))]
    return tuple(tuple(range(start, start + case.tp)) for start, case in zip(starts, wave, strict=True))


def _joins(case: Case, wave: Sequence[Case], gpu_count: int) -> bool:
    same_round = (case.tracing, case.repeat) == (wave[0].tracing, wave[0].repeat)
    return same_round and case.tp + sum(other.tp for other in wave) <= gpu_count


def _rounds(spec: Spec) -> Iterator[tuple[str, int]]:
    # Untraced first, whatever the order in the study file: times are the result, traces explain them.
    kinds = sorted(spec.tracing, key=lambda tracing: tracing != "off")
    for repeat in range(1, max(spec.repeats, spec.traced_repeats) + 1):
        for tracing in kinds:
            if repeat <= (spec.repeats if tracing == "off" else spec.traced_repeats):
                yield tracing, repeat


def _round(spec: Spec, runnable: Sequence[tuple[str, int]], tracing: str, repeat: int) -> Iterator[Case]:
    places = sorted(runnable, key=lambda place: -place[1]) if spec.parallel_starts else runnable
    able = [side for side in sides(spec) if refusal(side) is None][:: 1 if repeat % 2 else -1]
    for (model, tp), side in product(places, able):
        yield Case(
            engine=side.engine,
            model=model,
            tp=tp,
            graphs=side.graphs,
            compile=side.compile,
            captured=spec.captured,
            tracing=tracing,
            repeat=repeat,
            batches=spec.batches_of(tracing),
            prompt_tokens=spec.prompt_tokens,
            output_tokens=spec.output_tokens,
            windows=spec.windows,
            traced_steps=spec.traced_steps,
            seed=spec.seed,
            checkpoint=None if spec.checkpoint is None else str(spec.checkpoint),
        )
