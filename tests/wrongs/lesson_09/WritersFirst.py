# %% Only a writer notifies all
# expects: Two readers and one writer:
class WritersFirst:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._waiting = 0  # waiting writers

    def acquire_read(self):
        with self._changed:
            while self._writing or self._waiting:
                self._changed.wait()
            self._readers += 1

    def release_read(self):
        with self._changed:
            self._readers -= 1
            self._changed.notify()

    def acquire_write(self):
        with self._changed:
            self._waiting += 1
            while self._writing or self._readers:
                self._changed.wait()
            self._waiting -= 1
            self._writing = True

    def release_write(self):
        with self._changed:
            self._writing = False
            self._changed.notify_all()


# %% Only a reader notifies all
# expects: One reader and two writers:
class WritersFirst:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._waiting = 0  # waiting writers

    def acquire_read(self):
        with self._changed:
            while self._writing or self._waiting:
                self._changed.wait()
            self._readers += 1

    def release_read(self):
        with self._changed:
            self._readers -= 1
            self._changed.notify_all()

    def acquire_write(self):
        with self._changed:
            self._waiting += 1
            while self._writing or self._readers:
                self._changed.wait()
            self._waiting -= 1
            self._writing = True

    def release_write(self):
        with self._changed:
            self._writing = False
            self._changed.notify()


# %% Readers do not wait for waiting writers
# expects: no longer go first
class WritersFirst:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._waiting = 0  # waiting writers

    def acquire_read(self):
        with self._changed:
            while self._writing:
                self._changed.wait()
            self._readers += 1

    def release_read(self):
        with self._changed:
            self._readers -= 1
            self._changed.notify()

    def acquire_write(self):
        with self._changed:
            self._waiting += 1
            while self._writing or self._readers:
                self._changed.wait()
            self._waiting -= 1
            self._writing = True

    def release_write(self):
        with self._changed:
            self._writing = False
            self._changed.notify()


# %% Only the last reader notifies
# expects: The writer was never woken
class WritersFirst:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._waiting = 0  # waiting writers

    def acquire_read(self):
        with self._changed:
            while self._writing or self._waiting:
                self._changed.wait()
            self._readers += 1

    def release_read(self):
        with self._changed:
            self._readers -= 1
            if not self._readers:
                self._changed.notify()

    def acquire_write(self):
        with self._changed:
            self._waiting += 1
            while self._writing or self._readers:
                self._changed.wait()
            self._waiting -= 1
            self._writing = True

    def release_write(self):
        with self._changed:
            self._writing = False
            self._changed.notify()
