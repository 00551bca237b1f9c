"""Asks SGLang's own ServerArgs and argument parser what they make of options; runs in SGLang's environment.

stdin: {"card": NAME, "cases": {LABEL: {"options": ..., "environment": ..., "flags": [...]}}}; the last line of stdout
is the answer.
"""

import argparse
import dataclasses
import json
import sys
from typing import Any

import standins

KERNELS = ("sgl_kernel", "deep_gemm")


def main() -> None:
    """Answer one request."""
    asked = json.load(sys.stdin)
    standins.sources_first()
    sys.meta_path.insert(0, standins.Finder(lambda name: name.split(".")[0] in KERNELS))
    standins.torch_with(standins.CARDS[asked["card"]])
    answers = {label: answer(case) for label, case in asked["cases"].items()}
    print("\n" + json.dumps({"versions": standins.versions("sglang"), "cases": answers}))


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """What ServerArgs makes of one case's options, and whether the server's flags come to the same."""
    from sglang.srt.server_args import ServerArgs

    # From 0.5.20 on it is no dataclass but a msgspec.Struct.
    fields = getattr(ServerArgs, "__struct_fields__", None) or [field.name for field in dataclasses.fields(ServerArgs)]
    found: dict[str, Any] = {"accepts": {name: name in fields for name in case["options"]}}
    try:
        found["resolved"] = told(ServerArgs(**case["options"]))
    except (Exception, SystemExit) as error:
        return {**found, "refused": standins.failure(error)}
    return {**found, "server": server(case["flags"], found["resolved"])}


def told(args: Any) -> dict[str, Any]:
    """What a configuration says of everything that a study sets; None where the version has no such name."""
    if hasattr(args, "resolve_once"):  # from 0.5.19 on: until it is called the record holds the input alone
        args.resolve_once()
    known = args.resolved_dict() if hasattr(args, "resolved_dict") else vars(args)
    return {
        **graphs(known),
        **{name: known.get(name) for name in ("attention_backend", "sampling_backend", "mem_fraction_static")},
        **{name: known.get(name) for name in ("max_running_requests", "max_total_tokens", "chunked_prefill_size")},
        **{name: known.get(name) for name in ("context_length", "page_size", "disable_overlap_schedule")},
        "prefix_caching": not known["disable_radix_cache"],
        "custom_all_reduce": not known["disable_custom_all_reduce"],
        "fused_all_reduce": bool(known.get("flashinfer_allreduce_fusion_backend"))
        or known["enable_flashinfer_allreduce_fusion"],
        "torch_compile": known["enable_torch_compile"],
        "layout": [known["tp_size"], known["pp_size"], known["dp_size"], known.get("attn_dp_size")],
        "dp_attention": known["enable_dp_attention"],
    }


def graphs(known: dict[str, Any]) -> dict[str, Any]:
    """How decode and prefill run, and at which sizes decode has a graph, in the words of 0.5.14 and later."""
    config = known.get("cuda_graph_config")
    if config is None:  # before 0.5.14: one switch for the graphs of decode, one for the pieces of prefill
        return {
            "decode_graphs": "disabled" if known["disable_cuda_graph"] else "full",
            "prefill_graphs": "disabled" if known["disable_piecewise_cuda_graph"] else "piecewise",
            "capture_sizes": [] if known["disable_cuda_graph"] else known["cuda_graph_bs"],
        }
    phases = config if isinstance(config, dict) else dataclasses.asdict(config)
    decode = phases["decode"]
    return {
        "decode_graphs": str(decode["backend"]),
        "prefill_graphs": str(phases["prefill"]["backend"]),
        "capture_sizes": [] if decode["backend"] == "disabled" else decode["bs"],
    }


def server(flags: list[str], wanted: dict[str, Any]) -> str:
    """Whether the flags of the HTTP server come to the same configuration: `same`, or what differs."""
    from sglang.srt.server_args import ServerArgs

    parser = argparse.ArgumentParser()
    try:
        ServerArgs.add_cli_args(parser)
        found = told(ServerArgs.from_cli_args(parser.parse_args(flags)))
    except (Exception, SystemExit) as error:
        return standins.failure(error)
    different = {name: found[name] for name in found if found[name] != wanted[name]}
    return f"differs: {different}" if different else "same"


if __name__ == "__main__":
    main()
