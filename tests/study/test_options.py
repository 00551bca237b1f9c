"""The command line: every key has a flag, and flags reach the Spec."""

from pathlib import Path

import pytest

from study import config
from study.errors import StudyError
from study.options import parse, parser
from study.spec import rules


def test_without_flags_the_default_study_is_asked_for():
    options = parse([])
    assert options.spec == config.load()
    assert (options.study, options.nsys, options.argv) == ("default", None, ())
    assert not (options.dry_run or options.replay or options.live or options.retry_failed)


def test_every_key_of_a_study_has_a_flag_with_help():
    flags = {action.dest.partition(".")[0] for action in parser()._actions if action.help}
    assert set(rules()) <= flags


FLAGS = """
--study llama3-8b --engines sglang --models qwen2-7b,llama3-8b --tp 1,4 --graphs off --batches 2 --tracing graph
--traced-batches 3,4 --prompt-tokens 3 --output-tokens 4 --windows 5 --repeats 6 --traced-repeats 7 --traced-steps 80
--out o --seed 9 --vllm-python v/python --sglang-python s/python --nsys n/nsys --gpu h100 --gpu-count 2 --timeout 10
--parallel-starts --dry-run --live --retry-failed --no-report --language zh
"""
ARGV = FLAGS.split()


def test_every_flag_reaches_its_place():
    options = parse(ARGV)
    spec = options.spec
    assert (spec.engines, spec.models, spec.tp, spec.graphs) == (
        ("sglang",),
        ("qwen2-7b", "llama3-8b"),
        (1, 4),
        ("off",),
    )
    assert (spec.batches, spec.prompt_tokens, spec.output_tokens, spec.windows) == ((2,), 3, 4, 5)
    assert (spec.repeats, spec.traced_repeats, spec.traced_steps, spec.tracing) == (6, 7, 80, ("graph",))
    assert spec.traced_batches == (3, 4)
    assert (spec.out, spec.seed, spec.timeout_s, spec.parallel_starts) == (Path("o"), 9, 10, True)
    assert (spec.gpu, spec.gpu_count) == ("h100", 2)
    assert spec.python == (("vllm", Path("v/python")), ("sglang", Path("s/python")))
    assert (options.nsys, options.study, options.argv) == (Path("n/nsys"), "llama3-8b", tuple(ARGV))
    assert (options.dry_run, options.replay, options.live, options.retry_failed) == (True, False, True, True)
    assert not options.report and parse([]).report
    assert (options.language, parse([]).language) == ("zh", None)


def test_a_checkpoint_is_for_one_model():
    assert parse(["--checkpoint", "weights", "--models", "qwen2-7b"]).spec.checkpoint == Path("weights")
    with pytest.raises(StudyError, match="weights of one model"):
        parse(["--checkpoint", "weights", "--models", "qwen2-7b,llama3-8b"])


def test_a_switch_of_the_study_file_can_be_turned_off(tmp_path):
    study = tmp_path / "mine.toml"
    study.write_text("parallel_starts = true", encoding="utf-8")
    assert parse(["--study", str(study)]).spec.parallel_starts
    assert not parse(["--study", str(study), "--no-parallel-starts"]).spec.parallel_starts


@pytest.mark.parametrize("argv", [["--replay", "--live"], ["--models"], ["--model", "llama3-8b"], ["--tps", "1"]])
def test_a_command_line_that_makes_no_sense_is_refused(argv, capsys):
    with pytest.raises(SystemExit, match="1"):
        parse(argv)
    assert "error" in capsys.readouterr().err
