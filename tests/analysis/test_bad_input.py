"""What is no trace, or not a whole one, through the command line: one line that says what to do, and exit status 1.

Nothing is written beside the user's file, and none of the messages is a traceback.
"""

import gzip
import hashlib
import lzma
import os
import random
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import analysis
from analysis import compact
from analysis.__main__ import main
from analysis.errors import TraceError
from tests import layouts, traces
from tests.traces import Sqlite, recorded

Make = Callable[[Path], Path]
NOBODY = 65534


def _bytes(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _whole(folder: Path) -> bytes:
    """A trace of some size, as bytes; the file itself is gone."""
    path = traces.decode(ranks=4, steps=40).write(folder / "whole")
    content = path.read_bytes()
    path.unlink()
    return content


def _damaged(name: str, damage: Callable[[bytes], bytes]) -> Make:
    return lambda folder: _bytes(name, damage(_whole(folder)))(folder)


def _trace(trace: Sqlite) -> Make:
    return lambda folder: trace.write(folder / "trace.sqlite")


def _other_database(folder: Path) -> Path:
    with closing(sqlite3.connect(folder / "places.sqlite")) as database:
        database.execute("CREATE TABLE bookmarks (id INTEGER, title TEXT)")
        database.commit()
    return folder / "places.sqlite"


def _being_exported(folder: Path) -> Path:
    path = traces.decode().write(folder / "trace.sqlite")
    (folder / "trace.sqlite-journal").write_bytes(b"x")
    return path


def _folder_without_a_record(folder: Path) -> Path:
    (folder / "case").mkdir()
    (folder / "case" / "case.json").mkdir()
    return folder / "case"


def _folder(folder: Path) -> Path:
    (folder / "results").mkdir()
    return folder / "results"


def _calls_without_kernels() -> Sqlite:
    trace = Sqlite()
    trace.call("cudaLaunchKernel_v7000", 0, 2)
    return trace


def _kernels_without_calls() -> Sqlite:
    trace = Sqlite()
    trace.kernel("gemm", 0, 9, correlation=1)
    return trace


def _no_steps() -> Sqlite:
    trace = Sqlite()
    for number in range(40):
        trace.launch(f"kernel {number}", at=100 * number, start=100 * number + 5, end=100 * number + 20)
    return trace


def _steps_that_all_differ() -> Sqlite:
    trace = Sqlite()
    for step in range(14):
        for number, name in enumerate(("gemm", "norm", "gemm", "argmax")):
            at = 100 * step + 20 * number
            trace.launch(name, at=at, start=at + 5, end=at + 15, grid=1 if name == "norm" else step + 1)
    return trace


BAD: dict[str, tuple[Make, str]] = {
    "missing": (lambda folder: folder / "absent.sqlite", "no such file"),
    "empty": (_bytes("a.sqlite", b""), "the file is empty; expected nsys's SQLite export, make one with: nsys export"),
    "text": (_bytes("a.sqlite", b"not a database at all"), "not an SQLite file; expected nsys's SQLite export"),
    "a CSV": (_bytes("a.csv", b"start,end\n1,2\n"), "not an SQLite file; expected nsys's SQLite export"),
    "compressed by gzip": (_damaged("a.sqlite.gz", gzip.compress), "not an SQLite file"),
    "an nsys report": (_bytes("a.nsys-rep", b"NVIDIA Tegra Profiler Report 1.\n"), "nsys export --type sqlite"),
    "an nsys report, renamed": (
        _bytes("a.sqlite", b"NVIDIA Tegra Profiler Report 1.\n"),
        "an nsys report.*nsys export",
    ),
    "cut short": (_damaged("a.sqlite", lambda whole: whole[: len(whole) // 2]), "damaged or cut short: copy it or"),
    "cut after its first page": (_damaged("a.sqlite", lambda whole: whole[:4096]), "damaged or cut short"),
    "cut within its first page": (_damaged("a.sqlite", lambda whole: whole[:100]), "damaged or cut short"),
    "compressed, cut short": (
        _damaged("a.sqlite.xz", lambda whole: lzma.compress(whole)[:500]),
        "the xz data is damaged or cut short.*copy the file again",
    ),
    "compressed text": (_bytes("a.sqlite.xz", lzma.compress(b"not a database")), "not an SQLite file"),
    "overwritten in the middle": (
        _damaged("a.sqlite", lambda whole: _overwritten(whole, None)),
        "damaged or cut short",
    ),
    "another program's database": (_other_database, "no CUDA activity.*nsys profile --trace=cuda,nvtx"),
    "being exported": (_being_exported, "still being written.*wait for nsys to finish"),
    "a folder": (_folder, "a folder without case.json; expected a trace or the folder of a case"),
    "a folder whose record cannot be read": (_folder_without_a_record, "case.json: cannot be read"),
    "NVTX alone": (
        lambda folder: layouts.write(Sqlite(), "2023.4.4", folder / "a.sqlite"),
        "no CUDA activity.*nsys profile --trace=cuda,nvtx",
    ),
    "CUDA tables without rows": (
        lambda folder: layouts.create("2022.4.2", folder / "a.sqlite"),
        "no GPU operation.*--cuda-graph-trace=node",
    ),
    "calls without kernels": (_trace(_calls_without_kernels()), "no GPU operation.*--cuda-graph-trace=node"),
    "kernels without calls": (_trace(_kernels_without_calls()), "no CUDA calls.*nsys profile --trace=cuda"),
    "no decode": (_trace(_no_steps()), "no decode iterations.*record at least 64 decode steps"),
    "graphs without what they ran": (
        _trace(traces.without_nodes(traces.decode(graphs=True))),
        "no decode iterations in what was recorded.*record it with: nsys profile --cuda-graph-trace=node",
    ),
    "too few steps": (_trace(traces.decode(steps=4)), "too few decode iterations.*record at least 64 decode steps"),
    "steps that all differ": (
        _trace(_steps_that_all_differ()),
        "no steady decode iterations.*record at least 64 decode",
    ),
    "a name that is too long": (lambda folder: folder / ("x" * 300), "name too long"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_input_gives_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    make, expected = BAD[what]
    user, temporary = tmp_path / "user", tmp_path / "tmp"
    user.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    path = make(user)
    before = _contents(user)
    assert main([str(path)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert shown.err.startswith(f"error: {path}")
    _expect(expected, shown.err)
    assert _contents(user) == before
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("what", [what for what in BAD if "folder" not in what])
def test_the_library_raises_the_same(tmp_path: Path, what: str) -> None:
    make, expected = BAD[what]
    with pytest.raises(TraceError, match=expected):
        analysis.read(make(tmp_path))


def test_the_status_of_the_process_is_1_and_its_output_no_traceback(tmp_path: Path) -> None:
    path = BAD["cut short"][0](tmp_path)
    done = subprocess.run([sys.executable, "-m", "analysis", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {path}: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("statement", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_a_file_that_another_process_writes_to_is_refused_until_that_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], statement: str
) -> None:
    path = traces.decode().write(tmp_path / "a.sqlite")
    before = _contents(tmp_path)
    with _holding(path, statement):
        assert main([str(path)]) == 1
        assert "another process is writing to it; wait for it to finish" in capsys.readouterr().err
    assert main([str(path)]) == 0
    assert _contents(tmp_path) == before


def test_a_file_that_another_process_reads_is_read(tmp_path: Path) -> None:
    path = traces.decode().write(tmp_path / "a.sqlite")
    with _holding(path, "SELECT * FROM StringIds"):
        assert main([str(path)]) == 0


@contextmanager
def _holding(path: Path, statement: str) -> Iterator[None]:
    """Another process that has run a statement on the database and not ended its transaction."""
    program = (
        "import sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "database.execute('BEGIN') if sys.argv[2].startswith('SELECT') else None\n"
        "rows = database.execute(sys.argv[2])\n"
        "rows.fetchone()\n"
        "print('holding', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(path), statement]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield
        process.communicate()


def test_a_file_without_permission_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = traces.decode().write(tmp_path / "a.sqlite")
    path.chmod(0)
    with _without_privilege():
        status = main([str(path)])
    assert status == 1
    assert "cannot be read (Permission denied); give a file that you may read" in capsys.readouterr().err


def test_a_file_in_a_folder_without_permission_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    path = traces.decode().write(folder / "a.sqlite")
    folder.chmod(0)
    try:
        with _without_privilege():
            status = main([str(path)])
    finally:
        folder.chmod(0o700)
    assert status == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@contextmanager
def _without_privilege() -> Iterator[None]:
    """As a user to whom permissions apply."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_temporary_folder_without_room_is_told_and_left_clean(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analysis", recorded("vllm", 1, "on")]
    done = subprocess.run(
        command,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        # A limit on the size of any file stands for a full disk: writing fails in the same way.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be unpacked (File too large); set TMPDIR to a folder with room" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_temporary_folder_at_all_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert main([str(recorded("vllm", 1, "on"))]) == 1
    assert "cannot be unpacked (No such file or directory); set TMPDIR" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["an export", "an export with graphs", "a recording, unpacked"])
def test_whatever_is_overwritten_there_is_a_result_or_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    whole = _export(tmp_path, form)
    chance = random.Random(form)
    for number in range(40):
        path = tmp_path / f"{number}.sqlite"
        path.write_bytes(_overwritten(whole, chance))
        status = main([str(path), "--json"])
        errors = capsys.readouterr().err.splitlines()
        assert (status, len(errors)) in {(0, 0), (1, 1)}, errors
        path.unlink()


def _export(folder: Path, form: str) -> bytes:
    trace = traces.decode(ranks=2, steps=14, graphs=form.endswith("graphs"))
    for rank in range(2):
        trace.sees(101 + rank, cuda=rank, gpu=rank)
    plain = trace.write(folder / "plain.sqlite")
    if not form.endswith("unpacked"):
        return plain.read_bytes()
    compact.pack(plain, folder / "packed.sqlite.xz")
    return lzma.decompress((folder / "packed.sqlite.xz").read_bytes())


def _overwritten(whole: bytes, chance: random.Random | None) -> bytes:
    """Some bytes by others, zeros, or an end that is missing; by default a page in the middle by noise."""
    content = bytearray(whole)
    if chance is None:
        middle = len(content) // 2 // 4096 * 4096
        content[middle : middle + 4096] = bytes(range(256)) * 16
        return bytes(content)
    at = chance.randrange(16, len(content))
    how = chance.choice(["bytes", "bytes", "zeros", "end"])
    if how == "bytes":
        for _ in range(chance.choice([1, 3, 20])):
            content[chance.randrange(16, len(content))] = chance.randrange(256)
    elif how == "zeros":
        length = min(chance.choice([8, 100, 4096]), len(content) - at)
        content[at : at + length] = bytes(length)
    else:
        del content[at:]
    return bytes(content)


def _contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def _expect(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text
