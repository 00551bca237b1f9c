"""The lengths that a serving load draws its requests from: distributions that ship as numbers, or a user's own file."""

from pathlib import Path

from launch.drivers.workload import read_lengths
from study.errors import StudyError
from study.words import hint

FOLDER = Path(__file__).resolve().parents[1] / "data" / "lengths"


def names() -> tuple[str, ...]:
    """The distributions that ship with the project."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.csv")))


def find(lengths: str) -> Path:
    """The file of a distribution named, or given as a path. Raises StudyError if there is none."""
    if lengths in names():
        return FOLDER / f"{lengths}.csv"
    path = Path(lengths).expanduser()
    if path.is_file():
        return path
    raise StudyError(f"unknown lengths {lengths!r}: {hint(lengths, names())}, or the path of a CSV file")


def read(lengths: str) -> tuple[tuple[int, int], ...]:
    """Pairs of prompt and output length in tokens. Raises StudyError naming file and line, and what was expected."""
    path = find(lengths)
    try:
        return tuple(read_lengths(path))
    except (OSError, ValueError) as error:
        raise StudyError(str(error)) from None


def longest_tokens(pairs: tuple[tuple[int, int], ...]) -> int:
    """The longest sequence that a request can grow to, its prompt included: what an engine's context must hold."""
    return max(prompt + output for prompt, output in pairs)
