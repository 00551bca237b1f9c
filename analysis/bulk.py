"""Columns of a big table as integer arrays, read in ranges of rows side by side.

Python's own sqlite3 makes an object of every value, which takes longer than all that the analysis does with them. The
ADBC driver writes values into Arrow columns in C and lets other threads run meanwhile.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import adbc_driver_sqlite.dbapi as adbc
import numpy as np
import numpy.typing as npt
import pyarrow

from analysis.errors import TraceError
from analysis.threads import THREADS_MOST, side_by_side

Ints = npt.NDArray[np.int64]
ERRORS: tuple[type[Exception], ...] = (adbc.Error, OSError)
"""What a damaged file raises."""
# Fewer rows are read sooner than a thread is started.
_RANGE_LEAST = 50_000
# Small enough to be copied while in the processor's cache.
_BATCH_ROWS = "65536"
# A row of a table with a few columns takes more, so that there are no more rows than that in a file.
_ROW_BYTES = 4


def uri(path: Path) -> str:
    """How SQLite opens a file so that nothing is written, neither to it nor beside it."""
    # immutable: without it SQLite may create -journal, -wal or -shm files in the user's folder.
    return f"{path.absolute().as_uri()}?mode=ro&immutable=1"


def integers(path: Path, table: str, terms: Sequence[str], condition: str, rows: tuple[int, int]) -> list[Ints]:
    """The value of each SQL term in the rows (first and last row id) that meet the condition, in order of row id.

    Raises one of ERRORS for a damaged file, and TraceError for a value that is not an integer.
    """
    first, span = rows[0], rows[1] + 1 - rows[0]
    most = min(span, path.stat().st_size // _ROW_BYTES)
    # Ids with holes, as where rows were deleted, do not tell where in the columns a range begins.
    ranges = 1 if most < span else max(1, min(THREADS_MOST, span // _RANGE_LEAST))
    edges = [span * number // ranges for number in range(ranges + 1)]
    # Room for all rows there can be; what stays empty takes no memory.
    columns = [np.empty(most, np.int64) for _ in terms]

    def read(bounds: tuple[int, int]) -> int:
        within = f"rowid >= {first + bounds[0]} AND rowid < {first + bounds[1]} AND {condition}"
        query = f'SELECT {", ".join(terms)} FROM "{table}" WHERE {within}'
        return _fill(path, table, query, [column[bounds[0] :] for column in columns])

    counts = side_by_side(read, pairwise(edges))
    return [_closed(column, edges, counts) for column in columns]


def _fill(path: Path, table: str, query: str, columns: list[Ints]) -> int:
    """Write the rows of a query to the begin of the columns, and return how many there are."""
    done = 0
    with adbc.connect(uri(path)) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": _BATCH_ROWS})
        cursor.execute(query)
        try:
            for batch in cursor.fetch_record_batch():
                for column, values in zip(columns, batch, strict=True):
                    column[done : done + len(values)] = _numbers(table, values)
                done += batch.num_rows
        except OSError as error:
            if "Type mismatch" in str(error):
                raise _no_integer(table, str(error).rpartition(" ")[2]) from error
            raise
    return done


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
    for begin, count in zip(begins, counts, strict=False):
        if begin != done:
            column[done : done + count] = column[begin : begin + count]
        done += count
    return column[:done]
