"""Two halves of a timeline as text that can stand in a page: what timeline_data.js takes apart again.

Base64 of gzip of: the length of the head in four bytes, the head in JSON, and the columns one after the other. Of a
column stand all lowest bytes first, then all next ones, as many as its head says: bytes that are alike lie together,
and take half of what the same numbers do in JSON.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis.intervals import Ints

KINDS = ("operations", "calls")


def packed(halves: Mapping[str, Mapping[str, Any]]) -> str:
    """The halves, each as timeline_data.half gives it; the same for the same content."""
    head, body = {}, b""
    for name, half in halves.items():
        columns = {kind: _told(half[kind]) for kind in KINDS}
        widths = {kind: {key: _width(values) for key, values in told.items()} for kind, told in columns.items()}
        counts = {kind: len(half[kind]["row"]) for kind in KINDS}
        rest = {key: value for key, value in half.items() if key not in KINDS}
        head[name] = {**rest, "widths": widths, "counts": counts}
        body += b"".join(
            _bytes(values, widths[kind][key]) for kind, told in columns.items() for key, values in told.items()
        )
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    return _letters(len(text).to_bytes(4, "little") + text + body)


def packed_text(text: str) -> str:
    """A text alone: base64 of gzip of it."""
    return _letters(text.encode())


def _letters(content: bytes) -> str:
    return b64encode(gzip.compress(content, 9, mtime=0)).decode("ascii")


def _told(spans: Mapping[str, list[int]]) -> dict[str, Ints]:
    """The columns as small numbers, 0 and above; places and ends are known from what stands before.

    A start counts from the end before, a gap from that number, which mostly is the gap; a call from the call before.
    """
    found = {key: np.asarray(values, dtype=np.int64) for key, values in spans.items()}
    starts_ns = np.cumsum(found["start"])
    found["start"] = starts_ns - np.concatenate([[0], (starts_ns + found["duration"])[:-1]])[: len(starts_ns)]
    if "gap" in found:
        found["gap"] = found["gap"] - found["start"]
    if "call" in found:
        found["call"] = np.diff(found["call"], prepend=0)
    return {key: (values << 1) ^ (values >> 63) for key, values in found.items()}


def _width(values: Ints) -> int:
    """How many bytes the largest takes."""
    return (int(values.max(initial=0)).bit_length() + 7) // 8


def _bytes(values: Ints, width: int) -> bytes:
    return values.astype("<i8").view(np.uint8).reshape(-1, 8).T[:width].tobytes()
