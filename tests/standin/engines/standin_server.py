"""An HTTP server that answers at a known pace, and misbehaves on request. It exists for tests alone.

The first token comes STANDIN_FIRST_S after a request, each further one STANDIN_STEP_S later. What it wrote and when
(perf_counter, which all processes share) goes to STANDIN_SERVED, one JSON line a request.
STANDIN_SERVER names a fault of the whole server: dies (while loading), unwell (for 1.5 s), slow (to end),
wrong-graphs; STANDIN_FAULTS maps the length of a prompt to the fault of its answer:
stall, drop, cut (no end mark), http500, malformed, notjson, error, short, long, burst (two tokens a message), dies.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path

from aiohttp import web

FIRST_S = float(os.environ.get("STANDIN_FIRST_S", "0.02"))
STEP_S = float(os.environ.get("STANDIN_STEP_S", "0.002"))
FAULTS = json.loads(os.environ.get("STANDIN_FAULTS", "{}"))
SERVER = os.environ.get("STANDIN_SERVER", "")
BEGAN = time.monotonic()


def well() -> bool:
    return SERVER != "unwell" or time.monotonic() - BEGAN > 1.5


def parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(allow_abbrev=False)


class Served:
    """One answer while it is written: `message(new tokens, all so far)` makes what a message of the engine holds."""

    def __init__(self, request, prompt, asked, message):
        self.request, self.prompt, self.asked, self.message = request, prompt, asked, message
        self.fault = FAULTS.get(str(len(prompt)))
        self.came, self.writes, self.told = time.perf_counter(), [], 0

    async def answer(self):
        if not well():
            return web.Response(status=503)
        if self.fault == "http500":
            return web.json_response({"error": {"message": "out of luck"}}, status=500)
        self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await self.response.prepare(self.request)
        whole = await self.stream()
        if whole:
            await self.write(b"data: [DONE]\n\n")
        if "STANDIN_SERVED" in os.environ:
            line = {"prompt_tokens": len(self.prompt), "came": self.came, "writes": self.writes}
            with Path(os.environ["STANDIN_SERVED"]).open("a") as served:
                served.write(json.dumps(line) + "\n")
        return self.response

    async def stream(self):
        count = {"short": self.asked - 1, "long": self.asked + 1}.get(self.fault, self.asked)
        step = 2 if self.fault == "burst" else 1
        for number in range(0, count, step):
            await self.until(self.came + FIRST_S + number * STEP_S)
            if number == count // 2 and self.fault and not await self.commit():
                return False
            new = min(step, count - number)
            self.told += new
            self.writes.append((time.perf_counter(), new))
            await self.write(b"data: " + json.dumps(self.message(new, self.told)).encode() + b"\n\n")
        return self.fault != "cut"

    async def commit(self):
        """Misbehave half-way; tells whether the answer goes on."""
        if self.fault == "stall":
            await asyncio.sleep(3600)
        elif self.fault == "drop":
            self.request.transport.abort()
            return False
        elif self.fault == "dies":
            os._exit(9)
        elif self.fault == "malformed":
            await self.write(b'data: {"nothing": "of use"}\n\n')
        elif self.fault == "notjson":
            await self.write(b"data: {half a mess\n\n")
        elif self.fault == "error":
            await self.write(b'data: {"error": {"message": "no room", "code": 500}}\n\n')
        return True

    async def write(self, data):
        with contextlib.suppress(ConnectionError):  # whoever asked has gone
            await self.response.write(data)

    @staticmethod
    async def until(moment):
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))


def run(routes, port):
    """Serve (method, path, handler) on a port of the loopback interface."""
    if SERVER == "dies":
        sys.exit("stand-in: no weights named model.safetensors")

    async def health(_):
        return web.Response(status=200 if well() else 503)

    app = web.Application()
    app.router.add_get("/health", health)
    for method, path, handler in routes:
        app.router.add_route(method, path, handler)
    app.on_cleanup.append(lambda _: asyncio.sleep(0.7 if SERVER == "slow" else 0))
    web.run_app(app, host="127.0.0.1", port=port, print=None, shutdown_timeout=0.1)
