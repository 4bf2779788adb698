"""acechat: the asyncio client for AceData Cloud's Claude Chat Completion API, with a blocking twin.

`AsyncClient` and `Client` are where everything begins; `acechat.errors` is what can go wrong,
`acechat.types` what goes over the wire.
"""

from __future__ import annotations

from acechat import errors, types
from acechat._client import AsyncClient
from acechat._config import RetryPolicy, Timeout
from acechat._conversation import AsyncConversation
from acechat._image import image
from acechat._stream import AsyncChatStream
from acechat._version import __version__
