"""How a recording keeps a table: one blob of integers per column, rearranged so that xz finds what repeats.

Values are exact: every step is undone by `read`. What makes it small: a start is kept as the time since the end of
the row before, an end as a duration, both grouped by the name of what ran; other numbers as differences; and the
bytes of equal weight of all values lie together.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
TABLE = "PACKED_COLUMNS"
_SCHEMA = f"""CREATE TABLE IF NOT EXISTS {TABLE} (
    table_name TEXT, column_name TEXT, position INTEGER, rows INTEGER,
    step TEXT, grouped_by TEXT, nulls BLOB, data BLOB,
    PRIMARY KEY (table_name, column_name)) WITHOUT ROWID"""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A column: its values as int64 (0 where NULL) and a mask of the NULLs, None where there are none."""

    values: Ints
    nulls: Mask | None = None

    def filled(self, null: int) -> Ints:
        """The values with `null` for NULL."""
        return self.values if self.nulls is None else np.where(self.nulls, null, self.values)


def write(database: sqlite3.Connection, table: str, data: Mapping[str, Stored], *, grouped_by: str | None) -> None:
    """Keep a table whose rows are in their final order.

    Columns named start and end become gap and duration, grouped by the values of column `grouped_by`.
    """
    database.execute(_SCHEMA)
    order = np.argsort(data[grouped_by].values, kind="stable") if grouped_by else None
    for position, (name, column) in enumerate(data.items()):
        step, values = _encoded(name, column.values, data)
        grouped = grouped_by if step in {"gap", "duration"} else None
        if grouped is not None and order is not None:
            values = values[order]
        nulls = None if column.nulls is None or not column.nulls.any() else np.packbits(column.nulls).tobytes()
        database.execute(
            f"INSERT INTO {TABLE} VALUES (?,?,?,?,?,?,?,?)",
            (table, name, position, len(values), step, grouped, nulls, _planes(values)),
        )


def read(database: sqlite3.Connection, table: str, wanted: Iterable[str]) -> dict[str, Stored]:
    """The wanted columns of a table that a recording keeps; empty where it does not keep the table so."""
    rows = database.execute(
        f"SELECT column_name, rows, step, grouped_by, nulls, data FROM {TABLE} WHERE table_name = ?", (table,)
    )
    kept = _Kept({name: _Blob(*rest) for name, *rest in rows})
    return {
        name: Stored(values=kept.values(name), nulls=kept.blobs[name].mask()) for name in wanted if name in kept.blobs
    }


def tables(database: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """The kept tables with their columns in order."""
    found: dict[str, tuple[str, ...]] = {}
    for table, name in database.execute(f"SELECT table_name, column_name FROM {TABLE} ORDER BY table_name, position"):
        found[table] = (*found.get(table, ()), name)
    return found


def _encoded(name: str, values: Ints, data: Mapping[str, Stored]) -> tuple[str, Ints]:
    if name == "end" and "start" in data:
        return "duration", values - data["start"].values
    if name == "start" and "end" in data:
        return "gap", values - _after_one(data["end"].values)
    return "difference", np.diff(values, prepend=np.int64(0))


class _Kept:
    """The columns of one kept table, decoded when asked for: a start needs the ends, and grouped ones their groups."""

    def __init__(self, blobs: Mapping[str, "_Blob"]) -> None:
        self.blobs = blobs
        self._known: dict[str, Ints] = {}

    def values(self, name: str) -> Ints:
        if name not in self._known:
            self._known[name] = self._decoded(name)
        return self._known[name]

    def _decoded(self, name: str) -> Ints:
        step, coded = self.blobs[name].step, self._coded(name)
        if step == "difference":
            return np.cumsum(coded)
        if step == "gap":
            return np.cumsum(coded + _after_one(self._coded("end")))
        return self.values("start") + coded

    def _coded(self, name: str) -> Ints:
        blob = self.blobs[name]
        if blob.grouped_by is None:
            return blob.integers()
        values = np.empty(blob.rows, np.int64)
        values[np.argsort(self.values(blob.grouped_by), kind="stable")] = blob.integers()
        return values


class _Blob(NamedTuple):
    """A row of the table."""

    rows: int
    step: str
    grouped_by: str | None
    nulls: bytes | None
    data: bytes

    def integers(self) -> Ints:
        planes = np.frombuffer(self.data, np.uint8).reshape(8, self.rows)
        return np.ascontiguousarray(planes.T).view("<i8").reshape(self.rows).astype(np.int64)

    def mask(self) -> Mask | None:
        if self.nulls is None:
            return None
        return np.unpackbits(np.frombuffer(self.nulls, np.uint8), count=self.rows).astype(np.bool_)


def _after_one(values: Ints) -> Ints:
    """The value of the row before, 0 for the first."""
    return np.concatenate((np.zeros(1, np.int64), values))[: len(values)]


def _planes(values: Ints) -> bytes:
    """All lowest bytes, then all second bytes, ..."""
    return np.ascontiguousarray(values.astype("<i8").view(np.uint8).reshape(-1, 8).T).tobytes()
