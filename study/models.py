"""The architectures in data/models: sizes, exact parameter counts, and the tensor-parallel sizes they allow."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.errors import StudyError
from study.layouts import Layout
from study.words import hint

FOLDER = Path(__file__).resolve().parents[1] / "data" / "models"
GIB = 2**30
QKV_BIAS = {"qwen2", "qwen2_moe"}
QK_NORMS = {"qwen3"}
FAMILIES = {"llama", "qwen2", "qwen2_moe", "qwen3"}


@dataclass(frozen=True, kw_only=True)
class Model:
    """A decoder-only transformer. With experts every layer is a mixture, and `intermediate` is unused.

    `head_dim` is the width of one head; `positions` the longest sequence in tokens; `experts` is 0 for dense models.
    """

    name: str
    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    positions: int
    tied_embeddings: bool = False
    experts: int = 0
    expert_intermediate: int = 0
    shared_intermediate: int = 0

    @property
    def parameters(self) -> int:
        """The exact number of weights."""
        embeddings = self.vocab * self.hidden * (1 if self.tied_embeddings else 2)
        return embeddings + self.layers * (self._attention() + self._mlp() + 2 * self.hidden) + self.hidden

    def _attention(self) -> int:
        q_width, kv_width = self.heads * self.head_dim, self.kv_heads * self.head_dim
        weights = self.hidden * (2 * q_width + 2 * kv_width)
        bias = q_width + 2 * kv_width if self.family in QKV_BIAS else 0
        norms = 2 * self.head_dim if self.family in QK_NORMS else 0
        return weights + bias + norms

    def _mlp(self) -> int:
        if not self.experts:
            return 3 * self.hidden * self.intermediate
        return self.hidden * (self.experts + 1) + 3 * self.hidden * self.shared_intermediate + self._experts()

    def _experts(self) -> int:
        return 3 * self.hidden * self.experts * self.expert_intermediate

    def weights_gib(self, layout: Layout, dtype_bytes: int = 2) -> float:
        """Weights of the fullest GPU. Norms, and KV heads fewer than GPUs, are copied, not split: under 1 % more.

        The first stage has the embedding and the last the head; with DP attention experts go over all replicas.
        """
        layers = math.ceil(self.layers / layout.pp)
        ends = self.vocab * self.hidden * (1 if self.tied_embeddings or layout.pp > 1 else 2) + self.hidden
        rest = ends + layers * (self._attention() + self._mlp() - self._experts() + 2 * self.hidden)
        experts = layers * self._experts() / (layout.dp if layout.dp_attention else 1)
        return (rest + experts) * dtype_bytes / layout.tp / GIB

    def kv_bytes_per_token(self, layout: Layout, dtype_bytes: int = 2) -> int:
        """KV cache per token of a replica and GPU; it stops shrinking once every GPU holds one KV head."""
        layers = math.ceil(self.layers / layout.pp)
        return 2 * layers * max(self.kv_heads // layout.tp, 1) * self.head_dim * dtype_bytes

    def illegal(self, layout: Layout) -> str | None:
        """Why the model cannot be split so, or None if it can."""
        if layout.pp > self.layers:
            return f"{self.layers} layers are fewer than the {layout.pp} stages of {layout.label}"
        if layout.dp_attention and not self.experts:
            return f"{layout.label} shares experts out over its replicas, and the model has none: dp{layout.dp}"
        return self._illegal_tp(layout.tp) or self._illegal_experts(layout)

    def _illegal_experts(self, layout: Layout) -> str | None:
        over = layout.tp * layout.dp if layout.dp_attention else layout.tp
        if self.expert_intermediate % over == 0:
            return None
        return f"an expert width of {self.expert_intermediate} is not divisible by the {over} GPUs that share it"

    def _illegal_tp(self, tp: int) -> str | None:
        if self.heads % tp:
            return f"{self.heads} attention heads are not divisible by TP {tp}"
        # Fewer KV heads than GPUs are copied, and every GPU must get the same number of copies.
        if max(self.kv_heads, tp) % min(self.kv_heads, tp):
            return f"{self.kv_heads} KV heads can be neither split nor copied evenly over TP {tp}"
        if tp > self.experts > 0:
            return f"{self.experts} experts are fewer than TP {tp}"
        width, name = self._split_width()
        return f"{name} of {width} is not divisible by TP {tp}" if width % tp else None

    def _split_width(self) -> tuple[int, str]:
        if not self.experts:
            return self.intermediate, "an MLP width"
        return self.shared_intermediate, "a shared-expert width"


def names() -> tuple[str, ...]:
    """Every model that has a folder in data/models."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/config.json")))


def config_path(name: str) -> Path:
    """Where a model's config.json is. Raises StudyError for a model that has none."""
    if name not in names():
        raise StudyError(f"unknown model {name!r}: {hint(name, names())}; add one as {FOLDER / name / 'config.json'}")
    return FOLDER / name / "config.json"


def load(name: str) -> Model:
    """Read a model's configuration. Raises StudyError if it is absent or its weights cannot be counted."""
    path = config_path(name)
    return from_config(name, json.loads(path.read_text(encoding="utf-8")), path)


def from_config(name: str, config: dict[str, Any], path: Path) -> Model:
    """Make a Model of a parsed config.json. Raises StudyError naming `path` if it is unusable."""
    family = config.get("model_type")
    if family not in FAMILIES:
        raise StudyError(
            f"{path}: model_type is {family!r}; the weights of {', '.join(sorted(FAMILIES))} can be counted"
        )
    try:
        return Model(
            name=name,
            family=family,
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            head_dim=config.get("head_dim", config["hidden_size"] // config["num_attention_heads"]),
            intermediate=config["intermediate_size"],
            vocab=config["vocab_size"],
            positions=config["max_position_embeddings"],
            tied_embeddings=config.get("tie_word_embeddings", False),
            experts=config.get("num_experts", 0),
            expert_intermediate=config.get("moe_intermediate_size", 0),
            shared_intermediate=config.get("shared_expert_intermediate_size", 0),
        )
    except KeyError as missing:
        raise StudyError(f"{path}: the key {missing} is missing; copy the model's whole config.json there") from None
