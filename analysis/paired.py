"""What an iteration takes untraced, and the gain of graphs: off over on by pairs of engine starts. It loads no library
that draws, so that commands without figures can tell gains too.

Starts of one repeat met the host in the same state, so what changes from repeat to repeat cancels in their ratio.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.stats import paired_ratio

COLUMNS = ("gain_ratio", "gain_low_ratio", "gain_high_ratio")
_HALVES = ["off", "on"]


def times_ms(windows: pd.DataFrame, keys: Sequence[str]) -> pd.Series[float]:
    """What iterations took, by keys and graphs: medians over starts of medians over windows."""
    if windows.empty:
        return pd.Series(dtype=float)
    starts = _numbers(windows).groupby([*keys, "graphs", "case"])["tpot_ms"].median()
    return starts.groupby([*keys, "graphs"]).median()


def gains(windows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """How many times longer an iteration takes with graphs off, by keys. Returns COLUMNS; what lacks a half is absent.

    gain_ratio is the median over pairs of starts of the same repeat, the others its bootstrap interval; where there
    are not two such pairs it is the ratio of the medians over starts, and has no interval: NaN.
    windows: untraced, with keys, graphs, case, repeat and tpot_ms.
    """
    medians = times_ms(windows, keys)
    wide = medians.unstack("graphs").reindex(columns=_HALVES).dropna() if len(medians) else pd.DataFrame()
    found = pd.DataFrame(index=wide.index, columns=list(COLUMNS), dtype=float)
    if wide.empty:
        return found
    found["gain_ratio"] = wide["off"] / wide["on"]
    repeats = (
        _numbers(windows).groupby([*keys, "repeat", "graphs"])["tpot_ms"].median().unstack("graphs")[_HALVES].dropna()
    )
    for key, mine in repeats.groupby(list(keys)):
        if len(mine) > 1:
            found.loc[key, list(COLUMNS)] = paired_ratio(mine["off"], mine["on"])
    return found


def _numbers(windows: pd.DataFrame) -> pd.DataFrame:
    """The windows with times as numbers: beside a study that timed none they are kept as objects."""
    return windows.astype({"tpot_ms": "float64"})
