"""What is done to one server that is well: warm up, one load point after the other, a capture window under the last.

Every request ends as a row, whatever became of it; how the client itself fared is told with each load point, because
a client that is late measures itself.
"""

import argparse
import asyncio
import collections
import gc
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

POLL_S = 0.05
PROGRESS_S = 10.0
LAG_POLL_S = 0.02
# A request of its own counts the steps of a capture window: it gets one token a step, and some more to be sure.
SETTLE_TOKENS = 16
PACER_PROMPT_TOKENS = 16
TRACED_POOL = 256  # different requests behind a capture window, sent again and again

Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Course:
    """The loads of one case and where their rows go."""

    args: argparse.Namespace
    emit: Callable[..., None]
    remote: Any
    lengths: Sequence[tuple[int, int]]
    client: Any
    workload: Any

    async def run(self) -> None:
        """Everything the command line asks for, in order."""
        if self.args.warmup_requests:
            await self._warm_up(self.args.warmup_requests)
        for index, load in enumerate(self.args.loads):
            if load["requests"]:
                self.emit("phase", phase="measuring", load=index)
                await self._measure(index, load)
                await asyncio.sleep(self.args.pause)
        if self.args.traced_steps:
            self.emit("phase", phase="tracing", load=len(self.args.loads) - 1)
            await self._trace(self.args.loads[-1], self.args.traced_steps)
            self.emit("traced", load=len(self.args.loads) - 1, steps=self.args.traced_steps)

    async def _warm_up(self, count: int) -> None:
        self.emit("phase", phase="warming up")
        sending = self._sending(count, "warm-up")
        await self.client.closed_loop(sending.send, concurrency=count, numbers=range(count))
        rows = sending.rows()
        if not any(row["status"] == "ok" for row in rows):
            why = f"{rows[0]['status']}: {rows[0]['error']}"
            raise RuntimeError(f"none of {count} warm-up requests was answered in full; the first: {why}")
        await asyncio.sleep(self.args.pause)

    async def _measure(self, index: int, load: dict[str, Any]) -> None:
        sending = self._sending(load["requests"], f"load {index}")
        watch, start_s, rows = Watch(), time.time(), []
        try:
            async with watch.over(lambda: self.emit("progress", load=index, ended=len(sending.seen))):
                if "rate" in load:
                    times = self.workload.arrivals(load["rate"], seed=f"{self.args.seed} load {index}")
                    await self.client.open_loop(sending.send, times=itertools.islice(times, load["requests"]))
                else:
                    numbers = range(load["requests"])
                    await self.client.closed_loop(sending.send, concurrency=load["concurrency"], numbers=numbers)
        finally:
            # What has ended is worth keeping, even where the server has died under it.
            rows = [{"load": index, **load_of(load), **row} for row in sending.rows()]
            with self.args.requests.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        self.emit("load", load=index, **load, start_s=start_s, **counts(rows), **watch.told())

    async def _trace(self, load: dict[str, Any], steps: int) -> None:
        """Hold the load up, open a window of `steps` once it is warm, and wait until they are over."""
        behind = self._sending(TRACED_POOL, "traced")
        pacer = self._sending(1, "pacer", lengths=[(PACER_PROMPT_TOKENS, steps + SETTLE_TOKENS)])
        # The pacer is one of the concurrent requests.
        others = load.get("concurrency", 0) - 1
        if "rate" in load:
            times = self.workload.arrivals(load["rate"], seed=f"{self.args.seed} traced")
            work, warm = self.client.open_loop(behind.send, times=times), max(1, self.args.warmup_requests)
        else:
            work, warm = self.client.closed_loop(behind.send, concurrency=others, numbers=itertools.count()), others
        background = asyncio.ensure_future(work)
        try:
            while len(behind.seen) < warm:
                await asyncio.sleep(POLL_S)
            await self.remote.post("/start_profile", self.remote.engine.start_profile(steps))
            await pacer.send(0, time.perf_counter())
        finally:
            background.cancel()
            await asyncio.gather(background, return_exceptions=True)
        row = pacer.rows()[0]
        if row["status"] != "ok":
            raise RuntimeError(f"the capture window's own request was not answered: {row['status']}: {row['error']}")
        if self.remote.engine.STOP_PROFILE:
            await self.remote.post("/stop_profile")

    def _sending(self, count: int, name: str, lengths: Sequence[tuple[int, int]] | None = None) -> "Sending":
        requests = self.workload.requests(
            lengths or self.lengths, count=count, vocabulary=self.args.vocabulary, seed=f"{self.args.seed} {name}"
        )
        return Sending(requests=requests, remote=self.remote, client=self.client)


class Sending:
    """Requests made ready to be sent, and what was seen of those that have ended."""

    def __init__(self, *, requests: Sequence[Any], remote: Any, client: Any) -> None:
        """Encode every body now: once requests run there is no time for it."""
        engine = remote.engine
        self._requests, self._remote, self._client = requests, remote, client
        self._bodies = [json.dumps(engine.body(one.prompt, one.output_tokens)).encode() for one in requests]
        self.origin = time.perf_counter()
        self.seen: list[Any] = []

    async def send(self, number: int, scheduled: float) -> None:
        """Send the request of a number; past the last one they start again."""
        seen = self._client.Exchange(request=number, scheduled=scheduled)
        body = self._bodies[number % len(self._bodies)]
        await self._client.exchange(self._remote.http, self._remote.base + self._remote.engine.ROUTE, body, seen)
        self.seen.append(seen)

    def rows(self) -> Rows:
        """A row for every request that has ended, in their order."""
        return [self._row(seen) for seen in sorted(self.seen, key=lambda one: one.request)]

    def _row(self, seen: Any) -> dict[str, Any]:
        asked = self._requests[seen.request % len(self._requests)]
        answer = self._client.parse(seen.reads, self._remote.engine.new_tokens)
        return dict(
            self._client.row(
                seen, answer, prompt_tokens=len(asked.prompt), asked=asked.output_tokens, origin=self.origin
            )
        )


@dataclass(kw_only=True)
class Watch:
    """How the client fared meanwhile: the share of a core it took, and how late its event loop was."""

    lags_s: list[float] = field(default_factory=list)
    cpu_ratio: float = 0.0
    seconds: float = 0.0

    @asynccontextmanager
    async def over(self, progress: Callable[[], None]) -> AsyncIterator[None]:
        """Watch the block, and call `progress` now and then."""
        watching = asyncio.ensure_future(self._watch(progress))
        began, cpu = time.perf_counter(), time.process_time()
        gc.collect()
        gc.disable()  # a collection stops every timestamp for milliseconds
        try:
            yield
        finally:
            gc.enable()
            watching.cancel()
            self.seconds = time.perf_counter() - began
            self.cpu_ratio = (time.process_time() - cpu) / self.seconds

    async def _watch(self, progress: Callable[[], None]) -> None:
        told = time.perf_counter()
        while True:
            before = time.perf_counter()
            await asyncio.sleep(LAG_POLL_S)
            now = time.perf_counter()
            self.lags_s.append(now - before - LAG_POLL_S)
            if now - told > PROGRESS_S:
                told = now
                progress()

    def told(self) -> dict[str, float]:
        """The seconds it took, the client's share of a core, and its event loop's 99th percentile and worst delay."""
        lags = sorted(self.lags_s) or [0.0]
        return {
            "seconds": round(self.seconds, 6),
            "client_cpu_ratio": round(self.cpu_ratio, 4),
            "client_lag_p99_ms": round(lags[int(0.99 * (len(lags) - 1))] * 1e3, 3),
            "client_lag_max_ms": round(lags[-1] * 1e3, 3),
        }


def load_of(load: dict[str, Any]) -> dict[str, Any]:
    """What every row says of its load: the rate in requests a second or the concurrency; the other is null."""
    return {"rate": load.get("rate"), "concurrency": load.get("concurrency")}


def counts(rows: Rows) -> dict[str, Any]:
    """Requests by what became of them, tokens received, and the worst lateness in sending, in ms."""
    late_ms = [(row["sent_s"] - row["scheduled_s"]) * 1e3 for row in rows]
    return {
        "statuses": dict(collections.Counter(row["status"] for row in rows)),
        "output_tokens": sum(row["output_tokens"] for row in rows),
        "late_max_ms": round(max(late_ms, default=0.0), 3),
    }
