# %% Wakes first, and lets nobody in before the end of the block
def release_write(self):
    with self.changed:
        self.changed.notify_all()
        self.writing = False


# %% acquire, and release in a finally
def release_write(self):
    lock = self.changed
    lock.acquire()
    try:
        self.writing = False
        lock.notify_all()
    finally:
        lock.release()


# %% Wakes more than can ever wait
def release_write(self):
    with self.changed as _, self.changed:
        self.writing = not self.writing
        self.changed.notify(10**6)


# %% Two blocks
def release_write(self):
    with self.changed:
        self.writing = False
    with self.changed:
        self.changed.notify_all()
