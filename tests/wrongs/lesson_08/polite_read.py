# %% Waits only for a writer inside
# expects: Wait while anybody waits to write
def polite_read(self):
    with self.changed:
        while self.writing:
            self.changed.wait()
        self.readers += 1


# %% Looks once
# expects: An `if` looks once
def polite_read(self):
    with self.changed:
        if self.writing or self.writers_waiting:
            self.changed.wait()
        self.readers += 1


# %% Counts before it waits
# expects: Count up after the wait
def polite_read(self):
    with self.changed:
        self.readers += 1
        while self.writing or self.writers_waiting:
            self.changed.wait()


# %% Waits only for waiting writers
# expects: because of `self.writing` as well
def polite_read(self):
    with self.changed:
        while self.writers_waiting:
            self.changed.wait()
        self.readers += 1


# %% Waits for readers
# expects: Readers do not disturb each other
def polite_read(self):
    with self.changed:
        while self.writing or self.writers_waiting or self.readers:
            self.changed.wait()
        self.readers += 1
