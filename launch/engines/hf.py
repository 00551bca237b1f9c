"""Hugging Face transformers on one GPU: its engine for continuous batching, and generate as scripts call it.

compile "engine" is the engine, whose use_cuda_graph switches graphs alone. Set by itself, compile chooses a way of
generate: on is a static cache whose decode step is compiled, with graphs (mode reduce-overhead) or without (default);
off is the growing cache, every kernel of which is launched one by one.
"""

from typing import Any

from launch.engines.versions import Known
from study.layouts import Layout
from study.spec import MEMORY_UTILISATION, Case

PACKAGE = "transformers"
VERSIONS = Known(engine="transformers", oldest="5.12.1", newest="5.23.0")
REFUSED = {
    ("off", "on"): "generate has graphs only of what torch.compile made: compile on, or engine for continuous batching"
}
ENVIRONMENT = {"HF_HUB_OFFLINE": "1"}

_WAYS = {"engine": "continuous", "on": "static", "off": "dynamic"}
_MODES = {("on", "on"): "reduce-overhead", ("on", "off"): "default"}


def refused_layout(layout: Layout, *, experts: int) -> str | None:
    """Why transformers cannot split a model so, or None."""
    return None if layout.gpus == 1 else f"{layout.label}: transformers is measured on one GPU"


def refused_version(version: str, *, graphs: str, settings: str) -> str | None:
    """Why a version of transformers cannot set its switches so, or None."""
    return VERSIONS.refusal(version)


def environment(case: Case, version: str = VERSIONS.newest) -> dict[str, str]:
    """The variables that are set for a case."""
    return ENVIRONMENT


def options(case: Case, model_path: str, version: str = VERSIONS.newest) -> dict[str, Any]:
    """What launch/drivers/hf_offline.py is to do for a case."""
    continuous: dict[str, Any] = {"use_cuda_graph": case.graphs == "on"}
    if case.settings != "as-shipped":
        # Left to itself it launches ahead of the GPU with graphs and not without, and so moves a second thing.
        continuous |= {
            "use_async_batching": False,
            "allow_block_sharing": False,
            "max_requests_per_batch": case.sequences,
            "max_batch_tokens": max(8192, case.sequences * case.prompt_tokens),
            "max_memory_percent": MEMORY_UTILISATION,
        }
    return {
        "model": model_path,
        "weights": case.checkpoint is not None,
        "seed": case.seed,
        "context": case.context_tokens,
        "way": _WAYS[case.compile],
        "compile_mode": _MODES.get((case.compile, case.graphs)),
        "continuous": continuous,
    }


def capture(log: str) -> dict[str, float]:
    """What capturing cost: transformers does not say so in its log, the driver measures it."""
    return {}
