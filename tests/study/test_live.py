"""What a live run needs, what it lacks here, and what a record may say of the host."""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from launch import host
from study import config, live
from study.errors import StudyError
from study.spec import Spec
from tests.cases import CASE

SPEC = replace(
    config.load(), engines=("vllm", "sglang"), tracing=("off", "node"),
    python=(("vllm", Path(sys.executable)), ("sglang", Path(sys.executable))),
)  # fmt: skip


@pytest.fixture(autouse=True)
def gpu_host(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A host with two stand-in GPUs and both stand-in engines; gives the stand-in nsys."""
    standin = root / "tests" / "standin"
    monkeypatch.setenv("PATH", f"{standin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(standin / "engines"))
    monkeypatch.setenv("STANDIN_GPUS", "2")
    for remembered in (host.gpus, host.engine_versions):
        remembered.cache_clear()
    yield standin / "nsys"
    for remembered in (host.gpus, host.engine_versions):
        remembered.cache_clear()


def test_the_versions_of_the_engines_here_are_known_before_anything_is_planned(gpu_host: Path) -> None:
    assert live.tools(SPEC, gpu_host).versions == {"vllm": "0.33.0", "sglang": "0.5.23"}
    nowhere = replace(SPEC, python=(("vllm", Path("nowhere/python")),), engines=("vllm",))
    assert live.tools(nowhere, gpu_host).versions == {}


def test_a_host_with_everything_lacks_nothing(gpu_host: Path) -> None:
    assert live.missing(SPEC, live.tools(SPEC, gpu_host)) == ()


@pytest.mark.parametrize(
    ("variables", "changes", "words"),
    [
        pytest.param({"STANDIN_GPUS": "0"}, {}, "no NVIDIA GPU", id="no GPU"),
        pytest.param({}, {"python": (("vllm", Path("/bin/false")), *SPEC.python[1:])},
                     f"no vllm in /bin/false: {live.typed()} -m launch.install vllm", id="no engine"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_how_to_get_it(
    gpu_host: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], changes: dict[str, object], words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    spec = replace(SPEC, **changes)
    (found,) = live.missing(spec, live.tools(spec, gpu_host))
    assert found.startswith(words)


def test_nsys_is_needed_only_by_a_study_that_traces(tmp_path: Path) -> None:
    absent = tmp_path / "nsys"
    assert live.missing(SPEC, live.tools(SPEC, absent)) == (
        f"no nsys ({absent} does not run): {live.typed()} -m launch.install nsys",
    )
    untraced = replace(SPEC, tracing=("off",))
    assert live.missing(untraced, live.tools(untraced, absent)) == ()


def test_an_engine_s_interpreter_is_the_named_one_else_its_environment_here_else_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = replace(SPEC, python=())
    assert live.tools(spec, None).pythons == {"vllm": sys.executable, "sglang": sys.executable}
    (tmp_path / ".venv-vllm" / "bin").mkdir(parents=True)
    (tmp_path / ".venv-vllm" / "bin" / "python").touch()
    assert live.tools(spec, None).pythons == {"vllm": ".venv-vllm/bin/python", "sglang": sys.executable}
    named = replace(spec, python=(("vllm", Path("mine/python")),))
    assert live.tools(named, None).pythons["vllm"] == "mine/python"


def test_a_checkpoint_that_is_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    spec: Spec = replace(SPEC, checkpoint=tmp_path)
    with pytest.raises(StudyError, match=r"holds no config\.json"):
        live.check_checkpoint(spec)
    (tmp_path / "config.json").touch()
    live.check_checkpoint(spec)
    live.check_checkpoint(SPEC)


def test_an_interpreter_is_named_as_a_reader_types_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert live.typed(f"{tmp_path}/.venv/bin/python") == ".venv/bin/python"
    assert live.typed(f"{tmp_path}-other/my env/python") == f"'{tmp_path}-other/my env/python'"


def test_what_a_study_names_and_this_host_lacks_is_told_with_its_path(tmp_path: Path) -> None:
    assert live.absent(SPEC, Path(sys.executable)) == ()
    spec = replace(SPEC, checkpoint=tmp_path / "weights", python=(("vllm", tmp_path / "python"),))
    weights, python, nsys = live.absent(spec, tmp_path / "nsys")
    assert (
        weights == f"--checkpoint {tmp_path / 'weights'} holds no config.json; expected a folder of a model's weights"
    )
    assert python.startswith(f"--vllm-python {tmp_path / 'python'} is no program; expected the python of")
    assert nsys.startswith(f"--nsys {tmp_path / 'nsys'} is no program; expected nsys")


def test_a_record_says_what_hardware_and_versions_ran(gpu_host: Path) -> None:
    tools = live.tools(SPEC, gpu_host)
    found = live.facts(replace(CASE, tracing="node"), {"cuda": "13.0", "torch": "2.0+cu130"}, tools=tools)
    told = {key: found[key] for key in ("label", "gpu_name", "gpu_count", "driver", "cuda", "nsys", "torch")}
    assert told == {
        "label": "2x NVIDIA H200", "gpu_name": "NVIDIA H200", "gpu_count": 2, "driver": "000.00.standin",
        "cuda": "13.0", "nsys": "2000.1.1", "torch": "2.0+cu130",
    }  # fmt: skip
    assert found["engine_version"] == "0.33.0" and found["cpu_count"] == os.cpu_count()


def test_the_engine_s_own_word_on_versions_counts_before_that_of_its_environment(gpu_host: Path) -> None:
    tools = live.tools(SPEC, gpu_host)
    assert live.facts(CASE, {"engine_version": "9.9"}, tools=tools)["engine_version"] == "9.9"
    assert live.facts(CASE, {}, tools=tools)["torch"] == "2.0"


def test_an_untraced_record_names_no_nsys(gpu_host: Path) -> None:
    assert live.facts(CASE, {}, tools=live.tools(SPEC, gpu_host))["nsys"] is None


def test_a_record_has_nothing_to_say_of_the_machine_s_name_or_its_user(gpu_host: Path) -> None:
    assert set(live.facts(CASE, {}, tools=live.tools(SPEC, gpu_host))) == {
        "label", "gpu_name", "gpu_count", "driver", "cuda", "nsys", "python", "torch", "engine_version", "cpu",
        "cpu_count", "platform", "gpu_uuids", "links", "nccl", "governor", "harness_commit",
    }  # fmt: skip
