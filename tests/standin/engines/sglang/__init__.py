"""SGLang's names, played by the stand-in."""

import standin

KNOWN = {
    "model_path", "tp_size", "context_length", "max_running_requests", "mem_fraction_static", "chunked_prefill_size",
    "sampling_backend", "disable_radix_cache", "skip_server_warmup", "random_seed", "disable_prefill_cuda_graph",
    "disable_decode_cuda_graph", "cuda_graph_bs_decode", "load_format", "skip_tokenizer_init", "log_level",
    "pp_size", "dp_size", "enable_dp_attention", "disable_cuda_graph",
}  # fmt: skip


class Engine:
    def __init__(self, **options):
        standin.refuse_unknown(options, KNOWN)
        wrong = standin.fault("start") == "wrong-graphs"
        off = (options.get("disable_decode_cuda_graph", False) or options.get("disable_cuda_graph", False)) != wrong
        self._info = {
            "tp_size": options["tp_size"],
            "pp_size": options.get("pp_size", 1),
            "dp_size": options.get("dp_size", 1),
            "max_running_requests": options.get("max_running_requests", 48),
            "cuda_graph_config": {
                "decode": {"backend": "disabled" if off else "full", "bs": options.get("cuda_graph_bs_decode")}
            },
            "internal_states": [{"memory_usage": {"token_capacity": 1000, "graph": 0.1}}],
        }

    def generate(self, *, input_ids, sampling_params):
        standin.decode(sampling_params["max_new_tokens"])
        return [{"meta_info": {"completion_tokens": sampling_params["max_new_tokens"]}} for _ in input_ids]

    def get_server_info(self):
        return self._info

    def start_profile(self, activities):
        standin.capture("start")

    def stop_profile(self):
        standin.capture("stop")

    def shutdown(self):
        pass
