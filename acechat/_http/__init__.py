"""The client's only aiohttp: one request → one response, and foreign exceptions → ours."""

from __future__ import annotations

# This one is first: it has to see whether aiohttp was imported before.
from acechat._http.certificates import named_certificates
from acechat._http.pool import abandoned
from acechat._http.proxy import read_proxy
from acechat._http.response import AiohttpResponse
from acechat._http.transport import Transport

__all__ = ["AiohttpResponse", "Transport", "abandoned", "named_certificates", "read_proxy"]
