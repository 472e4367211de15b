"""Predictions and exercises of notebooks/07_the_lost_update.ipynb."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from bankkit.lab.course.exercises import Exercise, Prediction, Wrong

TITLE = "The lost update"

PREDICTIONS = (
    Prediction(
        id="07.two_deposits",
        question="A bank has no lock, and an account is empty. Two clients deposit $100 each at "
        "the same moment: both deposits read the balance before either of them writes. Both "
        "clients get the reply OK. How much is in the account?",
        options={
            "$200": "$200: both got the reply OK.",
            "$100": "$100.",
            "$0": "$0: they collide, and neither counts.",
            "$300": "$300: one of them is counted twice.",
        },
        expects="$100",
        why="Each of the two read $0, added its $100, and wrote $100. The second one overwrote "
        "$100 with $100.\n\n"
        "Both replies were true when they were sent: the money was in the account. It did not "
        "stay there.",
    ),
    Prediction(
        id="07.culprit",
        question="Look at the picture again. At one of these steps $100 disappear. Which one?",
        options={
            "client 1 reads": "When client 1 reads: it sees $0.",
            "client 1 commits": "When client 1 commits: client 2 read before, and is not told.",
            "client 2 reads": "When client 2 reads: it sees $0 as well.",
            "client 2 commits": "When client 2 commits: it writes $100 over $100.",
        },
        expects="client 2 commits",
        why="Until then nothing was lost. Client 2's read was right when it happened: the balance "
        "was $0. Client 1's commit was right too: it left $100 in the account, as its reply said. "
        "But it made client 2's read stale.\n\n"
        "So a lost update needs a pair: a read that has become stale, and the commit based on it. "
        "Both belong to the same client. The lost money belongs to the other client.",
    ),
    Prediction(
        id="07.orders",
        question="Three steps of A and three of B can be mixed in 20 different orders. In how many "
        "of them is a deposit lost?",
        options={"1": "In 1.", "10": "In 10.", "18": "In 18.", "20": "In all 20."},
        expects="18",
        why="Only two orders are right: all of A before all of B, and the other way round. In "
        "every other order both clients read $0 before the first one commits.\n\n"
        "Most orders are wrong. If a lost update is rare all the same, that is because the gap "
        "between the read and the commit is short.",
    ),
    Prediction(
        id="07.how_often",
        question="Now nothing is forced: 20 clients make 10 deposits each, as fast as they can. "
        "How many of these 200 deposits will be lost?",
        options={
            "none": "None: it only happens when it is forced.",
            "1 or 2": "One or two: it takes very bad luck.",
            "3 to 20": "3 to 20: up to 1 in 10.",
            "more than 20": "More than 20: over 1 in 10.",
        },
        expects="more than 20",
        why="The gap is a fraction of a millisecond, but with many clients nearly always one of "
        "them is in it. And one slow commit can overwrite several deposits at once.\n\n"
        "With one client nothing is ever lost. So the test that you write at your desk passes, "
        "and the bank loses money on the first busy day.",
    ),
    Prediction(
        id="07.mutex",
        question="The race is forced again: each deposit stops after its read until the other one "
        "has read too. But now a deposit must take the mutex before it reads. What happens?",
        options={
            "stuck": "Both wait for each other forever.",
            "lost": "$100 are lost all the same.",
            "could not be forced": "The race cannot be forced: the second deposit cannot read yet.",
            "refused": "The second client is refused with an error.",
        },
        expects="could not be forced",
        why="The first deposit holds the mutex, reads, and stops. The second one waits for the "
        "mutex, so it cannot read. `lab.race` notices that, and lets the first deposit go on. It "
        "commits and releases the mutex. Only then does the second one read, and it sees $100.\n\n"
        "The mutex does not make a lost update unlikely. It makes the orders that lose one "
        "impossible.",
    ),
    Prediction(
        id="07.readers",
        question="Nobody deposits now. Five clients ask for the balance at the same moment, and "
        "each read takes 50 milliseconds. How many read at the same time, under the mutex?",
        options={
            "1": "1: a mutex has one holder at a time, whatever the holder does.",
            "2": "2: one reads, and the next one may already enter.",
            "5": "5: nobody changes anything, so nobody has to wait.",
        },
        expects="1",
        why="A mutex does not know what its holder does. It is held or it is free. Five reads "
        "take five times as long as one, although none of them could do any harm.\n\n"
        "Readers pay the price of a mutex.",
    ),
)

Step = tuple[str, str, int]
"""A client, what it does ("reads", "computes" or "commits"), and the balance in dollars."""


# --- schedule ------------------------------------------------------------------------------------


def run(schedule: str) -> list[Step]:
    """Run deposits of $100 into an empty account; each letter is the next step of that client.

    It does the same as `run` in the notebook.
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
    """The clients whose deposits are not in the final balance, in alphabetical order."""
    contained: dict[str, str] = {}  # for each client: whose deposits are in what it read
    now = ""
    for client, what, _ in run(schedule):
        if what == "reads":
            contained[client] = now
        elif what == "commits":
            now = contained[client] + client
    return "".join(sorted(set(schedule) - set(now)))


def check_schedule(schedule: Any) -> None:
    """Raise `Wrong` unless the schedule loses B's deposit and no other."""
    if not isinstance(schedule, str):
        raise Wrong('`schedule` must be a text of nine letters, such as `"AAABBBCCC"`.')
    strange = sorted(set(schedule) - set("ABC"))
    if strange:
        raise Wrong(
            f"Your schedule contains `{strange[0][:1]}`. Use only the capital letters A, B and C, "
            "without spaces."
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
            f"`{schedule}` leaves ${left}: nothing is lost, because each client reads after the "
            "one before it has committed. One client must read too early."
        )
    if len(lost) > 1:
        raise Wrong(
            f"`{schedule}` leaves ${left}: the deposits of {lost[0]} and {lost[1]} are both lost. "
            f"Only B's should be. Let the other client read after the last commit before its own."
        )
    (winner,) = _who_wrote_over(schedule, lost)
    raise Wrong(
        f"`{schedule}` leaves ${left}, so one deposit is lost, but it is {lost}'s: {winner} had "
        f"read before {lost} committed, and overwrote it. The client that reads too early does not "
        "lose its own deposit."
    )


def _who_wrote_over(schedule: str, lost: str) -> set[str]:
    return {over for over, under in pairs(run(schedule)) if under == lost}


# --- stale_commits -------------------------------------------------------------------------------


def pairs(steps: Iterable[Step]) -> list[tuple[str, str]]:
    """The commits based on a stale read, each with the client whose commit it overwrote."""
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
    """A history to judge, and the remark for a wrong answer."""

    steps: tuple[Step, ...]
    remark: str


def _case(text: str, remark: str) -> Case:
    """Parse a case written like `A reads 0, A commits 100`, as in the messages."""
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
        "B read after A had committed, so both deposits are in the balance.",
    ),
    _case(
        "A reads 0, B reads 0, A commits 100, B commits 50",
        "A deposits $100, B deposits $50. A's deposit is lost, though the two balances differ.",
    ),
    _case(
        "A reads 0, A commits 100, B reads 100, B commits 50, C reads 50, C commits 100",
        "B withdraws $50, and C deposits $50. The balance is $100 twice, and nothing is lost: each "
        "client had read the last commit before its own.",
    ),
    _case(
        "A reads 0, C reads 0, A commits 100, B reads 100, C reads 100, B commits 200",
        "C only reads the balance. Overlapping with a writer loses nothing, and a client that "
        "never commits overwrites nobody.",
    ),
    _case(
        "A reads 0, A commits 100, A reads 100, A commits 200, A reads 200, A commits 300",
        "A makes three deposits and reads again before each.",
    ),
    _case(
        "A reads 0, B reads 0, B commits 100, A reads 100, A commits 200",
        "A read again before it committed. Only its last read counts.",
    ),
    _case(
        "A reads 0, B reads 0, B commits 100, B reads 100, B commits 200, A commits 100",
        "A's one commit lost two deposits of B. But it overwrote only the last balance: there is "
        "at most one pair for each commit.",
    ),
    _case(
        "A reads 0, B reads 0, C reads 0, A commits 100, B commits 100, C commits 100",
        "Two deposits are lost. B overwrote A, then C overwrote B: go on after the first pair.",
    ),
    _case(
        "C reads 0, A reads 0, A commits 100, D reads 100, B reads 100, B commits 200, "
        "C commits 100, D commits 200",
        "When D commits, the balance is $100, as it was when D read it. But C has written that "
        "$100 since. Do not compare balances; check whether any client committed since the "
        "read.",
    ),
    _case(
        "client 3 reads 0, client 1 reads 0, client 2 reads 0, client 1 commits 100, "
        "client 2 commits 100, client 3 commits 100, client 3 reads 100, client 1 reads 100, "
        "client 2 reads 100, client 1 commits 200, client 2 commits 200, client 3 commits 200",
        "This history is from a real forced race with three clients and two rounds.",
    ),
)


def check_stale_commits(stale_commits: Any) -> None:
    """Raise `Wrong` at the first case for which the pairs are wrong, in any order."""
    for case in CASES:
        expected = pairs(case.steps)
        got = _as_pairs(stale_commits(list(case.steps)))
        if Counter(got) == Counter(expected):
            continue
        told = ", ".join(f"{who} {what} {dollars}" for who, what, dollars in case.steps)
        if got and Counter((under, over) for over, under in got) == Counter(expected):
            raise Wrong(
                f"`{told}`: your pairs are the other way round. The first name in a pair is the "
                "client that overwrote a commit; the second is the client whose commit it was."
            )
        raise Wrong(
            f"`{told}`: you find {_shown(got)}. It should be {_shown(expected)}. {case.remark}"
        )


def _as_pairs(got: Any) -> list[tuple[str, str]]:
    if got is None:
        raise Wrong("`stale_commits` must return a list; it is empty if no commit is stale.")
    if not isinstance(got, list | tuple | set):
        raise Wrong('`stale_commits` must return a list of pairs, such as `[("B", "A")]`.')
    for each in got:
        if not (isinstance(each, tuple | list) and len(each) == 2 and _all_text(each)):
            raise Wrong(
                "Each item of the list must be a pair of clients' names, such as "
                '`("B", "A")`: B overwrote A.'
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
        task="A, B and C deposit $100 each. Write a schedule in which only B's deposit is lost, so "
        "that $200 are left: A's and C's.\n\n"
        "A schedule is a text of nine letters, as `run` takes it: three A, three B, three C. Each "
        "letter is that client's next step. Try yours with `run` before you check it.",
        stub="schedule = ...\n",
        hints=(
            "Leave C out at first, and lose B's deposit with A alone, in six letters.",
            "A must read before B commits, and commit after it.",
            "C is safe if it comes last: it reads A's balance, and nobody writes after it.",
        ),
        answer='schedule = "ABBBAACCC"\n',
        check=check_schedule,
        right="A read too early, and B's deposit was lost. B did nothing wrong, and no test of B's "
        "own code would ever show it.",
    ),
    Exercise(
        id="07.stale_commits",
        title="Who wrote over whom",
        task="Write `stale_commits(steps)`. `steps` is a list like the one that `run` returns, "
        'of deposits and withdrawals: `("A", "reads", 0)` and so on, in the order in which they '
        "happened.\n\n"
        "Return a pair for each commit that was based on a stale read: the client that committed, "
        "and the client whose commit it overwrote, which is the last one before it. For "
        '`run("ABABAB")` that is `[("B", "A")]`. If no commit is stale, return an empty list.',
        stub="def stale_commits(steps):\n    pass  # your code\n",
        hints=(
            "Go through the steps once. What must you remember at a read to know, at the commit, "
            "whether the read has become stale?",
            "Keep a list of the clients that have committed so far. At a read, note how long the "
            "list is.",
            "At a commit: if the list is longer than at the client's last read, another client "
            "committed in between. This commit overwrites the last one in the list.",
        ),
        answer="""\
def stale_commits(steps):
    pairs = []
    committed = []  # the clients that have committed, in order
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
        right="Databases also count commits instead of comparing balances: they call the count a "
        "version.",
    ),
)
