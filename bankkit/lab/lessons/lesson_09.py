"""The questions of notebooks/09_find_the_bug.ipynb."""

import linecache
import re
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from bankkit.explorer.exploration import explore
from bankkit.explorer.laboratory import Scenario, Stuck
from bankkit.explorer.replay_run import Run
from bankkit.explorer.schedule import Move, Outcome, Schedule
from bankkit.lab.course.exercises import Exercise, Prediction, Wrong
from bankkit.locks import FirstDraftLock

TITLE = "Find the bug that no test finds"

PREDICTIONS = (
    Prediction(
        id="09.stress",
        question="2,000 times a fresh lock, one thread that writes and one that reads, as fast as "
        "they can. One of the two may wait for ever, and then that round hangs. How many rounds "
        "will hang?",
        options={
            "none": "None.",
            "a few": "A few, up to 20.",
            "many": "More than 20, so over 1 in 100.",
            "all": "All of them.",
        },
        expects="none",
        why="Nothing, and so it goes on: 20,000 rounds, nothing. Whoever tests like that says that "
        "the lock is good, puts it into a bank, and some night an account is shut for ever.\n\n"
        "The bug is there all the same. A test by chance shows what is likely, not what is "
        "possible.",
    ),
    Prediction(
        id="09.doomed",
        question="The table has ten rows. At which row is it decided? Until then the reader might "
        "still get in, if the writer hurried; after it nothing can help it any more. Which row?",
        options={
            "row 5": "Row 5: the writer notifies, and nobody waits yet.",
            "row 7": "Row 7: the reader gets between two steps of the writer.",
            "row 8": "Row 8: the reader looks, and sees the mutex locked.",
            "row 9": "Row 9: the reader begins to wait.",
        },
        expects="row 8",
        why="After row 7 there is still hope: if the writer releases the mutex now, the reader "
        "looks, finds it free and goes in. Once it has looked it acts on what it saw, and that is "
        "about to become untrue.\n\n"
        "You know this. It is check-then-act: the look in row 8, the act in row 9, and the world "
        "is free to change in between, because the writer changes it outside of the lock under "
        "which the reader looks.",
    ),
    Prediction(
        id="09.how_many",
        question="One write and one read: at the steps of this lock there are 23 different "
        "schedules. In how many of them does the reader wait for ever?",
        options={
            "0": "0: the test has shown that.",
            "1": "1: it needs very bad luck.",
            "8": "8: that is one in three.",
            "22": "22: nearly all.",
        },
        expects="8",
        why="A third of all schedules hang, and 2,000 rounds have not shown one. The bug is not "
        "rare. A real computer just hardly ever leaves the few schedules that it likes.\n\n"
        "Who counts schedules instead of rounds finds it at once.",
    ),
    Prediction(
        id="09.no_preemption",
        question="`first-draft` once more, the broken one. This time the explorer may never take "
        "the turn from a thread that could go on: `preemptions=0`. What does it say?",
        options={
            "ok": "ok: every such schedule ends well.",
            "bug": "bug: the lock is broken, whatever the explorer may do.",
            "unknown": "unknown: it was not allowed to try everything.",
        },
        expects="ok",
        why="Every schedule within the bound ends well. The one that hangs needs one "
        "preemption, in row 7, and you had forbidden it.\n\n"
        "So never say only ok. Say: ok with no bound, or ok with at most two preemptions. Two find "
        "most bugs, experience says; each one more costs a lot of time.",
    ),
    Prediction(
        id="09.counter",
        question="Two threads add 1 to a counter, without any lock at all. The explorer runs every "
        "schedule, with no bound. What does it say?",
        options={
            "ok": "ok: they count to 2 under every schedule.",
            "bug": "bug: under one they count to 1.",
            "unknown": "unknown: without a lock it cannot tell.",
        },
        expects="ok",
        why="There was one schedule. The explorer switches threads where they use something of "
        "`threading`, and these two never do: each runs to its end in one go.\n\n"
        "What is shared without a lock has to be named: `threading.shared(...)`, or "
        "`threading.track(...)` for an object of your own.",
    ),
    Prediction(
        id="09.scenario",
        question="Back to `first-draft`, now inside the bank. Three scenarios: two deposits, two "
        "looks at the balance, a deposit and a look. In which of them can the explorer find the "
        "lost wakeup?",
        options={
            "deposit+deposit, look+look, deposit+look": "In each: the lock is broken.",
            "deposit+deposit, deposit+look": "In the two with a deposit: deposits write.",
            "deposit+look": "Only in the one with a deposit and a look.",
            "": "In none: two preemptions are not enough inside the bank.",
        },
        expects="deposit+look",
        why="It takes a reader that goes to sleep and a writer that wakes too early. Two deposits "
        "are two writers, two looks are two readers: both are ok, under a lock that is as broken "
        "as before.\n\n"
        "An ok is about one scenario. Think first of who could meet whom.",
    ),
)

MENDED_FILE = "WritersFirst"
"""The file that the mended class of the second exercise claims to stand in."""

INSIDE = "two were inside at the same time"


def together(threading: Any, **targets: Callable[[], object]) -> None:
    """Run these at the same time, to their ends, in threads of these names."""
    threads = [threading.Thread(target=target, name=name) for name, target in targets.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def hold(
    scenario: Scenario, who: str, advice: dict[str, str], patch: Iterable[ModuleType] = ()
) -> None:
    """Have each schedule of two preemptions end well, or raise `Wrong` with one that does not.

    `advice` is for how it ends: "waits", "inside", "raises" or, with a message of its own,
    "asserts". `patch` is for the explorer.
    """
    try:
        result = explore(scenario, preemptions=2, seconds=6.0, steps=1000, patch=patch)
    except Stuck:
        raise Wrong(
            "A thread of yours goes round in a loop, or waits at something that it did not get "
            "from the `threading` it was given, so no other thread ever gets a turn. Wait on the "
            "condition: `self._changed.wait()`."
        ) from None
    if result.verdict == "unknown":
        raise Wrong(
            f"{who}: it goes on and on. The explorer gave up after 6 seconds. Look for a loop in "
            "which threads keep waking each other, and keep it as simple as it was."
        )
    if result.bug is not None:
        how, what = _ending(result.bug)
        raise Wrong(
            f"{who}: {what}. {advice.get(how, '')} The schedule below does it.", _table(result.bug)
        )


def _ending(bug: Outcome) -> tuple[str, str]:
    """How it ended, as a word and in words."""
    if bug.kind == "exception":
        assert bug.error is not None
        name = type(bug.error).__name__
        return "raises", f"a thread gets {name}: {str(bug.error)[:120]}"
    if bug.kind == "failed assertion":
        text = bug.text.partition("AssertionError")[2].strip(": ")
        return ("inside" if text == INSIDE else "asserts"), text or "an assertion fails"
    names = [f"`{name}`" for name in bug.waiting if name != "main"] or ["the main thread"]
    verb = "waits" if len(names) == 1 else "wait"
    return "waits", f"{' and '.join(names)} {verb} for ever"


def _table(bug: Outcome) -> str:
    """The schedule, with the lines of the learner's own code where it is at these."""
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
    return replace(bug, schedule=schedule, waiting=waiting).table(92)


def _place(at: str) -> str:
    """`line 7` of the learner's code, `first_draft:46`, nothing for a place in this module."""
    name, _, line = at.rpartition(":")
    if name in ("", Path(__file__).name):
        return ""
    if name in ("first_draft.py", MENDED_FILE):
        return f"{name.removesuffix('.py')}:{line}"
    return f"line\N{NO-BREAK SPACE}{line}"


def _comma(place: str) -> str:
    return place and f", {place}"


def _in(place: str) -> str:
    return place and f" {'in' if place.startswith('line') else 'at'} {place}"


# --- release_write -------------------------------------------------------------------------------


def check_release_write(release_write: Any) -> None:
    mended = type("Mended", (FirstDraftLock,), {"__slots__": (), "release_write": release_write})

    def one_of_each(threading: Any) -> None:
        lock = mended(threading=threading)
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
        assert writer is None, "all have gone, and `statistics()` still names a writer"

    def two_who_meet(threading: Any) -> None:
        lock = mended(threading=threading)
        both_read = threading.Barrier(2)
        lock.acquire_write()

        def read() -> None:
            lock.acquire_read()
            both_read.wait()
            lock.release_read()

        together(threading, write=lock.release_write, **{"read-1": read, "read-2": read})

    def two_who_ask(threading: Any) -> None:
        lock = mended(threading=threading)

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

    inside = "The mutex went to the next one too early."
    raises = "What belongs to the condition needs its lock: keep it inside the `with` block."
    hold(
        one_of_each,
        "One writer and one reader",
        {
            "waits": "Whoever waits on `changed` looks at the writers' mutex under the lock of "
            "`changed`. So the mutex must be free before that lock is, and somebody has to notify.",
            "inside": inside,
            "raises": raises,
            "asserts": "Keep the line that says that nobody writes.",
        },
    )
    hold(
        two_who_meet,
        "One writer, and two readers who want to read together",
        {"waits": "`notify` wakes one of them, and the other sleeps on. Notify all.",
         "inside": inside, "raises": raises},
    )  # fmt: skip
    hold(
        two_who_ask,
        "One reader and one writer are fine. Now two writers, and each asks who writes",
        {
            "asserts": "The mutex was free before it was noted that nobody writes, so that note "
            "came too late and wiped out the next writer's. There is a place for your line where "
            "both are settled together.",
            "waits": "Nobody frees the mutex for the next one.",
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
        "The lock is free, or nobody says so any more. Who leaves must say that it is free, and "
        "wake one who waits."
    )
    hold(
        visits("AB"),
        "Two threads, A and B",
        {
            "inside": "The second one found the lock free. Who goes in must write down that it is "
            "taken, before anybody else can look.",
            "waits": waits,
        },
    )
    hold(
        visits("ABC"),
        "Three threads, A, B and C",
        {
            "inside": "Who is woken has not got the lock yet: a third one may be faster. So the "
            "one who wakes up must look again.",
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
        "`notify` wakes one, and you cannot say whom. Here it is a reader, which looks, sees that "
        "a writer waits, and goes back to sleep. The writer was never told."
    )
    inside = "Who writes must be alone: look at who is inside before you go in."
    for readers, writers, who in (
        (2, 1, "Two readers and one writer"),
        (1, 2, "One reader and two writers"),
    ):
        hold(crowd(readers, writers), who, {"waits": waits, "inside": inside})
    if not _goes_behind_a_writer(writers_first):
        raise Wrong(
            "Nobody waits for ever now, but writers do not go first any more: while one reads and "
            "a writer waits, another reader comes and walks in. Keep `or self._waiting`, and mend "
            "what wakes."
        )


def _goes_behind_a_writer(
    writers_first: Any, acquire: str = "acquire_write", patch: Iterable[ModuleType] = ()
) -> bool:
    """Whether a reader waits that comes while one reads and a writer waits, in this method."""
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
    """Whether it is this thread's, and no end of its patience."""
    return move.thread == name and not move.does.endswith("timed out")


WRITERS_FIRST = """\
class WritersFirst:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._waiting = 0  # writers that wait

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
WRITERS_FIRST_MENDED = WRITERS_FIRST.replace("notify()", "notify_all()")

# --- acquire_in_time -----------------------------------------------------------------------------


def check_acquire_in_time(acquire_in_time: Any) -> None:
    patient = type("Patient", (_mended_writers_first(),), {"acquire_in_time": acquire_in_time})
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

    def reader_who_stays(threading: Any) -> None:
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

    def writer_who_stays(threading: Any) -> None:
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

    def two_who_meet(threading: Any) -> None:
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
        reader_who_stays,
        "A reader who stays until the writer has given up",
        {"waits": "The writer waits longer than its `timeout`."},
        patch=notebook,
    )
    hold(
        scenario,
        "Two readers, and a writer that may give up",
        {
            "waits": "The writer has given up and gone, and is still counted as one who waits or "
            "writes. Who gives up must leave as if they had never come.",
            "inside": "Say `True` only if you found the lock free, and write it down only then.",
        },
        patch=notebook,
    )
    hold(
        writer_who_stays,
        "A writer who stays until another one has given up, and a reader",
        {
            "waits": "Who gives up must leave as if they had never come.",
            "inside": "Say `True` only if you found the lock free, and write it down only then.",
        },
        patch=notebook,
    )
    hold(
        two_who_meet,
        "Two readers who want to read together, and a writer that gives up",
        {
            "waits": "The second one waited because of that writer, and slept on when the writer "
            "left: nobody told it. Who leaves and was in the way must say so."
        },
        patch=notebook,
    )
    if not _goes_behind_a_writer(patient, "acquire_in_time", notebook):
        raise Wrong(
            "Nobody waits for ever now, but this writer does not go first any more: while one "
            "reads and it waits, another reader comes and walks in. Count it in `self._waiting` "
            "as long as it waits."
        )


class _Names:
    """The names that a function knows, as attributes, as a module has them."""

    def __init__(self, function: Any) -> None:
        self.__dict__ = getattr(function, "__globals__", {})


def _notebook_of(function: Any) -> list[ModuleType]:
    """Where a learner who keeps a deadline has `time` from, which must be the explorer's then."""
    return [cast(ModuleType, _Names(function))]


def _mended_writers_first() -> type[Any]:
    """With its source where the explorer looks for what a lock is called."""
    lines = WRITERS_FIRST_MENDED.splitlines(keepends=True)
    linecache.cache[MENDED_FILE] = len(WRITERS_FIRST_MENDED), None, lines, MENDED_FILE
    namespace: dict[str, Any] = {}
    exec(compile(WRITERS_FIRST_MENDED, MENDED_FILE, "exec"), namespace)
    mended: type[Any] = namespace["WritersFirst"]
    return mended


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
        task="This is the lock's `release_write`. Move one line, so that under no schedule "
        "anybody waits for ever.\n\n"
        "All else stays as good as it was: whoever writes is alone, and `statistics()` says who.",
        stub=RELEASE_WRITE,
        hints=(
            "In row 8 of the schedule the reader looks at the writers' mutex. Which lock does it "
            "hold while it looks?",
            "If the mutex becomes free while the *writer* holds that lock, no reader can look in "
            "the wrong moment.",
            "Where could a line stand so that it comes after `self._writer = None`, and before the "
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
        "the writer too changes what it looks at and tells of it as one step. Nobody can "
        "come in between any more, in any schedule: of one writer with one or two readers, and of "
        "two writers, with at most two preemptions.",
    ),
    Exercise(
        id="09.Mutex",
        title="First broken lock: one at a time",
        task="`Mutex` should let in one thread at a time. Under some schedule two are inside. Find "
        "it, and mend the class.",
        stub=MUTEX,
        hints=(
            "Raise the bound: `lab.explore(three_visits, preemptions=2).bug`. Who is inside, and "
            "what did it see last?",
            "Look at the thread that was notified. Between the notification and its waking up, "
            "who came in?",
            "`if` looks once. Which word looks again?",
        ),
        answer=MUTEX.replace("if self._taken", "while self._taken"),
        check=check_mutex,
        right="To overtake one who has been notified is called barging, and every condition of "
        "every language allows it. So a wait stands in a `while`, always.",
    ),
    Exercise(
        id="09.WritersFirst",
        title="Second broken lock: writers first",
        task="`WritersFirst` lets many read together or one write alone, and a writer that waits "
        "goes before every reader that comes after it. Under some schedule somebody waits for "
        "ever. Find it, and mend the class. Writers still go first.",
        stub=WRITERS_FIRST,
        hints=(
            "One reader and one writer are not enough of a crowd. Try `crowd(2, 1)` and "
            "`crowd(1, 2)`.",
            "In the schedule, find the last `notify`. Who was woken, and what did it do then?",
            "Those who wait here wait for different things. Then it is not enough to wake one.",
        ),
        answer=WRITERS_FIRST_MENDED,
        check=check_writers_first,
        right="`notify` is for those who all wait for the same thing, and of whom one is enough. "
        "In all other cases: `notify_all`. It costs a few needless looks, and nobody sleeps "
        "for ever.",
    ),
    Exercise(
        id="09.acquire_in_time",
        title="Third broken lock: one that gives up",
        task="`acquire_in_time(self, timeout)` is a method for `WritersFirst` (mended). It "
        "waits `timeout` seconds at most, and returns whether it may write now. Under some "
        "schedule somebody waits for ever. Find it, and mend the method.",
        stub=ACQUIRE_IN_TIME,
        hints=(
            "Allow the timeout to fire: leave out `timeouts=0`.",
            "Read the way out, `return False`. What has this writer changed until then, and who "
            "looks at that?",
            "A reader may be asleep only because this writer was in the way. Nobody else "
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
        right="Whoever gives up leaves without a trace, and tells those who waited because of "
        "them. The bank's own lock does both, in `_withdraw`. No test by hand would have waited at "
        "just that moment; the explorer's clock does not tick, it is one more choice.",
    ),
)
