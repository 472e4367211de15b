# %% Notifies first, and releases the mutex before the end of the block
def release_write(self):
    with self._changed:
        self._changed.notify_all()
        self._writer = None
        self._writers_mutex.release()


# %% Releases the mutex first, inside the block
def release_write(self):
    with self._changed:
        self._writers_mutex.release()
        self._writer = None
        self._changed.notify_all()


# %% acquire, and release in a finally
def release_write(self):
    changed = self._changed
    changed.acquire()
    try:
        self._writer = None
        self._writers_mutex.release()
        changed.notify_all()
    finally:
        changed.release()


# %% Two blocks
def release_write(self):
    with self._changed:
        self._writer = None
        self._writers_mutex.release()
    with self._changed:
        self._changed.notify_all()


# %% Notifies more threads than can ever wait
def release_write(self):
    with self._changed:
        self._writer = None
        self._changed.notify(100)
        self._writers_mutex.release()
