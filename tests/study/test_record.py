"""The study folder: cases whole or absent, records without the environment, and one study a folder."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from study import config, record
from study.errors import StudyError
from study.record import StudyFolder
from tests.cases import CASE

DETAILS = {"plan": {"cases": [CASE.name], "skips": []}}


class Killed(BaseException):
    """What the process's end would be at that point."""


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / "study")


def be_killed(*_: object, **__: object) -> None:
    raise Killed


def test_a_finished_case_is_its_record_and_its_files(folder: StudyFolder) -> None:
    (folder.begin(CASE) / "samples.csv").write_text("batch\n")
    final = folder.finish(CASE, {"outcome": "ok", "asked": record.asked(CASE)})
    assert final == folder.root / "cases" / CASE.name
    assert sorted(path.name for path in final.iterdir()) == ["case.json", "samples.csv"]
    written = json.loads((final / "case.json").read_text())
    assert (written["format"], written["name"], written["outcome"]) == (record.FORMAT, CASE.name, "ok")
    assert written["asked"] == {**vars(CASE), "batches": [1, 8]}
    assert [path.name for path in folder.cases.iterdir()] == [CASE.name]
    assert folder.outcome(CASE) == "ok"


@pytest.mark.parametrize("moment", ["replace", "rename"])
def test_a_case_cut_off_while_it_is_recorded_is_absent_and_can_begin_anew(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    (folder.begin(CASE) / "samples.csv").write_text("of the first\n")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, moment, be_killed)
        folder.finish(CASE, {"outcome": "ok"})
    assert folder.outcome(CASE) is None
    assert not [path for path in folder.cases.iterdir() if not path.name.startswith(".")]
    assert list(folder.begin(CASE).iterdir()) == []
    folder.finish(CASE, {"outcome": "ok"})
    assert folder.outcome(CASE) == "ok"


def test_a_case_that_is_made_again_replaces_its_failure_whole(folder: StudyFolder) -> None:
    (folder.begin(CASE) / "engine.log").write_text("out of memory\n")
    folder.finish(CASE, {"outcome": "failed"})
    folder.begin(CASE)
    assert folder.outcome(CASE) == "failed"
    final = folder.finish(CASE, {"outcome": "ok"})
    assert folder.outcome(CASE) == "ok" and [path.name for path in final.iterdir()] == ["case.json"]


def test_an_interrupted_case_is_removed_and_the_finished_stay(folder: StudyFolder) -> None:
    folder.begin(CASE)
    folder.finish(CASE, {"outcome": "ok"})
    other = replace(CASE, repeat=2)
    folder.begin(other)
    folder.discard(other)
    assert [path.name for path in folder.cases.iterdir()] == [CASE.name]


def test_a_file_is_the_old_one_or_the_whole_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "study.json"
    record.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        record.write_json(path, {"a": 2, "b": object()})
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(record.os, "fsync", be_killed)
        record.write_json(path, {"a": 3})
    assert record.read_json(path) == {"a": 1}


def test_of_the_environment_only_what_is_listed_is_kept() -> None:
    environment = {
        "CUDA_VISIBLE_DEVICES": "0,1", "NCCL_P2P_DISABLE": "1", "HF_TOKEN": "secret", "USER": "someone", "PATH": "/bin",
        "VLLM_API_KEY": "secret", "NCCL_SOCKET_IFNAME": "eth0", "HOME": "/home/someone", "CUDA_HOME": "/usr/local/cuda",
    }  # fmt: skip
    assert record.kept_environment(environment) == {"CUDA_VISIBLE_DEVICES": "0,1", "NCCL_P2P_DISABLE": "1"}


def test_a_study_resumes_where_only_place_and_means_have_changed(folder: StudyFolder) -> None:
    spec = config.load()
    folder.open(spec.as_json(), DETAILS)
    moved = replace(
        spec, out=Path("elsewhere"), python=(("vllm", Path("other/python")),), timeout_s=1, gpu="h200", gpu_count=2,
        parallel_starts=not spec.parallel_starts,
    )  # fmt: skip
    folder.open(moved.as_json(), DETAILS)
    assert record.read_json(folder.root / "study.json")["spec"] == moved.as_json()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("engines", ("vllm",)), ("models", ("qwen3-8b",)), ("tp", (1,)), ("graphs", ("on",)), ("batches", (3,)),
        ("prompt_tokens", 9), ("output_tokens", 9), ("windows", 9), ("repeats", 1), ("layouts", ("tp2",)),
        ("traced_steps", 99), ("tracing", ("off",)), ("traced_batches", (1,)), ("seed", 9), ("checkpoint", Path("w")),
        ("compile", ("on",)), ("captured", (4,)),
    ],
)  # fmt: skip
def test_a_study_that_measures_something_else_is_refused_by_name(folder: StudyFolder, key: str, value: object) -> None:
    spec = config.load()
    folder.open(spec.as_json(), DETAILS)
    before = (folder.root / "study.json").read_text()
    with pytest.raises(StudyError, match=rf"another study \({key}: "):
        folder.open(replace(spec, **{key: value}).as_json(), DETAILS)
    assert (folder.root / "study.json").read_text() == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("engines", ("sglang", "hf", "vllm")), ("models", ("qwen3-8b", "llama3-8b")), ("tp", (8, 4, 2, 1, 16)),
        ("tracing", ("graph", "node", "off")), ("repeats", 4), ("traced_repeats", 2),
    ],
)  # fmt: skip
def test_a_study_may_ask_for_more_of_what_its_folder_holds(folder: StudyFolder, key: str, value: object) -> None:
    spec = config.load()
    folder.open(spec.as_json(), DETAILS)
    more = replace(spec, **{key: value})
    folder.open(more.as_json(), DETAILS)
    assert record.read_json(folder.root / "study.json")["spec"] == more.as_json()


def test_a_study_from_before_a_key_existed_resumes_where_the_key_has_its_default(folder: StudyFolder) -> None:
    spec = config.load()
    older = {key: value for key, value in spec.as_json().items() if key not in ("compile", "captured")}
    folder.open(older, DETAILS)
    folder.open(spec.as_json(), DETAILS)
    with pytest.raises(StudyError, match="another study \\(compile: "):
        folder.open(replace(spec, compile=("off",)).as_json(), DETAILS)


def test_every_key_of_a_study_either_may_change_or_is_compared(folder: StudyFolder) -> None:
    assert set(vars(config.load())) - record.MAY_CHANGE == {
        "engines", "models", "tp", "graphs", "batches", "prompt_tokens", "output_tokens", "windows", "repeats",
        "traced_repeats", "traced_steps", "tracing", "traced_batches", "seed", "checkpoint", "compile", "captured",
        "layouts", "places", "settings", "workload", "rates", "concurrency", "requests", "warmup_requests", "lengths",
        "sequences", "context", "ttft_limit_ms", "tpot_limit_ms", "kv_tokens",
        "load_s",
    }  # fmt: skip


@pytest.mark.parametrize("content", ['{"outcome": "ok"', "", "[]", "\x00\x01", "{}"])
def test_a_damaged_record_is_an_error_that_names_its_file(folder: StudyFolder, content: str) -> None:
    path = folder.case(CASE) / "case.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(StudyError) as caught:
        folder.outcome(CASE)
    assert str(path) in str(caught.value) and "expected" in str(caught.value)


def test_bytes_that_are_no_text_are_a_damaged_record_too(folder: StudyFolder) -> None:
    path = folder.case(CASE) / "case.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"outcome": "\xff"}')
    with pytest.raises(StudyError, match=r"case\.json"):
        folder.outcome(CASE)


def test_a_damaged_study_file_is_an_error_that_names_it(folder: StudyFolder) -> None:
    folder.root.mkdir()
    (folder.root / "study.json").write_text("{}")
    with pytest.raises(StudyError, match=r"study\.json"):
        folder.open(config.load().as_json(), DETAILS)
