"""The file behind a trace: whether it can be one, whether it is complete, and where its SQLite lies.

Files are only read. A compressed one is unpacked into a temporary file that is gone afterwards.
"""

import errno
import lzma
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from analysis import left_out
from analysis.errors import TraceError

if sys.platform != "win32":
    import fcntl

EXPORT_HINT = "make one with: nsys export --type sqlite REPORT.nsys-rep"
EXPORT = f"nsys's SQLite export, {EXPORT_HINT}"
_MAGIC = b"SQLite format 3\x00"
_XZ_MAGIC = b"\xfd7zXZ\x00"
_REPORT_MAGIC = b"NVIDIA Tegra Pro"
# The bytes that SQLite locks in every file while it writes: pending, reserved, shared.
_LOCK_AT, _LOCK_BYTES = 0x40000000, 512


@contextmanager
def as_sqlite(path: Path, expected: str = EXPORT) -> Iterator[Path]:
    """Give the path of a plain SQLite file with the trace: the file itself, or a temporary one if it is xz.

    Raises TraceError where there is none, naming what was expected in its place.
    """
    head = _head(path)
    if head.startswith(_XZ_MAGIC):
        with _temporary(path) as folder:
            plain = folder / "trace.sqlite"
            _decompress(path, plain)
            _expect_sqlite(path, _head(plain), expected)
            yield plain
    else:
        _expect_sqlite(path, head, expected)
        yield path


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if _locked(file):
                raise TraceError(f"{path}: another process is writing to it; wait for it to finish, or copy the file")
            return file.read(len(_MAGIC))
    except FileNotFoundError:
        raise TraceError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise TraceError(f"{path}: a folder; expected a file") from None
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror}); give a file that you may read") from error


def _locked(file: BinaryIO) -> bool:
    """Whether another process has the database open for writing; a file system without locks says no."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, _LOCK_BYTES, _LOCK_AT)
    except OSError as error:
        return error.errno in {errno.EACCES, errno.EAGAIN}
    fcntl.lockf(file, fcntl.LOCK_UN, _LOCK_BYTES, _LOCK_AT)
    return False


def _expect_sqlite(path: Path, head: bytes, expected: str) -> None:
    if path.suffix in {".nsys-rep", ".qdrep"} or head == _REPORT_MAGIC:
        raise TraceError(f"{path}: this is an nsys report; expected {expected}")
    if left_out.is_account(path):
        raise TraceError(
            f"{path}: the account of a trace that was left out of its recording; expected the trace; take another, or "
            "what the account tells: python -m analysis"
        )
    if not head:
        raise TraceError(f"{path}: the file is empty; expected {expected}")
    if head != _MAGIC:
        raise TraceError(f"{path}: not an SQLite file; expected {expected}")
    for suffix in ("-journal", "-wal"):
        beside = path.with_name(path.name + suffix)
        if beside.exists() and beside.stat().st_size:
            raise TraceError(f"{path}: still being written ({beside.name} is beside it); wait for nsys to finish")


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="trace-")
    except OSError as error:
        raise _no_room(path, error) from error
    with folder as name:
        yield Path(name)


def _decompress(path: Path, plain: Path) -> None:
    try:
        with lzma.open(path) as packed, plain.open("wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
    except (lzma.LZMAError, EOFError) as error:
        raise TraceError(f"{path}: the xz data is damaged or cut short ({error}); copy the file again") from error
    except OSError as error:
        raise _no_room(path, error) from error


def _no_room(path: Path, error: OSError) -> TraceError:
    why = error.strerror or error
    return TraceError(f"{path}: cannot be unpacked ({why}); set TMPDIR to a folder with room, or unpack it with xz")
