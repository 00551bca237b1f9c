"""The tables that a study gives to notebooks, column by column, with units.

Which columns a table has is decided where it is made; here each has its type and its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping

from analysis import capacity, evidence_tables, headline, recordings, served
from analysis.tables import Column

# Text that may be missing, numbers that are always there, and numbers that may be NaN.
_TEXT, _COUNT, _NUMBER = "string", "int64", "float64"
_COLUMNS: Mapping[str, tuple[str, str]] = {
    "study": (_TEXT, "the study's name: that of its folder"),
    "case": (_TEXT, "the case: one start of an engine; the name of its folder"),
    "engine": (_TEXT, "vllm, sglang, hf or another"),
    "model": (_TEXT, "the model's short name"),
    "tp": (_COUNT, "tensor-parallel size: GPUs that share each layer"),
    "graphs": (_TEXT, "off or on, as asked for"),
    "compile": (_TEXT, "torch.compile: on, off, or engine where it was left to the engine"),
    "settings": (_TEXT, "pinned, or what was left as the engine ships it"),
    "split": (_TEXT, "how the model was split beyond TP (pp2, dp2); empty for TP alone"),
    "tracing": (_TEXT, "off, node or graph: how graphs were traced"),
    "repeat": (_COUNT, "number of the repeat; both halves of one ran next to each other"),
    "batch": (_COUNT, "sequences decoded at once"),
    "outcome": (_TEXT, "ok, failed or invalid"),
    "reason": (_TEXT, "why it is not ok; missing where it is"),
    "made_by": (_TEXT, "the program that measured it"),
    "host_label": (_TEXT, "the host, as its recording names it"),
    "driver": (_TEXT, "version of the GPU driver"),
    "cuda": (_TEXT, "version of CUDA"),
    "torch": (_TEXT, "version of PyTorch"),
    "engine_version": (_TEXT, "version of the engine"),
    "nccl": (_TEXT, "version of NCCL"),
    "cpu": (_TEXT, "the host's processor"),
    "governor": (_TEXT, "how the processor's clock was governed"),
    "power_limit_w": (_NUMBER, "the lowest power limit of the GPUs"),
    "attention_backend": (_TEXT, "what the engine resolved for attention"),
    "sampling_backend": (_TEXT, "what the engine resolved for sampling"),
    "custom_all_reduce": (_TEXT, "whether the engine used an all-reduce of its own"),
    "async_scheduling": (_TEXT, "whether the engine scheduled a step while another ran"),
    "dtype": (_TEXT, "type of weights and activations"),
    "slowed_ratio": (_NUMBER, "share of the samples of a GPU in which power or heat slowed it, the worst GPU's"),
    "nsys": (_TEXT, "version of nsys"),
    "started_utc": (_TEXT, "when it began"),
    "resolved_graphs": (_TEXT, "off or on, as the engine says; differs from graphs where the label is wrong"),
    "window": (_COUNT, "number of the timed window within its start"),
    "tpot_ms": (_NUMBER, "time per output token after the first: one decode iteration, untraced"),
    "path": ("object", "the trace's file (pathlib.Path)"),
    "left_out": ("bool", "the trace was left out of the recording: path is, and numbers are of, its account"),
    "low_ms": (_NUMBER, "lower end of the interval of tpot_ms"),
    "high_ms": (_NUMBER, "upper end of the interval of tpot_ms"),
    "starts_count": (_NUMBER, "engine starts measured"),
    "windows_count": (_NUMBER, "timed windows of all starts"),
    "gain_ratio": (_NUMBER, "time off / on: above 1 graphs are faster"),
    "gain_low_ratio": (_NUMBER, "lower end of the interval of gain_ratio"),
    "gain_high_ratio": (_NUMBER, "upper end of the interval of gain_ratio"),
    "interval_over": (_TEXT, "starts, or windows where there is a single start"),
    "caution": (_TEXT, "what to be careful about; empty for nothing"),
    "contradiction": (_TEXT, "what voids the row: a trace contradicts its label; empty for nothing"),
    "rate": (_NUMBER, "requests sent a second; NaN in a closed loop"),
    "concurrency": (_NUMBER, "requests in flight in a closed loop; NaN where they come at a rate"),
    "qps": (_NUMBER, "requests answered in full, a second"),
    "output_tok_s": (_NUMBER, "tokens given out, a second"),
    "ttft_ms_p50": (_NUMBER, "time to first token, median"),
    "ttft_ms_p99": (_NUMBER, "time to first token, 99th percentile"),
    "tpot_ms_p50": (_NUMBER, "time per further token, median"),
    "itl_ms_p99": (_NUMBER, "time between tokens, 99th percentile"),
    "goodput_qps": (_NUMBER, "requests answered within the limits of TTFT and TPOT, a second"),
    "tpot_ratio": (_NUMBER, "tpot_ms_p50 off / on: above 1 graphs are faster"),
    "tpot_low_ratio": (_NUMBER, "lower end of the interval of tpot_ratio"),
    "tpot_high_ratio": (_NUMBER, "upper end of the interval of tpot_ratio"),
    "captured": ("Int64", "batch sizes for which a graph was captured"),
    "kv_tokens": (_NUMBER, "tokens that the KV cache holds"),
    "kv_ratio": (_NUMBER, "KV tokens on / off: what the memory of graphs leaves"),
    "capture_s": (_NUMBER, "time to capture the graphs"),
    "graph_gib": (_NUMBER, "memory that the graphs hold, on the GPU that needs most"),
    "ready_s": (_NUMBER, "from the start of the engine until it could be asked"),
    "wall_ms": (_NUMBER, "a traced iteration, along the critical path over ranks"),
    "compute_ms": (_NUMBER, "of it, anything but collectives ran"),
    "collective_ms": (_NUMBER, "of it, collectives, from the last rank's arrival"),
    "launch_idle_ms": (_NUMBER, "of it, idle before operations whose launch came late"),
    "graph_gap_ms": (_NUMBER, "of it, idle between nodes of one graph launch"),
    "other_gap_ms": (_NUMBER, "of it, idle for any other cause"),
    "residual_ms": (_NUMBER, "wall less these parts"),
}


def _column(name: str) -> Column:
    """A column by its name; what is told of both halves begins with off_ or on_."""
    half, _, own = name.partition("_")
    if name in _COLUMNS or half not in ("off", "on"):
        dtype, meaning = _COLUMNS[name]
        return Column(name=name, dtype=dtype, meaning=meaning)
    dtype, meaning = _COLUMNS[own]
    return Column(name=name, dtype=dtype, meaning=f"{meaning}; graphs {half}")


def _columns(names: tuple[str, ...]) -> tuple[Column, ...]:
    return tuple(_column(name) for name in names)


TABLES: Mapping[str, tuple[Column, ...]] = {
    "cases": _columns(recordings.CASE_COLUMNS),
    "windows": _columns(recordings.WINDOW_COLUMNS),
    "traces": _columns(recordings.TRACE_COLUMNS),
    "pairs": _columns(headline.PAIR_COLUMNS),
    "served": _columns(served.COLUMNS),
    "capacity": _columns(capacity.COLUMNS),
    "critical_paths": _columns((*evidence_tables.ABOUT, *evidence_tables.PATH_COLUMNS)),
}
"""The columns of each table of notebook.Study."""
