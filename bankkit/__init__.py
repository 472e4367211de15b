"""A distributed bank to learn from: gRPC in front, Python for the rules, Redis for the accounts.

import bankkit
bank = bankkit.start()
bank.client.create_account("alice")
bank.client.deposit("alice", 10)
bank.stop()
"""

import os as _os
import sys as _sys

# These must be set before grpc is imported; a value that the user has set stays. With them a forked
# process can use gRPC (see `bankkit.rpc.channels`), and gRPC prints nothing about forks in cells.
_os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "1")
_os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
# Where a proxy is set, as on many campuses, gRPC would use it even for connections to this machine.
# gRPC reads `no_grpc_proxy`, or else `no_proxy`. We add to the existing value.
_os.environ["no_grpc_proxy"] = ",".join(
    dict.fromkeys(  # without duplicates: a child process runs this again on the inherited value
        name
        for names in (
            _os.environ.get("no_grpc_proxy", _os.environ.get("no_proxy", "")),  # noqa: SIM112
            "127.0.0.1,localhost,::1",
        )
        for name in names.split(",")
        if name
    )
)

_by_name = _sys.argv[:1] == ["-m"]
"""Whether Python imports this file because of `python -m bankkit …`."""

if _sys.version_info < (3, 11):  # noqa: UP036  Python 3.6 can parse this file up to here
    _sentence = (
        f"bankkit needs Python 3.11 or newer, and this is {_sys.version.split()[0]} at "
        f"{_sys.executable}: make a new environment with a newer Python."
    )
    if _by_name:
        _sys.exit(f"bankkit: {_sentence}")
    raise ImportError(_sentence)

if _by_name:
    # Python has put the current folder first on the path: a file random.py there would hide the
    # standard module.
    try:
        _here = _os.getcwd()  # noqa: PTH109
    except OSError:  # the folder was deleted, so Python did not add it
        _here = ""
    if _here and _sys.path[0] == _here:
        _sys.path.pop(0)
        if __path__[0] == _os.path.join(_here, "bankkit"):  # noqa: PTH118
            _sys.path.append(_here)  # libraries may be installed in the same folder as bankkit

import logging as _logging  # noqa: E402

__version__ = "0.1.0"
__all__ = [
    "Bank",
    "CallError",
    "Client",
    "ConflictingServers",
    "Fleet",
    "NoSocket",
    "PortTaken",
    "RedisUnavailable",
    "ServerNotRunning",
    "TooFewFiles",
    "connect",
    "error_info",
    "start",
]

_logging.getLogger("bankkit").addHandler(_logging.NullHandler())

TYPE_CHECKING = False  # type checkers treat it as true
if TYPE_CHECKING:
    from bankkit.client import CallError, Client, connect, error_info
    from bankkit.launch.bank import Bank
    from bankkit.launch.fleet import Fleet, ServerNotRunning
    from bankkit.launch.start import start
    from bankkit.namespace_lease import ConflictingServers
    from bankkit.redis_backend import RedisUnavailable
    from bankkit.runtime.open_files import TooFewFiles
    from bankkit.server import PortTaken
    from bankkit.supervisor.supervised import NoSocket
else:
    # These are imported on first use (PEP 562): doctor must run where gRPC is missing or broken.
    _HOMES = {
        "Bank": "launch.bank",
        "ConflictingServers": "namespace_lease",
        "Fleet": "launch.fleet",
        "NoSocket": "supervisor.supervised",
        "PortTaken": "server",
        "RedisUnavailable": "redis_backend",
        "ServerNotRunning": "launch.fleet",
        "TooFewFiles": "runtime.open_files",
        "start": "launch.start",
    }

    def __getattr__(name):
        if name.startswith("_"):
            raise AttributeError(f"module 'bankkit' has no attribute {name!r}")
        from importlib import import_module

        if name not in __all__:
            try:
                return import_module(f"bankkit.{name}")
            except ModuleNotFoundError as error:
                if error.name != f"bankkit.{name}":
                    raise
            raise AttributeError(f"module 'bankkit' has no attribute {name!r}")
        try:
            home = import_module(f"bankkit.{_HOMES.get(name, 'client')}")
        except Exception as error:
            from bankkit.runtime import shadowed_modules

            hint = shadowed_modules.about_loaded_modules()
            if hint:
                raise ImportError(hint) from error
            raise
        value = globals()[name] = getattr(home, name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
