"""You are the scheduler, driven by calls as in a lesson, and by messages as from a browser."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bankkit import lab
from bankkit.explorer.running.inspection import safe_repr
from bankkit.lab.schedules import share_text, stepper
from bankkit.lab.schedules.puzzles import PUZZLES
from bankkit.lab.schedules.stepper import Stepper
from bankkit.locks import FirstDraftLock, ReadWriteLock
from bankkit.redis_backend import PrivateRedis
from bankkit.redis_backend.connection import connect
from tests.support.paths import ROOT
from tests.support.scenarios import reader_and_writer


@pytest.fixture(autouse=True)
def _close_every_stepper() -> Iterator[None]:
    yield
    for each in list(stepper._open.values()):
        each.close()


def view(shown: Stepper) -> dict[str, Any]:
    """The view that the browser gets, through JSON."""
    return dict(json.loads(json.dumps(shown.widget.view)))


def send(shown: Stepper, what: str, **more: Any) -> dict[str, Any]:
    """Send a command as the browser does, and return the view that answers it."""
    shown._on_message(shown.widget, {"do": what, "number": 7, **more}, [])
    answer = view(shown)
    assert answer["answered"] == 7
    return answer


def thread(shown: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (each for each in shown["threads"] if each["name"] == name)
    return dict(found)


def line(thread: dict[str, Any]) -> str:
    """The marked line of code."""
    call = thread["calls"][thread["shown"]]
    return str(call["lines"][call["line"] - call["first"]]).strip()


# The three goals, on real code.


def test_lose_100() -> None:
    with lab.be_the_scheduler("lose 100") as shown:
        first = view(shown)
        assert dict(first["state"]) == {"balance in Redis": "$0 (0 cents)"}
        alice = thread(first, "alice")
        assert alice["does"] == "call store.read"
        assert line(alice) == "snapshot = self._read(account_id, request, generation)"
        shown.step("alice")
        alice = thread(view(shown), "alice")
        assert line(alice) == "return self._commit(snapshot, balance, request, fence, generation)"
        variables = dict(alice["calls"][alice["shown"]]["variables"])
        assert variables["balance"] == "10000"
        shown.step("bob")
        shown.step("alice")
        assert not shown.goal_reached
        shown.step("bob")
        assert shown.goal_reached
        assert dict(view(shown)["state"]) == {"balance in Redis": "$100 (10000 cents)"}
        assert [each["state"] for each in view(shown)["threads"]] == ["ended", "ended"]
        assert view(shown)["verdict"] == {
            "kind": "reached",
            "text": "Goal reached: $100 is lost, though it was acknowledged. "
            "It took 4 steps with 2 preemptions.",
        }
        assert shown.share == "lose-100: alice bob alice bob"


def test_an_order_that_loses_nothing_does_not_reach_the_goal() -> None:
    with lab.be_the_scheduler("lose 100") as shown:
        shown.replay("lose-100: bob*2 alice*2")
        assert not shown.goal_reached
        assert dict(view(shown)["state"]) == {"balance in Redis": "$200 (20000 cents)"}
        assert view(shown)["verdict"]["kind"] == "ended"


def test_make_both_wait_forever() -> None:
    with lab.be_the_scheduler("make both wait forever") as shown:
        for name in ["teller"] * 6 + ["auditor"] * 2:
            shown.step(name)
        between = view(shown)
        assert dict(between["locks"])["writers_mutex"] == "locked by teller"
        assert dict(between["state"])["the lock"] == "free", (
            "the write has ended, but its mutex is still locked"
        )
        shown.step("auditor")
        assert "for a notification of changed" in thread(view(shown), "auditor")["waits"]
        assert dict(view(shown)["locks"])["changed"] == "auditor waits"
        shown.step("teller")
        assert shown.goal_reached
        ended = view(shown)
        assert [each["state"] for each in ended["threads"]] == ["stuck", "stuck"]
        assert dict(ended["locks"])["changed"] == "auditor waits"
        assert line(thread(ended, "teller")) == "audit.join()"
        assert line(thread(ended, "auditor")) == "self._changed.wait()"
        told = ended["verdict"]["text"]
        assert "auditor waits at first_draft.py" in told
        assert "no thread is left to wake it" in told
        assert "teller waits for auditor to end." in told
        assert told.endswith("It took 10 steps with 1 preemption.")


def test_prove_you_cannot() -> None:
    with lab.be_the_scheduler("prove you cannot") as shown:
        assert view(shown)["bound"] == "no bound"
        for name in ("alice", "alice", "bob", "bob", "bob"):
            shown.step(name)
        between = view(shown)
        assert dict(between["state"])["the account's lock"] == "alice writes; bob waits to write"
        bob = thread(between, "bob")
        assert bob["state"] == "waiting"
        assert [move["does"] for move in bob["moves"]] == ["acquire gate: timed out"]
        answer = send(shown, "explore")
        assert shown.goal_reached
        assert "every schedule with no bound ends well (191 schedules" in answer["verdict"]["text"]
        assert answer["share"] == "prove-you-cannot: alice*2 bob*3", (
            "the run is where it was before"
        )
        assert answer["threads"] == between["threads"]


def test_a_deposit_that_times_out_is_not_lost_money() -> None:
    with lab.be_the_scheduler("prove you cannot") as shown:
        shown.replay("prove-you-cannot: alice*2 bob*3 bob/1 bob*2 alice*4")
        assert shown.outcome is not None
        assert shown.outcome.kind == "ended"
        assert dict(view(shown)["state"])["balance in Redis"] == "$100 (10000 cents)"
        assert not shown.goal_reached, "one schedule proves nothing"


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", PUZZLES)
def test_a_puzzle_can_be_solved_as_its_text_says(name: str) -> None:
    puzzle = PUZZLES[name]()
    try:
        result = lab.explore(puzzle.scenario, **puzzle.bound)
    finally:
        puzzle.close()
    if puzzle.is_proof:
        assert result.verdict == "ok"
    else:
        assert result.bug is not None
        assert result.bug.kind in puzzle.wanted


# Undo, share, replay.


def test_undo_and_reset() -> None:
    with lab.be_the_scheduler("lose 100") as shown:
        before = view(shown)
        shown.undo()
        assert view(shown)["threads"] == before["threads"], "nothing to undo at the start"
        shown.step("alice")
        once = view(shown)
        shown.step("alice")
        assert dict(view(shown)["state"]) == {"balance in Redis": "$100 (10000 cents)"}
        shown.undo()
        assert {**view(shown), "json": ""} == {**once, "json": ""}
        shown.reset()
        assert shown.share == "lose-100: "
        assert len(shown.schedule) == 0


def test_a_schedule_of_the_explorer_is_replayed() -> None:
    with lab.be_the_scheduler("make both wait forever") as shown:
        found = lab.explore(shown.puzzle.scenario)
        assert found.bug is not None
        shown.replay(found.bug.schedule)
        assert shown.goal_reached
        again = shown.share
        shown.reset()
        shown.replay(found.bug.schedule.to_json())
        assert shown.share == again


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "This is not a schedule. One looks like this: lose-100: alice bob*2 alice"),
        ("alice bob", "This is not a schedule"),
        ("prove-you-cannot: alice", "a schedule of “prove-you-cannot”, not of “lose-100”"),
        ("lose-100: alice*3", "Step 3 of this schedule is not possible: alice cannot step now"),
        ("lose-100: alice/1", "alice/1 cannot step now; alice, bob can."),
        ("lose-100: zoe", "zoe cannot step now; alice, bob can."),
        ("lose-100: alice*b", "“alice*b” is not a step"),
        ("lose-100: alice*99999", "at most 10,000 steps"),
        ("{}", "This is not a schedule"),
        ('{"bankkit schedule": 1', "This is not a schedule"),
    ],
)
def test_a_text_that_is_no_schedule_changes_nothing(text: str, why: str) -> None:
    with lab.be_the_scheduler("lose 100") as shown:
        shown.step("bob")
        with pytest.raises(ValueError, match=r"schedule|step") as error:
            shown.replay(text)
        assert why in str(error.value)
        assert shown.share == "lose-100: bob"
        answer = send(shown, "replay", text=text)
        assert why in answer["message"]
        assert answer["share"] == "lose-100: bob"
        assert send(shown, "step", thread="alice", option=0)["message"] == "", (
            "the stepper still works"
        )


def test_names_survive_being_shared() -> None:
    turns = [("thread 1", 0), ("thread 1", 0), ("a*b/c:%", 3), ("zoë", 0)]
    text = share_text.write("My scenario!", turns)
    assert text.isascii()
    assert share_text.read("My scenario!", f"  {text}\n") == turns


# The learner's own scenarios.


def deposits(threading: Any) -> None:
    account = threading.shared(balance=0)

    def deposit() -> None:
        seen = account.balance
        account.balance = seen + 100

    threads = [threading.Thread(target=deposit) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert account.balance == 200, f"the balance is {account.balance}"


def test_an_own_scenario() -> None:
    with lab.be_the_scheduler(deposits, goal="Lose a deposit") as shown:
        assert dict(view(shown)["state"]) == {"account": "shared(balance=0)"}
        assert "main" not in [each["name"] for each in view(shown)["threads"]]
        for name in ("deposit", "deposit-2", "deposit"):
            shown.step(name)
        assert dict(view(shown)["state"]) == {"account": "shared(balance=100)"}
        late = thread(view(shown), "deposit-2")
        assert dict(late["calls"][0]["variables"])["seen"] == "0"
        shown.step("deposit-2")
        main = thread(view(shown), "main")
        assert main["does"] == "read account.balance", "now the main thread has a step of its own"
        shown.step("main")
        shown.step("main")
        assert shown.goal_reached
        assert "the balance is 100" in view(shown)["verdict"]["text"]
        main = thread(view(shown), "main")
        assert (main["state"], main["does"]) == ("failed", "raised AssertionError")
        assert line(main).startswith("assert account.balance == 200")
        assert shown.share == "deposits: deposit deposit-2 deposit deposit-2 main*2"


def test_look_says_what_is_shown() -> None:
    with lab.be_the_scheduler(deposits, look=lambda: {"the weather": "fine"}) as shown:
        assert view(shown)["state"] == [["the weather", "fine"]]


def test_the_explorer_answers_prove() -> None:
    right = reader_and_writer(ReadWriteLock)
    with lab.be_the_scheduler(right, prove=True, preemptions=None) as shown:
        assert view(shown)["isProof"]
        assert shown.explore().verdict == "ok"
        assert shown.goal_reached
    wrong = reader_and_writer(FirstDraftLock)
    with lab.be_the_scheduler(wrong, prove=True) as shown:
        assert view(shown)["bound"] == "at most 2 preemptions"
        answer = send(shown, "explore")
        assert not shown.goal_reached
        assert answer["verdict"]["kind"] == "broken"
        assert "reader waits at first_draft.py" in answer["verdict"]["text"]
        assert shown.schedule.preemptions == 1, "the stepper shows the bug"
        assert "If step 8 (reader: check whether" in answer["verdict"]["text"]
        deciding = [number for number, each in enumerate(answer["steps"], 1) if each["decides"]]
        assert deciding == [8, 10]
        shown.undo()
        before = view(shown)
        assert before["verdict"]["text"] == "", "only of the whole schedule"
        assert not any(each["decides"] for each in before["steps"])


# The stepper reports errors and continues.


def test_a_thread_that_waits_for_real_is_named() -> None:
    import threading as real

    never = real.Event()

    def stuck(threading: Any) -> None:
        lock = threading.Lock()

        def sleeper() -> None:
            lock.acquire()
            never.wait()

        threading.Thread(target=sleeper).start()

    with lab.be_the_scheduler(stuck) as shown:
        answer = send(shown, "step", thread="sleeper", option=0)
        assert answer["message"].startswith("Thread sleeper at ")
        assert "It is in a real wait" in answer["message"]
        assert thread(answer, "sleeper")["does"] == "acquire lock", "the step was not done"
        with pytest.raises(lab.Stuck):
            shown.step("sleeper")
        assert send(shown, "reset")["message"] == ""


def test_a_scenario_that_depends_on_chance_is_reported() -> None:
    runs: list[int] = []

    def chancy(threading: Any) -> None:
        runs.append(1)
        lock = threading.Lock()

        def thread() -> None:
            for _ in range(len(runs) % 2 + 1):
                lock.acquire()
                lock.release()

        threading.Thread(target=thread).start()

    with lab.be_the_scheduler(chancy) as shown:
        for _ in range(4):
            shown.step("thread")
        answer = send(shown, "undo")
        assert "is not possible" in answer["message"]
        assert answer["threads"], "the run stops before the impossible step"


def test_a_scenario_that_fails_at_once_is_shown() -> None:
    def broken(threading: Any) -> None:
        threading.Sempahore(1)

    with lab.be_the_scheduler(broken) as shown:
        assert "Sempahore" in view(shown)["verdict"]["text"]


def test_a_look_that_fails_is_shown() -> None:
    def look() -> dict[str, str]:
        raise KeyError("no such thing")

    with lab.be_the_scheduler(deposits, look=look) as shown:
        assert view(shown)["state"] == [["look() fails", "KeyError: 'no such thing'"]]
        shown.step("deposit")


def test_a_value_that_contains_itself_is_shown() -> None:
    circle: list[Any] = [1]
    circle.append({"circle": circle})
    assert safe_repr(circle) == "[1, {'circle': …}]"
    pair = [2]
    assert safe_repr([pair, pair]) == "[[2], [2]]"


@pytest.mark.parametrize(
    "content", [{}, {"do": "fly"}, {"do": "step"}, {"do": "step", "thread": "zoe", "option": 0}]
)
def test_a_strange_message_does_no_harm(content: dict[str, Any]) -> None:
    with lab.be_the_scheduler(deposits) as shown:
        before = view(shown)
        shown._on_message(shown.widget, content, [])
        assert view(shown)["threads"] == before["threads"]


def test_there_is_no_such_puzzle() -> None:
    with pytest.raises(ValueError, match='"lose 100", "make both wait forever"'):
        lab.be_the_scheduler("lose 200")


def test_a_step_that_is_not_possible_names_those_that_are() -> None:
    with (
        lab.be_the_scheduler(deposits) as shown,
        pytest.raises(ValueError, match="zoe cannot step now; deposit, deposit-2 can"),
    ):
        shown.step("zoe")


def test_messages_may_come_on_another_thread() -> None:
    """Newer kernels deliver them so, but a thread cannot switch to another thread's greenlets."""
    import asyncio
    from threading import Thread, get_ident

    async def cell() -> None:
        shown = lab.be_the_scheduler(deposits)
        ran_on: list[int] = []
        shown.widget.observe(lambda _: ran_on.append(get_ident()), "view")
        message = {"do": "step", "thread": "deposit", "option": 0, "number": 7}
        other = Thread(target=shown._on_message, args=(shown.widget, message, []))
        other.start()
        other.join()
        assert ran_on == [], "the message waits for the end of the cell"
        await asyncio.sleep(0)
        assert ran_on == [get_ident()]
        assert shown.share == "deposits: deposit"

    asyncio.run(cell())


# Nothing is left behind.


def is_there(path: str) -> bool:
    return Path(path).exists()


def test_a_new_one_closes_the_old_one() -> None:
    old = lab.be_the_scheduler("lose 100")
    assert old.widget.view["closed"] == ""
    store = old.puzzle.look.__self__._store  # type: ignore[union-attr]
    socket = store.client.connection_pool.connection_kwargs["path"]
    assert is_there(socket)
    other = lab.be_the_scheduler(deposits)
    new = lab.be_the_scheduler("lose 100")
    assert not is_there(socket), "its Redis was stopped"
    assert "A newer stepper" in old.widget.view["closed"]
    assert old.widget.view["threads"], "the last view stays visible"
    assert "A newer stepper" in send(old, "step", thread="alice", option=0)["closed"]
    with pytest.raises(RuntimeError, match="A newer stepper"):
        old.step("alice")
    assert other.widget.view["closed"] == "", "another puzzle stays open"
    new.step("alice")


def test_closing_the_widget_closes_the_stepper() -> None:
    shown = lab.be_the_scheduler("lose 100")
    assert shown.widget.view["threads"]
    store = shown.puzzle.look.__self__._store  # type: ignore[union-attr]
    socket = store.client.connection_pool.connection_kwargs["path"]
    shown.widget.close()
    assert not is_there(socket)
    assert shown.puzzle.name not in stepper._open
    shown.close()


def test_no_key_is_left_in_the_users_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = PrivateRedis()
    try:
        with connect(redis.url) as client:
            client.set("theirs", "kept")
            monkeypatch.setenv("BANKKIT_REDIS_URL", redis.url)
            with lab.be_the_scheduler("lose 100") as shown:
                shown.step("alice")
                assert client.dbsize() == 2
            assert client.keys() == ["theirs"]
    finally:
        redis.close()


def test_no_thread_of_the_run_is_left() -> None:
    from greenlet import greenlet

    def alive() -> int:
        gc.collect()
        return sum(isinstance(each, greenlet) and bool(each) for each in gc.get_objects())

    gc.collect()
    gc.freeze()  # so that `alive` sees the objects of this test only
    try:
        shown = lab.be_the_scheduler("make both wait forever")
        shown.step("teller")
        shown.undo()
        assert alive() > 0
        shown.close()
        assert alive() == 0
    finally:
        gc.unfreeze()


def test_a_process_ends_with_a_stepper_open() -> None:
    code = """
from bankkit import lab
shown = lab.be_the_scheduler("lose 100")
shown.step("alice")
store = shown.puzzle.look.__self__._store
print(store.client.connection_pool.connection_kwargs["path"])
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    deadline = time.monotonic() + 10
    while is_there(ran.stdout.strip()):
        assert time.monotonic() < deadline, "its Redis still runs"
        time.sleep(0.01)


# Without a kernel.


@pytest.mark.parametrize("name", PUZZLES)
def test_without_a_kernel_the_goal_and_the_code_are_shown(name: str) -> None:
    shown = lab.be_the_scheduler(name)
    bundle = shown._repr_mimebundle_()
    assert bundle["text/plain"] == repr(shown)
    assert bundle["text/plain"].startswith(f"You are the scheduler. Goal: {shown.puzzle.goal}.")
    assert "it needs a kernel" in bundle["text/html"]
    for each in shown.puzzle.code:
        assert f"def {each.__name__}(" in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert str(ROOT) not in bundle["text/html"]
    shown.step(shown.schedule.threads[1])
    again = shown._repr_mimebundle_()
    assert again["text/html"] == bundle["text/html"], "the steps change nothing here"
