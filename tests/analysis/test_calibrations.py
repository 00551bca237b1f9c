import json
from pathlib import Path
from typing import Any

import pytest

from analysis import calibrations
from analysis.errors import TraceError
from analysis.estimates import Estimate

GOOD = {"of": "torch", "t_launch_us": {"value": 15.0, "low": 14.0, "high": 16.0}, "host": {"cpu": "any"}}


def test_a_calibration_says_what_a_launch_takes_and_of_what(tmp_path: Path) -> None:
    found = calibrations.read(_written(tmp_path, GOOD))
    assert (found.of, found.launch_us) == ("torch", Estimate(value=15.0, low=14.0, high=16.0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"of": "jax"}, "a calibration of 'jax'"),
        ({"t_launch_us": {"value": 15.0}}, "no calibration ('low' is missing)"),
        (
            {"t_launch_us": {"value": "fast", "low": 1, "high": 2}},
            "no calibration (not of that form: could not",
        ),
        ({"t_launch_us": None}, "no calibration (not of that form: "),
        ({"t_launch_us": {"value": 15.0, "low": 16.0, "high": 17.0}}, "t_launch_us is 15, between 16 and 17"),
        ({"t_launch_us": {"value": 15.0, "low": 0, "high": 17.0}}, "t_launch_us is 15, between 0 and 17"),
    ],
)
def test_what_is_no_calibration_is_refused_in_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(TraceError) as refused:
        calibrations.read(_written(tmp_path, GOOD | change))
    assert said in str(refused.value)
    assert "run python -m study.calibrate" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_absent_or_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read"):
        calibrations.read(tmp_path / "absent.json")
    (tmp_path / "text.json").write_text("15 us")
    with pytest.raises(TraceError, match="no calibration"):
        calibrations.read(tmp_path / "text.json")


def _written(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "calibration.json"
    path.write_text(json.dumps(content))
    return path
