"""The command line: its options, its commands, and its exit status."""

from __future__ import annotations

import argparse
import importlib.util
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
from bankkit.cli import doctor, explore
from bankkit.runtime.signals import Handler


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit status: 0 success, 1 failure, 2 a bad command line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["doctor"]:  # doctor must run where the rest cannot be imported
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
        accounts.StoreUnavailable,  # Redis answered the first check, and failed later
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
    """Runs `main` in a process whose stdout may have any encoding, or may be closed: a failed write
    ends with a message, not a traceback."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: the next open file would get this number, and our output
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:  # during an import
        return 130
    except BrokenPipeError:
        status = _fail("The program that read the output has closed it, so bankkit stopped.")
    except OSError as error:
        status = _fail(": ".join(filter(None, (error.strerror or str(error), error.filename))))
    else:
        return status
    # At exit, Python would write the rest of its buffer again, and fail with a traceback.
    if sys.stdout is not None:
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
    parser.add_argument("--version", action="version", version=f"bankkit {bankkit.__version__}")
    commands = parser.add_subparsers(required=True)

    serve = commands.add_parser("serve", help="run a bank until SIGTERM or Ctrl-C")
    serve.set_defaults(run=_serve)
    option_fields.add_arguments(serve, options.BankOptions)
    serve.add_argument("--verbose", action="store_true", help="log refused calls, too")

    show = commands.add_parser("demo", help="run example scenarios against a fresh bank")
    show.set_defaults(run=_demo)

    check = commands.add_parser("doctor", help="check whether the lessons will run here")
    check.set_defaults(run=_doctor)

    search = commands.add_parser(
        "explore",
        help="run a scenario of several threads under every schedule",
        description=explore.DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    search.set_defaults(run=_explore)
    explore.add_arguments(search)

    grade = commands.add_parser(
        "grade",
        help="print as JSON which exercises learners' copies of lessons pass",
        description=_GRADING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    grade.set_defaults(run=_grade)
    grade.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    return parser


_GRADING = """\
Run learners' copies of lessons, under any name and in any folder, and print the
results: for each copy a list of {"exercise", "passed", "tries"}, one for each
exercise of its lesson.

Each copy runs in a fresh kernel, in its own folder, with its own progress file.
A cell that raises does not end the run; a cell that takes more than 60 s is
interrupted, and a line on stderr says so.

tries counts the different answers that this run checks: 1 for most exercises, 0
for an exercise that was not changed. A notebook does not hold earlier tries.

Exit status: 0 if all copies ran; 1 if a copy could not run to its end: it has
null for its list, and a line on stderr says why; 2 if an argument is not a copy
of a lesson.

The code of a copy runs with your rights, and a copy can cheat: it may change the
progress file, or replace lab.check.
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
    """Waits for SIGTERM or Ctrl-C.

    The kernel delivers a signal to any thread, and Python runs the handler when the main thread is
    awake. A main thread that waits for an Event would sleep on. So it reads from a socket: the
    thread that gets the signal writes to it, because it is the wake-up fd.
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
        """Returns after the first signal; a second one ends the process at once."""
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


def _explore(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("greenlet") is None:
        return _fail("The explorer needs greenlet: pip install 'bankkit[explorer]'.")
    return explore.main(options)


def _grade(options: argparse.Namespace) -> int:
    # jsonschema, which nbformat uses, works without this package, and it takes seconds to import.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    # We import the lab only here, because it needs Jupyter and the bank does not.
    try:
        from bankkit.cli import grade
    except Exception as error:
        return _fail(doctor.why_not(error))
    return grade.main(options.notebooks)
