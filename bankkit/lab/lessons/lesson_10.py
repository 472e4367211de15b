"""The questions of notebooks/10_two_servers.ipynb."""

from collections.abc import Callable
from typing import Any

import redis

from bankkit import Bank
from bankkit.lab.course.exercises import Exercise, Prediction, Wrong

TITLE = "Two servers"

PREDICTIONS = (
    Prediction(
        id="10.border",
        question="Two servers on the same Redis, each with the read–write lock of lesson 08: the "
        "one that held in every schedule. Two clients deposit $100 each into an empty account at "
        "the same moment, one at each server, both held up between their read and their commit. "
        "What is in the account?",
        options={
            "$200": "$200: the lock lets one of them in after the other.",
            "$100": "$100: one deposit is lost.",
            "$0": "$0: the second server is refused the account.",
        },
        expects="$100",
        why="Each server asked its own lock, and its own lock was free. There are two locks for "
        "one account, one in the memory of each process, and neither knows of the other.\n\n"
        "The lock is as right as it ever was. It stops at the border of its process.",
    ),
    Prediction(
        id="10.no_expiry",
        question="server 1 has put the key there, and dies before it can delete it. server 2 asks "
        "again and again. When will it get the lock?",
        options={
            "at once": "At once: Redis notices that server 1 has hung up, and deletes the key.",
            "later": "Later: Redis deletes a key that nobody has used for a while.",
            "never": "Never, unless a human being deletes the key.",
        },
        expects="never",
        why="To Redis it is a key like any other. It does not know that this one means a lock, nor "
        "who wrote it. And who wrote it is gone.\n\n"
        "A lock in one process dies with its process, and takes its waiters along. A lock outside "
        "outlives its holder.",
    ),
    Prediction(
        id="10.whose_lock",
        question="The key now vanishes by itself after its time. server 1 takes the lock and is "
        "slow; its time runs out. server 2 takes the lock. Now server 1 is done and releases. "
        "Then server 3 asks for the lock, while server 2 is still at work. Who is inside?",
        options={
            "server 2": "server 2 alone: server 3 is turned away.",
            "server 2 and server 3": "server 2 and server 3.",
            "server 3": "server 3 alone: server 2 is thrown out.",
        },
        expects="server 2 and server 3",
        why="server 1 deleted the key, as it was told. But the key was no longer its own: it said "
        "`server 2`.\n\n"
        "server 2 had done nothing wrong, was in good time, and got company all the same.",
    ),
    Prediction(
        id="10.look_again",
        question="An idea: before it writes, server 1 looks once more whether the key still "
        "carries its name. Is the money safe then?",
        options={
            "safe": "Yes: who has lost the lock sees it, and does not write.",
            "lost": "No: it can still be lost.",
        },
        expects="lost",
        why="The look was right: at that moment the lock was server 1's. Then came the pause, "
        "then the write. It is check-then-act once more, and a look just before the write makes "
        "the gap smaller, not nothing.\n\n"
        "A program cannot see its own pause. So the check has to be made where the write happens.",
    ),
    Prediction(
        id="10.killed",
        question="server 1 has the account's lock, has read the balance, and is killed by "
        "`kill -9`: it cannot clean up, nor say goodbye. A deposit at server 2 waits for that "
        "lock, its client patient enough. What becomes of it?",
        options={
            "OK at once": "It goes on at once: Redis sees that server 1 is gone.",
            "OK after the lease": "It goes on when the lease of server 1 has run out.",
            "never": "It waits for ever.",
            "refused": "It is refused with an error.",
        },
        expects="OK after the lease",
        why="Nobody told Redis that server 1 is dead, and nobody had to. Its lease was not "
        "renewed any more, so it ran out, and the lock was handed to who waited for it.\n\n"
        "So the lease says how long everybody waits for a dead one. Why not make it as short as "
        "can be? Because a server that lives may be slow. That comes next.",
    ),
    Prediction(
        id="10.fenced",
        question="The same pause once more, and the fence is up: server 1 wakes up after its lease "
        "and sends its commit, with a token that is over. Its client waits all the time, and sends "
        "its deposit only once. What is in the account, and what is client 1 told?",
        options={
            "$200, OK": "$200, and client 1 is told OK: the fence puts the two in order.",
            "$100, OK": "$100, and client 1 is told OK: one of the two is lost.",
            "$100, ABORTED": "$100, and client 1 is told that its deposit was aborted.",
        },
        expects="$100, ABORTED",
        why="The script that sets the balance looked at the token first, and changed nothing. So "
        "the server could say what no timeout ever can: nothing was applied, try again. One "
        "deposit was acknowledged, and one is in the account.\n\n"
        "The pause was as long as before. It costs time now, instead of money.",
    ),
)


class Interrupted(redis.Redis):
    """The bank's Redis for the learner's code; whatever it sends, `then` comes right after it.

    After each command, that is, and after each transaction as a whole.
    """

    def __init__(self, bank: Bank, then: Callable[[], object] = lambda: None) -> None:
        super().__init__(connection_pool=bank.redis.connection_pool)
        self._then = then
        self.is_used = False

    def execute_command(self, *command: Any, **options: Any) -> Any:
        self.is_used = True
        plain: Any = super()  # it has no annotations
        answer = plain.execute_command(*command, **options)
        self._then()
        return answer

    def pipeline(self, *arguments: Any, **options: Any) -> Any:
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
    """Redis' own 1 and 0 will do."""
    if answer not in (True, False):
        raise Wrong(f"`{name}` must return `True` or `False`, and returned `{str(answer)[:40]}`.")
    return bool(answer)


# --- release -------------------------------------------------------------------------------------

SERVER_1, SERVER_2 = "server 1", "server 2"


def check_release(release: Any, bank: Bank) -> None:
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
            "server 1 has the lock and releases it, and the key is still there. Nobody else will "
            "get in."
        )
    if not said:
        raise Wrong("server 1 had the lock and has released it: that is `True`.")

    bank.redis.set(key, SERVER_2)
    said = released(SERVER_1)
    if bank.redis.get(key) != SERVER_2:
        raise Wrong(
            "server 1 was too late: the key says `server 2`. server 1 released all the same, and "
            "now server 2's lock is gone. Delete the key only if it carries your own name."
        )
    if said:
        raise Wrong("The key said `server 2`, and server 1 released nothing: that is `False`.")

    bank.redis.delete(key)
    if released(SERVER_1):
        raise Wrong("The lease has run out and nobody has the lock: nothing to release, `False`.")

    bank.redis.set(key, SERVER_1)
    taken_over = []

    def take_over() -> None:
        """The lease of server 1 runs out, and server 2 gets the lock."""
        if bank.redis.get(key) == SERVER_1:
            taken_over.append(bank.redis.set(key, SERVER_2))

    released(SERVER_1, take_over)
    if taken_over and bank.redis.get(key) != SERVER_2:
        raise Wrong(
            "You look, and then you delete: two commands. Between them the lease of server 1 ran "
            "out, server 2 took the lock, and you deleted that one. Look and delete in one script."
        )


# --- fenced_commit -------------------------------------------------------------------------------


def check_fenced_commit(fenced_commit: Any, bank: Bank) -> None:
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
        100, 33, True, "The first commit ever comes with the token 33.",
        "Nothing came before it, so it cannot be too late: store the balance. Which of two tokens "
        "must be the smaller one for a refusal?",
    )  # fmt: skip
    expect(
        150, 33, True, "The holder with the token 33 commits again.",
        "It holds the lock still, since no greater token has come: store the balance.",
    )  # fmt: skip
    expect(
        300, 34, True, "The lock was handed on: after 33 comes a commit with the token 34.",
        "It must be stored. Too late is who comes with a smaller token than the greatest so far.",
    )  # fmt: skip
    for _ in range(2):
        expect(
            200, 33, False, "After a commit with 34, the holder of 33 wakes up and commits.",
            "It must be refused, and as often as it tries. Remember the greatest token that ever "
            "came, and nothing else.",
        )  # fmt: skip
    expect(
        400, 34, True, "33 was refused; now 34, who holds the lock, commits again.",
        "Its balance must be stored.",
    )  # fmt: skip

    commit(100, 99, "bob")
    if not commit(200, 100, "bob"):
        raise Wrong(
            "After 99 comes the token 100, and is refused. To Lua both are text, and as a text "
            "'99' comes after '100'. Compare `tonumber(…)` of both."
        )

    taken_over: list[bool] = []

    def take_over() -> None:
        """The lease of 33 runs out; 34 gets the lock and commits."""
        if not taken_over:
            taken_over.append(commit(200, 34, "carol"))

    commit(50, 33, "carol")
    commit(100, 33, "carol", take_over)
    if balance("carol") != 200:
        raise Wrong(
            "You look at the token, and then you store: two commands. Between them the holder of "
            "33 fell asleep, 34 committed, and 33 wrote over it. Look and store in one script."
        )


EXERCISES = (
    Exercise(
        id="10.release",
        title="Release only what is yours",
        task="Write `release(redis, key, me)`: delete the key if its value is `me`, and leave it "
        "alone if not. Return `True` if it was yours, else `False`.\n\n"
        "Nobody may come in between the look and the deletion. So do both in one script: Redis "
        "runs a script as one step.",
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
            "An `if` in Lua: `if a == b then … end`. With `return` the script answers.",
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
        right="Compare and delete, in one step. It is asked for so often that newer servers have "
        "a command for it: `DELEX key IFEQ me` in Redis 8.4, `DELIFEQ key me` in Valkey 9.",
        bank=Bank,
    ),
    Exercise(
        id="10.fenced_commit",
        title="The fence",
        task="Write `fenced_commit(redis, account, balance, token)`. `account` is the key of a "
        "hash, and `token` a whole number, greater at each grant of the lock. Store both in the "
        "hash, in the fields `balance` and `token`, and return `True`. But if a greater token was "
        "there before, store nothing and return `False`.\n\n"
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
            "At the first commit there is no token yet, and `HGET` gives `false`. `… or '0'` makes "
            "a `'0'` of that.",
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
        right="However long the holder of 33 sleeps: once 34 was here, its commit changes nothing. "
        "It need not know that it has slept.",
        bank=Bank,
    ),
)
