"""Columns of a trace file as integer arrays: from nsys's SQLite export, plain or xz-compressed, or from a recording.

It knows columns, not what is in them: the meaning of tables and columns is in extract.py. Which files there are to
read, and what is no trace at all, is in files.py.
"""

import sqlite3
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from analysis import bulk, columns
from analysis.errors import TraceError
from analysis.files import as_sqlite

Ints = npt.NDArray[np.int64]
# What values that no nsys writes make of the code that numbers and joins them.
_NONSENSE = (ValueError, LookupError, OverflowError, MemoryError)
DAMAGED = "the file is damaged or cut short: copy it or export the report again"


class Source(Protocol):
    """What extract.py asks of a file."""

    def columns(self, table: str) -> frozenset[str]:
        """Names of the columns of a table; empty where the table is absent."""

    def integers(self, table: str, wanted: Mapping[str, int], *, small: Container[str] = ()) -> dict[str, Ints]:
        """Read columns as integers. `wanted` gives what stands for NULL and for an absent column.

        `small` names columns whose values seldom need more than 32 bits: they may come as int32.
        """

    def stacked(
        self, wanted: Mapping[str, Mapping[str, int]], *, small: Container[str] = ()
    ) -> tuple[list[Ints], list[int]]:
        """Read as many columns of several tables, one table below the other; and how many rows each gave.

        A column is small where its name in the first table is.
        """

    def texts(self, table: str, wanted: tuple[str, ...]) -> list[tuple[str | None, ...]]:
        """Read columns of a small table as text, None for NULL."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """nsys's own tables."""

    path: Path
    database: sqlite3.Connection
    # Of one connection used in two threads at once, on a damaged file, a query can end without its row.
    alone: Lock = field(default_factory=Lock)

    def columns(self, table: str) -> frozenset[str]:
        """Names of the columns of a table; empty where the table is absent."""
        return frozenset(row[1] for row in self._rows(f'PRAGMA table_info("{table}")'))

    def integers(self, table: str, wanted: Mapping[str, int], *, small: Container[str] = ()) -> dict[str, Ints]:
        """Read columns as integers. `wanted` gives what stands for NULL and for an absent column."""
        select = self._select(table, wanted)
        values, _ = self._read([select] if select else [], [name in small for name in wanted])
        return dict(zip(wanted, values, strict=True))

    def stacked(
        self, wanted: Mapping[str, Mapping[str, int]], *, small: Container[str] = ()
    ) -> tuple[list[Ints], list[int]]:
        """Read as many columns of several tables, one table below the other; and how many rows each gave."""
        selects = [self._select(table, names) for table, names in wanted.items()]
        first = next(iter(wanted.values()))
        values, rows = self._read([select for select in selects if select], [name in small for name in first])
        given = iter(rows)
        return values, [next(given) if select else 0 for select in selects]

    def _select(self, table: str, wanted: Mapping[str, int]) -> bulk.Select | None:
        """What reads the columns, None for a table without rows."""
        present = self.columns(table)
        if not present:
            return None
        terms = [f'COALESCE("{name}", {null})' if name in present else str(null) for name, null in wanted.items()]
        # Asked for both at once, SQLite reads the whole table.
        first, last = self._rows(f'SELECT (SELECT MIN(rowid) FROM "{table}"), (SELECT MAX(rowid) FROM "{table}")')[0]
        return None if first is None else bulk.Select(table, terms, (first, last))

    def _read(self, selects: Sequence[bulk.Select], small: Sequence[bool]) -> tuple[list[Ints], list[int]]:
        try:
            return bulk.integers(self.path, selects, small)
        except bulk.ERRORS as error:
            raise sqlite3.DatabaseError(str(error).splitlines()[0]) from error

    def texts(self, table: str, wanted: tuple[str, ...]) -> list[tuple[str | None, ...]]:
        """Read columns of a small table as text, None for NULL."""
        present = self.columns(table)
        if not present:
            return []
        terms = [f'CAST("{name}" AS TEXT)' if name in present else "NULL" for name in wanted]
        return self._rows(f'SELECT {", ".join(terms)} FROM "{table}"')

    def _rows(self, query: str) -> list[Any]:
        with self.alone:
            return self.database.execute(query).fetchall()


@dataclass(frozen=True, kw_only=True)
class Recording:
    """The tables of a recording: the big ones column by column, the small ones as nsys wrote them."""

    database: sqlite3.Connection
    small: Export

    def columns(self, table: str) -> frozenset[str]:
        """Names of the columns of a table; empty where the table is absent."""
        with self.small.alone:
            kept = columns.tables(self.database)
        return frozenset(kept.get(table, ())) or self.small.columns(table)

    def integers(self, table: str, wanted: Mapping[str, int], *, small: Container[str] = ()) -> dict[str, Ints]:
        """Read columns as integers. `wanted` gives what stands for NULL and for an absent column."""
        with self.small.alone:
            stored = columns.read(self.database, table, wanted)
        if not stored:
            return self.small.integers(table, wanted, small=small)
        rows = len(next(iter(stored.values())).values)
        return {
            name: stored[name].filled(null) if name in stored else np.full(rows, null, np.int64)
            for name, null in wanted.items()
        }

    def stacked(
        self, wanted: Mapping[str, Mapping[str, int]], *, small: Container[str] = ()
    ) -> tuple[list[Ints], list[int]]:
        """Read as many columns of several tables, one table below the other; and how many rows each gave."""
        found = [[*self.integers(table, names, small=small).values()] for table, names in wanted.items()]
        return [np.concatenate(column) for column in zip(*found, strict=True)], [len(columns[0]) for columns in found]

    def texts(self, table: str, wanted: tuple[str, ...]) -> list[tuple[str | None, ...]]:
        """Read columns of a small table as text, None for NULL."""
        return self.small.texts(table, wanted)


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open a trace for reading; raises TraceError where it is not one or is damaged."""
    try:
        with as_sqlite(path) as plain, connected(plain, shown=path) as database:
            export = Export(path=plain, database=database)
            packed = bool(export.columns(columns.TABLE))
            yield Recording(database=database, small=export) if packed else export
    except TraceError as error:
        if str(path) in str(error):
            raise
        raise TraceError(f"{path}: {error}") from error
    except _NONSENSE as error:
        raise TraceError(f"{path}: holds values that nsys does not write ({_line(error)}); {DAMAGED}") from error


@contextmanager
def connected(path: Path, *, shown: Path) -> Iterator[sqlite3.Connection]:
    """Open SQLite so that nothing is written beside the file; its errors become TraceErrors about `shown`."""
    database = sqlite3.connect(bulk.uri(path), uri=True, check_same_thread=False)
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        yield database
    except sqlite3.Error as error:
        raise TraceError(f"{shown}: SQLite cannot read it ({_line(error)}); {DAMAGED}") from error
    finally:
        database.close()


def _line(error: BaseException) -> str:
    """The first line of a message, without what a damaged file put into it."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(error).partition("\n")[0]).strip()
    return text or type(error).__name__
