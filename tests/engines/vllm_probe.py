"""Asks vLLM's own configuration classes and argument parser what they make of options; runs in vLLM's environment.

stdin: {"card": NAME, "cases": {LABEL: {"options": ..., "environment": ..., "flags": [...]}}}; the last line of stdout
is the answer. The model's class is not imported, because it brings the kernels along; what it says of itself is
filled in for a decoder.
"""

import dataclasses
import json
import os
import sys
from typing import Any
from unittest.mock import MagicMock

import standins

DECODER = {
    "is_text_generation_model": True,
    "supports_pp": True,
    "supports_lora": True,
    "attn_type": "decoder",
    "default_seq_pooling_type": "LAST",
    "default_tok_pooling_type": "ALL",
    "score_type": "bi-encoder",
    "supported_video_pruning_methods": (),
}
KERNELS = ("_C", "_C_stable_libtorch", "_C_cache_ops", "_moe_C")


def main() -> None:
    """Answer one request."""
    asked = json.load(sys.stdin)
    prepare(standins.CARDS[asked["card"]])
    answers = {label: answer(case) for label, case in asked["cases"].items()}
    print("\n" + json.dumps({"versions": standins.versions("vllm"), "cases": answers}))


def prepare(card: standins.Card) -> None:
    """Put the card in place of the host's, and stand-ins in place of compiled kernels."""
    standins.sources_first()
    kernels = standins.Finder(lambda name: name.startswith("vllm.") and name.split(".")[-1] in KERNELS)
    sys.meta_path.insert(0, kernels)  # before those that were fetched, which want a driver
    without_kernels()
    standins.torch_with(card)
    from vllm import platforms
    from vllm.platforms.cuda import CudaPlatformBase
    from vllm.platforms.interface import DeviceCapability

    told = {
        "get_device_capability": lambda cls, device_id=0: DeviceCapability(*card.capability),
        "has_device_capability": lambda cls, wanted, device_id=0: card.capability >= pair(wanted),
        "get_device_name": lambda cls, device_id=0: card.name,
        "get_device_total_memory": lambda cls, device_id=0: card.total_memory,
        "device_count": lambda cls: card.count,
        "is_fully_connected": lambda cls, ids: True,
        "num_compute_units": lambda cls, device_id=0: card.multi_processor_count,
    }
    faked = type("FakedCuda", (CudaPlatformBase,), {name: classmethod(how) for name, how in told.items()})
    platforms._current_platform = faked()
    describe_models()


def pair(capability: Any) -> tuple[int, int]:
    """(9, 0) of 90 or (9, 0)."""
    return tuple(capability) if isinstance(capability, tuple) else divmod(capability, 10)


def without_kernels() -> None:
    """Let operators that are not there be looked up, and be given shapes."""
    import torch
    import torch.library

    register = torch.library.register_fake

    def tolerant(name: Any, function: Any = None, /, **rest: Any) -> Any:
        if isinstance(name, str) and name.split("::")[0] in KERNELS:
            return function or (lambda given: given)
        return register(name, function, **rest) if function else register(name, **rest)

    torch.library.register_fake = tolerant
    for name in KERNELS:
        setattr(torch.ops, name, MagicMock(name=name))


def describe_models() -> None:
    """Take every model for a decoder."""
    from vllm.model_executor.models import registry

    def described(model: Any, *_: Any) -> Any:
        names = [field.name for field in dataclasses.fields(registry._ModelInfo)]
        known = {**dict.fromkeys(names, False), **DECODER, "architecture": model.class_name}
        return registry._ModelInfo(**{name: known[name] for name in names})

    registry._LazyRegisteredModel.inspect_model_cls = described


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """What the classes make of one case's options, and whether the server's flags come to the same."""
    os.environ.update(case["environment"])
    found: dict[str, Any] = {"accepts": accepts(case["options"])}
    try:
        found["resolved"] = resolved(case["options"])
    except Exception as error:
        return {**found, "refused": standins.failure(error)}
    finally:
        for name in case["environment"]:
            del os.environ[name]
    return {**found, "server": server(case)}


def accepts(options: dict[str, Any]) -> dict[str, bool]:
    """Which options the classes have a field for; a table's keys as table.key."""
    from vllm.config import AttentionConfig, CompilationConfig, ProfilerConfig
    from vllm.config.compilation import PassConfig
    from vllm.engine.arg_utils import EngineArgs

    tables = {
        "compilation_config": CompilationConfig,
        "compilation_config.pass_config": PassConfig,
        "profiler_config": ProfilerConfig,
        "attention_config": AttentionConfig,
    }
    return names_in(options, "", EngineArgs, tables)


def names_in(options: dict[str, Any], path: str, owner: Any, tables: dict[str, Any]) -> dict[str, bool]:
    """Every name in nested options, with whether its class has a field of that name."""
    fields = {field.name for field in dataclasses.fields(owner)}
    found = {}
    for name, value in options.items():
        found[path + name] = name in fields
        if isinstance(value, dict):
            found |= names_in(value, f"{path}{name}.", tables[path + name], tables)
    return found


def resolved(options: dict[str, Any]) -> dict[str, Any]:
    """The engine's configuration of options, strictly: `vllm.LLM` itself drops names that it does not know."""
    from vllm.config import ProfilerConfig
    from vllm.engine.arg_utils import EngineArgs
    from vllm.usage.usage_lib import UsageContext

    options = {**options, "profiler_config": ProfilerConfig(**options["profiler_config"])}
    return told(EngineArgs(**options).create_engine_config(usage_context=UsageContext.LLM_CLASS))


def told(config: Any) -> dict[str, Any]:
    """What a configuration says of everything that a study sets."""
    compilation, cache = config.compilation_config, config.cache_config
    scheduler, parallel = config.scheduler_config, config.parallel_config
    # Before 0.22 the variable alone decides.
    second = getattr(config, "use_v2_model_runner", os.environ.get("VLLM_USE_V2_MODEL_RUNNER") == "1")
    return {
        "compile_mode": compilation.mode.name,
        "cudagraph_mode": compilation.cudagraph_mode.name,
        "capture_sizes": list(compilation.cudagraph_capture_sizes or []),
        "custom_ops": list(compilation.custom_ops),
        "fuse_allreduce_rms": compilation.pass_config.fuse_allreduce_rms,
        "max_model_len": config.model_config.max_model_len,
        "max_num_seqs": scheduler.max_num_seqs,
        "max_num_batched_tokens": scheduler.max_num_batched_tokens,
        "async_scheduling": scheduler.async_scheduling,
        "gpu_memory_utilization": cache.gpu_memory_utilization,
        "kv_blocks": cache.num_gpu_blocks_override,
        "kv_block_tokens": cache.block_size,
        "prefix_caching": cache.enable_prefix_caching,
        "attention_backend": getattr(config.attention_config.backend, "name", None),
        "custom_all_reduce": not parallel.disable_custom_all_reduce,
        "layout": [parallel.tensor_parallel_size, parallel.pipeline_parallel_size, parallel.data_parallel_size],
        "runner": "v2" if second else "v1",
        "profiler": config.profiler_config.profiler,
    }


def server(case: dict[str, Any]) -> str:
    """Whether the flags of the HTTP server come to the same configuration: `same`, or what differs."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext

    try:
        from vllm.utils.argparse_utils import FlexibleArgumentParser
    except ImportError:
        from vllm.utils import FlexibleArgumentParser
    parser = AsyncEngineArgs.add_cli_args(FlexibleArgumentParser())
    os.environ.update(case["environment"])
    try:
        made = AsyncEngineArgs.from_cli_args(parser.parse_args(case["flags"]))
        found, wanted = told(made.create_engine_config(UsageContext.OPENAI_API_SERVER)), resolved(case["options"])
    except (Exception, SystemExit) as error:
        return standins.failure(error)
    finally:
        for name in case["environment"]:
            del os.environ[name]
    different = {name: found[name] for name in found if found[name] != wanted[name]}
    return f"differs: {different}" if different else "same"


if __name__ == "__main__":
    main()
