"""An exception that is sent to a thread arrives in the code that it is meant for, or nowhere."""

import os
import sys
import threading
import time
from contextlib import suppress
from functools import partial

import pytest

from bankkit.explorer.engine.endable import Endable
from tests.support.paths import ROOT
from tests.support.processes import python
from tests.support.workers import PATIENCE, workers

RUNS = 1000


class Ended(BaseException):
    """The exception that is sent."""


def count(to: int) -> int:
    """Run a loop `to` times, so that an exception can arrive where the loop jumps back."""
    done = 0
    for _ in range(to):
        done += 1
    return done


def test_it_never_arrives_after_the_code() -> None:
    """One thread sends all the time, while another runs short code 1,000 times."""
    endable = Endable(Ended)
    over = False

    def run_again_and_again() -> None:
        for number in range(RUNS):
            with suppress(Ended):
                endable.run(partial(count, number % 5000))
            count(20)  # a late exception would arrive here

    def send() -> None:
        while not over:
            endable.end()

    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        with workers(2) as (first, second):
            sending = first.ask(send)
            try:
                second.do(run_again_and_again)
            finally:
                over = True
            sending.result(PATIENCE)
    finally:
        sys.setswitchinterval(usual)


def test_it_ends_code_that_goes_on_forever() -> None:
    """The code is an infinite loop that calls nothing."""
    endable = Endable(Ended)
    begun = threading.Event()

    def work() -> None:
        begun.set()
        while True:
            pass

    def run() -> str:
        try:
            endable.run(work)
        except Ended:
            return "ended"
        return "finished"

    with workers(1) as (worker,):
        running = worker.ask(run)
        assert begun.wait(PATIENCE)
        endable.end()
        assert running.result(PATIENCE) == "ended"


def test_code_that_ends_meanwhile_waits_for_the_sender() -> None:
    """`run` does not return while `when` is called, and the late exception never arrives."""
    endable = Endable(Ended)
    begun, go_on = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        go_on.wait()
        return "finished"

    def let_it_finish() -> bool:
        go_on.set()
        time.sleep(0.1)
        assert not running.done()
        return True

    with workers(1) as (worker,):
        running = worker.ask(endable.run, work)
        assert begun.wait(PATIENCE)
        endable.end(let_it_finish)
        assert running.result(PATIENCE) == "finished"
        assert worker.do(count, 1000) == 1000


def test_nothing_is_sent_to_code_that_does_not_run() -> None:
    """`when` is not even called, neither before the code runs nor after."""
    endable = Endable(Ended)
    asked: list[str] = []

    def when() -> bool:
        asked.append("asked")
        return True

    endable.end(when)
    assert endable.run(partial(count, 3)) == 3
    endable.end(when)
    count(1000)
    assert not asked


SCRIPT = """
import sys, threading
from bankkit.explorer.engine.endable import Endable

class Ended(BaseException): pass

def work():
    {work}

def run():
    try:
        endable.run(work)
    except Ended:
        pass

endable, began, lock = Endable(Ended), threading.Event(), threading.Lock()
lock.acquire()
thread = threading.Thread(target=run)
thread.start()
began.wait()
endable.end()
{then}

def traced(): pass

sys.settrace(lambda *_: None)
traced()
sys.settrace(None)
lock.release()
thread.join()
print("over")
"""


@pytest.mark.parametrize(
    ("work", "then"),
    [("began.set(); lock.acquire(timeout=60)", "pass"), ("began.set()", "thread.join()")],
    ids=["blocks", "is over"],
)
def test_an_exception_that_does_not_arrive_does_not_block_traced_functions(
    work: str, then: str
) -> None:
    """In CPython 3.11 a traced function would never begin while the exception is pending."""
    code = SCRIPT.format(work=work, then=then)
    with python(code, os.environ | {"PYTHONPATH": str(ROOT)}) as script:
        assert script.line() == "over", script.errors()
