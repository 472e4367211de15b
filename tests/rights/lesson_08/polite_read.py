# %% wait_for
def polite_read(self):
    with self.changed:
        self.changed.wait_for(lambda: not (self.writing or self.writers_waiting))
        self.readers += 1


# %% Begins again from the first question
def polite_read(self):
    self.changed.acquire()
    while True:
        if self.writers_waiting > 0:
            self.changed.wait()
            continue
        if self.writing:
            self.changed.wait()
            continue
        self.readers += 1
        break
    self.changed.release()


# %% Counts first, and takes it back before each wait
def polite_read(self):
    with self.changed:
        self.readers += 1
        while any((self.writing, self.writers_waiting)):
            self.readers -= 1
            self.changed.wait()
            self.readers += 1


# %% Polls
import time


def polite_read(self):
    def is_in():
        with self.changed:
            may_read = not self.writing and self.writers_waiting == 0
            self.readers += may_read
        return may_read

    while not is_in():
        time.sleep(0.001)
