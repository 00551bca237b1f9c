"""vLLM's names, played by the stand-in."""

from types import SimpleNamespace

import standin

KNOWN = {
    "model", "tensor_parallel_size", "max_model_len", "max_num_seqs", "max_num_batched_tokens",
    "gpu_memory_utilization", "enable_prefix_caching", "seed", "profiler_config", "load_format",
    "skip_tokenizer_init", "enforce_eager", "compilation_config", "pipeline_parallel_size", "data_parallel_size",
}  # fmt: skip


class SamplingParams:
    def __init__(self, *, max_tokens, ignore_eos, detokenize, temperature):
        self.max_tokens = max_tokens


class LLM:
    def __init__(self, **options):
        standin.refuse_unknown(options, KNOWN)
        wrong = standin.fault("start") == "wrong-graphs"
        asked = options.get("compilation_config", {})
        eager = options.get("enforce_eager", False)
        off = (eager or asked.get("cudagraph_mode") == "NONE") != wrong
        compiled = not eager and asked.get("mode") != 0
        if not off:
            print("INFO [model_runner.py:722] Graph capturing finished in 2 secs, took 0.25 GiB", flush=True)
        self.llm_engine = SimpleNamespace(
            engine_core=SimpleNamespace(shutdown=lambda: standin.fault("close")),
            vllm_config=SimpleNamespace(
                compilation_config=SimpleNamespace(
                    cudagraph_mode=SimpleNamespace(name="NONE" if off else "FULL_AND_PIECEWISE"),
                    cudagraph_capture_sizes=asked.get("cudagraph_capture_sizes"),
                    mode=SimpleNamespace(name="VLLM_COMPILE" if compiled else "NONE"),
                ),
                parallel_config=SimpleNamespace(
                    tensor_parallel_size=options["tensor_parallel_size"],
                    pipeline_parallel_size=options.get("pipeline_parallel_size", 1),
                    data_parallel_size=options.get("data_parallel_size", 1),
                    disable_custom_all_reduce=False,
                ),
                scheduler_config=SimpleNamespace(
                    max_num_seqs=options.get("max_num_seqs", 256),
                    max_num_batched_tokens=options.get("max_num_batched_tokens", 8192),
                    async_scheduling=True,
                ),
                cache_config=SimpleNamespace(num_gpu_blocks=100, block_size=16, gpu_memory_utilization=0.92),
                model_config=SimpleNamespace(dtype="bfloat16", max_model_len=options.get("max_model_len", 8192)),
            ),
        )

    def generate(self, prompts, sampling, use_tqdm):
        standin.decode(sampling.max_tokens)
        ids = SimpleNamespace(token_ids=[0] * sampling.max_tokens)
        return [SimpleNamespace(outputs=[ids]) for _ in prompts]

    def start_profile(self):
        standin.capture("start")

    def stop_profile(self):
        standin.capture("stop")
