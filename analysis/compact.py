"""The form in which recordings ship: small, exact in what it keeps, and without anything personal.

nsys stores the environment, command lines, host and user names and paths of the traced processes in many tables. A
recording therefore has only what allowed.py lists; texts are kept only where a kept row names them. What was left
out is stated, table by table, in LEFT_OUT; of calls that only ask the time stands with the call that follows, in
column api.ASKED. `python -m analysis.compact pack IN OUT` makes a recording, `unpack IN OUT` an SQLite file with
nsys's own tables for other tools.
"""

import lzma
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import allowed, api, columns, files, joins, outputs, program, store
from analysis.columns import Stored
from analysis.command_line import Parser
from analysis.errors import TraceError
from analysis.extract import COPY, EXPORTED_BY, GRAPH, KERNEL, LEFT_OUT, NVTX, RUNTIME, SET
from analysis.intervals import Mask
from analysis.store import Export

FORMAT = "2026-11-21"
RECORDING = "a recording, such as the .sqlite.xz files in data/recordings, or what this command makes by pack"
_NULL = -(2**63) + 1
_TEXTS = {"value", "name", "uuid", "chipName", "utcTime", "table_name"}
_START = "TARGET_INFO_SESSION_START_TIME"


def pack(trace: Path, out: Path) -> None:
    """Write the recording of a trace, xz-compressed, whole or not at all; raises TraceError for what is not a trace."""
    with store.opened(trace) as source, _written(out) as plain:
        if not isinstance(source, Export):
            raise TraceError(f"{trace}: already in the form of a recording; copy the file instead")
        with closing(sqlite3.connect(plain)) as database:
            # Few large pages: a blob is cut by fewer page links, which do not compress.
            database.execute("PRAGMA page_size = 65536")
            _pack(source, database)
            database.commit()
        _compress(plain)


def unpack(recording: Path, out: Path) -> None:
    """Write what a recording keeps as an SQLite file with nsys's names of tables and columns; raises TraceError."""
    with files.as_sqlite(recording, RECORDING) as packed, store.connected(packed, shown=recording) as source:
        if not Export(path=packed, database=source).columns(columns.TABLE):
            raise TraceError(f"{recording}: {_in_place_of_a_recording(source)}")
        with _written(out) as plain, closing(sqlite3.connect(plain)) as database:
            for table, names in columns.tables(source).items():
                _unpack(source, database, table, names)
            _copy_small(source, database)
            database.commit()


def _in_place_of_a_recording(database: sqlite3.Connection) -> str:
    known = {KERNEL, COPY, SET, GRAPH, RUNTIME, NVTX, *EXPORTED_BY}
    found = {str(name) for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if found & known:
        return "nsys's own export, not in the form of a recording; expected one; use the export as it is"
    return f"an SQLite file without a trace; expected {RECORDING}"


def _pack(source: Export, database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE PACKED_FORMAT (format TEXT)")
    database.execute("INSERT INTO PACKED_FORMAT VALUES (?)", (FORMAT,))
    strings = {int(number or 0): value or "" for number, value in source.texts("StringIds", ("id", "value"))}
    tables = {kept.table: found for kept in allowed.KEPT if (found := _read(source, kept))}
    left_out = [_stated(source, table) for table in allowed.STATED if source.columns(table)]
    if NVTX in tables:
        tables[NVTX], others = _only_ranges(tables[NVTX], _with_inline_texts(source, tables[NVTX], strings))
        left_out.append((NVTX, "*", others, None))
    if RUNTIME in tables:
        tables[RUNTIME], queries = _without_queries(tables, strings)
        left_out.extend(queries)
    used: set[int] = set()
    for kept in allowed.KEPT:
        if kept.table in tables:
            data = _sorted(tables[kept.table], kept.order)
            columns.write(database, kept.table, data, grouped_by=kept.grouped_by)
            used.update(*(np.unique(data[name].values).tolist() for name in kept.texts if name in data))
    _write(
        database, "StringIds", ("id", "value"), [(i, allowed.public(strings[i])) for i in sorted(used & set(strings))]
    )
    _write(database, LEFT_OUT, ("table_name", "name", "rows", "time_ns"), left_out)
    _pack_descriptions(source, database)


def _stated(source: Export, table: str) -> tuple[str, str, int, int | None]:
    timed = {"start", "end"} <= source.columns(table)
    total = 'SUM("end" - "start")' if timed else "NULL"
    rows, time_ns = source.database.execute(f'SELECT COUNT(*), {total} FROM "{table}"').fetchone()
    return table, "*", rows, time_ns


def _read(source: Export, kept: allowed.Kept) -> dict[str, Stored]:
    present = source.columns(kept.table)
    names = [name for name in kept.names if name in present]
    values = source.integers(kept.table, dict.fromkeys(names, _NULL)) if names else {}
    nulls = {name: column == _NULL for name, column in values.items()}
    return {name: Stored(values=np.where(nulls[name], 0, values[name]), nulls=nulls[name]) for name in names}


def _with_inline_texts(source: Export, data: dict[str, Stored], strings: dict[int, str]) -> dict[str, Stored]:
    """NVTX rows whose message is inline, with an id instead; the ids are added to `strings`."""
    ids = {value: number for number, value in strings.items()}
    unused = count(max(strings, default=0) + 1)
    texts = [text for (text,) in source.texts(NVTX, ("text",))]
    for text in texts:
        if text is not None and text not in ids:
            ids[text] = next(unused)
            strings[ids[text]] = text
    inline = np.array([text is not None for text in texts], dtype=bool)
    given = data.get("textId", Stored(values=np.zeros(len(texts), np.int64), nulls=np.ones(len(texts), dtype=bool)))
    values = np.where(inline, [0 if text is None else ids[text] for text in texts], given.values).astype(np.int64)
    nulls = ~inline & (given.nulls if given.nulls is not None else np.zeros(len(texts), dtype=bool))
    return {**data, "textId": Stored(values=values, nulls=nulls)}


def _only_ranges(before: dict[str, Stored], data: dict[str, Stored]) -> tuple[dict[str, Stored], int]:
    """Ranges, marks and domains; names of threads and payloads are left out. And how many rows that were."""
    wanted = np.isin(before["eventType"].values, allowed.NVTX_EVENT_TYPES)
    return _chosen(data, wanted), int((~wanted).sum())


def _without_queries(
    tables: dict[str, dict[str, Stored]], strings: dict[int, str]
) -> tuple[dict[str, Stored], list[tuple[str, str, int, int]]]:
    """The API rows without the calls that only ask and started nothing, but how long; and, per name, how many."""
    data = tables[RUNTIME]
    rows = pd.DataFrame({name: data[name].values for name in ("start", "end", "globalTid", "correlationId", "nameId")})
    rows["name"] = rows["nameId"].map({number: api.name(value) for number, value in strings.items()})
    started = [data for name, data in tables.items() if name in {KERNEL, COPY, SET, GRAPH}]
    pids, ids = (
        np.concatenate([np.empty(0, np.int64), *(table[name].values for table in started)])
        for name in ("globalPid", "correlationId")
    )
    alone = joins.launching(pids, ids, rows["globalTid"].to_numpy() & ~0xFFFFFF, rows["correlationId"].to_numpy()) < 0
    dropped = rows["name"].isin(api.QUERIES).to_numpy(bool) & alone
    gone = rows[dropped]
    by_name = (gone["end"] - gone["start"]).groupby(gone["name"]).agg(["size", "sum"])
    stated = [(RUNTIME, str(name), int(row["size"]), int(row["sum"])) for name, row in by_name.iterrows()]
    asked_ns = api.asked_before({name: data[name].values for name in ("start", "end", "globalTid")}, dropped)
    # Of a recording that was unpacked some calls are left out already.
    asked_ns += data[api.ASKED].values if api.ASKED in data else 0
    return _chosen({**data, api.ASKED: Stored(values=asked_ns)}, ~dropped), stated


def _chosen(data: dict[str, Stored], wanted: Mask) -> dict[str, Stored]:
    return {
        name: Stored(values=column.values[wanted], nulls=None if column.nulls is None else column.nulls[wanted])
        for name, column in data.items()
    }


def _sorted(data: dict[str, Stored], keys: Sequence[str]) -> dict[str, Stored]:
    order = np.lexsort([data[key].values for key in reversed(keys) if key in data])
    return {
        name: Stored(values=column.values[order], nulls=None if column.nulls is None else column.nulls[order])
        for name, column in data.items()
    }


def _pack_descriptions(source: Export, database: sqlite3.Connection) -> None:
    """Which GPUs, which process saw which of them, which nsys, which day."""
    gpus = [(*row[:2], allowed.hashed(row[2]), *row[3:]) for row in source.texts("TARGET_INFO_GPU", allowed.GPU)]
    _write(database, "TARGET_INFO_GPU", allowed.GPU, gpus)
    devices = [
        (*row[:3], allowed.hashed(row[3])) for row in source.texts("TARGET_INFO_CUDA_DEVICE", allowed.CUDA_DEVICE)
    ]
    _write(database, "TARGET_INFO_CUDA_DEVICE", allowed.CUDA_DEVICE, devices)
    exported = [row for table in EXPORTED_BY for row in source.texts(table, ("name", "value"))]
    kept = [(name, value) for name, value in exported if allowed.plain_export_setting(name, value)]
    _write(database, "META_DATA_EXPORT", ("name", "value"), kept)
    days = [re.match(r"\d{4}-\d\d-\d\d", time or "") for (time,) in source.texts(_START, ("utcTime",))]
    _write(database, _START, ("utcTime",), [(day.group(),) for day in days if day])


def _write(database: sqlite3.Connection, table: str, names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A small table; values that look like numbers become numbers, as nsys stores them."""
    declared = ", ".join(f'"{name}" {"TEXT" if name in _TEXTS else "INTEGER"}' for name in names)
    database.execute(f'CREATE TABLE "{table}" ({declared})')
    database.executemany(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(names))})', rows)


def _unpack(source: sqlite3.Connection, database: sqlite3.Connection, table: str, names: Sequence[str]) -> None:
    stored = columns.read(source, table, names)
    cells = [
        column.values.tolist()
        if column.nulls is None
        else [None if null else value for value, null in zip(column.values.tolist(), column.nulls, strict=True)]
        for column in stored.values()
    ]
    _write(database, table, tuple(stored), list(zip(*cells, strict=True)))


def _copy_small(source: sqlite3.Connection, database: sqlite3.Connection) -> None:
    listed = source.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'PACKED%'")
    for table, statement in listed.fetchall():
        database.execute(statement)
        rows = source.execute(f'SELECT * FROM "{table}"').fetchall()
        if rows:
            database.executemany(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(rows[0]))})', rows)


@contextmanager
def _written(out: Path) -> Iterator[Path]:
    """A path to write to; what is there at the end is moved to `out` in one step, nothing is left after an error."""
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".part-") as folder:
            part = Path(folder) / "part"
            yield part
            part.replace(out)
    except OSError as error:
        raise TraceError(f"{out}: cannot be written ({error.strerror or error}); give another OUT") from error


def _compress(plain: Path) -> None:
    packed = plain.with_suffix(".xz")
    with plain.open("rb") as file, lzma.open(packed, "wb", preset=9 | lzma.PRESET_EXTREME) as out:
        shutil.copyfileobj(file, out, 1 << 20)
    packed.replace(plain)


def main(argv: Sequence[str] | None = None) -> int:
    """Pack or unpack one file; an unusable one gives its reason on stderr and exit status 1."""
    parser = Parser(prog="python -m analysis.compact", description=__doc__)
    parser.add_argument("action", choices=("pack", "unpack"), metavar="ACTION", help="pack or unpack")
    parser.add_argument("input", type=Path, metavar="IN", help="an export to pack, or a recording to unpack")
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write")
    parser.add_argument("--force", action="store_true", help="write over OUT where there is one")
    arguments = parser.parse_args(argv)
    try:
        _refuse_impossible(arguments.output, force=arguments.force)
        (pack if arguments.action == "pack" else unpack)(arguments.input, arguments.output)
    except TraceError as error:
        return program.refused(error)
    return 0


def _refuse_impossible(out: Path, *, force: bool) -> None:
    try:
        there, ordinary = out.exists(), out.is_file()
    except OSError:
        return  # a path that cannot be looked at cannot be written either, which says why
    if there and not ordinary:
        raise TraceError(f"{out}: no ordinary file; give another OUT")
    if there and not force:
        raise TraceError(f"{out}: there already; give another OUT, or --force to write over it")
    outputs.expect_file(out, "give another OUT", replaced=True)


if __name__ == "__main__":
    program.run(main)
