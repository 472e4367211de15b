# %% Notifies nobody when it gives up
# expects: must notify the threads that it blocked
def acquire_in_time(self, timeout):
    with self._changed:
        self._waiting += 1
        free = self._changed.wait_for(lambda: not self._writing and not self._readers, timeout)
        self._waiting -= 1
        if free:
            self._writing = True
        return free


# %% Stays counted after it has given up
# expects: must undo all its changes
def acquire_in_time(self, timeout):
    with self._changed:
        self._waiting += 1
        if not self._changed.wait_for(lambda: not self._writing and not self._readers, timeout):
            self._changed.notify_all()
            return False
        self._waiting -= 1
        self._writing = True
        return True


# %% Writes after the timeout
# expects: only if you found the lock free
def acquire_in_time(self, timeout):
    with self._changed:
        self._waiting += 1
        self._changed.wait_for(lambda: not self._writing and not self._readers, timeout)
        self._waiting -= 1
        self._writing = True
        return True


# %% Waits forever
# expects: waits longer than its `timeout`
def acquire_in_time(self, timeout):
    self.acquire_write()
    return True


# %% Stores what wait_for has returned
# expects: A writer that stays until another one has given up
def acquire_in_time(self, timeout):
    with self._changed:
        self._waiting += 1
        try:
            self._writing = self._changed.wait_for(
                lambda: not self._writing and not self._readers, timeout
            )
            return self._writing
        finally:
            self._waiting -= 1
            self._changed.notify_all()


# %% Does not count itself as waiting
# expects: Count it in `self._waiting`
def acquire_in_time(self, timeout):
    with self._changed:
        if not self._changed.wait_for(lambda: not self._writing and not self._readers, timeout):
            return False
        self._writing = True
        return True
