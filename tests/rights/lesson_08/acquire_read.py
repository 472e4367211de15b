# %% wait_for
def acquire_read(self):
    with self.changed:
        self.changed.wait_for(lambda: not self.writing)
        self.readers += 1


# %% acquire, and release in a finally
def acquire_read(self):
    self.changed.acquire()
    try:
        while True:
            if not self.writing:
                break
            self.changed.wait()
        self.readers = self.readers + 1
    finally:
        self.changed.release()


# %% Looks again from time to time
def acquire_read(self):
    with self.changed:
        while self.writing:
            self.changed.wait(timeout=0.01)
        self.readers += 1


# %% Recursion
def acquire_read(self):
    with self.changed:
        if not self.writing:
            self.readers += 1
            return
        self.changed.wait()
    acquire_read(self)


# %% Polls, and holds the condition for each look
import time


def acquire_read(self):
    while True:
        with self.changed:
            if not self.writing:
                self.readers += 1
                return
        time.sleep(0.001)
