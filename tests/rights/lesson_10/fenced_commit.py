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
