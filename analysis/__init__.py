"""Case folders to tables, causes and a report; needs no GPU, no engine and no nsys."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.frames import Frames


def read(path: Path | str, name: str | None = None) -> "Frames":
    """All tables of a trace as DataFrames: see analysis.frames. Raises analysis.errors.TraceError."""
    # Loaded when asked for, so that parts of the package that need no tables do not load pandas for them.
    frames: Frames = import_module("analysis.frames").read(path, name)
    return frames
