"""Columns of big tables as integer arrays, read in ranges of rows side by side.

Python's own sqlite3 makes an object of every value, which takes longer than all that the analysis does with them. The
ADBC driver writes values into Arrow columns in C and lets other threads run meanwhile.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import adbc_driver_sqlite.dbapi as adbc
import numpy as np
import numpy.typing as npt
import pyarrow
from adbc_driver_manager.dbapi import Connection, Cursor

from analysis.errors import TraceError
from analysis.threads import THREADS_MOST, side_by_side

Handle = TypeVar("Handle", Connection, Cursor)
Ints = npt.NDArray[np.int64]
ERRORS: tuple[type[Exception], ...] = (adbc.Error, OSError)
"""What a damaged file raises."""
# Fewer rows are read sooner than a thread is started; of more the last range may be long when all others are done.
_RANGE_LEAST, _RANGE_MOST = 50_000, 500_000
# Small enough for all columns of a batch to stay in the processor's cache until they are copied.
_BATCH_ROWS = "8192"
# A row of a table with a few columns takes more, so that there are no more rows than that in a file.
_ROW_BYTES = 4


class Select(NamedTuple):
    """The value of each SQL term in the rows from the first to the last row id."""

    table: str
    terms: Sequence[str]
    rows: tuple[int, int]


class _Range(NamedTuple):
    """Some rows of a select, and from where on the columns have room for them."""

    select: int
    first: int
    last: int
    begin: int


class _TooLargeError(Exception):
    """A value needs more than 32 bits."""


def uri(path: Path) -> str:
    """How SQLite opens a file so that nothing is written, neither to it nor beside it."""
    # immutable: without it SQLite may create -journal, -wal or -shm files in the user's folder.
    return f"{path.absolute().as_uri()}?mode=ro&immutable=1"


def integers(path: Path, selects: Sequence[Select], small: Sequence[bool]) -> tuple[list[Ints], list[int]]:
    """The columns of the selects, one select below the other, in order of row id; and how many rows each gave.

    Those that are said to be small have 32 bits, unless a value needs more. Raises one of ERRORS for a damaged file,
    and TraceError for a value that is not an integer.
    """
    try:
        return _read(path, selects, [np.int32 if narrow else np.int64 for narrow in small])
    except _TooLargeError:
        return _read(path, selects, [np.int64] * len(small))


def _read(path: Path, selects: Sequence[Select], types: Sequence[type[Any]]) -> tuple[list[Ints], list[int]]:
    # A table with holes in its row ids has fewer rows than ids.
    most = [min(last + 1 - first, path.stat().st_size // _ROW_BYTES) for *_, (first, last) in selects]
    ranges = list(_ranges(selects, most))
    # Room for all rows there can be; what stays empty takes no memory.
    columns = [np.empty(sum(most), kind) for kind in types]

    def read(part: _Range) -> int:
        table, terms, _ = selects[part.select]
        query = f'SELECT {", ".join(terms)} FROM "{table}" WHERE rowid >= {part.first} AND rowid <= {part.last}'
        return _fill(path, table, query, [column[part.begin :] for column in columns])

    counts = side_by_side(read, ranges)
    rows = np.bincount([part.select for part in ranges], counts, minlength=len(selects)).astype(int).tolist()
    return [_closed(column, [part.begin for part in ranges], counts) for column in columns], rows


def _ranges(selects: Sequence[Select], most: Sequence[int]) -> Iterator[_Range]:
    for number, (select, begin) in enumerate(zip(selects, accumulate(most, initial=0), strict=False)):
        first, span = select.rows[0], select.rows[1] + 1 - select.rows[0]
        # Where rows were deleted, nothing tells where in the columns a range begins.
        whole = most[number] == span
        ranges = max(1, min(THREADS_MOST, span // _RANGE_LEAST), span // _RANGE_MOST) if whole else 1
        for at in range(ranges):
            low, high = span * at // ranges, span * (at + 1) // ranges
            yield _Range(number, first + low, first + high - 1, begin + low)


def _fill(path: Path, table: str, query: str, columns: list[Ints]) -> int:
    """Write the rows of a query to the begin of the columns, and return how many there are."""
    done = 0
    with _closed_anyway(adbc.connect(uri(path))) as connection, _closed_anyway(connection.cursor()) as cursor:
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": _BATCH_ROWS})
        cursor.execute(query)
        try:
            for batch in cursor.fetch_record_batch():
                for column, values in zip(columns, batch, strict=True):
                    _write(column[done : done + len(values)], _numbers(table, values))
                done += batch.num_rows
        except OSError as error:
            if "Type mismatch" in str(error):
                raise _no_integer(table, str(error).rpartition(" ")[2]) from error
            raise
    return done


@contextmanager
def _closed_anyway(handle: Handle) -> Iterator[Handle]:
    """Close a connection or a cursor at the end, also where that fails: of a damaged file it does.

    What was not closed tries again when it is collected, and then complains where nobody asked.
    """
    try:
        yield handle
    finally:
        try:
            handle.close()
        except (adbc.Error, RuntimeError):
            handle._closed = True


def _write(column: Ints, values: Ints) -> None:
    column[:] = values
    if column.dtype != values.dtype and (column != values).any():
        raise _TooLargeError


def _numbers(table: str, values: pyarrow.Array) -> Ints:
    # The type of a column is that of its values in the first batch.
    if values.type != pyarrow.int64():
        raise _no_integer(table, str(values.type))
    return np.asarray(values.to_numpy())


def _no_integer(table: str, kind: str) -> TraceError:
    return TraceError(f"table {table} has a value that is not an integer ({kind}); export the report again")


def _closed(column: Ints, begins: Sequence[int], counts: Sequence[int]) -> Ints:
    """The ranges of a column, so many rows from each begin, moved together."""
    done = 0
    for begin, count in zip(begins, counts, strict=True):
        if begin != done:
            column[done : done + count] = column[begin : begin + count]
        done += count
    return column[:done]
