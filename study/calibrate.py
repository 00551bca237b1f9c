"""python -m study.calibrate: what a launch takes this host, in a few seconds, for `python -m analysis predict`.

The measuring is done by launch/drivers/launches.py in an interpreter that sees torch; here its rounds become the file
that analysis/calibrations.py reads.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from analysis import outputs, program
from analysis.errors import TraceError
from launch import host, process
from study.command_line import Parser, refused
from study.errors import StudyError

DRIVER = Path(__file__).resolve().parents[1] / "launch" / "drivers" / "launches.py"
FORMAT = "2026-11-21"
TIMEOUT_S = 120.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 where the host cannot be calibrated."""
    parser = Parser(prog="python -m study.calibrate", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="an interpreter that sees torch (default: this one)")
    parser.add_argument("--out", default=Path("calibration.json"), type=Path, help="the file to write")
    args = parser.parse_args(sys.argv[1:] if argv is None else argv)
    try:
        outputs.expect_file(args.out, "name another file with --out")
        calibration = _described(calibration_of(_measured(args.python)))
        args.out.write_text(json.dumps(calibration, indent=1) + "\n", encoding="utf-8")
    except (StudyError, TraceError) as error:
        return refused(error)
    except OSError as error:
        return refused(f"{args.out}: cannot be written ({error.strerror}); name another file with --out")
    found = calibration["t_launch_us"]
    print(f"{args.out}: {found['value']:.1f} us a launch [{found['low']:.1f}, {found['high']:.1f}], torch alone")
    return 0


def calibration_of(measured: Mapping[str, Any]) -> dict[str, Any]:
    """The calibration that the driver's rounds give: their median, 10th and 90th percentile.

    Raises StudyError where the driver could not measure.
    """
    if "error" in measured:
        raise StudyError(
            f"{measured['error']}; expected torch and a GPU that it can use: "
            "run on a GPU host, and name an interpreter with torch by --python"
        )
    rounds_us = sorted(measured["rounds_us"])
    tenths = statistics.quantiles(rounds_us, n=10, method="inclusive")
    t_launch_us = {"value": statistics.median(rounds_us), "low": tenths[0], "high": tenths[-1]}
    about = {name: measured[name] for name in ("launches", "torch", "cuda", "gpu")}
    return {"of": "torch", "t_launch_us": t_launch_us, "rounds": len(rounds_us), **about}


def _measured(python: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "launches.json", Path(folder) / "log"
        code = process.run_to_end([python, str(DRIVER), "--out", str(out)], log=log, timeout_s=TIMEOUT_S)
        if not out.exists():
            last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
            raise StudyError(
                f"{python} ended with {code} and measured nothing ({last[:200]}); expected a Python with torch: "
                "name one by --python"
            )
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return found


def _described(calibration: Mapping[str, Any]) -> dict[str, Any]:
    """With what the launches ran on, as records name it."""
    return {
        "format": FORMAT,
        **calibration,
        "cpu": host.cpu_model(),
        "governor": host.governor(),
        "measured_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    program.run(main)
