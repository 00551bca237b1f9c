"""What a study asks for, with what each key may hold, and what one case is: the unit of a study, one engine start."""

from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from study import gpus, layouts, models, places
from study.layouts import Layout
from study.places import Place

ENGINES = ("vllm", "sglang", "hf")
GRAPHS = ("on", "off")
# "engine": as the engine's own graph switch has it, which in vLLM moves torch.compile along.
COMPILE = ("engine", "on", "off")
# "pinned": the share of memory, sequences and tokens are set alike; "fair": so is all else that graphs, the card or the
# version would move (KV tokens, kernels of attention and all-reduce ...); "as-shipped": the engine's switch alone.
SETTINGS = ("pinned", "fair", "as-shipped")
WORKLOADS = ("decode", "serve")
TRACING = ("off", "graph", "node")

# The share of a GPU that an engine may take: vLLM's default, given to both engines so that the switch moves no memory.
MEMORY_UTILISATION = 0.92
# Room for sequences that every case asks for: cases of few and of many batches then differ in nothing else.
SEQUENCES_LEAST = 16

# Room in the context beyond the decoded sequence: the steps around a trace's steady ones.
CONTEXT_MARGIN_TOKENS = 64

# Shorter traces leave too few steady iterations once the settling ones are dropped.
TRACED_STEPS_MINIMUM = 64


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a key of a study means and may hold beyond its type.

    `words` gives the allowed values of a text key, or the allowed names inside a table; `minimum` bounds numbers;
    `flag` is the command-line name where it is not that of the key.
    """

    help: str
    words: Callable[[], tuple[str, ...]] | None = None
    minimum: float | None = None
    flag: str | None = None


def _rule(
    help_: str,
    *,
    words: Callable[[], tuple[str, ...]] | None = None,
    minimum: float | None = None,
    flag: str | None = None,
) -> dict[str, Rule]:
    return {"rule": Rule(help=help_, words=words, minimum=minimum, flag=flag)}


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A whole study. Its fields are the keys of a study file and the flags; defaults: data/studies/default.toml."""

    engines: tuple[str, ...] = field(metadata=_rule("engines to measure", words=lambda: ENGINES))
    models: tuple[str, ...] = field(metadata=_rule("models, by their folder in data/models", words=models.names))
    tp: tuple[int, ...] = field(metadata=_rule("tensor-parallel sizes", minimum=1))
    layouts: tuple[str, ...] | None = field(
        default=None, metadata=_rule("splits beside those of tp: tp4pp2, tp4dp2 (replicas), tp4dpa2 (DP attention)")
    )
    places: tuple[str, ...] | None = field(
        default=None, metadata=_rule("instead of models, tp, layouts and rates, each as: MODEL LAYOUT [RATE ...]")
    )
    graphs: tuple[str, ...] = field(metadata=_rule("CUDA graphs", words=lambda: GRAPHS))
    compile: tuple[str, ...] = field(
        default=("engine",),
        metadata=_rule("torch.compile; engine: whatever its graph switch brings along", words=lambda: COMPILE),
    )
    settings: tuple[str, ...] = field(
        default=("pinned",),
        metadata=_rule(
            "pinned: memory shares alike; fair: kernels and KV tokens too; as-shipped", words=lambda: SETTINGS
        ),
    )
    kv_tokens: int | None = field(
        default=None, metadata=_rule("KV-cache tokens of fair cases (default: what the sequences need)", minimum=1)
    )
    workload: str = field(
        default="decode",
        metadata=_rule("decode: offline, steady batches; serve: requests over HTTP", words=lambda: WORKLOADS),
    )
    batches: tuple[int, ...] = field(metadata=_rule("batch sizes; one engine start measures them all", minimum=1))
    captured: tuple[int, ...] | None = field(
        default=None, metadata=_rule("batch sizes that have a graph (default: every one measured)", minimum=1)
    )
    prompt_tokens: int = field(metadata=_rule("prompt length", minimum=1))
    output_tokens: int = field(metadata=_rule("decode tokens of one timed window", minimum=1))
    windows: int = field(metadata=_rule("timed windows per batch size of an untraced case", minimum=1))
    repeats: int = field(metadata=_rule("engine starts per configuration, untraced", minimum=1))
    traced_repeats: int = field(metadata=_rule("engine starts per configuration and kind of trace", minimum=1))
    traced_steps: int = field(metadata=_rule("steady decode steps a trace must hold", minimum=TRACED_STEPS_MINIMUM))
    tracing: tuple[str, ...] = field(
        metadata=_rule("kinds of start: off gives times, graph and node give traces", words=lambda: TRACING)
    )
    traced_batches: tuple[int, ...] | None = field(
        default=None, metadata=_rule("batch sizes of traced cases (default: batches)", minimum=1)
    )
    rates: tuple[float, ...] | None = field(
        default=None, metadata=_rule("serve: requests a second, Poisson arrivals", minimum=0.001)
    )
    concurrency: tuple[int, ...] | None = field(
        default=None, metadata=_rule("serve: requests kept in flight, closed loop", minimum=1)
    )
    requests: int = field(default=200, metadata=_rule("serve: requests of a load point", minimum=1))
    load_s: int | None = field(
        default=None, metadata=_rule("serve: seconds of a load point by rate, in place of requests", minimum=1)
    )
    warmup_requests: int = field(default=16, metadata=_rule("serve: requests before the first load point", minimum=0))
    lengths: str = field(default="sharegpt", metadata=_rule("serve: prompt and output lengths, by name or CSV file"))
    sequences: int = field(default=256, metadata=_rule("serve: requests that may run at once", minimum=1))
    context: int = field(default=4096, metadata=_rule("serve: longest prompt with its output, in tokens", minimum=16))
    ttft_limit_ms: int | None = field(
        default=None, metadata=_rule("serve: a request with a longer time to its first token is no goodput", minimum=1)
    )
    tpot_limit_ms: int | None = field(
        default=None, metadata=_rule("serve: a request with a longer time per output token is no goodput", minimum=1)
    )
    seed: int = field(metadata=_rule("seed of the prompts", minimum=0))
    timeout_s: int = field(
        metadata=_rule("seconds without a sign of life after which a case has failed", minimum=1, flag="timeout")
    )
    parallel_starts: bool = field(metadata=_rule("start cases on disjoint GPUs together; measure one at a time"))
    measure_together: bool = field(
        default=False, metadata=_rule("measure untraced cases that start together at the same time, too")
    )
    out: Path = field(metadata=_rule("folder for records, traces and the report (default: out/STUDY)"))
    checkpoint: Path | None = field(default=None, metadata=_rule("real weights and tokenizer (default: dummy weights)"))
    gpu: str | None = field(default=None, metadata=_rule("plan for this GPU (default: the host's)", words=gpus.keys))
    gpu_count: int | None = field(default=None, metadata=_rule("plan for so many (default: the host's)", minimum=1))
    python: tuple[tuple[str, Path], ...] = field(
        default=(), metadata=_rule("python of the environment that holds the engine", words=lambda: ENGINES)
    )

    def python_of(self, engine: str) -> Path | None:
        """The interpreter that was named for an engine, or None."""
        return dict(self.python).get(engine)

    @property
    def located(self) -> tuple[Place, ...]:
        """Every model at every layout, each with the request rates asked of it. Raises StudyError for a false place."""
        if self.places is not None:
            return tuple(places.parse(text) for text in self.places)
        splits = [*(Layout(tp=tp) for tp in self.tp), *(layouts.parse(text) for text in self.layouts or ())]
        rates = self.rates or ()
        return tuple(Place(model=model, layout=split, rates=rates) for model in self.models for split in splits)

    @property
    def sequence_tokens(self) -> int:
        """The longest sequence that a case decodes, prompt included."""
        if self.workload == "serve":
            return self.context
        traced_tokens = self.traced_steps if set(self.tracing) - {"off"} else 0
        return self.prompt_tokens + max(self.output_tokens, traced_tokens) + CONTEXT_MARGIN_TOKENS

    def batches_of(self, tracing: str) -> tuple[int, ...]:
        """The batch sizes that a kind of start measures."""
        return self.batches if tracing == "off" else self.traced_batches or self.batches

    def as_json(self) -> dict[str, Any]:
        """The study as plain JSON values, equal to what json.loads gives back; paths as text, `python` as a table."""
        return {name: _plain(value) for name, value in (asdict(self) | {"python": dict(self.python)}).items()}


def rules() -> dict[str, Rule]:
    """The rule of every key of a study, in order."""
    return {key.name: key.metadata["rule"] for key in fields(Spec)}


def defaults() -> dict[str, Any]:
    """What keys mean that a study recorded before they existed does not have, as plain JSON values."""
    return {key.name: _plain(key.default) for key in fields(Spec) if key.default is not MISSING}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


# The batch size of a trace that was taken while serving: it changes from step to step.
SERVED = 0


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What a case that serves is asked: load points by rate (1/s) and by requests in flight.

    Each has so many requests; those by rate, where load_s (seconds) is given, as many as arrive in that time.
    """

    rates: tuple[float, ...]
    concurrency: tuple[int, ...]
    requests: int
    warmup_requests: int
    lengths: str
    sequences: int
    context: int
    load_s: int | None = None

    def loads(self, *, measured: bool) -> list[dict[str, float]]:
        """The load points as the driver reads them; unmeasured, the last alone, to take a capture window under."""
        points: list[dict[str, float]] = [{"rate": rate, "requests": self._arriving(rate)} for rate in self.rates]
        points += [{"concurrency": flying, "requests": self.requests} for flying in self.concurrency]
        return points if measured else [{**points[-1], "requests": 0}]

    def _arriving(self, rate: float) -> int:
        return self.requests if self.load_s is None else max(1, round(rate * self.load_s))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One engine start that measures every batch size asked for.

    Lengths are in tokens; `output_tokens` is the decode length of one timed window and `traced_steps` the
    number of steady decode steps that a trace must hold.
    """

    engine: str
    model: str
    tp: int
    graphs: str
    tracing: str
    repeat: int
    batches: tuple[int, ...]
    prompt_tokens: int
    output_tokens: int
    windows: int
    traced_steps: int
    seed: int
    checkpoint: str | None = None
    compile: str = "engine"
    captured: tuple[int, ...] | None = None
    pp: int = 1
    dp: int = 1
    dp_attention: bool = False
    settings: str = "pinned"
    serving: "Serving | None" = None
    kv_tokens: int | None = None

    @property
    def layout(self) -> Layout:
        """How the model is split."""
        return Layout(tp=self.tp, pp=self.pp, dp=self.dp, dp_attention=self.dp_attention)

    @property
    def sequences(self) -> int:
        """How many sequences may run at once."""
        return self.serving.sequences if self.serving else max(SEQUENCES_LEAST, *self.batches)

    @property
    def kv_capacity_tokens(self) -> int:
        """KV-cache tokens of a fair case: those asked for, or room for all that run and for the longest sequence."""
        most = self.serving.sequences if self.serving else max(self.batches)
        return self.kv_tokens or max(most * _rounded(self.context_tokens), _rounded(max(4096, self.context_tokens)))

    @property
    def captured_batches(self) -> tuple[int, ...]:
        """The batch sizes that graphs are captured for, ascending; a larger batch runs without one."""
        if self.captured:
            return tuple(sorted(self.captured))
        return usual_sizes(self.sequences) if self.serving else tuple(sorted(self.batches))

    @property
    def context_tokens(self) -> int:
        """Context length that an engine needs: the longest sequence, with room for the settling steps of a trace."""
        if self.serving:
            return self.serving.context
        return self.prompt_tokens + max(self.output_tokens, self.traced_steps) + CONTEXT_MARGIN_TOKENS

    @property
    def name(self) -> str:
        """The folder name of the case; equal names mean the same configuration."""
        switches = f"graphs-{self.graphs}" + ("" if self.compile == "engine" else f"_compile-{self.compile}")
        family = ("" if self.settings == "pinned" else f"_{self.settings}") + ("_serve" if self.serving else "")
        where = f"{self.model}_{self.engine}_{self.layout.label}"
        return f"{where}_{switches}{family}_trace-{self.tracing}_r{self.repeat}"


def _rounded(tokens: int) -> int:
    # An engine gives a sequence whole blocks.
    return -(-tokens // 16) * 16


def usual_sizes(most: int) -> tuple[int, ...]:
    """Batch sizes to capture where any up to `most` may run: 1, 2, 4, then every 8th to 256, every 16th above."""
    every = (1, 2, 4, *range(8, 257, 8), *range(272, most + 16, 16))
    return (*(size for size in every if size < most), most)
