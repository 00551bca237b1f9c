import pytest

from analysis import words


@pytest.mark.parametrize(("number", "said"), [(0, "0 ranks"), (1, "1 rank"), (2, "2 ranks")])
def test_one_of_a_thing_is_not_several(number: int, said: str) -> None:
    assert words.counted(number, "rank") == said


@pytest.mark.parametrize("word", ["process", "launch"])
def test_what_ends_in_a_hiss_is_several_with_es(word: str) -> None:
    assert (words.counted(1, word), words.counted(3, word)) == (f"1 {word}", f"3 {word}es")


def test_a_study_is_several_with_ies() -> None:
    assert (words.counted(1, "study"), words.counted(2, "study")) == ("1 study", "2 studies")


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (64.0, "64 times"),
        (63.9444, "63.9 times"),
        (1.0, "once"),
        (0.982456, "once"),
        (1.0444, "once"),
        (0.0555556, "0.056 times"),
    ],
)
def test_times_are_told_with_as_many_figures_as_matter(times: float, said: str) -> None:
    assert words.often(times) == said


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.2, "2.20"), (2, "2.00"), (15.64, "15.6"), (0.8766, "0.877"), (99.96, "100"), (1234.5, "1234"), (1.005, "1.00")],
)
def test_gains_and_intervals_have_three_figures_whatever_the_number(value: float, text: str) -> None:
    assert words.three(value) == text


def test_a_number_has_the_figures_of_its_interval() -> None:
    assert words.interval(2.2, 2, 12.34) == "2.20 [2.00, 12.3]"
