"""An engine's own HTTP server under load: starts it, sends requests at given rates or concurrencies, notes each one.

Runs inside an engine's own environment, so it uses the standard library and aiohttp, which both engines bring. What it
sees goes as JSON lines to the events file, and one line a request to the requests file; analysis makes figures of them.
"""

import argparse
import asyncio
import importlib
import importlib.util
import json
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any


def main() -> int:
    """Run one case; returns 0 when every load was sent, 1 when the engine failed, 143 when it was told to end."""
    args = _arguments()
    emit = _emitter(args.events)
    try:
        asyncio.run(_until_told_to_end(_run(args, emit)))
    except asyncio.CancelledError:
        return 143
    except Exception as error:
        traceback.print_exc()
        emit("error", kind=type(error).__name__, message=str(error)[:2000])
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--engine", required=True, help="vllm or sglang")
    parser.add_argument("--engine-args", required=True, type=json.loads, help="options of its offline API, as JSON")
    parser.add_argument("--loads", required=True, type=loads, help='[{"rate" or "concurrency": N, "requests": N}, ...]')
    lengths = parser.add_mutually_exclusive_group(required=True)
    lengths.add_argument("--lengths", type=Path, help="CSV of prompt_tokens,output_tokens to draw from")
    lengths.add_argument("--dataset", type=Path, help="ShareGPT's JSON file, for its lengths; needs --tokenizer")
    parser.add_argument("--tokenizer", type=Path, help="folder of the tokenizer that measures the dataset")
    parser.add_argument("--vocabulary", required=True, type=int)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--warmup-requests", default=0, type=int, help="sent all at once before the first load")
    parser.add_argument("--traced-steps", default=0, type=int, help="steps in a capture window under the last load")
    parser.add_argument(
        "--pause", default=1.0, type=float, help="seconds between loads, for the server to come to rest"
    )
    parser.add_argument("--stall-timeout", default=300.0, type=float, help="seconds of silence that end a request")
    parser.add_argument("--events", required=True, type=Path)
    parser.add_argument("--requests", required=True, type=Path, help="where to write JSON lines, one a request")
    parser.add_argument("--go", type=Path, help="send requests only once this file exists")
    args = parser.parse_args()
    if (args.dataset is None) != (args.tokenizer is None):
        parser.error("--dataset and --tokenizer belong together")
    return args


def loads(text: str) -> list[dict[str, Any]]:
    """The load points of a command line: each has a rate or a concurrency above 0, and a number of requests.

    A load point of 0 requests is not measured; as the last one it still says what a capture window is taken under.
    Raises argparse.ArgumentTypeError saying what was expected.
    """
    expected = 'expected a list of {"rate": above 0} or {"concurrency": 1 or more}, each with "requests": 0 or more'
    try:
        points = json.loads(text)
        wrong = [point for point in points if not _is_load(point)]
    except (ValueError, TypeError):
        points, wrong = [], []
    if not points or wrong:
        raise argparse.ArgumentTypeError(f"found {wrong[0] if wrong else text}; {expected}")
    return list(points)


def _is_load(point: dict[str, Any]) -> bool:
    if set(point) == {"rate", "requests"}:
        return point["rate"] > 0 and isinstance(point["requests"], int) and point["requests"] >= 0
    whole = all(isinstance(value, int) for value in point.values())
    return set(point) == {"concurrency", "requests"} and whole and point["concurrency"] >= 1 and point["requests"] >= 0


def _emitter(path: Path) -> Callable[..., None]:
    def emit(event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, "time_s": time.time(), **fields})
        with path.open("a", encoding="utf-8") as events:
            events.write(line + "\n")

    return emit


async def _until_told_to_end(work: Coroutine[Any, Any, None]) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    await task


async def _run(args: argparse.Namespace, emit: Callable[..., None]) -> None:
    emit("phase", phase="starting", pid=os.getpid())
    # Beside this file, not in a package: this runs where the project is not installed.
    engine, workload, child = map(importlib.import_module, (f"{args.engine}_server", "workload", "server"))
    remotes, bench, client = map(importlib.import_module, ("remote", "bench", "client"))
    lengths = workload.read_lengths(args.lengths) if args.lengths else None
    lengths = lengths or workload.sharegpt_lengths(args.dataset, args.tokenizer)
    port = child.free_port()
    flags = engine.flags(args.engine_args, port=port, traced_steps=args.traced_steps)
    server = child.Server([sys.executable, "-m", engine.MODULE, *flags], engine.ENVIRONMENT)
    try:
        async with client.session(args.stall_timeout) as http:
            remote = remotes.Remote(engine=engine, http=http, base=f"http://127.0.0.1:{port}")
            course = bench.Course(
                args=args, emit=emit, remote=remote, lengths=lengths, client=client, workload=workload
            )
            await _while_alive(server, _course(args, emit, remote, course))
        # Before the server is ended: one that hangs at its end has been measured all the same.
        emit("done")
    finally:
        # To be told again would cut the server's own end short.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
        await server.stop()


async def _course(args: argparse.Namespace, emit: Callable[..., None], remote: Any, course: Any) -> None:
    await remote.healthy()
    emit("resolved", **await remote.resolved(), **torch_version())
    emit("phase", phase="ready")
    while args.go is not None and not args.go.exists():
        await asyncio.sleep(0.05)
    await course.run()


async def _while_alive(server: Any, work: Coroutine[Any, Any, None]) -> None:
    """Do the work; raises RuntimeError as soon as the server has ended, whatever the work makes of that."""
    task, end = asyncio.ensure_future(work), asyncio.ensure_future(server.ended())
    try:
        await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
        if end.done():
            code = end.result()
            raise RuntimeError(f"the server ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}")
        await task
    finally:
        task.cancel()
        end.cancel()
        await asyncio.gather(task, end, return_exceptions=True)


def torch_version() -> dict[str, str | None]:
    """The versions of PyTorch and its CUDA in this environment, read from its file; to import it would take seconds."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return {"torch": None, "cuda": None}
    version = runpy.run_path(str(Path(found.origin).with_name("version.py")))
    return {"torch": version.get("__version__"), "cuda": version.get("cuda")}


if __name__ == "__main__":
    sys.exit(main())
