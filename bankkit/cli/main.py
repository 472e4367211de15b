"""The command line: its options, its commands, and its exit status."""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import bankkit
from bankkit.cli import doctor
from bankkit.runtime.signals import Handler


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 it could not be done, 2 the command line made no sense."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["doctor"]:  # which also runs where the others cannot be imported
        return _doctor()
    try:
        from bankkit import accounts, namespace_lease, redis_backend, server
        from bankkit.runtime import open_files
        from bankkit.supervisor import supervised

        parser = _parser()
    except Exception as error:
        return _fail(doctor.why_not(error))
    options = parser.parse_args(words)
    try:
        return int(options.run(options))
    except ValueError as error:
        _fail(error)
        return 2
    except (
        accounts.StoreUnavailable,  # a Redis that answered when it was looked at, and then no more
        redis_backend.RedisUnavailable,
        server.PortTaken,
        namespace_lease.ConflictingServers,
        supervised.NoSocket,
        open_files.TooFewFiles,
    ) as error:
        return _fail(error)
    except KeyboardInterrupt:
        return 130


def run() -> int:
    """`main` for a process that may have any stdout, or none: what cannot be shown or written ends
    in a sentence."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: what is opened next would get that number, and be written to
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:  # while it imports
        return 130
    except BrokenPipeError:
        status = _fail("Nobody reads the output any more, so this has ended.")
    except OSError as error:
        status = _fail(": ".join(filter(None, (error.strerror or str(error), error.filename))))
    else:
        return status
    if sys.stdout is not None:  # what is left in it would be tried again, and fail with a traceback
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return status


def _fail(reason: object) -> int:
    print(f"bankkit: {reason}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    from bankkit import redis_backend, server, teller

    parser = argparse.ArgumentParser(prog="python -m bankkit", description=bankkit.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True)

    serve = commands.add_parser("serve", help="run a bank until SIGTERM or Ctrl-C")
    serve.set_defaults(run=_serve)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serve.add_argument("--port", type=int, default=50051, help="0 is any (%(default)s)")
    serve.add_argument(
        "--redis",
        metavar="URL",
        help="a Redis to use, be it a Cluster or behind Sentinels; else BANKKIT_REDIS_URL; "
        "else a private one",
    )
    serve.add_argument("--data-dir", metavar="DIR", help="where a private Redis keeps the accounts")
    serve.add_argument(
        "--appendfsync",
        choices=redis_backend.APPENDFSYNC,
        default="everysec",
        help="when a write reaches the disk of the data directory (%(default)s)",
    )
    serve.add_argument(
        "--concurrency",
        choices=teller.CHOICES,
        default=teller.DEFAULT,
        help="how operations on one account are kept apart (%(default)s)",
    )
    serve.add_argument(
        "--lease",
        type=float,
        default=teller.LEASE_SECONDS,
        metavar="SECONDS",
        help="how long redis-read-write keeps an account for a server that died (%(default)s)",
    )
    serve.add_argument("--name", help="what such a lock shows as the name of this server")
    serve.add_argument(
        "--namespace",
        default="bank",
        metavar="NAME",
        help="where the accounts stand in Redis (%(default)s)",
    )
    serve.add_argument(
        "--threads", type=int, default=server.THREADS, help="calls at once (%(default)s)"
    )
    serve.add_argument(
        "--unsafe",
        action="store_true",
        help="permit a choice that cannot see other servers of the same accounts",
    )
    serve.add_argument(
        "--wait-replicas",
        type=int,
        default=0,
        metavar="N",
        help="how many replicas must have a write before it is acknowledged (%(default)s)",
    )
    serve.add_argument("--tls-cert", metavar="FILE", help="the server's certificate, in PEM")
    serve.add_argument("--tls-key", metavar="FILE", help="the key of that certificate")
    serve.add_argument(
        "--tls-ca", metavar="FILE", help="the CA that must have signed clients' certificates"
    )
    serve.add_argument("--verbose", action="store_true", help="log refused calls, too")

    show = commands.add_parser("demo", help="run the bank's scenarios against a fresh bank")
    show.set_defaults(run=_demo)

    check = commands.add_parser("doctor", help="say whether the lessons will run here")
    check.set_defaults(run=_doctor)

    grade = commands.add_parser(
        "grade",
        help="say which exercises learners' copies of lessons pass, as JSON",
        description=_GRADING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    grade.set_defaults(run=_grade)
    grade.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    return parser


_GRADING = """\
Run learners' copies of lessons, under any name and in any folder, and print what
they pass: for each copy a list of {"exercise", "passed", "tries"}, one for each
exercise of its lesson.

Each copy runs in a fresh kernel, in its own folder, with a progress file of its
own. A cell that raises does not end the run; one that takes more than 60 s is
interrupted, and a line on stderr says so.

tries counts the different answers that this run checks: 1 for most exercises, 0
for one left as it was given. What a learner tried before is not in a notebook.

Exit status: 0 all were run; 1 one could not be run to its end: it has null for
its list, and a line on stderr says why; 2 an argument is no copy of a lesson.

The code of a copy runs with your rights, and can be written to cheat: it may
change the progress file, or put something else in the place of lab.check.
"""


def _serve(options: argparse.Namespace) -> int:
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )
    with (
        _StopSignal() as stop,
        bankkit.Bank(
            options.concurrency,
            redis=options.redis,
            namespace=options.namespace,
            data_dir=options.data_dir,
            appendfsync=options.appendfsync,
            host=options.host,
            port=options.port,
            lease=options.lease,
            name=options.name,
            threads=options.threads,
            unsafe=options.unsafe,
            wait_replicas=options.wait_replicas,
            tls_cert=options.tls_cert,
            tls_key=options.tls_key,
            tls_ca=options.tls_ca,
        ) as bank,
    ):
        print(bank.engine)
        print(f"listening on {bank.address}", flush=True)
        stop.wait()
    return 0


class _StopSignal:
    """SIGTERM or Ctrl-C, to be waited for.

    The kernel gives a signal to any thread, and Python runs its handler in the main one, once that
    is awake: a wait for an Event would sleep on. The wake-up fd is written to by whichever thread
    takes the signal.
    """

    def __enter__(self) -> Self:
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._sender.fileno())
        self._before = {number: Handler(number) for number in (signal.SIGTERM, signal.SIGINT)}
        for before in self._before.values():
            before.replace(lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        for before in self._before.values():
            before.put_back()
        signal.set_wakeup_fd(self._wakeup_before)
        self._receiver.close()
        self._sender.close()

    def wait(self) -> None:
        """Returns after the first of them; a second one then ends the process at once."""
        self._receiver.recv(1)
        for number in self._before:
            signal.signal(number, signal.SIG_DFL)


def _demo(options: argparse.Namespace) -> int:
    from bankkit.cli import demo

    with bankkit.Bank() as bank:
        print(bank.engine, file=sys.stderr)
        for line in demo.scenarios(bank):
            print(line, flush=True)
    return 0


def _doctor(options: argparse.Namespace | None = None) -> int:
    findings = doctor.examine()
    print(doctor.report(findings, getattr(sys.stdout, "encoding", None) or "ascii"))
    return 0 if all(finding.fine for finding in findings) else 1


def _grade(options: argparse.Namespace) -> int:
    # Imported only now: the lab needs Jupyter, which the bank does not. Nothing outside of the lab
    # imports it before it is asked for.
    try:
        from bankkit.cli import grade
    except Exception as error:
        return _fail(doctor.why_not(error))
    return grade.main(options.notebooks)
