# %% Refuses greater tokens
# expects: only if its token is smaller than the stored one
def fenced_commit(redis, account, balance, token):
    script = """
        local seen = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
        if tonumber(ARGV[2]) > seen then
            return 0
        end
        redis.call('HSET', KEYS[1], 'balance', ARGV[1], 'token', ARGV[2])
        return 1
    """
    return redis.eval(script, 1, account, balance, token) == 1


# %% Refuses an equal token
# expects: The holder with the token 33 commits again
def fenced_commit(redis, account, balance, token):
    script = """
        local seen = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
        if tonumber(ARGV[2]) <= seen then
            return 0
        end
        redis.call('HSET', KEYS[1], 'balance', ARGV[1], 'token', ARGV[2])
        return 1
    """
    return redis.eval(script, 1, account, balance, token) == 1


# %% Does not store the token
# expects: Store the greatest token so far
def fenced_commit(redis, account, balance, token):
    script = """
        local seen = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
        if tonumber(ARGV[2]) < seen then
            return 0
        end
        redis.call('HSET', KEYS[1], 'balance', ARGV[1])
        return 1
    """
    return redis.eval(script, 1, account, balance, token) == 1


# %% Stores the smaller token too
# expects: however often it tries
def fenced_commit(redis, account, balance, token):
    script = """
        local seen = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
        redis.call('HSET', KEYS[1], 'token', ARGV[2])
        if tonumber(ARGV[2]) < seen then
            return 0
        end
        redis.call('HSET', KEYS[1], 'balance', ARGV[1])
        return 1
    """
    return redis.eval(script, 1, account, balance, token) == 1


# %% Checks and stores in two commands
# expects: two commands
def fenced_commit(redis, account, balance, token):
    if token < int(redis.hget(account, "token") or 0):
        return False
    redis.hset(account, mapping={"balance": balance, "token": token})
    return True


# %% Compares text
# expects: In Lua both are texts
def fenced_commit(redis, account, balance, token):
    script = """
        local seen = redis.call('HGET', KEYS[1], 'token') or '0'
        if ARGV[2] < seen then
            return 0
        end
        redis.call('HSET', KEYS[1], 'balance', ARGV[1], 'token', ARGV[2])
        return 1
    """
    return redis.eval(script, 1, account, balance, token) == 1


# %% Does not expect a first commit
# expects: ResponseError
def fenced_commit(redis, account, balance, token):
    script = """
        if tonumber(ARGV[2]) < tonumber(redis.call('HGET', KEYS[1], 'token')) then
            return 0
        end
        redis.call('HSET', KEYS[1], 'balance', ARGV[1], 'token', ARGV[2])
        return 1
    """
    return redis.eval(script, 1, account, balance, token) == 1


# %% Always says that it was stored
# expects: so your function must return `False`
def fenced_commit(redis, account, balance, token):
    script = """
        local seen = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
        if tonumber(ARGV[2]) >= seen then
            redis.call('HSET', KEYS[1], 'balance', ARGV[1], 'token', ARGV[2])
        end
        return 1
    """
    return redis.eval(script, 1, account, balance, token) == 1


# %% Asks nobody, and says yes
# expects: asked Redis nothing
def fenced_commit(redis, account, balance, token):
    return True


# %% Stores nothing, and says yes
# expects: The first commit has the token 33
def fenced_commit(redis, account, balance, token):
    redis.hget(account, "token")
    return True


# %% Stores nothing, and says no
# expects: The first commit has the token 33
def fenced_commit(redis, account, balance, token):
    redis.hget(account, "token")
    return False


# %% Two transactions
# expects: two commands
def fenced_commit(redis, account, balance, token):
    with redis.pipeline() as look:
        (seen,) = look.hget(account, "token").execute()
    if int(seen or 0) > token:
        return False
    with redis.pipeline() as store:
        store.hset(account, mapping={"balance": balance, "token": token}).execute()
    return True
