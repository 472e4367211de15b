"""Accounts in Redis: the only file that knows their keys and their Lua.

All keys of one account carry the hash tag `{ID}`, so that they share a cluster slot:

    NAMESPACE:{ID}:account       hash: type, balance (cents); epoch once fenced; generation
    NAMESPACE:{ID}:lock          the account's lock, if Redis keeps it (see `bankkit.locks`)
    NAMESPACE:{ID}:request:RID   "FINGERPRINT BALANCE": the reply to a request id, for 24 h
    NAMESPACE:servers            hash: server id → its lease, "DEADLINE_MS ALONE CONCURRENCY";
                                 and the latest generation

The generation of an account is that of the lease under which it was last read for a write (see
`bankkit.namespace_lease`).

One script checks the request id and makes the change: however many copies of a write arrive, the
money moves once. Lua's numbers are doubles, so balances pass through Lua as strings, and Redis's
integer commands do the arithmetic.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis

from bankkit.accounts import (
    Account,
    AccountExists,
    AccountNotFound,
    LockLost,
    RequestIdReused,
)
from bankkit.locks import STILL_HELD, Fence
from bankkit.locks.lua import Script
from bankkit.redis_backend.connection import CONNECTIONS, Link, renew_map
from bankkit.redis_backend.namespaces import check_namespace
from bankkit.runtime.pickling import Unique

REPLY_SECONDS = 24 * 60 * 60
"""How long Redis keeps the reply to a request id."""


class Request(NamedTuple):
    """A request id and a hash of the operation that it stands for."""

    id: str
    fingerprint: str

    @classmethod
    def of(cls, request_id: str, method: str, parameter: object) -> Request | None:
        """None for the empty id. The fingerprint tells a true retry from a reused id."""
        if not request_id:
            return None
        digest = hashlib.blake2b(f"{method} {parameter}".encode(), digest_size=8)
        return cls(request_id, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of an account when an operation starts."""

    account: Account
    replied: int | None
    """The balance in the reply to an earlier copy of this request; None if there was none."""
    epoch: str
    """How often the account was fenced, '' for never. A fence voids commits after earlier reads."""


# KEYS: account · ARGV: type
_CREATE = Script("""
if redis.call('HSETNX', KEYS[1], 'balance', '0') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'type', ARGV[1])
return 1
""")

# KEYS: account, request · ARGV: generation
# Answer: type, balance, epoch, the reply to the request, the generation of the account. A server
# that reads for a write marks the account with its generation: from then on, commits of older
# generations are refused.
_READ = Script("""
local kind, balance, epoch, generation =
  unpack(redis.call('HMGET', KEYS[1], 'type', 'balance', 'epoch', 'generation'))
if balance and tonumber(ARGV[1]) > tonumber(generation or '0') then
  redis.call('HSET', KEYS[1], 'generation', ARGV[1])
end
return {kind, balance, epoch, redis.call('GET', KEYS[2]), generation}
""")

# The three scripts that change a balance share a head and a tail.
# KEYS: account, request
# ARGV: fingerprint ('' without a request id), reply seconds, generation (0 without a lease), then
# the arguments of the script itself
# Answer: what happened, and the balance or the generation that goes with it.
_HEAD = """
if ARGV[1] ~= '' then
  local reply = redis.call('GET', KEYS[2])
  if reply then return {'replied', reply} end
end
local account = redis.call('HMGET', KEYS[1], 'balance', 'epoch', 'generation')
local before, epoch = account[1], account[2] or ''
if not before then return {'missing'} end
local leased, generation = ARGV[3] ~= '0', tonumber(account[3] or '0')
if leased and generation > tonumber(ARGV[3]) then return {'outranked', account[3]} end
local is_older = leased and generation < tonumber(ARGV[3])
"""
_MARK = """
if is_older then redis.call('HSET', KEYS[1], 'generation', ARGV[3]) end
"""
_TAIL = """
local after = redis.call('HGET', KEYS[1], 'balance')
if ARGV[1] ~= '' then redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. after, 'EX', ARGV[2]) end
return {'done', after}
"""

# KEYS: account, request, the lock of the fence · ARGV: … balance, epoch, the fence's token or ''
# If the account's generation is older than it was at the read, a failover has lost the newer mark.
_SET = Script(f"""{STILL_HELD} {_HEAD}
if ARGV[6] ~= '' and not still_held(KEYS[3], ARGV[6]) then return {{'lost'}} end
if epoch ~= ARGV[5] or is_older then return {{'changed', before}} end
redis.call('HSET', KEYS[1], 'balance', ARGV[4]) {_TAIL}""")

_COMPARE_AND_SET = Script(f"""{_HEAD}
if before ~= ARGV[5] then return {{'changed', before}} end
{_MARK}
redis.call('HSET', KEYS[1], 'balance', ARGV[4]) {_TAIL}""")

# Both summands are below 2^53, where a double still counts every cent.
_ADD = Script(f"""{_HEAD}
local sum = tonumber(before) + tonumber(ARGV[4])
if sum < tonumber(ARGV[5]) or sum > tonumber(ARGV[6]) then return {{'refused', before}} end
{_MARK}
redis.call('HINCRBY', KEYS[1], 'balance', ARGV[4]) {_TAIL}""")

# KEYS: account
_FENCE = Script("""
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HINCRBY', KEYS[1], 'epoch', 1) end
return 1
""")

# KEYS: servers · ARGV: server id, concurrency, lease milliseconds, '1' if it needs to be alone,
# '1' to join despite rivals, its generation (0 for none), the latest generation that it has seen
# Answer: its generation, and the concurrency choices of its rivals: the running servers that it may
# not work beside. Servers that work together share a generation; a server that finds no others gets
# a new one. A generation is at least the time in microseconds, so that it grows even if Redis has
# lost the last one.
_REGISTER = Script("""
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now, lease = math.floor(micros / 1000), tonumber(ARGV[3])
local is_alone, mine, seen = ARGV[4] == '1', tonumber(ARGV[6]), tonumber(ARGV[7])
local rivals, peers, kept, generation = {}, false, false, 0
local found = redis.call('HGETALL', KEYS[1])
for i = 1, #found, 2 do
  local id, entry = found[i], found[i + 1]
  if id == 'generation' then
    generation = tonumber(entry)
  else
    local deadline, alone, concurrency = string.match(entry, '^(%d+) (%d) (.*)$')
    deadline = tonumber(deadline or '0')
    if deadline < now or deadline > now + lease then  -- expired, or the clock was set back since
      redis.call('HDEL', KEYS[1], id)
    elseif id == ARGV[1] then
      kept = true
    elseif alone == '1' or is_alone or concurrency ~= ARGV[2] then
      rivals[#rivals + 1] = concurrency
    else
      peers = true
    end
  end
end
local joins = ARGV[5] == '1'
if #rivals > 0 and not joins then return {'0', unpack(rivals)} end
local goes_on = kept and mine == generation or peers or (kept and not is_alone)
if not joins and (not goes_on or generation < math.max(seen, 1)) then
  generation = math.max(micros, generation + 1, seen + 1)
  redis.call('HSET', KEYS[1], 'generation', string.format('%d', generation))
end
local deadline = string.format('%d', now + lease)
redis.call('HSET', KEYS[1], ARGV[1], deadline .. ' ' .. ARGV[4] .. ' ' .. ARGV[2])
return {joins and '0' or string.format('%d', generation), unpack(rivals)}
""")


class OutOfBounds(Exception):
    """The sum that `add` would have stored is out of bounds; `balance` is the balance it found."""

    def __init__(self, balance: int) -> None:
        self.balance = balance
        super().__init__(balance)


class WriteConflict(Exception):
    """The account has changed since it was read, so the commit did not change it."""


class Outranked(Exception):
    """A server of a later generation has marked the account; `generation` is the later one.
    Nothing was read or changed."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        super().__init__(generation)


class Registration(NamedTuple):
    """The answer to a server that asks for its lease."""

    generation: int
    """The generation of its lease; 0 if the lease was refused or taken with `force`."""
    rivals: tuple[str, ...]
    """The concurrency choices of the running servers that it may not work beside."""


class Store(Unique):
    """The accounts of one namespace.

    A change is acknowledged when Redis and `wait_replicas` replicas have it. A change that only the
    master has acknowledged may be lost when a replica takes its place.

    Safe for any number of threads; `connections` of them can use Redis at once. Every method
    except `peek` raises `StoreUnavailable` when Redis is away or too slow; then it is unknown
    whether a change was applied.
    """

    def __init__(
        self,
        client: redis.Redis,
        namespace: str = "bank",
        *,
        wait_replicas: int = 0,
        connections: int = CONNECTIONS,
    ) -> None:
        check_namespace(namespace)
        self.client = client
        self.namespace = namespace
        self.link = Link(client, wait_replicas=wait_replicas, connections=connections)

    def create(self, account_id: str, account_type: str) -> Account:
        """Opens an account with a balance of 0. Raises `AccountExists`."""
        keys = [self._key(account_id, "account")]
        if not _CREATE.run(self.link.confirmed, keys, account_type):
            raise AccountExists
        return Account(account_id, account_type, 0)

    def read(
        self, account_id: str, request: Request | None = None, generation: int = 0
    ) -> Snapshot:
        """The account, and the reply to `request` if it was answered before.

        A `generation` means that a server reads in order to write, under a lease of this
        generation: commits of earlier generations are refused from then on. Raises `Outranked` if
        the account has a later generation, `AccountNotFound`, and `RequestIdReused` for a request
        id that stood for another operation.
        """
        key = self._key(account_id, "account")
        if request is None and not generation:
            account_type, balance, epoch = self.link.execute_command(
                "HMGET", key, "type", "balance", "epoch"
            )
            reply = stamped = None
        else:
            keys = [key, self._key(account_id, f"request:{request.id if request else ''}")]
            account_type, balance, epoch, reply, stamped = _READ.run(
                self.link.execute_command, keys, generation
            )
        if balance is None:
            raise AccountNotFound
        if generation and stamped and int(stamped) > generation:
            raise Outranked(int(stamped))
        replied = None if reply is None else self._first_reply(account_id, request, reply)
        return Snapshot(Account(account_id, account_type, int(balance)), replied, epoch or "")

    def commit(
        self,
        account_id: str,
        balance: int,
        request: Request | None = None,
        epoch: str = "",
        fence: Fence | None = None,
        generation: int = 0,
    ) -> int:
        """Overwrites the balance, unless `request` was answered before.

        Returns the balance for the reply. Raises `WriteConflict` if the account was fenced since
        it was read in `epoch`, `LockLost` if the account's lock no longer has the token of
        `fence`, and `Outranked` if a server of a later generation has read the account for a write.
        """
        token = fence.token if fence else ""
        return self._change(_SET, account_id, request, generation, balance, epoch, token)

    def compare_and_set(
        self,
        account_id: str,
        expected: int,
        balance: int,
        request: Request | None = None,
        generation: int = 0,
    ) -> int:
        """Sets the balance if it is the expected one; otherwise raises `WriteConflict`.

        Returns the balance for the reply. Raises `Outranked` like `commit`.
        """
        return self._change(_COMPARE_AND_SET, account_id, request, generation, balance, expected)

    def fence(self, account_id: str) -> None:
        """Voids every commit whose operation has read the account before this moment."""
        _FENCE.run(self.link.execute_command, [self._key(account_id, "account")])

    def add(
        self,
        account_id: str,
        delta: int,
        floor: int,
        cap: int,
        request: Request | None = None,
        generation: int = 0,
    ) -> int:
        """Adds `delta` cents in one atomic step, if the sum is from `floor` to `cap`.

        Returns the balance for the reply. Raises `OutOfBounds`, and `Outranked` like `commit`.
        """
        return self._change(_ADD, account_id, request, generation, delta, floor, cap)

    def register(
        self,
        server_id: str,
        concurrency: str,
        *,
        alone: bool,
        lease_ms: int,
        force: bool = False,
        generation: int = 0,
        seen: int = 0,
    ) -> Registration:
        """Takes or renews a server's lease on the namespace, unless it has rivals.

        `alone` says that the server's concurrency choice is safe only without other servers. Its
        rivals are then all other servers. Otherwise they are the servers that need to be alone and
        those with another choice: a lock keeps out only the servers that take it. With `force` the
        server takes the lease despite rivals, without a generation. `generation` is the server's
        own, and `seen` is the latest that it has seen on an account. If its lease has expired, the
        server gets the generation of the servers that it works with, or else a later one than both.
        """
        flags = ("1" if alone else "0", "1" if force else "0")
        got, *rivals = _REGISTER.run(
            self.link.execute_command,
            [self._servers],
            server_id,
            concurrency,
            lease_ms,
            *flags,
            generation,
            seen,
        )
        return Registration(int(got), tuple(rivals))

    def servers(self, lease_ms: int) -> dict[str, tuple[str, bool]]:
        """The servers that hold a lease: by id, the concurrency choice and whether it is `alone`.

        A lease that has more than `lease_ms` left counts as expired, as in `register`.
        """
        leases = self.link.execute_command("HGETALL", self._servers)
        seconds, microseconds = self.link.execute_command("TIME")
        now = int(seconds) * 1000 + int(microseconds) // 1000
        found = {}
        for server_id, lease in zip(leases[::2], leases[1::2], strict=True):
            if server_id == "generation":
                continue
            deadline, alone, concurrency = lease.split(" ", 2)
            if now <= int(deadline) <= now + lease_ms:
                found[server_id] = (concurrency, alone == "1")
        return found

    def unregister(self, server_id: str) -> None:
        """Gives the server's lease back, if there is one."""
        self.link.execute_command("HDEL", self._servers, server_id)

    def peek(self, account_id: str) -> dict[str, Any]:
        """Everything that Redis holds for an account, by key; the namespace is shown as `bank`.

        The field `generation` of the account is left out. Raises the errors of redis-py, because
        this method is for looking around.
        """
        renew_map(self.client)
        found: dict[str, Any] = {}
        for key in sorted(self.client.scan_iter(self._key(account_id, "*"), count=1000)):
            shown = f"bank{key[len(self.namespace) :]}"
            kind = self.client.type(key)
            found[shown] = self.client.hgetall(key) if kind == "hash" else self.client.get(key)
            if kind == "hash":
                found[shown].pop("generation", None)
        return found

    def lock_key(self, account_id: str) -> str:
        """The key of the account's lock, in the same slot as the account."""
        return self._key(account_id, "lock")

    @property
    def _servers(self) -> str:
        return f"{self.namespace}:servers"

    def _key(self, account_id: str, part: str) -> str:
        return f"{self.namespace}:{{{account_id}}}:{part}"

    def _change(
        self,
        script: Script,
        account_id: str,
        request: Request | None,
        generation: int,
        *values: int | str,
    ) -> int:
        request_id, fingerprint = request or ("", "")
        keys = [
            self._key(account_id, "account"),
            self._key(account_id, f"request:{request_id}"),
            self.lock_key(account_id),
        ]
        outcome, *rest = script.run(
            self.link.confirmed, keys, fingerprint, REPLY_SECONDS, generation, *values
        )
        if outcome == "done":
            return int(rest[0])
        if outcome == "replied":
            return self._first_reply(account_id, request, rest[0])
        if outcome == "missing":
            raise AccountNotFound
        if outcome == "lost":
            raise LockLost
        if outcome == "outranked":
            raise Outranked(int(rest[0]))
        if outcome == "refused":
            raise OutOfBounds(int(rest[0]))
        raise WriteConflict

    def _first_reply(self, account_id: str, request: Request | None, reply: str) -> int:
        """The balance in a stored reply; returns once the replicas have the change."""
        balance = _replied(request, reply)
        if request is not None and self.link.wait_replicas:
            # An earlier copy of the call made the change, and may have waited for the replicas in
            # vain. WAIT covers only the writes of its own connection, so this one writes, too.
            key = self._key(account_id, f"request:{request.id}")
            self.link.confirmed("EXPIRE", key, str(REPLY_SECONDS))
        return balance


def _replied(request: Request | None, reply: str) -> int:
    fingerprint, balance = reply.split(" ")
    if request is None or fingerprint != request.fingerprint:
        raise RequestIdReused
    return int(balance)
