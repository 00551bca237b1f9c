"""Whether a model fits a GPU at a TP, by arithmetic: weights, what an engine needs itself, and room for KV cache."""

from dataclasses import dataclass

from study.gpus import Gpu
from study.layouts import Layout
from study.models import GIB, Model
from study.spec import MEMORY_UTILISATION

# Activations, CUDA context, captured graphs and NCCL buffers: less on cards whose defaults for batches are smaller.
SMALL_CARD_GIB, SMALL_OVERHEAD_GIB, OVERHEAD_GIB = 30, 1.0, 3.0


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Memory of one GPU in GiB: what weights and KV cache may take, what the weights take; and KV bytes per token."""

    budget_gib: float
    weights_gib: float
    kv_bytes_per_token: int

    @property
    def kv_gib(self) -> float:
        """Room left for KV cache; negative where the weights alone are too much."""
        return self.budget_gib - self.weights_gib

    @property
    def kv_tokens(self) -> int:
        """Tokens whose KV cache fits, of all sequences together; 0 where the weights alone are too much."""
        return max(0, int(self.kv_gib * GIB) // self.kv_bytes_per_token)


def fit(model: Model, gpu: Gpu, layout: Layout) -> Fit:
    """An estimate, not a measurement: what one GPU of a layout holds of a model with 16-bit weights and KV cache."""
    return Fit(
        budget_gib=MEMORY_UTILISATION * gpu.memory_gib - overhead_gib(gpu),
        weights_gib=model.weights_gib(layout),
        kv_bytes_per_token=model.kv_bytes_per_token(layout),
    )


def overhead_gib(gpu: Gpu) -> float:
    """What an engine needs per GPU beside weights and KV cache."""
    return SMALL_OVERHEAD_GIB if gpu.memory_gib < SMALL_CARD_GIB else OVERHEAD_GIB


def shortfall(model: Model, gpu: Gpu, layout: Layout, tokens: int) -> str | None:
    """Why a model and the KV cache of `tokens` tokens a replica do not fit on GPUs split so, or None if they do."""
    found = fit(model, gpu, layout)
    if found.kv_gib <= 0:
        return (
            f"weights do not fit: {found.weights_gib:.1f} GiB per GPU at {layout.label}, {gpu.key} has room for "
            f"{found.budget_gib:.1f} GiB ({MEMORY_UTILISATION} x {gpu.memory_gib:g} - {overhead_gib(gpu):g})"
        )
    if found.kv_tokens < tokens:
        return (
            f"KV cache does not fit: {tokens} tokens needed, the {found.kv_gib:.1f} GiB per GPU that weights leave at "
            f"{layout.label} hold {found.kv_tokens}"
        )
    return None
