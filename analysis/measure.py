"""All quantities of a trace at once; the folder `metrics` is the list of them."""

import pkgutil
from importlib import import_module
from types import ModuleType

import pandas as pd

from analysis import metrics, tables
from analysis.iterations import Trace
from analysis.threads import side_by_side

KEYS = ["rank", "iteration"]
# Where nothing that graphs ran was recorded, no more is known than when the anchors ended and what was called.
_KNOWN_OF_UNSEEN = ("iter_ms", "graph_launches")
# Where a graph launch was recorded as one operation, these would tell of what ran outside graphs alone.
_UNKNOWN_OF_WHOLE = ("gap_us", "operations", "overlap_ratio")


def measure(trace: Trace) -> pd.DataFrame:
    """Every quantity of every steady iteration of every rank, as long samples: rank, iteration, quantity, value.

    The value is NaN where it is not known: of graphs that were launched, but of which nothing was recorded, and of
    graphs recorded whole what takes each operation in them.
    """
    measured = side_by_side(lambda module: module.measure(trace), _modules())
    frames = [wide.melt(KEYS, var_name="quantity") for wide in measured]
    found = tables.conform(pd.concat(frames, ignore_index=True), tables.SAMPLES, "samples")
    if trace.activity.graph_tracing == "unseen":
        found["value"] = found["value"].where(found["quantity"].isin(_KNOWN_OF_UNSEEN))
    elif trace.activity.graph_tracing == "graph":
        found["value"] = found["value"].mask(found["quantity"].isin(_UNKNOWN_OF_WHOLE))
    return found


def names() -> tuple[str, ...]:
    """The metrics, one a file."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(metrics.__path__)))


def _modules() -> list[ModuleType]:
    return [import_module(f"{metrics.__name__}.{name}") for name in names()]
