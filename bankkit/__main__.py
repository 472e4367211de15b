"""`python -m bankkit serve | demo | doctor`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence

import bankkit
from bankkit import demo, doctor, redis_server, server, teller


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 it could not be done, 2 the command line made no sense."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ValueError as error:
        print(f"bankkit: {error}", file=sys.stderr)
        return 2
    except (redis_server.RedisUnavailable, server.PortTaken, server.Rivals) as error:
        print(f"bankkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bankkit", description=bankkit.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    serve = commands.add_parser("serve", help="run a bank until SIGTERM or Ctrl-C")
    serve.set_defaults(run=_serve)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serve.add_argument("--port", type=int, default=50051, help="0 is any (%(default)s)")
    serve.add_argument(
        "--redis", metavar="URL", help="a Redis to use; else BANKKIT_REDIS_URL; else a private one"
    )
    serve.add_argument("--data-dir", metavar="DIR", help="where a private Redis keeps the accounts")
    serve.add_argument(
        "--appendfsync",
        choices=redis_server.APPENDFSYNC,
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
        "--threads", type=int, default=server.THREADS, help="calls at once (%(default)s)"
    )
    serve.add_argument(
        "--unsafe",
        action="store_true",
        help="permit a choice that cannot see other servers of the same accounts",
    )
    serve.add_argument("--verbose", action="store_true", help="log refused calls, too")

    show = commands.add_parser("demo", help="run the bank's scenarios against a fresh bank")
    show.set_defaults(run=_demo)

    check = commands.add_parser("doctor", help="say whether the lessons will run here")
    check.set_defaults(run=_doctor)
    return parser


def _serve(options: argparse.Namespace) -> int:
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )
    asked_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_stop.set())
    bank = bankkit.Bank(
        options.concurrency,
        redis=options.redis,
        namespace="bank",
        data_dir=options.data_dir,
        appendfsync=options.appendfsync,
        host=options.host,
        port=options.port,
        threads=options.threads,
        unsafe=options.unsafe,
    )
    with bank:
        print(bank.engine)
        print(f"listening on {bank.address}", flush=True)
        asked_to_stop.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # once more ends it without waiting
    return 0


def _demo(options: argparse.Namespace) -> int:
    with bankkit.Bank() as bank:
        print(bank.engine, file=sys.stderr)
        for line in demo.scenarios(bank):
            print(line, flush=True)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    findings = doctor.examine()
    print(doctor.report(findings))
    return 0 if all(finding.fine for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
