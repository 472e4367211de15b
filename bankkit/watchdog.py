"""Runs commands and surely ends them; a script, run by `watched.py`.

    python -I -S watchdog.py

It obeys orders on its standard input, and at EOF, which is what the death of its parent looks
like, ends every command and removes their directories. Only the standard library, and only one
thread: `PR_SET_PDEATHSIG` then means "when the watchdog dies", so that not even SIGKILL of the
watchdog leaves a command running (Linux only).

An order is a line, a JSON object with a `number`, the order in `do`, and in `name` a command's
name. It is answered with `NUMBER ok TEXT` or `NUMBER failed TEXT`:

    start   runs the command, see `Command`; answered with its process id
    status  running or paused; fails once it is gone, with the reason and the last line it wrote
    pause   SIGSTOP; answered when it has stopped
    resume  SIGCONT
    stop    all commands in `names`: SIGTERM, and SIGKILL after `grace` seconds, where 0 is SIGKILL
            at once; answered when they are gone
    forget  removes the directory of a command that was stopped
"""

# pathlib would cost a third of the time that this script takes to start.
# ruff: noqa: PTH102, PTH118, PTH123

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Collection

TYPE_CHECKING = False  # checkers take it for true; typing itself is slow to import
if TYPE_CHECKING:
    from typing import Any

PAUSE_SECONDS = 1.0
"""How long a command may take to stop after SIGSTOP; the kernel needs no more than a moment."""

LOCK_SECONDS = 2.0
"""How long to wait for a data directory: the watchdog of a dead kernel needs a moment."""

_PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """An order could not be carried out; its text goes to the parent."""


def _prctl() -> Callable[..., int] | None:
    """Loaded before the fork: after it, only async-signal-safe work is sure to be safe."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes

        prctl: Callable[..., int] = ctypes.CDLL(None).prctl
        return prctl
    except (ImportError, OSError, AttributeError):
        return None  # a Python without ctypes: the watchdog's own SIGKILL is then not covered


class Command:
    """A command, its directory and the lock on its data, over all its runs.

    what       what messages call it
    command    the program's path and its arguments
    env        what its environment has beyond the watchdog's own
    directory  made for it, entered by nobody but its user, and removed in the end
    files      text by file name, put into the directory before the first run
    log        the path of a file there that holds what the latest run wrote
    data_dir   a directory that stays, or empty: locked, and the working directory of a run
    grace      seconds that it has to end by itself when the parent dies; 0 is SIGKILL at once
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.pid = 0  # it leads a process group; 0 when it does not run
        self.paused = False
        self.grace = 0.0
        self.directory = ""  # once it is made
        self._log = ""
        self._argv: list[str] = []
        self._env: dict[str, str] = {}
        self._ending = "it did not start"
        self._lock_fd = -1

    def start(self, prctl: Callable[..., int] | None, order: dict[str, Any]) -> None:
        self._log = order["log"]
        self._argv = order["command"]
        self._env = {**os.environ, **order["env"]}
        self.grace = order["grace"]
        if not self.directory:
            os.mkdir(order["directory"], 0o700)
            self.directory = order["directory"]
            for name, text in order["files"].items():
                path = os.path.join(self.directory, name)
                with open(path, "x", encoding="utf-8", opener=_for_its_user) as file:
                    file.write(text)
        if order["data_dir"] and self._lock_fd < 0:
            self._lock_fd = _lock(order["data_dir"])
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        out = os.open(self._log, flags, 0o600)
        watchdog = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._become(order["data_dir"] or self.directory, out, watchdog, prctl)
            except OSError as error:
                os.write(2, f"{error.strerror}: {self._argv[0]}\n".encode())
            finally:
                os._exit(127)
        with contextlib.suppress(OSError):  # the child does the same; whoever comes first
            os.setpgid(pid, pid)
        os.close(out)
        self.pid = pid
        self.paused = False

    def check(self) -> None:
        """Raises `Failed` that says how it ended, unless it runs."""
        if not self.pid:
            raise Failed(f"{self.what} is not running: {self._ending}. {self._last_words()}")

    def send(self, number: signal.Signals) -> None:
        """The process id is safe to use: only `observe` frees it, and sets it to 0."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS, of a zombie
                os.killpg(self.pid, number)

    def observe(self) -> None:
        """Reaps it if it is gone; notes whether it is paused."""
        while self.pid:
            options = os.WNOHANG | os.WUNTRACED | os.WCONTINUED
            pid, status = os.waitpid(self.pid, options)
            if pid == 0:
                return
            if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
                self.paused = os.WIFSTOPPED(status)
            else:
                code = os.waitstatus_to_exitcode(status)
                self._ending = f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
                self.pid = 0

    def clear(self) -> None:
        """Leaves nothing of one that does not run."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1
        if self.directory:
            import shutil  # late, for a quick start

            shutil.rmtree(self.directory)
            self.directory = ""

    def _become(
        self, directory: str, out: int, watchdog: int, prctl: Callable[..., int] | None
    ) -> None:
        """In the forked child: never returns."""
        os.setpgid(0, 0)  # one signal then reaches it and whatever it forks or is wrapped in
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        if self._lock_fd >= 0:  # the data stays locked for as long as anyone may write to it
            os.set_inheritable(self._lock_fd, True)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != watchdog:  # it died before the line above
                os._exit(127)
        os.chdir(directory)
        os.execve(self._argv[0], self._argv, self._env)

    def _last_words(self) -> str:
        with open(self._log, errors="replace") as log:
            lines = log.read().strip().splitlines()
        return f"Its last words: {lines[-1][:500]}" if lines else ""


def _for_its_user(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _lock(data_dir: str) -> int:
    def too_long(*_: object) -> None:
        raise TimeoutError

    fd = os.open(os.path.join(data_dir, "bankkit.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, LOCK_SECONDS)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except TimeoutError:
        os.close(fd)
        message = f"The data directory {data_dir} is in use by another bank."
        raise Failed(message) from None
    return fd


class Watchdog:
    """Obeys orders, one after the other."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self._prctl = _prctl()
        self._told_to_end = False
        # Signals arrive as bytes in this pipe, between two steps and never within one.
        self._signals, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the parent's thread may have blocked some

    def serve(self) -> None:
        """Obeys until EOF, SIGTERM or SIGHUP; then nothing is left of any command."""
        begun = b""
        try:
            while not self._told_to_end:
                ready = select.select([0, self._signals], [], [])[0]
                if self._signals in ready:
                    self._take_signals()
                if 0 in ready:
                    read = os.read(0, 65536)
                    if not read:
                        return
                    *lines, begun = (begun + read).split(b"\n")
                    for line in lines:
                        self._take(line)
        finally:
            self._stop(self._commands.values())
            for command in self._commands.values():
                command.clear()

    def _take(self, line: bytes) -> None:
        try:
            order = json.loads(line)
        except ValueError:  # an Interrupt cut it short; nobody awaits its answer
            return
        try:
            text = f"ok {getattr(self, '_do_' + order['do'])(order) or ''}"
        except Failed as error:
            text = f"failed {error}"
        except OSError as error:
            text = f"failed {error.filename or 'The watchdog'}: {error.strerror}."
        with contextlib.suppress(BrokenPipeError):  # the parent is dead; EOF comes next
            os.write(1, f"{order['number']} {' '.join(text.split())}\n".encode())

    # The orders

    def _do_start(self, order: dict[str, Any]) -> str:
        command = self._commands.setdefault(order["name"], Command(order["what"]))
        command.start(self._prctl, order)
        return str(command.pid)

    def _do_status(self, order: dict[str, Any]) -> str:
        command = self._observed(order)
        return "paused" if command.paused else "running"

    def _do_pause(self, order: dict[str, Any]) -> None:
        command = self._observed(order)
        command.send(signal.SIGSTOP)
        self._wait(lambda: command.paused or not command.pid, PAUSE_SECONDS)
        command.check()

    def _do_resume(self, order: dict[str, Any]) -> None:
        self._observed(order).send(signal.SIGCONT)

    def _do_stop(self, order: dict[str, Any]) -> None:
        known = [self._commands[name] for name in order["names"] if name in self._commands]
        self._stop(known, order["grace"])

    def _do_forget(self, order: dict[str, Any]) -> None:
        if command := self._commands.pop(order["name"], None):
            command.clear()

    # Machinery

    def _observed(self, order: dict[str, Any]) -> Command:
        """The command, which runs."""
        command = self._commands.get(order["name"])
        if command is None:
            raise Failed(f"{order['name']} was never started.")
        command.observe()
        command.check()
        return command

    def _stop(self, commands: Collection[Command], grace: float | None = None) -> None:
        """Returns when all are gone; without `grace` each has its own."""
        longest = 0.0
        for command in commands:
            patience = command.grace if grace is None else grace
            longest = max(longest, patience)
            command.send(signal.SIGTERM if patience else signal.SIGKILL)
            command.send(signal.SIGCONT)  # a paused one hears SIGTERM only awake
        self._wait(lambda: not any(command.pid for command in commands), longest)
        for command in commands:
            command.send(signal.SIGKILL)
        self._wait(lambda: not any(command.pid for command in commands))

    def _take_signals(self) -> None:
        numbers = os.read(self._signals, 1000)
        if signal.SIGTERM in numbers or signal.SIGHUP in numbers:
            self._told_to_end = True
        for command in self._commands.values():
            command.observe()

    def _wait(self, condition: Callable[[], bool], seconds: float | None = None) -> None:
        """Until `condition`, which only a change of a command's state can make true."""
        deadline = None if seconds is None else time.monotonic() + seconds
        for command in self._commands.values():
            command.observe()
        while not condition():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            if select.select([self._signals], [], [], left)[0]:
                self._take_signals()


if __name__ == "__main__":
    Watchdog().serve()
