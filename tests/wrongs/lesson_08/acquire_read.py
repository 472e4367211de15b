# %% Looks once
# expects: An `if` looks once
def acquire_read(self):
    with self.changed:
        if self.writing:
            self.changed.wait()
        self.readers += 1


# %% Waits for readers
# expects: Readers do not disturb each other
def acquire_read(self):
    with self.changed:
        while self.readers > 0 or self.writing:
            self.changed.wait()
        self.readers += 1


# %% Counts outside the block
# expects: without `with self.changed:`
def acquire_read(self):
    with self.changed:
        while self.writing:
            self.changed.wait()
    self.readers += 1


# %% Spins outside the block
# expects: without `with self.changed:`
def acquire_read(self):
    while self.writing:
        pass
    with self.changed:
        self.readers += 1


# %% Spins inside the block
# expects: releases it until she is woken
def acquire_read(self):
    with self.changed:
        while self.writing:
            pass
        self.readers += 1


# %% Does not count
# expects: must count her
def acquire_read(self):
    with self.changed:
        while self.writing:
            self.changed.wait()


# %% Does not wait
# expects: Wait while `self.writing`
def acquire_read(self):
    with self.changed:
        self.readers += 1


# %% Always waits
# expects: Nobody will wake her
def acquire_read(self):
    with self.changed:
        self.changed.wait()
        self.readers += 1
