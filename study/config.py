"""From a study file and flags to a Spec: layering, types and limits. What the keys are is study.spec's business.

Whoever made several mistakes is told all of them at once, a line each.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from study import lengths
from study.errors import StudyError
from study.spec import Rule, Spec, rules
from study.words import hint

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).resolve().parents[1] / "data" / "studies"
DEFAULT = "default"
OUT = Path("out")

Integers, Numbers, Texts = tuple[int, ...], tuple[float, ...], tuple[str, ...]
Table = tuple[tuple[str, Path], ...]
LISTS = {Integers: int, Numbers: float, Texts: str}
EXPECTED = {
    int: "an integer",
    bool: "true or false",
    str: "text",
    Path: "a path as text",
    Integers: "a list of integers",
    Numbers: "a list of numbers",
    Texts: "a list of texts",
    Table: "a table of paths",
}


def names() -> tuple[str, ...]:
    """The studies that ship with the project."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(study: str = DEFAULT, flags: Mapping[str, Any] | None = None) -> Spec:
    """The Spec of a study, by name or path, with flags over it and the default study under it.

    `flags` maps keys to text as typed (lists with commas), `True` for switches, and a dict for tables.
    Raises StudyError naming every key that is wrong, its value and what is allowed.
    """
    path = find(study)
    files = {file: _read(file) for file in (find(DEFAULT), path)}
    given = [(f"{file}: {key}", key, raw, raw) for file, keys in files.items() for key, raw in keys.items()]
    given += [(flag_of(key), key, _typed(key, raw), raw) for key, raw in (flags or {}).items()]
    _refuse([f"{where}: {text}" for where, key, raw, typed in given for text in _mistakes(key, raw, typed)])
    values: dict[str, Any] = {"out": OUT / path.stem}
    for _, key, raw, _ in given:
        # A flag names one engine's interpreter and leaves the file's others alone.
        before = dict(values.get(key, ())) if kind_of(key) == Table else {}
        values[key] = _held(kind_of(key), before | raw if before else raw)
    spec = Spec(**values)
    _refuse([*_contradictions(spec)])
    return spec


def find(study: str) -> Path:
    """The file of a study named, or given as a path. Raises StudyError if there is none."""
    path = Path(study).expanduser()
    if path.suffix == ".toml" or len(path.parts) > 1:
        if path.is_file():
            return path
        raise StudyError(f"study file {study} does not exist; the ones that ship: {', '.join(names())}")
    if study not in names():
        raise StudyError(f"unknown study {study!r}: {hint(study, names())}, or the path of a .toml file")
    return FOLDER / f"{study}.toml"


def kind_of(key: str) -> Any:
    """The type of a key's value, None apart: a key of EXPECTED."""
    annotation = get_type_hints(Spec)[key]
    return annotation if annotation in EXPECTED else annotation.__args__[0]


def flag_of(key: str) -> str:
    """How a key is called on the command line."""
    return "--" + (rules()[key].flag or key).replace("_", "-")


def _refuse(mistakes: Sequence[str]) -> None:
    if len(mistakes) > 1:
        raise StudyError("\n  ".join([f"{len(mistakes)} mistakes in what was asked for:", *mistakes]))
    if mistakes:
        raise StudyError(mistakes[0])


def _mistakes(key: str, raw: Any, typed: Any) -> Iterator[str]:
    """What is wrong with what a key was given; `typed` is how that was written."""
    if key not in rules():
        yield f"unknown key {key!r}: {hint(key, rules())}"
        return
    kind, rule = kind_of(key), rules()[key]
    if not _is(kind, raw):
        yield f"found {typed!r}, expected {EXPECTED[kind]}{_limits(rule)}{_meant(key, raw)}"
    elif kind is Path:
        yield from () if raw else ("found an empty name, expected a path",)
    else:
        items = list(raw) if isinstance(raw, (list, dict)) else [raw]
        yield from (text for item in dict.fromkeys(items) for text in _item_mistakes(item, rule))
        if not items and kind != Table:
            yield f"found an empty list, expected at least one value{_limits(rule)}"
        twice = dict.fromkeys(item for item in items if items.count(item) > 1)
        yield from (f"found {item} twice, expected each value once" for item in twice)


def _held(kind: Any, raw: Any) -> Any:
    """A value without mistakes as the Spec holds it."""
    if kind == Table:
        return tuple((name, Path(path).expanduser()) for name, path in raw.items())
    if kind is Path:
        return Path(raw).expanduser()
    return tuple(raw) if isinstance(raw, list) else raw


def _is(kind: Any, raw: Any) -> bool:
    if kind in LISTS:
        return isinstance(raw, list) and all(_is(LISTS[kind], item) for item in raw)
    if kind == Table:
        return isinstance(raw, dict) and all(isinstance(path, str) for path in raw.values())
    if kind in {int, float}:
        return isinstance(raw, (int, kind)) and not isinstance(raw, bool) and abs(raw) < math.inf
    return isinstance(raw, str if kind is Path else kind)


def _item_mistakes(item: Any, rule: Rule) -> Iterator[str]:
    if rule.words and item not in rule.words():
        yield f"unknown value {item!r}: {hint(item, rule.words())}"
    if rule.minimum is not None and item < rule.minimum:
        yield f"found {item}, expected{_limits(rule)[1:]}"


def _meant(key: str, raw: Any) -> str:
    """Where a layout's name goes that was given as a number of ranks."""
    named = [item for item in (raw if isinstance(raw, list) else [raw]) if str(item).startswith("tp")]
    return f"; {named[0]} is the name of a layout: give it to {flag_of('layouts')}" if key == "tp" and named else ""


def _limits(rule: Rule) -> str:
    if rule.words:
        return f", of: {', '.join(rule.words())}"
    return "" if rule.minimum is None else f", at least {rule.minimum}"


def _typed(key: str, raw: Any) -> Any:
    """A flag's text as a study file would hold it; what is no number stays text, for the check to refuse."""
    if not isinstance(raw, str):
        return raw
    kind = kind_of(key)
    if kind in LISTS:
        items = [item.strip() for item in raw.split(",") if item.strip()]
        return items if kind == Texts else [_number(item, LISTS[kind]) for item in items]
    return _number(raw, int) if kind is int else raw


def _number(text: str, kind: Callable[[str], float]) -> float | str:
    try:
        return kind(text)
    except ValueError:
        return text


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StudyError(f"{path} is not a readable TOML file: {error}") from None


def _contradictions(spec: Spec) -> Iterator[str]:
    """What the values of several keys cannot be together."""
    traced = [max(spec.batches_of(tracing)) for tracing in spec.tracing if tracing != "off"]
    if spec.captured and traced and "on" in spec.graphs and max(traced) > max(spec.captured):
        yield (
            f"traced_batches: found {max(traced)}, but graphs are captured for batches up to {max(spec.captured)} "
            "(captured), so that trace would show none; trace smaller batches, or none (tracing off)"
        )
    if spec.workload == "serve" and not (spec.concurrency or all(place.rates for place in spec.located)):
        yield "workload serve: no load to serve at; give rates (requests a second) or concurrency (requests in flight)"
    if spec.workload == "serve" and (longest := lengths.longest_tokens(lengths.read(spec.lengths))) > spec.context:
        yield (
            f"context: found {spec.context}, but requests of lengths {spec.lengths} grow to {longest} tokens; "
            f"expected at least {longest}"
        )
    if spec.checkpoint and len(spec.models) > 1:
        yield (
            f"checkpoint {spec.checkpoint} holds the weights of one model, but models asks for {len(spec.models)}: "
            f"{', '.join(spec.models)}; name the one that it is"
        )
