"""What figures, captions and banners say of where numbers come from, in both languages."""

from pathlib import Path

from analysis import provenance
from analysis.language import zh
from analysis.recordings import open_study
from tests.analysis.studies import write_case, write_study


def test_days_of_a_recording_are_told_in_chinese_too_wherever_they_stand(tmp_path: Path) -> None:
    write_case(tmp_path, graphs="on", tpot_ms=[5.0])
    about = {"host": "2x Test GPU", "date": "2026-11-21 to 2026-11-22", "note": ""}
    found = provenance.source(open_study(write_study(tmp_path, recording=about)), "here")
    assert found.short_mark == "RECORDED 2026-11-21 to 2026-11-22, 2x Test GPU"
    assert zh(found.short_mark) == "RECORDED 2026-11-21 至 2026-11-22, 2x Test GPU"
    assert all("2026-11-21 to 2026-11-22" in text for text in (found.mark, found.sentence))
    assert all("2026-11-21 至 2026-11-22" in zh(text) for text in (found.mark, found.sentence))


def test_a_single_day_is_the_same_in_both_languages(tmp_path: Path) -> None:
    write_case(tmp_path, graphs="on", tpot_ms=[5.0])
    about = {"host": "2x Test GPU", "date": "2026-11-21", "note": ""}
    found = provenance.source(open_study(write_study(tmp_path, recording=about)), "here")
    assert found.short_mark == zh(found.short_mark) == "RECORDED 2026-11-21, 2x Test GPU"
