"""The user's own Redis: each bank has its own namespace and changes nothing else."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import nbformat
import nbformat.v4
import pytest
import redis as redis_py

import bankkit
from bankkit.redis_backend import VARIABLE, PrivateRedis
from bankkit.redis_backend.connection import connect
from tests.support.foreign_data import PASSWORD, assert_untouched, dump, fill
from tests.support.paths import ROOT
from tests.support.processes import LONG_ENOUGH, home, needs_proc, python, redis_on_tcp
from tests.support.waiting import eventually


@pytest.fixture(params=["unix socket", "TCP with a password"], scope="module")
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "unix socket":
        with closing(PrivateRedis()) as private:
            yield private.url
    else:
        with redis_on_tcp(PASSWORD) as url:
            yield url


@pytest.fixture
def foreign(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis_py.Redis]:
    """A client of a Redis with other programs' data; the environment variable names this Redis.

    At the end of the test this data is unchanged, no key was added, and the Redis was not flushed.
    """
    monkeypatch.setenv(VARIABLE, url)
    with connect(url) as client:
        for key in client.scan_iter():
            client.delete(key)
        fill(client)
        before = dump(client)
        yield client
        assert_untouched(client, before)


def namespaces(client: redis_py.Redis) -> set[str]:
    """The namespaces of banks that have keys."""
    return {key.partition(":")[0] for key in client.scan_iter("bankkit-*:*")}


def test_each_start_has_a_namespace_of_its_own(foreign: redis_py.Redis) -> None:
    used = set()
    for _ in range(2):
        bank = bankkit.start()
        try:
            bank.client.create_account("alice", "savings")  # the foreign account is no obstacle
            bank.client.deposit("alice", 10)
            assert bank.client.get_balance("alice").balance == 10
            used |= namespaces(foreign)
        finally:
            bank.stop()
        assert not namespaces(foreign)
    assert len(used) == 2


def test_a_new_start_leaves_nothing_of_the_previous_bank(foreign: redis_py.Redis) -> None:
    bankkit.start().client.create_account("alice")
    (before,) = namespaces(foreign)
    with bankkit.start() as bank:
        bank.client.create_account("alice")
        (after,) = namespaces(foreign)
    assert before != after


def test_two_banks_side_by_side_see_different_accounts(foreign: redis_py.Redis) -> None:
    with bankkit.Bank() as one, bankkit.Bank() as other:
        one.client.create_account("alice")
        one.client.deposit("alice", 1)
        with pytest.raises(bankkit.CallError, match="NOT_FOUND"):
            other.client.get_balance("alice")
        other.client.create_account("alice")
        assert one.client.get_balance("alice").balance == 1
        assert other.client.get_balance("alice").balance == 0
        one.stop()
        assert other.client.get_balance("alice").balance == 0


def test_a_peek_is_the_same_in_every_namespace(
    foreign: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    peeks = []
    for own in (True, True, False):
        if not own:
            monkeypatch.delenv(VARIABLE)
        with bankkit.Bank() as bank:
            bank.client.create_account("alice")
            bank.client.deposit("alice", 10, request_id="r")
            peeks.append(bank.peek("alice"))
    assert peeks[0] == peeks[1] == peeks[2]
    assert peeks[0]["bank:{alice}:account"] == {"type": "savings", "balance": "1000"}
    assert peeks[0].keys() == {"bank:{alice}:account", "bank:{alice}:request:r"}


def test_a_bank_does_not_stop_the_users_redis(foreign: redis_py.Redis) -> None:
    with bankkit.Bank() as bank:
        for command, verb in {
            bank.pause_redis: "pause",
            bank.resume_redis: "resume",
            bank.restart_redis: "restart",
        }.items():
            with pytest.raises(RuntimeError, match=f"bankkit does not {verb} a Redis") as refused:
                command()
            assert "your own" in str(refused.value)
            assert PASSWORD not in str(refused.value)
        assert PASSWORD not in bank.engine + repr(bank)
        assert VARIABLE in bank.engine


@pytest.mark.one_in(4)
@needs_proc
@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "os._exit", "last line"])
def test_a_dead_process_leaves_no_key(foreign: redis_py.Redis, end: str) -> None:
    last = {
        "SIGKILL": f"os.kill(os.getpid(), {signal.SIGKILL})",
        "SIGTERM": f"os.kill(os.getpid(), {signal.SIGTERM})",
        "os._exit": "os._exit(7)",
        "last line": "",
    }[end]
    code = f"""
import os
import bankkit
bank = bankkit.start()
bank.client.create_account("alice")
bank.client.deposit("alice", 10)
print(len(bank.peek("alice")), flush=True)
{last}
"""
    with home() as place, python(code, place.environ) as kernel:
        assert kernel.line() == "2", kernel.errors()
        kernel.wait()
        eventually(lambda: not namespaces(foreign), LONG_ENOUGH)
        eventually(place.is_empty, LONG_ENOUGH)


RUDE = """\
import os, redis
with redis.Redis.from_url(os.environ["BANKKIT_REDIS_URL"]) as client:
    client.incr("bank:{alice}:account-number")
"""


def test_a_lesson_that_touches_foreign_data_fails(tmp_path: Path) -> None:
    """`make test` runs all lessons with this plugin: see `tests.support.foreign_data`."""
    cell = nbformat.v4.new_code_cell(RUDE, execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "rude.ipynb")
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-p",
                "tests.support.foreign_data",
                "-c",
                "pyproject.toml",
            ),
            *("--nbval-lax", "-q", tmp_path),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "1 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "foreign data was changed: {'bank:{alice}:account-number'" in done.stdout
