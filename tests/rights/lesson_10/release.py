# %% A registered script, and the 1 and 0 of Redis
def release(redis, key, me):
    compare_and_delete = redis.register_script(
        "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"
    )
    return compare_and_delete(keys=[key], args=[me])


# %% Optimistically, with WATCH
import redis as redis_py


def release(redis, key, me):
    with redis.pipeline() as together:
        together.watch(key)
        if together.get(key) != me:
            return False
        together.multi()
        together.delete(key)
        try:
            return together.execute() == [1]
        except redis_py.WatchError:
            return False


# %% A transaction that redis-py repeats
def release(redis, key, me):
    def compare_and_delete(together):
        is_mine = together.get(key) == me
        together.multi()
        if is_mine:
            together.delete(key)
        return is_mine

    return redis.transaction(compare_and_delete, key, value_from_callable=True)


# %% The lock of redis-py
from redis.exceptions import LockNotOwnedError
from redis.lock import Lock


def release(redis, key, me):
    lock = Lock(redis, key, thread_local=False)
    lock.local.token = me
    try:
        lock.release()
    except LockNotOwnedError:
        return False
    return True


# %% The script is loaded, and called by its hash
def release(redis, key, me):
    sha = redis.script_load("""
        if redis.call('GET', KEYS[1]) ~= ARGV[1] then
            return false
        end
        redis.call('UNLINK', KEYS[1])
        return 'released'
    """)
    return redis.evalsha(sha, 1, key, me) is not None
