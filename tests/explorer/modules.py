"""Modules that keep a lock, each in another place."""

import linecache
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def module(source: str, name: str = "sample") -> Iterator[Any]:
    """A module of this source, which can be imported during the block."""
    found = types.ModuleType(name)
    file = f"<{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    sys.modules[name] = found
    try:
        exec(compile(source, file, "exec"), vars(found))
        yield found
    finally:
        del sys.modules[name], linecache.cache[file]


# Each of these modules has one mutex, `hold()`, which a `with` statement can use.
PLACES = {
    "a global": """
import threading
mutex = threading.RLock()
def hold(): return mutex
""",
    "a name imported from threading": """
from threading import RLock as Mutex
mutex = Mutex()
def hold(): return mutex
""",
    "the module _thread": """
from _thread import RLock
mutex = RLock()
def hold(): return mutex
""",
    "a class attribute": """
import threading
class Account:
    mutex = threading.RLock()
def hold(): return Account().mutex
""",
    "a base class": """
import threading
class Base:
    mutex = threading.RLock()
class Account(Base):
    pass
def hold(): return Account.mutex
""",
    "a default": """
import threading
def hold(mutex=threading.RLock()): return mutex
""",
    "a keyword default": """
import threading
def hold(*, mutex=threading.RLock()): return mutex
""",
    "a closure": """
import threading
def make():
    mutex = threading.RLock()
    def hold(): return mutex
    return hold
hold = make()
""",
    "a closure's closure": """
import functools, threading
def synchronized(function):
    mutex = threading.RLock()
    @functools.wraps(function)
    def call():
        return mutex
    return call
@synchronized
def hold(): pass
""",
    "a function attribute": """
import threading
def hold(): return hold.mutex
hold.mutex = threading.RLock()
""",
    "an object": """
import threading
class Account:
    def __init__(self): self.mutex = threading.RLock()
account = Account()
def hold(): return account.mutex
""",
    "an object in an object": """
import threading
class Account:
    def __init__(self): self.mutex = threading.RLock()
class Bank:
    def __init__(self): self.accounts = {"alice": [Account()]}
bank = Bank()
def hold(): return bank.accounts["alice"][0].mutex
""",
    "a slot": """
import threading
class Account:
    __slots__ = ("mutex",)
    def __init__(self): self.mutex = threading.RLock()
account = Account()
def hold(): return account.mutex
""",
    "beside a slot that is empty": """
import threading
class Account:
    __slots__ = ("mutex", "weak")
    def __init__(self): self.mutex = threading.RLock()
    def __getattr__(self, name): raise TypeError("to ask for it has effects")
account = Account()
def hold(): return account.mutex
""",
    "a dictionary, a list and a tuple": """
import threading
accounts = {"alice": [(1, threading.RLock())]}
def hold(): return accounts["alice"][0][1]
""",
    "a deque": """
import collections, threading
locks = collections.deque([threading.RLock()])
def hold(): return locks[0]
""",
    "a set": """
import threading
locks = {threading.RLock()}
def hold(): return next(iter(locks))
""",
    "a named tuple": """
import collections, threading
Account = collections.namedtuple("Account", "mutex")
account = Account(threading.RLock())
def hold(): return account.mutex
""",
    "a dataclass": """
import dataclasses, threading
@dataclasses.dataclass
class Account:
    mutex: object = dataclasses.field(default_factory=threading.RLock)
account = Account()
def hold(): return account.mutex
""",
    "a dictionary that makes locks": """
import collections, threading
locks = collections.defaultdict(threading.RLock)
def hold(): return locks["alice"]
def reset(): locks.clear()
""",
    "a dataclass that makes locks": """
import dataclasses, threading
@dataclasses.dataclass
class Account:
    mutex: object = dataclasses.field(default_factory=threading.RLock)
made = []
def hold():
    if not made: made.append(Account())
    return made[0].mutex
def reset(): made.clear()
""",
    "a partial": """
import functools, threading
def give(mutex): return mutex
hold = functools.partial(give, threading.RLock())
""",
    "a partial's keyword": """
import functools, threading
def give(mutex): return mutex
hold = functools.partial(give, mutex=threading.RLock())
""",
    "a bound method": """
import contextlib, threading
def make():
    mutex = threading.RLock()
    return mutex.acquire, mutex.release
acquire, release = make()
@contextlib.contextmanager
def hold():
    acquire()
    try: yield
    finally: release()
""",
    "a method's object": """
import threading
class Account:
    def __init__(self): self.mutex = threading.RLock()
    def get(self): return self.mutex
hold = Account().get
""",
    "a static method": """
import threading
class Account:
    @staticmethod
    def hold(mutex=threading.RLock()): return mutex
def hold(): return Account.hold()
""",
    "a property": """
import threading
def make():
    mutex = threading.RLock()
    return property(lambda self: mutex)
class Account:
    mutex = make()
def hold(): return Account().mutex
""",
    "a nested class": """
import threading
class Bank:
    class Account:
        mutex = threading.RLock()
def hold(): return Bank.Account.mutex
""",
    "a metaclass": """
import threading
class Meta(type):
    mutex = threading.RLock()
class Account(metaclass=Meta):
    pass
def hold(): return Account.mutex
""",
    "a condition": """
import threading
mutex = threading.Condition()
def hold(): return mutex
""",
    "a condition's lock": """
import threading
mutex = threading.RLock()
changed = threading.Condition(mutex)
def hold(): return changed if threading.current_thread().name.endswith("2") else mutex
""",
    "a semaphore": """
import threading
mutex = threading.BoundedSemaphore()
def hold(): return mutex
""",
    "a plain lock": """
import threading
mutex = threading.Lock()
def hold(): return mutex
""",
}
