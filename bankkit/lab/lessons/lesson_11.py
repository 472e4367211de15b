"""The questions of notebooks/11_when_one_machine_is_not_enough.ipynb."""

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
        question="Three keys of alice's, for once without braces. Two of them, `bank:alice:lock` "
        "and `bank:alice:request:7`, happen to live on the same node. May one script use both?",
        options={
            "runs": "Yes: the node has both, and runs the script.",
            "refused": "No: they are in different slots, and the script is refused.",
            "moved": "Yes: the Cluster moves one of them to the slot of the other first.",
        },
        expects="refused",
        why="To a Cluster the slot counts, not the node. The two are neighbours today; tomorrow "
        "somebody adds a fourth machine, one of the two slots moves there, and the script would "
        "run no more. So it is refused from the first day on.\n\n"
        "Braces are how you say: these belong together, always.",
    ),
    Prediction(
        id="11.neighbours",
        question="alice, bob and dora deposit all the time, each at another node. Then node 1 is "
        "killed, which has alice's account. What do bob and dora notice?",
        options={
            "everybody": "Their calls fail, too: a Cluster without one of its masters stops.",
            "slower": "A call fails here and there, until a new master is chosen.",
            "nothing": "Nothing: not one call of theirs fails.",
        },
        expects="nothing",
        why="Their accounts are in other slots, on other nodes, and whoever calls for bob talks to "
        "node 2 alone. There is no middle man to fail.\n\n"
        "(It is a setting. This Cluster has `cluster-require-full-coverage no`. With the default, "
        "`yes`, the others refuse as well while any slot is without a master.)",
    ),
    Prediction(
        id="11.promised",
        question="The replica of alice's master hears nothing any more. Five deposits of $100 "
        "arrive, and each is acknowledged: OK. Then the master is killed, and the replica takes "
        "over. How much of the $500 is in the account?",
        options={
            "$500": "$500: OK means that it is in.",
            "$400": "$400: the last one was still on its way.",
            "$0": "$0: all five are gone.",
        },
        expects="$0",
        why="The master made the changes, said OK, and could pass them on to nobody. It had not "
        "waited for that: replication is asynchronous. Usually the copy is there within a "
        "millisecond. Usually.\n\n"
        "What is gone is whatever was acknowledged and not yet copied: nothing on a good day, "
        "everything since the line broke on a bad one. And no client will ask again, because each "
        "was told OK.",
    ),
    Prediction(
        id="11.old_master",
        question="node 4 was killed, but its disk is well, and on it are all five deposits. It is "
        "started again. How much of the $500 comes back?",
        options={
            "$500": "$500: it reads them from its disk and tells the others.",
            "$0": "Nothing: it throws them away.",
        },
        expects="$0",
        why="node 1 is the master now, and may have taken other deposits since. Two histories of "
        "one account cannot both be true, and nobody is there to put them together. So the node "
        "that comes back takes over the new master's data, all of it, and forgets its own.",
    ),
    Prediction(
        id="11.not_acknowledged",
        question="Again the replica hears nothing. This time the bank waits for one replica before "
        "it says OK, waits in vain, and says UNAVAILABLE. Is the $100 in the account, right now?",
        options={
            "$0": "No: not acknowledged, so not done.",
            "$100": "Yes.",
        },
        expects="$100",
        why="The master had made the change before it began to wait, and Redis takes nothing back. "
        "All that the bank knows is: this is not safe yet. It may be in, it may be gone after the "
        "next failover, so it says what is true: outcome unknown.\n\n"
        "Not acknowledged does not mean not done. It means: nobody has promised you anything. Ask "
        "again, under the same request id.",
    ),
)


# --- slot_of --------------------------------------------------------------------------------------

_KEYS = (
    ("bank:servers", "This key has no braces, so all of it counts."),
    ("bank:{alice}:account", "Only what stands between the braces counts: `alice`."),
    (
        "bank:{alice}:request:{7}",
        "Only the first pair of braces counts: from the first `{` to the first `}` after it. "
        "In this key that is `alice`. (A client may well put braces into a request id.)",
    ),
    ("bank:{alice", "A brace that is never closed means nothing: all of the key counts."),
    ("a}b{alice}", "The pair begins with the first `{`; a `}` before it means nothing."),
    (
        "bank:{}:account",
        "Nothing stands between the braces, so there is no tag: all of the key counts. Else all "
        "keys with `{}` in them would sit in slot 0.",
    ),
    (
        "bank:{}:{alice}",
        "The first pair is the one that counts, and it is empty, so all of the key counts. A later "
        "pair does not come into it.",
    ),
    (
        "bank:{{alice}}",
        "From the first `{` to the first `}` after it: in this key that is `{alice`, with a brace "
        "in it.",
    ),
)


def check_slot_of(slot_of: Callable[[str], Any]) -> None:
    for key, reason in _KEYS:
        got, right = slot_of(key), key_slot(key.encode())
        if got == right and isinstance(got, int):
            continue
        if got is None:
            raise Wrong("Your function returned `None`. Return the number of the slot.")
        if not isinstance(got, int) or isinstance(got, bool):
            raise Wrong(f"A slot is an `int`, and for `{key}` you return `{type(got).__name__}`.")
        if got % 16384 == right:
            raise Wrong(
                f"For `{key}` your number is {got}, and there are only the slots 0 to 16383: "
                "take what is left after a division by 16384."
            )
        whole = crc_hqx(key.encode(), 0) % 16384
        what = ", as if all of the key counted" if got == whole else ""
        raise Wrong(f"`{key}` lives in slot {right}, and you say {got}{what}. {reason}")


# --- promises_lost --------------------------------------------------------------------------------

Deposits = list[tuple[int, list[str]]]

_A_BAD_DAY: Deposits = [
    (100, ["node 4", "node 7"]),
    (50, ["node 4"]),
    (20, ["node 4"]),
    (5, []),
]


def check_promises_lost(promises_lost: Callable[[Deposits, int, str], Any]) -> None:
    def ask(deposits: Deposits, wait_replicas: int, promoted: str) -> float:
        got = promises_lost(
            [(amount, list(has)) for amount, has in deposits], wait_replicas, promoted
        )
        if got is None:
            raise Wrong("Your function returned `None`. Return the dollars that are lost.")
        if not isinstance(got, (int, float)) or isinstance(got, bool):
            raise Wrong(f"Return the dollars as a number, not as `{type(got).__name__}`.")
        return got

    if got := ask(_A_BAD_DAY[:1], 1, "node 4"):
        raise Wrong(
            f"A deposit of $100 that node 4 had, and node 4 takes over: nothing is lost, and you "
            f"count ${got}."
        )
    got = ask([(5, [])], 1, "node 4")
    if got:
        raise Wrong(
            "With `wait_replicas=1`, a deposit that had reached no replica was never acknowledged. "
            f"It is gone, but it was promised to nobody; you count ${got}."
        )
    got = ask([(50, ["node 4"])], 1, "node 7")
    if got != 50:
        raise Wrong(
            "One replica was asked for, node 4 had the $50, so they were acknowledged. But it is "
            f"node 7 that takes over, and node 7 has never heard of them: lost are $50, and you "
            f"count ${got}."
        )
    got = ask([(5, [])], 0, "node 4")
    if got != 5:
        raise Wrong(
            "With `wait_replicas=0` every deposit is acknowledged at once, even one that had "
            f"reached no replica: lost are $5, and you count ${got}."
        )
    for wait_replicas, promoted, right in (
        (0, "node 4", 5), (0, "node 7", 75), (1, "node 4", 0), (1, "node 7", 70),
        (2, "node 4", 0), (2, "node 7", 0),
    ):  # fmt: skip
        got = ask(_A_BAD_DAY, wait_replicas, promoted)
        if got != right:
            raise Wrong(
                f"With `wait_replicas={wait_replicas}`, when {promoted} takes over, ${right} that "
                f"were promised are lost, and you count ${got}. Below: who had which deposit.",
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
        "If the key has a `{` and somewhere after it a `}`, and something stands between the first "
        "`{` and the first `}` after it, then only that something is the tag, and counts. Else the "
        "whole key counts. The slot is the `crc_hqx` of what counts, modulo 16384, as in the cell "
        "above. It wants bytes: `text.encode()` makes them.",
        stub="def slot_of(key):\n    pass  # your code\n",
        hints=(
            '`key.find("{")` is the place of the first brace, or -1. `key.find("}", start)` looks '
            "from a place on.",
            "Two conditions before you cut: there is a `{`, and the `}` stands at least two places "
            "after it.",
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
        right="Every client of a Cluster has these lines in it, and so knows whom to ask: the key "
        "itself says where it lives.",
    ),
    Exercise(
        id="11.promises_lost",
        title="Promised, and gone",
        task="Two replicas now, node 4 and node 7. Write `promises_lost(deposits, wait_replicas, "
        "promoted)`: how many dollars were acknowledged and are lost when the master dies and "
        "`promoted` takes over?\n\n"
        '`deposits` is a list of pairs such as `(50, ["node 4"])`: the dollars, and the replicas '
        "that had the deposit when the master died. A deposit was acknowledged if it had reached "
        "`wait_replicas` of them or more. Lost is what `promoted` does not have.",
        stub="def promises_lost(deposits, wait_replicas, promoted):\n    pass  # your code\n",
        hints=(
            "Go through the deposits and add up. Two questions for each: was it promised? And does "
            "the new master lack it?",
            "`len(replicas) >= wait_replicas` is the first question, `promoted not in replicas` "
            "the second.",
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
        right="Did you see it? With two replicas, to wait for one is not enough: the other one may "
        "be voted for. Only who waits for all of them loses no promise, whoever takes over, and "
        "then a single dead replica stops every deposit.",
    ),
)
