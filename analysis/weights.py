"""What a decode step reads of a model's weights, by its config.json: to estimate one model from another's trace.

And which models are mixtures of experts, of which what is read is not fixed.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from analysis.errors import TraceError

FOLDER = Path(__file__).resolve().parents[1] / "data" / "models"


# What configurations call how many experts a layer has.
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The matrices that a decode step multiplies with, as a number of weights; and the model's layers."""

    name: str
    streamed: int
    layers: int


@cache
def experts(name: str) -> bool:
    """Whether a model of data/models is a mixture of experts; False of one that is not there."""
    path = FOLDER / name / "config.json"
    return path.is_file() and _has_experts(json.loads(path.read_text(encoding="utf-8")))


def read(name: str) -> Weights:
    """Read a model of data/models. Raises TraceError where there is none, or which weights are read is not fixed."""
    path = FOLDER / name / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        known = ", ".join(sorted(found.parent.name for found in FOLDER.glob("*/config.json")))
        raise TraceError(f"no model {name!r}; expected one of {known}; add its config.json") from None
    if _has_experts(config):
        raise TraceError(f"{name} has experts, so what a step reads depends on its tokens; give a dense model")
    return Weights(name=name, streamed=_streamed(config), layers=int(config["num_hidden_layers"]))


def _has_experts(config: dict[str, Any]) -> bool:
    return any(config.get(name) for name in _EXPERTS)


def _streamed(config: dict[str, Any]) -> int:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    head = config.get("head_dim", hidden // heads)
    attention = hidden * head * (2 * heads + 2 * config["num_key_value_heads"])
    mlp = 3 * hidden * config["intermediate_size"]
    return int(config["num_hidden_layers"] * (attention + mlp) + config["vocab_size"] * hidden)
