"""Predictions and exercises of notebooks/10_two_servers.ipynb."""

from collections.abc import Callable
from typing import Any

import redis

from bankkit import Bank
from bankkit.lab.course.exercises import Exercise, Prediction, Wrong

TITLE = "Two servers"

PREDICTIONS = (
    Prediction(
        id="10.border",
        question="Two servers use the same Redis, each with the read–write lock of lesson 08, "
        "which was right in every schedule. Two clients deposit $100 each into an empty account "
        "at the same moment, one at each server. Each deposit stops between its read and its "
        "commit. What is the balance?",
        options={
            "$200": "$200: the lock lets them in one after the other.",
            "$100": "$100: one deposit is lost.",
            "$0": "$0: both deposits are refused.",
        },
        expects="$100",
        why="Each server asked its own lock, and that lock was free. There are two locks for one "
        "account, one in the memory of each process, and neither knows about the other.\n\n"
        "The lock is still right, but only within its own process.",
    ),
    Prediction(
        id="10.no_expiry",
        question="server 1 has set the key, and dies before it can delete it. server 2 asks again "
        "and again. When will it get the lock?",
        options={
            "at once": "At once: Redis notices that server 1 is gone, and deletes the key.",
            "later": "Later: Redis deletes a key that nobody has used for a while.",
            "never": "Never, unless a person deletes the key.",
        },
        expects="never",
        why="To Redis this is a key like any other. Redis does not know that it is a lock, nor "
        "which server wrote it. And that server is gone.\n\n"
        "A lock in a process ends with that process, and so do its waiters. A lock outside the "
        "process outlives its holder.",
    ),
    Prediction(
        id="10.whose_lock",
        question="The key now expires. server 1 takes the lock and is slow, so its lease expires. "
        "server 2 takes the lock. Now server 1 finishes and releases the lock. Then server 3 asks "
        "for the lock, while server 2 is still at work. Which servers are inside?",
        options={
            "server 2": "server 2 alone: server 3 is refused.",
            "server 2 and server 3": "server 2 and server 3.",
            "server 3": "server 3 alone: server 2 loses the lock.",
        },
        expects="server 2 and server 3",
        why="server 1 deleted the key, as its code says. But the key was no longer its own: its "
        "value was `server 2`.\n\n"
        "server 2 did nothing wrong and its lease had not expired. Still, server 3 got in beside "
        "it.",
    ),
    Prediction(
        id="10.look_again",
        question="Suppose that before it writes, server 1 checks once more whether the key still "
        "has its name. Is the money safe then?",
        options={
            "safe": "Yes: a server that has lost the lock sees this, and does not write.",
            "lost": "No: a deposit can still be lost.",
        },
        expects="lost",
        why="The check was right: at that moment server 1 had the lock. Then came the pause, and "
        "then the write. This is check-then-act once more. A check just before the write makes "
        "the gap smaller, but does not close it.\n\n"
        "A program cannot see its own pause. So the check must be made where the write happens.",
    ),
    Prediction(
        id="10.killed",
        question="server 1 has the account's lock, has read the balance, and is killed by "
        "`kill -9`: it cannot clean up. A deposit at server 2 waits for that lock, and its client "
        "has a long deadline. What happens to the deposit?",
        options={
            "OK at once": "It succeeds at once: Redis sees that server 1 is gone.",
            "OK after the lease": "It succeeds when the lease of server 1 has expired.",
            "never": "It waits forever.",
            "refused": "It is refused with an error.",
        },
        expects="OK after the lease",
        why="Nobody told Redis that server 1 is dead, and nobody had to. Its lease was no longer "
        "renewed, so it expired, and the waiting server 2 got the lock.\n\n"
        "So the length of the lease is how long others wait for a dead server. Why not make it "
        "very short? Because a running server may be slow. That comes next.",
    ),
    Prediction(
        id="10.fenced",
        question="The same pause once more, now with the fence: server 1 wakes up after its lease "
        "and sends its commit with an expired token. Its client waits all the time, and sends its "
        "deposit only once. What is the balance, and which status does client 1 get?",
        options={
            "$200, OK": "$200, and client 1 gets OK: the fence puts the two deposits in order.",
            "$100, OK": "$100, and client 1 gets OK: one of the two is lost.",
            "$100, ABORTED": "$100, and client 1 gets ABORTED.",
        },
        expects="$100, ABORTED",
        why="The script that sets the balance checked the token first, and changed nothing. So "
        "the server knows what no timeout can tell: nothing was applied, try again. One deposit "
        "was acknowledged, and one is in the account.\n\n"
        "The pause was as long as before. Now it costs time instead of money.",
    ),
)


class Interrupted(redis.Redis):
    """The bank's Redis for the learner's code; it calls `then` after each command.

    A transaction counts as one command.
    """

    def __init__(self, bank: Bank, then: Callable[[], object] = lambda: None) -> None:
        super().__init__(connection_pool=bank.redis.connection_pool)
        self._then = then
        self.is_used = False

    def execute_command(self, *command: Any, **options: Any) -> Any:
        """Send the command, then call `then`."""
        self.is_used = True
        plain: Any = super()  # its method has no annotations
        answer = plain.execute_command(*command, **options)
        self._then()
        return answer

    def pipeline(self, *arguments: Any, **options: Any) -> Any:
        """A pipeline that calls `then` after each execution."""
        self.is_used = True
        pipeline = super().pipeline(*arguments, **options)
        for send in ("execute", "immediate_execute_command"):
            setattr(pipeline, send, self._interrupted(getattr(pipeline, send)))
        return pipeline

    def _interrupted(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def send_then(*arguments: Any, **options: Any) -> Any:
            answer = send(*arguments, **options)
            self._then()
            return answer

        return send_then


def _yes_or_no(answer: Any, name: str) -> bool:
    """The answer as a bool; 1 and 0, as Redis returns them, are allowed too."""
    if answer not in (True, False):
        raise Wrong(f"`{name}` must return `True` or `False`, and returned `{str(answer)[:40]}`.")
    return bool(answer)


# --- release -------------------------------------------------------------------------------------

SERVER_1, SERVER_2 = "server 1", "server 2"


def check_release(release: Any, bank: Bank) -> None:
    """Release own, foreign, expired and just expired locks; raise `Wrong` at the first fault."""
    key = bank.store.lock_key("alice")

    def released(by: str, then: Callable[[], object] = lambda: None) -> bool:
        client = Interrupted(bank, then)
        answer = release(client, key, by)
        if not client.is_used:
            raise Wrong(
                "Your function asked Redis nothing. Use the `redis` that it is given: the check "
                "has a bank of its own."
            )
        return _yes_or_no(answer, "release")

    bank.redis.set(key, SERVER_1)
    said = released(SERVER_1)
    if bank.redis.exists(key):
        raise Wrong(
            "server 1 has the lock and releases it, but the key is still there. No other server "
            "can take the lock."
        )
    if not said:
        raise Wrong("server 1 had the lock and has released it: return `True`.")

    bank.redis.set(key, SERVER_2)
    said = released(SERVER_1)
    if bank.redis.get(key) != SERVER_2:
        raise Wrong(
            "server 1 was too late: the key's value was `server 2`. server 1 deleted the key all "
            "the same, and now server 2's lock is gone. Delete the key only if its value is `me`."
        )
    if said:
        raise Wrong("The key's value was `server 2`, so server 1 released nothing: return `False`.")

    bank.redis.delete(key)
    if released(SERVER_1):
        raise Wrong("The lease has expired, so there was no lock to release: return `False`.")

    bank.redis.set(key, SERVER_1)
    taken_over = []

    def take_over() -> None:
        """Let the lease of server 1 expire, and give server 2 the lock."""
        if bank.redis.get(key) == SERVER_1:
            taken_over.append(bank.redis.set(key, SERVER_2))

    released(SERVER_1, take_over)
    if taken_over and bank.redis.get(key) != SERVER_2:
        raise Wrong(
            "You check and delete in two commands. Between them the lease of server 1 expired, "
            "server 2 took the lock, and you deleted its key. Check and delete in one script."
        )


# --- fenced_commit -------------------------------------------------------------------------------


def check_fenced_commit(fenced_commit: Any, bank: Bank) -> None:
    """Commit with growing and with late tokens; raise `Wrong` at the first fault."""
    namespace = bank.store.namespace

    def commit(
        balance: int, token: int, whose: str = "alice", then: Callable[[], object] = lambda: None
    ) -> bool:
        client = Interrupted(bank, then)
        answer = fenced_commit(client, f"{namespace}:{{{whose}}}:account", balance, token)
        if not client.is_used:
            raise Wrong(
                "Your function asked Redis nothing. Use the `redis` that it is given: the check "
                "has a bank of its own."
            )
        return _yes_or_no(answer, "fenced_commit")

    def balance(whose: str = "alice") -> int:
        return int(bank.redis.hget(f"{namespace}:{{{whose}}}:account", "balance") or 0)

    def expect(cents: int, token: int, said: bool, was: str, otherwise: str) -> None:
        before = balance()
        answer = commit(cents, token)
        if balance() != (cents if said else before):
            raise Wrong(f"{was} {otherwise}")
        if answer != said:
            did = "was stored" if said else "was refused"
            raise Wrong(f"{was} It {did}, so your function must return `{said}`.")

    expect(
        100, 33, True, "The first commit has the token 33.",
        "No commit came before it, so it cannot be too late: store the balance. Refuse a commit "
        "only if its token is smaller than the stored one.",
    )  # fmt: skip
    expect(
        150, 33, True, "The holder with the token 33 commits again.",
        "It still holds the lock, since no greater token has come: store the balance.",
    )  # fmt: skip
    expect(
        300, 34, True, "The lock has a new holder: after 33 comes a commit with the token 34.",
        "Store it. A commit is too late only if its token is smaller than the greatest so far.",
    )  # fmt: skip
    for _ in range(2):
        expect(
            200, 33, False, "After a commit with 34, the holder of 33 wakes up and commits.",
            "It must be refused, however often it tries. Store the greatest token so far, and do "
            "not replace it with a smaller one.",
        )  # fmt: skip
    expect(
        400, 34, True, "33 was refused; now the holder of 34 commits again.",
        "Its balance must be stored.",
    )  # fmt: skip

    commit(100, 99, "bob")
    if not commit(200, 100, "bob"):
        raise Wrong(
            "After 99 comes the token 100, and it is refused. In Lua both are texts, and as a text "
            "'99' is greater than '100'. Compare `tonumber(…)` of both."
        )

    taken_over: list[bool] = []

    def take_over() -> None:
        """Let the lease of 33 expire; 34 gets the lock and commits."""
        if not taken_over:
            taken_over.append(commit(200, 34, "carol"))

    commit(50, 33, "carol")
    commit(100, 33, "carol", take_over)
    if balance("carol") != 200:
        raise Wrong(
            "You check the token and store the balance in two commands. Between them the holder of "
            "33 paused, 34 committed, and 33 overwrote it. Check and store in one script."
        )


EXERCISES = (
    Exercise(
        id="10.release",
        title="Release only what is yours",
        task="Write `release(redis, key, me)`: delete the key if its value is `me`, and leave it "
        "alone if not. Return `True` if it was yours, else `False`.\n\n"
        "No other command may run between the check and the deletion. So do both in one script: "
        "Redis runs a script as one step.",
        stub="""\
def release(redis, key, me):
    script = \"\"\"
        return redis.call('DEL', KEYS[1])
    \"\"\"
    return redis.eval(script, 1, key, me) == 1
""",
        hints=(
            "In the script, the key is `KEYS[1]`, and `me` is `ARGV[1]`. `redis.call('GET', "
            "KEYS[1])` gives the value of the key.",
            "An `if` in Lua: `if a == b then … end`. `return` gives the result of the script.",
            "If the value is `ARGV[1]`, return what `DEL` returns, which is 1. After the `end`: "
            "`return 0`.",
        ),
        answer="""\
def release(redis, key, me):
    script = \"\"\"
        if redis.call('GET', KEYS[1]) == ARGV[1] then
            return redis.call('DEL', KEYS[1])
        end
        return 0
    \"\"\"
    return redis.eval(script, 1, key, me) == 1
""",
        check=check_release,
        right="You compare and delete in one step. This is needed so often that newer servers have "
        "a command for it: `DELEX key IFEQ me` in Redis 8.4, `DELIFEQ key me` in Valkey 9.",
        bank=Bank,
    ),
    Exercise(
        id="10.fenced_commit",
        title="The fence",
        task="Write `fenced_commit(redis, account, balance, token)`. `account` is the key of a "
        "hash, and `token` is a whole number, greater at each grant of the lock. Store balance "
        "and token in the fields `balance` and `token` of the hash, and return `True`. But if a "
        "greater token is stored already, store nothing and return `False`.\n\n"
        "The same holder may commit more than once with its token.",
        stub="""\
def fenced_commit(redis, account, balance, token):
    script = \"\"\"
        redis.call('HSET', KEYS[1], 'balance', ARGV[1])
        return 1
    \"\"\"
    return redis.eval(script, 1, account, balance, token) == 1
""",
        hints=(
            "In the script, `balance` is `ARGV[1]` and `token` is `ARGV[2]`. Read the greatest "
            "token so far with `redis.call('HGET', KEYS[1], 'token')`.",
            "At the first commit there is no token yet, and `HGET` gives `false`. `… or '0'` turns "
            "that into `'0'`.",
            "`local seen = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')`, and then: `if "
            "tonumber(ARGV[2]) < seen then return 0 end`.",
        ),
        answer="""\
def fenced_commit(redis, account, balance, token):
    script = \"\"\"
        local seen = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
        if tonumber(ARGV[2]) < seen then
            return 0
        end
        redis.call('HSET', KEYS[1], 'balance', ARGV[1], 'token', ARGV[2])
        return 1
    \"\"\"
    return redis.eval(script, 1, account, balance, token) == 1
""",
        check=check_fenced_commit,
        right="However long the holder of 33 sleeps: after a commit with 34, its commit changes "
        "nothing. It need not know that it has slept.",
        bank=Bank,
    ),
)
