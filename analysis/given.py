"""What a command was given: trace files, or case folders, whose record says which traces are theirs."""

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from analysis import extract, iterations, left_out
from analysis.errors import TraceError
from analysis.iterations import Trace
from analysis.recordings import holding
from analysis.summary import stem
from analysis.words import counted

Found = TypeVar("Found")
WHAT = "a .sqlite or .sqlite.xz export, or a case folder"


class Given(NamedTuple):
    """A trace that was asked for, what to call it, and the record of its case where it is of one."""

    path: Path
    name: str
    batch: int | None
    record: Mapping[str, Any] | None


def traces(given: Path) -> list[Given]:
    """The traces behind an argument: the file itself, or those that a case folder's record names.

    Raises TraceError for a folder that is none, or whose case has no trace.
    """
    if not _holds(given.is_dir):
        return [Given(given, stem(given), None, None)]
    record_path = given / "case.json"
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
        listed = record["files"]["traces"]
        _ = record["name"], record["asked"]["graphs"], record["asked"]["tp"]
        found = [_of_case(given / _named(entry), entry["batch"], record) for entry in listed]
    except FileNotFoundError:
        raise TraceError(f"{given}: {_in_place_of_a_case(given)}") from None
    except OSError as error:
        raise TraceError(f"{record_path}: cannot be read ({error.strerror}); give a folder that can") from error
    except KeyError as missing:
        raise TraceError(f"{record_path}: not the record of a case ({missing} is missing); measure it again") from None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise TraceError(f"{record_path}: not the record of a case ({error}); measure the case again") from error
    if not found:
        raise TraceError(f"{given}: the case has no trace (tracing was off, or it failed); give a traced case")
    return found


def _named(entry: Mapping[str, Any]) -> str:
    if (name := left_out.file_of(entry)) is None:
        raise KeyError("file")
    return name


def _in_place_of_a_case(folder: Path) -> str:
    """What is there in place of a case, and what to type."""
    expected, typed = "expected a trace or the folder of a case", shlex.quote(str(folder))
    if _holds((folder / "study.json").is_file):
        return f"a study folder; {expected}, one of {folder}/cases; for the study: python -m analysis.report {typed}"
    if studies := holding(folder, "study.json"):
        found = f"a folder of {counted(len(studies), 'study')} ({_few(studies)})"
        report = f"python -m analysis.report {typed}/* --out out/report"
        return f"{found}; {expected}, one of {folder}/*/cases; for the studies: {report}"
    if cases := holding(folder, "case.json"):
        return f"a folder of {counted(len(cases), 'case')} ({_few(cases)}); {expected}; name one of them"
    return f"a folder without case.json; {expected}"


def _few(names: list[str]) -> str:
    more = [f"{len(names) - 2} more"] if len(names) > 2 else []
    return ", ".join([*names[:2], *more])


def _of_case(path: Path, batch: int, record: Mapping[str, Any]) -> Given:
    mark = " (trace left out; account made by this analysis before)" if left_out.is_account(path) else ""
    return Given(path, called(record["name"], batch) + mark, batch, record)


def called(case: str, batch: int) -> str:
    """What to call the trace of a case: by its batch too, but where it was taken while serving, of no one batch."""
    return f"{case} b{batch}" if batch else case


def apart(names: tuple[str, str], paths: tuple[Path, Path]) -> tuple[str, str]:
    """What to call two traces beside each other: of names alike, with the folders from where their paths part."""
    if names[0] != names[1]:
        return names
    folders = [path.absolute().parent.parts for path in paths]
    for depth in range(1, min(map(len, folders)) + 1):
        first, second = (parts[-depth:] for parts in folders)
        if first[0] != second[0]:
            return "/".join((*first, names[0])), "/".join((*second, names[1]))
    return names


def existing(path: Path) -> Path:
    """The trace, or its packed form: a recording packs a trace after its record was written."""
    packed = path.with_name(f"{path.name}.xz")
    return packed if not _holds(path.exists) and _holds(packed.is_file) else path


def looked_at(one: Given, look: Callable[[Trace], Found]) -> Found:
    """What `look` finds in the trace. Its TraceError names the file, also where that was read but is of no use."""
    path = existing(one.path)
    try:
        return look(iterations.find(extract.read(path)))
    except TraceError as error:
        raise TraceError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def _holds(test: Callable[[], bool]) -> bool:
    """Whether a path is what is asked; of one that cannot be looked at no, as is told when it is opened."""
    try:
        return test()
    except OSError:
        return False
