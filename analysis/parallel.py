"""A typical iteration spread over another number of GPUs: an estimate of what was not recorded, with its assumptions.

Matrix products stream their share of the weights; everything else takes what it took, because on every recorded TP it
did (0.6 to 0.9 ms an iteration). Collectives take what recorded ones of that many GPUs do, joined by NVLink; an
iteration of one GPU gets one after every second matrix product, as its layers would.
"""

from dataclasses import fields, replace

import numpy as np

from analysis.errors import TraceError
from analysis.grouped import Floats
from analysis.intervals import Ints
from analysis.replay import PRODUCT_US
from analysis.typical import EAGER_GAP_US, Strand, Typical

ALL_REDUCE_US = {2: 3.1, 4: 3.4, 8: 3.9}
"""A collective of so many H200s at batch 1, between what both engines' recorded ones take."""
ALL_REDUCE_ERROR = 1.4
"""How far from that either engine's are at most, as a ratio."""


def with_tp(typical: Typical, tp: int) -> Typical:
    """The iteration on `tp` GPUs. Raises TraceError for a number whose collectives were not recorded."""
    if tp != 1 and tp not in ALL_REDUCE_US:
        known = ", ".join(map(str, (1, *ALL_REDUCE_US)))
        raise TraceError(f"TP{tp}; expected one of {known}, whose collectives were recorded; give one of them")
    before = len(typical.strands)
    strands = [typical.strands[rank % before] for rank in range(tp)]
    changed = [_collectives(_products(strand, before / tp), before, tp) for strand in strands]
    return replace(typical, strands=tuple(changed), copies=typical.copies if tp > 1 else 0)


def _products(strand: Strand, times: float) -> Strand:
    streaming_us = np.where(strand.product, np.maximum(strand.own_us - PRODUCT_US, 0), 0)
    return replace(strand, own_us=strand.own_us + streaming_us * (times - 1))


def _collectives(strand: Strand, before: int, tp: int) -> Strand:
    if tp == before:
        return strand
    if tp == 1:
        return strand.only(~strand.meets & ~strand.staged)
    if before == 1:
        return _joined(strand, ALL_REDUCE_US[tp])
    own_us = np.where(strand.meets, strand.own_us * ALL_REDUCE_US[tp] / ALL_REDUCE_US[before], strand.own_us)
    return replace(strand, own_us=own_us)


def _joined(strand: Strand, own_us: float) -> Strand:
    """With a collective after every second product of the body, launched like its other operations."""
    at: Ints = np.flatnonzero(strand.product & strand.body)[1::2] + 1
    launch: dict[str, Floats | float] = {
        "think_us": float(strand.think_us[strand.body].mean()) if strand.body.any() else 0.0,
        "call_us": float(strand.call_us[strand.body].mean()) if strand.body.any() else 0.0,
    }
    put = {"own_us": own_us, "gap_us": EAGER_GAP_US, "meets": True, "body": True, "staged": False, "product": False}
    values = {field.name: (put | launch)[field.name] for field in fields(Strand)}
    return Strand(**{name: np.insert(getattr(strand, name), at, value) for name, value in values.items()})
