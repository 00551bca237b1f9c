"""Columns of a trace file as integer arrays: from nsys's SQLite export, plain or xz-compressed, or from a recording.

It knows files, not what is in them: the meaning of tables and columns is in extract.py. Files are only read; a
compressed one is unpacked into a temporary file that is gone afterwards.
"""

import lzma
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from analysis import bulk, columns
from analysis.errors import TraceError
from analysis.intervals import Mask

Ints = npt.NDArray[np.int64]
MAGIC = b"SQLite format 3\x00"
XZ_MAGIC = b"\xfd7zXZ\x00"
EXPORT_HINT = "make one with: nsys export --type sqlite REPORT.nsys-rep"


class Source(Protocol):
    """What extract.py asks of a file."""

    def columns(self, table: str) -> frozenset[str]:
        """Names of the columns of a table; empty where the table is absent."""

    def integers(
        self, table: str, wanted: Mapping[str, int], *, excluding: tuple[str, Iterable[int]] | None = None
    ) -> dict[str, Ints]:
        """Read columns as int64. `wanted` gives what stands for NULL and for an absent column."""

    def texts(self, table: str, wanted: tuple[str, ...]) -> list[tuple[str | None, ...]]:
        """Read columns of a small table as text, None for NULL."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """nsys's own tables."""

    path: Path
    database: sqlite3.Connection

    def columns(self, table: str) -> frozenset[str]:
        """Names of the columns of a table; empty where the table is absent."""
        return frozenset(row[1] for row in self.database.execute(f'PRAGMA table_info("{table}")'))

    def integers(
        self, table: str, wanted: Mapping[str, int], *, excluding: tuple[str, Iterable[int]] | None = None
    ) -> dict[str, Ints]:
        """Read columns as int64. `wanted` gives what stands for NULL and for an absent column."""
        present = self.columns(table)
        if not present:
            return {name: np.empty(0, np.int64) for name in wanted}
        terms = [f'COALESCE("{name}", {null})' if name in present else str(null) for name, null in wanted.items()]
        condition = "1"
        if excluding:
            condition = f'"{excluding[0]}" NOT IN ({",".join(str(int(value)) for value in excluding[1])})'
        rows = self.database.execute(f'SELECT MIN(rowid), MAX(rowid) FROM "{table}"').fetchone()
        if rows[0] is None:
            return {name: np.empty(0, np.int64) for name in wanted}
        try:
            values = bulk.integers(self.path, table, terms, condition, rows)
        except bulk.ERRORS as error:
            raise sqlite3.DatabaseError(str(error).splitlines()[0]) from error
        return dict(zip(wanted, values, strict=True))

    def texts(self, table: str, wanted: tuple[str, ...]) -> list[tuple[str | None, ...]]:
        """Read columns of a small table as text, None for NULL."""
        present = self.columns(table)
        if not present:
            return []
        terms = [f'CAST("{name}" AS TEXT)' if name in present else "NULL" for name in wanted]
        return self.database.execute(f'SELECT {", ".join(terms)} FROM "{table}"').fetchall()


@dataclass(frozen=True, kw_only=True)
class Recording:
    """The tables of a recording: the big ones column by column, the small ones as nsys wrote them."""

    database: sqlite3.Connection
    small: Export

    def columns(self, table: str) -> frozenset[str]:
        """Names of the columns of a table; empty where the table is absent."""
        found = self.database.execute(f"SELECT column_name FROM {columns.TABLE} WHERE table_name = ?", (table,))
        return frozenset(row[0] for row in found) or self.small.columns(table)

    def integers(
        self, table: str, wanted: Mapping[str, int], *, excluding: tuple[str, Iterable[int]] | None = None
    ) -> dict[str, Ints]:
        """Read columns as int64. `wanted` gives what stands for NULL and for an absent column."""
        stored = columns.read(self.database, table, {*wanted, *(excluding[:1] if excluding else ())})
        if not stored:
            return self.small.integers(table, wanted, excluding=excluding)
        rows = len(next(iter(stored.values())).values)
        kept: Mask = np.ones(rows, dtype=bool)
        if excluding:
            kept = ~np.isin(stored[excluding[0]].values, np.array(list(excluding[1]), np.int64))
        return {
            name: (stored[name].filled(null) if name in stored else np.full(rows, null, np.int64))[kept]
            for name, null in wanted.items()
        }

    def texts(self, table: str, wanted: tuple[str, ...]) -> list[tuple[str | None, ...]]:
        """Read columns of a small table as text, None for NULL."""
        return self.small.texts(table, wanted)


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open a trace for reading; raises TraceError where it is not one or is damaged."""
    with as_sqlite(path) as plain, connected(plain, shown=path) as database:
        export = Export(path=plain, database=database)
        packed = bool(export.columns(columns.TABLE))
        yield Recording(database=database, small=export) if packed else export


@contextmanager
def connected(path: Path, *, shown: Path) -> Iterator[sqlite3.Connection]:
    """Open SQLite so that nothing is written beside the file; its errors become TraceErrors about `shown`."""
    database = sqlite3.connect(bulk.uri(path), uri=True)
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        yield database
    except sqlite3.Error as error:
        raise TraceError(f"{shown}: SQLite cannot read it ({error}); the file is damaged or cut short") from error
    finally:
        database.close()


@contextmanager
def as_sqlite(path: Path) -> Iterator[Path]:
    """Give the path of a plain SQLite file with the trace: the file itself, or a temporary one if it is xz."""
    head = _head(path)
    if head.startswith(XZ_MAGIC):
        with tempfile.TemporaryDirectory(prefix="trace-") as folder:
            plain = Path(folder) / "trace.sqlite"
            _decompress(path, plain)
            _expect_sqlite(path, _head(plain))
            yield plain
    else:
        _expect_sqlite(path, head)
        yield path


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC))
    except FileNotFoundError:
        raise TraceError(f"{path}: no such file") from None
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror})") from error


def _expect_sqlite(path: Path, head: bytes) -> None:
    if path.suffix in {".nsys-rep", ".qdrep"}:
        raise TraceError(f"{path}: this is an nsys report, not its SQLite export; {EXPORT_HINT}")
    if not head:
        raise TraceError(f"{path}: the file is empty; expected nsys's SQLite export, {EXPORT_HINT}")
    if head != MAGIC:
        raise TraceError(f"{path}: not an SQLite file; expected nsys's SQLite export, {EXPORT_HINT}")
    for suffix in ("-journal", "-wal"):
        beside = path.with_name(path.name + suffix)
        if beside.exists() and beside.stat().st_size:
            raise TraceError(f"{path}: still being written ({beside.name} is beside it); wait for nsys to finish")


def _decompress(path: Path, plain: Path) -> None:
    try:
        with lzma.open(path) as packed, plain.open("wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
    except (lzma.LZMAError, EOFError) as error:
        raise TraceError(f"{path}: the xz data is damaged or cut short ({error}); copy the file again") from error
