"""The questions of notebooks/07_the_lost_update.ipynb."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from bankkit.lab.course.exercises import Exercise, Prediction, Wrong

TITLE = "The lost update"

PREDICTIONS = (
    Prediction(
        id="07.two_deposits",
        question="A bank without a lock, an empty account. Two clients deposit $100 each at the "
        "same moment: both deposits have read the balance before either of them writes. Both are "
        "answered OK. How much is in the account?",
        options={
            "$200": "$200: both were answered OK.",
            "$100": "$100.",
            "$0": "$0: they collide, and neither of them counts.",
            "$300": "$300: one of them is counted twice.",
        },
        expects="$100",
        why="Each of the two read $0, added its $100, and wrote $100. The second one wrote the "
        "same number over the first.\n\n"
        "Nobody lied on purpose. When the bank said OK, the money was in the account. It did not "
        "stay there.",
    ),
    Prediction(
        id="07.culprit",
        question="Look at the picture again. At one of these moments $100 disappear. At which?",
        options={
            "client 1 reads": "When client 1 reads: it sees $0.",
            "client 1 commits": "When client 1 commits: client 2 has read before, and is not told.",
            "client 2 reads": "When client 2 reads: it sees $0 as well.",
            "client 2 commits": "When client 2 commits: it writes $100 over $100.",
        },
        expects="client 2 commits",
        why="Until then all was well. Client 2's read was right when it happened: there were $0. "
        "Client 1's commit was right too: $100 in the account, as acknowledged. But it made what "
        "client 2 knew stale.\n\n"
        "So it takes a pair to lose an update: a read that has become stale, and the commit made "
        "of it. They belong to the same client. The money that is gone belongs to the other one.",
    ),
    Prediction(
        id="07.orders",
        question="Three steps of A and three of B can be mixed in 20 different orders. In how many "
        "of them is a deposit lost?",
        options={"1": "In 1.", "10": "In 10.", "18": "In 18.", "20": "In all 20."},
        expects="18",
        why="Only two orders are right: all of A before all of B, and the other way round. Mix "
        "them in any way, and both have read $0 before the first one commits.\n\n"
        "Races are not rare because few orders are wrong. They are rare, if they are, because the "
        "gap between the read and the commit is short.",
    ),
    Prediction(
        id="07.how_often",
        question="Now nobody holds anybody up: 20 clients, 10 deposits each, as fast as they can. "
        "How many of these 200 deposits will be lost?",
        options={
            "none": "None: it needed force to happen at all.",
            "1 or 2": "One or two: you must be very unlucky.",
            "3 to 20": "3 to 20, so up to 1 in 10.",
            "more than 20": "More than 20, so over 1 in 10.",
        },
        expects="more than 20",
        why="The gap is a fraction of a millisecond, but with many clients there is nearly always "
        "somebody in it. And one slow commit can wipe out several deposits at once.\n\n"
        "With one client nothing is ever lost. So the test that you write at your desk is green, "
        "and the bank loses money on the first busy day.",
    ),
    Prediction(
        id="07.mutex",
        question="Again the race is forced: each deposit is held up after its read until the other "
        "one has read too. But now a deposit needs the mutex before it may read. What happens?",
        options={
            "stuck": "Both wait for each other for ever.",
            "lost": "$100 are lost all the same.",
            "could not be forced": "It cannot be forced: the other one never gets to read.",
            "refused": "The second client is refused with an error.",
        },
        expects="could not be forced",
        why="Who has the mutex reads, and is held up. The other one waits for the mutex, so it "
        "cannot read, so there is nothing to wait for: the race notices, and lets the first one "
        "go on. It commits and lets go of the mutex, and only then the second one reads. It sees "
        "$100.\n\n"
        "The mutex has not made a loss unlikely. It has made the orders in which it happens "
        "impossible.",
    ),
    Prediction(
        id="07.readers",
        question="Nobody deposits now. Five clients ask for the balance at the same moment, and "
        "each look takes 50 milliseconds. How many look at the same time, under the mutex?",
        options={
            "1": "1: a mutex is for one at a time, whatever they do.",
            "2": "2: one looks, the next one is let in already.",
            "5": "5: nobody changes anything, so nobody has to wait.",
        },
        expects="1",
        why="A mutex does not ask what you want. It knows `in` and `not in`. Five looks take "
        "five times as long as one, although not one of them could do any harm.\n\n"
        "That is its price, and who pays it is who only reads.",
    ),
)

Step = tuple[str, str, int]
"""Who, what ("reads", "computes" or "commits"), and the balance in dollars."""


# --- schedule ------------------------------------------------------------------------------------


def run(schedule: str) -> list[Step]:
    """Deposits of $100 into an empty account, one a letter; each letter is that client's next step.

    As the lesson's own `run`.
    """
    account = {"balance": 0}

    def deposit() -> Iterator[tuple[str, int]]:
        balance = account["balance"]
        yield "reads", balance
        yield "computes", balance + 100
        account["balance"] = balance + 100
        yield "commits", balance + 100

    clients = {name: deposit() for name in schedule}
    return [(name, *next(clients[name])) for name in schedule]


def lost_in(schedule: str) -> str:
    """The letters of those whose deposit is not in the balance at the end, in their order."""
    contained: dict[str, str] = {}  # what each client's balance is made of
    now = ""
    for client, what, _ in run(schedule):
        if what == "reads":
            contained[client] = now
        elif what == "commits":
            now = contained[client] + client
    return "".join(sorted(set(schedule) - set(now)))


def check_schedule(schedule: Any) -> None:
    if not isinstance(schedule, str):
        raise Wrong('`schedule` must be a text of nine letters, such as `"AAABBBCCC"`.')
    strange = sorted(set(schedule) - set("ABC"))
    if strange:
        raise Wrong(
            f"There is `{strange[0][:1]}` in your schedule. Write it with the capital letters A, B "
            "and C alone, without spaces."
        )
    for client in "ABC":
        steps = schedule.count(client)
        if steps != 3:
            raise Wrong(
                f"Each client takes three steps: read, compute, commit. {client} takes {steps} in "
                "your schedule."
            )
    lost = lost_in(schedule)
    left = run(schedule)[-1][2]
    if lost == "B":
        return
    if not lost:
        raise Wrong(
            f"`{schedule}` leaves ${left}: nothing is lost, because each one reads after the one "
            "before it has committed. Somebody must read too early."
        )
    if len(lost) > 1:
        raise Wrong(
            f"`{schedule}` leaves ${left}: the deposits of {lost[0]} and {lost[1]} are both lost. "
            f"Only B's should be. Let one of the two read after the last commit before its own."
        )
    (winner,) = _who_wrote_over(schedule, lost)
    raise Wrong(
        f"`{schedule}` leaves ${left}, so one deposit is lost, but it is {lost}'s: {winner} had "
        f"read before {lost} committed, and wrote over it. It is not who reads too early who loses."
    )


def _who_wrote_over(schedule: str, lost: str) -> set[str]:
    return {over for over, under in pairs(run(schedule)) if under == lost}


# --- stale_commits -------------------------------------------------------------------------------


def pairs(steps: Iterable[Step]) -> list[tuple[str, str]]:
    """Each commit made of a balance that was no longer there: who made it, and over whose."""
    found = []
    commits: list[str] = []
    seen: dict[str, int] = {}
    for client, what, _ in steps:
        if what == "reads":
            seen[client] = len(commits)
        elif what == "commits":
            if seen[client] < len(commits):
                found.append((client, commits[-1]))
            commits.append(client)
    return found


class Case(NamedTuple):
    """A history to be judged, and what to say to who gets it wrong."""

    steps: tuple[Step, ...]
    remark: str


def _case(text: str, remark: str) -> Case:
    """`A reads 0, A commits 100`: as in the messages."""
    words = (step.rsplit(" ", 2) for step in text.split(", "))
    return Case(tuple((who, what, int(dollars)) for who, what, dollars in words), remark)


CASES = (
    _case(
        "A reads 0, B reads 0, A computes 100, A commits 100, B computes 100, B commits 100",
        "B read before A committed, and committed after it.",
    ),
    _case(
        "A reads 0, B reads 0, B computes 100, B commits 100, A computes 100, A commits 100",
        "A read first and was slow: it committed after B, and had not seen B's commit.",
    ),
    _case(
        "A reads 0, A commits 100, B reads 100, B commits 200",
        "One after the other, and each is in the balance.",
    ),
    _case(
        "A reads 0, B reads 0, A commits 100, B commits 50",
        "One deposits $100, the other $50. It is a loss, though the two balances differ.",
    ),
    _case(
        "A reads 0, A commits 100, B reads 100, B commits 50, C reads 50, C commits 100",
        "Somebody withdraws $50, and $50 come in again. The balance is $100 twice, and nothing "
        "is lost: who read had seen the last commit.",
    ),
    _case(
        "A reads 0, C reads 0, A commits 100, B reads 100, C reads 100, B commits 200",
        "C only looks at the balance. To overlap with a writer is no loss, and who never commits "
        "overwrites nobody.",
    ),
    _case(
        "A reads 0, A commits 100, A reads 100, A commits 200, A reads 200, A commits 300",
        "A comes three times and reads afresh each time.",
    ),
    _case(
        "A reads 0, B reads 0, B commits 100, A reads 100, A commits 200",
        "A looked again before it committed. Only its last read counts.",
    ),
    _case(
        "A reads 0, B reads 0, B commits 100, B reads 100, B commits 200, A commits 100",
        "A's one commit wiped out two deposits of B. But it wrote over one balance, the last one: "
        "one pair for each commit at most.",
    ),
    _case(
        "A reads 0, B reads 0, C reads 0, A commits 100, B commits 100, C commits 100",
        "Two are lost here. B wrote over A, then C wrote over B: go on after the first pair.",
    ),
    _case(
        "C reads 0, A reads 0, A commits 100, D reads 100, B reads 100, B commits 200, "
        "C commits 100, D commits 200",
        "When D commits, the balance is $100, as it was when D read it. Yet it is another $100: "
        "C has written it since. Do not compare balances; ask whether anybody committed since "
        "the read.",
    ),
    # Of a real race: three clients, two rounds, forced.
    _case(
        "client 3 reads 0, client 1 reads 0, client 2 reads 0, client 1 commits 100, "
        "client 2 commits 100, client 3 commits 100, client 3 reads 100, client 1 reads 100, "
        "client 2 reads 100, client 1 commits 200, client 2 commits 200, client 3 commits 200",
        "This one is from a real race: three clients, two rounds.",
    ),
)


def check_stale_commits(stale_commits: Any) -> None:
    for case in CASES:
        expected = pairs(case.steps)
        got = _as_pairs(stale_commits(list(case.steps)))
        if Counter(got) == Counter(expected):
            continue
        told = ", ".join(f"{who} {what} {dollars}" for who, what, dollars in case.steps)
        if got and Counter((under, over) for over, under in got) == Counter(expected):
            raise Wrong(
                f"`{told}`: you have it the other way round. First in a pair comes who wrote over, "
                "with a balance that was no longer true; then whose commit it wrote over."
            )
        raise Wrong(
            f"`{told}`: you find {_shown(got)}. It should be {_shown(expected)}. {case.remark}"
        )


def _as_pairs(got: Any) -> list[tuple[str, str]]:
    if got is None:
        raise Wrong("`stale_commits` must return a list, an empty one where no commit is stale.")
    if not isinstance(got, list | tuple | set):
        raise Wrong('`stale_commits` must return a list of pairs, such as `[("B", "A")]`.')
    for each in got:
        if not (isinstance(each, tuple | list) and len(each) == 2 and _all_text(each)):
            raise Wrong(
                "In the list must be pairs of two clients' names: who wrote over whom, such as "
                '`("B", "A")`.'
            )
    return [(over, under) for over, under in got]


def _all_text(pair: Iterable[Any]) -> bool:
    return all(isinstance(each, str) for each in pair)


def _shown(found: list[tuple[str, str]]) -> str:
    if not found:
        return "nothing"
    told = [f"{over[:20]} over {under[:20]}" for over, under in found[:4]]
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    return ", ".join(told) + more


EXERCISES = (
    Exercise(
        id="07.schedule",
        title="Lose B's money",
        task="A, B and C deposit $100 each. Write a schedule in which exactly B's deposit is lost: "
        "$200 in the end, made of A's and C's.\n\n"
        "It is a text of nine letters, as `run` takes it: three A, three B, three C, each letter "
        "that client's next step. Try yours with `run` before you check it.",
        stub="schedule = ...\n",
        hints=(
            "Leave C aside at first, and lose B's deposit with A alone, in six letters.",
            "A must read before B commits, and commit after it.",
            "C is safe if it comes last: it reads what A has left, and nobody writes after it.",
        ),
        answer='schedule = "ABBBAACCC"\n',
        check=check_schedule,
        right="A read too early, and B paid for it. B did nothing wrong at all, and no test of "
        "B's own code would ever find out.",
    ),
    Exercise(
        id="07.stale_commits",
        title="Who wrote over whom",
        task="Write `stale_commits(steps)`. `steps` is a list as `run` returns it, of any deposits "
        'and withdrawals: `("A", "reads", 0)` and so on, in the order in which they happened.\n\n'
        "Return a pair for each commit that was made of a stale balance: who made it, and whose "
        'commit it wrote over, the last one before it. For `run("ABABAB")` that is '
        '`[("B", "A")]`; where no commit is stale, an empty list.',
        stub="def stale_commits(steps):\n    pass  # your code\n",
        hints=(
            "Go through the steps once. What must you remember of a read to know, at the commit, "
            "whether it has become stale?",
            "Keep a list of those who have committed so far. At a read, note how long it is.",
            "At a commit: if the list is longer than at the client's last read, somebody was "
            "faster, and the last one in the list is written over.",
        ),
        answer="""\
def stale_commits(steps):
    pairs = []
    committed = []  # who, in their order
    seen = {}  # how many commits there were when a client read
    for client, what, balance in steps:
        if what == "reads":
            seen[client] = len(committed)
        if what == "commits":
            if len(committed) > seen[client]:
                pairs.append((client, committed[-1]))
            committed.append(client)
    return pairs
""",
        check=check_stale_commits,
        right="To count commits instead of comparing balances is what databases do too: they call "
        "the count a version.",
    ),
)
