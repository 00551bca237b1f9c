"""A recorded trace, repeated in time, as nsys would have written a capture that many times as long.

A recording leaves out API rows that only ask (`LEFT_OUT` counts them, by name); they are put back beside the launches
that they come with, because every reader of a real export has to get past them. Columns that a recording leaves out
have constants in their places, so that rows are as wide as nsys's.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from analysis import compact
from analysis.extract import KERNEL, LEFT_OUT, RUNTIME

# In nsys's order, which is what a row costs to read up to a column.
_LAYOUTS = {
    KERNEL: (
        *("start", "end", "deviceId", "contextId", "greenContextId", "streamId", "correlationId", "globalPid"),
        *("demangledName", "shortName", "mangledName", "launchType", "cacheConfig", "registersPerThread"),
        *("gridX", "gridY", "gridZ", "blockX", "blockY", "blockZ", "staticSharedMemory", "dynamicSharedMemory"),
        *("localMemoryPerThread", "localMemoryTotal", "gridId", "sharedMemoryExecuted", "graphNodeId"),
        "sharedMemoryLimitConfig",
    ),
    RUNTIME: (*("start", "end", "eventClass", "globalTid", "correlationId", "nameId", "returnValue", "callchainId"),),
}
_FILLED = {
    "greenContextId": "0", "mangledName": "shortName", "cacheConfig": "1", "localMemoryPerThread": "0",
    "localMemoryTotal": "250871808", "gridId": "correlationId", "sharedMemoryExecuted": "102400",
    "sharedMemoryLimitConfig": "0", "callchainId": "NULL",
}  # fmt: skip
_LAUNCHES = "SELECT id FROM StringIds WHERE value LIKE '%Launch%'"


def write(recording: Path, out: Path, times: int) -> None:
    """Write the recording `times` times in a row as one export, each time with new correlation ids."""
    once = out.with_name(f"{out.name}.once")
    try:
        compact.unpack(recording, once)
        with closing(sqlite3.connect(once)) as database:
            _put_queries_back(database)
            database.commit()
        with closing(sqlite3.connect(out)) as database:
            database.executescript("PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
            database.execute("ATTACH ? AS once", (str(once),))
            _repeat(database, times)
            database.commit()
    finally:
        once.unlink(missing_ok=True)


def _put_queries_back(database: sqlite3.Connection) -> None:
    """As many rows of each query as were left out, spread evenly over the launches, right before them."""
    before_ns = 0
    left_out = f"SELECT name, rows, time_ns / rows FROM {LEFT_OUT} WHERE table_name = ? AND name <> '*'"
    for name, rows, took_ns in database.execute(left_out, (RUNTIME,)).fetchall():
        (name_id,) = database.execute("SELECT MAX(id) + 1 FROM StringIds").fetchone()
        database.execute("INSERT INTO StringIds VALUES (?, ?)", (name_id, name))
        (first_id,) = database.execute(f"SELECT MAX(correlationId) + 1 FROM {RUNTIME}").fetchone()
        launches = database.execute(
            f"SELECT start, globalTid FROM {RUNTIME} WHERE nameId IN ({_LAUNCHES}) ORDER BY start, globalTid"
        ).fetchall()
        chosen = (launches[number * len(launches) // rows] for number in range(rows))
        database.executemany(
            f'INSERT INTO {RUNTIME} ("start", "end", eventClass, globalTid, correlationId, nameId, returnValue) '
            "VALUES (?, ?, 0, ?, ?, ?, 0)",
            [
                (at - before_ns - took_ns, at - before_ns, thread, first_id + number, name_id)
                for number, (at, thread) in enumerate(chosen)
            ],
        )
        before_ns += took_ns
    database.execute(f"DROP TABLE {LEFT_OUT}")


def _repeat(database: sqlite3.Connection, times: int) -> None:
    span_ns, ids = _span(database)
    for table, statement in database.execute(
        "SELECT name, sql FROM once.sqlite_master WHERE type = 'table'"
    ).fetchall():
        present = [row[1] for row in database.execute(f'PRAGMA once.table_info("{table}")')]
        if "start" not in present:
            database.execute(statement)
            database.execute(f'INSERT INTO main."{table}" SELECT * FROM once."{table}"')
            continue
        names = _LAYOUTS.get(table, tuple(present))
        declared = ", ".join(f'"{name}" INTEGER' for name in names)
        terms = ", ".join(_term(name, present) for name in names)
        database.execute(f'CREATE TABLE main."{table}" ({declared})')
        # nsys writes rows in order of start, all processes among one another.
        rows = f'SELECT {terms} FROM once."{table}" ORDER BY "start"'
        for number in range(times):
            moved = {"later_ns": number * span_ns, "more": number * ids}
            database.execute(f'INSERT INTO main."{table}" {rows}', moved)


def _term(name: str, present: list[str]) -> str:
    if name in {"start", "end"}:
        return f'"{name}" + :later_ns'
    if name == "correlationId":
        return "correlationId + :more"
    return f'"{name}"' if name in present else _FILLED[name]


def _span(database: sqlite3.Connection) -> tuple[int, int]:
    """How much later, and by how much higher ids, the next time begins; correlation ids are counted by process."""
    (first_ns, last_ns, ids) = database.execute(
        f'SELECT MIN("start"), MAX("end"), MAX(correlationId) FROM once.{RUNTIME}'
    ).fetchone()
    (last_kernel_ns,) = database.execute(f'SELECT MAX("end") FROM once.{KERNEL}').fetchone()
    return max(last_ns, last_kernel_ns) - first_ns, ids
