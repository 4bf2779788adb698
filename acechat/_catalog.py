"""The public catalogue of models: where it is, and how it is read (contract, 4.3)."""

from __future__ import annotations

import re
from typing import Any, cast

from acechat._codec import decode_json
from acechat._salvage import convert
from acechat.errors import ProtocolError
from acechat.types import CatalogModel

__all__ = ["PATH", "decode_catalog", "platform_root"]

PATH = "/models/catalog/?modality=chat"

_API_HOST = re.compile(r"^(https?://)api((?:-[a-z]+)?\.acedata\.cloud)$")


def platform_root(api_root: str) -> str:
    """Return where the management plane is that goes with *api_root*.

    For AceData's own hosts it is ``platform.acedata.cloud``; for any other, that host.
    """
    scheme, _, rest = api_root.partition("://")
    origin = f"{scheme}://{rest.partition('/')[0]}"
    return _API_HOST.sub(r"\1platform\2", origin) + "/api/v1"


def decode_catalog(body: bytes) -> list[CatalogModel]:
    """Decode ``{"count": …, "items": [{"id": …, "pricing": {…}}, …]}``.

    Raises:
        ProtocolError: It has no such list.
    """
    value = decode_json(body, "the catalogue")
    entries = cast("dict[str, Any]", value).get("items") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise ProtocolError("the catalogue has no items", body=body)
    return [convert(entry, CatalogModel, body) for entry in cast("list[dict[str, Any]]", entries)]
