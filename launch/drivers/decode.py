"""Steady decode at fixed batch sizes: times windows without a profiler, or opens one capture window a batch.

Runs inside an engine's own environment, so it uses the standard library and that engine alone. What it sees goes as
JSON lines to the events file; the parent process decides what to do about it.
"""

import argparse
import importlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTLE_TOKENS = 12  # prefill, the profiler's start and its stop cost iterations at both ends of a capture window
WARMUP_TOKENS = 32
WARMUP_ROUNDS = 2


def main() -> int:
    """Run one case; returns 0 when every window was measured, 1 when the engine failed."""
    args = _arguments()
    emit = _emitter(args.events)
    # Turned into SystemExit so that the engine shuts its workers down on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _run(args, emit)
    except Exception as error:
        traceback.print_exc()
        emit("error", kind=type(error).__name__, message=str(error)[:2000])
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--engine", required=True, help="vllm, sglang or hf")
    parser.add_argument("--engine-args", required=True, type=json.loads, help="the engine's own options, as JSON")
    parser.add_argument("--batches", required=True, type=lambda text: [int(batch) for batch in text.split(",")])
    parser.add_argument("--prompt-tokens", required=True, type=int)
    parser.add_argument("--output-tokens", required=True, type=int, help="decode steps in one timed window")
    parser.add_argument("--windows", required=True, type=int, help="timed windows a batch; 0: none")
    parser.add_argument("--traced-steps", default=0, type=int, help="decode steps in the capture window; 0: none")
    parser.add_argument("--vocabulary", required=True, type=int)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--events", required=True, type=Path)
    parser.add_argument("--go", type=Path, help="measure only once this file exists")
    return parser.parse_args()


def _emitter(path: Path) -> Callable[..., None]:
    def emit(event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, "time_s": time.time(), **fields})
        with path.open("a", encoding="utf-8") as events:
            events.write(line + "\n")

    return emit


def _run(args: argparse.Namespace, emit: Callable[..., None]) -> None:
    emit("phase", phase="starting", pid=os.getpid())
    engine = importlib.import_module(f"{args.engine}_offline").Engine(args.engine_args)
    try:
        emit("resolved", **engine.resolved())
        emit("phase", phase="ready")
        _wait_for(args.go)
        for batch in args.batches:
            _measure(engine, args, batch, emit)
        # Before the engine is closed: one that hangs at its end has been measured all the same.
        emit("done")
    finally:
        engine.close()


def _wait_for(go: Path | None) -> None:
    while go is not None and not go.exists():
        time.sleep(0.05)


def _measure(engine: Any, args: argparse.Namespace, batch: int, emit: Callable[..., None]) -> None:
    prompts = token_prompts(batch, args.prompt_tokens, args.vocabulary, args.seed)
    emit("phase", phase="warming up", batch=batch)
    for _ in range(WARMUP_ROUNDS):
        engine.generate(prompts, WARMUP_TOKENS)
    if args.windows:
        emit("phase", phase="measuring", batch=batch)
        for window in range(args.windows):
            seconds = decode_seconds(engine, prompts, args.output_tokens)
            emit("window", batch=batch, window=window, tokens=args.output_tokens, seconds=seconds)
    if args.traced_steps:
        emit("phase", phase="tracing", batch=batch)
        engine.start_profile()
        try:
            engine.generate(prompts, args.traced_steps + SETTLE_TOKENS)
        finally:
            engine.stop_profile()
        emit("traced", batch=batch)


def decode_seconds(engine: Any, prompts: list[list[int]], tokens: int) -> float:
    """Time `tokens` decode steps: a generation of one token more, less a generation of one token (the prefill).

    Raises RuntimeError where the prefill's own spread leaves nothing of them.
    """
    prefill = _timed(engine, prompts, 1)
    seconds = _timed(engine, prompts, tokens + 1) - prefill
    if seconds <= 0:
        raise RuntimeError(f"{tokens} decode steps took {seconds:.4f} s more than the prefill; ask for more of them")
    return seconds


def _timed(engine: Any, prompts: list[list[int]], tokens: int) -> float:
    start = time.perf_counter()
    engine.generate(prompts, tokens)
    return time.perf_counter() - start


def token_prompts(batch: int, length: int, vocabulary: int, seed: int) -> list[list[int]]:
    """Prompts of token ids, the same for every case of one seed. Returns `batch` lists of `length` ids."""
    draw = random.Random(seed)
    # Special tokens sit at both ends of these vocabularies; a stop token in a prompt is legal but pointless.
    return [[draw.randrange(100, int(vocabulary * 0.8)) for _ in range(length)] for _ in range(batch)]


if __name__ == "__main__":
    sys.exit(main())
