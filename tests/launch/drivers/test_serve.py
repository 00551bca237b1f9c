"""The serving driver with stand-in servers: its course, its figures, what it survives, and that it leaves nothing."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from analysis import serving
from launch.drivers import serve

ENGINES = Path(__file__).parents[2] / "standin/engines"
OPTIONS = {
    "vllm": {
        "model": "data/models/llama3-8b", "tensor_parallel_size": 2, "max_num_seqs": 16, "enable_prefix_caching": False,
        "profiler_config": {"profiler": "cuda"}, "skip_tokenizer_init": True, "load_format": "dummy",
        "compilation_config": {"cudagraph_capture_sizes": [1, 2]},
    },
    "sglang": {
        "model_path": "data/models/llama3-8b", "tp_size": 2, "max_running_requests": 16, "log_level": "info",
        "disable_radix_cache": True, "skip_tokenizer_init": True, "cuda_graph_bs_decode": [1, 2],
    },
}  # fmt: skip
LOADS = [{"rate": 100, "requests": 12}, {"concurrency": 3, "requests": 9}]


class Run:
    """One driver in a folder of its own."""

    def __init__(
        self, folder: Path, engine: str = "vllm", *flags: str, loads: list[dict] = LOADS,
        lengths: tuple[tuple[int, int], ...] = ((6, 5), (9, 8)), options: dict | None = None, **standin: str,
    ) -> None:  # fmt: skip
        self.folder = folder
        (folder / "lengths.csv").write_text("prompt_tokens,output_tokens\n" + "".join(f"{p},{o}\n" for p, o in lengths))
        argv = [
            sys.executable, serve.__file__, "--engine", engine, "--engine-args", json.dumps(options or OPTIONS[engine]),
            "--loads", json.dumps(loads), "--lengths", "lengths.csv", "--vocabulary", "1000", "--seed", "3",
            "--pause", "0.05", "--stall-timeout", "0.5", "--events", "events", "--requests", "requests", *flags,
        ]  # fmt: skip
        names = {f"STANDIN_{name.upper()}": value for name, value in standin.items()}
        env = {**os.environ, "PYTHONPATH": str(ENGINES), "STANDIN_SERVED": "served", **names}
        self.process = subprocess.Popen(
            argv,
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self, code: int = 0) -> "Run":
        """Wait for the end, and hold that nothing of its session is left."""
        try:
            ended = self.process.wait(timeout=60)
        finally:
            left = self.left()
            for process in [*left, self.process]:  # a test that fails leaves nothing either
                process.kill()
        self.output, _ = self.process.communicate(timeout=30)
        assert (ended, left) == (code, []), self.output
        return self

    def left(self) -> list[psutil.Process]:
        """Living processes of the driver's session, the driver apart."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = os.getsid(process.pid) == self.process.pid != process.pid
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def events(self, kind: str | None = None) -> list[dict]:
        return [event for event in lines(self.folder / "events") if kind in (None, event["event"])]

    def rows(self) -> list[dict]:
        return lines(self.folder / "requests")

    def wait_for_phase(self, phase: str) -> None:
        wait_for(lambda: any(event.get("phase") == phase for event in self.events()), phase)


def wait_for(condition: Callable[[], bool], name: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"never {name}"
        time.sleep(0.02)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def course(run: Run) -> list[str]:
    return [event.get("phase", event["event"]) for event in run.events()]


def both(folder: Path, *flags: str, **how: Any) -> list[Run]:
    """A run of each engine, side by side, to its end."""
    runs = []
    for engine in OPTIONS:
        (folder / engine).mkdir()
        runs.append(Run(folder / engine, engine, *flags, **how))
    return [run.end() for run in runs]


def test_a_server_is_started_warmed_up_loaded_traced_and_ended(tmp_path: Path) -> None:
    for run in both(tmp_path, "--warmup-requests", "2", "--traced-steps", "64", captures="captures"):
        assert course(run) == [
            "starting", "resolved", "ready", "warming up", "measuring", "load", "measuring", "load",
            "tracing", "traced", "done",
        ]  # fmt: skip
        assert run.events()[0]["pid"] == run.process.pid
        resolved = run.events("resolved")[0]
        assert (resolved["graphs"], resolved["tp"]) == ("on", 2)
        assert resolved["engine_version"] in ("0.33.0", "0.5.23")
        assert (resolved["torch"], resolved["cuda"]) == ("2.0+standin", "0.0")
        assert [row["load"] for row in run.rows()] == [0] * 12 + [1] * 9
        assert {row["status"] for row in run.rows()} == {"ok"}
        assert (run.folder / "captures").read_text().split() == ["start", "stop"]
        told = [(event["requests"], event["statuses"]) for event in run.events("load")]
        assert told == [(12, {"ok": 12}), (9, {"ok": 9})]


def test_paired_cases_get_the_same_requests_at_the_same_times(tmp_path: Path) -> None:
    eager = {**OPTIONS["vllm"], "enforce_eager": True}
    runs = []
    for name, engine, options in (("a", "vllm", None), ("b", "vllm", eager), ("c", "sglang", None)):
        (tmp_path / name).mkdir()
        runs.append(Run(tmp_path / name, engine, loads=LOADS[:1], options=options))
    rows = [run.end().rows() for run in runs]
    asked = [[(row["prompt_tokens"], row["output_tokens_asked"]) for row in one] for one in rows]
    assert asked[0] == asked[1] == asked[2] and len(set(asked[0])) == 2
    gaps = [[row["scheduled_s"] - one[0]["scheduled_s"] for row in one] for one in rows]
    assert gaps[1] == pytest.approx(gaps[0], abs=1e-5) and gaps[2] == pytest.approx(gaps[0], abs=1e-5)
    assert len(set(gaps[0])) == 12
    assert [run.events("resolved")[0]["graphs"] for run in runs] == ["on", "off", "on"]


def test_figures_agree_with_what_the_server_did(tmp_path: Path) -> None:
    load = [{"concurrency": 2, "requests": 16}]
    Run(tmp_path, loads=load, lengths=((6, 21),), first_s="0.05", step_s="0.005").end()
    served = lines(tmp_path / "served")
    first_ms, last_ms = (
        pd.Series([(one["writes"][n][0] - one["came"]) * 1e3 for one in served]).median() for n in (0, -1)
    )
    point = serving.load_points(serving.read(tmp_path / "requests")).iloc[0]
    assert point["ok"] == 16 == len(served)
    # Between two processes of a busy machine a request travels for milliseconds; in one, test_client.py is stricter.
    assert point["ttft_ms_p50"] == pytest.approx(first_ms, abs=25.0)
    assert point["e2e_ms_p50"] == pytest.approx(last_ms, abs=25.0)
    assert point["tpot_ms_p50"] == pytest.approx((last_ms - first_ms) / 20, abs=2.0)
    assert point["itl_ms_p50"] == pytest.approx(5.0, abs=2.5)


FAULTS = {
    "stall": "stalled", "drop": "dropped", "cut": "dropped", "http500": "http 500", "malformed": "malformed",
    "notjson": "malformed", "error": "error", "short": "short", "long": "malformed", "burst": "ok",
}  # fmt: skip


def test_a_load_of_every_fault_is_survived_and_counted(tmp_path: Path) -> None:
    faults = {str(10 + number): fault for number, fault in enumerate(FAULTS)}
    lengths = tuple((int(prompt), 6) for prompt in faults)
    load = [{"concurrency": 20, "requests": 60}]
    for run in both(tmp_path, loads=load, lengths=lengths, faults=json.dumps(faults)):
        rows = run.rows()
        wrong = [row for row in rows if row["status"] != FAULTS[faults[str(row["prompt_tokens"])]]]
        assert wrong == [] and {row["prompt_tokens"] for row in rows} == set(map(int, faults))
        assert run.events("load")[0]["statuses"] == Counter(row["status"] for row in rows)
        point = serving.load_points(serving.read(run.folder / "requests")).iloc[0]
        assert (point["ok"], point["failed"]) == (sum(row["status"] == "ok" for row in rows), 60 - point["ok"])


def test_a_server_that_dies_while_loading_is_noticed_and_told(tmp_path: Path) -> None:
    run = Run(tmp_path, server="dies").end(code=1)
    assert course(run) == ["starting", "error"] and "no weights named model.safetensors" in run.output
    assert run.events("error")[0]["message"] == "the server ended with exit code 1"


def test_a_server_that_dies_under_load_is_told_and_what_was_answered_before_is_kept(tmp_path: Path) -> None:
    faults = json.dumps({"9": "dies"})
    run = Run(tmp_path, loads=[{"concurrency": 1, "requests": 500}], faults=faults).end(code=1)
    assert course(run)[-2:] == ["measuring", "error"]
    assert run.events("error")[0]["message"] == "the server ended with exit code 9"
    assert run.rows()[0]["load"] == 0 and "dropped" in {row["status"] for row in run.rows()}


def test_a_flag_that_the_server_does_not_know_is_its_end_and_not_passed_over(tmp_path: Path) -> None:
    run = Run(tmp_path, options={**OPTIONS["vllm"], "cuda_graphs": "on"}).end(code=1)
    assert "unrecognized arguments: --cuda-graphs=on" in run.output
    assert run.events("error")[0]["message"] == "the server ended with exit code 2"


def test_a_server_is_ready_when_it_says_so_and_not_before(tmp_path: Path) -> None:
    run = Run(tmp_path, loads=LOADS[1:], server="unwell").end()
    assert {row["status"] for row in run.rows()} == {"ok"} and course(run)[-1] == "done"


def test_a_server_that_answers_no_warm_up_is_an_error_that_says_why(tmp_path: Path) -> None:
    run = Run(tmp_path, "vllm", "--warmup-requests", "2", lengths=((6, 5),), faults='{"6": "http500"}').end(code=1)
    message = run.events("error")[0]["message"]
    assert message.startswith("none of 2 warm-up requests was answered in full; the first: http 500: ")


def test_a_window_whose_request_is_not_answered_is_an_error(tmp_path: Path) -> None:
    traced = [{"concurrency": 2, "requests": 0}]
    run = Run(tmp_path, "vllm", "--traced-steps", "64", loads=traced, faults='{"16": "stall"}').end(code=1)
    assert "the capture window's own request was not answered: stalled" in run.events("error")[0]["message"]
    assert course(run) == ["starting", "resolved", "ready", "tracing", "error"] and run.rows() == []


def test_being_told_to_end_under_load_ends_the_server_and_leaves_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, loads=[{"concurrency": 2, "requests": 100_000}], server="slow")
    run.wait_for_phase("measuring")
    wait_for((tmp_path / "served").exists, "served")
    assert len(run.left()) == 1
    run.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    run.process.send_signal(signal.SIGTERM)  # does not cut the end of the server short
    run.end(code=143)
    assert course(run)[-1] == "measuring" and run.rows()


def test_being_told_to_end_while_the_server_loads_leaves_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, server="unwell")
    run.wait_for_phase("starting")
    run.process.send_signal(signal.SIGTERM)
    run.end(code=143)


def test_no_request_is_sent_before_the_go(tmp_path: Path) -> None:
    run = Run(tmp_path, "vllm", "--go", "go", loads=LOADS[1:])
    run.wait_for_phase("ready")
    time.sleep(0.2)
    assert not (tmp_path / "served").exists()
    (tmp_path / "go").touch()
    run.end()
    assert len(run.rows()) == 9


@pytest.mark.parametrize(
    "text",
    [
        "[]", "{}", "nothing", "[1]", '[{"rate": 1}]', '[{"rate": 0, "requests": 1}]', '[{"rate": 1, "requests": -1}]',
        '[{"rate": 1, "concurrency": 1, "requests": 1}]', '[{"concurrency": 1.5, "requests": 1}]',
        '[{"concurrency": 0, "requests": 1}]', '[{"rate": 1, "requests": 1, "burst": 2}]',
        '[{"rate": "1", "requests": 1}]',
    ],
)  # fmt: skip
def test_loads_that_cannot_be_meant_are_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected a list of"):
        serve.loads(text)


def test_loads_are_rates_and_concurrencies_with_their_requests() -> None:
    points = [{"rate": 1.9, "requests": 5}, {"concurrency": 4, "requests": 0}]
    assert serve.loads(json.dumps(points)) == points
