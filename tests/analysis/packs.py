"""A packed timeline taken apart again, as timeline_data.js does it."""

import gzip
import json
from base64 import b64decode
from typing import Any

import numpy as np


def opened(text: str) -> dict[str, Any]:
    """The halves, with columns as timeline_data.half gives them."""
    whole = gzip.decompress(b64decode(text))
    length = int.from_bytes(whole[:4], "little")
    halves: dict[str, Any] = json.loads(whole[4 : 4 + length])
    rest = whole[4 + length :]
    for half in halves.values():
        widths, counts = half.pop("widths"), half.pop("counts")
        for kind, told in widths.items():
            half[kind] = {}
            for name, width in told.items():
                size = counts[kind] * width
                half[kind][name], rest = _column(rest[:size], counts[kind], width), rest[size:]
            half[kind] = {name: values.tolist() for name, values in _whole(half[kind]).items()}
    assert rest == b""
    return halves


def _column(told: bytes, count: int, width: int) -> Any:
    planes = np.zeros((8, count), dtype=np.uint8)
    planes[:width] = np.frombuffer(told, dtype=np.uint8).reshape(width, count)
    numbers = np.ascontiguousarray(planes.T).view("<u8").ravel().astype(np.int64)
    return (numbers >> 1) ^ -(numbers & 1)


def _whole(columns: dict[str, Any]) -> dict[str, Any]:
    if "gap" in columns:
        columns["gap"] = columns["gap"] + columns["start"]
        columns["call"] = columns["call"].cumsum()
    starts_ns = (columns["start"] + columns["duration"]).cumsum() - columns["duration"]
    columns["start"] = np.diff(starts_ns, prepend=0)
    return columns
