"""Traces that were left out of a recording: of each the account that this analysis made of it before.

An account is what `python -m analysis TRACE --json` prints of the trace, in a file beside the record, whose entry names
that file and no trace. It has every number of the trace's summary; what takes the trace itself is gone.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.errors import TraceError

SUFFIX = ".json"
REFUSED = "refused"
"""The key of a file in place of an account: why the analysis made none."""
_NEEDED = ("name", "graphs", "iterations", "iter_ms", "critical_path_us", "kernels", "fitness", "ranks")


def file_of(entry: Mapping[str, Any]) -> str | None:
    """The file of an entry of a record's `files.traces`: the trace, or its account; None where it names neither."""
    return entry["file"] or entry.get("account")


def is_account(path: Path) -> bool:
    """Whether the file stands in place of a trace."""
    return path.suffix == SUFFIX


def read(path: Path) -> dict[str, Any]:
    """The summary in an account. Raises TraceError where it holds none, or why the trace gave none."""
    try:
        (found,) = json.loads(path.read_text(encoding="utf-8"))
        refused = dict(found).get(REFUSED)
        missing = [key for key in _NEEDED if key not in found]
    except (OSError, ValueError, TypeError) as error:
        raise TraceError(f"{path}: not the account of a trace ({error}); copy it again") from error
    if refused is not None:
        raise TraceError(str(refused))
    if missing:
        raise TraceError(f"{path}: not the account of a trace (it lacks {', '.join(missing)}); copy it again")
    return dict(found)
