"""What SGLang's schedulers tell of themselves, in the words of older and newer versions."""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest

PHASES = {"cuda_graph_config": {"decode": {"backend": "full", "bs": [1, 8]}, "prefill": {"backend": "disabled"}}}


@pytest.fixture
def driver(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for engine in ("sglang", "torch"):
        monkeypatch.setitem(sys.modules, engine, types.ModuleType(engine))
    spec = importlib.util.spec_from_file_location("sglang_offline", root / "launch/drivers/sglang_offline.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("info", "backend", "sizes"),
    [
        (PHASES, "full", [1, 8]),
        ({"cuda_graph_config": {"decode": {"backend": "disabled"}}, "disable_cuda_graph": False}, "disabled", None),
        ({"disable_cuda_graph": False, "cuda_graph_bs": [1, 8]}, "full", [1, 8]),
        ({"disable_cuda_graph": True, "cuda_graph_bs": None}, "disabled", None),
        ({"cuda_graph_config": None, "disable_cuda_graph": False}, None, None),
        ({}, None, None),
    ],
)
def test_the_graphs_of_decode_are_read_in_the_words_of_each_version(
    driver: Any, info: dict[str, Any], backend: str | None, sizes: list[int] | None
) -> None:
    assert driver._decode({}, info, "backend") == backend
    assert driver._decode({}, info, "bs") == sizes


@pytest.mark.parametrize(
    ("info", "tp", "dp"),
    [
        ({"tp_size": 4, "dp_size": 1, "enable_dp_attention": False}, 4, 1),
        ({"tp_size": 4, "dp_size": 2, "enable_dp_attention": False}, 4, 2),
        ({"tp_size": 8, "dp_size": 2, "enable_dp_attention": True}, 4, 2),
        ({"tp_size": 8, "dp_size": 1, "attn_dp_size": 2, "enable_dp_attention": True}, 4, 2),
        ({"tp_size": 4, "dp_size": 2, "attn_dp_size": 1, "enable_dp_attention": False}, 4, 2),
        ({}, None, None),
    ],
)
def test_replicas_and_the_gpus_of_each_are_told_apart(
    driver: Any, info: dict[str, Any], tp: int | None, dp: int | None
) -> None:
    assert (driver._attention_tp(info), driver._replicas(info)) == (tp, dp)
