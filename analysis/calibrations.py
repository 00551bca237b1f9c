"""What a launch takes on a host, as measured by a short run without graphs: the file that study.calibrate writes."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import TraceError
from analysis.estimates import Estimate

TORCH, ENGINE = "torch", "engine"
NAME = "calibration.json"
"""What a calibration of the host of a study folder is called in it."""
_HINT = (
    'expected {"of": "torch" or "engine", "t_launch_us": {"value": 26.6, "low": 24, "high": 30}}, in us; '
    "run python -m study.calibrate"
)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The untraced host time for each launch, in us, and whether it is of torch alone or of the engine itself."""

    of: str
    launch_us: Estimate


def read(path: Path) -> Calibration:
    """Read a calibration. Raises TraceError where the file cannot be read or holds something else."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        found = Estimate(**{end: float(given["t_launch_us"][end]) for end in ("value", "low", "high")})
        of = given["of"]
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror}); {_HINT}") from error
    except KeyError as missing:
        raise TraceError(f"{path}: no calibration ({missing} is missing); {_HINT}") from None
    except (ValueError, TypeError) as error:
        raise TraceError(f"{path}: no calibration (not of that form: {error}); {_HINT}") from error
    if of not in (TORCH, ENGINE):
        raise TraceError(f"{path}: a calibration of {of!r}; {_HINT}")
    if not 0 < found.low <= found.value <= found.high < math.inf:
        raise TraceError(
            f"{path}: t_launch_us is {found.value:g}, between {found.low:g} and {found.high:g}; expected "
            f"0 < low <= value <= high; {_HINT}"
        )
    return Calibration(of=of, launch_us=found)
