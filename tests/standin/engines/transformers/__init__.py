"""Transformers' names, played by the stand-in; what it is given that it does not know is refused, as there."""

from types import SimpleNamespace

import standin

__version__ = "0.0.1"


def set_seed(seed):
    assert isinstance(seed, int)


class CompileConfig:
    def __init__(self, *, mode):
        self.mode = mode


GENERATION = {
    "max_new_tokens", "min_new_tokens", "do_sample", "pad_token_id", "eos_token_id", "disable_compile",
    "compile_config",
}  # fmt: skip
CONTINUOUS = {
    "use_cuda_graph", "use_async_batching", "max_requests_per_batch", "max_batch_tokens", "max_memory_percent",
    "allow_block_sharing",
}  # fmt: skip


class GenerationConfig:
    def __init__(self, **options):
        standin.refuse_unknown(options, GENERATION)
        self.max_new_tokens = options.get("max_new_tokens")


class ContinuousBatchingConfig:
    def __init__(self, **options):
        standin.refuse_unknown(options, CONTINUOUS)
        wrong = standin.fault("start") == "wrong-graphs"
        graphs = options.get("use_cuda_graph", True) != wrong
        self.cuda_graph_booleans = (graphs, graphs)
        self.use_async_batching = options.get("use_async_batching", graphs)


class StaticCache:
    def __init__(self, config, *, max_cache_len):
        self.length = max_cache_len

    def reset(self):
        pass


class LogitsProcessor:
    pass


class LogitsProcessorList(list):
    pass


class Manager:
    def __init__(self, settings):
        self.continuous_batching_config = settings
        self._finished = []
        self.batch_processor = SimpleNamespace(inputs_and_outputs=SimpleNamespace(requests_in_batch=[]))

    def warmup(self):
        pass

    def start(self):
        pass

    def is_running(self):
        return True

    def _generation_step(self):
        pass

    def _steps(self, lengths):
        self.batch_processor.inputs_and_outputs.requests_in_batch = [SimpleNamespace(query_length=n) for n in lengths]
        self._generation_step()

    def add_requests(self, *, inputs, max_new_tokens):
        standin.decode(max_new_tokens)
        self._steps(map(len, inputs))
        for _ in range(max_new_tokens - 1):
            self._steps([1] * len(inputs))
        made = SimpleNamespace(generated_tokens=[0] * max_new_tokens, is_finished=lambda: True)
        self._finished = [made] * len(inputs)

    def get_result(self, timeout):
        return self._finished.pop() if self._finished else None

    def stop(self, *, block, timeout):
        standin.fault("close")


class Model:
    config = SimpleNamespace(_attn_implementation="sdpa")
    dtype = "bfloat16"

    def eval(self):
        return self

    def to(self, device):
        return self

    def generate(self, ids, *, attention_mask, generation_config, logits_processor, past_key_values=None):
        standin.decode(generation_config.max_new_tokens)
        for made in range(generation_config.max_new_tokens):
            for process in logits_processor:
                process(SimpleNamespace(shape=(ids.shape[0], ids.shape[1] + made)), None)
        return SimpleNamespace(shape=(ids.shape[0], ids.shape[1] + generation_config.max_new_tokens))

    def init_continuous_batching(self, *, generation_config, continuous_batching_config):
        return Manager(continuous_batching_config)


class AutoConfig:
    @staticmethod
    def from_pretrained(path):
        return SimpleNamespace(path=path)


class AutoModelForCausalLM:
    @staticmethod
    def from_config(config, dtype):
        standin.fault("start")
        return Model()

    @staticmethod
    def from_pretrained(path, dtype):
        return Model()
