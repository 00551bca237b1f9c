import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from analysis import bulk
from analysis.errors import TraceError

ROWS = 120_000


def test_ranges_read_side_by_side_are_joined_in_order(tmp_path: Path) -> None:
    path = _table(tmp_path, range(ROWS))
    assert _read(path, ROWS) == list(range(ROWS))


def test_selects_stand_one_below_the_other(tmp_path: Path) -> None:
    path = _table(tmp_path, range(ROWS))
    selects = [bulk.Select("t", ["a"], (1, ROWS)), bulk.Select("t", ["-a"], (2, 3))]
    (values,), rows = bulk.integers(path, selects, [True])
    assert values.tolist() == [*range(ROWS), -1, -2]
    assert rows == [ROWS, 2]
    assert values.dtype == np.int32


@pytest.mark.parametrize("at", [0, ROWS - 1], ids=["in the first batch", "later"])
def test_a_small_column_is_wide_where_a_value_needs_it(tmp_path: Path, at: int) -> None:
    path = _table(tmp_path, [2**31 if number == at else number for number in range(ROWS)])
    (values,), _ = bulk.integers(path, [bulk.Select("t", ["a"], (1, ROWS))], [True])
    assert values.dtype == np.int64
    assert values[at] == 2**31


def test_row_ids_with_wide_holes_are_read_whole(tmp_path: Path) -> None:
    path = _table(tmp_path, [1, 2])
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO t (rowid, a) VALUES (?, 3)", (2**60,))
        database.commit()
    assert _read(path, 2**60) == [1, 2, 3]


@pytest.mark.parametrize("at", [0, ROWS - 1], ids=["in the first batch", "later"])
def test_a_text_is_no_integer(tmp_path: Path, at: int) -> None:
    path = _table(tmp_path, ["text" if number == at else number for number in range(ROWS)])
    with pytest.raises(TraceError, match="table t has a value that is not an integer"):
        _read(path, ROWS)


def test_nothing_is_written_beside_the_file(tmp_path: Path) -> None:
    _read(_table(tmp_path, [1]), 1)
    assert [found.name for found in tmp_path.iterdir()] == ["t #1.sqlite"]


def _read(path: Path, last: int) -> list[int]:
    (values,), _ = bulk.integers(path, [bulk.Select("t", ["a"], (1, last))], [False])
    found: list[int] = values.tolist()
    return found


def _table(folder: Path, values: object) -> Path:
    path = folder / "t #1.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (a)")
        database.executemany("INSERT INTO t VALUES (?)", ((value,) for value in values))  # type: ignore[attr-defined]
        database.commit()
    return path
