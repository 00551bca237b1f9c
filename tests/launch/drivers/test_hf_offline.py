"""Transformers as the decode driver uses it, played by a stand-in that refuses what the real one does not know."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from analysis import step_marks
from launch.engines import hf
from tests.cases import CASE

HF = replace(CASE, engine="hf")
PROMPTS = [[5, 6, 7], [7, 6, 5]]
STOOD_IN = ("standin", "torch", "transformers")


@pytest.fixture
def driver(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The driver with stand-ins for torch and transformers, which nothing else gets to see."""
    monkeypatch.syspath_prepend(str(root / "tests" / "standin" / "engines"))
    kept = {name: sys.modules.pop(name) for name in STOOD_IN if name in sys.modules}
    try:
        yield importlib.reload(importlib.import_module("launch.drivers.hf_offline"))
    finally:
        for name in STOOD_IN:
            sys.modules.pop(name, None)
        sys.modules.update(kept)


def engine(driver: ModuleType, **changes: Any) -> Any:
    return driver.Engine(hf.options(replace(HF, **changes), "path/of/model"))


@pytest.mark.parametrize(
    ("graphs", "compiled", "way"),
    [("on", "engine", "continuous"), ("off", "engine", "continuous"), ("on", "on", "static"), ("off", "on", "static"),
     ("off", "off", "dynamic")],
)  # fmt: skip
def test_each_corner_decodes_and_resolves_as_it_was_asked(
    driver: ModuleType, graphs: str, compiled: str, way: str
) -> None:
    made = engine(driver, graphs=graphs, compile=compiled)
    made.generate(PROMPTS, 3)
    resolved = made.resolved()
    assert (resolved["way"], resolved["graphs"], resolved["tp"]) == (way, graphs, 1)
    assert resolved.get("compile") in (None, compiled)
    made.close()


def test_continuous_batching_keeps_what_its_graphs_would_move(driver: ModuleType) -> None:
    on, off = (engine(driver, graphs=graphs).resolved() for graphs in ("on", "off"))
    assert on["async_scheduling"] is off["async_scheduling"] is False


def test_a_static_cache_is_made_once_for_a_batch(driver: ModuleType) -> None:
    made = engine(driver, graphs="on", compile="on")
    made.generate(PROMPTS, 3)
    (cache,) = made._way._caches.values()
    made.generate(PROMPTS, 30)
    assert list(made._way._caches.values()) == [cache] and cache.length == HF.context_tokens


def test_fewer_tokens_than_asked_are_an_error(driver: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(driver)
    monkeypatch.setattr(made._way, "generate", lambda prompts, tokens: [tokens, tokens - 1])
    with pytest.raises(RuntimeError, match="1 of 2 sequences ended after 2 tokens, not 3"):
        made.generate(PROMPTS, 3)


def test_a_thread_that_ended_is_no_endless_wait(driver: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(driver)
    manager = made._way._manager
    monkeypatch.setattr(manager, "add_requests", lambda **_: None)
    monkeypatch.setattr(manager, "is_running", lambda: False)
    with pytest.raises(RuntimeError, match="the generation thread of transformers ended"):
        made.generate(PROMPTS, 3)


@pytest.fixture
def ranges(driver: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the driver marks where there is a GPU: the names of the ranges in order, "end" for each end."""
    seen: list[str] = []

    @contextmanager
    def scope(name: str) -> Iterator[None]:
        seen.append(name)
        yield
        seen.append("end")

    nvtx = SimpleNamespace(range=scope, range_push=seen.append, range_pop=lambda: seen.append("end"))
    monkeypatch.setattr(driver.torch.cuda, "nvtx", nvtx, raising=False)
    monkeypatch.setattr(driver.torch.cuda, "is_available", lambda: True)
    return seen


def test_the_steps_of_generate_are_marked_from_one_choice_of_tokens_to_the_next(
    driver: ModuleType, ranges: list[str]
) -> None:
    engine(driver, compile="off").generate(PROMPTS, 3)
    assert ranges == ["execute_context_0(0)_generation_2(2)", "end"] * 3


def test_the_steps_of_continuous_batching_are_marked_by_what_they_ran(driver: ModuleType, ranges: list[str]) -> None:
    made = engine(driver)
    made.generate(PROMPTS, 3)
    prefill, decode = "execute_context_2(6)_generation_0(0)", "execute_context_0(0)_generation_2(2)"
    assert ranges == [prefill, "end", decode, "end", decode, "end"]


def test_where_batches_are_made_ahead_the_one_that_runs_is_marked(driver: ModuleType, ranges: list[str]) -> None:
    manager = engine(driver)._way._manager
    pairs = [[1], [1, 5]]
    manager.batch_processor.inputs_and_outputs = SimpleNamespace(
        current_pair=1,
        io_pairs=[
            SimpleNamespace(
                host_io=SimpleNamespace(requests_in_batch=[SimpleNamespace(query_length=length) for length in lengths])
            )
            for lengths in pairs
        ],
    )
    manager._generation_step()
    assert ranges == ["execute_context_1(5)_generation_1(1)", "end"]


def test_the_analysis_reads_the_marks(driver: ModuleType) -> None:
    assert [step_marks._parsed(driver._mark(lengths)) for lengths in ([1, 1], [7, 1], [7])] == [
        ("decode", 2, 2),
        ("mixed", 2, 8),
        ("prefill", 1, 7),
    ]


def test_without_a_gpu_nothing_is_marked(driver: ModuleType) -> None:
    assert not hasattr(driver.torch.cuda, "nvtx")  # calling it would fail
    for compiled in ("engine", "off"):
        engine(driver, compile=compiled).generate(PROMPTS, 2)
