"""Predictions and exercises of notebooks/09_find_the_bug.ipynb."""

import linecache
import re
import textwrap
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from bankkit.explorer.exploration import explore
from bankkit.explorer.running.laboratory import Scenario, Stuck
from bankkit.explorer.running.replay_run import Run
from bankkit.explorer.schedules.schedule import Move, Outcome, Schedule
from bankkit.lab.course.exercises import Exercise, Prediction, Wrong
from bankkit.locks import FirstDraftLock

TITLE = "Find the bug that no test finds"

PREDICTIONS = (
    Prediction(
        id="09.stress",
        question="In each of 2,000 rounds, one thread writes and one reads on a fresh lock, as "
        "fast as they can. If one of the two waits forever, that round hangs. How many rounds "
        "will hang?",
        options={
            "none": "None.",
            "a few": "A few, up to 20.",
            "many": "More than 20: over 1 in 100.",
            "all": "All of them.",
        },
        expects="none",
        why="No round hangs, and none hangs in 20,000 rounds. If you trust this test, you put the "
        "lock into a bank, and one night an account is locked forever.\n\n"
        "The bug is there all the same. A test that relies on chance shows what is likely, not "
        "what is possible.",
    ),
    Prediction(
        id="09.doomed",
        question="The table has ten rows. Before one of them, the reader could still get in if the "
        "writer hurried; after that row, nothing can help the reader. Which row decides it?",
        options={
            "row 5": "Row 5: the writer notifies, but nobody waits yet.",
            "row 7": "Row 7: the reader gets between two steps of the writer.",
            "row 8": "Row 8: the reader looks, and sees the mutex locked.",
            "row 9": "Row 9: the reader begins to wait.",
        },
        expects="row 8",
        why="After row 7 the reader can still get in: if the writer releases the mutex now, the "
        "reader looks, finds it free and enters. Once the reader has looked, it acts on what it "
        "saw, and that is about to become untrue.\n\n"
        "This is check-then-act: the check is row 8, the act is row 9. The mutex can change in "
        "between, because the writer releases it outside the lock under which the reader looks.",
    ),
    Prediction(
        id="09.how_many",
        question="With one write and one read, the steps of this lock have 23 different "
        "schedules. In how many of them does the reader wait forever?",
        options={
            "0": "0: the stress test has shown that.",
            "1": "1: it needs very bad luck.",
            "8": "8: that is one in three.",
            "22": "22: nearly all.",
        },
        expects="8",
        why="A third of all schedules hang, and 2,000 rounds have not shown one. The bad schedules "
        "are not rare. But a real computer nearly always runs the same few schedules.\n\n"
        "If you try every schedule once, you find the bug at once.",
    ),
    Prediction(
        id="09.no_preemption",
        question="Back to `first-draft`, the broken lock. This time the explorer may not "
        "interrupt a thread that could go on: `preemptions=0`. What does it say?",
        options={
            "ok": "ok: every such schedule ends well.",
            "bug": "bug: the lock is broken, and the explorer finds that with any bound.",
            "unknown": "unknown: it may not try every schedule.",
        },
        expects="ok",
        why="Every schedule within the bound ends well. The one that hangs needs one "
        "preemption, in row 7, and the bound did not allow it.\n\n"
        "So never say only ok. Say: ok with no bound, or ok with at most two preemptions. In "
        "practice two find most bugs, and each further one costs a lot of time.",
    ),
    Prediction(
        id="09.counter",
        question="Two threads add 1 to a counter, without any lock at all. The explorer runs every "
        "schedule, with no bound. What does it say?",
        options={
            "ok": "ok: they count to 2 under every schedule.",
            "bug": "bug: under one schedule they count to 1.",
            "unknown": "unknown: it sees nothing that they have in common.",
        },
        expects="unknown",
        why="There was only one schedule. The explorer switches threads where they use something "
        "of `threading`, and these two never do: each runs to its end without a switch. The "
        "explorer notices that, and does not call it ok.\n\n"
        "You must name data that is shared without a lock: use `threading.shared(...)`, or "
        "`threading.track(...)` for an object of your own.",
    ),
    Prediction(
        id="09.scenario",
        question="Back to `first-draft`, now inside the bank. There are three scenarios: two "
        "deposits, two looks at the balance, and a deposit with a look. In which of them can the "
        "explorer find the lost wakeup?",
        options={
            "deposit+deposit, look+look, deposit+look": "In all three: the lock is broken.",
            "deposit+deposit, deposit+look": "In the two with a deposit: deposits write.",
            "deposit+look": "Only in the one with a deposit and a look.",
            "": "In none: two preemptions are not enough inside the bank.",
        },
        expects="deposit+look",
        why="The bug needs a reader that goes to sleep and a writer that notifies too early. Two "
        "deposits are two writers, two looks are two readers: the explorer says ok for both, "
        "although the lock is still broken.\n\n"
        "An ok is about one scenario. Think first about which calls can run at the same time.",
    ),
)

FIXED_FILE = "WritersFirst"
"""The file name under which the fixed class of the second exercise is compiled."""

INSIDE = "two were inside at the same time"


def together(threading: Any, **targets: Callable[[], object]) -> None:
    """Run each target in a thread of its name, all at the same time, and wait for their ends."""
    threads = [threading.Thread(target=target, name=name) for name, target in targets.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def hold(
    scenario: Scenario, who: str, advice: dict[str, str], patch: Iterable[ModuleType] = ()
) -> None:
    """Explore the scenario with at most two preemptions, and raise `Wrong` at the first bug.

    `advice` has a sentence for each kind of bug: "waits" (a thread waits forever), "inside" (two
    were inside), "raises" (an exception) or "asserts" (another assertion). `patch` is passed to
    `explore`.
    """
    try:
        result = explore(scenario, preemptions=2, seconds=6.0, steps=1000, patch=patch)
    except Stuck:
        raise Wrong(
            "A thread runs in an endless loop, or waits on something that does not come from the "
            "`threading` that your code was given, so no other thread can run. Wait on the "
            "condition: `self._changed.wait()`."
        ) from None
    if result.doubts:
        raise Wrong(f"{who}: the explorer cannot tell, because {result.doubts[0]}.")
    if result.verdict == "unknown":
        raise Wrong(
            f"{who}: the explorer did not finish within 6 seconds. Look for a loop in which "
            "threads keep waking each other, and keep the code as simple as it was."
        )
    if result.bug is not None:
        how, what = _ending(result.bug)
        raise Wrong(
            f"{who}: {what}. {advice.get(how, '')} The schedule below shows it.", _table(result.bug)
        )


def _ending(bug: Outcome) -> tuple[str, str]:
    """The kind of bug (a key of `advice`), and a phrase that describes it."""
    if bug.kind == "exception":
        assert bug.error is not None
        name = type(bug.error).__name__
        return "raises", f"a thread gets {name}: {str(bug.error)[:120]}"
    if bug.kind == "failed assertion":
        text = bug.text.partition("AssertionError")[2].strip(": ")
        return ("inside" if text == INSIDE else "asserts"), text or "an assertion fails"
    names = [f"`{name}`" for name in bug.waiting if name != "main"] or ["the main thread"]
    verb = "waits" if len(names) == 1 else "wait"
    return "waits", f"{' and '.join(names)} {verb} forever"


def _table(bug: Outcome) -> str:
    """The schedule as a table, with line numbers of the learner's code, and what decides."""
    moves = tuple(
        replace(move, does=f"{move.does}{_comma(_place(move.at))}", file="")
        for move in bug.schedule.moves
    )
    waiting = {
        name: re.sub(r" at (\S+:\d+)", lambda found: _in(_place(found[1])), what).replace(
            "waits to wait", "waits"
        )
        for name, what in bug.waiting.items()
    }
    schedule = Schedule(moves, bug.schedule.threads)
    table = replace(bug, schedule=schedule, waiting=waiting).table(92)
    if bug.why is None:
        return table
    why = re.sub(r" \((\S+:\d+)\)", lambda found: _comma(_place(found[1])), bug.why.text)
    return f"{table}\n\n{textwrap.fill(why, 92)}"


def _place(at: str) -> str:
    """`line 7` for the learner's code, `first_draft:46` for a lock, empty for this module."""
    name, _, line = at.rpartition(":")
    if name in ("", Path(__file__).name):
        return ""
    if name in ("first_draft.py", FIXED_FILE):
        return f"{name.removesuffix('.py')}:{line}"
    return f"line\N{NO-BREAK SPACE}{line}"


def _comma(place: str) -> str:
    return place and f", {place}"


def _in(place: str) -> str:
    return place and f" {'in' if place.startswith('line') else 'at'} {place}"


# --- release_write -------------------------------------------------------------------------------


def check_release_write(release_write: Any) -> None:
    """Explore three scenarios of `FirstDraftLock` with this method; raise `Wrong` at a bug."""
    fixed = type("Fixed", (FirstDraftLock,), {"__slots__": (), "release_write": release_write})

    def one_of_each(threading: Any) -> None:
        lock = fixed(threading=threading)
        page = threading.shared(written=False)

        def read() -> None:
            lock.acquire_read()
            assert not page.written, INSIDE
            lock.release_read()

        def write() -> None:
            lock.acquire_write()
            page.written = True
            page.written = False
            lock.release_write()

        together(threading, write=write, read=read)
        writer = lock.statistics().writer
        assert writer is None, "all have left, and `statistics()` still names a writer"

    def two_readers_meet(threading: Any) -> None:
        lock = fixed(threading=threading)
        both_read = threading.Barrier(2)
        lock.acquire_write()

        def read() -> None:
            lock.acquire_read()
            both_read.wait()
            lock.release_read()

        together(threading, write=lock.release_write, **{"read-1": read, "read-2": read})

    def two_writers_ask(threading: Any) -> None:
        lock = fixed(threading=threading)

        def write() -> None:
            lock.acquire_write()
            named = lock.statistics().writer
            assert named == threading.get_ident(), (
                "a thread writes, and `statistics()` says that nobody does"
                if named is None
                else "a thread writes, and `statistics()` names another"
            )
            lock.release_write()

        together(threading, **{"write-1": write, "write-2": write})

    inside = "The mutex was released too early."
    raises = "Notify only while you hold the condition's lock: inside the `with` block."
    hold(
        one_of_each,
        "One writer and one reader",
        {
            "waits": "A thread that waits on `changed` looks at the writers' mutex under the lock "
            "of `changed`. So release the mutex before that lock, and notify.",
            "inside": inside,
            "raises": raises,
            "asserts": "Keep the line that records that nobody writes.",
        },
    )
    hold(
        two_readers_meet,
        "One writer, and two readers that want to read together",
        {"waits": "`notify` wakes one of them, and the other goes on sleeping. Notify all.",
         "inside": inside, "raises": raises},
    )  # fmt: skip
    hold(
        two_writers_ask,
        "One reader and one writer are fine. Now two writers, and each asks who writes",
        {
            "asserts": "The mutex was free before `self._writer` was cleared, so clearing it came "
            "too late and overwrote the next writer's name. There is a place for your line where "
            "both happen as one step.",
            "waits": "No thread releases the mutex for the next writer.",
            "inside": inside,
            "raises": raises,
        },
    )


RELEASE_WRITE = """\
def release_write(self):
    with self._changed:
        self._writer = None
        self._changed.notify_all()
    self._writers_mutex.release()
"""

# --- Mutex ---------------------------------------------------------------------------------------


def check_mutex(mutex: Any) -> None:
    """Explore two and then three threads that enter the lock; raise `Wrong` at a bug."""

    def visits(names: str) -> Scenario:
        def scenario(threading: Any) -> None:
            lock = mutex(threading)
            page = threading.shared(by="")

            def visit(name: str) -> None:
                lock.acquire()
                page.by = name
                assert page.by == name, INSIDE
                lock.release()

            together(threading, **{name: partial(visit, name) for name in names})

        return scenario

    waits = (
        "The lock is free, but a thread still waits. A thread that leaves must record that the "
        "lock is free, and wake a waiting thread."
    )
    hold(
        visits("AB"),
        "Two threads, A and B",
        {
            "inside": "The second thread found the lock free. A thread that enters must record "
            "that the lock is taken before another thread can look.",
            "waits": waits,
        },
    )
    hold(
        visits("ABC"),
        "Three threads, A, B and C",
        {
            "inside": "A woken thread does not hold the lock yet: a third thread may be faster. So "
            "a thread that wakes up must look again.",
            "waits": waits,
        },
    )


MUTEX = """\
class Mutex:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._taken = False

    def acquire(self):
        with self._changed:
            if self._taken:
                self._changed.wait()
            self._taken = True

    def release(self):
        with self._changed:
            self._taken = False
            self._changed.notify()
"""

# --- WritersFirst --------------------------------------------------------------------------------


def check_writers_first(writers_first: Any) -> None:
    """Explore small crowds; raise `Wrong` at a bug, or if a reader overtakes a waiting writer."""

    def crowd(readers: int, writers: int) -> Scenario:
        def scenario(threading: Any) -> None:
            lock = writers_first(threading)
            page = threading.shared(written=False)

            def read() -> None:
                lock.acquire_read()
                assert not page.written, INSIDE
                lock.release_read()

            def write() -> None:
                lock.acquire_write()
                assert not page.written, INSIDE
                page.written = True
                page.written = False
                lock.release_write()

            targets = {f"write-{n + 1}": write for n in range(writers)}
            together(threading, **{f"read-{n + 1}": read for n in range(readers)}, **targets)

        return scenario

    waits = (
        "`notify` wakes one thread, and you cannot choose which. Here it is a reader, which looks, "
        "sees that a writer waits, and goes back to sleep. The writer was never woken."
    )
    inside = "A writer must be alone: check who is inside before you enter."
    for readers, writers, who in (
        (2, 1, "Two readers and one writer"),
        (1, 2, "One reader and two writers"),
    ):
        hold(crowd(readers, writers), who, {"waits": waits, "inside": inside})
    if not _goes_behind_a_writer(writers_first):
        raise Wrong(
            "No thread waits forever now, but writers no longer go first: while one thread reads "
            "and a writer waits, another reader comes and enters. Keep `or self._waiting`, and "
            "change how the lock wakes threads."
        )


def _goes_behind_a_writer(
    writers_first: Any, acquire: str = "acquire_write", patch: Iterable[ModuleType] = ()
) -> bool:
    """Whether a reader waits if it comes while one reads and a writer waits in `acquire`."""
    seconds = (1.0,) if acquire == "acquire_in_time" else ()

    def scenario(threading: Any) -> None:
        lock = writers_first(threading)
        end_of_read = threading.Event()

        def read() -> None:
            lock.acquire_read()
            end_of_read.wait()
            lock.release_read()

        def write() -> None:
            getattr(lock, acquire)(*seconds)
            lock.release_write()

        def come_later() -> None:
            lock.acquire_read()
            lock.release_read()

        def end() -> None:
            end_of_read.set()

        together(threading, first=read, writer=write, late=come_later, end=end)

    with closing(Run(scenario, patch=patch)) as run:
        for name in ("first", "writer", "late"):
            while moves := [move for move in run.enabled if _is_by(move, name)]:
                run.step(moves[0])
        return {view.name: view.state for view in run.threads}["late"] == "blocked"


def _is_by(move: Move, name: str) -> bool:
    """Whether the move is of this thread and is not a timeout."""
    return move.thread == name and not move.does.endswith("timed out")


WRITERS_FIRST = """\
class WritersFirst:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._waiting = 0  # waiting writers

    def acquire_read(self):
        with self._changed:
            while self._writing or self._waiting:
                self._changed.wait()
            self._readers += 1

    def release_read(self):
        with self._changed:
            self._readers -= 1
            self._changed.notify()

    def acquire_write(self):
        with self._changed:
            self._waiting += 1
            while self._writing or self._readers:
                self._changed.wait()
            self._waiting -= 1
            self._writing = True

    def release_write(self):
        with self._changed:
            self._writing = False
            self._changed.notify()
"""
WRITERS_FIRST_FIXED = WRITERS_FIRST.replace("notify()", "notify_all()")

# --- acquire_in_time -----------------------------------------------------------------------------


def check_acquire_in_time(acquire_in_time: Any) -> None:
    """Explore four scenarios with timeouts; raise `Wrong` at a bug, or if a reader overtakes."""
    patient = type("Patient", (_fixed_writers_first(),), {"acquire_in_time": acquire_in_time})
    notebook = _notebook_of(acquire_in_time)

    def scenario(threading: Any) -> None:
        lock = patient(threading)
        page = threading.shared(written=False)

        def read() -> None:
            lock.acquire_read()
            assert not page.written, INSIDE
            lock.release_read()

        def write() -> None:
            had = lock.acquire_in_time(1.0)
            assert had is True or had is False, "`acquire_in_time` must return `True` or `False`"
            if had:
                assert not page.written, INSIDE
                page.written = True
                page.written = False
                lock.release_write()

        together(threading, **{"read-1": read, "write": write, "read-2": read})

    def reader_that_stays(threading: Any) -> None:
        lock = patient(threading)
        writer_answered = threading.Event()

        def read() -> None:
            lock.acquire_read()
            writer_answered.wait()
            lock.release_read()

        def write() -> None:
            had = lock.acquire_in_time(1.0)
            writer_answered.set()
            if had:
                lock.release_write()

        together(threading, read=read, write=write)

    def writer_that_stays(threading: Any) -> None:
        lock = patient(threading)
        page = threading.shared(written=False)
        other_answered = threading.Event()

        def write() -> None:
            lock.acquire_write()
            page.written = True
            other_answered.wait()
            page.written = False
            lock.release_write()

        def hurry() -> None:
            if lock.acquire_in_time(1.0):
                assert not page.written, INSIDE
                lock.release_write()
            other_answered.set()

        def read() -> None:
            lock.acquire_read()
            assert not page.written, INSIDE
            lock.release_read()

        together(threading, write=write, hurry=hurry, read=read)

    def two_readers_meet(threading: Any) -> None:
        lock = patient(threading)
        both_read = threading.Barrier(2)

        def read() -> None:
            lock.acquire_read()
            both_read.wait()
            lock.release_read()

        def write() -> None:
            if lock.acquire_in_time(1.0):
                lock.release_write()

        together(threading, **{"read-1": read, "write": write, "read-2": read})

    hold(
        reader_that_stays,
        "A reader that stays until the writer has given up",
        {"waits": "The writer waits longer than its `timeout`."},
        patch=notebook,
    )
    hold(
        scenario,
        "Two readers, and a writer that may give up",
        {
            "waits": "The writer has given up, and is still counted as waiting or writing. A "
            "writer that gives up must undo all its changes.",
            "inside": "Return `True` only if you found the lock free, and set `self._writing` only "
            "then.",
        },
        patch=notebook,
    )
    hold(
        writer_that_stays,
        "A writer that stays until another one has given up, and a reader",
        {
            "waits": "A writer that gives up must undo all its changes.",
            "inside": "Return `True` only if you found the lock free, and set `self._writing` only "
            "then.",
        },
        patch=notebook,
    )
    hold(
        two_readers_meet,
        "Two readers that want to read together, and a writer that gives up",
        {
            "waits": "The second reader waited because of that writer, and went on sleeping when "
            "the writer gave up. A writer that gives up must notify the threads that it blocked."
        },
        patch=notebook,
    )
    if not _goes_behind_a_writer(patient, "acquire_in_time", notebook):
        raise Wrong(
            "No thread waits forever now, but this writer no longer goes first: while one thread "
            "reads and it waits, another reader comes and enters. Count it in `self._waiting` "
            "as long as it waits."
        )


class _Names:
    """The globals of a function, as attributes like those of a module."""

    def __init__(self, function: Any) -> None:
        self.__dict__ = getattr(function, "__globals__", {})


def _notebook_of(function: Any) -> list[ModuleType]:
    """The notebook's globals, so that the explorer can replace `time` in the learner's code."""
    return [cast(ModuleType, _Names(function))]


def _fixed_writers_first() -> type[Any]:
    """The fixed class, with its source in `linecache`, where the explorer looks up lock names."""
    lines = WRITERS_FIRST_FIXED.splitlines(keepends=True)
    linecache.cache[FIXED_FILE] = len(WRITERS_FIRST_FIXED), None, lines, FIXED_FILE
    namespace: dict[str, Any] = {}
    exec(compile(WRITERS_FIRST_FIXED, FIXED_FILE, "exec"), namespace)
    fixed: type[Any] = namespace["WritersFirst"]
    return fixed


ACQUIRE_IN_TIME = """\
def acquire_in_time(self, timeout):
    with self._changed:
        self._waiting += 1
        if not self._changed.wait_for(lambda: not self._writing and not self._readers, timeout):
            return False
        self._waiting -= 1
        self._writing = True
        return True
"""


EXERCISES = (
    Exercise(
        id="09.release_write",
        title="One line moves",
        task="This is the lock's `release_write`. Move one line, so that no thread "
        "waits forever under any schedule.\n\n"
        "Everything else must still hold: a writer is alone, and `statistics()` names it.",
        stub=RELEASE_WRITE,
        hints=(
            "In row 8 of the schedule the reader looks at the writers' mutex. Which lock does it "
            "hold while it looks?",
            "If the mutex becomes free while the *writer* holds that lock, no reader can look at "
            "the wrong moment.",
            "Where can you put a line so that it comes after `self._writer = None`, and before the "
            "end of the `with` block?",
        ),
        answer="""\
def release_write(self):
    with self._changed:
        self._writer = None
        self._writers_mutex.release()
        self._changed.notify_all()
""",
        check=check_release_write,
        right="A reader looks and begins to wait under the lock of `changed`, as one step. Now "
        "the writer also releases the mutex and notifies as one step. No thread can come in "
        "between, in any schedule of one writer with one or two readers, or of two writers, with "
        "at most two preemptions.",
    ),
    Exercise(
        id="09.Mutex",
        title="First broken lock: one at a time",
        task="`Mutex` should let in one thread at a time. Under some schedule two are inside. Find "
        "it, and fix the class.",
        stub=MUTEX,
        hints=(
            "Raise the bound: `lab.explore(three_visits, preemptions=2).bug`. Who is inside, and "
            "what did it see last?",
            "Look at the thread that was notified. Which thread entered between the notification "
            "and the wakeup?",
            "`if` looks once. Which word looks again?",
        ),
        answer=MUTEX.replace("if self._taken", "while self._taken"),
        check=check_mutex,
        right="Overtaking a notified thread is called barging, and the conditions of every "
        "language allow it. So always put a `wait` inside a `while`.",
    ),
    Exercise(
        id="09.WritersFirst",
        title="Second broken lock: writers first",
        task="`WritersFirst` lets many read together or one write alone, and a waiting writer "
        "goes before every reader that comes after it. Under some schedule a thread waits "
        "forever. Find it, and fix the class. Writers must still go first.",
        stub=WRITERS_FIRST,
        hints=(
            "One reader and one writer are not enough. Try `crowd(2, 1)` and `crowd(1, 2)`.",
            "In the schedule, find the last `notify`. Which thread did it wake, and what did that "
            "thread do then?",
            "The threads here wait for different things. Then it is not enough to wake one.",
        ),
        answer=WRITERS_FIRST_FIXED,
        check=check_writers_first,
        right="Use `notify` only if all threads wait for the same thing and one of them is enough. "
        "In all other cases use `notify_all`. It wakes a few threads for nothing, but no thread "
        "sleeps forever.",
    ),
    Exercise(
        id="09.acquire_in_time",
        title="Third broken lock: one that gives up",
        task="`acquire_in_time(self, timeout)` is a method for the fixed `WritersFirst`. "
        "It waits at most `timeout` seconds, and returns whether it may write now. Under some "
        "schedule a thread waits forever. Find it, and fix the method.",
        stub=ACQUIRE_IN_TIME,
        hints=(
            "Allow the timeout to fire: leave out `timeouts=0`.",
            "Look at `return False`. What has this writer changed before it, and which threads "
            "look at that?",
            "A reader may be asleep only because this writer was waiting. No other thread "
            "will wake it.",
        ),
        answer="""\
def acquire_in_time(self, timeout):
    with self._changed:
        self._waiting += 1
        free = self._changed.wait_for(
            lambda: not self._writing and not self._readers, timeout
        )
        self._waiting -= 1
        if free:
            self._writing = True
        else:
            self._changed.notify_all()
        return free
""",
        check=check_acquire_in_time,
        right="A writer that gives up undoes its changes and notifies the threads that it blocked. "
        "The bank's own lock does both, in `_withdraw`. A test by hand would hardly let the "
        "timeout fire at that moment; for the explorer, whether it fires is one more choice.",
    ),
)
