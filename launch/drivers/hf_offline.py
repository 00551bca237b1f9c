"""Hugging Face transformers, as the decode driver uses it: generate with a growing or a static cache, or its engine.

Weights are drawn at random from the configuration where `weights` is false. One GPU, or the CPU where there is none.
Every decode step lies in an NVTX range named as vLLM names its own: kernels of torch and of torch.compile have no
names that tell how many rows ran.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
import transformers

_DTYPE = torch.bfloat16


class Engine:
    """One model and a way to decode with it; `options` are those of launch/engines/hf.py."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Make the model and, for continuous batching, capture as the options say."""
        self._options = options
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        transformers.set_seed(options["seed"])
        self._model = _model(options, self._device).eval()
        ways: dict[str, Any] = {"dynamic": _Generate, "static": _Generate, "continuous": _Continuous}
        self._way = ways[options["way"]](self._model, options, self._device)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def generate(self, prompts: list[list[int]], tokens: int) -> None:
        """Decode exactly `tokens` tokens for every prompt, greedily."""
        counts = self._way.generate(prompts, tokens)
        if short := [count for count in counts if count != tokens]:
            raise RuntimeError(f"{len(short)} of {len(prompts)} sequences ended after {short[0]} tokens, not {tokens}")

    def start_profile(self) -> None:
        """Call cudaProfilerStart."""
        torch.cuda.profiler.start()

    def stop_profile(self) -> None:
        """Call cudaProfilerStop, once the GPU has done what was asked."""
        torch.cuda.synchronize()
        torch.cuda.profiler.stop()

    def resolved(self) -> dict[str, Any]:
        """What became of the options."""
        return {
            "engine_version": transformers.__version__,
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "tp": 1,
            "way": self._options["way"],
            "attention_backend": self._model.config._attn_implementation,
            "dtype": str(self._model.dtype),
            **self._way.resolved(),
        }

    def close(self) -> None:
        """Stop the engine's thread."""
        self._way.close()


class _Generate:
    """The model's own generate: every step is launched by this process, unless the static cache's is compiled."""

    def __init__(self, model: Any, options: dict[str, Any], device: str) -> None:
        self._model, self._device = model, device
        self._static, self._mode = options["way"] == "static", options["compile_mode"]
        self._context, self._caches = options["context"], dict[int, Any]()

    def generate(self, prompts: list[list[int]], tokens: int) -> list[int]:
        ids = torch.tensor(prompts, device=self._device)
        marks = _Marks()
        made = self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=self._config(tokens),
            logits_processor=transformers.LogitsProcessorList([marks] if self._device == "cuda" else []),
            **self._cache(len(prompts)),
        )
        marks.end()
        return [made.shape[1] - ids.shape[1]] * len(prompts)

    def _config(self, tokens: int) -> Any:
        compiled = {"compile_config": transformers.CompileConfig(mode=self._mode)} if self._mode else {}
        return transformers.GenerationConfig(
            max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0,
            disable_compile=self._mode is None, **compiled,
        )  # fmt: skip

    def _cache(self, batch: int) -> dict[str, Any]:
        if not self._static:
            return {}
        if batch not in self._caches:
            # One for all lengths: another would be compiled and captured anew.
            self._caches[batch] = transformers.StaticCache(self._model.config, max_cache_len=self._context)
        self._caches[batch].reset()
        return {"past_key_values": self._caches[batch]}

    def resolved(self) -> dict[str, Any]:
        graphs = self._mode == "reduce-overhead"
        return {"graphs": "on" if graphs else "off", "compile": "on" if self._mode else "off"}

    def close(self) -> None:
        pass


class _Continuous:
    """The engine of transformers: a thread that batches requests, with its own switch for CUDA graphs."""

    def __init__(self, model: Any, options: dict[str, Any], device: str) -> None:
        settings = transformers.ContinuousBatchingConfig(**options["continuous"])
        greedy = transformers.GenerationConfig(do_sample=False, pad_token_id=0, eos_token_id=-1)
        self._manager = model.init_continuous_batching(generation_config=greedy, continuous_batching_config=settings)
        began = time.perf_counter()
        self._manager.warmup()
        self._capture_s = time.perf_counter() - began
        if device == "cuda":
            self._mark_steps()
        self._manager.start()

    def _mark_steps(self) -> None:
        # What it ran is known of a step alone: nothing public is called for each.
        step = self._manager._generation_step

        def marked() -> None:
            batch = self._manager.batch_processor.inputs_and_outputs
            ahead = batch.io_pairs[batch.current_pair].host_io if hasattr(batch, "io_pairs") else batch
            with torch.cuda.nvtx.range(_mark([request.query_length for request in ahead.requests_in_batch])):
                step()

        self._manager._generation_step = marked

    def generate(self, prompts: list[list[int]], tokens: int) -> list[int]:
        self._manager.add_requests(inputs=prompts, max_new_tokens=tokens)
        counts: list[int] = []
        while len(counts) < len(prompts):
            result = self._manager.get_result(timeout=1)
            if result is None and not self._manager.is_running():
                raise RuntimeError("the generation thread of transformers ended; its log says why")
            if result is not None and result.is_finished():
                counts.append(len(result.generated_tokens))
        return counts

    def resolved(self) -> dict[str, Any]:
        settings = self._manager.continuous_batching_config
        varlen, decode = settings.cuda_graph_booleans
        return {
            "graphs": "on" if decode or varlen else "off",
            "graph_paths": {"varlen": varlen, "decode": decode},
            "async_scheduling": settings.use_async_batching,
            **({"capture_s": round(self._capture_s, 3)} if decode or varlen else {}),
        }

    def close(self) -> None:
        self._manager.stop(block=True, timeout=30)


class _Marks(transformers.LogitsProcessor):  # type: ignore[misc]
    """Marks the decode steps of generate, each from one choice of tokens to the next; changes no score."""

    def __init__(self) -> None:
        self._open = False

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.end()
        torch.cuda.nvtx.range_push(_mark([1] * input_ids.shape[0]))
        self._open = True
        return scores

    def end(self) -> None:
        if self._open:
            torch.cuda.nvtx.range_pop()
        self._open = False


def _mark(lengths: Sequence[int]) -> str:
    """The name of a step that runs so many tokens of each sequence: one where it decodes, more of a prompt."""
    prompts = [length for length in lengths if length > 1]
    decoding = len(lengths) - len(prompts)
    return f"execute_context_{len(prompts)}({sum(prompts)})_generation_{decoding}({decoding})"


def _model(options: dict[str, Any], device: str) -> Any:
    if options["weights"]:
        return transformers.AutoModelForCausalLM.from_pretrained(options["model"], dtype=_DTYPE).to(device)
    config = transformers.AutoConfig.from_pretrained(options["model"])
    with torch.device(device):
        return transformers.AutoModelForCausalLM.from_config(config, dtype=_DTYPE)
