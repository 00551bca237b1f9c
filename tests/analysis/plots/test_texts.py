"""What is looked for in figures is found in one that is drawn wrong."""

from matplotlib.figure import Figure

from tests.analysis.plots.texts import unreadable


def test_texts_that_cannot_be_read_are_named_and_others_are_not() -> None:
    figure = Figure(figsize=(4, 3))
    panel, other = figure.subplots(1, 2)
    other.set(xticks=[], yticks=[])
    panel.set_xticks([0.0, 0.5, 1.0], ["left", "middle", "right"])
    assert unreadable(figure) == []
    panel.set_xticks([0.0, 0.01, 1.0, 40.0], ["left", "beside", "right", "beyond"])
    panel.set_xlim(0, 1)
    panel.annotate("a note", (0.5, 0.5))
    panel.annotate("note on it", (0.5, 0.5))
    figure.text(0.9, 0.01, "too long for the figure")
    panel.text(1.5, 0.2, "astray")
    found = unreadable(figure)
    assert {
        "'left' on 'beside'", "'a note' on 'note on it'", "'too long for the figure' leaves the figure",
        "'astray' on another panel",
    } <= set(found)  # fmt: skip
    assert not [line for line in found if "beyond" in line]
