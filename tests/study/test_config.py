"""Study files and flags: layering, and every way of getting one wrong."""

from pathlib import Path

import pytest

from launch.engines import ENGINES as LAUNCHABLE
from study import config
from study.errors import StudyError
from study.spec import ENGINES, rules


@pytest.fixture
def write(tmp_path):
    def write_study(text: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write_study


@pytest.mark.parametrize("name", config.names())
def test_every_study_that_ships_loads(name):
    assert config.load(name).out == Path("out") / name


def test_the_llama3_8b_study_is_the_full_matrix():
    spec = config.load("llama3-8b")
    assert (spec.engines, spec.models, spec.tp) == (("vllm", "sglang"), ("llama3-8b",), (1, 2, 4, 8))
    assert (spec.graphs, spec.batches, spec.batches_of("node")) == (("on", "off"), (1, 16), (1,))
    assert (spec.tracing, spec.repeats, spec.traced_repeats) == (("off", "node"), 3, 1)


def test_the_default_study_names_every_key_that_needs_a_value():
    text = config.find("default").read_text(encoding="utf-8")
    optional = {
        "layouts", "places", "rates", "concurrency", "ttft_limit_ms", "tpot_limit_ms", "traced_batches", "captured",
        "kv_tokens", "load_s", "out", "checkpoint", "gpu", "gpu_count", "python",
    }  # fmt: skip
    assert {key for key in rules() if f"\n{key} = " in f"\n{text}"} == set(rules()) - optional


def test_every_engine_that_can_be_asked_for_can_be_launched():
    assert set(ENGINES) == set(LAUNCHABLE)


def test_a_file_overrides_the_default_study_and_a_flag_overrides_the_file(write):
    study = write('tp = [2]\nseed = 7\nout = "there"\n[python]\nvllm = "v/python"\nsglang = "s/python"')
    spec = config.load(study, {"seed": "8", "batches": "1, 4", "python": {"vllm": "~/python"}})
    assert (spec.tp, spec.seed, spec.batches, spec.out) == ((2,), 8, (1, 4), Path("there"))
    assert spec.graphs == config.load().graphs
    assert spec.python_of("vllm") == Path.home() / "python"
    assert spec.python_of("sglang") == Path("s/python")


def test_a_study_without_an_output_folder_gets_one_of_its_own_name(write):
    assert config.load(write("")).out == Path("out/mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "batch = [1]", r"mine\.toml: batch: unknown key 'batch': did you mean 'batches'\?", id="unknown key"
        ),
        pytest.param("tp = 4", r"tp: found 4, expected a list of integers, at least 1", id="a number for a list"),
        pytest.param('tp = ["4"]', r"tp: found \['4'\], expected a list of integers", id="a list of texts"),
        pytest.param("tp = [true]", r"tp: found \[True\], expected a list of integers", id="a boolean is no integer"),
        pytest.param("tp = [2, 0]", "tp: found 0, expected at least 1", id="no GPUs"),
        pytest.param("tp = []", "tp: found an empty list", id="nothing"),
        pytest.param("tp = [1, 2, 1]", "tp: found 1 twice", id="twice"),
        pytest.param(
            'engines = ["vlm"]', r"engines: unknown value 'vlm': did you mean 'vllm'\? allowed: vllm, sglang", id="word"
        ),
        pytest.param(
            'models = "llama3-8b"', "models: found 'llama3-8b', expected a list of texts", id="a text for a list"
        ),
        pytest.param('tracing = ["nodes"]', "tracing: unknown value 'nodes': did you mean 'node'", id="tracing"),
        pytest.param("graphs = [true]", r"graphs: found \[True\], expected a list of texts, of: on, off", id="graphs"),
        pytest.param("traced_steps = 63", "traced_steps: found 63, expected at least 64", id="short traces"),
        pytest.param("repeats = 2.5", "repeats: found 2.5, expected an integer, at least 1", id="a fraction"),
        pytest.param("repeats = 0", "repeats: found 0, expected at least 1", id="no repeats"),
        pytest.param("seed = -1", "seed: found -1, expected at least 0", id="seed"),
        pytest.param("out = 3", "out: found 3, expected a path as text", id="path"),
        pytest.param("parallel_starts = 1", "parallel_starts: found 1, expected true or false", id="switch"),
        pytest.param('gpu = "h20"', "gpu: unknown value 'h20': did you mean 'h200'", id="GPU"),
        pytest.param(
            '[python]\nvlm = "p"', r"python: unknown value 'vlm': did you mean 'vllm'", id="an engine's python"
        ),
        pytest.param("[python]\nvllm = 3", r"python: found \{'vllm': 3\}, expected a table of paths", id="no path"),
        pytest.param("tp = [", "is not a readable TOML file: ", id="not TOML"),
        pytest.param(
            'checkpoint = "w"\nmodels = ["llama3-8b", "qwen2-7b"]',
            "checkpoint w holds the weights of one model",
            id="weights",
        ),
    ],
)
def test_a_mistake_in_a_file_is_named_with_what_is_allowed(write, text, message):
    with pytest.raises(StudyError, match=message):
        config.load(write(text))


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("tp", "1,x", r"--tp: found '1,x', expected a list of integers, at least 1$"),
        ("tp", "4,tp4dpa2", "expected a list of integers, at least 1; tp4dpa2 is the name of .*: give it to --layouts"),
        ("tp", "", "--tp: found an empty list"),
        ("out", "", "--out: found an empty name, expected a path"),
        ("prompt_tokens", "many", "--prompt-tokens: found 'many', expected an integer, at least 1"),
        ("timeout_s", "0", "--timeout: found 0, expected at least 1"),
        ("models", "llama3-8b,qwen2", "--models: unknown value 'qwen2': did you mean 'qwen2-"),
    ],
)
def test_a_mistake_in_a_flag_is_named_as_a_flag(key, text, message):
    with pytest.raises(StudyError, match=message):
        config.load(flags={key: text})


def test_all_mistakes_in_a_file_and_in_flags_are_told_at_once_a_line_each(write):
    study = write('batch = [1]\ntp = [0, 2, -1, 2]\nout = 3\nmodels = ["llama3-8b"]')
    with pytest.raises(StudyError) as told:
        config.load(study, {"seed": "-1", "tp": "x", "engines": "vllm,vlm"})
    said, *lines = str(told.value).splitlines()
    assert said == "8 mistakes in what was asked for:"
    assert [line.split(": found")[0].split(": unknown")[0] for line in lines] == [
        f"  {study}: batch", *[f"  {study}: tp"] * 3, f"  {study}: out", "  --seed", "  --tp", "  --engines",
    ]  # fmt: skip
    assert lines[1:4] == [
        f"  {study}: tp: found 0, expected at least 1",
        f"  {study}: tp: found -1, expected at least 1",
        f"  {study}: tp: found 2 twice, expected each value once",
    ]


def test_what_values_cannot_be_together_is_told_at_once_too():
    flags = {"workload": "serve", "context": "16", "checkpoint": "w", "models": "llama3-8b,qwen2-7b"}
    with pytest.raises(StudyError) as told:
        config.load(flags=flags)
    said, *lines = str(told.value).splitlines()
    assert said == "3 mistakes in what was asked for:"
    assert [line.split()[0] for line in lines] == ["workload", "context:", "checkpoint"]


def test_one_mistake_is_told_in_one_line(write):
    with pytest.raises(StudyError, match=r"^--seed: found -1, expected at least 0$"):
        config.load(write("tp = [2]"), {"seed": "-1"})


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("llama3", r"unknown study 'llama3': did you mean 'llama3-8b'\?"),
        (
            "nowhere/mine.toml",
            f"nowhere/mine.toml does not exist; the ones that ship: {', '.join(config.names())}",
        ),
    ],
)
def test_a_study_that_does_not_exist_is_answered_with_those_that_do(study, message):
    with pytest.raises(StudyError, match=message):
        config.load(study)


def test_a_trace_of_a_batch_without_a_graph_is_refused_before_it_contradicts_its_label():
    flags = {"batches": "8,17", "captured": "8,16", "tracing": "off,node"}
    with pytest.raises(StudyError, match=r"traced_batches: found 17, but graphs are captured for batches up to 16"):
        config.load(flags=flags)
    assert config.load(flags={**flags, "traced_batches": "8"}).captured == (8, 16)
    assert config.load(flags={**flags, "graphs": "off"}).batches == (8, 17)


@pytest.mark.parametrize("study", config.names())
def test_every_study_that_ships_can_be_loaded(study):
    assert config.load(study).models


def test_rates_are_numbers_of_either_kind():
    assert config.load(flags={"workload": "serve", "rates": "3.5,11"}).rates == (3.5, 11.0)


@pytest.mark.parametrize("rates", ["fast", "0", "-1", "inf", "nan"])
def test_a_rate_that_is_none_is_told(rates):
    with pytest.raises(StudyError, match=r"--rates: found .*expected"):
        config.load(flags={"workload": "serve", "rates": rates})


def test_serving_needs_a_load():
    with pytest.raises(StudyError, match="no load to serve at; give rates"):
        config.load(flags={"workload": "serve"})
    assert config.load(flags={"workload": "serve", "concurrency": "16"}).concurrency == (16,)
    with pytest.raises(StudyError, match="no load to serve at"):
        config.load(flags={"workload": "serve", "places": "llama3-8b tp1 2,qwen2-7b tp1"})
