"""Settings for every run of pytest here, including lessons.

A run does not change the learner's progress, and fails if a process that it started is still alive.
"""

import os
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MARK = "BANKKIT_TEST_RUN"
"""Every process that a run starts inherits this variable. A run inside a run appends to it."""

GRACE_SECONDS = 10.0
"""How long a process may take to follow its parent at the end of a run."""

run = f"{os.environ.get(MARK, '')}/{os.getpid()}"
os.environ[MARK] = run
# A process that a script starts in the background ignores Ctrl-C, which some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)
scratch = tempfile.TemporaryDirectory(prefix="bankkit-tests-")
os.environ["BANKKIT_PROGRESS"] = str(Path(scratch.name) / "progress.json")


def pytest_configure(config: pytest.Config) -> None:
    """Reaches the kernels of lessons through Unix sockets, where there are any.

    jupyter_client looks for free TCP ports, and the kernel binds them a second later. If another
    process has taken one meanwhile, the kernel dies, and with it all cells of the lesson.
    """
    if not config.pluginmanager.has_plugin("nbval") or os.name != "posix":
        return
    from nbval import kernel
    from traitlets import default

    class KernelManager(kernel.KernelManager):  # type: ignore[misc]
        transport = "ipc"

        @default("ip")
        def _ip_default(self) -> str:
            return str(Path(scratch.name) / uuid.uuid4().hex[:8])

    kernel.KernelManager = KernelManager


def survivors() -> Iterator[str]:
    """The processes started by this run that are alive now, as `pid command line` (Linux only)."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environ = (process / "environ").read_bytes().split(b"\0")
            command = os.fsdecode((process / "cmdline").read_bytes().replace(b"\0", b" ").strip())
        except OSError:  # it has just ended, or belongs to another user
            continue
        mine = any((entry + b"/").startswith(f"{MARK}={run}/".encode()) for entry in environ)
        # The tracker of multiprocessing ends together with this process, which imported it.
        if mine and "multiprocessing.resource_tracker" not in command:
            yield f"{process.name} {command}"


ROOT = Path(__file__).parent


FIRST = (
    *("tests/browser", "notebooks", "tests/bank/test_outage.py", "tests/launch/test_bank.py"),
    *("tests/redis_backend/test_cluster.py", "tests/cli/test_grade.py", "tests/cli/test_serve.py"),
    *("tests/bank/test_request_ids.py", "tests/redis_backend/test_private.py"),
    *("tests/project/test_types.py", "tests/launch/test_fleet.py"),
    *("tests/redis_backend/test_cleaned.py", "tests/lab/faults/test_crash_experiments.py"),
    *("tests/locks/test_redis_lock_processes.py", "tests/bank/test_concurrency.py"),
)
"""The slowest files. With several workers, they start first."""

SPREAD = (
    *("tests/project/test_both_ends.py", "tests/project/test_pythons.py"),
    *("tests/lab/drawing/test_accessibility.py", "tests/lab/course/test_exercises.py"),
)
"""Long files whose tests share no costly set-up: any worker may take any test, at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the files in `FIRST` to the front, and those in `SPREAD` to the end."""
    places = {start: place for place, start in enumerate(FIRST)}

    def rank(item: pytest.Item) -> int:
        file = item.nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        last = len(FIRST) + (file in SPREAD)
        return places.get(file, places.get(folder, last))

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One worker runs a file, because its tests share the set-up; `SPREAD` has the exceptions."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if file.startswith("tests/browser/"):
                return "tests/browser"  # one browser for all
            return nodeid if file in SPREAD else file

    return Scheduler(config, log)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails the run if processes that it started are still alive after `GRACE_SECONDS`."""
    scratch.cleanup()
    deadline = time.monotonic() + GRACE_SECONDS
    while (left := list(survivors())) and time.monotonic() < deadline:
        time.sleep(0.05)
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.section("processes left running by this test run", red=True)
            reporter.write_line("\n".join(left), red=True)
