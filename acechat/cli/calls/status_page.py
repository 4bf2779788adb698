"""The public status page of the service (docs/api.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

__all__ = ["service_status", "status_url"]

_URL = "https://status.acedata.cloud/data/status_1.json"
_SERVICE = "claude"
_TIMEOUT = 3.0
_MAX_BYTES = 4 * 2**20
_GOOD = {"operational", "up", "ok"}


def status_url(base_url: str) -> str | None:
    """Return the address of the status page; None for a service that is not AceData's.

    ``ACECHAT_STATUS_URL`` names another one, '' none.
    """
    if (given := os.environ.get("ACECHAT_STATUS_URL")) is not None:
        return given or None
    host = urlsplit(base_url).hostname or ""
    return _URL if host == "acedata.cloud" or host.endswith(".acedata.cloud") else None


def service_status(url: str) -> tuple[bool, str] | None:
    """Return whether the service works according to its status page, and a description.

    None: the page cannot be read within 3 s, or has no data about this service. That is no fault.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        return None
    request = Request(url, headers={"Accept": "application/json", "User-Agent": "acechat"})  # noqa: S310 - checked above
    try:
        with urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310 - as above
            page = json.loads(response.read(_MAX_BYTES))
        return _status(cast("dict[str, Any]", page))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _status(page: Mapping[str, Any]) -> tuple[bool, str] | None:
    services = cast("list[dict[str, Any]]", page["services"])
    service = next((one for one in services if one.get("alias") == _SERVICE), None)
    if service is None:
        return None
    buckets = cast("list[dict[str, Any]]", service.get("buckets") or [])
    # The page shows a bucket without data as operational.
    reported = [one for one in buckets if one.get("status") not in {None, "unknown"}]
    if not reported:
        return True, "operational"
    last = reported[-1]
    status = str(last["status"])
    since = f" since {last['started_at']}" if last.get("started_at") else ""
    uptime = last.get("uptime")
    rate = f", uptime {uptime:g} %" if isinstance(uptime, int | float) else ""
    return (True, status + rate) if status in _GOOD else (False, f"{status}{since}{rate}")
