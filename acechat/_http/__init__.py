"""HTTP with aiohttp: one request → one response, and aiohttp's exceptions → acechat's."""

from __future__ import annotations

# First, because it checks whether aiohttp has been imported before.
from acechat._http.certificates import named_certificates
from acechat._http.pool import abandoned
from acechat._http.proxy import read_proxy
from acechat._http.response import AiohttpResponse
from acechat._http.transport import Transport

__all__ = ["AiohttpResponse", "Transport", "abandoned", "named_certificates", "read_proxy"]
