# %% Undoes its count in a finally
def acquire_in_time(self, timeout):
    with self._changed:
        self._waiting += 1
        try:
            free = self._changed.wait_for(lambda: not (self._writing or self._readers), timeout)
            if free:
                self._writing = True
            return free
        finally:
            self._waiting -= 1
            self._changed.notify_all()


# %% A deadline of its own
import time


def acquire_in_time(self, timeout):
    deadline = time.monotonic() + timeout
    with self._changed:
        self._waiting += 1
        while self._writing or self._readers:
            left = deadline - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                self._waiting -= 1
                self._changed.notify_all()
                return False
        self._waiting -= 1
        self._writing = True
        return True


# %% Waits once, and then looks
def acquire_in_time(self, timeout):
    with self._changed:
        busy = lambda: self._writing or self._readers > 0  # noqa: E731
        if busy():
            self._waiting += 1
            self._changed.wait_for(lambda: not busy(), timeout)
            self._waiting -= 1
        may_write = not busy()
        if may_write:
            self._writing = True
        else:
            self._changed.notify_all()
        return may_write


# %% A deadline of its own, and the result of wait is ignored
import time


def acquire_in_time(self, timeout):
    deadline = time.monotonic() + timeout
    with self._changed:
        self._waiting += 1
        while (self._writing or self._readers) and time.monotonic() < deadline:
            self._changed.wait(deadline - time.monotonic())
        self._waiting -= 1
        if self._writing or self._readers:
            self._changed.notify_all()
            return False
        self._writing = True
        return True
