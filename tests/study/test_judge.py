"""What became of a case, in words that say what to look at."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import TraceError
from analysis.summary import summarise
from study import judge
from study.commands import Tools
from tests.analysis import studies
from tests.cases import CASE

TRACED = replace(CASE, tracing="node", batches=(1,))
TRACE = [{"batch": 1, "file": "trace_b1.sqlite"}]


@pytest.mark.parametrize(
    ("kind", "message", "phase", "reason"),
    [
        ("ValueError", "no weights\nsee above", "starting", "load error: ValueError: no weights"),
        ("RuntimeError", "bad shape", "measuring", "engine error while measuring: RuntimeError: bad shape"),
        ("OutOfMemoryError", "tried 2 GiB", "tracing", "out of memory while tracing: tried 2 GiB"),
        ("RuntimeError", "CUDA out of memory.", "starting", "out of memory while starting: CUDA out of memory."),
        ("ValueError", "No available memory for the cache blocks.", "starting",
         "out of memory while starting: No available memory for the cache blocks."),
        ("RuntimeError", "Not enough memory. Please try", "starting",
         "out of memory while starting: Not enough memory. Please try"),
        ("KeyError", " \n", "starting", "load error: KeyError: KeyError"),
    ],
)  # fmt: skip
def test_an_exception_becomes_a_reason_of_one_line(kind: str, message: str, phase: str, reason: str) -> None:
    assert judge.raised(kind, message, phase) == reason


@pytest.mark.parametrize(("code", "how"), [(-9, "signal 9"), (0, "exit code 0"), (139, "exit code 139")])
def test_an_end_without_a_word_is_a_crash_that_says_how(code: int, how: str) -> None:
    assert judge.ended(code, "warming up") == f"crash: the engine ended with {how} while warming up"


def test_the_tail_of_a_long_log_is_its_last_lines_whatever_their_bytes(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    assert judge.log_tail(log) == []
    log.write_bytes(b"first\n" * 50_000 + b"".join(b"line %d \xff\n" % number for number in range(30)))
    tail = judge.log_tail(log)
    assert len(tail) == judge.LOG_LINES and tail[-1] == "line 29 \N{REPLACEMENT CHARACTER}" and tail[0][:6] == "line 5"


def test_an_export_that_says_yes_but_writes_nothing_has_failed(tmp_path: Path) -> None:
    (tmp_path / "trace.nsys-rep").touch()
    tools = Tools(pythons={}, nsys="true", timeout_s=1)
    reason = "nsys export of trace.nsys-rep failed (exit code 0)"
    assert judge.export(TRACED, tools=tools, folder=tmp_path) == ([], reason)


def test_an_untraced_case_has_nothing_to_export(tmp_path: Path) -> None:
    assert judge.export(CASE, tools=Tools(pythons={}, nsys="false", timeout_s=1), folder=tmp_path) == ([], None)


@pytest.mark.parametrize(("traced_graphs", "outcome"), [("on", "ok"), ("off", "invalid")])
def test_a_case_is_ok_only_with_a_trace_that_shows_its_graphs(tmp_path: Path, traced_graphs: str, outcome: str) -> None:
    studies.write_trace(tmp_path / "trace_b1.sqlite", graphs=traced_graphs)
    verdict = judge.outcome(TRACED, None, {"graphs": "on"}, TRACE, tmp_path)
    assert verdict.outcome == outcome
    assert verdict.reason is None if outcome == "ok" else str(verdict.reason).startswith("batch 1: ")


def test_a_trace_with_fewer_steps_than_were_asked_for_is_invalid(tmp_path: Path) -> None:
    studies.write_trace(tmp_path / "trace_b1.sqlite", graphs="on")
    case = replace(TRACED, traced_steps=studies.STEPS + 1)
    verdict = judge.outcome(case, None, {"graphs": "on"}, TRACE, tmp_path)
    assert verdict.outcome == "invalid" and str(studies.STEPS + 1) in str(verdict.reason)


def test_a_trace_that_cannot_be_read_is_invalid_with_its_batch(tmp_path: Path) -> None:
    (tmp_path / "trace_b1.sqlite").write_text("nothing like it")
    verdict = judge.outcome(TRACED, None, {"graphs": "on"}, TRACE, tmp_path)
    assert verdict.outcome == "invalid" and str(verdict.reason).startswith("batch 1: ")
    assert "trace_b1.sqlite" in str(verdict.reason)


@pytest.mark.parametrize(
    ("failure", "resolved", "outcome"),
    [
        ("crash: x", {"graphs": "off"}, ("failed", "crash: x")),
        (None, {"graphs": "off"}, ("invalid", "graphs on was asked, but the engine resolved graphs off")),
        (None, {"graphs": None}, ("ok", None)),
        (None, {}, ("ok", None)),
        (None, {"graphs": "on"}, ("ok", None)),
    ],
)
def test_a_failure_counts_before_the_label_and_the_label_before_all_else(
    tmp_path: Path, failure: str | None, resolved: dict[str, Any], outcome: tuple[str, str | None]
) -> None:
    verdict = judge.outcome(CASE, failure, resolved, [], tmp_path)
    assert (verdict.outcome, verdict.reason) == outcome


@pytest.mark.parametrize(
    ("asked", "resolved", "reason"),
    [
        ("off", "on", "compile off was asked, but the engine resolved compile on"),
        ("on", "off", "compile on was asked, but the engine resolved compile off"),
        ("off", "off", None),
        ("off", None, None),
        ("engine", "on", None),
    ],
)
def test_an_engine_that_compiles_what_it_should_not_is_not_believed(
    tmp_path: Path, asked: str, resolved: str | None, reason: str | None
) -> None:
    verdict = judge.outcome(replace(CASE, compile=asked), None, {"graphs": "on", "compile": resolved}, [], tmp_path)
    assert verdict.reason == reason


def test_a_traced_case_tells_its_iteration_time(tmp_path: Path) -> None:
    studies.write_trace(tmp_path / "trace_b1.sqlite", graphs="on")
    verdict = judge.outcome(TRACED, None, {"graphs": "on"}, TRACE, tmp_path)
    assert verdict.traced_ms == {1: pytest.approx(summarise(tmp_path / "trace_b1.sqlite")["iter_ms"]["median"])}


def test_memory_that_ran_out_in_a_worker_is_found_in_the_log() -> None:
    tail = ["loading", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "bye"]
    reason = judge.explained("load error: RuntimeError: Engine core initialization failed", tail)
    assert str(reason).startswith("out of memory, by the log: torch.OutOfMemoryError")
    assert judge.explained("crash: x", ["all is well"]) == "crash: x" and judge.explained(None, tail) is None


STAGES = replace(TRACED, tp=1, pp=2)


@pytest.mark.parametrize(("traced_graphs", "outcome"), [("on", "ok"), ("off", "invalid")])
def test_stages_without_steps_in_common_are_proven_by_their_graph_launches(
    tmp_path: Path, traced_graphs: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_: Path) -> None:
        raise TraceError("no steps in common; expected some; none")

    studies.write_trace(tmp_path / "trace_b1.sqlite", graphs=traced_graphs, tp=2)
    monkeypatch.setattr(judge, "summarise", refuses)
    verdict = judge.outcome(STAGES, None, {"graphs": "on"}, TRACE, tmp_path)
    assert (verdict.outcome, verdict.traced_ms) == (outcome, {})
    if outcome == "invalid":
        assert "rank 0: graphs are on by the label, but 0 graphs were launched" in str(verdict.reason)
    assert judge.outcome(TRACED, None, {"graphs": "on"}, TRACE, tmp_path).outcome == "invalid"


def test_a_stage_that_was_not_traced_is_missed(tmp_path: Path) -> None:
    studies.write_trace(tmp_path / "trace_b1.sqlite", graphs="on", tp=1)
    verdict = judge.outcome(STAGES, None, {"graphs": "on"}, TRACE, tmp_path)
    assert "1 ranks traced, 2 expected" in str(verdict.reason)
