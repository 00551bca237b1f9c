"""Case folders to tables, causes and a report; needs no GPU, no engine and no nsys."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.frames import Frames
    from analysis.notebook import Study as Study

if sys.argv[:1] == ["-m"]:  # so it is while Python looks for the module of a command
    import_module("analysis.program").begin(__name__)


def read(path: Path | str, name: str | None = None) -> "Frames":
    """All tables of a trace as DataFrames: see analysis.frames. Raises analysis.errors.TraceError."""
    # Loaded when asked for, so that parts of the package that need no tables do not load pandas for them.
    frames: Frames = import_module("analysis.frames").read(path, name)
    return frames


def __getattr__(name: str) -> Any:
    if name == "Study":
        return import_module("analysis.notebook").Study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
