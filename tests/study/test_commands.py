"""The command lines of a case: what they say, that they paste, and that a dry run shows the very same."""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launch.drivers import decode, serve
from launch.engines import ENGINES
from launch.engines.versions import Known
from study import commands, live, models, sweep
from study.commands import Command, Tools
from study.spec import Case, Serving
from tests.cases import CASE

PYTHONS = {"vllm": "v/bin/python", "sglang": "s/bin/python", "hf": "h/bin/python"}
TOOLS = Tools(pythons=PYTHONS, nsys="tools/nsys", timeout_s=60)
FOLDER = Path("out/study/cases/one")


def command(case: Case = CASE, **changes: Any) -> Command:
    given = {"tools": TOOLS, "folder": FOLDER, "gpus": [0], "go": None, **changes}
    return commands.run(case, model=models.load(case.model), **given)


def driver_arguments(argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Any:
    script = next(index for index, word in enumerate(argv) if word.endswith("decode.py"))
    monkeypatch.setattr("sys.argv", list(argv[script:]))
    return decode._arguments()


@pytest.mark.parametrize("tracing", ["off", "node"])
@pytest.mark.parametrize("engine", list(ENGINES))
def test_the_driver_understands_every_command_as_the_case_means_it(
    engine: str, tracing: str, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.chdir(root)
    case = replace(CASE, engine=engine, tracing=tracing, seed=5)
    args = driver_arguments(command(case).argv, monkeypatch)
    assert args.engine_args == ENGINES[engine].options(case, "data/models/llama3-8b")
    assert (args.engine, args.batches, args.prompt_tokens, args.output_tokens) == (engine, [1, 8], 128, 64)
    assert (args.vocabulary, args.seed, args.events, args.go) == (128_256, 5, FOLDER / "events.jsonl", None)
    assert (args.windows, args.traced_steps) == ((3, 0) if tracing == "off" else (0, 64))


def test_only_a_traced_case_runs_under_nsys_with_a_window_a_batch(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    plain, traced = command().argv, command(replace(CASE, tracing="graph")).argv
    assert plain[:2] == ("v/bin/python", "launch/drivers/decode.py")
    assert traced[:2] == ("tools/nsys", "profile")
    wanted = {"--cuda-graph-trace=graph", "--capture-range-end=repeat:2", f"--output={FOLDER}/trace"}
    assert wanted <= set(traced)
    assert traced[traced.index("v/bin/python") + 1] == "launch/drivers/decode.py"


def test_the_go_is_named_only_where_the_measurement_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--go" not in command().argv
    held = command(go=FOLDER / "go")
    assert driver_arguments(held.argv, monkeypatch).go == FOLDER / "go"


def test_the_gpus_and_the_engine_s_variables_are_all_that_is_set() -> None:
    found = command(gpus=[2, 3]).env
    assert found == {**ENGINES["vllm"].ENVIRONMENT, "CUDA_VISIBLE_DEVICES": "2,3"}


def test_a_checkpoint_stands_in_for_the_model_s_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    args = driver_arguments(command(replace(CASE, checkpoint="my weights/llama")).argv, monkeypatch)
    assert args.engine_args["model"] == "my weights/llama"


def test_the_project_s_own_files_are_named_from_where_one_stands(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    assert not [word for word in command(replace(CASE, tracing="node")).argv if "=/" in word or word.startswith("/")]
    assert str(root) not in " ".join(command().argv)
    monkeypatch.chdir(tmp_path)
    driver = Path(command().argv[1])
    assert not driver.is_absolute() and driver.resolve() == root / "launch" / "drivers" / "decode.py"


@pytest.mark.parametrize(("batches", "reports"), [((4,), ["trace"]), ((4, 1), ["trace.1", "trace.2"])])
def test_every_report_is_exported_under_the_name_of_its_batch(batches: tuple[int, ...], reports: list[str]) -> None:
    made = commands.exports(replace(CASE, tracing="node", batches=batches), tools=TOOLS, folder=FOLDER)
    assert [(batch, sqlite) for batch, sqlite, _ in made] == [(b, FOLDER / f"trace_b{b}.sqlite") for b in batches]
    assert [argv[-1] for _, _, argv in made] == [f"{FOLDER}/{report}.nsys-rep" for report in reports]
    assert [argv[-2] for _, _, argv in made] == [f"--output={FOLDER}/trace_b{batch}.sqlite" for batch in batches]


def test_an_untraced_case_exports_nothing() -> None:
    assert commands.exports(CASE, tools=TOOLS, folder=FOLDER) == ()


@pytest.mark.parametrize("awkward", ["plain", "with space", 'quote"s', "dollar$HOME", "star*", "it's"])
def test_a_shell_line_is_read_back_as_the_very_command(awkward: str) -> None:
    made = command(replace(CASE, checkpoint=awkward), folder=Path(awkward))
    words = shlex.split(made.shell())
    assert words[0] == "env" and words[-len(made.argv) :] == list(made.argv)
    assert dict(word.split("=", 1) for word in words[1 : -len(made.argv)]) == made.env


def test_a_dry_run_shows_lines_that_paste_wherever_the_study_lies(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    out = tmp_path / "my [old] study: it's"
    case = shlex.split("--tp 1 --engines vllm --graphs on --tracing node --gpu h200 --gpu-count 1")
    tools = shlex.split("--nsys tools/nsys --vllm-python v/python")
    assert sweep.main(["--dry-run", *case, *tools, "--out", str(out)]) == 0
    shown = capsys.readouterr().out.splitlines()
    first = next(index for index, line in enumerate(shown) if line.startswith("# llama3-8b_vllm"))
    make, run, export = (shlex.split(line) for line in shown[first + 1 : first + 4])
    place = out / "cases" / "llama3-8b_vllm_tp1_graphs-on_trace-node_r1"
    assert make == ["mkdir", "-p", str(place)]
    assert run[0] == "env" and "tools/nsys" in run and f"--output={place}/trace" in run
    assert json.loads(run[run.index("--engine-args") + 1])["model"] == "data/models/llama3-8b"
    assert export[:2] == ["tools/nsys", "export"] and export[-1] == f"{place}/trace.nsys-rep"
    assert not out.exists()


def test_a_command_speaks_to_the_version_that_is_there_and_a_dry_run_to_the_newest_known(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    case = replace(CASE, engine="sglang", graphs="off")
    old = command(case, tools=replace(TOOLS, versions={"sglang": "0.5.13"}))
    assert driver_arguments(old.argv, monkeypatch).engine_args["disable_cuda_graph"] is True
    assert driver_arguments(command(case).argv, monkeypatch).engine_args["disable_decode_cuda_graph"] is True


def test_the_variables_of_a_case_are_those_of_its_settings_and_version() -> None:
    fair = replace(CASE, settings="fair")
    assert command(fair, tools=replace(TOOLS, versions={"vllm": "0.22.1"})).env["VLLM_USE_V2_MODEL_RUNNER"] == "0"
    assert command(fair).env["VLLM_USE_V2_MODEL_RUNNER"] == "1"
    assert "VLLM_USE_V2_MODEL_RUNNER" not in command().env


SERVED = replace(
    CASE,
    batches=(),
    serving=Serving(
        rates=(3.5,), concurrency=(16,), requests=40, warmup_requests=4, lengths="sharegpt", sequences=64, context=2048
    ),
)


@pytest.mark.parametrize("tracing", ["off", "node"])
def test_the_serving_driver_understands_every_command_as_the_case_means_it(
    tracing: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    argv = command(replace(SERVED, tracing=tracing)).argv
    at = argv.index("launch/drivers/serve.py")
    monkeypatch.setattr(sys, "argv", list(argv[at:]))
    args = serve._arguments()
    measured = [{"rate": 3.5, "requests": 40}, {"concurrency": 16, "requests": 40}]
    assert args.loads == (measured if tracing == "off" else [{"concurrency": 16, "requests": 0}])
    assert (args.lengths, args.warmup_requests) == (Path("data/lengths/sharegpt.csv"), 4)
    assert (args.requests, args.traced_steps) == (FOLDER / "requests.jsonl", 0 if tracing == "off" else 64)
    assert args.engine_args["max_num_seqs"] == 64 and args.engine_args["max_model_len"] == 4096


def test_a_load_point_by_rate_may_last_so_many_seconds_and_a_closed_loop_counts_requests() -> None:
    assert SERVED.serving
    timed = replace(SERVED.serving, rates=(3.5, 0.01), load_s=10)
    assert timed.loads(measured=True) == [
        {"rate": 3.5, "requests": 35}, {"rate": 0.01, "requests": 1}, {"concurrency": 16, "requests": 40},
    ]  # fmt: skip


def test_a_served_trace_has_one_window_of_no_one_batch() -> None:
    ((batch, sqlite, _),) = commands.exports(replace(SERVED, tracing="node"), tools=TOOLS, folder=FOLDER)
    assert (batch, sqlite.name) == (0, "trace_b0.sqlite")
    assert "--capture-range-end=stop" in command(replace(SERVED, tracing="node")).argv


@pytest.mark.parametrize(("newest", "said"), [("0.32.0", True), ("0.33.0", False)])
def test_a_version_newer_than_known_is_said_before_the_plan(
    newest: str, said: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live.host, "engine_versions", lambda python, package: {package: "0.33.0"})
    known = Known(engine="vLLM", oldest="0.20.0", newest=newest)
    monkeypatch.setattr(ENGINES["vllm"], "VERSIONS", known)
    assert sweep.main(["--dry-run", *shlex.split("--tp 1 --engines vllm --gpu h200 --gpu-count 1")]) == 0
    words = "vLLM 0.33.0 is newer than 0.32.0, up to which its flags are known; the cases say whether it did as asked"
    assert (words in capsys.readouterr().out) == said


def test_a_version_older_than_known_leaves_nothing_to_plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live.host, "engine_versions", lambda python, package: {package: "0.19.1"})
    assert sweep.main(["--dry-run", *shlex.split("--tp 1 --engines vllm --gpu h200 --gpu-count 1")]) == 0
    shown = capsys.readouterr().out
    assert "vLLM 0.19.1 is older than 0.20.0" in shown and "0 run, as 0 cases; 2 skipped" in shown
