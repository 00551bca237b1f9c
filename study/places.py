"""A model at a layout with its own request rates, as a study writes it: `qwen2-72b tp4pp2 1.5 1.9`."""

import math
from dataclasses import dataclass

from study import layouts, models
from study.errors import StudyError
from study.layouts import Layout


@dataclass(frozen=True, kw_only=True)
class Place:
    """A model at a layout, and the request rates (1/s) that serving is measured at."""

    model: str
    layout: Layout
    rates: tuple[float, ...] = ()


def parse(text: str) -> Place:
    """The place of `MODEL LAYOUT [RATE ...]`. Raises StudyError for what is none."""
    model, _, rest = text.strip().partition(" ")
    layout, *rates = rest.split() or [""]
    models.config_path(model)
    return Place(model=model, layout=layouts.parse(layout), rates=tuple(_rate(text, rate) for rate in rates))


def _rate(text: str, rate: str) -> float:
    try:
        found = float(rate)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise StudyError(f"place {text!r}: found the rate {rate!r}, expected requests a second, above 0")
    return found
