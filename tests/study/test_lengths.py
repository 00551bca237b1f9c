"""Lengths to draw requests from: what ships, that its numbers are what its header says, and users' own files."""

from math import exp
from pathlib import Path
from statistics import NormalDist, fmean

import pytest

from study import lengths
from study.errors import StudyError

COUNT, STRIDE = 500, 189


def quantiles(mean_tokens: float, spread: float) -> list[int]:
    """Mid-quantiles of a log-normal, clipped to 4 and 1,024 and rounded, of which the mean is as near as it can be."""
    normal = [NormalDist().inv_cdf((i + 0.5) / COUNT) for i in range(COUNT)]

    def at(location: float) -> list[int]:
        return [round(min(max(exp(location + spread * z), 4), 1024)) for z in normal]

    low, high = 0.0, 8.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if fmean(at(middle)) < mean_tokens else (low, middle)
    return at(high)


def test_sharegpt_has_the_means_that_its_header_names() -> None:
    pairs = lengths.read("sharegpt")
    assert fmean(prompt for prompt, _ in pairs) == pytest.approx(215.196, abs=0.01)
    assert fmean(output for _, output in pairs) == pytest.approx(198.343, abs=0.01)


def test_sharegpt_is_made_as_its_header_says() -> None:
    prompts, outputs = quantiles(215.196, 1.5), quantiles(198.343, 1.2)
    made = tuple((prompts[i], outputs[STRIDE * i % COUNT]) for i in range(COUNT))
    assert lengths.read("sharegpt") == made


def test_sharegpt_stays_within_what_the_engines_benchmarks_keep() -> None:
    pairs = lengths.read("sharegpt")
    assert all(4 <= prompt <= 1024 and 4 <= output <= 1024 for prompt, output in pairs)
    assert lengths.longest_tokens(pairs) <= 2048


def test_its_source_and_what_was_assumed_stand_in_the_file() -> None:
    header = lengths.find("sharegpt").read_text()
    assert all(words in header for words in ("215,196", "198,343", "not lengths measured", "Assumed"))


def test_a_file_of_one_s_own_is_taken_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("prompt_tokens,output_tokens\n10,20\n3,4\n")
    assert lengths.read(str(tmp_path / "own.csv")) == ((10, 20), (3, 4))
    assert lengths.longest_tokens(((10, 20), (3, 4))) == 30


def test_an_unknown_name_is_answered_with_what_there_is() -> None:
    with pytest.raises(StudyError, match=r"unknown lengths 'sharegtp': did you mean 'sharegpt'\?.* path of a CSV file"):
        lengths.read("sharegtp")


def test_a_wrong_file_is_the_user_s_error_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("prompt_tokens,output_tokens\n10,twenty\n")
    with pytest.raises(StudyError, match=r"own.csv:2: found '10,twenty'; expected two whole numbers"):
        lengths.read(str(path))


def test_a_file_that_is_no_text_is_the_user_s_error(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError):
        lengths.read(str(tmp_path / "own.csv"))
