"""The layouts of nsys's exports, version by version, as text that a person can compare; and hand-made traces in them.

    python -m tests.layouts EXPORT WHOLE_EXPORT > tests/fixtures/nsys-VERSION.sql

EXPORT is what `nsys export --type sqlite` wrote, WHOLE_EXPORT the same with `--lazy=false`, which creates every table
that the version knows. Kept are the columns of the tables below and the rows of NVTX, with the texts that they name.
"""

import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.traces import Sqlite

FOLDER = Path(__file__).parent / "fixtures"
META = ("META_DATA_EXPORT", "EXPORT_META_DATA")
KEPT = (
    *("CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_MEMCPY", "CUPTI_ACTIVITY_KIND_MEMSET"),
    *("CUPTI_ACTIVITY_KIND_RUNTIME", "CUPTI_ACTIVITY_KIND_GRAPH_TRACE", "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION"),
    *("CUPTI_ACTIVITY_KIND_CUDA_EVENT", "CUDA_GRAPH_EVENTS", "CUDA_GRAPH_NODE_EVENTS", "PROFILER_OVERHEAD"),
    *("TARGET_INFO_GPU", "TARGET_INFO_CUDA_DEVICE", "TARGET_INFO_CUDA_STREAM", "TARGET_INFO_CUDA_CONTEXT_INFO"),
    *("TARGET_INFO_CUDA_NULL_STREAM", "TARGET_INFO_SESSION_START_TIME", "StringIds", "NVTX_EVENTS", *META),
)
_PUBLIC = re.compile(r"EXPORT_(PRODUCT_|SCHEMA_VERSION|PLATFORM$|ARCH$|LAZY$|PARAM_LAZY$)")
_TEXT_IDS = {"demangledName", "shortName", "mangledName", "nameId", "textId"}
_OWN_TEXTS = 1_000_000


def versions() -> tuple[str, ...]:
    """The versions whose layouts are stored."""
    return tuple(sorted(path.stem.removeprefix("nsys-") for path in FOLDER.glob("nsys-*.sql")))


def create(version: str, path: Path) -> Path:
    """The export from which the layout of a version was taken: its tables of KEPT, all empty but those of NVTX."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript((FOLDER / f"nsys-{version}.sql").read_text(encoding="utf-8"))
        database.commit()
    return path


def write(trace: Sqlite, version: str, path: Path, *, lazy: bool = True) -> Path:
    """A hand-made trace as a version of nsys would have exported it, beside the NVTX rows of a real export.

    Rows of tables and columns that the version does not know are left out; what it requires beyond the trace is 0.
    Lazy exports have no empty tables.
    """
    create(version, path)
    with closing(sqlite3.connect(path)) as database:
        for table, rows in trace.tables.items():
            known = {row[1]: row for row in database.execute(f'PRAGMA table_info("{table}")')}
            if table not in META and known:
                for row in rows:
                    _insert(database, table, {name: row.get(name) for name in known}, known)
        if lazy:
            for table in _tables(database):
                if not database.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()[0]:
                    database.execute(f'DROP TABLE "{table}"')
        database.commit()
    return path


def _insert(database: sqlite3.Connection, table: str, cells: dict, known: dict) -> None:
    texts = {"id"} if table == "StringIds" else _TEXT_IDS
    for name, value in cells.items():
        if name in texts and value is not None:
            cells[name] = value + _OWN_TEXTS
        elif value is None and known[name][3]:
            cells[name] = "" if known[name][2] == "TEXT" else 0
    names = ", ".join(f'"{name}"' for name in cells)
    database.execute(f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(cells))})', list(cells.values()))


def dump(export: Path, whole: Path) -> Iterator[str]:
    """The lines of a stored layout."""
    with closing(sqlite3.connect(whole)) as database:
        for table in sorted(set(_tables(database)) & set(KEPT)):
            columns = database.execute(f'PRAGMA table_info("{table}")').fetchall()
            yield f'CREATE TABLE "{table}" ('
            yield ",\n".join(
                f'    "{name}" {kind}{" NOT NULL" if needed else ""}' for _, name, kind, needed, *_ in columns
            )
            yield ");"
    with closing(sqlite3.connect(export)) as database:
        for table in META:
            if table in _tables(database):
                rows = database.execute(f'SELECT name, value FROM "{table}"').fetchall()
                yield from (_row(table, row) for row in rows if _PUBLIC.match(row[0]))
        used = "SELECT id, value FROM StringIds WHERE id IN (SELECT textId FROM NVTX_EVENTS) ORDER BY id"
        yield from (_row("StringIds", row) for row in database.execute(used))
        yield from (_row("NVTX_EVENTS", row) for row in database.execute("SELECT * FROM NVTX_EVENTS"))


def _row(table: str, cells: tuple) -> str:
    shown = (
        "NULL" if cell is None else str(cell) if isinstance(cell, int | float) else _quoted(cell) for cell in cells
    )
    return f'INSERT INTO "{table}" VALUES ({", ".join(shown)});'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _tables(database: sqlite3.Connection) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


if __name__ == "__main__":
    print("\n".join(dump(Path(sys.argv[1]), Path(sys.argv[2]))))
