"""A person, or a program that removes old files, cleans /tmp while a bank runs."""

import fcntl
import os
import signal
import socket
import stat
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from shutil import rmtree

import pytest
import redis

import bankkit
from bankkit.redis_backend import (
    PrivateCluster,
    PrivateRedis,
    PrivateSentinel,
    RedisUnavailable,
    private_sentinel,
)
from bankkit.redis_backend.connection import connect
from bankkit.supervisor.supervisor_script import Directory
from tests.support.certificates import Authority
from tests.support.processes import LONG_ENOUGH, Home, needs_proc
from tests.support.waiting import eventually

pytestmark = needs_proc


def ours(here: Home) -> list[Path]:
    return sorted(here.folder.glob("bankkit-*"))


def clean(here: Home) -> list[Path]:
    """Remove all directories of bankkit. Returns their paths."""
    found = ours(here)
    for directory in found:
        rmtree(directory)
    return found


def answers(url: str) -> bool:
    with connect(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def test_a_socket_of_a_killed_program_is_not_restored_while_the_next_one_starts(here: Home) -> None:
    """The next one removes it and binds its own socket; the supervisor may look in between."""
    path = here.folder / "s"
    directory = Directory(str(here.folder), ["s"])
    directory.make()
    with closing(socket.socket(socket.AF_UNIX)) as killed:
        killed.bind(str(path))
    directory.look()
    directory.forget_sockets()
    directory.look()
    path.unlink(missing_ok=True)
    directory.look()
    with closing(socket.socket(socket.AF_UNIX)) as following:
        following.bind(str(path))
        directory.look()
        path.unlink()
        directory.look()
        assert path.is_symlink(), "the new socket was not restored"
    directory.remove()


def test_a_redis_whose_socket_was_removed_can_be_reached_again(here: Home) -> None:
    """Without a restart, which would lose its data."""
    with closing(PrivateRedis()) as private, connect(private.url) as client:
        client.set("kept", "yes")
        for _ in range(2):
            clean(here)
            eventually(lambda: answers(private.url), LONG_ENOUGH)
            with connect(private.url) as another:
                assert another.get("kept") == "yes"
        (directory,) = ours(here)
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        private.restart()
        assert answers(private.url)
        private.kill()  # this leaves its socket
        private.restart()
        clean(here)
        eventually(lambda: answers(private.url), LONG_ENOUGH)
    assert here.is_empty()


def test_a_bank_keeps_working_and_can_restart_its_redis(here: Home) -> None:
    """Covers new connections, a restart, a crash, and the end."""
    bank = bankkit.Bank()
    bank.client.create_account("alice")
    clean(here)
    eventually(lambda: answers(bank._engine.url), LONG_ENOUGH)
    with bankkit.Client(bank.address) as client:
        assert client.deposit("alice", 1).balance == 1
    for killed in (False, True):
        if killed:
            bank._engine.kill()
        clean(here)
        bank.restart_redis()
        bank.client.create_account("alice")
    pid = bank.redis.info("server")["process_id"]
    clean(here)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists(), LONG_ENOUGH)
    with pytest.raises(RedisUnavailable, match=r"killed by signal 9\. Its last output: "):
        bank.pause_redis()  # the supervisor still has the output, without the file
    clean(here)
    bank.stop()
    assert here.is_empty()


def test_a_bank_with_a_data_directory_keeps_its_data(here: Home) -> None:
    with bankkit.Bank(data_dir=here.folder / "data") as bank:
        bank.client.create_account("alice")
        clean(here)
        bank.restart_redis()
        assert bank.client.deposit("alice", 1).balance == 1
    assert here.is_empty()


def test_even_the_folder_that_tmpdir_names_may_be_removed(
    here: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = here.folder / "of" / "mine"
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with closing(PrivateRedis()) as private:
        rmtree(folder.parent)
        private.restart()
        assert answers(private.url)
        rmtree(folder.parent)
        with closing(PrivateRedis()) as another:  # elsewhere: the folder in TMPDIR does not exist
            assert answers(another.url)


def test_a_foreign_file_in_its_place_is_not_used(here: Home) -> None:
    elsewhere = here.folder / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    with closing(PrivateRedis()) as private:
        (place,) = ours(here)

        def open_to_all() -> None:
            place.mkdir()
            place.chmod(0o777)

        def refused(put: Callable[[], None]) -> None:
            os.kill(private._process.supervisor.pid, signal.SIGSTOP)  # it might make its own first
            (place.unlink if place.is_symlink() or place.is_file() else partial(rmtree, place))()
            put()
            os.kill(private._process.supervisor.pid, signal.SIGCONT)
            with pytest.raises(RedisUnavailable, match=r"is not ours: start a new bank"):
                private.restart()

        refused(partial(place.symlink_to, elsewhere))
        refused(place.touch)
        refused(open_to_all)
        rmtree(place)
        private.restart()
    assert list(elsewhere.iterdir()) == []


def test_a_bank_with_tls_can_call_itself_after_its_socket_was_removed(here: Home) -> None:
    certificate = Authority(here.folder).issue("127.0.0.1")
    with bankkit.Bank(tls_cert=certificate.cert, tls_key=certificate.key) as bank:
        bank.client.create_account("alice")
        clean(here)

        def can_call() -> bool:
            with bankkit.Client(bank.server.local_address, timeout=1.0) as client:
                try:
                    return client.get_balance("alice").balance == 0
                except bankkit.CallError:
                    return False

        eventually(can_call, LONG_ENOUGH)
    assert here.is_empty()


def test_the_directory_is_locked_against_systemd_tmpfiles(here: Home) -> None:
    with closing(PrivateRedis()) as private:

        def is_locked() -> bool:
            (directory,) = ours(here)
            looking = os.open(directory, os.O_RDONLY)
            try:
                fcntl.flock(looking, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(looking)
            return False

        assert is_locked()
        clean(here)
        private.restart()
        assert is_locked()


def test_files_do_not_look_old(tmp_path: Path) -> None:
    (tmp_path / "bankkit-1").mkdir(mode=0o700)
    directory = Directory(str(tmp_path / "bankkit-1"))
    directory.files = {"node.conf": "port 0"}
    directory.make()
    for path in (tmp_path / "bankkit-1" / "node.conf", tmp_path / "bankkit-1"):
        os.utime(path, (0, 0))
    directory.touch()
    for path in (tmp_path / "bankkit-1" / "node.conf", tmp_path / "bankkit-1"):
        assert path.stat().st_mtime > 0
    directory.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [PrivateCluster, PrivateSentinel])
def test_restarted_nodes_have_their_data(
    here: Home, kind: type[PrivateCluster | PrivateSentinel]
) -> None:
    """One node was running, and one was killed and has a replica.

    The test does not check which node is the master: on a busy machine there may be more failovers.
    """
    with closing(kind()) as nodes, connect(nodes.url) as client:
        for number in range(30):
            client.set(f"key{number}", number)
        clean(here)
        nodes.restart("node 1")
        nodes.wait_until_healthy(LONG_ENOUGH)
        clean(here)
        nodes.kill("node 1")
        nodes.restart("node 1")
        nodes.wait_until_healthy(LONG_ENOUGH)
        with connect(nodes.url) as another:
            assert [another.get(f"key{number}") for number in range(30)] == [*map(str, range(30))]
    assert here.is_empty()


def test_a_node_whose_data_would_be_lost_is_not_restarted(
    here: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_sentinel, "FAILOVER_SECONDS", 0.1)
    with closing(PrivateSentinel()) as nodes:
        for name in ("node 1", "node 2", "node 3"):
            nodes.kill(name)
        clean(here)
        with pytest.raises(
            RedisUnavailable, match=r"The files of node 1 were removed, and no repl"
        ):
            nodes.restart("node 1")


def test_a_server_of_a_fleet_can_be_restarted(here: Home) -> None:
    with bankkit.Fleet(servers=2) as fleet:
        fleet.client.create_account("alice")
        clean(here)
        fleet.restart("server 1")
        clean(here)
        fleet.kill("server 2")
        fleet.restart("server 2")
        for name in fleet.servers:
            fleet.client_of(name).deposit("alice", 1)
        assert fleet.client.get_balance("alice").balance == 2
        clean(here)
    assert here.is_empty()
