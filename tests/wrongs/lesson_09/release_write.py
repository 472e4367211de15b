# %% Releases the mutex before the block
# expects: clearing it came too late
def release_write(self):
    self._writers_mutex.release()
    with self._changed:
        self._writer = None
        self._changed.notify_all()


# %% Notifies first, and releases the mutex after the block
# expects: `read` waits forever
def release_write(self):
    with self._changed:
        self._changed.notify_all()
        self._writer = None
    self._writers_mutex.release()


# %% Notifies without the lock
# expects: Notify only while you hold
def release_write(self):
    self._writer = None
    self._changed.notify_all()
    self._writers_mutex.release()


# %% Notifies one
# expects: Notify all
def release_write(self):
    with self._changed:
        self._writer = None
        self._writers_mutex.release()
        self._changed.notify()


# %% Notifies nobody
# expects: before that lock, and notify
def release_write(self):
    with self._changed:
        self._writer = None
        self._writers_mutex.release()


# %% Leaves the name of the writer
# expects: still names a writer
def release_write(self):
    with self._changed:
        self._writers_mutex.release()
        self._changed.notify_all()
