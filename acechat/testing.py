"""Testing what uses acechat: the service on localhost, as a context manager.

The pytest fixtures ``acechat_service``, ``acechat_client`` and ``acechat_blocking_client`` are
there wherever acechat is installed.

>>> def test_it_retries(acechat_service, acechat_blocking_client):
...     acechat_service.script(fail(503), ok("Hello!"))
...     assert acechat_blocking_client.chat("Hello").text == "Hello!"
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from acechat.emulator import Service, ServiceOptions

__all__ = ["emulated"]


@contextmanager
def emulated(**options: Unpack[ServiceOptions]) -> Generator[Service]:
    """Run a service as long as the ``with`` block does.

    Args:
        options: Those of `acechat.emulator.Service`.
    """
    from acechat.emulator import Service

    with Service(**options) as service:
        yield service
