# %% Deletes without a check
# expects: now server 2's lock is gone
def release(redis, key, me):
    return redis.delete(key) == 1


# %% Checks and deletes in two commands
# expects: two commands
def release(redis, key, me):
    if redis.get(key) == me:
        return redis.delete(key) == 1
    return False


# %% Checks and does not delete
# expects: the key is still there
def release(redis, key, me):
    script = """
        if redis.call('GET', KEYS[1]) == ARGV[1] then
            return 1
        end
        return 0
    """
    return redis.eval(script, 1, key, me) == 1


# %% Returns nothing
# expects: must return `True` or `False`
def release(redis, key, me):
    script = """
        if redis.call('GET', KEYS[1]) == ARGV[1] then
            redis.call('DEL', KEYS[1])
        end
    """
    redis.eval(script, 1, key, me)


# %% Always says that it was released
# expects: server 1 released nothing
def release(redis, key, me):
    script = """
        if redis.call('GET', KEYS[1]) == ARGV[1] then
            redis.call('DEL', KEYS[1])
        end
        return 1
    """
    return redis.eval(script, 1, key, me) == 1


# %% A name of Python in the script
# expects: ResponseError
def release(redis, key, me):
    script = """
        if redis.call('GET', KEYS[1]) == me then
            return redis.call('DEL', KEYS[1])
        end
        return 0
    """
    return redis.eval(script, 1, key, me) == 1


# %% A transaction without a condition
# expects: now server 2's lock is gone
def release(redis, key, me):
    with redis.pipeline(transaction=True) as together:
        together.get(key)
        together.delete(key)
        value, deleted = together.execute()
    return value == me


# %% Asks nobody, and says no
# expects: asked Redis nothing
def release(redis, key, me):
    return False


# %% Returns a text
# expects: and returned `OK`
def release(redis, key, me):
    redis.get(key)
    return "OK"


# %% Deletes it and puts it back
# expects: the key is still there
def release(redis, key, me):
    redis.getdel(key)
    redis.set(key, me)
    return True


# %% Two transactions
# expects: two commands
def release(redis, key, me):
    with redis.pipeline() as look:
        (value,) = look.get(key).execute()
    if value != me:
        return False
    with redis.pipeline() as delete:
        return delete.delete(key).execute() == [1]
