"""The client's only aiohttp: one request → one response, and foreign exceptions → ours."""

from __future__ import annotations

# This one is first: it has to see whether aiohttp was imported before.
from acechat._transport._certificates import named_certificates
from acechat._transport._pool import abandoned
from acechat._transport._proxy import read_proxy
from acechat._transport._response import Response
from acechat._transport._transport import Transport

__all__ = ["Response", "Transport", "abandoned", "named_certificates", "read_proxy"]
