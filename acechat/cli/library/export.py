"""Saving a conversation, or its last response, to a file."""

from __future__ import annotations

from typing import Any

import msgspec

from acechat import AsyncConversation, ConfigurationError
from acechat._files import write
from acechat.cli.settings import expanded
from acechat.cli.terminal.text import clean

__all__ = ["NO_RESPONSE", "last_response", "save"]

NO_RESPONSE = "there is no response to save yet"


def last_response(conversation: AsyncConversation) -> str:
    """Return the text of the last response; '' if there is none."""
    messages: list[dict[str, Any]] = [msgspec.to_builtins(each) for each in conversation.messages]
    texts = [each.get("content") for each in messages if each.get("role") == "assistant"]
    return str(texts[-1] or "") if texts else ""


def save(conversation: AsyncConversation, path: str) -> bool:
    """Write *conversation* to a ``.json`` file; to any other file, the text of its last response.

    Returns:
        True if the file was written; False, with the file unchanged, if there is no response.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    target = expanded(path)
    text = last_response(conversation)
    try:
        if target.suffix.lower() == ".json":
            conversation.save(target)
        elif not text:
            return False
        else:
            write(target, f"{clean(text)}\n".encode())
    except OSError as error:  # its filename may be that of a temporary file
        reason = error.strerror or error
        raise ConfigurationError(
            f"cannot write {path!r}: {reason}. Next: choose another file"
        ) from None
    return True
