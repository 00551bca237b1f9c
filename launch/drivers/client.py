"""A token-id client for streaming servers: sends requests at given times, notes when bytes came, judges afterwards.

While requests run it only takes timestamps; streams are parsed once all have ended, so that parsing delays none.
No request, however bad, raises: what became of it is in its row.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

CONNECT_S = 10.0
# Servers close a connection that rests for 5 s (uvicorn); a request sent into the closing would count as dropped.
REST_S = 2.0
PREFIX = b"data:"
END = b"[DONE]"
ERROR_CHARACTERS = 300

Send = Callable[[int, float], Awaitable[None]]
# Given a message of the stream and the tokens before it: how many new ones it brings, or ValueError.
NewTokens = Callable[[dict[str, Any], int], int]


@dataclass(kw_only=True)
class Exchange:
    """One request as seen from outside: times by perf_counter in seconds, and the bytes read at each."""

    request: int
    scheduled: float
    sent: float = 0.0
    ended: float = 0.0
    reads: list[tuple[float, bytes]] = field(default_factory=list)
    failure: str | None = None
    error: str = ""


@asynccontextmanager
async def session(stall_s: float) -> AsyncIterator[aiohttp.ClientSession]:
    """A session of unlimited connections that gives a response up after `stall_s` seconds of silence."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=stall_s)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=REST_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as opened:
        yield opened


async def exchange(http: aiohttp.ClientSession, url: str, body: bytes, seen: Exchange) -> None:
    """Send one request and note what comes back in `seen`."""
    headers = {"Content-Type": "application/json"}
    seen.sent = time.perf_counter()
    try:
        async with http.post(url, data=body, headers=headers) as response:
            if response.status == 200:
                async for data in response.content.iter_any():
                    seen.reads.append((time.perf_counter(), data))
            else:
                seen.failure = f"http {response.status}"
                seen.error = (await response.text(errors="replace"))[:ERROR_CHARACTERS]
    except asyncio.TimeoutError as error:
        seen.failure, seen.error = seen.failure or "stalled", _said(error)
    except Exception as error:  # whatever one bad response provokes is its own affair
        seen.failure, seen.error = seen.failure or "dropped", _said(error)
    seen.ended = time.perf_counter()


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS]


async def closed_loop(send: Send, *, concurrency: int, numbers: Iterable[int]) -> None:
    """Keep `concurrency` requests running until `numbers` is used up; each starts when another has ended."""
    waiting = iter(numbers)

    async def slot() -> None:
        for number in waiting:
            await send(number, time.perf_counter())

    await _together([asyncio.ensure_future(slot()) for _ in range(concurrency)])


async def open_loop(send: Send, *, times: Iterable[float]) -> None:
    """Send a request at each of `times`, in seconds from now, whether or not earlier ones have ended."""
    origin = time.perf_counter()
    running: list[asyncio.Future[None]] = []
    try:
        for number, offset in enumerate(times):
            await asyncio.sleep(max(0.0, origin + offset - time.perf_counter()))
            running.append(asyncio.ensure_future(send(number, origin + offset)))
    except asyncio.CancelledError:
        for task in running:
            task.cancel()
        raise
    finally:
        await _together(running)


async def _together(tasks: Sequence["asyncio.Future[None]"]) -> None:
    """Wait for all of them; where the wait is cancelled, or one fails, none is left running."""
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A parsed stream: when tokens arrived (seconds by perf_counter), how many each time, and what went wrong."""

    at: tuple[float, ...]
    tokens: tuple[int, ...]
    whole: bool
    failure: str | None = None
    error: str = ""


def parse(reads: Sequence[tuple[float, bytes]], new_tokens: NewTokens) -> Answer:
    """What a stream of server-sent events held. A message counts as arrived with the read that completed it."""
    arrived: dict[float, int] = {}
    total, whole = 0, False
    failure, error = None, ""
    try:
        for at, payload in _payloads(reads):
            if payload == END:
                whole = True
                break
            message = json.loads(payload)
            if isinstance(message, dict) and message.get("error"):
                failure, error = "error", json.dumps(message["error"])[:ERROR_CHARACTERS]
                break
            count = new_tokens(message, total)
            if count:
                arrived[at] = arrived.get(at, 0) + count
                total += count
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as problem:
        failure, error = "malformed", _said(problem)
    return Answer(at=tuple(arrived), tokens=tuple(arrived.values()), whole=whole, failure=failure, error=error)


def _payloads(reads: Sequence[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Time and content of every data line; other lines of the protocol (comments, event names) say nothing here."""
    rest = b""
    for at, data in reads:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(PREFIX):
                yield at, line[len(PREFIX) :].strip()
            elif line.strip() and not line.startswith((b":", b"event:", b"id:", b"retry:")):
                raise ValueError(f"a line that is no event: {line[:80]!r}")


def row(seen: Exchange, answer: Answer, *, prompt_tokens: int, asked: int, origin: float) -> dict[str, Any]:
    """The JSON-ready row of one request: seconds from `origin`, arrivals in microseconds.

    `chunk_us` holds the first arrival counted from `origin`, then the gaps; `chunk_tokens` is empty where every
    arrival brought one token.
    """
    received = sum(answer.tokens)
    status, error = _status(seen, answer, received, asked)
    at_us = [round((at - origin) * 1e6) for at in answer.at]
    return {
        "request": seen.request,
        "prompt_tokens": prompt_tokens,
        "output_tokens_asked": asked,
        "output_tokens": received,
        "scheduled_s": round(seen.scheduled - origin, 6),
        "sent_s": round(seen.sent - origin, 6),
        "first_s": at_us[0] / 1e6 if at_us else None,
        "last_s": at_us[-1] / 1e6 if at_us else None,
        "ended_s": round(seen.ended - origin, 6),
        "chunk_us": [now - before for before, now in zip([0, *at_us], at_us, strict=False)],
        "chunk_tokens": [] if set(answer.tokens) <= {1} else list(answer.tokens),
        "status": status,
        "error": error,
    }


def _status(seen: Exchange, answer: Answer, received: int, asked: int) -> tuple[str, str]:
    if seen.failure:
        return seen.failure, seen.error
    if answer.failure:
        return answer.failure, answer.error
    if not answer.whole:
        return "dropped", f"the stream ended without its end mark after {received} of {asked} tokens"
    if received < asked:
        return "short", f"{received} of {asked} tokens"
    if received > asked:
        return "malformed", f"{received} tokens, more than the {asked} asked for"
    return "ok", ""
