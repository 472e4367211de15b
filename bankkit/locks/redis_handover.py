"""The scripts of the Redis lock, in Lua: they decide who holds it, and hand it over to waiters.

The state of a lock is one key that holds a JSON text:

    {"holders": [{"id": …, "mode": "write", "token": "1757000000123456", "expires": …}],
     "queue": [{"id": …, "mode": "read", "lease": 3000, "expires": …}],
     "last": "1757000000123456"}

Times are milliseconds of Redis' own clock, so the clocks of the clients do not matter. A holder
counts until its lease expires, and a waiter until its place in the queue expires. The key itself
expires with the last of them, so nothing of a dead process remains. An entry is valid up to and
including the millisecond at which it expires, as keys in Redis are. An entry that expires later
than the longest lease from now was written before the clock was set back, and counts as expired.

A token is the time of the grant in microseconds, or one more than the last token, whichever is
greater. It is text, because Redis writes numbers into JSON with 14 digits. It needs no counter that
outlives the lock, and it stays unique after a failover to a replica that has no copy of the lock.

Invariant between scripts: there are waiters only while there is a holder. So each script first
drops expired entries, then hands the lock over if that made room, and then does its own work.

Each waiter blocks on its own list, `KEY:wake:ID`. The message on this list is the grant. The name
of the list is computed in the script, but it is in the same slot of a Redis Cluster as the lock.
"""

from __future__ import annotations

from .lua import Script

LONGEST_LEASE = 3600.0
"""Seconds."""

# KEYS: lock · ARGV: id, then arguments of the script
# Some scripts treat the usual case, a lock that nobody else wants, separately: it takes half the
# time.
_NOW = """
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
"""

_RUNS = f"""
local function runs(entry)
  return entry.expires >= now and entry.expires <= now + {LONGEST_LEASE * 1000:.0f}
end
"""

_STORED = """
local stored = redis.call('GET', KEYS[1])
"""

_STATE = (
    _RUNS
    + """
local id = ARGV[1]
local lock = stored and cjson.decode(stored) or {holders = {}, queue = {}, last = '0'}

local function position(list)
  for index, entry in ipairs(list) do
    if entry.id == id then return index end
  end
end

local function living(list, on_death)
  local alive = {}
  for _, entry in ipairs(list) do
    if runs(entry) then alive[#alive + 1] = entry else on_death(entry) end
  end
  return alive
end

local function wake_list(waiter)
  local tagged = string.find(KEYS[1], '^[^{]*{[^}]+}')
  return (tagged and KEYS[1] or '{' .. KEYS[1] .. '}') .. ':wake:' .. waiter
end

local function grant(waiter, mode, lease)
  lock.last = string.format('%d', math.max(micros, lock.last + 1))
  local holder = {id = waiter, mode = mode, token = lock.last, expires = now + lease}
  lock.holders[#lock.holders + 1] = holder
  return lock.last
end

local function hand_over(mode, most)
  local left = {}
  for _, waiter in ipairs(lock.queue) do
    if waiter.mode == mode and most > 0 then
      most = most - 1
      local list = wake_list(waiter.id)
      redis.call('RPUSH', list, grant(waiter.id, mode, waiter.lease))
      redis.call('PEXPIRE', list, waiter.lease)
    else
      left[#left + 1] = waiter
    end
  end
  lock.queue = left
end

-- `ended` is the mode of the holder that has just left. Reads and writes take turns (phase-fair).
local function settle(ended)
  lock.holders = living(lock.holders, function(holder) ended = holder.mode end)
  lock.queue = living(lock.queue, function() end)
  local holder = lock.holders[1]
  if not lock.queue[1] or (holder and holder.mode == 'write') then return end
  local waiting = {read = 0, write = 0}
  for _, waiter in ipairs(lock.queue) do waiting[waiter.mode] = waiting[waiter.mode] + 1 end
  if not holder and waiting.write > 0 and (ended ~= 'write' or waiting.read == 0) then
    hand_over('write', 1)
  elseif not holder or waiting.write == 0 then
    hand_over('read', math.huge)
  end
end

local function store()
  local latest = 0
  for _, list in ipairs({lock.holders, lock.queue}) do
    for _, entry in ipairs(list) do latest = math.max(latest, entry.expires) end
  end
  if latest > 0 then
    redis.call('SET', KEYS[1], cjson.encode(lock), 'PXAT', string.format('%d', latest))
  elseif stored then
    redis.call('DEL', KEYS[1])
  end
end
"""
)

# ARGV: id, mode, lease in ms, '1' to queue if the lock is taken
# Answer: the token, or the number of ms until the first lease or place in the queue expires.
# A waiter that asks again keeps its place in the queue, and finds a grant whose message was lost.
# Its place or its lease then lasts for a full lease from now.
_ASK = f"""{_NOW}
local token, expires = string.format('%d', micros), string.format('%d', now + ARGV[3])
local alone = '{{"holders":[{{"id":"' .. ARGV[1] .. '","mode":"' .. ARGV[2] ..
  '","token":"' .. token .. '","expires":' .. expires ..
  '}}],"queue":{{}},"last":"' .. token .. '"}}'
if redis.call('SET', KEYS[1], alone, 'NX', 'PXAT', expires) then return token end
{_STORED}{_STATE}
settle()
local mode, lease = ARGV[2], tonumber(ARGV[3])
local held = position(lock.holders)
if held then
  redis.call('DEL', wake_list(id))
  lock.holders[held].expires = now + lease
  store()
  return lock.holders[held].token
end
local holder = lock.holders[1]
-- While readers hold the lock, each waiter is a writer or came after one.
if not holder or (mode == 'read' and holder.mode == 'read' and not lock.queue[1]) then
  local token = grant(id, mode, lease)
  store()
  return token
end
local soonest = math.huge
for _, list in ipairs({{lock.holders, lock.queue}}) do
  for _, entry in ipairs(list) do soonest = math.min(soonest, entry.expires) end
end
if ARGV[4] == '1' then
  local queued = position(lock.queue)
  if not queued then
    queued = #lock.queue + 1
    lock.queue[queued] = {{id = id, mode = mode, lease = lease}}
  end
  lock.queue[queued].expires = now + lease
end
store()
return soonest - now
"""

# ARGV: id
# Answer: the token, if the lock was handed over before the waiter gave up.
_LEAVE = f"""{_NOW}{_STORED}{_STATE}
local queued = position(lock.queue)
if queued then table.remove(lock.queue, queued) end
settle()
store()
local held = position(lock.holders)
if not held then return false end
redis.call('DEL', wake_list(id))
return lock.holders[held].token
"""

# ARGV: id
# Answer: 1 if the lease was still valid, else 0.
_RELEASE = f"""{_STORED}
if not stored then return 0 end
local only = cjson.decode(stored)
if #only.holders == 1 and only.holders[1].id == ARGV[1] and not only.queue[1] then
  redis.call('DEL', KEYS[1])  -- the key exists only while the lease is valid
  return 1
end
{_NOW}{_STATE}
local held = position(lock.holders)
local ended = held and table.remove(lock.holders, held)
settle(ended and ended.mode)
store()
return (ended and runs(ended)) and 1 or 0
"""

# ARGV: id, lease in ms
# Answer: 1 if the lease was still valid and is now renewed, else 0.
_RENEW = f"""{_NOW}{_STORED}{_STATE}
settle()
local held = position(lock.holders)
if held then lock.holders[held].expires = now + ARGV[2] end
store()
return held and 1 or 0
"""

# Answer: the time in ms, and the state or nil
_LOOK = """
local time = redis.call('TIME')
return {time[1] * 1000 + math.floor(time[2] / 1000), redis.call('GET', KEYS[1])}
"""

STILL_HELD = f"""
local function still_held(key, token)
  local stored = redis.call('GET', key)
  if not stored then return false end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  {_RUNS}
  for _, it in ipairs(cjson.decode(stored).holders) do
    if it.mode == 'write' and it.token == token and runs(it) then return true end
  end
  return false
end
"""
"""Lua: `still_held(key, token)` says whether the writer with that token (text) holds the lock at
`key` and its lease is still valid.

It is for the script that changes the guarded data, whose key must be in the same slot as the lock.
It is stronger than refusing tokens smaller than the greatest one seen: it needs no stored state,
and it refuses a holder whose lease has expired even if nobody took the lock since.
"""


ask = Script(_ASK)
leave = Script(_LEAVE)
release = Script(_RELEASE)
renew = Script(_RENEW)
look = Script(_LOOK)


def wake_list(key: str, waiter: str) -> str:
    """The name of the list on which a waiter blocks."""
    return f"{key if is_tagged(key) else '{' + key + '}'}:wake:{waiter}"


def is_tagged(key: str) -> bool:
    """Whether the key has a hash tag: a part in braces that decides its slot in a Redis Cluster."""
    _, opened, rest = key.partition("{")
    return bool(opened) and rest.find("}") > 0
