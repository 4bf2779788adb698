"""``--dry-run``: show the request instead of sending it."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from acechat import AsyncClient, AsyncConversation
from acechat.cli.display import DisplayOptions, UserInput
from acechat.cli.terminal.json import show_json
from acechat.cli.terminal.text import clean

__all__ = ["show_request"]


def show_request(
    client: AsyncClient,
    conversation: AsyncConversation,
    content: UserInput,
    options: DisplayOptions,
) -> None:
    """Print the request of a turn as a curl command, or with ``--json`` its body."""
    fields: dict[str, Any] = {**options.options}
    if options.tools is not None:
        fields["tools"] = options.tools.functions
    streams = options.streams or options.tools is not None
    prepared = client.with_options(streaming="always" if streams else "never").prepare(
        *content,
        messages=conversation.messages,
        system=conversation.system,
        model=conversation.model,
        output_type=options.output_type,
        **fields,
    )
    if "stream_options" not in fields:
        # chat() requests the usage of a stream that it reads internally; stream() does not.
        body = prepared.json()
        body.pop("stream_options", None)
        prepared.request = msgspec.structs.replace(prepared.request, body=msgspec.json.encode(body))
    if options.json:
        show_json(prepared.json(), sys.stdout)
    else:
        click.echo(clean(prepared.curl()))
