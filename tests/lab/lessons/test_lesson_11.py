"""The parts of lesson 11: where a Cluster keeps accounts, and which clients a node's death hits."""

import threading
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from uuid import uuid4

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bankkit import Bank, lab
from bankkit.lab.drawing.figures import plain_style
from bankkit.lab.lessons import lesson_11
from bankkit.lab.replication import call_log, outage, slots
from bankkit.lab.replication.call_log import LoggedCall
from bankkit.pb.bank_pb2 import AccountRequest, DepositRequest
from bankkit.redis_backend import RedisNode
from tests.support import pictures


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    """A bank on one Redis, which keeps its data over a restart."""
    with Bank("atomic", redis="private", data_dir=tmp_path, appendfsync="always") as bank:
        for name in ("alice", "bob"):
            bank.client.create_account(name)
        yield bank


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    """Check that no client's thread outlives the test."""
    yield
    assert not [each.name for each in threading.enumerate() if each.name.startswith("client of")]


def deposit(log: lab.CallLog, bank: Bank, account: str) -> None:
    """Deposit $1 repeatedly with retries, as in the lesson."""
    while log.is_open:
        request = DepositRequest(account_id=account, amount=1, request_id=str(uuid4()))
        while log.call(bank.stub.Deposit, request) != "OK":
            time.sleep(0.01)
        time.sleep(0.01)


# --- The log --------------------------------------------------------------------------------------


def test_every_try_is_logged_with_its_status(bank: Bank) -> None:
    log = lab.CallLog()
    before = time.monotonic_ns()
    assert log.call(bank.stub.GetBalance, AccountRequest(account_id="alice")) == "OK"
    log.mark("nobody is called dora")
    assert log.call(bank.stub.GetBalance, AccountRequest(account_id="dora")) == "NOT_FOUND"
    first, second = log.calls
    assert (first.account, first.code) == ("alice", "OK")
    assert (second.account, second.code) == ("dora", "NOT_FOUND")
    (mark,) = log.marks
    assert before <= first.began < first.ended <= mark.at <= second.began < second.ended
    assert (log.acknowledged("alice"), log.failed("alice")) == (1, 0)
    assert (log.acknowledged("dora"), log.failed("dora")) == (0, 1)


def test_what_a_client_acknowledges_is_in_the_account_when_redis_comes_back(bank: Bank) -> None:
    log = lab.CallLog()
    with log.clients(lambda account: deposit(log, bank, account), "alice", "bob"):
        log.wait_for_each(3)
        bank.redis.shutdown(nosave=True)
        log.mark("Redis is gone")
        while not (log.failed("alice") and log.failed("bob")):
            time.sleep(0.01)
        bank.restart_redis()
        log.wait_for_each(3)
    for name in log.accounts:
        assert bank.client.get_balance(name).balance == log.acknowledged(name)
    picture = lab.outage(log, alice="one machine")
    pictures.check(picture)
    assert picture.line == (
        "Calls for alice and bob, while this happened: Redis is gone. Calls for alice and bob "
        "failed for a while, and then were acknowledged again."
    )


def test_a_run_in_which_nothing_fails(bank: Bank) -> None:
    log = lab.CallLog()
    with log.clients(lambda account: deposit(log, bank, account), "alice", "bob"):
        log.wait_for_each(3)
    picture = lab.outage(log)
    pictures.check(picture)
    assert picture.line == "Calls for alice and bob. Not one of them failed."


def test_waiting_for_an_unserved_client_ends(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both the waiting test and the client's retries end."""
    monkeypatch.setattr(call_log, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(call_log, "LEAVE_SECONDS", 0.2)
    bank.redis.shutdown(nosave=True)
    log = lab.CallLog()
    with (
        pytest.raises(TimeoutError, match="served"),
        log.clients(lambda account: deposit(log, bank, account), "alice"),
    ):
        log.wait_for_each(1)
    assert log.failed("alice") > 1
    picture = lab.outage(log)
    pictures.check(picture)
    assert picture.line == "Calls for alice. Calls for alice failed."


def test_a_mistake_in_a_client_is_not_swallowed() -> None:
    def no_client(account: str) -> None:
        raise LookupError("no such thing")

    log = lab.CallLog()
    with (
        pytest.raises(LookupError, match="no such thing"),
        log.clients(no_client, "alice"),
    ):
        pass


def test_what_cannot_be_drawn_is_refused(bank: Bank) -> None:
    log = lab.CallLog()
    with pytest.raises(ValueError, match="The log has no calls to draw"):
        lab.outage(log)
    names = [f"account-{number}" for number in range(9)]
    with log.clients(
        lambda name: log.call(bank.stub.GetBalance, AccountRequest(account_id=name)), *names
    ):
        pass
    with pytest.raises(ValueError, match="9 accounts are too many"):
        lab.outage(log)
    with pytest.raises(RuntimeError, match="no Redis nodes"):
        lab.slots(bank)


def test_each_gap_is_found_from_ok_to_ok() -> None:
    calls = [
        LoggedCall("alice", ended - 1, ended, "OK" if is_ok else "UNAVAILABLE")
        for ended, is_ok in ((10, False), (20, True), (30, False), (40, False), (50, True))
    ]
    assert list(outage._gaps(calls)) == [(9, 20), (20, 50)]
    assert list(outage._gaps(calls[:4])) == [(9, 20), (20, 40)]
    assert list(outage._gaps(calls[1:2])) == []


# --- The slots ------------------------------------------------------------------------------------

THREE = tuple(
    RedisNode(f"node {number}", "master", "", "running", ((first, last),))
    for number, (first, last) in enumerate(((0, 5460), (5461, 10921), (10922, 16383)), start=1)
)


@pytest.mark.parametrize(
    "pins",
    [
        {},
        {0: ["a"], 1: ["b"], 2: ["c"]},
        {16381: ["x" * 20], 16382: ["y" * 30], 16383: ["z" * 40]},
        {749: ["one", "two", "three"], 8392: ["four"], 14056: ["five"], 14088: ["six" * 8]},
        {slot: [f"bank:{{account-{slot}}}:account"] for slot in range(100, 16384, 1400)},
    ],
)
def test_no_label_covers_another_one(pins: dict[int, list[str]]) -> None:
    with plain_style():
        figure = slots._draw(THREE, pins)
        FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == len(pins) + 2 * len(THREE)
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 < box.y1 <= figure.bbox.y1


def test_a_slot_without_a_master_is_nobodys() -> None:
    pins = {749: ["alice"]}
    assert slots._line(THREE[1:], pins, are_keys=True) == "slot 749 of no node has alice."
    assert slots._line(THREE[1:], pins, are_keys=False) == (
        "16,384 slots on 2 masters; of the accounts, node 2 has none, node 3 has none, "
        "no node has alice."
    )


def test_a_cluster_is_drawn_as_it_is_and_only_its_dead_are_missed() -> None:
    with Bank("atomic", redis="private-cluster") as bank:
        nodes = bank.redis_nodes
        for name in ("alice", "bob", "dora"):
            bank.client.create_account(name)
        picture = lab.slots(bank)
        pictures.check(picture)
        assert picture.line == (
            "16,384 slots on 3 masters; of the accounts, node 1 has alice, node 2 has bob, "
            "node 3 has dora."
        )
        picture = lab.slots(bank, "bank:{alice}:lock", "bank:{alice}:account", "bank:alice:lock")
        pictures.check(picture)
        assert picture.line == (
            "slot 749 of node 1 has bank:{alice}:lock and bank:{alice}:account; "
            "slot 14056 of node 3 has bank:alice:lock."
        )
        with pytest.raises(ValueError, match="13 slots are too many"):
            lab.slots(bank, *(f"key-{number}" for number in range(13)))

        log = lab.CallLog()
        with log.clients(lambda account: deposit(log, bank, account), "alice", "bob", "dora"):
            log.wait_for_each(3)
            log.mark("node 1 is killed")
            nodes.kill("node 1")
            log.wait_for_each(3)
        for name in log.accounts:
            assert bank.client.get_balance(name).balance == log.acknowledged(name)
        picture = lab.outage(log)
        pictures.check(picture)
        assert picture.line == (
            "Calls for alice, bob and dora, while this happened: node 1 is killed. Calls for alice "
            "failed for a while, and then were acknowledged again; not one call for bob and dora "
            "failed."
        )
        nodes.wait_until_healthy()
        assert lab.slots(bank).line.endswith("node 2 has bob, node 3 has dora, node 4 has alice.")


# --- The exercises --------------------------------------------------------------------------------


def test_the_keys_of_the_first_exercise_tell_the_rules_apart() -> None:
    """Each key catches a mistake that no earlier key catches."""
    reasons = [reason for _, reason in lesson_11._KEYS]
    assert len(set(reasons)) == len(reasons)


def test_the_bad_day_is_possible() -> None:
    """A replica copies writes in order, so it has every write before its last one."""
    for replica in ("node 4", "node 7"):
        has = [replica in replicas for _, replicas in lesson_11._A_BAD_DAY]
        assert has == sorted(has, reverse=True)
