"""Whether an engine made of its options what was asked of it, by its own word.

Its graphs are proven again from the trace, by analysis.validity: an engine's word is only the first of two witnesses.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from study.spec import Case

# Engines' own names of what is compared, in the words of the records.
_NAMES = {
    "sequences": ("max_num_seqs", "max_running_requests"),
    "captured": ("capture_sizes", "cuda_graph_bs"),
    "context": ("max_model_len", "context_length"),
}


def disagreements(case: Case, resolved: Mapping[str, Any]) -> tuple[str, ...]:
    """What the engine resolved otherwise than asked; what it does not tell of is not compared."""
    return tuple(
        f"{key} {_shown(asked)} was asked, but the engine resolved {key} {_shown(found)}"
        for key, asked in _asked(case)
        if (found := _value(key, resolved)) is not None and _plain(found) != _plain(asked)
    )


def _asked(case: Case) -> Iterator[tuple[str, Any]]:
    yield "graphs", case.graphs
    if case.compile != "engine":
        yield "compile", case.compile
    yield "tp", case.tp
    yield "pp", case.pp
    yield "dp", case.dp
    if case.settings != "as-shipped":
        yield "sequences", case.sequences
        if case.graphs == "on":
            yield "captured", case.captured_batches


def _value(key: str, resolved: Mapping[str, Any]) -> Any:
    return next((resolved[name] for name in (key, *_NAMES.get(key, ())) if resolved.get(name) is not None), None)


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, (list, tuple)) else value


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
