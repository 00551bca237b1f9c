"""What a launch takes this host with torch alone: a stream of tiny operations, a kernel each, timed on the host.

Runs inside any environment with torch, and uses that and the standard library alone. Writes one JSON object to --out:
`rounds_us`, the time for each launch of every round, and versions; or `error`, why nothing could be measured.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

# Fewer than the 1,024 that wait for a GPU at most: the host is never held up.
LAUNCHES = 480
ROUNDS, WARMUP_ROUNDS = 200, 20
ELEMENTS = 4096


def main() -> int:
    """Measure, and write what was found; returns 0, or 1 where there is no torch or no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    found = _found()
    args.out.write_text(json.dumps(found), encoding="utf-8")
    return int("error" in found)


def _found() -> dict[str, Any]:
    try:
        import torch  # noqa: PLC0415
    except ImportError as error:
        return {"error": f"no torch in this interpreter ({error})"}
    try:
        if not torch.cuda.is_available():
            return {"error": "torch sees no GPU"}
        return measured(torch, time.perf_counter)
    except RuntimeError as error:
        return {"error": f"torch cannot use the GPU ({str(error).splitlines()[0]})"}


def measured(torch: ModuleType, clock: Callable[[], float]) -> dict[str, Any]:
    """Time LAUNCHES of operations as a decode step has them, ROUNDS times; the GPU is done before each begins."""
    step = _step(torch)
    rounds_us = []
    for number in range(WARMUP_ROUNDS + ROUNDS):
        torch.cuda.synchronize()
        start = clock()
        for _ in range(LAUNCHES // len(step)):
            for operation in step:
                operation()
        took_us = (clock() - start) * 1e6 / LAUNCHES
        if number >= WARMUP_ROUNDS:
            rounds_us.append(took_us)
    torch.cuda.synchronize()
    return {
        "rounds_us": rounds_us,
        "launches": LAUNCHES,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "gpu": torch.cuda.get_device_name(0),
    }


def _step(torch: ModuleType) -> list[Callable[[], Any]]:
    """Four operations of one kernel each, which allocate what they return, as a model's do."""
    x, y = (torch.ones(1, ELEMENTS, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    silu = torch.nn.functional.silu
    return [lambda: x + y, lambda: x * y, lambda: silu(x), lambda: torch.rsqrt(x)]


if __name__ == "__main__":
    sys.exit(main())
