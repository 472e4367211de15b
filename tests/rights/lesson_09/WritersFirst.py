# %% Two conditions with one lock
class WritersFirst:
    def __init__(self, threading):
        lock = threading.Lock()
        self._may_read = threading.Condition(lock)
        self._may_write = threading.Condition(lock)
        self._readers = 0
        self._writing = False
        self._waiting = 0

    def acquire_read(self):
        with self._may_read:
            while self._writing or self._waiting:
                self._may_read.wait()
            self._readers += 1

    def release_read(self):
        with self._may_write:
            self._readers -= 1
            if self._readers == 0:
                self._may_write.notify()

    def acquire_write(self):
        with self._may_write:
            self._waiting += 1
            while self._writing or self._readers:
                self._may_write.wait()
            self._waiting -= 1
            self._writing = True

    def release_write(self):
        with self._may_write:
            self._writing = False
            if self._waiting:
                self._may_write.notify()
            else:
                self._may_read.notify_all()


# %% wait_for, and one number for all threads inside
class WritersFirst:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._inside = 0  # readers, or -1 for a writer
        self._waiting = 0

    def acquire_read(self):
        with self._changed:
            self._changed.wait_for(lambda: self._inside >= 0 and not self._waiting)
            self._inside += 1

    def release_read(self):
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def acquire_write(self):
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._inside == 0)
            self._waiting -= 1
            self._inside = -1

    def release_write(self):
        with self._changed:
            self._inside = 0
            self._changed.notify_all()


# %% Only semaphores, as Courtois, Heymans and Parnas did it in 1971
class WritersFirst:
    def __init__(self, threading):
        self._count_readers = threading.Semaphore(1)
        self._count_writers = threading.Semaphore(1)
        self._one_reader_asks = threading.Semaphore(1)
        self._may_read = threading.Semaphore(1)
        self._may_write = threading.Semaphore(1)
        self._readers = self._writers = 0

    def acquire_read(self):
        with self._one_reader_asks, self._may_read, self._count_readers:
            self._readers += 1
            if self._readers == 1:
                self._may_write.acquire()

    def release_read(self):
        with self._count_readers:
            self._readers -= 1
            if self._readers == 0:
                self._may_write.release()

    def acquire_write(self):
        with self._count_writers:
            self._writers += 1
            if self._writers == 1:
                self._may_read.acquire()
        self._may_write.acquire()

    def release_write(self):
        self._may_write.release()
        with self._count_writers:
            self._writers -= 1
            if self._writers == 0:
                self._may_read.release()


# %% An event for each waiting thread
class WritersFirst:
    def __init__(self, threading):
        self._new_event = threading.Event
        self._guard = threading.Lock()
        self._readers = []
        self._writers = []
        self._inside = 0

    def _enter(self, line, is_free, step):
        with self._guard:
            if is_free():
                self._inside += step
                return
            turn = self._new_event()
            line.append(turn)
        turn.wait()

    def _hand_on(self):
        if self._writers:
            if self._inside == 0:
                self._inside = -1
                self._writers.pop(0).set()
        elif self._inside >= 0:
            self._inside += len(self._readers)
            while self._readers:
                self._readers.pop().set()

    def acquire_read(self):
        self._enter(self._readers, lambda: self._inside >= 0 and not self._writers, 1)

    def acquire_write(self):
        self._enter(self._writers, lambda: self._inside == 0, -1)

    def release_read(self):
        with self._guard:
            self._inside -= 1
            self._hand_on()

    def release_write(self):
        with self._guard:
            self._inside += 1
            self._hand_on()
