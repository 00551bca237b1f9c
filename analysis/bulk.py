"""Columns of a big table as integer arrays, read in ranges of rows side by side.

Python's own sqlite3 makes an object of every value, which takes longer than all that the analysis does with them. The
ADBC driver writes values into Arrow columns in C and lets other threads run meanwhile.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import adbc_driver_sqlite.dbapi as adbc
import numpy as np
import numpy.typing as npt
import pyarrow

from analysis.errors import TraceError

Ints = npt.NDArray[np.int64]
Batch = list[Ints]
ERRORS: tuple[type[Exception], ...] = (adbc.Error, OSError)
"""What a damaged file raises."""
# Fewer rows are read sooner than a thread is started.
_RANGE_LEAST = 50_000
_RANGES_MOST = 4
# Small enough to be copied while in the processor's cache.
_BATCH_ROWS = "65536"


def integers(uri: str, table: str, terms: Sequence[str], condition: str, rows: tuple[int, int]) -> list[Ints]:
    """The value of each SQL term in the rows (first and last row id) that meet the condition, in order of row id.

    Raises one of ERRORS for a damaged file, and TraceError for a value that is not an integer.
    """
    first, last = rows
    ranges = max(1, min(_RANGES_MOST, os.cpu_count() or 1, (last - first) // _RANGE_LEAST))
    edges = [first + (last + 1 - first) * number // ranges for number in range(ranges + 1)]
    queries = [
        f'SELECT {", ".join(terms)} FROM "{table}" WHERE rowid >= {low} AND rowid < {high} AND {condition}'
        for low, high in pairwise(edges)
    ]
    with ThreadPoolExecutor(ranges) as threads:
        read = list(threads.map(lambda query: _batches(uri, table, query), queries))
    batches = [batch for found in read for batch in found]
    del read
    columns = []
    for _ in terms:
        # Batches let go of a column as soon as it is whole, lest all be held twice.
        parts = [batch.pop(0) for batch in batches]
        columns.append(np.concatenate(parts) if parts else np.empty(0, np.int64))
    return columns


def _batches(uri: str, table: str, query: str) -> list[Batch]:
    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": _BATCH_ROWS})
        cursor.execute(query)
        try:
            return [[_column(table, values) for values in batch] for batch in cursor.fetch_record_batch()]
        except OSError as error:
            if "Type mismatch" in str(error):
                raise _no_integer(table, str(error).rpartition(" ")[2]) from error
            raise


def _column(table: str, values: pyarrow.Array) -> Ints:
    # The type of a column is that of its values in the first batch.
    if values.type != pyarrow.int64():
        raise _no_integer(table, str(values.type))
    return np.asarray(values.to_numpy())


def _no_integer(table: str, kind: str) -> TraceError:
    return TraceError(f"table {table} has a value that is not an integer ({kind}); export the report again")
