"""The whole command with real processes: stand-in engines and nsys that misbehave on request."""

import fcntl
import json
import lzma
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from study import config
from study.record import FORMAT
from tests.sweeps import ROOT, SMALL, Replayed, command, environment, run

RECORDED = ROOT / "data" / "recordings" / "h200x4-2026-11-21" / "cases"
ON = "llama3-8b_vllm_tp1_graphs-on"
OFF = "llama3-8b_vllm_tp1_graphs-off"
DRAWING = ("bokeh", "jinja2", "matplotlib")
READING = ("pandas", "numpy", "pyarrow", "adbc_driver_sqlite")


def sweep(out: Path, *flags: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return run(command(out, "--live", *flags), **extra)


def measure(out: Path, *flags: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """A live study without its report, which takes longer than all the rest."""
    return sweep(out, "--no-report", *flags, **extra)


def record(out: Path, name: str) -> dict:
    return json.loads((out / "cases" / name / "case.json").read_text())


@pytest.fixture(scope="session")
def trace(tmp_path_factory: pytest.TempPathFactory):
    """Plain files of recorded TP1 traces, by engine and graph mode."""
    folder = tmp_path_factory.mktemp("traces")

    def plain(engine: str, graphs: str) -> str:
        target = folder / f"{engine}-{graphs}.sqlite"
        packed = RECORDED / f"llama3-8b_{engine}_tp1_graphs-{graphs}_trace-node_r1" / "trace_b1.sqlite.xz"
        target.write_bytes(lzma.decompress(packed.read_bytes()))
        return str(target)

    return plain


def test_a_live_study_leaves_whole_folders_and_a_report(tmp_path: Path, trace) -> None:
    done = sweep(tmp_path, *SMALL, "--graphs", "on", "--repeats", "2", STANDIN_TRACE=trace("vllm", "on"))
    assert done.returncode == 0, done.stdout + done.stderr
    names = {path.name for path in (tmp_path / "cases").iterdir()}
    assert names == {f"{ON}_trace-off_r1", f"{ON}_trace-off_r2", f"{ON}_trace-node_r1"}
    untraced = record(tmp_path, f"{ON}_trace-off_r1")
    assert (untraced["outcome"], untraced["resolved"]["graphs"], untraced["made_by"]) == ("ok", "on", "study.sweep")
    assert (untraced["resolved"]["capture_s"], untraced["resolved"]["graph_gib"]) == (2.0, 0.25)
    assert (tmp_path / "cases" / f"{ON}_trace-off_r1" / "samples.csv").read_text().count("\n") == 1 + 2
    assert untraced["gpu_state"][0]["power_limit_w"] == {"low": 700, "median": 700, "high": 700}
    assert untraced["host"]["links"] == [["X", "NV18"], ["NV18", "X"]]
    packages = json.loads((tmp_path / "cases" / f"{ON}_trace-off_r1" / "packages.json").read_text())
    assert packages["vllm"] == "0.33.0"
    traced = record(tmp_path, f"{ON}_trace-node_r1")
    assert traced["files"]["traces"] == [{"batch": 1, "file": "trace_b1.sqlite"}]
    assert traced["argv"][1] == "profile" and traced["host"]["nsys"] == "2000.1.1"
    assert set(untraced["env"]) <= {"CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE"} | {
        name for name in untraced["env"] if name.startswith(("NCCL_", "VLLM_", "OMP_", "TORCH_", "CUDA_", "PYTORCH_"))
    }
    assert (tmp_path / "report" / "report.html").exists() and "report.html" in done.stdout
    assert "MEASURED HERE" in done.stdout


def test_a_second_run_keeps_finished_cases_and_starts_no_engine(tmp_path: Path) -> None:
    flags = (*SMALL, "--graphs", "on", "--repeats", "1", "--tracing", "off")
    assert measure(tmp_path, *flags).returncode == 0
    before = record(tmp_path, f"{ON}_trace-off_r1")
    again = measure(tmp_path, *flags, STANDIN_MISBEHAVE="load-error")
    assert again.returncode == 0 and "0 to run" in again.stdout
    assert record(tmp_path, f"{ON}_trace-off_r1") == before


def test_a_folder_of_another_study_is_refused_by_the_key_that_differs(tmp_path: Path) -> None:
    flags = (*SMALL, "--graphs", "on", "--repeats", "1", "--tracing", "off")
    assert measure(tmp_path, *flags).returncode == 0
    other = measure(tmp_path, *flags, "--seed", "7")
    assert other.returncode == 1 and "seed: 0 there, 7 now" in other.stderr and "Traceback" not in other.stderr


@pytest.mark.parametrize(
    ("fault", "when", "reason"),
    [
        ("load-error", "start", "load error: ValueError: no weights named model.safetensors"),
        ("out-of-memory", "start", "out of memory while starting: CUDA out of memory"),
        ("out-of-memory", "generate", "out of memory while warming up: CUDA out of memory"),
        ("crash", "start", "crash: the engine ended with signal 11 while starting"),
        ("crash", "generate", "crash: the engine ended with signal 11 while warming up"),
        pytest.param("hang", "start", "time-out: nothing heard for", marks=pytest.mark.alone),
        pytest.param("hang", "generate", "time-out: nothing heard for", marks=pytest.mark.alone),
    ],
)
def test_a_failed_case_is_recorded_with_its_reason_and_the_study_goes_on(
    tmp_path: Path, fault: str, when: str, reason: str
) -> None:
    flags = ["--tp", "1", "--graphs", "on", "--repeats", "1", "--tracing", "off", "--windows", "1", "--timeout", "4"]
    extra = {"STANDIN_MISBEHAVE": fault, "STANDIN_WHEN": when, "STANDIN_ENGINE": "vllm"}
    done = measure(tmp_path, *flags, **extra)
    assert done.returncode == 3, done.stdout + done.stderr
    failed = record(tmp_path, f"{ON}_trace-off_r1")
    assert failed["outcome"] == "failed" and failed["reason"].startswith(reason)
    assert failed["reason"] in done.stdout and f"{ON}_trace-off_r1 failed" in done.stderr
    assert record(tmp_path, "llama3-8b_sglang_tp1_graphs-on_trace-off_r1")["outcome"] == "ok"


def test_the_last_lines_of_the_log_stand_in_a_failed_record(tmp_path: Path) -> None:
    measure(tmp_path, *SMALL, "--graphs", "on", "--repeats", "1", "--tracing", "off", STANDIN_MISBEHAVE="crash")
    assert record(tmp_path, f"{ON}_trace-off_r1")["log_tail"] == ["stand-in: about to crash"]


def test_failed_cases_are_retried_only_when_asked(tmp_path: Path) -> None:
    flags = (*SMALL, "--graphs", "on", "--repeats", "1", "--tracing", "off")
    measure(tmp_path, *flags, STANDIN_MISBEHAVE="load-error")
    kept = sweep(tmp_path, *flags)
    assert kept.returncode == 3 and record(tmp_path, f"{ON}_trace-off_r1")["outcome"] == "failed"
    retried = measure(tmp_path, *flags, "--retry-failed")
    assert retried.returncode == 0 and record(tmp_path, f"{ON}_trace-off_r1")["outcome"] == "ok"


@pytest.mark.parametrize(
    ("fault", "reason"), [("no-capture", "nsys wrote no trace.nsys-rep"), ("export", "nsys export of trace.nsys-rep")]
)
def test_a_trace_that_never_came_is_a_failure_that_says_where_it_was_lost(
    tmp_path: Path, trace, fault: str, reason: str
) -> None:
    flags = (*SMALL, "--graphs", "on", "--tracing", "node")
    done = measure(tmp_path, *flags, STANDIN_MISBEHAVE=fault, STANDIN_WHEN="never", STANDIN_TRACE=trace("vllm", "on"))
    assert done.returncode == 3
    assert record(tmp_path, f"{ON}_trace-node_r1")["reason"].startswith(reason)


@pytest.mark.parametrize(("label", "found"), [("on", "off"), ("off", "on")])
def test_swapped_traces_make_a_case_invalid(tmp_path: Path, trace, label: str, found: str) -> None:
    done = sweep(tmp_path, *SMALL, "--graphs", label, "--tracing", "node", STANDIN_TRACE=trace("vllm", found))
    assert done.returncode == 3
    invalid = record(tmp_path, f"llama3-8b_vllm_tp1_graphs-{label}_trace-node_r1")
    assert invalid["outcome"] == "invalid" and "graph" in invalid["reason"]


def test_a_case_is_invalid_when_the_engine_resolved_the_other_mode(tmp_path: Path) -> None:
    flags = (*SMALL, "--graphs", "on", "--repeats", "1", "--tracing", "off")
    assert measure(tmp_path, *flags, STANDIN_MISBEHAVE="wrong-graphs").returncode == 3
    assert "engine resolved graphs off" in record(tmp_path, f"{ON}_trace-off_r1")["reason"]


def test_the_four_corners_of_vllms_switches_are_four_cases(tmp_path: Path) -> None:
    done = measure(tmp_path, *SMALL, "--compile", "on,off", "--repeats", "1", "--tracing", "off")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        (case["asked"]["graphs"], case["asked"]["compile"], case["resolved"]["graphs"], case["resolved"]["compile"])
        for case in (record(tmp_path, path.name) for path in (tmp_path / "cases").iterdir())
    }
    assert found == {(graphs, compiled, graphs, compiled) for graphs in ("on", "off") for compiled in ("on", "off")}


def test_each_batch_of_a_traced_case_gets_a_trace_of_its_own(tmp_path: Path, trace) -> None:
    done = measure(tmp_path, *SMALL, "--graphs", "on", "--tracing", "node", "--batches", "1,4",
                 STANDIN_TRACE=trace("vllm", "on"))  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    files = record(tmp_path, f"{ON}_trace-node_r1")["files"]["traces"]
    assert [trace["file"] for trace in files] == ["trace_b1.sqlite", "trace_b4.sqlite"]


def test_engines_that_start_together_are_measured_one_after_the_other(tmp_path: Path) -> None:
    done = measure(tmp_path, *SMALL, "--repeats", "1", "--tracing", "off", "--parallel-starts")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split("| ")[-1] for line in done.stdout.splitlines() if "| llama" in line]
    first, second = f"{ON}_trace-off_r1", f"{OFF}_trace-off_r1"
    assert lines.index(f"{second}: starting") < lines.index(f"{first}: measuring batch 1")
    assert lines.index(f"{first}: measuring batch 1") < lines.index(f"{second}: warming up batch 1")
    phases = [record(tmp_path, name)["phases_s"] for name in (first, second)]
    assert phases[1]["ready"] > phases[0]["warming up"] + phases[0]["measuring"]  # it waited for its turn
    devices = [record(tmp_path, name)["env"]["CUDA_VISIBLE_DEVICES"] for name in (first, second)]
    assert devices == ["0", "1"]


def test_a_sweep_stays_on_the_gpus_that_it_may_see(tmp_path: Path) -> None:
    flags = (*SMALL, "--graphs", "on", "--repeats", "1", "--tracing", "off")
    assert measure(tmp_path, *flags, CUDA_VISIBLE_DEVICES="1").returncode == 0
    found = record(tmp_path, f"{ON}_trace-off_r1")
    assert (found["env"]["CUDA_VISIBLE_DEVICES"], found["host"]["gpu_count"]) == ("1", 1)


def test_engines_may_be_measured_at_the_same_time_and_their_records_say_so(tmp_path: Path) -> None:
    flags = ("--repeats", "1", "--tracing", "off", "--parallel-starts", "--measure-together", "--windows", "40")
    done = measure(tmp_path, *SMALL, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    names = [f"{ON}_trace-off_r1", f"{OFF}_trace-off_r1"]
    lines = [line.split("| ")[-1] for line in done.stdout.splitlines() if "| llama" in line]
    measuring, exporting = (
        [lines.index(f"{name}: {phase}") for name in names] for phase in ("measuring batch 1", "exporting")
    )
    assert max(measuring) < min(exporting)
    assert [record(tmp_path, name)["beside_count"] for name in names] == [1, 1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_finished_cases_and_no_process(tmp_path: Path, number: signal.Signals) -> None:
    orphan = tmp_path / "orphan"
    extra = {"STANDIN_MISBEHAVE": "orphan", "STANDIN_WHEN": "generate", "STANDIN_ENGINE": "sglang"}
    flags = [
        "--live",
        "--no-report",
        "--tp",
        "1",
        "--graphs",
        "on",
        "--repeats",
        "1",
        "--tracing",
        "off",
        "--windows",
        "1",
    ]
    running = subprocess.Popen(
        command(tmp_path / "out", *flags),
        env=environment(STANDIN_ORPHAN=str(orphan), **extra),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (orphan.exists() and orphan.read_text().count(" ")) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [psutil.Process(int(pid)) for pid in orphan.read_text().split()]
    try:
        assert len(left) == 2 and all(process.is_running() for process in left)
        running.send_signal(number)
        _, errors = running.communicate(timeout=60)
    finally:
        for process in (psutil.Process(running.pid), *left) if running.poll() is None else ():
            process.kill()
    assert running.returncode == 130 and "the same command resumes" in errors
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert [path.name for path in (tmp_path / "out" / "cases").iterdir()] == [f"{ON}_trace-off_r1"]
    assert record(tmp_path / "out", f"{ON}_trace-off_r1")["outcome"] == "ok"


def test_live_without_a_gpu_is_an_error_that_says_what_is_missing(tmp_path: Path) -> None:
    done = measure(tmp_path, *SMALL, STANDIN_GPUS="0")
    assert done.returncode == 1 and "no NVIDIA GPU" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "cases").exists()


def test_live_without_an_engine_says_how_to_get_it(tmp_path: Path) -> None:
    done = measure(tmp_path, *SMALL, "--vllm-python", "/bin/false")
    assert done.returncode == 1 and "-m launch.install vllm" in done.stderr


def test_an_engine_that_hangs_at_its_end_has_been_measured_all_the_same(tmp_path: Path) -> None:
    flags = (*SMALL, "--graphs", "on", "--repeats", "1", "--tracing", "off", "--no-report")
    program = f"import sys; from study import runner, sweep; runner.CLOSING_S = 1; sys.exit(sweep.main({flags!r} + ("
    program += f"'--live', '--out', {str(tmp_path)!r}, '--vllm-python', sys.executable, '--nsys', 'none')))"
    done = run([sys.executable, "-c", program], STANDIN_MISBEHAVE="hang", STANDIN_WHEN="close")
    assert done.returncode == 0, done.stdout + done.stderr
    assert record(tmp_path, f"{ON}_trace-off_r1")["outcome"] == "ok"


def without(modules: tuple[str, ...], out: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a sweep where some modules are not installed."""
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r})); from study import sweep; sys.exit(sweep.main())"
    )
    return run([sys.executable, "-c", program, *command(out, *flags)[3:]])


def test_a_dry_run_needs_nothing_that_draws_or_reads_traces(tmp_path: Path) -> None:
    done = without((*DRAWING, *READING), tmp_path, "--dry-run", *SMALL)
    assert done.returncode == 0 and done.stdout.startswith("Plan for"), done.stderr


def test_what_draws_a_report_is_needed_before_a_live_study_or_with_no_report_never(tmp_path: Path) -> None:
    flags = ("--live", *SMALL, "--graphs", "on", "--repeats", "1", "--tracing", "off")
    refused = without(DRAWING, tmp_path, *flags)
    assert refused.returncode == 1 and "no module" in refused.stderr and "--no-report" in refused.stderr
    assert not (tmp_path / "cases").exists()
    done = without(DRAWING, tmp_path, *flags, "--no-report")
    assert done.returncode == 0 and record(tmp_path, f"{ON}_trace-off_r1")["outcome"] == "ok", done.stderr


def test_two_sweeps_do_not_share_a_folder(tmp_path: Path) -> None:
    tmp_path.joinpath("cases").mkdir()
    with (tmp_path / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = measure(tmp_path, *SMALL, "--tracing", "off")
    assert done.returncode == 1 and "another sweep is running" in done.stderr and "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = measure(tmp_path / "file" / "out", *SMALL, "--tracing", "off")
    assert done.returncode == 1 and "name another --out" in done.stderr and "Traceback" not in done.stderr


def test_a_study_of_which_nothing_can_run_is_an_error_with_every_reason(tmp_path: Path) -> None:
    done = measure(tmp_path, "--engines", "vllm", "--tp", "8", "--graphs", "on")
    assert done.returncode == 1 and "nothing to run" in done.stderr
    assert "skipped llama3-8b vllm tp8 graphs on: tp8 needs 8 GPUs, there are 2" in done.stdout


def test_a_checkpoint_that_is_not_there_is_named_before_anything_starts(tmp_path: Path) -> None:
    done = measure(tmp_path, *SMALL, "--checkpoint", str(tmp_path / "weights"))
    assert done.returncode == 1 and "weights holds no config.json" in done.stderr
    assert not (tmp_path / "cases").exists()


def test_a_gpu_that_is_not_this_host_s_is_refused_unless_it_is_a_dry_run(tmp_path: Path) -> None:
    done = measure(tmp_path, *SMALL, "--gpu", "rtx4090")
    assert done.returncode == 1 and "this host has NVIDIA H200" in done.stderr


def test_without_a_gpu_the_recorded_study_is_replayed_and_marked(replayed: Replayed, shipped: tuple[Path, ...]) -> None:
    done = replayed.done
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("Replaying the recorded study: no NVIDIA GPU")
    assert "RECORDED 2026-11-20 to 2026-11-22 on " in done.stdout and "4x NVIDIA H200" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("A replay shows what was recorded; without effect: --engines") and "no NVIDIA GPU" in last
    page = replayed.page.read_text()
    assert [folder.name for folder in shipped if folder.name not in page] == []
    assert "RECORDED" in page and "580.159.04" in page


def test_a_dry_run_on_this_host_refuses_what_is_not_there_and_names_it(tmp_path: Path) -> None:
    done = run(command(tmp_path, "--dry-run", *SMALL, "--checkpoint", str(tmp_path / "weights")))
    assert done.returncode == 1 and f"--checkpoint {tmp_path / 'weights'} holds no config.json" in done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr


def test_a_dry_run_for_another_host_only_warns_of_it_and_says_how_many_gpus_it_takes(tmp_path: Path) -> None:
    flags = ("--dry-run", *SMALL, "--gpu", "rtx4090", "--sglang-python", str(tmp_path / "python"))
    done = run(command(tmp_path, *flags), STANDIN_GPUS="0")
    assert done.returncode == 0 and f"warning: --sglang-python {tmp_path / 'python'} is no program" in done.stderr
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("Plan for 1 x rtx4090")
    assert second == "GPUs planned for: 1, for this host has none; --gpu-count N plans for N"
    named = run(command(tmp_path, *flags, "--gpu-count", "1"), STANDIN_GPUS="0")
    assert "GPUs planned for" not in named.stdout


def test_a_dry_run_warns_where_the_folder_holds_another_study(tmp_path: Path) -> None:
    spec = config.load("default", {"batches": "1,3"}).as_json()
    (tmp_path / "study.json").write_text(json.dumps({"format": FORMAT, "spec": spec}))
    for batches, warned in (("1,3", False), ("1", True)):
        flags = ("--dry-run", "--out", str(tmp_path), "--gpu", "h200", "--batches", batches)
        done = run([sys.executable, "-m", "study.sweep", *flags], STANDIN_GPUS="0")
        assert done.returncode == 0 and done.stdout.startswith("Plan for 1 x h200")
        said = f"warning: a run would be refused: {tmp_path} holds another study (batches: [1, 3] there, [1] now)"
        assert (said in done.stderr) is warned


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_a_study_that_serves_leaves_every_request_and_a_report(tmp_path: Path, trace, engine: str) -> None:
    (tmp_path / "lengths.csv").write_text("prompt_tokens,output_tokens\n8,5\n4,9\n")
    load = ("--workload", "serve", "--rates", "50", "--concurrency", "3", "--requests", "6", "--warmup-requests", "2")
    sizes = ("--lengths", str(tmp_path / "lengths.csv"), "--context", "64", "--sequences", "8", "--traced-steps", "64")
    out = tmp_path / "out"
    done = sweep(out, "--tp", "1", "--engines", engine, "--graphs", "on", "--repeats", "1", *load, *sizes,
                 STANDIN_TRACE=trace(engine, "on"))  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    name = f"llama3-8b_{engine}_tp1_graphs-on_serve"
    served, traced = (record(out, f"{name}_trace-{tracing}_r1") for tracing in ("off", "node"))
    assert [load["statuses"] for load in served["loads"]] == [{"ok": 6}] * 2
    assert "50 requests/s: 6 ok in" in done.stdout and "3 in flight: 6 ok in" in done.stdout
    rows = (out / "cases" / f"{name}_trace-off_r1" / "requests.jsonl").read_text().splitlines()
    assert len(rows) == 12 and {json.loads(row)["status"] for row in rows} == {"ok"}
    assert traced["files"]["traces"] == [{"batch": 0, "file": "trace_b0.sqlite"}] and traced["loads"] == []
    assert "## Under load" in (out / "report" / "report.md").read_text()
