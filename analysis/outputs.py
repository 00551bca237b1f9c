"""Whether what a command is to write can be written: asked before it works for minutes, and leaving nothing behind."""

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from analysis.errors import TraceError

REPORT = ("figures", "tables")
"""The folders that a report makes in its own."""


def expect_folder(path: Path, instead: str, inner: Sequence[str] = ()) -> None:
    """Raise TraceError where the folder, or one of those within it, cannot be made or takes no file.

    instead: what to do then, the end of the message.
    """
    for folder in (path, *(path / name for name in inner)):
        with _told(folder, instead):
            _try(_nearest(folder))


def expect_file(path: Path, instead: str, *, replaced: bool = False) -> None:
    """Raise TraceError where the file cannot be written. replaced: it is made beside it, then moved there."""
    with _told(path, instead):
        try:
            found = path.stat()
        except FileNotFoundError:
            found = None
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(None, "it is a folder")
        if not path.absolute().parent.is_dir():
            raise FileNotFoundError(None, "there is no such folder")
        if found is None or replaced:
            _try(path.absolute().parent)
        elif stat.S_ISREG(found.st_mode):
            path.open("r+b").close()


@contextmanager
def _told(path: Path, instead: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TraceError(f"{path}: cannot be written ({error.strerror or error}); {instead}") from error


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that there is, in which it would be made."""
    for part in (folder, *folder.absolute().parents):
        try:
            os.lstat(part)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not part.is_dir():
            raise NotADirectoryError(None, "it is no folder" if part == folder else f"{part} is no folder")
        return part
    raise FileNotFoundError(None, "there is no such folder")


def _try(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass
