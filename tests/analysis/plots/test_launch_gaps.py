import pandas as pd

from analysis.plots.launch_gaps import draw, longest_gap_rank


def curve(rank, gap_us, *, graphs="off", tp=2, made_by="study.sweep", study="here"):
    rows = [(share, gap_us) for share in (0.0, 0.5, 1.0)]
    frame = pd.DataFrame(rows, columns=["share_ratio", "gap_us"])
    return frame.assign(
        rank=rank, graphs=graphs, tp=tp, made_by=made_by, study=study, engine="vllm", batch=1, case=f"{graphs}{tp}"
    )


def widths(panel):
    return [line.get_linewidth() for line in panel.get_lines()]


def test_the_rank_with_the_longest_median_gap_is_the_one_that_limits():
    assert longest_gap_rank(pd.concat([curve(0, 1.0), curve(1, 27.5)])) == 1


def test_that_rank_is_bold_and_the_others_are_thin():
    figure = draw(pd.concat([curve(0, 1.0), curve(1, 27.5)]), mark="m")
    assert widths(figure.axes[0]) == [0.7, 1.8]


def test_gaps_too_short_for_the_axis_lie_on_its_edge():
    (line,) = draw(curve(0, 0.0), mark="m").axes[0].get_lines()
    assert set(line.get_xdata()) == {0.1}


def test_a_combination_without_trace_takes_no_room():
    both = pd.concat([curve(0, 1.0), curve(0, 1.0, tp=4).assign(engine="sglang")])
    titles = [panel.get_title() for panel in draw(both, mark="m").axes]
    assert titles == ["vLLM TP2", "SGLang TP4"]


def test_a_panel_shows_what_the_sweep_made_where_there_are_several_sources_and_names_it():
    both = pd.concat([curve(0, 5.0, made_by="probe script", study="a"), curve(0, 7.0, study="z")])
    (panel,) = draw(both, mark="m").axes
    assert [set(line.get_xdata()) for line in panel.get_lines()] == [{7.0}]
    assert panel.get_title() == "vLLM TP2\nz, by study.sweep"
