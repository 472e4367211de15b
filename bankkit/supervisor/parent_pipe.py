"""A child process that learns of this process's death, however this process dies.

The child reads a pipe, its standard input, whose write end only this process holds. The kernel
closes that end when the process stops, crashes, is killed or calls `os._exit`, and the child reads
EOF. `PR_SET_PDEATHSIG` would not do here: it fires when the *thread* that started the child ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_open: set[ParentPipe] = set()
_fork_lock = threading.Lock()  # no fork happens between the making of a pipe and its entry in _open


class ParentPipe:
    """Runs a script of the standard library's Python and holds the other ends of its pipes.

    The script runs in a session of its own, so that neither Ctrl-C nor the Interrupt button
    reaches it, and without site-packages, so that it is quick to start. It takes paths for UTF-8,
    whatever the locale. Constructing one does not wait for the script.

    Children of this process do not keep the child alive: one made with `os.fork` closes its copy
    of the pipes at once, and a program that is executed never gets one.
    """

    def __init__(self, script: Path, arguments: Sequence[str] = ()) -> None:
        with _fork_lock:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", str(script), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd=Path(sys.executable).anchor,  # hold no directory that someone wants to unmount
                start_new_session=True,
            )
            _open.add(self)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.stdin: IO[bytes] = self._process.stdin
        self.stdout: IO[bytes] = self._process.stdout
        self.forked = False
        """True in a copy that a fork left in a child, which owns nothing."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self, timeout: float) -> None:
        """Lets the child read EOF and waits until it is gone; safe to call again.

        A child that is still there after `timeout` seconds is killed.
        """
        if self.forked:
            return
        self.stdin.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.stdout.close()
        with _fork_lock:
            _open.discard(self)

    def _forked(self) -> None:
        self.forked = True
        self.stdin.close()
        self.stdout.close()
        self._process.returncode = 0  # not our child: nothing to wait for, nothing to warn of


def _in_forked_child() -> None:
    for pipe in _open:
        pipe._forked()
    _open.clear()
    _fork_lock.release()


if sys.platform != "win32":
    os.register_at_fork(
        before=_fork_lock.acquire,
        after_in_parent=_fork_lock.release,
        after_in_child=_in_forked_child,
    )
