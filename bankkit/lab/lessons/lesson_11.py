"""Predictions and exercises of notebooks/11_when_one_machine_is_not_enough.ipynb."""

from binascii import crc_hqx
from collections.abc import Callable
from typing import Any

from redis.crc import key_slot

from bankkit.lab.course.exercises import Exercise, Prediction, Wrong
from bankkit.lab.drawing.text import listed

TITLE = "When one machine is not enough"

PREDICTIONS = (
    Prediction(
        id="11.crossslot",
        question="Look at alice's three keys without braces. Two of them, `bank:alice:lock` and "
        "`bank:alice:request:7`, happen to be on the same node. May one script use both?",
        options={
            "runs": "Yes: the node has both, and runs the script.",
            "refused": "No: they are in different slots, and the script is refused.",
            "moved": "Yes: the Cluster first moves one of them to the slot of the other.",
        },
        expects="refused",
        why="For a Cluster the slot counts, not the node. Today both keys are on one node. "
        "Tomorrow somebody adds a fourth machine, one of the two slots moves there, and the script "
        "could not run. So it is refused from the start.\n\n"
        "With braces you say that keys always belong together.",
    ),
    Prediction(
        id="11.neighbours",
        question="alice, bob and dora deposit all the time, each on a different node. Then node 1, "
        "which has alice's account, is killed. What do bob and dora notice?",
        options={
            "everybody": "Their calls fail, too: a Cluster without one of its masters stops.",
            "slower": "Some of their calls fail, until a new master is chosen.",
            "nothing": "Nothing: none of their calls fails.",
        },
        expects="nothing",
        why="Their accounts are in other slots, on other nodes, and a call for bob goes only to "
        "node 2. There is no proxy that could fail.\n\n"
        "(This is a setting. This Cluster has `cluster-require-full-coverage no`. With the "
        "default, `yes`, the other nodes also refuse calls while any slot has no master.)",
    ),
    Prediction(
        id="11.promised",
        question="The replica of alice's master no longer receives anything. Five deposits of $100 "
        "arrive, and each is acknowledged: OK. Then the master is killed, and the replica takes "
        "over. How much of the $500 is in the account?",
        options={
            "$500": "$500: OK means that the money is there.",
            "$400": "$400: the last one was not copied yet.",
            "$0": "$0: all five are gone.",
        },
        expects="$0",
        why="The master made the changes and said OK, but could not copy them to its replica. It "
        "did not wait for that: replication is asynchronous. Usually, but not always, the copy "
        "arrives within a millisecond.\n\n"
        "A failover loses the deposits that were acknowledged and not yet copied. Usually there "
        "are none. Here it was all deposits since the connection broke. And no client will retry, "
        "because each got OK.",
    ),
    Prediction(
        id="11.old_master",
        question="node 4 was killed, but its disk is intact and has all five deposits. node 4 "
        "restarts. How much of the $500 comes back?",
        options={
            "$500": "$500: it reads them from its disk and sends them to the others.",
            "$0": "Nothing: it discards them.",
        },
        expects="$0",
        why="node 1 is the master now, and may have accepted other deposits since. Two histories "
        "of one account cannot both be true, and Redis does not merge them. So the node that comes "
        "back copies all data of the new master, and discards its own.",
    ),
    Prediction(
        id="11.not_acknowledged",
        question="Again the replica receives nothing. This time the bank waits for one replica "
        "before it says OK. No replica answers in time, so the bank says UNAVAILABLE. Is the $100 "
        "in the account now?",
        options={
            "$0": "No: it was not acknowledged, so it was not done.",
            "$100": "Yes.",
        },
        expects="$100",
        why="The master made the change before the bank began to wait, and Redis does not undo it. "
        "The bank only knows that the change is not safe yet. The next failover may lose it or "
        "not, so the bank says that the outcome is unknown.\n\n"
        "Not acknowledged does not mean not done. It means that the bank has promised nothing. "
        "Retry under the same request id.",
    ),
)


# --- slot_of --------------------------------------------------------------------------------------

_KEYS = (
    ("bank:servers", "This key has no braces, so the whole key counts."),
    ("bank:{alice}:account", "Only the text between the braces counts: `alice`."),
    (
        "bank:{alice}:request:{7}",
        "Only the first pair of braces counts: from the first `{` to the first `}` after it. "
        "In this key that is `alice`. (A client may well put braces into a request id.)",
    ),
    ("bank:{alice", "A brace that is never closed means nothing: the whole key counts."),
    ("a}b{alice}", "The pair begins with the first `{`; a `}` before it means nothing."),
    (
        "bank:{}:account",
        "There is no text between the braces, so there is no tag: the whole key counts. Otherwise "
        "all keys with `{}` in them would be in slot 0.",
    ),
    (
        "bank:{}:{alice}",
        "Only the first pair counts, and it is empty, so the whole key counts. A later pair does "
        "not matter.",
    ),
    (
        "bank:{{alice}}",
        "From the first `{` to the first `}` after it: in this key that is `{alice`, with a brace "
        "in it.",
    ),
)


def check_slot_of(slot_of: Callable[[str], Any]) -> None:
    """Ask for keys with odd braces; raise `Wrong` at the first wrong slot."""
    for key, reason in _KEYS:
        got, right = slot_of(key), key_slot(key.encode())
        if got == right and isinstance(got, int):
            continue
        if got is None:
            raise Wrong("Your function returned `None`. Return the number of the slot.")
        if not isinstance(got, int) or isinstance(got, bool):
            raise Wrong(f"A slot is an `int`, but for `{key}` you return `{type(got).__name__}`.")
        if got % 16384 == right:
            raise Wrong(
                f"For `{key}` your number is {got}, but there are only the slots 0 to 16383: "
                "take the remainder of the division by 16384."
            )
        whole = crc_hqx(key.encode(), 0) % 16384
        what = ", as if the whole key counted" if got == whole else ""
        raise Wrong(f"`{key}` is in slot {right}, but you return {got}{what}. {reason}")


# --- promises_lost --------------------------------------------------------------------------------

Deposits = list[tuple[int, list[str]]]

_A_BAD_DAY: Deposits = [
    (100, ["node 4", "node 7"]),
    (50, ["node 4"]),
    (20, ["node 4"]),
    (5, []),
]


def check_promises_lost(promises_lost: Callable[[Deposits, int, str], Any]) -> None:
    """Ask about single deposits, then about four together; raise `Wrong` at the first fault."""

    def ask(deposits: Deposits, wait_replicas: int, promoted: str) -> float:
        got = promises_lost(
            [(amount, list(has)) for amount, has in deposits], wait_replicas, promoted
        )
        if got is None:
            raise Wrong("Your function returned `None`. Return the lost dollars.")
        if not isinstance(got, (int, float)) or isinstance(got, bool):
            raise Wrong(f"Return the dollars as a number, not as `{type(got).__name__}`.")
        return got

    if got := ask(_A_BAD_DAY[:1], 1, "node 4"):
        raise Wrong(
            f"node 4 has a deposit of $100 and takes over: nothing is lost, but you count ${got}."
        )
    got = ask([(5, [])], 1, "node 4")
    if got:
        raise Wrong(
            "With `wait_replicas=1`, a deposit that reached no replica was never acknowledged. "
            f"It is gone, but it was not promised to anybody; you count ${got}."
        )
    got = ask([(50, ["node 4"])], 1, "node 7")
    if got != 50:
        raise Wrong(
            "With `wait_replicas=1`, a deposit of $50 that node 4 has was acknowledged. But node 7 "
            f"takes over, and node 7 does not have it: $50 are lost, but you count ${got}."
        )
    got = ask([(5, [])], 0, "node 4")
    if got != 5:
        raise Wrong(
            "With `wait_replicas=0` every deposit is acknowledged at once, even one that "
            f"reached no replica: $5 are lost, but you count ${got}."
        )
    for wait_replicas, promoted, right in (
        (0, "node 4", 5), (0, "node 7", 75), (1, "node 4", 0), (1, "node 7", 70),
        (2, "node 4", 0), (2, "node 7", 0),
    ):  # fmt: skip
        got = ask(_A_BAD_DAY, wait_replicas, promoted)
        if got != right:
            raise Wrong(
                f"With `wait_replicas={wait_replicas}`, when {promoted} takes over, ${right} that "
                f"were acknowledged are lost, but you count ${got}. The list below shows which "
                "replicas had each deposit.",
                "\n".join(
                    f"${amount:<4} {listed(has) if has else 'no replica'}"
                    for amount, has in _A_BAD_DAY
                ),
            )


EXERCISES = (
    Exercise(
        id="11.slot_of",
        title="In which slot?",
        task="Write `slot_of(key)`: the number of the slot in which a Cluster keeps this key.\n\n"
        "If the key has a `{` and a `}` somewhere after it, look at the text between the first "
        "`{` and the first `}` after it. If this text is not empty, it is the tag, and only the "
        "tag counts. Otherwise the whole key counts. The slot is the `crc_hqx` of the part that "
        "counts, modulo 16384, as in the cell above. `crc_hqx` needs bytes: `text.encode()`.",
        stub="def slot_of(key):\n    pass  # your code\n",
        hints=(
            '`key.find("{")` is the index of the first brace, or -1. `key.find("}", start)` '
            "searches from the index `start`.",
            "Check two conditions before you cut: there is a `{`, and the `}` is at least two "
            "places after it.",
        ),
        answer="""\
from binascii import crc_hqx


def slot_of(key):
    first = key.find("{")
    last = key.find("}", first + 1)
    if first >= 0 and last > first + 1:
        key = key[first + 1 : last]
    return crc_hqx(key.encode(), 0) % 16384
""",
        check=check_slot_of,
        right="Every client of a Cluster contains these lines, so it knows which node to ask: the "
        "slot follows from the key.",
    ),
    Exercise(
        id="11.promises_lost",
        title="Promised, and gone",
        task="Now there are two replicas, node 4 and node 7. Write `promises_lost(deposits, "
        "wait_replicas, promoted)`: how many dollars were acknowledged and are lost when the "
        "master dies and `promoted` takes over?\n\n"
        '`deposits` is a list of pairs such as `(50, ["node 4"])`: the dollars, and the replicas '
        "that had the deposit when the master died. A deposit was acknowledged if it had reached "
        "`wait_replicas` of them or more. A deposit is lost if `promoted` does not have it.",
        stub="def promises_lost(deposits, wait_replicas, promoted):\n    pass  # your code\n",
        hints=(
            "Go through the deposits and add up. Ask two questions about each: was it "
            "acknowledged? Does the new master lack it?",
            "The first question is `len(replicas) >= wait_replicas`, the second is `promoted not "
            "in replicas`.",
        ),
        answer="""\
def promises_lost(deposits, wait_replicas, promoted):
    lost = 0
    for dollars, replicas in deposits:
        if len(replicas) >= wait_replicas and promoted not in replicas:
            lost += dollars
    return lost
""",
        check=check_promises_lost,
        right="With two replicas, waiting for one is not enough: the other one may win the vote. "
        "Only a bank that waits for all replicas loses no acknowledged deposit, whichever replica "
        "takes over. But then a single dead replica stops every deposit.",
    ),
)
