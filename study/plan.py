"""From a Spec to what will be run, in order, and what is skipped and why. Pure: nothing is started or looked up.

Order. A round is every configuration once. Rounds alternate: untraced repeat 1, traced repeat 1, untraced repeat 2 ...,
so that an interrupted study has one of everything early. Inside a round, models and TPs come as the study lists them,
and for each the engines and graph modes are neighbours; every other repeat they run backwards, so that slow drift of
the host falls on both sides of each comparison alike. With parallel starts a round goes from large TPs to small ones,
because powers of two then pack onto the GPUs without holes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product

from launch.engines import ENGINES
from study import models
from study.fit import shortfall
from study.gpus import Gpu
from study.layouts import Layout
from study.models import Model
from study.places import Place
from study.spec import Case, Serving, Spec


@dataclass(frozen=True, kw_only=True)
class Skip:
    """A configuration that the study asks for and that cannot be run, with the first reason found."""

    engine: str
    model: str
    layout: Layout
    graphs: str
    reason: str
    compile: str = "engine"
    settings: str = "pinned"

    @property
    def tp(self) -> int:
        """Its tensor-parallel size."""
        return self.layout.tp


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Cases in the order of running, and what is skipped; each configuration asked for is in exactly one of them."""

    cases: tuple[Case, ...]
    skips: tuple[Skip, ...]
    gpu: Gpu
    gpu_count: int


def plan(spec: Spec, gpu: Gpu, gpu_count: int, versions: Mapping[str, str] | None = None) -> Plan:
    """Decide every engine x model x layout x switches of the study for a host, whose engines have these versions.

    An engine without a version is taken for the newest that is known. Raises StudyError for an unknown model.
    """
    skips: list[Skip] = []
    runnable: list[tuple[Place, Side]] = []
    for place in spec.located:
        model = models.load(place.model)
        reason = obstacle(spec, model, place.layout, gpu, gpu_count)
        for side in sides(spec):
            refused = reason or refusal(side, place.layout, model, versions or {})
            if why := refused or unheld(spec, side, place, gpu):
                skips.append(Skip(model=place.model, layout=place.layout, reason=why, **asdict(side)))
            else:
                runnable.append((place, side))
    cases = tuple(case for tracing, repeat in _rounds(spec) for case in _round(spec, runnable, tracing, repeat))
    return Plan(cases=cases, skips=tuple(skips), gpu=gpu, gpu_count=gpu_count)


@dataclass(frozen=True, kw_only=True)
class Side:
    """What is set against its like at one place: an engine and its switches."""

    engine: str
    graphs: str
    compile: str
    settings: str


def sides(spec: Spec) -> list[Side]:
    """Every combination of engine and switches that the study asks for."""
    return [
        Side(engine=engine, graphs=graphs, compile=compiled, settings=settings)
        for engine, graphs, compiled, settings in product(spec.engines, spec.graphs, spec.compile, spec.settings)
    ]


def refusal(side: Side, layout: Layout, model: Model, versions: Mapping[str, str]) -> str | None:
    """Why an engine cannot set its switches or split a model so, or None; nothing is translated silently."""
    engine = ENGINES[side.engine]
    version = versions.get(side.engine, engine.VERSIONS.newest)
    outdated: str | None = engine.refused_version(version, graphs=side.graphs, settings=side.settings)
    refused: Mapping[tuple[str, str], str] = engine.REFUSED
    unsplit: str | None = engine.refused_layout(layout, experts=model.experts)
    return outdated or refused.get((side.compile, side.graphs)) or unsplit


def unheld(spec: Spec, side: Side, place: Place, gpu: Gpu) -> str | None:
    """Why the KV tokens that a fair case asks for do not fit, or None."""
    if side.settings != "fair":
        return None
    most = max(_case(spec, place, side, tracing, 1).kv_capacity_tokens for tracing in spec.tracing)
    return shortfall(models.load(place.model), gpu, place.layout, most)


def obstacle(spec: Spec, model: Model, layout: Layout, gpu: Gpu, gpu_count: int) -> str | None:
    """Why a model cannot be measured so on `gpu_count` GPUs, or None. Asks split, host, length, memory in turn."""
    if reason := model.illegal(layout):
        return reason
    if layout.gpus > gpu_count:
        if gpu_count == 1:
            return f"{layout.label} needs {layout.gpus} GPUs, there is {gpu_count}"
        return f"{layout.label} needs {layout.gpus} GPUs, there are {gpu_count}"
    if layout.dp > 1 and spec.workload == "decode":
        return f"{layout.label}: replicas decode a steady batch as one does alone; measure them with the workload serve"
    if spec.sequence_tokens > model.positions:
        return f"sequences of {spec.sequence_tokens} tokens are longer than the model's {model.positions} positions"
    serving = spec.workload == "serve"
    most = 1 if serving else max(max(spec.batches_of(tracing)) for tracing in spec.tracing)
    return shortfall(model, gpu, layout, most * spec.sequence_tokens)


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
    starts = [sum(case.layout.gpus for case in wave[:index]) for index in range(len(wave))]
    return tuple(tuple(range(start, start + case.layout.gpus)) for start, case in zip(starts, wave, strict=True))


def _joins(case: Case, wave: Sequence[Case], gpu_count: int) -> bool:
    same_round = (case.tracing, case.repeat) == (wave[0].tracing, wave[0].repeat)
    return same_round and sum(other.layout.gpus for other in (case, *wave)) <= gpu_count


def _rounds(spec: Spec) -> Iterator[tuple[str, int]]:
    # Untraced first, whatever the order in the study file: times are the result, traces explain them.
    kinds = sorted(spec.tracing, key=lambda tracing: tracing != "off")
    for repeat in range(1, max(spec.repeats, spec.traced_repeats) + 1):
        for tracing in kinds:
            if repeat <= (spec.repeats if tracing == "off" else spec.traced_repeats):
                yield tracing, repeat


def _round(spec: Spec, runnable: Sequence[tuple[Place, Side]], tracing: str, repeat: int) -> Iterator[Case]:
    places = list(dict.fromkeys(place for place, _ in runnable))
    if spec.parallel_starts:
        places.sort(key=lambda place: -place.layout.gpus)
    for place in places:
        able = [side for where, side in runnable if where == place][:: 1 if repeat % 2 else -1]
        for side in able:
            yield _case(spec, place, side, tracing, repeat)


def _case(spec: Spec, place: Place, side: Side, tracing: str, repeat: int) -> Case:
    return Case(
        model=place.model,
        tp=place.layout.tp,
        pp=place.layout.pp,
        dp=place.layout.dp,
        dp_attention=place.layout.dp_attention,
        captured=spec.captured,
        kv_tokens=spec.kv_tokens,
        tracing=tracing,
        repeat=repeat,
        batches=() if spec.workload == "serve" else spec.batches_of(tracing),
        serving=_serving(spec, place) if spec.workload == "serve" else None,
        prompt_tokens=spec.prompt_tokens,
        output_tokens=spec.output_tokens,
        windows=spec.windows,
        traced_steps=spec.traced_steps,
        seed=spec.seed,
        checkpoint=None if spec.checkpoint is None else str(spec.checkpoint),
        **asdict(side),
    )


def _serving(spec: Spec, place: Place) -> Serving:
    return Serving(
        rates=place.rates,
        concurrency=spec.concurrency or (),
        requests=spec.requests,
        load_s=spec.load_s,
        warmup_requests=spec.warmup_requests,
        lengths=spec.lengths,
        sequences=spec.sequences,
        context=spec.context,
    )
