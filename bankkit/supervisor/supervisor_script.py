"""Runs commands and surely ends them; a script, run by `supervised.py`.

    python -I -S supervisor_script.py

It obeys orders on its standard input, and at EOF, which is what the death of its parent looks
like, ends every command and removes their directories. Only the standard library, and only one
thread: `PR_SET_PDEATHSIG` then means "when the supervisor dies", so that not even SIGKILL of the
supervisor leaves a command running (Linux only).

An order is a line, a JSON object with a `number`, the order in `do`, and in `name` a command's
name. It is answered with `NUMBER ok TEXT` or `NUMBER failed TEXT`:

    start   runs the command, see `Command`; answered with its process id
    status  running or paused; fails once it is gone, with the reason and the last line it wrote
    pause   SIGSTOP; answered when it has stopped
    resume  SIGCONT
    stop    all commands in `names`: SIGTERM, and SIGKILL after `grace` seconds, where 0 is SIGKILL
            at once; answered when they are gone
    keep    makes a directory that no command runs in, and keeps it, see `Directory`
    forget  removes the directory of a command that was stopped, or one that was kept

Paths come as UTF-8 with surrogate escapes, whatever the parent's locale.
"""

# pathlib would cost a third of the time that this script takes to start.
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

TYPE_CHECKING = False  # checkers take it for true; typing itself is slow to import
if TYPE_CHECKING:
    from typing import Any

PAUSE_SECONDS = 1.0
"""How long a command may take to stop after SIGSTOP; the kernel needs no more than a moment."""

LOCK_SECONDS = 2.0
"""How long to wait for a data directory: the supervisor of a dead kernel needs a moment."""

LOOK_SECONDS = 1.0
"""How long a directory may go without a look whether all is there."""

TOUCH_SECONDS = 3600.0
"""How long files may look unused: what cleans /tmp by age takes those of some days."""

SETTLE_SECONDS = 0.2
"""How long a claim must stand before it is believed, where there are no file locks."""

LOCK = "bankkit.lock"
OWNER = "bankkit.owner"
"""The files in a data directory that keep a second bank out of it: the second one stands in for the
first where there are no file locks."""

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What flock says where the file system has none: on some mounts of NFS, for one."""

_PR_SET_PDEATHSIG = 1


class CommandFailed(Exception):
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
        return None  # a Python without ctypes: the supervisor's own SIGKILL is then not covered


class Directory:
    """A directory of temporary files, entered by nobody but its user, while others clean /tmp.

    Tools that clean by age pass it over: systemd-tmpfiles leaves alone what is locked with flock,
    the others what was touched of late. Where it was removed all the same, `make` makes it again.
    A socket that was removed is put back as a link to what is kept of it in /proc, so that a
    program that listens there can be reached without a restart (Linux only).

    files    text by file name, written where it is not there yet
    sockets  names of sockets in it that other programs make
    """

    def __init__(self, path: str, sockets: Collection[str] = ()) -> None:
        self.path = path
        self.files: dict[str, str] = {}
        self._fd = -1  # of the directory itself, whatever its name may lead to by now
        self._sockets = dict.fromkeys(sockets, -1)  # what keeps each of them

    def make(self) -> None:
        """Makes what is not there. Raises `CommandFailed` if it is somebody else's by now."""
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

    def let_go(self) -> None:
        """Forgets the sockets and removes what is left of them: whoever made them is gone.

        An old one would be taken for the next program's, and put back while that makes its own.
        """
        for name, kept in self._sockets.items():
            if kept >= 0:
                os.close(kept)
            self._sockets[name] = -1
            if self._fd >= 0:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._fd)

    def look(self) -> None:
        """Makes it again, for what is to be written there, and puts back sockets."""
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
        for folder, _, files in os.walk(self.path):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                with contextlib.suppress(OSError):
                    os.utime(path, follow_symlinks=False)

    def remove(self) -> None:
        self.let_go()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        import shutil  # late, for a quick start

        shutil.rmtree(self.path, ignore_errors=True)

    def _enter(self) -> None:
        """Opens the directory, and makes sure that nobody has put another one in its place."""
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
        with contextlib.suppress(OSError):  # without locks, the second way will do
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _not_ours(self) -> CommandFailed:
        return CommandFailed(
            f"{self.path} was removed, and what is there now is not ours: start a new bank."
        )

    def _for_its_user(self, name: str, flags: int) -> int:
        return os.open(name, flags, 0o600, dir_fd=self._fd)


class Command:
    """A command, its directory and the lock on its data, over all its runs.

    what       what messages call it
    command    the program's path and its arguments
    env        what its environment has beyond the supervisor's own
    directory  made for it, kept, and removed in the end
    files      text by file name, put into the directory
    sockets    names of the sockets that it makes there
    log        the path of a file there that holds what the latest run wrote
    data_dir   a directory that stays, or empty: locked, and the working directory of a run
    grace      seconds that it has to end by itself when the parent dies; 0 is SIGKILL at once
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.pid = 0  # it leads a process group; 0 when it does not run
        self.paused = False
        self.grace = 0.0
        self.directory: Directory | None = None
        self._out = -1  # the log: what it wrote can be read when the file is gone
        self._argv: list[str] = []
        self._env: dict[str, str] = {}
        self._ending = "it did not start"
        self._claim: Claim | None = None

    def start(self, prctl: Callable[..., int] | None, order: dict[str, Any]) -> None:
        self._argv = order["command"]
        self._env = {**os.environ, **order["env"]}
        self.grace = order["grace"]
        if self.directory is None:
            self.directory = Directory(order["directory"], order["sockets"])
        self.directory.files = order["files"]
        self.directory.make()
        self.directory.let_go()
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
                self._become(place, supervisor, prctl)
            except OSError as error:
                text = f"{error.strerror}: {error.filename or self._argv[0]}\n"
                os.write(2, text.encode(errors="surrogateescape"))
            finally:
                os._exit(127)
        with contextlib.suppress(OSError):  # the child does the same; whoever comes first
            os.setpgid(pid, pid)
        self.pid = pid
        self.paused = False

    def check(self) -> None:
        """Raises `CommandFailed` that says how it ended, unless it runs."""
        if not self.pid:
            raise CommandFailed(f"{self.what} is not running: {self._ending}. {self._last_words()}")

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
        if self._claim is not None:
            self._claim.give_back()
            self._claim = None
        if self._out >= 0:
            os.close(self._out)
            self._out = -1
        if self.directory is not None:
            self.directory.remove()
            self.directory = None

    def _become(self, place: str, supervisor: int, prctl: Callable[..., int] | None) -> None:
        """In the forked child: never returns."""
        os.setpgid(0, 0)  # one signal then reaches it and whatever it forks or is wrapped in
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(self._out, 1)
        os.dup2(self._out, 2)
        if self._claim is not None and self._claim.fd >= 0:
            # The data stays locked for as long as anyone may write to it.
            os.set_inheritable(self._claim.fd, True)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:  # it died before the line above
                os._exit(127)
        os.chdir(place)
        os.execve(self._argv[0], self._argv, self._env)

    def _last_words(self) -> str:
        begin = max(0, os.fstat(self._out).st_size - 10_000)
        lines = os.pread(self._out, 10_000, begin).decode(errors="replace").strip().splitlines()
        return f"Its last words: {lines[-1][:500]}" if lines else ""


def _for_its_user(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Claim:
    """A data directory is one bank's at a time: this one's, until it is given back.

    A lock of the kernel's keeps the others out, and ends with those who hold it. Where the file
    system has no locks, a file with the holder's name does, and this much is promised: a second
    bank is refused while the holder lives, as far as this machine can tell; one that was killed is
    forgotten; and one of another machine is taken to be alive until a person removes the file.
    """

    def __init__(self, data_dir: str) -> None:
        self.fd = -1
        """Of the lock; below 0 where there are none."""
        self._path = os.path.join(data_dir, OWNER)
        self._name = ""
        self._data_dir = data_dir
        try:
            self.fd = self._lock(os.path.join(data_dir, LOCK))
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            self._sign()

    def give_back(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        elif self._name and self._signed() == self._name:
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

    def _sign(self) -> None:
        """The name is put there in one step, and two that come at once see each other's."""
        name = f"{os.uname().nodename} {_life(os.getpid())}"
        deadline = time.monotonic() + LOCK_SECONDS
        while there := living_owner(self._data_dir):
            if time.monotonic() > deadline or _is_elsewhere(there):
                raise CommandFailed(in_use(self._data_dir, there))
            time.sleep(0.05)
        mine = f"{self._path}.{os.getpid()}"
        with open(mine, "w", encoding="utf-8", opener=_for_its_user) as file:
            file.write(name)
        os.rename(mine, self._path)
        time.sleep(SETTLE_SECONDS)
        if self._signed() != name:
            raise CommandFailed(in_use(self._data_dir, self._signed()))
        self._name = name

    def _signed(self) -> str:
        return _read(self._path)


def in_use(data_dir: str, owner: str = "") -> str:
    """What to tell whoever wants a data directory that is another bank's."""
    text = f"The data directory {data_dir} is in use by another bank."
    if owner and _is_elsewhere(owner):
        path = os.path.join(data_dir, OWNER)
        text += f" It runs on {owner.partition(' ')[0]}; if it does not any more, remove {path}."
    return text


def living_owner(data_dir: str) -> str:
    """Who has signed for the directory, unless that process is known to be gone; else ''."""
    name = _read(os.path.join(data_dir, OWNER))
    return name if name and _lives(name) else ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _life(pid: int) -> str:
    """The process id, and where /proc tells them the boot and the start, which no other shares."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            started = file.read().rpartition(")")[2].split()[19]
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return f"{pid} {started} {file.read().strip()}"
    except OSError:
        return str(pid)


def _lives(name: str) -> bool:
    """Whether the holder of that name still does, or may."""
    if _is_elsewhere(name):
        return True
    life = name.partition(" ")[2]
    try:
        pid = int(life.partition(" ")[0])
        os.kill(pid, 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return _life(pid) == life


def _is_elsewhere(name: str) -> bool:
    return name.partition(" ")[0] != os.uname().nodename


class CommandRunner:
    """Obeys orders, one after the other."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self._kept: dict[str, Directory] = {}
        self._prctl = _prctl()
        self._told_to_end = False
        self._next_look = 0.0
        self._next_touch = time.monotonic() + TOUCH_SECONDS
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
                ready = select.select([0, self._signals], [], [], LOOK_SECONDS)[0]
                lines: list[bytes] = []
                if self._signals in ready:
                    self._take_signals()
                if 0 in ready:
                    read = os.read(0, 65536)
                    if not read:
                        return
                    *lines, begun = (begun + read).split(b"\n")
                    self._next_look = 0.0  # who asks may know of a new socket, or miss one
                self._look_after_directories()
                for line in lines:
                    self._take(line)
        finally:
            self._stop(self._commands.values())
            for command in self._commands.values():
                command.clear()
            for directory in self._kept.values():
                directory.remove()

    def _take(self, line: bytes) -> None:
        try:
            order = json.loads(line)
        except ValueError:  # an Interrupt cut it short; nobody awaits its answer
            return
        try:
            text = f"ok {getattr(self, '_do_' + order['do'])(order) or ''}"
        except CommandFailed as error:
            text = f"failed {error}"
        except OSError as error:
            place = error.filename or order.get("directory") or "The supervisor"
            text = f"failed {place}: {error.strerror}."
        answer = f"{order['number']} {' '.join(text.split())}\n"
        with contextlib.suppress(BrokenPipeError):  # the parent is dead; EOF comes next
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

    # Machinery

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
                with contextlib.suppress(CommandFailed, OSError):  # there is nobody to tell it to
                    directory.look()
                    if touching:
                        directory.touch()

    def _observed(self, order: dict[str, Any]) -> Command:
        """The command, which runs."""
        command = self._commands.get(order["name"])
        if command is None:
            raise CommandFailed(f"{order['name']} was never started.")
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
    CommandRunner().serve()
