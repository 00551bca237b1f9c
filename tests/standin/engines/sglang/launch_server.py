"""SGLang's HTTP server, played by the stand-in; it knows these flags and no others."""

import standin
import standin_server
from aiohttp import web

SWITCHES = (
    "disable-radix-cache", "skip-server-warmup", "disable-prefill-cuda-graph", "disable-decode-cuda-graph",
    "skip-tokenizer-init", "incremental-streaming-output",
)  # fmt: skip
VALUES = {
    "model-path": str, "host": str, "port": int, "tp-size": int, "context-length": int, "max-running-requests": int,
    "mem-fraction-static": float, "chunked-prefill-size": int, "sampling-backend": str, "random-seed": int,
    "log-level": str, "log-level-http": str, "load-format": str,
}  # fmt: skip


def arguments():
    parser = standin_server.parser()
    for name in SWITCHES:
        parser.add_argument(f"--{name}", action="store_true")
    for name, kind in VALUES.items():
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--cuda-graph-bs-decode", type=int, nargs="+")
    return parser.parse_args()


def main():
    args = arguments()
    off = args.disable_decode_cuda_graph != (standin_server.SERVER == "wrong-graphs")
    profiling = []

    async def generate(request):
        asked = await request.json()
        sampling = asked["sampling_params"]
        assert sampling["ignore_eos"] and asked["stream"] and sampling["temperature"] == 0

        def message(new, told):
            held = new if args.incremental_streaming_output else told
            return {"output_ids": [7] * held, "meta_info": {"completion_tokens": told, "finish_reason": None}}

        return await standin_server.Served(request, asked["input_ids"], sampling["max_new_tokens"], message).answer()

    async def info(_):
        return web.json_response(
            {
                "tp_size": args.tp_size,
                "max_running_requests": args.max_running_requests,
                "attention_backend": "fa3",
                "sampling_backend": args.sampling_backend,
                "internal_states": [
                    {
                        "cuda_graph_config": {"decode": {"backend": "disabled" if off else "full"}},
                        "memory_usage": {"token_capacity": 1000, "graph": 0.1},
                        "effective_max_running_requests_per_dp": args.max_running_requests,
                    }
                ],
            }
        )

    async def start(request):
        asked = await request.json()
        assert asked["activities"] == ["CUDA_PROFILER"]
        profiling.append(asked["num_steps"])
        standin.capture("start")
        standin.capture("stop")
        return web.Response()

    async def stop(_):
        return web.Response(status=500, text="Profiling is not in progress. Call /start_profile first.")

    routes = [("POST", "/generate", generate), ("GET", "/server_info", info)]
    routes += [("POST", "/start_profile", start), ("POST", "/stop_profile", stop)]
    standin_server.run(routes, args.port)


if __name__ == "__main__":
    main()
