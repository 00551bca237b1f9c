"""The figures in the README are those of the recordings, recomputed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import breakeven, headline, pairs, predict, published, reproduced
from analysis.estimates import Estimate
from analysis.gathered import Gathered
from analysis.pairs import Pair
from analysis.words import three

ENGINES = {"vllm": "vLLM", "sglang": "SGLang"}
ALL_ENGINES = {**ENGINES, "hf": "transformers"}
# The recordings that the table by batch shows, those that the table by TP does not, and its model.
BATCHES = ("h200x2-2026-11-21", "h200x2-tp2-2026-11-22")
MODEL = "llama3-8b"
PROBE = " *"


def test_every_row_of_the_answer_is_what_the_recordings_give(root: Path, gathered: Gathered) -> None:
    shown = re.findall(r"^\| (?:vLLM|SGLang) TP.*\|$", (root / "README.md").read_text(), re.MULTILINE)
    assert shown == [_row(gathered, engine, tp) for engine in ENGINES for tp in (1, 2, 4, 8)]


def test_every_row_by_batch_is_what_the_recording_gives(root: Path, gathered: Gathered) -> None:
    pairs = gathered.pairs[gathered.pairs["study"].isin(BATCHES)].set_index(["batch", "tp", "model"])
    columns = [(tp, model) for tp in (1, 2) for model in ("llama3-8b", "qwen2.5-7b")]
    rows = [
        f"| {batch} | " + " | ".join(_gain(pairs.loc[(batch, *column)]) for column in columns) + " |"
        for batch in sorted(pairs.index.get_level_values("batch").unique())
    ]
    shown = re.findall(r"^\| \d+ \| .* / .*\|$", (root / "README.md").read_text(), re.MULTILINE)
    assert shown == rows and len(rows) == 5


def _gain(pair: "pd.Series[float]") -> str:
    return f"{pair['off_tpot_ms']:#.3g} / {pair['on_tpot_ms']:#.3g} | {three(pair['gain_ratio'])}"


def test_every_row_of_other_models_and_engines_is_what_the_recording_gives(root: Path, gathered: Gathered) -> None:
    first = gathered.pairs[gathered.pairs["batch"] == 1].set_index(["study", "model", "tp", "compile"])
    text = (root / "README.md").read_text()
    shown = re.findall(r"^\| (H\d+), (.*?), (.*), TP(\d)(.*?) \| (.*) \|$", text, re.MULTILINE)
    rows = [
        first.loc[ELSEWHERE[gpu, engine], MODELS[model], int(tp), COMPILED[variant]]
        for gpu, engine, model, tp, variant, _ in shown
    ]
    assert [values for *_, values in shown] == [_gain(row) for row in rows]
    assert len(rows) == 10


def test_what_large_models_wait_for_is_what_their_traces_say(root: Path, gathered: Gathered) -> None:
    found = {
        (about["model"], about["graphs"]): trace
        for about, trace in _traces(gathered)
        if about["study"] == ELSEWHERE["H200", "SGLang"]
    }
    said = " ".join((root / "README.md").read_text().split())
    for name, told in (("Qwen2-57B-A14B", "{} waits for launches during {}"), ("Qwen2.5-72B", "{} during {}")):
        off, on = (found[MODELS[name], graphs] for graphs in ("off", "on"))
        path = off["critical_path_us"]
        waited = f"{path['launch_idle'] / 1e3:.1f} of {path['wall'] / 1e3:.1f} ms"
        assert told.format(name, waited) in said and on["critical_path_us"]["launch_idle"] == 0
        assert re.search(rf"{waited}[^(]*\({off['ranks'][0]['launches']:.0f}\b", said)
    corners = gathered.pairs.query("batch == 128 and tp == 2 and engine == 'vllm'")["gain_ratio"]
    assert f"At batch 128 vLLM still gains {three(min(corners))} to {three(max(corners))} times at TP2." in said


ELSEWHERE = {
    ("H200", "SGLang"): "h200x2-large-2026-11-21",
    ("H200", "vLLM"): "h200x2-vllm-2x2-2026-11-22",
    ("H100", "vLLM"): "h100x1-2026-11-21",
    ("H100", "transformers"): "h100x1-hf-2026-11-21",
}
MODELS = {
    "Qwen2-57B-A14B": "qwen2-57b", "Qwen2.5-72B": "qwen2.5-72b", "Qwen2.5-7B": "qwen2.5-7b", "Llama-3-8B": "llama3-8b",
}  # fmt: skip
COMPILED = {
    "": "engine", ", compiled": "on", ", not compiled": "off", ", continuous batching": "engine",
    ", static cache, compiled": "on",
}  # fmt: skip


def test_every_row_of_what_is_served_is_what_the_recordings_give(root: Path, gathered: Gathered) -> None:
    form = r"^\| (vLLM|SGLang)( as shipped)?, (.*), TP(\d), ([\d.]+) (requests/s|in flight) \| (.*) \|$"
    shown = re.findall(form, (root / "README.md").read_text(), re.MULTILINE)
    loads = [_load(gathered, about) for *about, _ in shown]
    assert [said for *_, said in shown] == [" | ".join(_both(load, figure) for figure in SERVED) for load in loads]
    saturated = [bool(re.search("off: saturated", load["caution"])) for load in loads]
    assert saturated == [False, True, True, False, True, False, False]


SERVED = ("output_tok_s", "ttft_ms_p50", "tpot_ms_p50")


def _load(gathered: Gathered, about: list[str]) -> "pd.Series[float]":
    engine, shipped, model, tp, value, unit = about
    load = "rate" if unit == "requests/s" else "concurrency"
    (index,) = gathered.served.query(
        f"engine == {engine.lower()!r} and model == {SERVED_MODELS[model]!r} and tp == {tp} and {load} == {value} "
        f"and settings == {'as-shipped' if shipped else 'pinned'!r}"
    ).index
    return gathered.served.loc[index]


SERVED_MODELS = {"Qwen2-7B": "qwen2-7b", "Llama-3-8B": "llama3-8b"}


def test_what_graphs_cost_a_server_as_shipped_is_what_the_recording_gives(root: Path, gathered: Gathered) -> None:
    (cost,) = gathered.capacity.query("settings == 'as-shipped'").to_dict("records")
    said = " ".join((root / "README.md").read_text().split())
    lost_percent = 1e2 * (1 - cost["kv_ratio"])
    assert f"they take {cost['graph_gib']:.2f} GiB with decode's, and {lost_percent:.1f} % of the KV tokens" in said


def _both(load: "pd.Series[float]", figure: str) -> str:
    return " / ".join(_digits(load[f"{graphs}_{figure}"]) for graphs in ("off", "on"))


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def test_what_traces_of_serving_show_is_what_the_recordings_give(root: Path, gathered: Gathered) -> None:
    said = " ".join((root / "README.md").read_text().split())
    paths = {
        (about["engine"], about["tp"], about["graphs"]): trace["critical_path_us"]
        for about, trace in _traces(gathered)
        if about["batch"] == 0
    }
    traced = [("sglang", 1), ("sglang", 2), ("vllm", 1)]
    off, on = ([paths[(*which, graphs)] for which in traced] for graphs in ("off", "on"))
    waits = [f"{path['launch_idle'] / 1e3:.1f} of {path['wall'] / 1e3:.1f} ms" for path in off]
    assert "{} (SGLang, Qwen2-7B), {} (Llama-3-8B, TP2) and {} (vLLM)".format(*waits) in said
    assert "during none of {}, {} and {} ms".format(*(f"{path['wall'] / 1e3:#.3g}" for path in on)) in said
    assert len(paths) == 6 and all(path["launch_idle"] < 0.5 for path in on)


def test_the_cliff_is_what_the_recording_gives(root: Path, gathered: Gathered) -> None:
    said = " ".join((root / "README.md").read_text().split())
    fair = gathered.pairs[gathered.pairs["study"] == "h200x2-fair-2026-11-22"].set_index(["engine", "batch"])
    on = {
        engine: [f"{fair.loc[(engine, batch), 'on_tpot_ms']:#.3g}" for batch in (16, 17)]
        for engine in ("vllm", "sglang")
    }
    assert f"vLLM {on['vllm'][0]} and {on['vllm'][1]} ms, SGLang {on['sglang'][0]} and {on['sglang'][1]} ms" in said
    off = {f"{fair.loc[(engine, 17), 'off_tpot_ms']:#.3g}" for engine in on}
    assert off == {"14.1"} and "with graphs off 17 take 14.1 ms in both" in said


def test_every_published_figure_stands_beside_ours_or_beside_why_there_is_none(root: Path, gathered: Gathered) -> None:
    shown = re.findall(r"^\| (?:RTX 4090|A800), .*\|$", (root / "README.md").read_text(), re.MULTILINE)
    assert shown == [_published(row) for row in reproduced.rows(gathered.studies)]


def _published(row: dict[str, Any]) -> str:
    rate = re.search(r"at ([\d.]+) req/s", row["workload"])
    load = f", {rate[1]} requests/s" if rate else ""
    about = f"{row['gpu']}, {ALL_ENGINES[row['engine']]}, {row['model']}, {row['parallel']}{load}"
    of = {"decode_iteration": "decode step", "throughput": "throughput", "ttft": "TTFT"}[row["metric"]]
    theirs, ours = (
        f"{'-' if off is None else f'{off:.4g}'} / {'-' if on is None else f'{on:.4g}'} {row['unit']}"
        for off, on in ((row[f"{whose}_off"], row[f"{whose}_on"]) for whose in ("published", "measured"))
    )
    on = row["why"]
    if row["study"]:
        gpu = row["measured_gpu"].removeprefix("NVIDIA ").split()[0]
        on = f"{gpu}, {row['measured_model']}" + (f": {row['why']}" if row["why"] else "")
    return f"| {about} | {of} | {theirs} | {ours if row['study'] else '-'} | {on} |"


def test_vllms_switches_set_apart_are_what_the_recording_gives(root: Path, gathered: Gathered) -> None:
    mine = gathered.pairs["study"] == "h200x1-2026-11-21"
    pairs = gathered.pairs[mine & (gathered.pairs["batch"] == 1)].set_index("compile")
    off, on = (
        {compiled: f"{pairs.loc[compiled, f'{graphs}_tpot_ms']:.3g}" for compiled in ("on", "off")}
        for graphs in ("off", "on")
    )
    compiled, eager = (f"{off[corner]} and {on[corner]} ms" for corner in ("on", "off"))
    said = f"graphs off and on take {compiled} compiled, {eager} not compiled"
    assert said in " ".join((root / "README.md").read_text().split())


def test_the_reason_is_what_the_recordings_foretell(
    root: Path, gathered: Gathered, pairs_of: Callable[..., list[Pair]]
) -> None:
    claimed = [pair for pair in pairs_of() if pair.claimed]
    model = predict.recorded()
    found = [row for row in breakeven.rows(claimed, model) if row["batch"] == 1]
    rows = {(row["engine"], row["tp"], row["gpu"], row["study"][:6]): row for row in found}
    said = " ".join((root / "README.md").read_text().split())
    own = [row for row in found if row["made_by"] == "study.sweep"]
    hosts_us = {
        tp: [*(row["measured_launch_us"] for row in own if row["tp"] == tp), *_of_accounts(gathered, tp)]
        for tp in (1, 2, 4)
    }
    spans = [f"{min(took):.0f} to {max(took):.0f}" for took in hosts_us.values()]
    assert (
        "At batch 1, of dense models traced too, hosts take {} us for each at TP1, {} at TP2, {} at TP4".format(*spans)
        in said
    )
    h200, rtx4090, a800 = (
        {tp: Estimate(**rows["vllm", tp, gpu, "h200x4"]["predicted_breakeven_us"]) for tp in (1, 2, 4)}
        for gpu in ("h200", "rtx4090", "a800")
    )
    gains = [gathered.pairs.query(_VLLM.format(tp))["gain_ratio"].iloc[0] for tp in (1, 2, 4)]
    assert f"H200: {h200[1].value:.0f}, {h200[2].value:.1f} and {h200[4].value:.1f} us" in said
    assert all(h200[tp].high < min(took) for tp, took in hosts_us.items())
    assert "gain {}, {} and {} times".format(*map(three, gains)) in said
    (full,) = {
        row["predicted_breakeven_us"]["value"]
        for row in breakeven.rows([pair for pair in claimed if pair.key[1:4] == (MODEL, 1, 512)], model)
        if row["gpu"] == "h200"
    }
    (gain,) = gathered.pairs.query("batch == 512 and tp == 1 and model == @MODEL")["gain_ratio"]
    assert f"At batch 512 {full:.0f} us; they gain {three(gain)} times" in said
    theirs, moved = (
        Estimate(**rows["vllm", 1, "h100", study]["predicted_breakeven_us"]) for study in ("h100x1", "h200x4")
    )
    (gain,) = gathered.pairs.query('study == "h100x1-2026-11-21" and batch == 1 and compile == "on"')["gain_ratio"]
    by = f"{_whole(theirs)} us by Qwen2.5-7B's compiled steps, {_whole(moved)} by Llama-3-8B's on the H200"
    assert f"H100, TP1: {by}; they gain {three(gain)} times" in said
    assert f"RTX 4090, TP1: {_whole(rtx4090[1])} us" in said
    *usual, slowest = sorted(set(hosts_us[1]))
    assert f"hosts of up to {usual[-1]:.0f} us hide" in said and usual[-1] < rtx4090[1].low
    assert f"the slowest ({slowest:.0f}) is open" in said and rtx4090[1].holds(slowest)
    assert f"TP2 and 4: {_whole(rtx4090[2])} and {_whole(rtx4090[4])} us" in said
    assert f"A800, TP1: {_whole(a800[1])} us" in said
    judged = {row["id"]: row for row in published.figures(claimed, model)}
    off, on = (Estimate(**judged["r1"]["predicted"][f"graphs_{half}_ms"]) for half in ("off", "on"))
    assert judged["r1"]["verdict"] == "consistent" and judged["r3"]["verdict"] == "not explained"
    assert f"off {_tenths(off)}, on {_tenths(on)} ms" in said
    assert f"PREDICTED as {_tenths(Estimate(**judged['r3']['predicted']['graphs_off_ms']))} ms" in said
    (eager,) = (pair for pair in claimed if pair.key[:5] == ("vllm", "qwen2.5-7b", 1, 1, "off"))
    assert f"it would take {37e3 / eager.off.launches:.0f} us for each of as many launches" in said


def _of_accounts(gathered: Gathered, tp: int) -> list[float]:
    """What a launch took hosts at batch 1, untraced, where the trace without graphs was left out of its recording."""
    found = []
    for evidence in gathered.evidence:
        about = dict(evidence.about)
        if evidence.left_out and (about["graphs"], about["tp"], about["batch"]) == ("off", tp, 1):
            (off_ms,) = [row["off_tpot_ms"] for _, row in gathered.pairs.iterrows() if _same(about, row)]
            found.append(1e3 * off_ms / max(rank["launches"] for rank in evidence.summary["ranks"]))
    return found


def test_how_far_times_vary_is_what_the_recordings_give(root: Path, gathered: Gathered) -> None:
    starts = gathered.with_gpu(headline.per_start(gathered.countable))
    starts = starts[starts["made_by"] == "study.sweep"]
    keys = ["gpu", "engine", "model", "tp", "compile", "settings", "split", "graphs", "batch"]
    ends = starts.groupby(keys)["tpot_ms"].agg(["min", "max"])
    most = (100 * (ends["max"] / ends["min"] - 1)).groupby(["graphs", "batch"]).max()
    said = " ".join((root / "README.md").read_text().split())
    assert f"host to host by up to {most['off'].max():.0f} %; graphs on, by {most['on', 1]:.0f} % at batch 1" in said
    assert f"by up to {most['on'].max():.0f} at batch {most['on'].idxmax()}. " in said


def test_no_recorded_launch_takes_longer_than_the_reason_says(root: Path, pairs_of: Callable[..., list[Pair]]) -> None:
    """Of what was traced with graphs off, whose launches are counted."""
    most_us, model = max((pairs.took_us(pair), pair.key[1]) for pair in pairs_of() if pairs.host_decides(pair))
    assert model == "qwen2-57b" and most_us < 95
    said = " ".join((root / "README.md").read_text().split())
    assert f"traced ones took up to some {most_us:.0f} (Qwen2-57B-A14B, H200)" in said


@pytest.mark.parametrize(("name", "heading"), [("README.md", "Why"), ("README.zh-CN.md", "为什么")])
def test_the_reason_fits_in_ten_lines_and_one_figure(root: Path, name: str, heading: str) -> None:
    section = re.split(r"^## ", (root / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    (why,) = (text.splitlines()[1:] for text in section if text.startswith(heading))
    assert len([line for line in why if line and not line.startswith("![")]) <= 10
    assert len([line for line in why if line.startswith("![")]) == 1


_VLLM = 'engine == "vllm" and tp == {} and batch == 1 and study == "h200x4-2026-11-21"'


def _whole(estimate: Estimate) -> str:
    return f"{estimate.value:.0f} [{estimate.low:.0f}, {estimate.high:.0f}]"


def _tenths(estimate: Estimate) -> str:
    return f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"


def _row(gathered: Gathered, engine: str, tp: int) -> str:
    found = gathered.pairs[lambda row: (row["engine"] == engine) & (row["tp"] == tp) & (row["batch"] == 1)]
    found = found[(found["compile"] == "engine") & (found["model"] == MODEL) & ~found["study"].isin(BATCHES)]
    own = found[found["made_by"] == "study.sweep"]
    pair = (own if len(own) else found).iloc[0]
    traces = {about["graphs"]: trace for about, trace in _traces(gathered) if _same(about, pair)}
    off, on = traces["off"], traces["on"]
    work = " / ".join(f"{_work_ms(trace):.2f}" for trace in (off, on))
    waiting = " / ".join(f"{trace['critical_path_us']['launch_idle'] / 1e3:.2f}" for trace in (off, on))
    launches = " / ".join(f"{max(rank['launches'] for rank in trace['ranks']):.0f}" for trace in (off, on))
    return (
        f"| {ENGINES[engine]} TP{tp}{'' if len(own) else PROBE} | {_interval(pair, 'off')} | {_interval(pair, 'on')} "
        f"| {three(pair['gain_ratio'])} | {pair['off_starts_count']} | {launches} | {work} | {waiting} |"
    )


def _traces(gathered: Gathered) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(dict(found.about), found.summary) for found in gathered.evidence if found.summary]


def _same(about: dict[str, Any], pair: "pd.Series[float]") -> bool:
    return all(about[key] == pair[key] for key in ("study", "engine", "tp", "model", "batch"))


def _work_ms(trace: dict[str, Any]) -> float:
    return (trace["critical_path_us"]["compute"] + trace["critical_path_us"]["collective"]) / 1e3


def _interval(pair: "pd.Series[float]", side: str) -> str:
    middle, low, high = (f"{pair[f'{side}_{what}_ms']:#.3g}".rstrip(".") for what in ("tpot", "low", "high"))
    return f"{middle} [{low}, {high}]"
