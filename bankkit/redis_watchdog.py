"""Runs one private Redis and surely stops it; a script, run by `redis_server.py`.

    python -I -S redis_watchdog.py DIRECTORY DATA_DIR REDIS ARGUMENT...

It makes DIRECTORY, starts Redis, obeys the commands on its standard input, and at EOF, which is
what the death of its parent looks like, stops Redis and removes DIRECTORY. DATA_DIR is where Redis
keeps its append-only file, or empty. Only the standard library, and only one thread:
`PR_SET_PDEATHSIG` then means "when the watchdog dies", so that not even SIGKILL of the watchdog
leaves a Redis behind (Linux only).

Commands are lines `NUMBER WORD`, each answered with `NUMBER ok TEXT` or `NUMBER failed TEXT`:

    start   make the directory, lock DATA_DIR, start Redis
    status  fails once Redis is gone, with the reason and the last line it logged
    pause   SIGSTOP; answered when Redis has stopped
    resume  SIGCONT
    kill    SIGKILL; answered when Redis is gone
    stop    as `kill`, but Redis may first write what it holds if it keeps data
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

STOP_SECONDS = 1.0
"""How long Redis may take after SIGTERM before SIGKILL."""

LOCK_SECONDS = 2.0
"""How long to wait for a data directory: the watchdog of a dead kernel needs a moment."""

_PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """A command could not be carried out; its text goes to the parent."""


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


class Watchdog:
    """One Redis, its directory, and the lock on its data."""

    def __init__(self, directory: str, data_dir: str, command: list[str]) -> None:
        self._directory = Path(directory)
        self._data_dir = Path(data_dir) if data_dir else None
        self._command = command
        self._log = self._directory / "redis.log"
        self._prctl = _prctl()
        self._pid = 0  # of Redis, which leads a process group; 0 when there is none
        self._paused = False
        self._ending = ""
        self._lock_fd = -1
        self._made_directory = False
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
        """Obeys until EOF, SIGTERM or SIGHUP; then nothing is left of Redis or its directory."""
        try:
            while not self._told_to_end:
                ready = select.select([0, self._signals], [], [])[0]
                if self._signals in ready:
                    self._take_signals()
                if 0 in ready:
                    line = os.read(0, 100).decode()  # one line: the parent awaits each answer
                    if not line:
                        return
                    self._obey(*line.split())
        finally:
            self.stop()
            if self._made_directory:
                import shutil  # late, for a quick start

                shutil.rmtree(self._directory)

    def _obey(self, number: str, word: str) -> None:
        try:
            text = f"ok {getattr(self, word)() or ''}"
        except Failed as error:
            text = f"failed {error}"
        except OSError as error:
            text = f"failed {error.filename or self._command[0]}: {error.strerror}."
        with contextlib.suppress(BrokenPipeError):  # the parent is dead; EOF comes next
            os.write(1, f"{number} {' '.join(text.split())}\n".encode())

    # The commands

    def start(self) -> str:
        if not self._made_directory:
            self._directory.mkdir(0o700)
            self._made_directory = True
        if self._data_dir is not None and self._lock_fd < 0:
            self._lock_fd = self._lock_data(self._data_dir)
        out = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        watchdog = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._become_redis(watchdog, out)
            except OSError as error:
                os.write(2, f"{error.strerror}: {self._command[0]}\n".encode())
            finally:
                os._exit(127)
        with contextlib.suppress(OSError):  # the child does the same; whoever comes first
            os.setpgid(pid, pid)
        os.close(out)
        self._pid = pid
        self._paused = False
        return str(pid)

    def status(self) -> None:
        self._observe()
        if not self._pid:
            raise Failed(f"Redis is not running: {self._ending}. {self._last_words()}")

    def pause(self) -> None:
        self.status()
        self._send(signal.SIGSTOP)
        self._wait(lambda: self._paused or not self._pid, STOP_SECONDS)
        self.status()

    def resume(self) -> None:
        self.status()
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        if self._pid:
            self._send(signal.SIGKILL)
            self._wait(lambda: not self._pid)

    def stop(self) -> None:
        if self._pid and self._data_dir is not None:
            self._send(signal.SIGTERM)
            self._send(signal.SIGCONT)  # a paused Redis hears SIGTERM only awake
            self._wait(lambda: not self._pid, STOP_SECONDS)
        self.kill()

    # Machinery

    def _become_redis(self, watchdog: int, out: int) -> None:
        """In the forked child: never returns."""
        os.setpgid(0, 0)  # one signal then reaches Redis and whatever it forks or is wrapped in
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        if self._lock_fd >= 0:  # the data stays locked for as long as anyone may write to it
            os.set_inheritable(self._lock_fd, True)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if self._prctl is not None:
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != watchdog:  # it died before the line above
                os._exit(127)
        os.chdir(self._data_dir or self._directory)
        os.execv(self._command[0], self._command)

    def _send(self, number: signal.Signals) -> None:
        """The process id is safe to use: only `_observe` frees it, and sets it to 0."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS, of a zombie
            os.killpg(self._pid, number)

    def _lock_data(self, data_dir: Path) -> int:
        def too_long(*_: object) -> None:
            raise TimeoutError

        fd = os.open(data_dir / "bankkit.lock", os.O_RDWR | os.O_CREAT, 0o600)
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

    def _take_signals(self) -> None:
        numbers = os.read(self._signals, 1000)
        if signal.SIGTERM in numbers or signal.SIGHUP in numbers:
            self._told_to_end = True
        self._observe()

    def _observe(self) -> None:
        """Reaps Redis if it is gone; notes whether it is paused."""
        while self._pid:
            options = os.WNOHANG | os.WUNTRACED | os.WCONTINUED
            pid, status = os.waitpid(self._pid, options)
            if pid == 0:
                return
            if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
                self._paused = os.WIFSTOPPED(status)
            else:
                code = os.waitstatus_to_exitcode(status)
                self._ending = f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
                self._pid = 0

    def _wait(self, condition: Callable[[], bool], seconds: float | None = None) -> None:
        """Until `condition`, which only a change of Redis's state can make true."""
        deadline = None if seconds is None else time.monotonic() + seconds
        self._observe()
        while not condition():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            if select.select([self._signals], [], [], left)[0]:
                self._take_signals()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return f"Its last words: {lines[-1][:500]}" if lines else ""


if __name__ == "__main__":
    Watchdog(sys.argv[1], sys.argv[2], sys.argv[3:]).serve()
