"""The questions of notebooks/08_the_read_write_lock.ipynb."""

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
        question="The second lock: readers count themselves, writers hold a mutex. ann and ben "
        "read. Now carl wants to write. What does carl do?",
        options={
            "waits": "He waits until both have left.",
            "writes": "He writes at once.",
            "never": "He waits, and nobody will ever wake him.",
        },
        expects="writes",
        why="The number of readers is there, and nobody looks at it. The mutex is free, so carl "
        "takes it and goes in.\n\n"
        "A count keeps nobody out. It has to be looked at by those whom it concerns.",
    ),
    Prediction(
        id="08.no_sign",
        question="The third lock: writers wait until nobody reads. Nobody does. Two clients "
        "deposit 100 dollars each into an empty account, at the same time. What is in it "
        "afterwards, if the schedule is as bad as can be?",
        options={
            "200 dollars": "200 dollars: a writer is alone, after all.",
            "100 dollars": "100 dollars: one deposit is lost.",
            "0 dollars": "Nothing: both are lost.",
        },
        expects="100 dollars",
        why="Each writer looked for readers and found none. Neither left a sign that somebody "
        "writes now, so both were in there, read 0, and wrote 100.\n\n"
        "One over the other: the lost update.",
    ),
    Prediction(
        id="08.if_or_while",
        question="The fourth lock has the sign, and who comes looks at it: `if self.writing: wait`."
        " ann writes, ben and carl wait to write. ann leaves, and wakes all. Who writes?",
        options={
            "one": "One of the two: the other sees his sign and waits on.",
            "ben and carl write at the same time": "Both.",
            "none": "Nobody: they have missed it.",
        },
        expects="ben and carl write at the same time",
        why="Both were woken, and both went on in the line after `wait`. When ben put up his sign, "
        "carl was already past the line that looks.\n\n"
        "To be woken means: something has changed. It does not mean: you may. Who wakes up must "
        "look again, so around a `wait` there stands a `while`, never an `if`.",
    ),
    Prediction(
        id="08.overtaken",
        question="Policy `readers`. One client reads. Now two others want to deposit, and wait. "
        "Then three more clients come to read. The readers make 60 calls together, without a gap. "
        "How many of the 60 reads get in before the first deposit does?",
        options={
            "1": "1: the deposit was second in line.",
            "4": "4: the readers that are there, then the deposit.",
            "60": "60: all of them.",
        },
        expects="60",
        why="Under this policy a reader goes in whenever nobody writes, and somebody always reads: "
        "before one has left, the next is in. The deposits wait as long as the rush lasts.\n\n"
        "No reader did anything wrong, and no writer is dead. It is called starvation.",
    ),
    Prediction(
        id="08.addition",
        question="A lock around one addition, and nothing but readers. Which lets more of them "
        "through in a second: the read–write lock or a plain mutex?",
        options={
            "read-write": "The read–write lock: all of them may be in there together.",
            "the same": "Both the same: an addition takes no time.",
            "mutex": "The mutex.",
        },
        expects="mutex",
        why="To share is worth something only when there is something to wait for. An addition is "
        "over long before another thread could come to share the lock.\n\n"
        "What is left is the price of the lock itself. A mutex flips one switch; a read–write lock "
        "takes a mutex, looks, counts, and gives the mutex back: twice for each read.",
    ),
)


# --- The lock in which the learner's part is tried -----------------------------------------------


def _guarded(name: str) -> property:
    """An attribute that notes when somebody looks at it or changes it without `changed`."""

    def get(self: "ReadWriteLock") -> Any:
        self._expect_guard(name)
        return vars(self)[f"_{name}"]

    def put(self: "ReadWriteLock", value: Any) -> None:
        self._expect_guard(name)
        vars(self)[f"_{name}"] = value

    return property(get, put)


class ReadWriteLock:
    """The lock of the exercises, whole and right. It prefers readers."""

    readers = _guarded("readers")
    writing = _guarded("writing")
    writers_waiting = _guarded("writers_waiting")

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._writers_waiting = 0
        self.unguarded = ""
        """What was looked at or changed first without `changed`."""

    def acquire_read(self) -> None:
        with self.changed:
            while self.writing:
                self.changed.wait()
            self.readers += 1

    def release_read(self) -> None:
        with self.changed:
            self.readers -= 1
            self.changed.notify_all()

    def acquire_write(self) -> None:
        with self.changed:
            self.writers_waiting += 1
            while self.readers > 0 or self.writing:
                self.changed.wait()
            self.writers_waiting -= 1
            self.writing = True

    def release_write(self) -> None:
        with self.changed:
            self.writing = False
            self.changed.notify_all()

    def nudge(self) -> None:
        """Wake everybody, although nothing has changed."""
        if self.changed.acquire(timeout=1):
            self.changed.notify_all()
            self.changed.release()

    def _expect_guard(self, name: str) -> None:
        try:
            self.changed.notify(0)  # wakes nobody, and is allowed to who holds it alone
        except RuntimeError:
            self.unguarded = self.unguarded or name


def _with(name: str, part: Callable[[Any], object]) -> Callable[[], ReadWriteLock]:
    """A maker of locks in which one method is the learner's."""

    def method(self: ReadWriteLock) -> None:
        part(self)

    return type("YourLock", (ReadWriteLock,), {name: method})


def _expect_guarded(lock: ReadWriteLock) -> None:
    if lock.unguarded:
        raise Wrong(
            f"You look at `self.{lock.unguarded}` or change it without `with self.changed:`. "
            "Between your line and the next one another thread may do the same: put them all "
            "inside of the block."
        )


# --- acquire_read --------------------------------------------------------------------------------


def check_acquire_read(acquire_read: Any) -> None:
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
                "writes, and she went in. An `if` looks once. Who wakes up must look again: "
                "`while`."
            )
        driver.tell("carl", "leaves")
        if driver.states()["carl"] == "cannot leave":
            raise Wrong(
                "carl wants to end his write and cannot: dora waits and holds `self.changed` all "
                "the while. `self.changed.wait()` gives it back until she is woken."
            )
        if waiting := driver.waiting():
            raise Wrong(
                f"carl has ended his write and woken everybody. Nobody writes any more, and "
                f"{listed(waiting)} still {'waits' if len(waiting) == 1 else 'wait'}."
            )


def _readers_come(lock: ReadWriteLock, driver: LockDriver, name: str) -> None:
    """ann and ben read together and leave, where no writer is near."""
    driver.tell("ann", "reads")
    _expect_guarded(lock)
    if driver.waiting():
        raise Wrong("Nobody writes, ann comes to read, and is not let in. Nobody will wake her.")
    if lock._readers != 1:
        raise Wrong(
            f"ann reads, and `self.readers` is {lock._readers!r}. {name} must count her, or a "
            "writer will not know that she is in there."
        )
    driver.tell("ben", "reads")
    if driver.waiting():
        raise Wrong(
            "ann reads, ben comes to read too, and has to wait. Readers do not disturb one "
            "another: do not wait because of `self.readers`."
        )
    if lock._readers != 2:
        raise Wrong(f"ann and ben read, and `self.readers` is {lock._readers!r}. Count up by one.")
    driver.tell("ann", "leaves")
    driver.tell("ben", "leaves")


# --- release_write -------------------------------------------------------------------------------


def check_release_write(release_write: Any) -> None:
    make_lock = _with("release_write", release_write)
    lock = make_lock()
    with LockDriver(lock) as driver:
        driver.tell("ann", "writes")
        driver.tell("ann", "leaves")
        _expect_guarded(lock)
        if driver.waiting():
            raise Wrong("ann wants to end her write, and never gets out of `release_write`.")
        if lock._writing:
            raise Wrong(
                "ann has ended her write, and `self.writing` is still true. Nobody will ever get "
                "in again."
            )
        if lock._readers:
            raise Wrong(
                f"Nobody reads, and after a write `self.readers` is {lock._readers!r}. The count "
                "of readers is none of a writer's business."
            )
        driver.tell("ann", "writes")
        for name in ("ben", "carl", "dora"):
            driver.tell(name, "reads")
        driver.tell("ann", "leaves")
        waiting = driver.waiting()
        if len(waiting) == 3:
            raise Wrong(
                "ann has ended her write, and ben, carl and dora still wait to read. They sleep in "
                "`self.changed.wait()`: nobody has told them that something has changed."
            )
        if waiting:
            raise Wrong(
                f"ann has ended her write, and {listed(waiting)} still "
                f"{'waits' if len(waiting) == 1 else 'wait'} to read, though nobody writes. "
                "`notify()` wakes one of those who wait, `notify_all()` wakes them all."
            )
    with LockDriver(make_lock()) as driver:
        driver.tell("ann", "writes")
        driver.tell("ben", "writes")
        driver.tell("ann", "leaves")
        if driver.waiting():
            raise Wrong("ann has ended her write, and ben, who wants to write, still waits.")
    _race(make_lock)


def _race(make_lock: Callable[[], object]) -> None:
    """Real clients, real gRPC, real Redis."""
    experiment = Race(
        make_lock, writers=3, readers=3, rounds=5, hold_ms=1, policy="fair", mode="free"
    )
    result = experiment.run()
    if result.problem or result.lost:
        raise Wrong(f"Three clients deposited and three read with your lock. {result.verdict}")


# --- polite_read ---------------------------------------------------------------------------------


def check_polite_read(polite_read: Any) -> None:
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
                "carl still waits to write. An `if` looks once. Who wakes up must look again: "
                "`while`."
            )
        driver.tell("ann", "leaves")
        _expect_apart(driver)
        if "carl" in driver.waiting():
            raise Wrong(
                "ann has left, and nobody moves any more: ben waits for carl, and carl for ben, "
                "who has counted himself as a reader before he was let in. Count up after the wait."
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
            "as well, and look at both again after each wake-up."
        )


EXERCISES = (
    Exercise(
        id="08.acquire_read",
        title="Let the readers in",
        task="Write `acquire_read(self)` for the lock: wait while somebody writes, then count "
        "yourself in `self.readers`. Readers do not wait for readers.\n\n"
        "The lock has `self.changed` (a Condition), `self.readers` (how many read) and "
        "`self.writing` (whether somebody writes). The other three methods are there, and right.",
        stub="def acquire_read(self):\n    pass  # your code\n",
        hints=(
            "It has the form of the fifth lock's `acquire_write`: `with self.changed:`, then wait "
            "as long as you must, then leave your sign.",
            "A reader waits while `self.writing`, and for nothing else. Its sign is one more in "
            "`self.readers`.",
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
        "woken too early looked again and waited on.",
    ),
    Exercise(
        id="08.release_write",
        title="Leave, and tell them",
        task="Write `release_write(self)` for the same lock: the write has ended, and all who wait "
        "must hear of it, whoever they are.",
        stub="def release_write(self):\n    pass  # your code\n",
        hints=(
            "Two things, both inside `with self.changed:`: take down the sign, and wake.",
            "The fifth lock woke one thread. If three readers wait, how many may come in?",
        ),
        answer="""\
def release_write(self):
    with self.changed:
        self.writing = False
        self.changed.notify_all()
""",
        check=check_release_write,
        right="Three readers came in together after a write, and a second writer after the first. "
        "Then your lock stood in a real bank: three clients deposited and three read, and no cent "
        "was lost.",
    ),
    Exercise(
        id="08.polite_read",
        title="Do not let the writers starve",
        task="Your lock prefers readers. Write `polite_read(self)`, an `acquire_read` for a lock "
        "that does not: who comes to read while somebody waits to write waits behind them.\n\n"
        "The lock keeps one number more, `self.writers_waiting`: how many wait to write now.",
        stub="def polite_read(self):\n    pass  # your code\n",
        hints=(
            "Take your `acquire_read`. There is a second reason to wait now.",
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
        right="ben, who came after carl, read after carl. This is the policy `writers`, with its "
        "price: now writers that come without a gap starve the readers. `fair` lets them take "
        "turns.",
    ),
)
