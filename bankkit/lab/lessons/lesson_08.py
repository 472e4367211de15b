"""Predictions and exercises of notebooks/08_the_read_write_lock.ipynb."""

import threading
from collections.abc import Callable
from typing import Any

from bankkit.lab.course.exercises import Exercise, Prediction, Wrong
from bankkit.lab.drawing.text import listed
from bankkit.lab.racing.lock_driver import LockDriver
from bankkit.lab.racing.race import Race

TITLE = "The read–write lock"

PREDICTIONS = (
    Prediction(
        id="08.counted",
        question="In the second lock, readers count themselves and writers hold a mutex. ann and "
        "ben read. Now carl wants to write. What does carl do?",
        options={
            "waits": "He waits until both have left.",
            "writes": "He writes at once.",
            "never": "He waits, and nobody will ever wake him.",
        },
        expects="writes",
        why="The lock counts its readers, but no writer looks at the count. The mutex is free, so "
        "carl takes it and goes in.\n\n"
        "A count keeps nobody out. The writer has to look at it, and wait.",
    ),
    Prediction(
        id="08.no_sign",
        question="In the third lock, writers wait until nobody reads. Nobody reads now. Two "
        "clients deposit 100 dollars each into an empty account, at the same time. What is the "
        "balance afterwards, if the schedule is as bad as possible?",
        options={
            "200 dollars": "200 dollars: a writer is alone, after all.",
            "100 dollars": "100 dollars: one deposit is lost.",
            "0 dollars": "Nothing: both are lost.",
        },
        expects="100 dollars",
        why="Each writer looked for readers and found none. Neither recorded that it was writing, "
        "so both were inside, read 0, and wrote 100.\n\n"
        "One overwrote the other: this is the lost update.",
    ),
    Prediction(
        id="08.if_or_while",
        question="The fourth lock has a flag, and each thread looks at it: `if self.writing: wait`."
        " ann writes, ben and carl wait to write. ann leaves, and wakes all. Who writes?",
        options={
            "one": "One of the two: the other sees the flag and waits again.",
            "ben and carl write at the same time": "Both.",
            "none": "Nobody: both missed the wakeup.",
        },
        expects="ben and carl write at the same time",
        why="Both were woken, and both went on with the line after `wait`. When ben set the flag, "
        "carl was already past the line that looks at it.\n\n"
        "A wakeup means that something has changed. It does not mean that you may go in. A thread "
        "that wakes up must look again, so put every `wait` inside a `while`, never an `if`.",
    ),
    Prediction(
        id="08.overtaken",
        question="The policy is `readers`. One client reads. Two others want to deposit, and wait. "
        "Then three more clients come to read. The readers make 60 calls in all, without a gap. "
        "How many of the 60 reads enter before the first deposit?",
        options={
            "1": "1: the deposit was second in line.",
            "4": "4: one read by each reader, then the deposit.",
            "60": "60: all of them.",
        },
        expects="60",
        why="Under this policy a reader enters whenever nobody writes, and somebody always reads: "
        "before one has left, the next one is inside. The deposits wait until the rush is over.\n\n"
        "No reader did anything wrong, and no writer is dead. This is called starvation.",
    ),
    Prediction(
        id="08.addition",
        question="A lock protects one addition, and all threads only read. Which lock lets more "
        "readers through in a second: the read–write lock or a plain mutex?",
        options={
            "read-write": "The read–write lock: all readers may be inside together.",
            "the same": "Both are equal: an addition takes no time.",
            "mutex": "The mutex.",
        },
        expects="mutex",
        why="Sharing helps only if the lock is held for a while. An addition is over long before "
        "another thread could come to share the lock.\n\n"
        "Then only the cost of the lock itself counts. A mutex changes one bit; a read–write lock "
        "takes a mutex, looks, counts, and releases the mutex: twice for each read.",
    ),
)


# --- The lock that runs the learner's method -----------------------------------------------------


def _guarded(name: str) -> property:
    """An attribute that records an access by a thread that does not hold `changed`."""

    def get(self: "ReadWriteLock") -> Any:
        self._expect_guard(name)
        return vars(self)[f"_{name}"]

    def put(self: "ReadWriteLock", value: Any) -> None:
        self._expect_guard(name)
        vars(self)[f"_{name}"] = value

    return property(get, put)


class ReadWriteLock:
    """The complete, right lock of the exercises. It prefers readers."""

    readers = _guarded("readers")
    writing = _guarded("writing")
    writers_waiting = _guarded("writers_waiting")

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._writers_waiting = 0
        self.unguarded = ""
        """The first attribute that was read or changed without `changed`, or an empty text."""

    def acquire_read(self) -> None:
        """Wait while a writer is inside; then enter as one more reader."""
        with self.changed:
            while self.writing:
                self.changed.wait()
            self.readers += 1

    def release_read(self) -> None:
        """End a read and wake every waiting thread."""
        with self.changed:
            self.readers -= 1
            self.changed.notify_all()

    def acquire_write(self) -> None:
        """Wait until nobody is inside; then enter as the writer."""
        with self.changed:
            self.writers_waiting += 1
            while self.readers > 0 or self.writing:
                self.changed.wait()
            self.writers_waiting -= 1
            self.writing = True

    def release_write(self) -> None:
        """End the write and wake every waiting thread."""
        with self.changed:
            self.writing = False
            self.changed.notify_all()

    def nudge(self) -> None:
        """Wake every waiting thread although nothing has changed; give up after 1 s."""
        if self.changed.acquire(timeout=1):
            self.changed.notify_all()
            self.changed.release()

    def _expect_guard(self, name: str) -> None:
        try:
            self.changed.notify(0)  # wakes nobody; raises if this thread does not hold it
        except RuntimeError:
            self.unguarded = self.unguarded or name


def _with(name: str, part: Callable[[Any], object]) -> Callable[[], ReadWriteLock]:
    """A class of locks in which the method of this name is the learner's."""

    def method(self: ReadWriteLock) -> None:
        part(self)

    return type("YourLock", (ReadWriteLock,), {name: method})


def _expect_guarded(lock: ReadWriteLock) -> None:
    if lock.unguarded:
        raise Wrong(
            f"You read or change `self.{lock.unguarded}` without `with self.changed:`. "
            "Another thread may do the same between two of your lines: put them all "
            "inside the block."
        )


# --- acquire_read --------------------------------------------------------------------------------


def check_acquire_read(acquire_read: Any) -> None:
    """Run a script of readers and one writer; raise `Wrong` at the first fault."""
    lock = _with("acquire_read", acquire_read)()
    with LockDriver(lock) as driver:
        _readers_come(lock, driver, "`acquire_read`")
        driver.tell("carl", "writes")
        driver.tell("dora", "reads")
        if driver.trespass():
            raise Wrong(
                "carl writes, dora comes to read, and is let in. Wait while `self.writing` is true."
            )
        driver.tell("erin", "reads")
        lock.nudge()
        driver.settle()
        if driver.trespass():
            raise Wrong(
                "dora waited while carl wrote, and was woken for some other reason: carl still "
                "writes, and she went in. An `if` looks once. A thread that wakes up must look "
                "again: use `while`."
            )
        driver.tell("carl", "leaves")
        if driver.states()["carl"] == "cannot leave":
            raise Wrong(
                "carl wants to end his write and cannot: dora waits and holds `self.changed` all "
                "the time. `self.changed.wait()` releases it until she is woken."
            )
        if waiting := driver.waiting():
            raise Wrong(
                f"carl has ended his write and woken everybody. Nobody writes any more, and "
                f"{listed(waiting)} still {'waits' if len(waiting) == 1 else 'wait'}."
            )


def _readers_come(lock: ReadWriteLock, driver: LockDriver, name: str) -> None:
    """Let ann and ben read together and leave while nobody wants to write."""
    driver.tell("ann", "reads")
    _expect_guarded(lock)
    if driver.waiting():
        raise Wrong("Nobody writes, but ann comes to read and has to wait. Nobody will wake her.")
    if lock._readers != 1:
        raise Wrong(
            f"ann reads, and `self.readers` is {lock._readers!r}. {name} must count her, or a "
            "writer will not know that she is inside."
        )
    driver.tell("ben", "reads")
    if driver.waiting():
        raise Wrong(
            "ann reads, ben comes to read too, and has to wait. Readers do not disturb each "
            "other: do not wait because of `self.readers`."
        )
    if lock._readers != 2:
        raise Wrong(f"ann and ben read, and `self.readers` is {lock._readers!r}. Count up by one.")
    driver.tell("ann", "leaves")
    driver.tell("ben", "leaves")


# --- release_write -------------------------------------------------------------------------------


def check_release_write(release_write: Any) -> None:
    """Run scripts of writers and readers, then a real race; raise `Wrong` at the first fault."""
    make_lock = _with("release_write", release_write)
    lock = make_lock()
    with LockDriver(lock) as driver:
        driver.tell("ann", "writes")
        driver.tell("ann", "leaves")
        _expect_guarded(lock)
        if driver.waiting():
            raise Wrong(
                "ann wants to end her write, but her call of `release_write` never returns."
            )
        if lock._writing:
            raise Wrong(
                "ann has ended her write, and `self.writing` is still true. Nobody can ever enter "
                "again."
            )
        if lock._readers:
            raise Wrong(
                f"Nobody reads, and after a write `self.readers` is {lock._readers!r}. A writer "
                "must not change the count of readers."
            )
        driver.tell("ann", "writes")
        for name in ("ben", "carl", "dora"):
            driver.tell(name, "reads")
        driver.tell("ann", "leaves")
        waiting = driver.waiting()
        if len(waiting) == 3:
            raise Wrong(
                "ann has ended her write, and ben, carl and dora still wait to read. They sleep in "
                "`self.changed.wait()`, and nobody has woken them."
            )
        if waiting:
            raise Wrong(
                f"ann has ended her write, and {listed(waiting)} still "
                f"{'waits' if len(waiting) == 1 else 'wait'} to read, though nobody writes. "
                "`notify()` wakes one waiting thread, `notify_all()` wakes them all."
            )
    with LockDriver(make_lock()) as driver:
        driver.tell("ann", "writes")
        driver.tell("ben", "writes")
        driver.tell("ann", "leaves")
        if driver.waiting():
            raise Wrong("ann has ended her write, and ben, who wants to write, still waits.")
    _race(make_lock)


def _race(make_lock: Callable[[], object]) -> None:
    """Race the lock with real clients, gRPC and Redis; raise `Wrong` if money is lost."""
    experiment = Race(
        make_lock, writers=3, readers=3, rounds=5, hold_ms=1, policy="fair", mode="free"
    )
    result = experiment.run()
    if result.problem or result.lost:
        raise Wrong(f"Three clients deposited and three read under your lock. {result.verdict}")


# --- polite_read ---------------------------------------------------------------------------------


def check_polite_read(polite_read: Any) -> None:
    """Raise `Wrong` if a reader overtakes a waiting writer, or is never let in."""
    lock = _with("acquire_read", polite_read)()
    with LockDriver(lock) as driver:
        _readers_come(lock, driver, "`polite_read`")
        driver.tell("ann", "reads")
        driver.tell("carl", "writes")
        driver.tell("ben", "reads")
        if "ben" not in driver.waiting():
            raise Wrong(
                "ann reads, carl waits to write, and ben, who came after carl, is let in to read. "
                "So carl starves as long as readers keep coming. Wait while anybody waits to write."
            )
        lock.nudge()
        driver.settle()
        if "ben" not in driver.waiting():
            raise Wrong(
                "ben waited behind carl, was woken for some other reason, and went in, although "
                "carl still waits to write. An `if` looks once. A thread that wakes up must look "
                "again: use `while`."
            )
        driver.tell("ann", "leaves")
        _expect_apart(driver)
        if "carl" in driver.waiting():
            raise Wrong(
                "ann has left, and nobody moves any more: ben waits for carl, and carl waits for "
                "ben, who counted himself as a reader before he waited. Count up after the wait."
            )
        lock.nudge()
        driver.settle()
        _expect_apart(driver)
        driver.tell("carl", "leaves")
        if "ben" in driver.waiting():
            raise Wrong("carl has ended his write, nobody else wants to, and ben still waits.")


def _expect_apart(driver: LockDriver) -> None:
    if driver.trespass():
        raise Wrong(
            "carl writes, ben wakes up, and reads at the same time. Wait because of `self.writing` "
            "as well, and look at both again after each wakeup."
        )


EXERCISES = (
    Exercise(
        id="08.acquire_read",
        title="Let the readers in",
        task="Write `acquire_read(self)` for the lock: wait while somebody writes, then count "
        "yourself in `self.readers`. Readers do not wait for readers.\n\n"
        "The lock has `self.changed` (a Condition), `self.readers` (how many read) and "
        "`self.writing` (whether somebody writes). It has the other three methods, and they are "
        "right.",
        stub="def acquire_read(self):\n    pass  # your code\n",
        hints=(
            "It has the form of the fifth lock's `acquire_write`: `with self.changed:`, then wait "
            "as long as you must, then record that you are inside.",
            "A reader waits while `self.writing` is true, and for nothing else. It records that "
            "it is inside by adding one to `self.readers`.",
        ),
        answer="""\
def acquire_read(self):
    with self.changed:
        while self.writing:
            self.changed.wait()
        self.readers += 1
""",
        check=check_acquire_read,
        right="ann and ben read together, nobody read while carl wrote, and a reader that was "
        "woken too early looked again and went on waiting.",
    ),
    Exercise(
        id="08.release_write",
        title="Leave, and tell them",
        task="Write `release_write(self)` for the same lock: the write has ended, and every "
        "waiting thread must be woken, readers and writers.",
        stub="def release_write(self):\n    pass  # your code\n",
        hints=(
            "Do two things, both inside `with self.changed:`: clear the flag, and wake.",
            "The fifth lock woke one thread. If three readers wait, how many may enter?",
        ),
        answer="""\
def release_write(self):
    with self.changed:
        self.writing = False
        self.changed.notify_all()
""",
        check=check_release_write,
        right="Three readers entered together after a write, and a second writer after the first. "
        "Then a real bank used your lock: three clients deposited and three read, and no cent "
        "was lost.",
    ),
    Exercise(
        id="08.polite_read",
        title="Do not let the writers starve",
        task="Your lock prefers readers. Write `polite_read(self)`, an `acquire_read` for a lock "
        "that does not: a reader that comes while a writer waits must wait behind that writer.\n\n"
        "The lock keeps one more number, `self.writers_waiting`: how many writers wait now.",
        stub="def polite_read(self):\n    pass  # your code\n",
        hints=(
            "Start from your `acquire_read`. Now there is a second reason to wait.",
            "`while self.writing or self.writers_waiting:`. And when do you count yourself?",
        ),
        answer="""\
def polite_read(self):
    with self.changed:
        while self.writing or self.writers_waiting:
            self.changed.wait()
        self.readers += 1
""",
        check=check_polite_read,
        right="ben came after carl, and read after carl. This is the policy `writers`, and it has "
        "a cost: writers that come without a gap now starve the readers. `fair` lets them take "
        "turns.",
    ),
)
