"""A distributed bank to learn from: gRPC in front, Python for the rules, Redis for the accounts.

import bankkit
bank = bankkit.start()
bank.client.create_account("alice")
bank.client.deposit("alice", 10)
bank.stop()
"""

import logging as _logging
import os as _os

# Both before grpc is imported. Its warnings about forks land in cells; and where a proxy is set, as
# on many a campus, it would ask that proxy for the way to this very machine.
_os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
_os.environ.setdefault(
    "no_grpc_proxy",
    ",".join(filter(None, [_os.environ.get("no_proxy"), "127.0.0.1", "localhost", "::1"])),
)

from bankkit.bank import Bank
from bankkit.client import CallError, Client, connect, error_info
from bankkit.fleet import Fleet
from bankkit.starting import start

__version__ = "0.1.0"
__all__ = ["Bank", "CallError", "Client", "Fleet", "connect", "error_info", "start"]

_logging.getLogger("bankkit").addHandler(_logging.NullHandler())
