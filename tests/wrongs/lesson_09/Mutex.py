# %% Notifies all and looks once
# expects: must look again
class Mutex:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._taken = False

    def acquire(self):
        with self._changed:
            if self._taken:
                self._changed.wait()
            self._taken = True

    def release(self):
        with self._changed:
            self._taken = False
            self._changed.notify_all()


# %% Does not record that it is taken
# expects: must record that the lock is taken
class Mutex:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._taken = False

    def acquire(self):
        with self._changed:
            while self._taken:
                self._changed.wait()

    def release(self):
        with self._changed:
            self._taken = False
            self._changed.notify()


# %% Spins inside the block
# expects: Wait on the condition
class Mutex:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._taken = False

    def acquire(self):
        with self._changed:
            while self._taken:
                pass
            self._taken = True

    def release(self):
        with self._changed:
            self._taken = False
            self._changed.notify()


# %% Does not record that it is free
# expects: must record that the lock is free
class Mutex:
    def __init__(self, threading):
        self._changed = threading.Condition()
        self._taken = False

    def acquire(self):
        with self._changed:
            if self._taken:
                self._changed.wait()
            self._taken = True

    def release(self):
        with self._changed:
            self._changed.notify()
