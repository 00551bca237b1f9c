"""`python -m study.calibrate` with stand-ins for torch: what it writes is what predictions read."""

import sys
from pathlib import Path

import pytest

from analysis import calibrations
from study import calibrate, publish
from study.errors import StudyError
from tests.analysis import studies

TORCH = """
__version__ = "9.9"
bfloat16 = "bf16"

class version:
    cuda = "13.0"

class Tensor:
    def __add__(self, other):
        return self
    __mul__ = __add__

class cuda:
    is_available = staticmethod(lambda: {gpu})
    synchronize = staticmethod(lambda: None)
    get_device_name = staticmethod(lambda number: "Test GPU")

class nn:
    class functional:
        silu = staticmethod(lambda x: x)

rsqrt = nn.functional.silu

def ones(*shape, **where):
    return Tensor()
"""


@pytest.fixture
def torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A torch module that this interpreter's children import."""
    file = tmp_path / "torch.py"
    file.write_text(TORCH.format(gpu=True))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return file


@pytest.mark.usefixtures("torch")
def test_what_it_writes_is_a_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "calibration.json"
    assert calibrate.main(["--out", str(out)]) == 0
    found = calibrations.read(out)
    assert found.of == "torch"
    assert 0 < found.launch_us.low <= found.launch_us.value <= found.launch_us.high < 100
    assert capsys.readouterr().out.startswith(f"{out}: ")


def test_without_a_gpu_it_says_so_in_a_line(torch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.write_text(TORCH.format(gpu=False))
    assert calibrate.main(["--out", str(tmp_path / "calibration.json")]) == 1
    assert capsys.readouterr().err == (
        "error: torch sees no GPU; expected torch and a GPU that it can use: run on a GPU host, "
        "and name an interpreter with torch by --python\n"
    )
    assert not (tmp_path / "calibration.json").exists()


def test_an_interpreter_without_torch_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('No module named torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert calibrate.main(["--out", str(tmp_path / "c.json")]) == 1
    assert capsys.readouterr().err.startswith("error: no torch in this interpreter (No module named torch); expected")


def test_what_is_no_interpreter_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibrate.main(["--python", str(tmp_path / "absent"), "--out", str(tmp_path / "c.json")]) == 1
    shown = capsys.readouterr().err
    assert "ended with 127 and measured nothing" in shown
    assert shown.count("\n") == 1


@pytest.mark.usefixtures("torch")
def test_a_place_that_cannot_be_written_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibrate.main(["--python", sys.executable, "--out", str(tmp_path / "no" / "c.json")]) == 1
    assert "there is no such folder); name another file with --out" in capsys.readouterr().err


def test_the_interval_leaves_the_odd_rounds_aside() -> None:
    rounds_us = [float(number) for number in range(1, 102)]
    about = {"launches": 480, "torch": "9.9", "cuda": "13.0", "gpu": "Test GPU"}
    found = calibrate.calibration_of({"rounds_us": rounds_us, **about})
    assert found["t_launch_us"] == {"value": 51.0, "low": 11.0, "high": 91.0}
    assert found["rounds"] == 101


def test_a_driver_that_failed_is_refused() -> None:
    with pytest.raises(StudyError, match="torch cannot use the GPU"):
        calibrate.calibration_of({"error": "torch cannot use the GPU (out of memory)"})


def test_a_recording_keeps_the_calibration_of_its_host(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    studies.write_case(folder, tpot_ms=[5.0])
    studies.write_study(folder)
    (folder / calibrations.NAME).write_text('{"of": "torch"}')
    publish.publish(folder, tmp_path / "recording", "")
    assert (tmp_path / "recording" / calibrations.NAME).read_text().split() == ["{", '"of":', '"torch"', "}"]
