"""A server's endpoints beside the one that generates: how it is, what it resolved, and its profiler."""

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp

POLL_S = 0.05
INFO_S = 300.0  # vLLM lists its whole environment for its answer


@dataclass(frozen=True, kw_only=True)
class Remote:
    """The server's endpoints that tell and set how it is."""

    engine: Any
    http: aiohttp.ClientSession
    base: str

    async def healthy(self) -> None:
        """Wait until the server says that it is well."""
        while True:
            try:
                async with self.http.get(self.base + self.engine.HEALTH) as response:
                    if response.status == 200:
                        return
            except (aiohttp.ClientError, asyncio.TimeoutError):
                pass
            await asyncio.sleep(POLL_S)

    async def resolved(self) -> dict[str, Any]:
        """What the server made of its options."""
        return dict(await self.engine.resolved(self._get))

    async def _get(self, path: str) -> str:
        async with self.http.get(self.base + path, timeout=aiohttp.ClientTimeout(total=INFO_S)) as response:
            return await _content(response)

    async def post(self, path: str, content: dict[str, Any] | None = None) -> str:
        """The answer to a POST. Raises RuntimeError where the server refuses."""
        async with self.http.post(self.base + path, json=content) as response:
            return await _content(response)


async def _content(response: aiohttp.ClientResponse) -> str:
    text = await response.text(errors="replace")
    if response.status != 200:
        what = f"{response.method} {response.url.path_qs}"
        raise RuntimeError(f"{what} was answered by http {response.status}: {text[:300]}")
    return text
