"""The builders against what every version's own classes made of their options: the tables of data/engines."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launch.engines import ENGINES
from launch.engines.versions import Known, before, spelled
from tests.cases import CASE
from tests.engines import __main__ as check
from tests.engines import cases, held, tables

ROOT = Path(__file__).parents[3]
TABLES = {engine: tables.load(ROOT / "data/engines" / engine) for engine in check.VERSIONS}
KNOWN = Known(engine="vLLM", oldest="0.20.0", newest="0.33.0")


def table(engine: str, version: str) -> dict[str, Any]:
    return TABLES[engine][version]


@pytest.mark.parametrize(("engine", "version"), [(engine, version) for engine in TABLES for version in TABLES[engine]])
def test_every_version_makes_of_our_options_what_they_are_labelled_with(engine: str, version: str) -> None:
    assert held.problems(table(engine, version)) == []


@pytest.mark.parametrize("engine", check.VERSIONS)
def test_the_versions_that_are_known_are_those_that_were_asked_by_execution(engine: str) -> None:
    known = ENGINES[engine].VERSIONS
    asked = set(TABLES[engine])
    assert asked == set(check.VERSIONS[engine]) and len(asked) >= 3
    assert known.oldest in asked and known.newest in asked
    assert not [version for version in asked if before(version, known.oldest) or before(known.newest, version)]
    assert all(table(engine, version)["by"].startswith("executed") for version in asked)


def change(label: str, key: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    def tamper(table: dict[str, Any]) -> None:
        table["cards"]["h200"][label][key].update(values)

    return tamper


def refuse(table: dict[str, Any]) -> None:
    table["cards"]["h200"]["fair tp1 graphs-off compile-off"]["refused"] = "ValueError: no"


def forget(table: dict[str, Any]) -> None:
    table["cards"]["h200"]["fair tp1 graphs-on compile-on"]["unknown"] = ["compilation_config.mode"]


def another_card(table: dict[str, Any]) -> None:
    table["cards"]["rtx4090"]["fair tp2 graphs-on compile-on"]["resolved"]["custom_ops"] = ["all"]


def other_server(table: dict[str, Any]) -> None:
    table["cards"]["h200"]["pinned tp2 graphs-on compile-on"]["server"] = "differs: {}"


ON, OFF = "fair tp2 graphs-on compile-on", "fair tp2 graphs-off compile-off"


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (change(ON, "resolved", cudagraph_mode="NONE"), "cudagraph_mode FULL_AND_PIECEWISE was asked, NONE resolved"),
        (change(OFF, "resolved", compile_mode="VLLM_COMPILE"), "compile_mode NONE was asked, VLLM_COMPILE resolved"),
        (change(ON, "resolved", capture_sizes=[1, 2]), "capture_sizes [1, 8] was asked, [1, 2] resolved"),
        (change(ON, "resolved", kv_blocks=256), "kv_blocks 257 was asked, 256 resolved"),
        (change(ON, "resolved", max_num_batched_tokens=1), "the switch of graphs moves max_num_batched_tokens"),
        (change(ON, "resolved", runner="v1"), "the switch of compile moves runner"),
        (change(ON, "given", seed=7), "was given other options than ours are now"),
        (change(ON, "environment", HF_HUB_OFFLINE="0"), "was given other options than ours are now"),
        (refuse, "was refused: ValueError: no"),
        (forget, "has no compilation_config.mode"),
        (another_card, "the card moves custom_ops"),
        (other_server, "the server's flags say otherwise"),
        (lambda table: table["cards"]["h200"].pop(ON), "was asked about other cases than there are"),
    ],
)
def test_a_table_that_says_something_else_is_caught(tamper: Callable[[dict[str, Any]], Any], found: str) -> None:
    tampered = copy.deepcopy(table("vllm", "0.25.1"))
    tamper(tampered)
    assert [problem for problem in held.problems(tampered) if found in problem]


def test_options_in_the_words_of_another_version_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ENGINES["sglang"], "EARLIER", {})
    assert any("other options than ours are now" in problem for problem in held.problems(table("sglang", "0.5.11")))
    assert held.problems(table("sglang", "0.5.16")) == []


@pytest.mark.parametrize("version", check.VERSIONS["vllm"])
def test_graphs_that_go_off_with_compilation_are_what_our_corners_avoid(version: str) -> None:
    rows = table("vllm", version)["cards"]["h200"]
    unsaid = "NONE" if before(version, "0.30.0") else "FULL_DECODE_ONLY"
    assert rows["trap compile off, graphs not said"]["resolved"]["cudagraph_mode"] == unsaid
    assert rows["trap compile off, graphs in pieces"]["resolved"]["cudagraph_mode"] == "NONE"


def test_sglang_before_0_5_14_is_told_by_the_names_of_its_own() -> None:
    case = replace(CASE, engine="sglang", graphs="off")
    old, new = (ENGINES["sglang"].options(case, "m", version) for version in ("0.5.13.post1", "0.5.14"))
    assert set(old) - set(new) == {"disable_cuda_graph", "disable_piecewise_cuda_graph"}
    assert set(new) - set(old) == {"disable_decode_cuda_graph", "disable_prefill_cuda_graph"}


def test_graphs_off_as_shipped_is_refused_where_it_leaves_those_of_prefill_on() -> None:
    refused = ENGINES["sglang"].refused_version
    for version in check.VERSIONS["sglang"]:
        row = table("sglang", version)["cards"]["h200"]["as-shipped tp2 graphs-off"]["resolved"]
        reason = refused(version, graphs="off", settings="as-shipped")
        assert (reason is None) == (row["prefill_graphs"] == "disabled")
    assert "leaves those of prefill on" in refused("0.5.13", graphs="off", settings="as-shipped")
    assert refused("0.5.13", graphs="on", settings="as-shipped") is None
    assert refused("0.5.13", graphs="off", settings="pinned") is None


def test_a_version_older_than_known_is_refused_and_a_newer_one_doubted() -> None:
    assert KNOWN.refusal("0.20.0") is None and KNOWN.refusal("0.33.1") is None
    assert KNOWN.refusal("0.19.1") == (
        "vLLM 0.19.1 is older than 0.20.0, from which on its flags are known: use 0.20.0 to 0.33.0"
    )
    assert KNOWN.doubt("0.33.0") is None and KNOWN.doubt("0.25.1+cu130") is None
    assert KNOWN.doubt("0.34.0rc1") == "vLLM 0.34.0rc1 is newer than 0.33.0, up to which its flags are known"


def test_versions_come_in_the_order_of_their_releases() -> None:
    order = [
        "0.5.9",
        "0.5.13rc1",
        "0.5.13",
        "0.5.13.post1",
        "0.5.14.dev3+gabc",
        "0.5.14",
        "0.5.20",
        "0.6",
        "1.0",
        "main",
    ]
    assert all(before(one, other) for i, one in enumerate(order) for other in order[i + 1 :])
    assert not any(before(other, one) for i, one in enumerate(order) for other in order[i:])
    assert not before("0.20", "0.20.0") and not before("0.20.0", "0.20")


def test_only_names_that_an_older_version_had_otherwise_are_changed() -> None:
    earlier = {"2.0": {"new": "old"}, "3.0": {"newest": "newer"}}
    options = {"new": 1, "newest": 2, "same": 3}
    assert spelled(options, "3.0", earlier) == options
    assert spelled(options, "2.5", earlier) == {"new": 1, "newer": 2, "same": 3}
    assert spelled(options, "1.9", earlier) == {"old": 1, "newer": 2, "same": 3}


@pytest.mark.parametrize("engine", check.VERSIONS)
def test_fair_cases_hold_kv_tokens_alike_whatever_the_switch(engine: str) -> None:
    def made(**changes: Any) -> dict[str, Any]:
        options: dict[str, Any] = ENGINES[engine].options(replace(CASE, engine=engine, settings="fair", **changes), "m")
        return options

    name = {"vllm": "num_gpu_blocks_override", "sglang": "max_total_tokens"}[engine]
    unit, spare = {"vllm": (16, 1), "sglang": (1, 0)}[engine]
    assert made(graphs="on")[name] == made(graphs="off")[name] == 4096 // unit + spare
    # 128 sequences of 128 + 64 tokens, 64 to spare: 256 each.
    assert made(batches=(1, 128))[name] == 128 * 256 // unit + spare
    assert made(kv_tokens=50_000)[name] == 50_000 // unit + spare


def test_the_model_runner_and_the_all_reduce_of_fair_cases_are_said() -> None:
    vllm = ENGINES["vllm"]
    fair = replace(CASE, settings="fair")
    assert vllm.environment(fair, "0.22.1")["VLLM_USE_V2_MODEL_RUNNER"] == "0"
    assert vllm.environment(fair, "0.23.0")["VLLM_USE_V2_MODEL_RUNNER"] == "1"
    assert vllm.environment(fair)["VLLM_ALLREDUCE_USE_FLASHINFER"] == "0"
    assert vllm.environment(CASE) == vllm.ENVIRONMENT


@pytest.mark.parametrize(
    "line",
    [
        "Capture cuda graph end. Time elapsed: 4.00 s. mem usage=0.12 GB. avail mem=69.36 GB.",  # 0.5.11
        "Capture target decode CUDA graph end. elapsed=4.00 s, mem usage=0.12 GB, avail mem=69.36 GB.",  # 0.5.16
    ],
)
def test_sglang_tells_the_cost_of_capturing_in_two_ways(line: str) -> None:
    assert ENGINES["sglang"].capture(line) == {"capture_s": 4.0, "graph_gib": 0.12}


def test_a_label_names_one_kind_of_case() -> None:
    for engine in check.VERSIONS:
        labels = [cases.label(case) for case in cases.kinds(engine)]
        assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_that_is_told_no_version_is_spoken_to_as_the_newest_that_is_known(engine: str) -> None:
    module, case = ENGINES[engine], replace(CASE, engine=engine)
    newest = module.VERSIONS.newest
    assert module.options(case, "m") == module.options(case, "m", newest)
    assert module.environment(case) == module.environment(case, newest) == module.ENVIRONMENT
    assert module.refused_version(newest, graphs="off", settings="as-shipped") is None
    assert module.refused_version("0.1", graphs="on", settings="pinned") is not None


@pytest.mark.parametrize("changes", [{}, {"tp": 2, "pp": 2}, {"batches": (64, 256)}])
@pytest.mark.parametrize("engine", check.VERSIONS)
def test_fair_cases_say_all_that_pinned_ones_do_and_the_same_on_both_sides(
    engine: str, changes: dict[str, Any]
) -> None:
    def made(**other: Any) -> dict[str, Any]:
        options: dict[str, Any] = ENGINES[engine].options(replace(CASE, engine=engine, **changes, **other), "m")
        return options

    on, off = (made(settings="fair", graphs=graphs) for graphs in ("on", "off"))
    switch = {"vllm": {"enforce_eager", "compilation_config"},
              "sglang": {"disable_decode_cuda_graph", "cuda_graph_bs_decode"}}  # fmt: skip
    assert {name for name in on | off if on.get(name) != off.get(name)} == switch[engine]
    assert made(settings="pinned", graphs="on").keys() <= on.keys()


def test_answers_are_kept_once_and_read_for_every_version_that_gave_them(tmp_path: Path) -> None:
    def answered(version: str, answer: int) -> dict[str, Any]:
        return {"engine": "vllm", "version": version, "checked": "today", "cards": {"h200": {"case": answer}}}

    for version, answer in (("0.9.0", 1), ("0.10.0", 1), ("0.11.0", 2), ("0.12.0", 1)):
        tables.save(tmp_path, answered(version, answer))
    kept = {
        version: json.loads((tmp_path / f"{version}.json").read_text()) for version in ("0.9.0", "0.10.0", "0.12.0")
    }
    assert [one.get("same_as") for one in kept.values()] == [None, "0.9.0", "0.9.0"]
    # Asked again, the first answers otherwise: what the others said stays what they said.
    tables.save(tmp_path, answered("0.9.0", 3))
    found = {version: one["cards"]["h200"]["case"] for version, one in tables.load(tmp_path).items()}
    assert found == {"0.9.0": 3, "0.10.0": 1, "0.11.0": 2, "0.12.0": 1}
    assert json.loads((tmp_path / "0.12.0.json").read_text())["same_as"] == "0.10.0"
