"""httpx and json by hand, with a pool that has no limit: more streams, but slower calls."""

from __future__ import annotations

import httpx

from benchmarks.subjects import httpx_json

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)


class Async(httpx_json.Async):
    @staticmethod
    def make() -> httpx.AsyncClient:
        return httpx.AsyncClient(headers=httpx_json.HEADERS, timeout=600, limits=_LIMITS)
