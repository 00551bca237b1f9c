"""Where the steps of a served capture end: found by the names of operations alone, whatever the batch does to grids.

Requests come and go in a server: the batch changes every grid and the names of the matrix products, and prefill
stands between decode steps. What samples the next tokens runs once in each of them. A name is taken for an anchor
where one forward of the model, and not two or a layer of it, lies between its returns.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.extract import Activity
from analysis.intervals import Ints, Mask

SAMPLERS = re.compile(r"arg_?max|sampl(e(?!d)|ing|er)|multinomial", re.IGNORECASE)
"""Names of what picks the next token of each sequence."""
# What the layers run whatever the batch, unlike the matrix products: the count of it tells one forward from two.
_LAYERS = re.compile(r"norm|rope|rotary|silu|gelu|act_and_mul|attn|attention|attend|flash|fmha|cache", re.IGNORECASE)
_LAYERS_MOST, _CANDIDATES_MOST = 12, 100
_FORWARD_LEAST = 0.9
# Embedding, head and sampling run once in a step, like its anchor; what returns every so many steps is alone.
_ONCE_LEAST = 3
_ONCE_SPREAD = 2
_TIMES_LEAST = 8


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """Signatures that end a step, of one name."""

    signatures: Ints
    times: int
    """How often it occurs on the lead rank."""
    forward_ratio: float
    """The share of its returns between which lies one forward of the model."""
    layer_operations: int
    """Operations of the layers in the usual forward."""
    after_layers: float
    """How many operations after the last one of a layer it usually runs."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """Operations of the lead rank by their name: kernels by the function alone, all graphs as one."""

    of_signature: Ints
    at: tuple[Ints, ...]
    """Per name, where among the rank's operations it occurs."""
    samplers: Mask
    layers: Mask
    everywhere: Mask
    """Whether all ranks run it about as often."""


def names(activity: Activity, lead: int) -> Names:
    """Number the operations of a rank by name, in order of start."""
    what = activity.signatures
    whole = (what["kind"] == "graph").to_numpy(bool)
    of_signature, distinct = pd.factorize(np.where(whole, "graph", what["kind"].astype(str) + " " + what["name"]))
    operations = activity.operations
    code = of_signature[operations["signature"].to_numpy(np.int64)]
    rank = operations["rank"].to_numpy(np.int64)
    ranks = len(activity.ranks)
    times = np.bincount(rank * len(distinct) + code, minlength=ranks * len(distinct)).reshape(ranks, -1)
    mine = code[rank == lead]
    order = np.argsort(mine, kind="stable")
    kernels = [str(name).removeprefix("kernel ") if str(name).startswith("kernel ") else "" for name in distinct]
    return Names(
        of_signature=of_signature.astype(np.int64),
        at=tuple(np.split(order, np.cumsum(times[lead])[:-1])),
        samplers=np.array([bool(SAMPLERS.search(name)) for name in kernels]),
        layers=np.array([bool(_LAYERS.search(name)) for name in kernels]) | (distinct == "graph"),
        everywhere=times.max(axis=0) - times.min(axis=0) <= np.maximum(2, times.max(axis=0) // 10),
    )


def sampler(found: Names) -> Anchor | None:
    """The operation that samples: of those between whose returns lies one forward, one with most in it.

    Of several in a step it is the last: those before it then lie in the same interval.
    """
    anchors = [_anchor(found, int(name)) for name in np.flatnonzero(found.samplers & found.everywhere)]
    valid = [anchor for anchor in anchors if anchor is not None]
    if not valid:
        return None
    most = max(valid, key=lambda anchor: (anchor.layer_operations, anchor.times))
    equal = [anchor for anchor in valid if anchor.layer_operations == most.layer_operations and _like(anchor, [most])]
    return max(equal, key=lambda anchor: anchor.after_layers)


def samplings(found: Names) -> int | None:
    """How often the lead rank sampled, by whatever does so most; None where nothing with such a name ran."""
    times = [len(found.at[name]) for name in np.flatnonzero(found.samplers)]
    return max(times, default=0) or None


def once(found: Names) -> Anchor | None:
    """Where nothing has the name of a sampler: an operation that, with two others at the least, returns once in each
    forward; of several sizes of forward the largest, since a layer is one of its parts.
    """
    times = np.array([len(at) for at in found.at])
    if not found.layers.any():
        return None
    few = np.argsort(times, kind="stable")
    few = few[(times[few] >= _TIMES_LEAST) & found.everywhere[few]][:_CANDIDATES_MOST]
    valid = [anchor for anchor in (_anchor(found, int(name)) for name in few) if anchor is not None]
    crowded = [one for one in valid if _like(one, valid) >= _ONCE_LEAST]
    return max(crowded, key=lambda anchor: (anchor.layer_operations, anchor.times), default=None)


def _like(one: Anchor, others: list[Anchor]) -> int:
    return sum(abs(other.times - one.times) <= _ONCE_SPREAD for other in others)


def _anchor(found: Names, name: int) -> Anchor | None:
    """The operations of a name as anchor, None where what lies between them is not one forward."""
    cuts = found.at[name]
    if len(cuts) < 3:
        return None
    parts = [part for part in _layers(found) if part != name]
    counts = (
        np.stack([_between(cuts, found.at[part]) for part in parts])
        if parts
        else np.empty((0, len(cuts) - 1), np.int64)
    )
    usual = np.array([_usual(row) for row in counts])
    ran, as_usual = (counts > 0).sum(axis=0), (counts == usual[:, None]) & (counts > 0)
    whole = float((2 * as_usual.sum(axis=0) >= np.maximum(ran, 1)).mean()) if parts else 0.0
    if whole < _FORWARD_LEAST:
        return None
    return Anchor(
        signatures=np.flatnonzero(found.of_signature == name),
        times=len(cuts),
        forward_ratio=whole,
        layer_operations=int(usual.sum()),
        after_layers=_after(cuts, [found.at[part] for part in parts]),
    )


def _layers(found: Names) -> list[int]:
    """The most frequent names that layers are made of; where none is known, the most frequent names."""
    times = np.array([len(at) for at in found.at])
    known = found.layers & (times > 2)
    order = np.argsort(np.where(known if known.any() else times > 2, -times, 0), kind="stable")
    return [int(name) for name in order[:_LAYERS_MOST] if times[name] > 2 and (known[name] or not known.any())]


def _between(cuts: Ints, at: Ints) -> Ints:
    """How many of the places lie between each cut and the next."""
    return np.diff(np.searchsorted(at, cuts))


def _after(cuts: Ints, layers: list[Ints]) -> float:
    """How far the cuts lie behind the nearest place of a layer before them, in the median."""
    before = [np.concatenate((np.full(1, -1), at))[np.searchsorted(at, cuts)] for at in layers]
    return float(np.median(cuts - np.max(before, axis=0)))


def _usual(counts: Ints) -> int:
    """The most frequent number above 0; 0 where there is none."""
    times = np.bincount(counts)
    times[0] = 0
    return int(times.argmax()) if times.any() else 0
