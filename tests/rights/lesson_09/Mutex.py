# %% wait_for
class Mutex:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._taken = False

    def acquire(self):
        with self._changed:
            self._changed.wait_for(lambda: not self._taken)
            self._taken = True

    def release(self):
        with self._changed:
            self._taken = False
            self._changed.notify_all()


# %% The lock of threading
class Mutex:
    def __init__(self, threading):
        self._lock = threading.Lock()
        self.acquire = self._lock.acquire
        self.release = self._lock.release


# %% A semaphore
class Mutex:
    def __init__(self, threading):
        self._free = threading.Semaphore(1)

    def acquire(self):
        self._free.acquire()

    def release(self):
        self._free.release()


# %% Tickets
class Mutex:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._next_ticket = 0
        self._served = 0

    def acquire(self):
        with self._changed:
            mine = self._next_ticket
            self._next_ticket += 1
            while self._served < mine:
                self._changed.wait()

    def release(self):
        with self._changed:
            self._served += 1
            self._changed.notify_all()


# %% Handed to the thread that has waited longest
import collections


class Mutex:
    def __init__(self, threading):
        self._new_event = threading.Event
        self._guard = threading.Lock()
        self._line = collections.deque()
        self._taken = False

    def acquire(self):
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            my_turn = self._new_event()
            self._line.append(my_turn)
        my_turn.wait()

    def release(self):
        with self._guard:
            if self._line:
                self._line.popleft().set()
            else:
                self._taken = False


# %% A base class
class Waiting:
    def __init__(self, threading):
        self._changed = threading.Condition(threading.Lock())

    def wait_while(self, busy):
        while busy():
            self._changed.wait()


class Mutex(Waiting):
    _owner = None

    def __init__(self, threading):
        super().__init__(threading)
        self._me = threading.get_ident

    def acquire(self):
        with self._changed:
            self.wait_while(lambda: self._owner)
            self._owner = self._me()

    def release(self):
        with self._changed:
            del self._owner
            self._changed.notify()
