import pandas as pd

from analysis.plots.iteration_time import draw


def starts(made_by="study.sweep", study="here", tp=1, off=(8.0, 10.0, 12.0), on=(4.0, 5.0, 6.0)):
    rows = [(graphs, repeat, time_ms) for graphs, half in (("off", off), ("on", on))
            for repeat, time_ms in enumerate(half)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["graphs", "repeat", "tpot_ms"])
    return frame.assign(made_by=made_by, study=study, tp=tp, engine="vllm")


def points(figure):
    return [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "None" and line.get_zorder() == 3]


def gains(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_every_engine_start_is_a_point():
    assert [list(line.get_ydata()) for line in points(draw(starts(), mark="m"))] == [[8, 10, 12], [4, 5, 6]]


def test_the_gain_over_pairs_of_a_repeat_is_written_between_them():
    assert gains(draw(starts(), mark="m")) == ["2.00x"]
    # By pairs 3, 2 and 4; the medians' quotient would be 2.5.
    assert gains(draw(starts(off=(12.0, 10.0, 8.0), on=(4.0, 5.0, 2.0)), mark="m")) == ["3.00x"]
    assert gains(draw(starts(off=(9.0,)), mark="m")) == ["1.80x"]


def test_one_half_alone_is_drawn_without_a_gain():
    figure = draw(starts(on=()), mark="m")
    assert (len(points(figure)), gains(figure)) == (1, [])


def test_what_something_else_made_is_open_and_in_the_legend():
    both = pd.concat([starts(), starts(made_by="probe script", study="there", tp=8)])
    figure = draw(both, mark="m")
    assert [line.get_markerfacecolor() == "white" for line in points(figure)] == [False, False, True, True]
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries == ["graphs off", "graphs on", "here, made by study.sweep", "there, made by probe script"]


def test_the_sweep_gives_the_gain_where_both_measured_a_size():
    both = pd.concat([starts(made_by="probe script", study="a", off=(40.0,)), starts(study="z")])
    assert gains(draw(both, mark="m")) == ["2.00x"]


def lines(figure):
    """What is joined: the times along each line."""
    return [list(line.get_ydata()) for line in figure.axes[0].get_lines() if line.get_linestyle() in {"-", "--"}]


def test_of_several_sweeps_that_of_most_starts_tells_the_gain_and_has_the_line():
    few = starts(study="a", off=(30.0,), on=(10.0,))
    figure = draw(pd.concat([few, starts(study="z"), starts(study="z", tp=2, off=(6.0,) * 3, on=(2.0,) * 3)]), mark="m")
    assert gains(figure) == ["2.00x", "3.00x"]
    # It stands between the starts that it is of, right of those of the other source.
    assert figure.axes[0].texts[0].get_position()[0] == 0.1
    assert [line for line in lines(figure) if line] == [[10.0, 6.0], [5.0, 2.0]]
    assert len(points(figure)) == 6
