"""A study in a notebook: the documented one runs, tables are as declared, figures show themselves."""

import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import analysis
from analysis import Study, report
from analysis import notebook as tested
from analysis.errors import TraceError
from analysis.notebook import Picture
from analysis.study_tables import TABLES
from tests.analysis.studies import change_record, write_case, write_study

RECORDING = "data/recordings/h200x8-2026-11-20"
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.usefixtures("one_processor")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Graphs double the speed; one trace of either kind, at two batch sizes in name."""
    folder = tmp_path_factory.mktemp("studies") / "made"
    for graphs, time_ms in (("off", 8.0), ("on", 4.0)):
        for repeat in (1, 2):
            write_case(folder, graphs=graphs, repeat=repeat, tpot_ms=[time_ms] * 2)
        write_case(folder, graphs=graphs, traced_graphs=graphs)
    about = {"host": "2x Test GPU", "date": "2026-11-21", "note": "Made by hand."}
    return Study.open(str(write_study(folder, recording=about)))


@pytest.fixture(scope="module")
def notebook(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names left by the documented notebook, run beside a part of the recording that it opens."""
    folder = tmp_path_factory.mktemp("notebook")
    whole, part = root / RECORDING, folder / RECORDING
    for case in sorted((whole / "cases").glob("llama3-8b_sglang_tp2_*")):
        shutil.copytree(case, part / "cases" / case.name)
    for name in ("study.json", "recording.json"):
        shutil.copy(whole / name, part / name)
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in PYTHON.findall((root / "analysis" / "notebook.md").read_text(encoding="utf-8")):
            exec(compile(block, "analysis/notebook.md", "exec"), names)
    return {**names, "folder": folder}


def test_the_documented_notebook_runs(notebook: dict[str, Any]) -> None:
    pairs = notebook["study"].pairs
    assert pairs[["engine", "tp"]].to_numpy().tolist() == [["sglang", 2]]
    assert pairs["gain_ratio"].tolist() == [pytest.approx(7.36, abs=0.01)]
    assert set(notebook["idle_us"].index.get_level_values("rank")) == {0, 1}
    assert (notebook["folder"] / "critical_path.pdf").read_bytes().startswith(b"%PDF")
    assert (notebook["folder"] / "timeline.pftrace.gz").stat().st_size > 10_000


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_as_declared(study: Study, notebook: dict[str, Any], table: str) -> None:
    declared = {column.name: column.dtype for column in TABLES[table]}
    for found in (getattr(study, table), getattr(notebook["study"], table)):
        assert found.columns.tolist() == list(declared)
        assert found.astype(declared).dtypes.equals(found.dtypes)
        assert len(found) > 0 or table == "served"


def test_tables_are_those_of_the_report(study: Study) -> None:
    gathered = report.gather([study.recording.folder])
    assert study.pairs["gain_ratio"].tolist() == gathered.pairs["gain_ratio"].tolist() == [2.0]
    assert study.pairs["study"].tolist() == ["made"]
    assert len(study.served) == len(gathered.served)
    assert study.capacity["kv_ratio"].tolist() == gathered.capacity["kv_ratio"].tolist() == [1.0]
    assert study.critical_paths["graphs"].tolist() == ["off", "on"]


def test_every_figure_of_the_report_is_there_by_name(study: Study) -> None:
    assert {"gain", "ranks_llama3-8b_b1_node", "iteration_time_llama3-8b_b1"} <= set(study.figures)
    gain = study.figures["gain"]
    assert gain.table["gain_ratio"].tolist() == [2.0] and gain.title.startswith("How many times faster")


def test_traces_are_read_once_and_only_when_they_are_asked_for(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Any] = []
    original = tested.gather
    monkeypatch.setattr(tested, "gather", lambda folders: reads.append(folders) or original(folders))
    fresh = Study.open(study.recording.folder)
    assert len(fresh.cases) == 6 and len(fresh.windows) == 8 and len(fresh.traces) == 2
    assert fresh.served.empty and len(fresh.capacity) == 1
    assert repr(fresh).splitlines()[0] == "Study made"
    assert "RECORDED 2026-11-21 on 2x Test GPU (made)" in repr(fresh)
    assert reads == []
    assert len(fresh.pairs) == 1 and len(fresh.critical_paths) == 2
    assert fresh.pairs is fresh.pairs
    assert len(reads) == 1


@pytest.mark.parametrize("figure", ["iteration_time", "launch_gaps", "critical_path"])
def test_a_figure_shows_itself_with_its_title_for_those_who_cannot_see_it(study: Study, figure: str) -> None:
    shown = getattr(study, figure)()
    assert isinstance(shown, Picture)
    drawn = re.fullmatch(r'<img src="data:image/svg\+xml,[^"]+" alt="([^"]+)" style="[^"]+">', shown._repr_html_())
    assert drawn is not None
    what = "llama3-8b, batch 1" if figure == "iteration_time" else "llama3-8b, batch 1, node tracing"
    assert drawn.group(1).startswith(f"{what}: ")
    assert len(shown.table) > 0
    assert repr(shown).startswith(f"Picture of {shown.title}")


def test_a_title_is_text_whatever_it_holds(study: Study) -> None:
    shown = study.iteration_time()
    evil = Picture(figure=shown.figure, table=shown.table, title='"><script>alert(1)</script>')
    assert "<script" not in evil._repr_html_()
    assert html.escape(evil.title) in evil._repr_html_()


def test_a_pair_that_a_trace_contradicts_is_not_drawn(tmp_path: Path) -> None:
    for tp, traced in ((1, "on"), (2, "off")):
        for graphs in ("off", "on"):
            write_case(tmp_path, graphs=graphs, tp=tp, tpot_ms=[4.0])
        write_case(tmp_path, graphs="off", tp=tp, traced_graphs=traced)
    found = Study.open(write_study(tmp_path))
    assert (found.pairs.set_index("tp")["contradiction"] != "").to_dict() == {1: True, 2: False}
    assert found.iteration_time().table["tp"].unique().tolist() == [2]


def test_several_figures_are_told_apart_by_what_is_asked(tmp_path: Path) -> None:
    for batch, repeat in ((1, 1), (8, 2)):
        for graphs in ("off", "on"):
            write_case(tmp_path, graphs=graphs, batch=batch, repeat=repeat, tpot_ms=[4.0 + batch])
    found = Study.open(write_study(tmp_path))
    with pytest.raises(TraceError, match=r"more than one figure: batch 1, 8; say which, as in batch=\.\.\."):
        found.iteration_time()
    with pytest.raises(TraceError, match=r"nothing to draw of \{'batch': 4\}; there is batch 1, 8"):
        found.iteration_time(batch=4)
    with pytest.raises(TraceError, match="speed: not what tells figures apart; expected model, batch"):
        found.iteration_time(speed=1)
    with pytest.raises(TraceError, match="nothing to draw of this study; there is nothing at all"):
        found.critical_path()
    assert found.iteration_time(batch=8).table["tpot_ms"].tolist() == [12.0, 12.0]


def test_a_trace_of_a_case_is_read_when_it_is_asked_for(study: Study) -> None:
    case = study.traces["case"].iloc[0]
    found = study.frames(case)
    assert found.summary["name"] == f"{case} b1"
    pd.testing.assert_frame_equal(found.operations, analysis.read(study.traces["path"].iloc[0]).operations)
    with pytest.raises(TraceError, match="has traces at batch 1; expected one of these as `batch`, not 8"):
        study.frames(case, batch=8)
    with pytest.raises(TraceError, match=f"made has no trace of a case 'mine'; it has traces of: {case}"):
        study.frames("mine")


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"is not a study folder: it has no study\.json"):
        Study.open(tmp_path)


def test_the_package_loads_pandas_when_it_is_needed_and_pyplot_never() -> None:
    code = (
        "import sys, analysis; assert 'pandas' not in sys.modules; "
        "from analysis import Study; assert 'matplotlib.pyplot' not in sys.modules and Study.__name__ == 'Study'"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=Path(__file__).parents[2])
    with pytest.raises(AttributeError, match="no attribute 'Studies'"):
        _ = analysis.Studies  # type: ignore[attr-defined]


def test_loads_that_were_served_are_a_table_as_declared(tmp_path: Path) -> None:
    for graphs, gap_us in (("off", 10_000), ("on", 5_000)):
        case = write_case(tmp_path, graphs=graphs)
        (case / "requests.jsonl").write_text("".join(json.dumps(_request(n, gap_us)) + "\n" for n in range(3)))
        record = json.loads((case / "case.json").read_text())
        asked = {**record["asked"], "serving": {"rates": [4.0]}}
        change_record(case, {"asked": asked, "files": {**record["files"], "requests": "requests.jsonl"}})
    found = Study.open(write_study(tmp_path)).served
    assert found["tpot_ratio"].tolist() == [pytest.approx(2)]
    assert (found["off_starts_count"].tolist(), found["rate"].tolist()) == ([1], [4.0])
    assert found.dtypes.astype(str)[["engine", "tp", "on_ttft_ms_p50"]].tolist() == ["string", "int64", "float64"]


def _request(number: int, gap_us: int) -> dict[str, Any]:
    """Answered with a token after 20 ms and four more, so long apart."""
    sent_s = 0.25 * number
    return {
        "load": 0, "rate": 4.0, "concurrency": None, "request": number, "prompt_tokens": 8, "output_tokens_asked": 5,
        "output_tokens": 5, "scheduled_s": sent_s, "sent_s": sent_s, "first_s": sent_s + 0.02,
        "last_s": sent_s + 0.02 + 4 * gap_us / 1e6, "ended_s": sent_s + 0.021 + 4 * gap_us / 1e6,
        "chunk_us": [20_000, *[gap_us] * 4], "chunk_tokens": None, "status": "ok", "error": None,
    }  # fmt: skip
