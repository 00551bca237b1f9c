"""The letters of figures: Chinese where it is asked for, in a font that has them, in lines that end where they may."""

import io

import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font
from PIL import Image

from analysis import figures, language, lettering
from analysis.language import Text
from analysis.lettering import lettered, lines, told, width
from tests.analysis.plots.texts import shown, unreadable


def drawn() -> Figure:
    figure = Figure(figsize=(5, 3))
    panel = figure.subplots()
    panel.bar([0, 1], [2, 3], label="idle")
    panel.set_xticks([0, 1], ["other", "8"])
    panel.set_xlabel("length of gap (us)")
    panel.set_title("vLLM TP1 (off only)")
    figures.legend(figure, figures.graphs_handles())
    figures.settle(figure, mark=Text("RECORDED by hand", "RECORDED 手工"), title=Text("A title", "标题"), left=0.7)
    return figure


def texts(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    return [text.get_text() for text in shown(figure)]


def test_every_letter_of_the_catalogue_is_in_the_font_that_ships() -> None:
    chinese = "".join(text for table in language.catalogue().values() for text in table.values())
    known = get_font(lettering.FONT).get_charmap()
    assert sorted({letter for letter in chinese if letter > "\u2e80" and ord(letter) not in known}) == []


def test_the_font_is_small_and_its_licence_ships_with_it() -> None:
    assert lettering.FONT.stat().st_size <= 250_000
    assert "SIL OPEN FONT LICENSE Version 1.1" in (lettering.FONT.parent / "OFL.txt").read_text(encoding="utf-8")


def test_titles_labels_legends_ticks_and_marks_are_in_chinese_where_it_is_asked_for() -> None:
    with lettered("zh"):
        figure = drawn()
    # Numbers of the other axis left out.
    found = [text for text in texts(figure) if not text.replace(".", "").isdecimal()]
    assert found == [
        "标题",
        "RECORDED 手工",
        "关 CUDA Graph",
        "开 CUDA Graph",
        "vLLM TP1（仅关）",
        "空隙长度 (us)",
        "其他",
    ]
    assert unreadable(figure) == []


def test_in_english_nothing_is_looked_up_and_no_font_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "drawn", lambda _: pytest.fail("looked up"))
    monkeypatch.setattr(lettering, "_family", lambda: pytest.fail("read"))
    assert {"A title", "RECORDED by hand", "graphs off", "length of gap (us)", "other"} <= set(texts(drawn()))


def test_letters_are_drawn_in_pictures_and_vectors_also_after_the_figure_was_laid_out() -> None:
    with lettered("zh"):
        figure = drawn()
    # A letter without a glyph would be a warning, which is an error.
    vector = figures.svg(figure, "n").decode()
    assert vector.count('<path id="d-') >= len(set("标题手工关开仅空隙长度其他（）"))
    assert "<text" not in vector and "Noto" not in vector
    assert Image.open(io.BytesIO(figures.png(figure))).size == (750, 450)


def test_a_figure_of_one_half_says_so_in_chinese() -> None:
    title = figures.halves_title(Text("a", "甲"), pd.DataFrame({"graphs": ["on"]}), "traced")
    assert title == "a\ngraphs on only: graphs off was not traced"
    assert title.zh == "甲\n只有 CUDA Graph 开的一侧：关的一侧没有采 trace"


def test_the_language_ends_with_its_block_whatever_happens() -> None:
    with pytest.raises(ZeroDivisionError), lettered("zh"):
        assert told("idle") == "空闲"
        _ = 1 / 0
    assert told("idle") == "idle"


@pytest.mark.parametrize(
    ("text", "letters_count", "broken"),
    [
        ("一二三四五六", 6, ["一二三", "四五六"]),
        ("一二，三四", 4, ["一", "二，", "三四"]),
        ("用 CUDA Graph 时", 8, ["用 CUDA", "Graph 时"]),
        ("（torch.compile）后", 9, ["（torch.compile）", "后"]),
        ("一\n二", 9, ["一", "二"]),
    ],
)
def test_chinese_lines_end_after_any_letter_but_not_within_words_or_before_marks(
    text: str, letters_count: int, broken: list[str]
) -> None:
    with lettered("zh"):
        assert lines(text, letters_count) == broken


def test_marks_bring_their_own_space() -> None:
    with lettered("zh"):
        assert told(language.join(" ", [Text("a, b", "a（乙）"), "TP1"])) == "a（乙）TP1"


def test_chinese_letters_and_capitals_count_for_more_than_small_ones() -> None:
    assert width("计算 TP1") == 6
    with lettered("zh"):
        assert width("计算 TP1") == pytest.approx(2 * 1.8 + 1 + 3 * 1.13)


def test_words_at_ticks_that_chinese_has_in_latin_letters_are_put_there_too() -> None:
    with lettered("zh"):
        figure = Figure(figsize=(5, 3))
        figure.subplots().set_xticks([0, 1], ["1\nb1", "1\nserved"])
        figures.settle(figure, mark="m", title="t", left=0.7)
    assert {"1\nb1", "1\nserving"} <= set(texts(figure))
