"""What a Spec promises: rules for every key, JSON that survives a round trip; and the names of cases."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from study import config
from study.gpus import find
from study.plan import plan
from study.spec import CONTEXT_MARGIN_TOKENS, Spec, rules


@pytest.fixture
def spec() -> Spec:
    return config.load()


def test_every_key_says_what_it_means():
    assert all(rule.help for rule in rules().values())
    assert list(rules())[:3] == ["engines", "models", "tp"]


def test_a_spec_as_json_is_what_reading_it_back_gives(spec):
    spec = replace(spec, python=(("vllm", Path("/opt/vllm/bin/python")),), checkpoint=Path("weights"))
    written = spec.as_json()
    assert json.loads(json.dumps(written)) == written
    assert written["python"] == {"vllm": "/opt/vllm/bin/python"}
    assert (written["tp"], written["checkpoint"], written["gpu"]) == ([1, 2, 4, 8], "weights", None)


def test_only_a_named_interpreter_is_known(spec):
    spec = replace(spec, python=(("vllm", Path("v/python")),))
    assert spec.python_of("vllm") == Path("v/python")
    assert spec.python_of("sglang") is None


@pytest.mark.parametrize(
    ("output_tokens", "tracing", "tokens"),
    [
        pytest.param(128, ("off", "node"), 100 + 128, id="the window is longer than the trace"),
        pytest.param(32, ("off", "node"), 100 + 64, id="the trace is longer than the window"),
        pytest.param(32, ("off",), 100 + 32, id="there is no trace"),
    ],
)
def test_the_longest_sequence_counts_whichever_kind_of_start_decodes_more(spec, output_tokens, tracing, tokens):
    spec = replace(spec, prompt_tokens=100, output_tokens=output_tokens, tracing=tracing, traced_steps=64)
    assert spec.sequence_tokens == tokens + CONTEXT_MARGIN_TOKENS


def test_no_two_cases_of_a_study_share_a_name(spec):
    cases = plan(spec, find("h200"), 8).cases
    assert cases[0].name == "llama3-8b_vllm_tp1_graphs-on_trace-off_r1"
    assert len({case.name for case in cases}) == len(cases)
