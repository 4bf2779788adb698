"""What a client does when the network fails it: the same faults for acechat and its peers.

``python -m benchmarks.conformance`` starts a server of bare sockets that sends each fault of the
matrix, drives both colours of acechat through their public interface, each in a process of its own,
and prints a table. With ``--peer openai`` it does the same to openai's client, which it installs
into an environment of its own first. A cell is one of:

* ``ok``: the service sent a whole answer, and the client returned it, every character of each
  choice.
* ``typed``: the client raised an exception of its own. Right where no whole answer exists. Where
  one does, the cell says ``typed †``: an answer that was paid for is thrown away, or a failure
  that would have passed was not tried again.
* ``foreign``: what was raised is not the client's own: of Python, of the JSON parser, of the HTTP
  library below, or of the ordinary loop over what the client handed out. Also with †.
* ``SILENT``: the call ended like a success, though the service sent no whole answer.
* ``LOST``: the service sent a whole answer, the call ended like a success, and what the client
  returned is something else.
* ``hang``: the call, whose time-out was set, had not ended after three times that and a second.
* ``-``: the client's format cannot have this fault.

All clients get the same ``timeout=``, under the name and with the meaning that it has for them, and
no retries but in the rows that say so: three attempts there. A peer that hangs, or throws an answer
away, is asked a second time, which counts: a busy machine may look like either. acechat is asked
once.

The command exits with 1 if acechat has a cell that is not ``ok`` or ``typed``, or one with †.
"""
