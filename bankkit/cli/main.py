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
    from bankkit import options
    from bankkit.runtime import option_fields

    parser = argparse.ArgumentParser(prog="python -m bankkit", description=bankkit.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True)

    serve = commands.add_parser("serve", help="run a bank until SIGTERM or Ctrl-C")
    serve.set_defaults(run=_serve)
    option_fields.add_arguments(serve, options.BankOptions)
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


def _serve(arguments: argparse.Namespace) -> int:
    from bankkit.options import BankOptions
    from bankkit.runtime.option_fields import chosen

    logging.basicConfig(
        level=logging.INFO if arguments.verbose else logging.WARNING,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )
    with _StopSignal() as stop, bankkit.Bank(**chosen(arguments, BankOptions)) as bank:
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
