"""Of which engines and models predictions are claimed, and why not of others, in words that are the same everywhere.

The lines were drawn after recorded pairs had shown how far off predictions of the others are: two of transformers, then
one of a mixture of experts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from analysis.language import Text, say

CLAIMED = ("vllm", "sglang")
"""The engines of which predictions are claimed, for dense models."""


def why_not(engine: str | None, experts: bool, called: str = "") -> Text | None:
    """Why nothing is claimed of what is predicted; None where it is.

    engine: empty where its kernels do not tell; experts: whether the model is a mixture of them; called: what readers
    know the engine by, where that is another name.
    """
    if engine not in CLAIMED:
        return say(
            "predictions are claimed of vLLM and SGLang alone, whose graphs hold the whole decode step, with the same "
            "or nearly the same work (vLLM's own switch also compiles); graphs of {engine} may hold other work or a "
            "part of the step, or there are none",
            engine=called or engine or say("another engine"),
        )
    if experts:
        return say(
            "predictions are claimed of dense models alone: graphs of a mixture of experts may run experts side by "
            "side on a second stream, which no trace without graphs holds; of the one recorded pair the iteration with "
            "graphs was foretold 17 % too long, and the line was drawn after seeing that"
        )
    return None


def of(engine: str | None, experts: bool) -> dict[str, Any]:
    """The keys that stand beside every prediction in JSON: claimed, and why_not_claimed, None where it is."""
    why = why_not(engine, experts)
    return {"claimed": why is None, "why_not_claimed": None if why is None else str(why)}


def reasons(
    rows: Iterable[Mapping[Any, Any]], title: Callable[[str], str] = str
) -> dict[Text, list[Mapping[Any, Any]]]:
    """The rows with claimed false, by the reason, which names engines by `title`; rows have engine and claimed."""
    found: dict[Text, list[Mapping[Any, Any]]] = {}
    for row in rows:
        # What is not claimed of an engine of which others are is of a mixture.
        if not row["claimed"] and (why := why_not(row["engine"], True, title(row["engine"]))):
            found.setdefault(why, []).append(row)
    return found


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The same in words: a line where a prediction is not claimed, none where it is."""
    if not found["claimed"]:
        yield f"  not claimed: {found['why_not_claimed']}"
