"""vLLM's HTTP server, played by the stand-in; it knows these flags and no others."""

import json

import standin
import standin_server
from aiohttp import web

SWITCHES = (
    "enable-prefix-caching", "skip-tokenizer-init", "enforce-eager", "disable-uvicorn-access-log", "async-scheduling",
)  # fmt: skip
VALUES = {
    "model": str, "host": str, "port": int, "tensor-parallel-size": int, "max-model-len": int, "max-num-seqs": int,
    "max-num-batched-tokens": int, "gpu-memory-utilization": float, "seed": int, "load-format": str,
    "profiler-config": json.loads, "compilation-config": json.loads,
}  # fmt: skip
MODES = {"NONE": 0, "FULL_DECODE_ONLY": [2, 0], "FULL_AND_PIECEWISE": [2, 1]}


def arguments():
    parser = standin_server.parser()
    for name in SWITCHES:
        parser.add_argument(f"--{name}", action=standin_server.argparse.BooleanOptionalAction, default=False)
    for name, kind in VALUES.items():
        parser.add_argument(f"--{name}", type=kind)
    return parser.parse_args()


async def completions(request):
    asked = await request.json()
    assert asked["ignore_eos"] and asked["stream"] and asked["return_token_ids"] and asked["temperature"] == 0

    def message(new, _):
        return {"choices": [{"index": 0, "text": "", "finish_reason": None, "token_ids": [7] * new}]}

    return await standin_server.Served(request, asked["prompt"], asked["max_tokens"], message).answer()


def server_info(args):
    asked = args.compilation_config or {}
    off = (args.enforce_eager or asked.get("cudagraph_mode") == "NONE") != (standin_server.SERVER == "wrong-graphs")
    mode = "NONE" if off else asked.get("cudagraph_mode", "FULL_AND_PIECEWISE")
    return {
        "vllm_config": {
            "compilation_config": {
                "cudagraph_mode": MODES[mode],
                "mode": 0 if args.enforce_eager else asked.get("mode", 3),
                "cudagraph_capture_sizes": asked.get("cudagraph_capture_sizes"),
            },
            "parallel_config": {"tensor_parallel_size": args.tensor_parallel_size},
            "scheduler_config": {"max_num_seqs": args.max_num_seqs},
            "cache_config": {"num_gpu_blocks": 90, "block_size": 16},
            "model_config": {"dtype": "torch.bfloat16"},
        }
    }


METRICS = """# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",engine="0",kv_cache_size_tokens="1600",num_gpu_blocks="100"} 1.0
"""


def main():
    args = arguments()
    profiler = args.profiler_config or {}

    async def info(_):
        return web.json_response(server_info(args))

    async def metrics(_):
        return web.Response(text=METRICS)

    async def start(_):
        standin.capture("start")
        if profiler.get("max_iterations"):
            standin.capture("stop")
        return web.Response()

    async def stop(_):
        return web.Response()

    routes = [("POST", "/v1/completions", completions), ("GET", "/metrics", metrics)]
    if standin_server.os.environ.get("VLLM_SERVER_DEV_MODE") == "1":
        routes.append(("GET", "/server_info", info))
    if profiler.get("profiler") == "cuda":
        routes += [("POST", "/start_profile", start), ("POST", "/stop_profile", stop)]
    standin_server.run(routes, args.port)


if __name__ == "__main__":
    main()
