"""The five questions, of hand-made traces and of recorded ones that answer otherwise."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis import extract, iterations, predict, questions
from tests import traces
from tests.analysis.test_typical import layered


def answered(path: Path, pays: float | None = None) -> dict[str, dict[str, Any]]:
    trace = iterations.find(extract.read(path))
    found = questions.answers(trace, predict.facts(trace), pays)
    return dict(zip(("shapes", "kernels", "allocations", "branches", "replays"), found, strict=True))


def test_one_batch_as_one_graph_is_what_graphs_are_for() -> None:
    found = answered(traces.recorded("vllm", 1, "on"), 139.0)
    replays = found.pop("replays")
    assert {name: one["answer"] for name, one in found.items()} == dict.fromkeys(found, questions.YES)
    assert found["kernels"]["found"].endswith("100% of the time in such")
    assert "capturing is paid for after 139 decode steps" in replays["found"]


def test_a_changing_batch_is_several_shapes_that_come_again() -> None:
    found = answered(traces.served("sglang_on_tp1"))
    assert "of 4 batch sizes" in found["shapes"]["found"]


def test_pieces_are_branches() -> None:
    found = answered(traces.steady("vllm_piecewise_tp1"))
    assert found["branches"]["answer"] == questions.NO
    assert "0% were one graph, 100% several" in found["branches"]["found"]


def test_an_allocation_in_a_steady_iteration_is_seen(tmp_path: Path) -> None:
    trace = layered()
    trace.call("cudaMallocAsync_v11020", 2_000_000 * 12, 2_000_000 * 12 + 5)
    # Before the steady ones: no matter.
    trace.call("cudaMalloc_v3020", 10, 20)
    found = answered(trace.write(tmp_path / "trace.sqlite"))
    assert found["allocations"] == {
        "question": "Can memory be allocated beforehand?",
        "answer": "no",
        "found": "1 allocations or frees in 18 steady iterations",
    }


def replayed(times: int, pays: float | None) -> dict[str, Any]:
    steps = pd.DataFrame({"kind": "decode", "graph_launches": 1, "sequences": 1}, index=range(times))
    return questions._replays(SimpleNamespace(steps=steps), pays)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("times", "pays", "answer"),
    [
        (101, 50.0, "yes"),
        (100, 50.0, "not known"),
        (101, 101.0, "not known"),
        (102, 101.0, "yes"),
        (75, 947.0, "not known"),
        (900, None, "not known"),
        (900, float("inf"), "no"),
    ],
)
def test_only_what_was_seen_beyond_the_threshold_and_the_pay_back_is_a_yes(
    times: int, pays: float | None, answer: str
) -> None:
    assert replayed(times, pays)["answer"] == answer


def test_a_window_that_is_too_short_says_so() -> None:
    assert replayed(75, 947.0)["found"] == (
        "75 replays for each batch size in this capture window; capturing is paid for after 947 decode steps; the "
        "window is too short to tell whether there are 947"
    )
