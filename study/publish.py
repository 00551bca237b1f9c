"""python -m study.publish FOLDER RECORDING: turn a finished live study into a recording that can be shown to anyone.

Kept: the records, the samples, the traces (packed, see analysis.compact), or where a case is named in --leave-out the
accounts of its traces in their place (see analysis.left_out). Left out: logs and nsys reports, which hold paths, names
and whole environments. Paths in the records are replaced by what they stand for. FOLDER may be a recording too.
"""

import hashlib
import json
import lzma
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from analysis import allowed, arrivals, calibrations, compact, left_out, outputs, program, workers
from analysis.errors import TraceError
from analysis.given import called, existing
from analysis.recordings import Study, open_study
from analysis.summary import summarise
from study.command_line import Parser, refused
from study.errors import StudyError
from study.record import FORMAT, RECORD, RECORDING, STUDY, read_json, write_json

# A path that is absolute, starts at a home, or climbs out of the working folder: all but its last name is the host's.
_PATH = re.compile(r"""(?<![\w.+@~-])(?:(?:\.\./)+|(?:~[\w.-]*)?/)((?:[^\s/"'()<>\[\]{}|,;:=\\]+/*)+)""")
_HOMES = ("home", "Users")


def publish(folder: Path, recording: Path, note: str = "", note_zh: str = "", *, without: Sequence[str] = ()) -> int:
    """Write the recording of a study folder, or of a recording; returns the number of cases. Adds to what is there.

    `note` is for whoever reads the recording; `note_zh` the same in Chinese, where there is one; those of a recording
    stay where none are given. `without`: the cases whose traces are left out, with their accounts in place of them.

    Raises StudyError where there is nothing to publish or leave out, TraceError for a damaged study.
    """
    study = open_study(folder)
    _expect_traces(study, without)
    if not study.records:
        raise StudyError(f"{folder}/cases holds no finished case; expected NAME/{RECORD}: run study.sweep first")
    if (recording / STUDY).exists() and not (recording / RECORDING).exists():
        raise StudyError(
            f"{recording} is a study of its own; expected a recording to add to, or a new folder: name one"
        )
    if recording.resolve() == folder.resolve():
        raise StudyError(f"{recording} is what is to be published; expected another folder: name one, then replace it")
    with _whole(recording) as made:
        cases = [(folder / "cases" / name, made / "cases" / name, name in without) for name in study.records]
        workers.in_processes(_publish_case, cases, [_size(case) for case, *_ in cases])
        write_json(made / STUDY, without_paths(study.plan))
        if (folder / calibrations.NAME).exists():
            write_json(made / calibrations.NAME, without_paths(read_json(folder / calibrations.NAME)))
        notes = {**_notes(study.recorded or {}), **_notes({"note": note, "note_zh": note_zh})}
        write_json(made / RECORDING, _provenance([*open_study(made).records.values()]) | {"note": ""} | notes)
    return len(cases)


@contextmanager
def _whole(recording: Path) -> Iterator[Path]:
    """A folder with what the recording has so far, to make it in: it takes its place at the end, if there was no error.

    Raises TraceError where there can be none.
    """
    outputs.expect_folder(recording, "name another folder")
    place = recording.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as folder:
        made, before = Path(folder) / "made", Path(folder) / "before"
        if place.exists():
            shutil.copytree(place, made)
        made.mkdir(exist_ok=True)
        yield made
        try:
            if place.exists():
                place.rename(before)
            made.rename(place)
        finally:
            if before.exists() and not place.exists():
                before.rename(place)


def _size(case: Path) -> int:
    return sum(path.stat().st_size for path in case.iterdir())


def _expect_traces(study: Study, without: Sequence[str]) -> None:
    traced = [name for name, record in study.records.items() if record["files"].get("traces")]
    if unknown := [name for name in without if name not in traced]:
        raise StudyError(
            f"{study.folder} has no traces of {', '.join(unknown)} to leave out; it has those of: "
            f"{', '.join(traced) or 'no case'}"
        )


def _notes(told: Mapping[str, Any]) -> dict[str, Any]:
    return {key: told[key] for key in ("note", "note_zh") if told.get(key)}


def without_paths(value: Any) -> Any:
    """The same JSON value with every path that tells of the host cut down to its last name."""
    return _each_text(value, partial(_PATH.sub, _last_name))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_each_text(item, change) for item in value]
    return value


def _last_name(path: re.Match[str]) -> str:
    names = [name for name in path.group(1).split("/") if name]
    return "folder" if len(names) == 2 and names[0] in _HOMES else names[-1]


def _publish_case(item: tuple[Path, Path, bool]) -> None:
    case, target, gone = item
    record = read_json(case / RECORD)
    target.mkdir(parents=True, exist_ok=True)
    traces = []
    for trace in record["files"]["traces"]:
        if (named := left_out.file_of(trace)) is None:
            raise StudyError(f"{case / RECORD} names neither a trace nor its account; run the case again")
        path, name = existing(case / named), called(case.name, trace["batch"])
        traces.append({**trace, **_publish_trace(path, target, name, gone)})
    if any(trace["file"] is None for trace in traces):
        record["format"] = FORMAT
    if name := record["files"].get("requests"):
        record["files"] = {**record["files"], "requests": _publish_requests(case / name, target)}
    for kind in ("samples", "gpu"):
        if name := record["files"].get(kind):
            shutil.copyfile(case / name, target / name)
    record["files"] = {**record["files"], "log": None, "traces": traces}
    if record["outcome"] == "failed":
        # What an engine printed may hold anything; the kind of failure, in front of the colon, is ours.
        record |= {"log_tail": [], "reason": str(record["reason"]).partition(":")[0]}
    shown = without_paths(record)
    if name := record["files"].get("packages"):
        shown["files"]["packages"] = _publish_packages(case / name, target)
        # An older recording had one beside each record.
        (target / "packages.json").unlink(missing_ok=True)
    write_json(target / RECORD, shown)


def _publish_trace(trace: Path, target: Path, name: str, gone: bool) -> dict[str, str | None]:
    """Pack a trace, or write its account in its place. Returns what its entry in the record says of files.

    A study that was resumed from a recording holds traces that are packed already, and accounts.
    """
    bare = trace.name.partition(".")[0]
    packed, account = target / f"{bare}.sqlite.xz", target / f"{bare}{left_out.SUFFIX}"
    if left_out.is_account(trace):
        shutil.copyfile(trace, account)
    elif gone:
        write_json(account, [_account(trace, name)])
    else:
        (shutil.copyfile if trace.name == packed.name else compact.pack)(trace, packed)
        account.unlink(missing_ok=True)
        return {"file": packed.name}
    packed.unlink(missing_ok=True)
    return {"file": None, "account": account.name}


def _account(trace: Path, name: str) -> dict[str, Any]:
    """The summary of a trace, or why it has none, with no more of paths and addresses than its packed form has."""
    try:
        found = summarise(trace, name)
    except TraceError as error:
        found = {left_out.REFUSED: str(error)}
    return dict(_each_text(without_paths(found), allowed.public))


def _publish_requests(requests: Path, target: Path) -> str:
    """Pack the rows of a case that served; what a server answered instead of tokens may hold anything."""
    packed = requests.name.removesuffix(".xz") + ".xz"
    if requests.name == packed:
        shutil.copyfile(requests, target / packed)
        return packed
    try:
        rows = [json.loads(line) for line in requests.read_text(encoding="utf-8").splitlines()]
        shown = arrivals.merged([{**row, "error": without_paths(row["error"])} for row in rows])
    except (ValueError, TypeError) as error:
        raise StudyError(f"{requests}: {error}; expected one request a line: run the case again") from error
    except KeyError as missing:
        raise StudyError(f"{requests}: a request without {missing}; run the case again") from missing
    lines = [json.dumps(row, separators=(",", ":")) for row in shown]
    (target / packed).write_bytes(lzma.compress("".join(f"{line}\n" for line in lines).encode()))
    return packed


def _publish_packages(packages: Path, target: Path) -> str:
    """Keep a list of packages once for all cases that have it; returns its path as seen from the case."""
    content = packages.read_bytes()
    kept = Path("..", "..", "packages", f"{hashlib.sha256(content).hexdigest()[:12]}.json")
    (target / kept).parent.mkdir(exist_ok=True)
    (target / kept).write_bytes(content)
    return kept.as_posix()


def _provenance(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    labels = sorted({str(record["host"]["label"]) for record in records})
    days = sorted({str(record["started_utc"])[:10] for record in records})
    span = " to ".join(dict.fromkeys((days[0], days[-1])))
    return {"format": FORMAT, "host": ", ".join(labels), "date": span}


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 for a user's error."""
    parser = Parser(prog="python -m study.publish", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a finished study folder")
    told = "where the recording goes, such as data/recordings/HOST-DATE"
    parser.add_argument("recording", type=Path, metavar="RECORDING", help=told)
    parser.add_argument(
        "--leave-out", type=_names, default=(), metavar="CASE[,CASE...]",
        help="cases whose traces are too large to ship: their accounts stand in place of them",
    )  # fmt: skip
    parser.add_argument("--note", default="", help="a sentence for whoever reads the recording")
    parser.add_argument("--note-zh", default="", help="the same in Chinese, for the report in Chinese")
    args = parser.parse_args(sys.argv[1:] if argv is None else argv)
    try:
        count = publish(args.folder, args.recording, args.note, args.note_zh, without=args.leave_out)
    except (StudyError, TraceError) as error:
        return refused(error)
    except OSError as error:
        return refused(f"cannot write the recording ({error}): name another folder")
    print(f"{count} cases recorded in {args.recording}")
    return 0


if __name__ == "__main__":
    program.run(main)
