import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from analysis import bulk
from analysis.errors import TraceError

ROWS = 120_000


def test_ranges_read_side_by_side_are_joined_in_order(tmp_path: Path) -> None:
    path = _table(tmp_path, range(ROWS))
    (values,) = bulk.integers(path, "t", ["a"], "a % 3 = 0", (1, ROWS))
    assert values.tolist() == list(range(0, ROWS, 3))


def test_row_ids_with_wide_holes_are_read_whole(tmp_path: Path) -> None:
    path = _table(tmp_path, [1, 2])
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO t (rowid, a) VALUES (?, 3)", (2**60,))
        database.commit()
    assert bulk.integers(path, "t", ["a"], "1", (1, 2**60))[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("at", [0, ROWS - 1], ids=["in the first batch", "later"])
def test_a_text_is_no_integer(tmp_path: Path, at: int) -> None:
    path = _table(tmp_path, ["text" if number == at else number for number in range(ROWS)])
    with pytest.raises(TraceError, match="table t has a value that is not an integer"):
        bulk.integers(path, "t", ["a"], "1", (1, ROWS))


def test_nothing_is_written_beside_the_file(tmp_path: Path) -> None:
    bulk.integers(_table(tmp_path, [1]), "t", ["a"], "1", (1, 1))
    assert [found.name for found in tmp_path.iterdir()] == ["t #1.sqlite"]


def _table(folder: Path, values: object) -> Path:
    path = folder / "t #1.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (a)")
        database.executemany("INSERT INTO t VALUES (?)", ((value,) for value in values))  # type: ignore[attr-defined]
        database.commit()
    return path
