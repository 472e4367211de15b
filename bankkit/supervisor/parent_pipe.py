"""A child process that notices the end of this process, however this process ends.

The child's standard input is a pipe, and only this process holds its write end. When this process
returns, crashes, is killed or calls `os._exit`, the kernel closes that end, and the child reads
EOF. `PR_SET_PDEATHSIG` is not suitable: it fires when the *thread* that started the child ends.
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
_fork_lock = threading.Lock()  # prevents a fork between the start of a child and its entry in _open


class ParentPipe:
    """Runs a Python script as a child process and holds the other ends of its pipes.

    The script runs in its own session, so that neither Ctrl-C nor the Interrupt button reaches it.
    It runs without site-packages, so that it starts fast. It uses UTF-8 for paths, whatever the
    locale. The constructor does not wait for the script.

    Other children of this process do not keep the script alive: a child made with `os.fork` closes
    its copies of the pipes at once, and an executed program does not inherit them.
    """

    def __init__(self, script: Path, arguments: Sequence[str] = ()) -> None:
        with _fork_lock:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", str(script), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd=Path(sys.executable).anchor,  # so that other directories can be unmounted
                start_new_session=True,
            )
            _open.add(self)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.stdin: IO[bytes] = self._process.stdin
        self.stdout: IO[bytes] = self._process.stdout
        self.forked = False
        """True in the copy that a forked child inherits; such a copy owns nothing."""

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def close(self, timeout: float) -> None:
        """Send EOF to the child and wait until it has ended. Safe to call again.

        Kills a child that still runs after `timeout` seconds.
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
        self._process.returncode = 0  # it is not our child, so `Popen` must not wait for it or warn


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
