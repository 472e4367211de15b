# %% A script with the numbers in its text
def fenced_commit(redis, account, balance, token):
    script = f"""
        local seen = redis.call('HGET', KEYS[1], 'token')
        if seen and tonumber(seen) > {token} then return false end
        redis.call('HMSET', KEYS[1], 'token', {token}, 'balance', {balance})
        return true
    """
    return bool(redis.eval(script, 1, account))


# %% A registered script that reads both fields
COMMIT = """
    local account = redis.call('HMGET', KEYS[1], 'balance', 'token')
    local last = tonumber(account[2]) or -1
    if last <= tonumber(ARGV[2]) then
        return redis.call('HSET', KEYS[1], 'balance', ARGV[1], 'token', ARGV[2]) and 1
    end
    return 0
"""


def fenced_commit(redis, account, balance, token):
    commit = redis.register_script(COMMIT)
    return commit([account], [balance, token]) == 1


# %% Optimistically, with WATCH
import redis as redis_py


def fenced_commit(redis, account, balance, token):
    with redis.pipeline() as together:
        while True:
            try:
                together.watch(account)
                if int(together.hget(account, "token") or 0) > token:
                    return False
                together.multi()
                together.hset(account, mapping={"balance": balance, "token": token})
                together.execute()
                return True
            except redis_py.WatchError:
                continue


# %% A transaction that redis-py repeats
def fenced_commit(redis, account, balance, token):
    def compare_and_set(together):
        seen = together.hget(account, "token")
        fresh = seen is None or int(seen) <= token
        together.multi()
        if fresh:
            together.hset(account, "balance", balance)
            together.hset(account, "token", token)
        return fresh

    return redis.transaction(compare_and_set, account, value_from_callable=True)
