"""What a version's table must say for our options to mean there what they are labelled with."""

from collections.abc import Iterator, Mapping
from typing import Any

from launch.engines import ENGINES
from study.spec import Case
from tests.engines import cases

Row = Mapping[str, Any]
# What each switch may move in a fair case, by the names of the tables; all else is alike on both sides.
MOVED = {
    "vllm": {
        "graphs": {"cudagraph_mode", "capture_sizes"},
        "compile": {"compile_mode", "custom_ops", "cudagraph_mode"},
    },
    "sglang": {"graphs": {"decode_graphs", "capture_sizes"}, "compile": set()},
}
VLLM_GRAPHS = {("on", "on"): "FULL_AND_PIECEWISE", ("on", "off"): "FULL_DECODE_ONLY"}


def problems(table: Row) -> list[str]:
    """Every way in which a table contradicts our labels; empty where the version does as it is asked."""
    return [
        f"{table['engine']} {table['version']} {found}" for found in (*_said(table), *_sides(table), *_cards(table))
    ]


def _said(table: Row) -> Iterator[str]:
    engine = table["engine"]
    asked = cases.of_version(engine, table["version"])
    by_label = {cases.label(case): case for case in cases.kinds(engine)}
    if {card: set(rows) for card, rows in table["cards"].items()} != {card: set(rows) for card, rows in asked.items()}:
        yield "was asked about other cases than there are: run make engines"
        return
    for card, rows in table["cards"].items():
        for label, row in rows.items():
            question = asked[card][label]
            if (row["given"], row["environment"]) != (question["options"], question["environment"]):
                yield f"{card} {label}: was given other options than ours are now: run make engines"
            elif label in by_label:
                yield from (f"{card} {label}: {found}" for found in _row(by_label[label], table["version"], row))


def _row(case: Case, version: str, row: Row) -> Iterator[str]:
    if row["unknown"]:
        yield f"has no {', '.join(row['unknown'])}"
    if "refused" in row:
        yield f"was refused: {row['refused']}"
        return
    if case.settings != "as-shipped" and row["server"] != "same":
        yield f"the server's flags say otherwise: {row['server']}"
    if ENGINES[case.engine].refused_version(version, graphs=case.graphs, settings=case.settings):
        return  # it is never run; what the version would make of it is kept as the reason
    wanted = _wanted_of_vllm(case) if case.engine == "vllm" else _wanted_of_sglang(case)
    for name, value in wanted.items():
        if row["resolved"][name] != value:
            yield f"{name} {value} was asked, {row['resolved'][name]} resolved"


def _wanted_of_vllm(case: Case) -> dict[str, Any]:
    compiled = case.graphs if case.compile == "engine" else case.compile
    graphs = VLLM_GRAPHS.get((case.graphs, compiled), "NONE")
    switches = {"cudagraph_mode": graphs, "compile_mode": "VLLM_COMPILE" if compiled == "on" else "NONE"}
    wanted = {**switches, "layout": [case.tp, case.pp, case.dp], "profiler": "cuda"}
    if case.settings != "as-shipped":
        wanted |= {"capture_sizes": list(case.captured_batches) if case.graphs == "on" else []}
        wanted |= {"max_num_seqs": case.sequences, "gpu_memory_utilization": 0.92, "prefix_caching": False}
    if case.settings == "fair":
        blocks = case.kv_capacity_tokens // 16 + 1
        wanted |= {"kv_blocks": blocks, "kv_block_tokens": 16, "attention_backend": "FLASH_ATTN"}
        wanted |= {"custom_all_reduce": False, "fuse_allreduce_rms": False, "async_scheduling": case.pp == 1}
    return wanted


def _wanted_of_sglang(case: Case) -> dict[str, Any]:
    wanted: dict[str, Any] = {"decode_graphs": "full" if case.graphs == "on" else "disabled", "torch_compile": False}
    if case.settings == "as-shipped":
        return wanted | ({"prefill_graphs": "disabled"} if case.graphs == "off" else {})
    wanted |= {"prefill_graphs": "disabled", "dp_attention": case.dp_attention, "prefix_caching": False}
    wanted |= {"capture_sizes": list(case.captured_batches) if case.graphs == "on" else []}
    wanted |= {"max_running_requests": case.sequences, "mem_fraction_static": 0.92, "sampling_backend": "pytorch"}
    if case.settings == "fair":
        wanted |= {"max_total_tokens": case.kv_capacity_tokens, "attention_backend": "fa3"}
        wanted |= {"custom_all_reduce": False, "fused_all_reduce": False, "disable_overlap_schedule": case.pp > 1}
    return wanted


def _sides(table: Row) -> Iterator[str]:
    """Where a switch moves more in a fair case than itself."""
    rows = table["cards"]["h200"]
    for label, row in rows.items():
        for one, other, switch in (("graphs-on", "graphs-off", "graphs"), ("compile-on", "compile-off", "compile")):
            beside = rows.get(label.replace(one, other), row)
            if not label.startswith("fair") or "resolved" not in row or "resolved" not in beside:
                continue
            moved = {name for name, value in row["resolved"].items() if beside["resolved"][name] != value}
            if more := moved - MOVED[table["engine"]][switch]:
                yield f"{label}: the switch of {switch} moves {', '.join(sorted(more))}"


def _cards(table: Row) -> Iterator[str]:
    """Where a fair case depends on the card."""
    for label, row in table["cards"]["rtx4090"].items():
        there = table["cards"]["h200"].get(label, {}).get("resolved", {})
        if more := {name for name, value in row.get("resolved", {}).items() if there.get(name) != value}:
            yield f"{label}: the card moves {', '.join(sorted(more))}"
