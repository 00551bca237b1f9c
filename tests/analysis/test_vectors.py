"""An SVG is told in fewer letters, and is the same picture."""

import pytest

from analysis.vectors import small


@pytest.mark.parametrize(
    ("outline", "told"),
    [
        ("M 2 5 L 4 8 L 5 7 z", "m2 5l2 3 1-1z"),
        ("M 2 5 L 9 5 L 9 1 L 9 0", "m2 5h7v-4-1"),
        ("M 0 0 Q 1 2 3 3 C 4 4 5 5 2 1 z", "m0 0q1 2 3 3c1 1 2 2-1-2z"),
        ("M 5 5 L 6 6 z M 1 1 L 2 3 z", "m5 5l1 1zm-4-4l1 2z"),
    ],
)
def test_the_points_of_a_letter_are_told_each_from_the_one_before_it(outline: str, told: str) -> None:
    assert small(f'<path id="a" d="{outline}"/>') == f'<path id="a" d="{told}"/>'


def test_lines_of_a_figure_keep_their_places_to_a_hundredth_of_a_point() -> None:
    assert small('<path d="M 1.23456 2 \nL 10.999 3.5 \n"/>') == '<path d="M1.23 2L11 3.5"/>'


def test_letters_are_shifted_by_less_and_what_is_not_drawn_is_left_out() -> None:
    text = """<?xml version="1.0"?>
 <!-- a --> <g id="text_1">
  <use xlink:href="#DejaVuSans-51" transform="translate(532.666 0)"/>
  <use xlink:href="#NotoSansCJKsc-Regular-13a" transform="translate(600.02 0)"/>
  <use xlink:href="#DejaVuSans-51" transform="translate(7.126 5.5)"/>
 </g>"""
    assert small(text) == (
        '<g><use xlink:href="#d51" x="532.7"/><use xlink:href="#d-13a" x="600"/>'
        '<use xlink:href="#d51" transform="translate(7.13 5.5)"/></g>'
    )
