"""A label is believed only when the trace proves it."""

from pathlib import Path

import pytest

from analysis.summary import summarise
from analysis.validity import contradictions, unfit
from tests import traces


def _record(*, graphs: str, tp: int = 2, traced_steps: int | None = 3) -> dict:
    return {"asked": {"graphs": graphs, "tp": tp, "traced_steps": traced_steps}}


def _summary(folder: Path, *, graphs: bool, ranks: int = 2) -> dict:
    return summarise(traces.decode(ranks=ranks, graphs=graphs, steps=8).write(folder / "a.sqlite"))


@pytest.mark.parametrize(("label", "graphs"), [("on", True), ("off", False)])
def test_a_true_label_is_proven(tmp_path: Path, label: str, graphs: bool) -> None:
    assert contradictions(_record(graphs=label), _summary(tmp_path, graphs=graphs)) == ()


@pytest.mark.parametrize(("label", "graphs"), [("on", False), ("off", True)])
def test_a_swapped_trace_is_caught_on_every_rank(tmp_path: Path, label: str, graphs: bool) -> None:
    found = contradictions(_record(graphs=label), _summary(tmp_path, graphs=graphs))
    assert [text.split(":")[0] for text in found] == ["rank 0", "rank 1"]
    assert all(f"graphs are {label} by the label" in text for text in found)


@pytest.mark.parametrize("label", ["on", "off"])
def test_one_rank_of_the_other_kind_is_enough(tmp_path: Path, label: str) -> None:
    trace = traces.decode(graphs=label == "on", steps=8)
    for step in range(8):
        traces.step(trace, 1000 + 100 * step, label == "off", {"pid": 102, "device": 1})
    found = contradictions(_record(graphs=label, traced_steps=2), summarise(trace.write(tmp_path / "a.sqlite")))
    assert [text.split(":")[0] for text in found] == ["rank 1"]


def test_one_iteration_of_the_other_kind_is_enough(tmp_path: Path) -> None:
    trace = traces.Sqlite()
    for step in range(12):
        traces.step(trace, 1000 + 100 * step, step != 8, {"pid": 101, "device": 0})
    summary = summarise(trace.write(tmp_path / "a.sqlite"))
    assert summary["ranks"][0]["graph_launches"] == 1
    assert len(contradictions(_record(graphs="on", tp=1), summary)) == 1


def test_a_rank_that_was_not_traced_is_caught(tmp_path: Path) -> None:
    found = contradictions(_record(graphs="on", tp=4), _summary(tmp_path, graphs=True))
    assert found == ("2 ranks traced, 4 expected",)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (3, ()),
        (4, ("3 steady decode iterations traced, at least 4 expected",)),
        (None, ("3 steady decode iterations traced, at least 64 expected",)),
    ],
)
def test_too_few_steady_iterations_are_caught(tmp_path: Path, asked: int | None, expected: tuple[str, ...]) -> None:
    assert contradictions(_record(graphs="off", traced_steps=asked), _summary(tmp_path, graphs=False)) == expected


@pytest.mark.parametrize(("engine", "tp"), [("vllm", 4), ("sglang", 2)])
@pytest.mark.parametrize("label", ["on", "off"])
def test_swapped_real_traces_are_caught_on_every_rank(engine: str, tp: int, label: str) -> None:
    record = _record(graphs=label, tp=tp, traced_steps=18)
    assert contradictions(record, summarise(traces.recorded(engine, tp, label))) == ()
    swapped = summarise(traces.recorded(engine, tp, "off" if label == "on" else "on"))
    assert len(contradictions(record, swapped)) == tp


def test_failed_checks_that_gate_are_told_and_notes_are_not(tmp_path: Path) -> None:
    summary = _summary(tmp_path, graphs=False)
    found = unfit({"asked": {"tracing": "node"}}, summary)
    assert found[0] == (
        "steady steps: 3 steady decode iterations; record at least 64 decode steps of one batch in one capture window"
    )
    assert all(check["gates"] for check in summary["fitness"]["checks"] if check["name"] in "".join(found))
    assert not any(text.startswith("stationary") for text in found)


@pytest.mark.parametrize(("tracing", "found"), [("graph", 0), ("node", 1)])
def test_graphs_recorded_whole_are_no_failure_where_they_were_asked_for(tracing: str, found: int) -> None:
    check = {"name": "graph nodes", "passed": False, "gates": True, "found": "f", "remedy": "r"}
    summary = {"graph_tracing": "graph", "fitness": {"checks": [check]}}
    assert len(unfit({"asked": {"tracing": tracing}}, summary)) == found


@pytest.mark.parametrize("tracing", ["graph", "node"])
def test_graphs_whose_calls_alone_were_recorded_contradict_off_and_are_unfit_whatever_was_asked(
    tmp_path: Path, tracing: str
) -> None:
    summary = summarise(traces.unseen(ranks=2).write(tmp_path / "a.sqlite"))
    on, off = ({"asked": _record(graphs=label)["asked"] | {"tracing": tracing}} for label in ("on", "off"))
    assert contradictions(on, summary) == ()
    assert [text.split(",")[0] for text in contradictions(off, summary)] == [
        f"rank {rank}: graphs are off by the label" for rank in range(2)
    ]
    assert [text.split(":")[0] for text in unfit(on, summary)] == ["graph nodes"]


@pytest.mark.parametrize("label", ["on", "off"])
def test_graph_launches_of_unknown_iterations_prove_no_label(tmp_path: Path, label: str) -> None:
    summary = summarise(traces.unseen().write(tmp_path / "a.sqlite"))
    summary["ranks"][0]["graph_launches_range"] = [None, None]
    assert contradictions(_record(graphs=label, tp=1), summary) == (
        "rank 0: graphs were launched, but in which iterations is not known",
    )
