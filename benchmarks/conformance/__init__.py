"""Network faults and the clients' reactions: the same faults for acechat and its peers.

``python -m benchmarks.conformance`` starts a server of bare sockets that sends each fault of the
matrix, drives the async and the sync client of acechat through their public interface, each in its
own process, and prints a table. ``--peer openai`` adds openai's client, which is first installed
into its own environment. A cell is one of:

* ``ok``: the service sent a complete response, and the client returned it, every character of
  each choice.
* ``typed``: the client raised one of its own exceptions. Correct if no complete response exists.
  If one does, the cell is ``typed †``: a response that was paid for is discarded, or a transient
  failure was not retried.
* ``foreign``: the exception is not the client's own: it is Python's, the JSON parser's, the HTTP
  library's, or raised by the usual loop over the client's result. Also with †.
* ``SILENT``: the call ended like a success, though the service sent no complete response.
* ``LOST``: the service sent a complete response, the call ended like a success, and the client
  returned something else.
* ``hang``: the call, whose time-out was set, had not ended after three times that and a second.
* ``-``: the client's format cannot have this fault.

All clients get the same ``timeout=``, under the client's name for it and with its meaning, and no
retries except in the rows marked "retries on": three attempts there. A peer that hangs, or discards
a response, is called a second time, which counts: a busy machine may look like either. acechat is
called once.

The command exits with 1 if acechat has a cell that is not ``ok`` or ``typed``, or one with †.
"""
