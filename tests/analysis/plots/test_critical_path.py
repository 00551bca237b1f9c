import pandas as pd

from analysis.plots.critical_path import PARTS, draw


def path(graphs, waiting_ms, *, made_by="study.sweep", study="here", tp=1):
    parts = dict.fromkeys(PARTS, 1.0) | {"launch_idle_ms": waiting_ms}
    return {"graphs": graphs, "made_by": made_by, "study": study, "tp": tp, "engine": "vllm", "batch": 1, **parts}


def outlines(figure):
    """The height of each whole bar, in order of drawing."""
    return [patch.get_height() for patch in figure.axes[0].patches if not patch.get_fill()]


def test_the_parts_of_a_bar_stack_up_to_the_whole_iteration():
    assert outlines(draw(pd.DataFrame([path("off", 6.0), path("on", 0.0)]), mark="m")) == [10.0, 4.0]


def test_both_bars_of_a_size_come_from_one_source_the_sweep_before_others():
    probe = path("off", 50.0, made_by="probe script", study="a")
    figure = draw(pd.DataFrame([probe, path("off", 6.0, study="z"), path("on", 0.0, study="z")]), mark="m")
    assert outlines(figure) == [10.0, 4.0]
    assert figure.axes[0].get_title() == "vLLM"


def test_a_size_that_something_else_recorded_is_named():
    figure = draw(pd.DataFrame([path("on", 0.0, made_by="probe script", study="a", tp=8)]), mark="m")
    assert figure.axes[0].get_title() == "vLLM\nTP8: a, by probe script"


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def entries(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_figure_of_one_half_alone_says_so_and_leaves_no_empty_places():
    figure = draw(pd.DataFrame([path("on", 0.0)]), mark="m", title="a title")
    assert figure.get_suptitle() == "a title\ngraphs on only: graphs off was not traced"
    assert (outlines(figure), words(figure)) == ([4.0], [])
    assert [bar.get_x() + bar.get_width() / 2 for bar in figure.axes[0].patches if not bar.get_fill()] == [0.0]
    assert "graphs off" not in entries(figure) and "graphs on" in entries(figure)


def test_a_half_that_one_size_alone_lacks_is_named_in_its_place():
    figure = draw(pd.DataFrame([path("off", 6.0), path("on", 0.0), path("on", 0.0, tp=2)]), mark="m", title="a title")
    assert (outlines(figure), words(figure)) == ([10.0, 4.0, 4.0], ["off: not traced"])
    assert figure.axes[0].texts[0].get_position()[0] == 0.8
    assert figure.get_suptitle() == "a title"


def test_several_batches_of_a_model_stand_side_by_side():
    rows = [{**path(graphs, 6.0), "batch": batch} for batch in (1, 32) for graphs in ("off", "on")]
    (panel,) = draw(pd.DataFrame(rows), mark="m").axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["1\nb1", "1\nb32"]
    assert panel.get_xlabel().endswith("batch (count)")
