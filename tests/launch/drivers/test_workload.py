"""What a serving client asks for: files of lengths, and requests and arrivals that a seed decides."""

import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from launch.drivers import workload


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_lengths_are_read_past_comments_and_empty_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "# made by hand\nprompt_tokens,output_tokens\n\n10,20\n# more\n30, 40\n")
    assert workload.read_lengths(path) == [(10, 20), (30, 40)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a.csv: it has no line; expected the header prompt_tokens,output_tokens"),
        ("prompt,output\n1,2\n", r"a.csv: found 'prompt,output'; expected the header"),
        ("prompt_tokens,output_tokens\n", r"a.csv: there is no line below the header"),
        ("prompt_tokens,output_tokens\n1,2\n# x\n3\n", r"a.csv:4: found '3'; expected two whole numbers"),
        ("prompt_tokens,output_tokens\n1,2,3\n", r"a.csv:2: found '1,2,3'; expected two whole numbers"),
        ("prompt_tokens,output_tokens\n1,x\n", r"a.csv:2: found '1,x'; expected two whole numbers"),
        (
            "prompt_tokens,output_tokens\n1,0\n",
            r"a.csv:2: found '1,0'; expected two whole numbers of tokens, 1 or more",
        ),
    ],
)
def test_a_wrong_file_of_lengths_is_named_with_its_line_and_what_was_expected(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        workload.read_lengths(write(tmp_path / "a.csv", text))


def test_requests_are_the_same_for_one_seed_and_others_for_another() -> None:
    lengths = [(5, 3), (50, 7)]
    once = workload.requests(lengths, count=30, vocabulary=128_256, seed="7 load 0")
    assert once == workload.requests(lengths, count=30, vocabulary=128_256, seed="7 load 0")
    assert once != workload.requests(lengths, count=30, vocabulary=128_256, seed="8 load 0")
    assert {(len(one.prompt), one.output_tokens) for one in once} == set(lengths)
    assert workload.requests(lengths, count=10, vocabulary=128_256, seed="7 load 0")[0].output_tokens in (3, 7)


def test_prompts_stay_within_the_vocabulary_and_off_its_ends() -> None:
    ids = {id for one in workload.requests([(900, 1)], count=20, vocabulary=1000, seed="0") for id in one.prompt}
    assert min(ids) == 100 and max(ids) == 799


def test_arrivals_are_poisson_at_the_rate_asked_for() -> None:
    times = list(itertools.islice(workload.arrivals(20.0, seed="1"), 4000))
    gaps = [late - early for early, late in itertools.pairwise([0.0, *times])]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(1 / 20, rel=0.05) and spread == pytest.approx(mean, rel=0.05)


def test_arrivals_are_the_same_for_one_seed_and_stretched_at_another_rate() -> None:
    def first(rate: float, seed: str) -> list[float]:
        return list(itertools.islice(workload.arrivals(rate, seed=seed), 5))

    assert first(4, "1") == first(4, "1") != first(4, "2")
    assert first(2, "1") == pytest.approx([2 * time for time in first(4, "1")])


def sharegpt(path: Path, *conversations: tuple[str, ...]) -> Path:
    turns = [{"conversations": [{"from": "x", "value": text} for text in texts]} for texts in conversations]
    return write(path, json.dumps(turns))


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tokenizer for which every word is a token."""

    def encode(text: str) -> SimpleNamespace:
        return SimpleNamespace(input_ids=text.split())

    auto = SimpleNamespace(from_pretrained=lambda _: encode)
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoTokenizer=auto))
    return Path("tokenizer")


def test_of_sharegpt_the_first_two_turns_count_where_their_lengths_are_usable(tmp_path: Path, tokenizer: Path) -> None:
    path = sharegpt(
        tmp_path / "share.json",
        ("a b c d e", "1 2 3 4", "later turns are left out"),
        ("nobody answered",),
        ("too short", "1 2 3 4"),
        ("a " * 1025, "1 2 3 4"),
        ("a " * 1024, "1 " * 1024),
        ("a " * 1024, "1 " * 1025),
    )
    assert workload.sharegpt_lengths(path, tokenizer) == [(5, 4), (1024, 1024)]


def test_a_file_that_is_no_sharegpt_or_leaves_nothing_is_said(tmp_path: Path, tokenizer: Path) -> None:
    with pytest.raises(ValueError, match=r"share.json: expected ShareGPT's list"):
        workload.sharegpt_lengths(write(tmp_path / "share.json", '[{"text": 1}]'), tokenizer)
    with pytest.raises(ValueError, match="none of 1 conversations has two turns of usable length"):
        workload.sharegpt_lengths(sharegpt(tmp_path / "share.json", ("a",)), tokenizer)
