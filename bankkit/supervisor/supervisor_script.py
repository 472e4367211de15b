"""Script that runs commands and makes sure that they end; `supervised.py` starts it.

    python -I -S supervisor_script.py

It reads orders from its standard input. EOF means that its parent has ended: then it ends every
command and removes their directories. It uses only the standard library and only one thread. So
`PR_SET_PDEATHSIG` means "when the supervisor dies", and even a SIGKILL of the supervisor leaves no
command running (Linux only).

An order is a line with a JSON object: `number`, the kind of order in `do`, and in `name` the name
of a command. The answer is `NUMBER ok TEXT` or `NUMBER failed TEXT`:

    start   run the command, see `Command`; the answer is its process id
    status  running or paused; fails if the command has ended, with the reason and its last line
    pause   SIGSTOP; answered when the command has stopped
    resume  SIGCONT
    stop    all commands in `names`: SIGTERM, and SIGKILL after `grace` seconds (0: SIGKILL at
            once); answered when they have ended
    keep    make a directory that no command runs in, and keep it, see `Directory`
    forget  remove the directory of a stopped command, or a kept directory

Paths are UTF-8 with surrogate escapes, whatever the parent's locale.
"""

# Without pathlib, this script starts in two thirds of the time.
# ruff: noqa: PTH102, PTH103, PTH104, PTH108, PTH112, PTH118, PTH120, PTH123

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import stat
import sys
import time
from collections.abc import Callable, Collection

TYPE_CHECKING = False  # type checkers treat it as true; `typing` itself is slow to import
if TYPE_CHECKING:
    from typing import Any

PAUSE_SECONDS = 1.0
"""Seconds that a command may take to stop after SIGSTOP; the kernel stops it almost at once."""

LOCK_SECONDS = 2.0
"""Seconds to wait for a data directory: the supervisor of a dead kernel needs a moment to end."""

LOOK_SECONDS = 1.0
"""Seconds between two checks that a directory is complete."""

TOUCH_SECONDS = 3600.0
"""Seconds between two touches of all files. Programs that clean /tmp by age remove files that
nobody has used for days."""

SETTLE_SECONDS = 0.2
"""Seconds after which a claim is valid if it was not overwritten, where there are no file locks."""

LOCK = "bankkit.lock"
OWNER = "bankkit.owner"
"""The files in a data directory that exclude a second bank. OWNER replaces LOCK where there are no
file locks."""

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Errors of flock on a file system without locks, for example on some NFS mounts."""

_PR_SET_PDEATHSIG = 1


class CommandFailed(Exception):
    """An order could not be carried out. The text is sent to the parent."""


def _prctl() -> Callable[..., int] | None:
    """The C function. We load it before a fork: after it, only async-signal-safe calls are safe."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes

        prctl: Callable[..., int] = ctypes.CDLL(None).prctl
        return prctl
    except (ImportError, OSError, AttributeError):
        return None  # a Python without ctypes: a SIGKILL of the supervisor leaves commands running


class Directory:
    """A directory of temporary files for one user only, protected from programs that clean /tmp.

    Programs that clean by age skip it: systemd-tmpfiles skips what is locked with flock, and others
    skip what was touched recently. If it is removed anyway, `make` makes it again. A socket that
    was removed is restored as a symbolic link to its open file in /proc. So clients can reach the
    program that listens there without a restart (Linux only).

    files    text by file name; missing files are written
    sockets  names of sockets that other programs make in the directory
    """

    def __init__(self, path: str, sockets: Collection[str] = ()) -> None:
        self.path = path
        self.files: dict[str, str] = {}
        self._fd = -1  # of the directory itself, even if the path has been replaced
        self._sockets = dict.fromkeys(sockets, -1)  # name → an open file descriptor, or -1

    def make(self) -> None:
        """Make the directory and its files if they are missing.

        Raises `CommandFailed` if a directory of another process is in its place.
        """
        parent = os.path.dirname(self.path)
        if not os.path.isdir(parent):
            os.makedirs(parent, 0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.path, 0o700)
        self._enter()
        for name, text in self.files.items():
            with (
                contextlib.suppress(FileExistsError),
                open(name, "x", encoding="utf-8", opener=self._for_its_user) as file,
            ):
                file.write(text)

    def forget_sockets(self) -> None:
        """Forget the sockets and remove their files, because their program has ended.

        Otherwise an old socket could be restored while the next program makes its own.
        """
        for name, kept in self._sockets.items():
            if kept >= 0:
                os.close(kept)
            self._sockets[name] = -1
            if self._fd >= 0:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._fd)

    def look(self) -> None:
        """Make missing files again and restore removed sockets."""
        self.make()
        if sys.platform != "linux":
            return
        for name, kept in self._sockets.items():
            try:
                there = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
            except FileNotFoundError:
                if kept >= 0:
                    os.symlink(f"/proc/{os.getpid()}/fd/{kept}", name, dir_fd=self._fd)
                continue
            is_new = kept < 0 or not os.path.samestat(there, os.fstat(kept))
            if stat.S_ISSOCK(there.st_mode) and is_new:
                self._sockets[name] = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=self._fd)
                if kept >= 0:
                    os.close(kept)

    def touch(self) -> None:
        """Set the times of all files to now, so that they look used."""
        for folder, _, files in os.walk(self.path):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                with contextlib.suppress(OSError):
                    os.utime(path, follow_symlinks=False)

    def remove(self) -> None:
        """Remove the directory with its files."""
        self.forget_sockets()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        import shutil  # here, because the script then starts faster

        shutil.rmtree(self.path, ignore_errors=True)

    def _enter(self) -> None:
        """Open the directory, and check that nobody has put another one in its place."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EACCES):
                raise
            raise self._not_ours() from None
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            os.close(fd)
            raise self._not_ours()
        if self._fd >= 0 and os.path.samestat(found, os.fstat(self._fd)):
            os.close(fd)
            return
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        with contextlib.suppress(OSError):  # without file locks, `touch` must be enough
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _not_ours(self) -> CommandFailed:
        return CommandFailed(
            f"{self.path} was removed, and the file in its place is not ours: start a new bank."
        )

    def _for_its_user(self, name: str, flags: int) -> int:
        return os.open(name, flags, 0o600, dir_fd=self._fd)


class Command:
    """A command, its directory and the lock on its data, over all its runs.

    what       name of the command in messages
    command    path of the program and its arguments
    env        variables in addition to the supervisor's environment
    directory  a directory that is made for the command, kept, and removed at the end
    files      text by file name, written into the directory
    sockets    names of sockets that the command makes there
    log        path of a file there, with the output of the latest run
    data_dir   a directory that is not removed, or empty; locked, and the working directory
    grace      seconds to end after SIGTERM when the parent ends; 0 is SIGKILL at once
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.pid = 0  # the process leads a process group; 0 if it does not run
        self.paused = False
        self.grace = 0.0
        self.directory: Directory | None = None
        self._out = -1  # of the log, which stays readable if the file is removed
        self._argv: list[str] = []
        self._env: dict[str, str] = {}
        self._ending = "it did not start"
        self._claim: Claim | None = None

    def start(self, prctl: Callable[..., int] | None, order: dict[str, Any]) -> None:
        """Run the command of a `start` order. Raises `CommandFailed` or OSError."""
        self._argv = order["command"]
        self._env = {**os.environ, **order["env"]}
        self.grace = order["grace"]
        if self.directory is None:
            self.directory = Directory(order["directory"], order["sockets"])
        self.directory.files = order["files"]
        self.directory.make()
        self.directory.forget_sockets()
        if order["data_dir"] and self._claim is None:
            self._claim = Claim(order["data_dir"])
        if self._out >= 0:
            os.close(self._out)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
        self._out = os.open(order["log"], flags, 0o600)
        place = order["data_dir"] or self.directory.path
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._run_in_child(place, supervisor, prctl)
            except OSError as error:
                text = f"{error.strerror}: {error.filename or self._argv[0]}\n"
                os.write(2, text.encode(errors="surrogateescape"))
            finally:
                os._exit(127)
        with contextlib.suppress(OSError):  # the child does the same, and may do it first
            os.setpgid(pid, pid)
        self.pid = pid
        self.paused = False

    def check(self) -> None:
        """Raises `CommandFailed` if the command does not run; the text says how it ended."""
        if not self.pid:
            raise CommandFailed(
                f"{self.what} is not running: {self._ending}. {self._last_output()}"
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process group. The process id is ours until `observe` resets it."""
        if self.pid:
            # macOS raises PermissionError for a zombie.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def observe(self) -> None:
        """Reap the process if it has ended, and note whether it is paused."""
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
        """Release the data and remove the directory of a command that does not run."""
        if self._claim is not None:
            self._claim.give_back()
            self._claim = None
        if self._out >= 0:
            os.close(self._out)
            self._out = -1
        if self.directory is not None:
            self.directory.remove()
            self.directory = None

    def _run_in_child(self, place: str, supervisor: int, prctl: Callable[..., int] | None) -> None:
        """Execute the program in the forked child. Never returns."""
        os.setpgid(0, 0)  # one signal then reaches the command and all its child processes
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(self._out, 1)
        os.dup2(self._out, 2)
        if self._claim is not None and self._claim.fd >= 0:
            # The command inherits the lock: the data stays locked as long as a process may write.
            os.set_inheritable(self._claim.fd, True)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:  # the supervisor died before the line above
                os._exit(127)
        os.chdir(place)
        os.execve(self._argv[0], self._argv, self._env)

    def _last_output(self) -> str:
        begin = max(0, os.fstat(self._out).st_size - 10_000)
        lines = os.pread(self._out, 10_000, begin).decode(errors="replace").strip().splitlines()
        return f"Its last output: {lines[-1][:500]}" if lines else ""


def _for_its_user(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Claim:
    """Reserves a data directory for one bank, from the constructor to `give_back`.

    A kernel lock (flock) excludes other banks, and ends with the processes that hold it. On a file
    system without locks, a file with the holder's name is used instead. It gives these guarantees:
    a second bank is refused while the holder is alive, as far as this machine can tell; a holder
    that was killed is ignored; a holder on another machine counts as alive until a person removes
    the file. Raises `CommandFailed` if another bank holds the directory.
    """

    def __init__(self, data_dir: str) -> None:
        self.fd = -1
        """File descriptor of the lock; -1 without file locks."""
        self._path = os.path.join(data_dir, OWNER)
        self._name = ""
        self._data_dir = data_dir
        try:
            self.fd = self._lock(os.path.join(data_dir, LOCK))
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            self._write_owner()

    def give_back(self) -> None:
        """Release the data directory."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        elif self._name and self._owner() == self._name:
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def _lock(self, path: str) -> int:
        def too_long(*_: object) -> None:
            raise TimeoutError

        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        signal.signal(signal.SIGALRM, too_long)
        signal.setitimer(signal.ITIMER_REAL, LOCK_SECONDS)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except TimeoutError:
            os.close(fd)
            raise CommandFailed(in_use(self._data_dir)) from None
        except BaseException:
            os.close(fd)
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return fd

    def _write_owner(self) -> None:
        """Put the name in place atomically. Of two simultaneous claims, the last rename wins."""
        name = f"{os.uname().nodename} {_process_identity(os.getpid())}"
        deadline = time.monotonic() + LOCK_SECONDS
        while owner := living_owner(self._data_dir):
            if time.monotonic() > deadline or _is_on_another_machine(owner):
                raise CommandFailed(in_use(self._data_dir, owner))
            time.sleep(0.05)
        mine = f"{self._path}.{os.getpid()}"
        with open(mine, "w", encoding="utf-8", opener=_for_its_user) as file:
            file.write(name)
        os.rename(mine, self._path)
        time.sleep(SETTLE_SECONDS)
        if self._owner() != name:
            raise CommandFailed(in_use(self._data_dir, self._owner()))
        self._name = name

    def _owner(self) -> str:
        return _read(self._path)


def in_use(data_dir: str, owner: str = "") -> str:
    """The error text for a data directory that another bank uses."""
    text = f"The data directory {data_dir} is in use by another bank."
    if owner and _is_on_another_machine(owner):
        path = os.path.join(data_dir, OWNER)
        text += f" It runs on {owner.partition(' ')[0]}; if it has ended there, remove {path}."
    return text


def living_owner(data_dir: str) -> str:
    """The name in the directory's owner file; empty if there is none or its process has ended."""
    name = _read(os.path.join(data_dir, OWNER))
    return name if name and _may_be_alive(name) else ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _process_identity(pid: int) -> str:
    """The process id; where /proc exists, also start time and boot id, which make it unique."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            started = file.read().rpartition(")")[2].split()[19]
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return f"{pid} {started} {file.read().strip()}"
    except OSError:
        return str(pid)


def _may_be_alive(name: str) -> bool:
    """Whether the owner with this name is alive, or may be."""
    if _is_on_another_machine(name):
        return True
    identity = name.partition(" ")[2]
    try:
        pid = int(identity.partition(" ")[0])
        os.kill(pid, 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return _process_identity(pid) == identity


def _is_on_another_machine(name: str) -> bool:
    return name.partition(" ")[0] != os.uname().nodename


class CommandRunner:
    """Carries out orders, one after the other."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self._kept: dict[str, Directory] = {}
        self._prctl = _prctl()
        self._told_to_end = False
        self._next_look = 0.0
        self._next_touch = time.monotonic() + TOUCH_SECONDS
        # Signals arrive as bytes in this pipe, so that none of them interrupts an order.
        self._signals, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the parent's thread may have blocked some

    def serve(self) -> None:
        """Carry out orders until EOF, SIGTERM or SIGHUP; then stop all commands and clean up."""
        unfinished = b""
        try:
            while not self._told_to_end:
                ready = select.select([0, self._signals], [], [], LOOK_SECONDS)[0]
                lines: list[bytes] = []
                if self._signals in ready:
                    self._take_signals()
                if 0 in ready:
                    read = os.read(0, 65536)
                    if not read:
                        return
                    *lines, unfinished = (unfinished + read).split(b"\n")
                    self._next_look = 0.0  # look at once: a socket may be new or missing
                self._look_after_directories()
                for line in lines:
                    self._handle(line)
        finally:
            self._stop(self._commands.values())
            for command in self._commands.values():
                command.clear()
            for directory in self._kept.values():
                directory.remove()

    def _handle(self, line: bytes) -> None:
        try:
            order = json.loads(line)
        except ValueError:  # an Interrupt cut the line short; nobody waits for an answer
            return
        try:
            text = f"ok {getattr(self, '_do_' + order['do'])(order) or ''}"
        except CommandFailed as error:
            text = f"failed {error}"
        except OSError as error:
            place = error.filename or order.get("directory") or "The supervisor"
            text = f"failed {place}: {error.strerror}."
        answer = f"{order['number']} {' '.join(text.split())}\n"
        with contextlib.suppress(BrokenPipeError):  # the parent has ended; EOF follows
            os.write(1, answer.encode(errors="surrogateescape"))

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

    def _do_keep(self, order: dict[str, Any]) -> None:
        directory = self._kept.get(order["name"])
        if directory is None:
            directory = Directory(order["directory"], order["sockets"])
        directory.make()
        self._kept[order["name"]] = directory

    def _do_forget(self, order: dict[str, Any]) -> None:
        if command := self._commands.pop(order["name"], None):
            command.clear()
        if directory := self._kept.pop(order["name"], None):
            directory.remove()

    # Helpers

    def _look_after_directories(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        touching = now >= self._next_touch
        if touching:
            self._next_touch = now + TOUCH_SECONDS
        of_commands = (command.directory for command in self._commands.values())
        for directory in (*of_commands, *self._kept.values()):
            if directory is not None:
                with contextlib.suppress(CommandFailed, OSError):  # no order waits for an answer
                    directory.look()
                    if touching:
                        directory.touch()

    def _observed(self, order: dict[str, Any]) -> Command:
        """The command of an order. Raises `CommandFailed` if it does not run."""
        command = self._commands.get(order["name"])
        if command is None:
            raise CommandFailed(f"{order['name']} was never started.")
        command.observe()
        command.check()
        return command

    def _stop(self, commands: Collection[Command], grace: float | None = None) -> None:
        """Stop commands, by default with their own grace; returns when all have ended."""
        longest = 0.0
        for command in commands:
            patience = command.grace if grace is None else grace
            longest = max(longest, patience)
            command.send(signal.SIGTERM if patience else signal.SIGKILL)
            command.send(signal.SIGCONT)  # a paused process handles SIGTERM only after this
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
        """Wait until `condition`, which can become true only when a command changes its state."""
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
    CommandRunner().serve()
