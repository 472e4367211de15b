# %% Wakes one
# expects: `notify()` wakes one
def release_write(self):
    with self.changed:
        self.writing = False
        self.changed.notify()


# %% Wakes nobody
# expects: nobody has woken them
def release_write(self):
    with self.changed:
        self.writing = False


# %% Does not say that the write has ended
# expects: `self.writing` is still true
def release_write(self):
    with self.changed:
        self.changed.notify_all()


# %% Changes the state outside the block
# expects: without `with self.changed:`
def release_write(self):
    self.writing = False
    with self.changed:
        self.changed.notify_all()


# %% Does everything outside the block
# expects: cannot notify on un-acquired lock
def release_write(self):
    self.writing = False
    self.changed.notify_all()


# %% Wakes two
# expects: `notify_all()` wakes them all
def release_write(self):
    with self.changed:
        self.writing = False
        if self.readers == 0:
            self.changed.notify(2)
