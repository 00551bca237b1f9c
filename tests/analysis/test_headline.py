import pandas as pd
import pytest

from analysis.headline import PAIR_COLUMNS, answers, label_proof, pairs, per_configuration

ABOUT = {"study": "here", "engine": "sglang", "model": "llama3-8b", "tp": 1, "compile": "engine",
         "settings": "pinned", "split": ""}  # fmt: skip
NO_LABELS = pd.DataFrame(columns=[*ABOUT, "graphs", "proof", "reason"])


def windows(off, on, **facts):
    """off and on: for each engine start its windows in ms."""
    rows = [
        {"graphs": graphs, "case": f"{graphs} r{repeat}", "repeat": repeat, "window": index, "tpot_ms": time_ms}
        for graphs, starts in (("off", off), ("on", on))
        for repeat, start in enumerate(starts)
        for index, time_ms in enumerate(start)
    ]
    about = ABOUT | {"made_by": "study.sweep", "batch": 1}
    columns = ["graphs", "case", "repeat", "window", "tpot_ms"]
    return pd.DataFrame(rows, columns=columns).assign(**(about | facts))


def labels(**proofs):
    rows = [ABOUT | {"reason": "why"} | {"graphs": graphs, "proof": proof} for graphs, proof in proofs.items()]
    return pd.DataFrame(rows, columns=NO_LABELS.columns)


PROVEN = labels(off="proven", on="proven")


def only(table):
    (row,) = table.to_dict("records")
    return row


def test_the_median_is_over_starts_and_not_over_windows():
    found = only(per_configuration(windows([[1, 1, 9], [2, 2, 2], [30, 30, 30]], [])))
    assert (found["tpot_ms"], found["low_ms"], found["high_ms"]) == (2, 1, 30)
    assert (found["starts_count"], found["windows_count"]) == (3, 9)


def test_a_single_start_has_an_interval_over_its_windows():
    found = only(per_configuration(windows([[1, 2, 9]], [])))
    assert (found["tpot_ms"], found["low_ms"], found["high_ms"]) == (2, 1, 9)


def test_the_gain_is_the_median_over_pairs_of_starts_of_one_repeat():
    # By pairs 2, 3 and 2.5; the quotient of the medians would be 10 / 4 all the same, of the extremes 8 / 5 to 15 / 4.
    row = only(pairs(windows([[8], [15], [10]], [[4], [5], [4]]), PROVEN))
    assert (row["gain_ratio"], row["gain_low_ratio"], row["gain_high_ratio"]) == (2.5, 2, 3)
    assert (row["interval_over"], row["contradiction"]) == ("starts", "")


def test_what_slows_both_starts_of_a_repeat_alike_widens_no_interval():
    row = only(pairs(windows([[8], [16], [12]], [[4], [8], [6]]), PROVEN))
    assert (row["gain_ratio"], row["gain_low_ratio"], row["gain_high_ratio"]) == (2, 2, 2)


def test_starts_without_their_other_half_divide_medians_and_extremes():
    off, on = windows([[8], [10], [12]], []), windows([], [[4], [5], [6]])
    row = only(pairs(pd.concat([off, on.assign(repeat=on["repeat"] + 3)]), PROVEN))
    assert (row["gain_ratio"], row["gain_low_ratio"], row["gain_high_ratio"]) == (2, 8 / 6, 3)


def test_starts_that_lie_far_apart_are_a_caution():
    row = only(pairs(windows([[9.5], [10], [11]], [[4]] * 3), PROVEN))
    assert row["caution"] == "graphs off: starts spread over 15 %"
    assert only(pairs(windows([[9.5], [10], [10.4]], [[4]] * 3), PROVEN))["caution"] == ""


def test_windows_that_drift_are_a_caution():
    row = only(pairs(windows([[8, 8.2, 8.5]] * 3, [[4, 4, 3.6]] * 3), PROVEN))
    assert row["caution"] == "graphs off: windows drift by +6 %; graphs on: windows drift by -10 %"


def test_starts_of_which_the_gpus_were_slowed_are_a_caution():
    slowed = windows([[8]] * 3, [[4]] * 3).assign(slowed_ratio=[0.2, 0.0, 0.05, 0.5, None, 0.0])
    assert only(pairs(slowed, PROVEN))["caution"] == "GPUs were slowed by power or heat in 2 starts"


def test_few_starts_are_a_caution():
    row = only(pairs(windows([[8], [8.5]], [[4]]), PROVEN))
    assert row["caution"] == "graphs off: 2 starts; graphs on: 1 start"
    assert row["interval_over"] == "windows"


def test_a_missing_half_is_a_row_without_a_gain():
    row = only(pairs(windows([[9], [9], [9]], []), PROVEN))
    assert pd.isna(row["gain_ratio"])
    assert row["caution"] == "graphs on not measured"


def test_starts_on_unlike_hosts_are_a_caution():
    mixed = pd.concat(
        [windows([[9], [9], [9]], [[4]] * 3, driver="1"), windows([[9]], [], driver="2").assign(case="r9", repeat=9)]
    )
    assert only(pairs(mixed, PROVEN))["caution"] == "starts differ in driver: 1, 2"


def test_studies_stay_apart_and_what_the_sweep_made_comes_first():
    other = windows([[8]] * 3, [[4]] * 3, study="elsewhere", made_by="probe script")
    table = pairs(pd.concat([other, windows([[6]] * 3, [[3]] * 3)]), PROVEN)
    assert list(table["study"]) == ["here", "elsewhere"]
    assert list(table["off_tpot_ms"]) == [6, 8]


def test_no_windows_give_no_rows():
    table = pairs(windows([], []), NO_LABELS)
    assert (len(table), tuple(table)) == (0, PAIR_COLUMNS)
    assert answers(table) == []


@pytest.mark.parametrize(
    ("proofs", "expected"),
    [
        pytest.param({}, "untraced", id="no trace"),
        pytest.param({"on": "proven"}, "untraced", id="a trace of the other half"),
        pytest.param({"off": "proven"}, "proven", id="a trace that proves it"),
        pytest.param({"off": "insufficient"}, "insufficient", id="too short a trace"),
        pytest.param({"off": "contradicted"}, "contradicted", id="a trace that contradicts it"),
    ],
)
def test_traces_prove_labels(proofs, expected):
    row = windows([[1]], []).to_dict("records")[0]
    assert label_proof(labels(**proofs), row)[0] == expected


def test_one_contradiction_outweighs_a_proof():
    both = pd.concat([labels(off="proven"), labels(off="contradicted")])
    assert label_proof(both, windows([[1]], []).to_dict("records")[0])[0] == "contradicted"


@pytest.mark.parametrize(
    ("off", "on", "proofs", "sentence"),
    [
        pytest.param(
            [[8], [10], [12]], [[5], [5], [4.8]], PROVEN, "on: 2.00x faster decode at batch 1 [1.60, 2.50]", id="on",
        ),
        pytest.param(
            [[5.2]] * 3, [[5.0]] * 3, PROVEN, "on: 1.04x faster decode at batch 1 [1.04, 1.04]", id="hardly on",
        ),
        pytest.param(
            [[4], [4], [4]], [[8], [8], [8]], PROVEN,
            "off: 2.00x faster decode at batch 1 (off / on 0.500 [0.500, 0.500])", id="off",
        ),
        pytest.param(
            [[4], [5], [6]], [[5], [5], [5]], PROVEN,
            "no difference beyond noise at batch 1 (off / on 1.00 [0.800, 1.20])", id="within noise",
        ),
        pytest.param(
            [[8, 9, 10]], [[4, 4, 4]], PROVEN,
            "on: 2.25x faster decode at batch 1 [2.00, 2.50] (over windows of single starts)", id="single starts",
        ),
        pytest.param([[8]] * 3, [], PROVEN, "no answer at batch 1, graphs on not measured", id="half"),
        pytest.param(
            [[8]] * 3, [[4]] * 3, labels(off="contradicted", on="proven"),
            "no answer at batch 1, a trace contradicts the label (graphs off: why)", id="contradicted",
        ),
    ],
)  # fmt: skip
def test_the_answer_follows_from_the_numbers(off, on, proofs, sentence):
    assert answers(pairs(windows(off, on), proofs)) == [f"SGLang, llama3-8b, TP1: {sentence}."]


def test_the_batches_of_a_configuration_share_a_sentence():
    table = pairs(pd.concat([windows([[8]] * 3, [[4]] * 3), windows([[4]] * 3, [[4]] * 3, batch=16)]), PROVEN)
    (sentence,) = answers(table)
    assert "at batch 1 " in sentence
    assert "; no difference beyond noise at batch 16" in sentence


def test_pairs_leave_their_input_alone():
    given = windows([[8]] * 3, [[4]] * 3)
    before = given.copy()
    pairs(given, PROVEN)
    pd.testing.assert_frame_equal(given, before)


def test_the_corners_of_two_switches_are_pairs_of_their_own_and_named():
    compiled, plain = windows([[8]], [[4]], compile="on"), windows([[9]], [[3]], compile="off")
    both = pairs(pd.concat([compiled, plain]), NO_LABELS)
    assert both.set_index("compile")["gain_ratio"].to_dict() == {"on": 2, "off": 3}
    assert [sentence.split(":")[0] for sentence in answers(both)] == [
        "SGLang, not compiled, llama3-8b, TP1",
        "SGLang, compiled, llama3-8b, TP1",
    ]


def test_halves_whose_engines_chose_other_kernels_are_a_caution():
    mixed = pd.concat([
        windows([[8]] * 3, [], attention_backend="fa3"), windows([], [[4]] * 3, attention_backend="flashinfer"),
    ])  # fmt: skip
    assert only(pairs(mixed, PROVEN))["caution"] == "starts differ in attention_backend: fa3, flashinfer"
