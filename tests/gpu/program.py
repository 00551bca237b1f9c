"""A stand-in for a decode loop whose truth is known: so many kernels a step, of so long, launched so far apart.

Runs under nsys in a Python that has torch. Prints one JSON line: the median time of a step by CUDA events.
"""

import argparse
import itertools
import json
import time

import torch

WARMUP_STEPS = 20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--kernels", type=int, required=True)
    parser.add_argument("--cycles", type=int, required=True, help="GPU clock cycles that each kernel spins")
    parser.add_argument("--pause-us", type=float, required=True, help="host time between two launches")
    parser.add_argument("--graph", action="store_true")
    asked = parser.parse_args()
    logits = torch.rand(1, 4096, device="cuda")

    def step() -> None:
        for _ in range(asked.kernels):
            torch.cuda._sleep(asked.cycles)
            _pause(asked.pause_us)
        torch.argmax(logits)

    _warm_up(step)
    if asked.graph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        step = graph.replay
        _warm_up(step)
    torch.cuda.profiler.start()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(asked.steps + 1)]
    marks[0].record()
    for mark in marks[1:]:
        step()
        mark.record()
    torch.cuda.synchronize()
    torch.cuda.profiler.stop()
    times_ms = sorted(before.elapsed_time(after) for before, after in itertools.pairwise(marks))
    print(json.dumps({"step_ms": times_ms[len(times_ms) // 2]}))


def _warm_up(step) -> None:
    for _ in range(WARMUP_STEPS):
        step()
    torch.cuda.synchronize()


def _pause(pause_us: float) -> None:
    until = time.perf_counter_ns() + pause_us * 1e3
    while time.perf_counter_ns() < until:
        pass


if __name__ == "__main__":
    main()
