"""Experiments on what happens to money when servers and Redis fail at the worst moment.

    result = lab.holder_paused(fencing=False)
    print(result.verdict)
    lab.timeline(result)

They use real server processes, real signals and a real Redis. Nothing depends on chance: each step
starts after we have seen the effect of the last one. Each experiment takes two or three seconds.
"""

from __future__ import annotations

from contextlib import closing
from typing import cast

from bankkit import teller
from bankkit.lab.faults.crash_result import CrashResult
from bankkit.lab.faults.rig import ACCOUNT, FaultRig
from bankkit.lab.faults.server_processes import until
from bankkit.redis_backend import PrivateRedis
from bankkit.supervisor.supervised import KeptDirectory


def two_servers(concurrency: str = "read-write") -> CrashResult:
    """Let two servers, with one client each, deposit to the same account at the same time.

    Each server is held between its read and its commit until the other one has read as well, or
    waits for the lock. Raises ValueError for `atomic`, which takes no lock and never reads.
    """
    teller.check_choice(concurrency)
    if concurrency == "atomic":
        raise ValueError(
            "atomic takes no lock and does not read, so this experiment would show nothing. "
            "Choose another concurrency."
        )
    with FaultRig(concurrency) as rig:
        first, second = rig.servers
        first.hold_up()
        second.hold_up()
        one = rig.deposit("client 1", first)
        first.wait_for("read", "client 1")
        two = rig.deposit("client 2", second)
        until(lambda: second.noted("read", "client 2") or rig.lock().waiting_writers)
        kept_out = second.noted("read", "client 2") is None
        first.let_go()
        one.result()
        second.let_go()
        two.result()
        return rig.result(
            f"While server 1 had the lock of {ACCOUNT}, server 2 "
            + ("had to wait for it." if kept_out else "read the balance as well.")
        )


def holder_killed() -> CrashResult:
    """Kill a server (SIGKILL) between its read and its commit, while it holds the lock."""
    with FaultRig("redis-read-write") as rig:
        first, second = rig.servers
        first.hold_up()
        one = rig.deposit("client 1", first)
        first.wait_for("read", "client 1")
        two = rig.deposit("client 2", second)
        until(lambda: rig.lock().waiting_writers)
        first.kill()
        rig.note_lease(first, "client 1")
        one.result()
        two.result()
        return rig.result(
            f"Server 1 was killed while it held the lock of {ACCOUNT}. "
            "Its lease ran out, and server 2 was let in."
        )


def holder_paused(*, fencing: bool = True) -> CrashResult:
    """Pause a server (SIGSTOP) between its read and its commit, for longer than its lease.

    When it goes on (SIGCONT), another server has held the lock and changed the balance. With
    `fencing`, Redis refuses the stale commit; without it, the commit overwrites the other change.
    """
    with FaultRig("redis-read-write", fencing=fencing) as rig:
        first, second = rig.servers
        first.hold_up()
        one = rig.deposit("client 1", first)
        first.wait_for("read", "client 1")
        first.pause()
        rig.note_lease(first, "client 1")
        two = rig.deposit("client 2", second)
        two.result()
        first.let_go()
        first.resume()
        one.result()
        return rig.result(
            f"Server 1 was paused while it held the lock of {ACCOUNT}. Its lease ran out, "
            f"server 2 was let in, and then server 1 went on{'' if fencing else ', unfenced'}."
        )


def redis_restarted() -> CrashResult:
    """Kill Redis in the middle of a deposit and start it again with the data on its disk.

    This private Redis has each write on its disk before it answers. A client that does not
    know the outcome of its deposit sends it again, under the same request id.
    """
    with (
        closing(KeptDirectory()) as folder,
        FaultRig("redis-read-write", data_dir=str(folder.path)) as rig,
    ):
        redis = cast(PrivateRedis, rig.redis)
        first, second = rig.servers
        rig.deposit("client 1", first).result()
        second.hold_up()
        unlucky = rig.deposit("client 2", second, "in the middle")
        second.wait_for("read", "client 2")
        rig.note_redis("killed")
        redis.kill()
        second.let_go()
        unlucky.result()
        rig.deposit("client 1", first, "too early").result()
        redis.restart()
        rig.note_redis("started")
        rig.note_lease(second, "client 2")  # it could not release the lock
        rig.deposit("client 2", second, "in the middle").result()
        rig.deposit("client 1", first, "too early").result()
        return rig.result(
            "Redis was killed between the read and the commit of client 2, and started again "
            "with the data on its disk. Clients that did not know the outcome deposited again, "
            "under the same request id."
        )
