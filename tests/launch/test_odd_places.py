"""Banks with an unusual TMPDIR, locale, file system or security rules."""

import os
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

import bankkit
from bankkit.redis_backend import PrivateCluster, PrivateRedis, PrivateSentinel, find_binary
from bankkit.redis_backend.connection import connect
from tests.support.certificates import Authority
from tests.support.preload import NO_PORTS, NO_ROOM, NO_SOCKETS, preloaded
from tests.support.processes import (
    LONG_ENOUGH,
    Child,
    Home,
    command,
    needs_proc,
    python,
    redis_on_tcp,
)

pytestmark = needs_proc

NAMES = {
    "URL": "a#b?c%d%20&e",
    "words": " a  b'c\"d\\e$(f);g,h:i",
    "line": "a\nb\tc",
    "accents": "é-猫",
    "no UTF-8": os.fsdecode(b"a\xffb"),
    "long": "x" * 120,
}

BANK = """
import sys, bankkit
with bankkit.Bank(tls_cert=sys.argv[1], tls_key=sys.argv[2]) as bank:
    bank.client.create_account("alice")
    bank.restart_redis()
    print(bank.client.create_account("alice").message)
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The paths of a certificate and its key."""
    return [str(path) for path in Authority(tmp_path_factory.mktemp("c")).issue("127.0.0.1")]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_of_the_folder_for_temporary_files(
    place: Home, certificate: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis and a bank with TLS have their sockets in the folder, and a fleet finds that Redis."""
    folder = place.folder / name
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with bankkit.Bank(tls_cert=certificate[0], tls_key=certificate[1]) as bank:
        bank.client.create_account("alice")
        bank.restart_redis()
        bank.client.create_account("alice")
    if name in (NAMES["URL"], NAMES["no UTF-8"]):
        with bankkit.Fleet(servers=1) as fleet:
            fleet.client.create_account("alice")
            fleet.restart("server 1")
            fleet.client.deposit("alice", 1)
    assert list(folder.iterdir()) == []


def test_a_folder_for_temporary_files_that_is_named_from_here(place: Home) -> None:
    code = "import os, bankkit; os.chdir(os.environ['TMPDIR'])\nos.environ['TMPDIR'] = '.'\n"
    with python(f"{code}with bankkit.Bank() as bank: print(bank.concurrency)", place.environ) as it:
        assert it.line() == "read-write", it.errors()


@pytest.mark.parametrize("kind", [PrivateCluster, PrivateSentinel])
def test_several_servers_in_a_folder_of_an_odd_name(
    place: Home, kind: type[PrivateCluster | PrivateSentinel], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place.folder / "".join(NAMES[name] for name in NAMES if name != "long")
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with closing(kind()) as nodes:
        nodes.restart("node 4" if kind is PrivateCluster else "node 2")
        nodes.wait_until_healthy(LONG_ENOUGH)
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_hold_sockets(place: Home, certificate: list[str]) -> None:
    place.environ["LD_PRELOAD"] = preloaded(place.folder, NO_SOCKETS)
    place.environ["WITHOUT_SOCKETS"] = str(place.folder)
    with Child([sys.executable, "-c", BANK, *certificate], place.environ) as script:
        assert script.line() == "Account created successfully.", script.errors()
        assert script.wait() == 0
    assert place.is_empty()


def test_no_folder_at_all_that_can_hold_sockets(place: Home, certificate: list[str]) -> None:
    place.environ["LD_PRELOAD"] = preloaded(place.folder, NO_SOCKETS)
    place.environ["WITHOUT_SOCKETS"] = "/"
    with command("serve", "--port", "0", environ=place.environ) as server:
        (line,) = server.errors().splitlines()
        assert server.wait() == 1
    assert "a directory that can hold a unix socket, but none of these can" in line
    assert f"{place.folder}: Operation not permitted" in line
    assert "Set TMPDIR" in line
    tls = ["--tls-cert", certificate[0], "--tls-key", certificate[1]]
    with (
        redis_on_tcp("secret") as url,
        command("serve", "--port", "0", "--redis", url, *tls, environ=place.environ) as server,
    ):
        (again,) = server.errors().splitlines()
        assert server.wait() == 1
    assert again == line
    assert place.is_empty()


AS_REDIS_7_4 = """#!/bin/sh
case ${LC_ALL:-${LC_COLLATE:-$LANG}} in
    "" | C | POSIX) exec REAL "$@" ;;
    *) [ "$1" = --version ] && exec REAL "$@"
esac
echo "Failed to configure LOCALE for invalid locale name." && exit 1
"""


@pytest.mark.parametrize("kind", [PrivateRedis, PrivateSentinel])
def test_a_locale_that_is_not_installed(
    tmp_path: Path, kind: type[PrivateRedis | PrivateSentinel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis 7.4 and later do not start with such a locale. A script makes older ones fail, too."""
    real = find_binary().path
    (tmp_path / "redis-server").write_text(AS_REDIS_7_4.replace("REAL", str(real)))
    (tmp_path / "redis-server").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("LC_ALL", "LANG", "LC_COLLATE"):
        monkeypatch.setenv(name, "xx_YY.UTF-8")
    with closing(kind()) as private, connect(private.url) as client:
        assert client.ping()


FEW_FILES = """
import bankkit, os, resource, sys
starts = (bankkit.Bank, bankkit.Fleet)  # imported now, which takes files
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
opened = []
try:
    while True:
        opened.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
for start in starts:
    for left in (0, 1, 5, 9, 15):
        for number in opened[:left]:
            os.close(number)
        try:
            start()
        except OSError as error:
            print(f"can open only {left} more (Too many open files)" in str(error))
        for _ in range(left):
            os.open(os.devnull, os.O_RDONLY)
for number in opened[:30]:
    os.close(number)
with starts[0](threads=1) as bank:
    print(bank.client.create_account("alice").message)
"""


def test_few_files(place: Home) -> None:
    with python(FEW_FILES, place.environ) as script:
        for _ in range(10):
            assert script.line() == "True", script.errors()
        assert script.line() == "Account created successfully.", script.errors()
        assert script.wait() == 0
    assert place.is_empty()


def test_a_disk_without_room(place: Home) -> None:
    place.environ["LD_PRELOAD"] = preloaded(place.folder, NO_ROOM)
    place.environ["WITHOUT_ROOM"] = str(place.folder / "bankkit-")
    code = """
import bankkit
for start in (lambda: bankkit.Bank(redis="private-cluster"), bankkit.Fleet):
    try:
        start()
    except RuntimeError as error:
        print(error, flush=True)
"""
    with python(code, place.environ) as script:
        for _ in range(2):
            said = script.line()
            assert str(place.folder) in said, script.errors()
            assert "No space left on device" in said
        assert script.wait() == 0
    assert place.is_empty()


@pytest.mark.parametrize(
    ("failure", "port", "complaint"),
    [
        ("EACCES", 80, "Port 80 is reserved for the administrator. Choose one from 1024 up, or 0"),
        ("EACCES", 50051, "The security rules of this system forbid listening on port 50051."),
        ("EACCES", 0, "The security rules of this system forbid listening on 127.0.0.1."),
        ("ENOBUFS", 50051, "The server cannot listen on port 50051 on 127.0.0.1: No buffer space"),
    ],
)
def test_a_port_that_the_system_refuses(
    place: Home, failure: str, port: int, complaint: str
) -> None:
    place.environ["LD_PRELOAD"] = preloaded(place.folder, NO_PORTS.replace("FAILURE", failure))
    with command("serve", "--port", str(port), environ=place.environ) as server:
        (line,) = server.errors().splitlines()
        assert server.wait() == 1
    assert line.startswith(f"bankkit: {complaint}")
    assert place.is_empty()
