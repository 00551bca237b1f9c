"""Of which engines predictions are claimed, and in words why of others they are not: said alike wherever one is shown.

The line was drawn after two recorded pairs of transformers had shown how far off predictions of such graphs are.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from analysis.language import Text, say

CLAIMED = ("vllm", "sglang")
"""The engines of which predictions are claimed."""


def why_not(engine: str | None) -> Text | None:
    """Why nothing is claimed of what is predicted of an engine; None where it is. Empty: not told by its kernels."""
    if engine in CLAIMED:
        return None
    return say(
        "predictions are claimed of vLLM and SGLang alone, whose graphs hold the whole decode step, with the same or "
        "nearly the same work (vLLM's own switch also compiles); graphs of {engine} may hold other work or a part of "
        "the step, or there are none",
        engine=engine or say("another engine"),
    )


def of(engine: str | None) -> dict[str, Any]:
    """The keys that stand beside every prediction in JSON: claimed, and why_not_claimed, None where it is."""
    why = why_not(engine)
    return {"claimed": why is None, "why_not_claimed": None if why is None else str(why)}


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The same in words: a line where a prediction is not claimed, none where it is."""
    if not found["claimed"]:
        yield f"  not claimed: {found['why_not_claimed']}"
